//! The listeners: accept, serve, and stop without losing an answer.
//!
//! Two sockets, one loop each. A request on the main one meets, in this order: `wire` (has it one meaning only),
//! `guard` (may it come in at all), the hot route, which is matched here and answered by `execute`, and `router` with
//! everything else.

mod admin;
mod assets;
mod batch;
mod body;
mod elsewhere;
mod execute;
mod executors;
mod functions;
mod graphs;
mod guard;
mod jobs;
mod openapi;
mod options;
mod peer;
mod policies;
mod registry;
mod reply;
mod router;
mod shadows;
mod wire;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{net::TcpListener, sync::Semaphore};
use tower::ServiceExt as _;

use crate::{
    app::App,
    config::Config,
    error::{Error, ErrorKind},
};

/// How long a connection may go without a request, and the head of one may take; at most twice as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head; more is 431.
const MAX_HEAD: usize = 64 * 1024;
/// Headers of a request; more is 431.
const MAX_HEADERS: usize = 100;

/// What most answers are made of: ready bytes.
type Reply = Response<Full<Bytes>>;
/// An answer as it goes out: ready bytes, or a stream of them.
type Answer = Response<Either<Full<Bytes>, axum::body::Body>>;

/// The two sockets of a server.
pub struct Listeners {
    main: TcpListener,
    admin: TcpListener,
    config: Config,
}

/// What every connection of the main listener shares.
struct Door {
    app: App,
    guard: guard::Guard,
    router: Router,
    max_body: usize,
}

impl Listeners {
    /// Binds both sockets.
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        let main = bind("listen", config.listen).await?;
        let admin = bind("admin", config.admin).await?;
        Ok(Self { main, admin, config: config.clone() })
    }

    /// The addresses that were bound, the API's first.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.main.local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` is over, then lets requests in flight finish.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let Self { main, admin, config } = self;
        let limit = Arc::new(Semaphore::new(usize::try_from(config.max_connections).unwrap_or(Semaphore::MAX_PERMITS)));
        let door = Arc::new(Door {
            app: app.clone(),
            guard: guard::Guard::new(config.listen.ip().is_loopback()),
            router: router::router(app.clone(), config.max_body),
            max_body: config.max_body,
        });
        let on_main = move |request| {
            let door = Arc::clone(&door);
            async move { Ok::<_, Infallible>(door.answer(request).await) }
        };
        let admin_guard = guard::Guard::new(config.admin.ip().is_loopback());
        let admin_app = app.clone();
        let on_admin = move |request| {
            let reply = admin::answer(admin_app.clone(), admin_guard, request);
            async move { Ok::<_, Infallible>(reply.await) }
        };
        let (quit, quitting) = tokio::sync::watch::channel(false);
        let main = tokio::spawn(accept(main, limit, on_main, quitting.clone(), config.grace));
        // Health is answered on connections of its own, however many the API has.
        let admin = tokio::spawn(accept(admin, Arc::new(Semaphore::new(64)), on_admin, quitting, config.grace));
        stop.await;
        app.begin_stop();
        tracing::info!("stopping: requests in flight finish first");
        quit.send_replace(true);
        drop(tokio::join!(main, admin));
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener
        .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("`{name}`: {address} cannot be bound: {error}")))
}

/// Accepts connections until told to quit, then waits for those that are there.
async fn accept<S, F, B>(
    listener: TcpListener,
    limit: Arc<Semaphore>,
    service: S,
    mut quitting: tokio::sync::watch::Receiver<bool>,
    grace: Duration,
) where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let (graceful, http1) = (GracefulShutdown::new(), http1());
    loop {
        let next = async {
            let permit = Arc::clone(&limit).acquire_owned().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>((listener.accept().await?.0, permit))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = quitting.wait_for(|quit| *quit) => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others must finish first.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let pulse = Arc::new(Pulse::default());
        let (service, felt) = (service.clone(), Arc::clone(&pulse));
        let service = service_fn(move |request| {
            felt.beat();
            let (answer, felt) = (service(request), Arc::clone(&felt));
            async move {
                let reply = answer.await;
                felt.beat();
                reply
            }
        });
        let connection = http1.serve_connection(TokioIo::new(wire::Strict::new(stream)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = pulse.stops() => tracing::debug!("a connection is cut: it sent no request in time"),
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut");
    }
}

/// How every connection is spoken to.
fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    http1
}

/// Tells a connection that is used from one that is held open: counts the beginnings and ends of its requests.
///
/// PERF: hyper's own time-out for heads sets a timer for every request; this one looks now and then.
#[derive(Default)]
struct Pulse {
    /// Odd while a request is being answered.
    beats: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when no request was begun or ended for [`HEAD_TIMEOUT`], and none is being answered.
    async fn stops(&self) {
        let mut before = None;
        loop {
            let now = self.beats.load(Ordering::Relaxed);
            if before == Some(now) && now.is_multiple_of(2) {
                return;
            }
            before = Some(now);
            tokio::time::sleep(HEAD_TIMEOUT).await;
        }
    }
}

impl Door {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        match self.admit(request).await {
            Ok(answer) => answer,
            Err(error) => reply::refusal(&error).map(Either::Left),
        }
    }

    async fn admit(&self, request: Request<Incoming>) -> Result<Answer, Error> {
        if let Err(error) = self.guard.admit(&request) {
            self.app.metrics.refused();
            return Err(error);
        }
        if self.app.is_stopping() {
            return Err(Error::new(ErrorKind::ShuttingDown, "the server is stopping"));
        }
        if execute::executor_id(&request).is_some_and(|id| self.app.executors.is_here(id)) {
            return execute::answer(&self.app, request, self.max_body).await.map(|reply| reply.map(Either::Left));
        }
        // PERF: boxed, so that the future of the hot route, which hyper moves for each request, stays small.
        Box::pin(self.route(request)).await
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Error> {
        match self.router.clone().oneshot(request.map(axum::body::Body::new)).await {
            Ok(response) if reply::is_stream(&response) => Ok(response.map(Either::Right)),
            Ok(response) => Ok(reply::collect(response).await?.map(Either::Left)),
            Err(never) => match never {},
        }
    }
}
