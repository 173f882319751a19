//! One listener: accept, serve each connection on its thread, and stop without losing an answer.

mod pulse;

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http_body_util::Either;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::task::TaskTracker;

pub(super) use self::pulse::Pieces;
use self::pulse::{Cut, Paced, Pulse};
use super::{Answer, access::Session, threads::Threads, tls::Tls, wire};

/// Bytes of a request's head; more is 431.
const MAX_HEAD: usize = 64 * 1024;

/// What answers the requests of a listener.
pub(super) trait Answers: Send + Sync + 'static {
    /// Who makes a request.
    type Visitor: Send;

    /// Who makes this request, on a connection of which `session` knows what was shown before.
    fn visitor(&self, session: &Session, request: &Request<Incoming>) -> Self::Visitor;

    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        visitor: Self::Visitor,
    ) -> impl Future<Output = Answer> + Send;
}

/// Accepts connections until told to quit, then waits for those that are there.
pub(super) async fn accept<A: Answers>(
    listener: TcpListener,
    tls: Option<Tls>,
    limit: Arc<Semaphore>,
    threads: Threads<A>,
    mut quitting: watch::Receiver<bool>,
    grace: Duration,
) {
    let connections = TaskTracker::new();
    let told = quitting.clone();
    loop {
        let next = async {
            let permit = Arc::clone(&limit).acquire_owned().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>((listener.accept().await?, permit))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            _ = quitting.wait_for(|quit| *quit) => break,
        };
        let ((stream, from), permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others must finish first.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let (quitting, token, tls) = (told.clone(), connections.token(), tls.clone());
        let session = Session::new(from.ip().to_canonical());
        threads.carry(stream, move |stream, answers| async move {
            match tls {
                None => serve(stream, session, &answers, quitting).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::pin(serve(stream, session, &answers, quitting)).await,
                    Err(error) => tracing::debug!(%error, "a connection could not be secured"),
                },
            }
            drop((permit, token));
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut");
    }
}

/// Answers the requests of one connection, until it ends, is idle for too long, or the server stops.
async fn serve<A: Answers>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    session: Session,
    answers: &Arc<A>,
    quitting: watch::Receiver<bool>,
) {
    let pulse = Arc::<Pulse>::default();
    // Moved into the service, which only this task calls.
    let (session, beats) = (session, &pulse);
    let service = service_fn(move |request| {
        beats.beat();
        let visitor = answers.visitor(&session, &request);
        let answer = answers.answer(request, visitor);
        async move {
            let answer = answer.await;
            beats.beat();
            Ok::<_, Infallible>(answer.map(|body| match body {
                Either::Left(whole) => Either::Left(whole),
                Either::Right(pieces) => Either::Right(pieces.on(beats)),
            }))
        }
    });
    let stream = wire::Strict::new(Paced::new(stream, Arc::clone(&pulse)));
    let mut connection = pin!(http1().serve_connection(TokioIo::new(stream), service));
    let mut end = pin!(end(&pulse, quitting));
    let (bell, mut ending) = (Bell::new(), false);
    let ended = poll_fn(|cx| {
        if !ending && bell.rang(cx) {
            match end.as_mut().poll(&mut Context::from_waker(bell.waker())) {
                Poll::Pending => {}
                Poll::Ready(End::Cut(Cut::Idle)) => {
                    tracing::debug!("a connection is cut: it sent no request in time");
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(End::Cut(Cut::Slow)) => {
                    tracing::debug!("a connection is cut: it does not read its answers");
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(End::Quit) => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How every connection is spoken to. More than 100 headers are 431, as hyper has it.
///
/// Where the builder is told of that bound, even of the same, hyper makes its list of headers anew for each request.
fn http1() -> http1::Builder {
    let mut http1 = http1::Builder::new();
    http1.max_buf_size(MAX_HEAD);
    http1
}

/// Why a connection is to end.
enum End {
    /// The server stops.
    Quit,
    /// It is not used as it should be.
    Cut(Cut),
}

async fn end(pulse: &Pulse, mut quitting: watch::Receiver<bool>) -> End {
    tokio::select! {
        _ = quitting.wait_for(|quit| *quit) => End::Quit,
        cut = pulse.stops() => End::Cut(cut),
    }
}

/// Says whether what a connection waits for beside its requests has moved.
///
/// PERF: a timer and a channel that are polled with each request cost 0.2 us of it; this costs a look at a flag.
struct Bell {
    shared: Arc<Rope>,
    waker: Waker,
}

struct Rope {
    rang: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// One that has rung, so that what it is for is looked at once.
    fn new() -> Self {
        let shared = Arc::new(Rope { rang: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// What rings it.
    fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it rang since this was last asked; the task is woken when it rings again.
    fn rang(&self, cx: &Context<'_>) -> bool {
        self.shared.task.register(cx.waker());
        self.shared.rang.load(Ordering::Acquire) && self.shared.rang.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.task.wake();
    }
}
