//! One listener: accept, serve each connection on its thread, and stop without losing an answer.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_util::task::TaskTracker;

use super::{Answer, threads::Threads, wire};

/// How long a connection may go without a request, and the head of one may take; at most twice as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's head; more is 431.
const MAX_HEAD: usize = 64 * 1024;

/// What answers the requests of a listener.
pub(super) trait Answers: Send + Sync + 'static {
    fn answer(self: &Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;
}

/// Accepts connections until told to quit, then waits for those that are there.
pub(super) async fn accept<A: Answers>(
    listener: TcpListener,
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
        let (quitting, token) = (told.clone(), connections.token());
        threads.carry(stream, move |stream, answers| async move {
            serve(stream, &answers, quitting).await;
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
async fn serve<A: Answers>(stream: TcpStream, answers: &Arc<A>, quitting: watch::Receiver<bool>) {
    let pulse = Pulse::default();
    let service = service_fn(|request| {
        pulse.beat();
        let answer = answers.answer(request);
        let pulse = &pulse;
        async move {
            let answer = answer.await;
            pulse.beat();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(http1().serve_connection(TokioIo::new(wire::Strict::new(stream)), service));
    let mut end = pin!(end(&pulse, quitting));
    let (bell, mut ending) = (Bell::new(), false);
    let ended = poll_fn(|cx| {
        if !ending && bell.rang(cx) {
            match end.as_mut().poll(&mut Context::from_waker(bell.waker())) {
                Poll::Pending => {}
                Poll::Ready(End::Idle) => {
                    tracing::debug!("a connection is cut: it sent no request in time");
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
    /// It sent no request in time.
    Idle,
}

async fn end(pulse: &Pulse, mut quitting: watch::Receiver<bool>) -> End {
    tokio::select! {
        _ = quitting.wait_for(|quit| *quit) => End::Quit,
        () = pulse.stops() => End::Idle,
    }
}

/// Tells a connection that is used from one that is held open: counts the beginnings and ends of its requests.
///
/// PERF: hyper's own time-out for heads sets a timer for every request; this one looks now and then.
#[derive(Default)]
struct Pulse {
    /// Odd while a request is being answered. Only the connection's own task changes it.
    beats: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        self.beats.store(self.beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
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
