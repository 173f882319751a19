//! A server on loopback that answers every request with an allowlist.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use http_body_util::Full;
use hyper::{Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;

use crate::Res;

/// It answers until the program ends.
pub(crate) struct AllowList {
    address: SocketAddr,
    hits: Arc<AtomicU64>,
}

impl AllowList {
    pub(crate) fn serve() -> Res<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, hits) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let counter = Arc::clone(&hits);
        thread::spawn(move || answer(&runtime, listener, &counter));
        Ok(Self { address, hits })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

fn answer(runtime: &Runtime, listener: TcpListener, hits: &Arc<AtomicU64>) {
    let service = |hits: Arc<AtomicU64>| {
        service_fn(move |_request| {
            hits.fetch_add(1, Ordering::Relaxed);
            let list = Bytes::from_static(br#"{"allowlist":["10.9.8.7"]}"#);
            let answer = Response::builder().header("content-type", "application/json").body(Full::new(list));
            async { Ok::<_, Infallible>(answer.unwrap_or_default()) }
        })
    };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        while let Ok((stream, _)) = listener.accept().await {
            let _as_it_is = stream.set_nodelay(true);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service(Arc::clone(hits))));
        }
    });
}
