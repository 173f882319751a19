//! The listeners: accept, serve, and stop without losing an answer.
//!
//! Two sockets, one loop each (`connections`), and `threads` that carry what comes. A request on the main one meets, in
//! this order: `wire` (has it one meaning only), `guard` (may it come in at all), `access` (who makes it), the routes that
//! are called most (`hot`), and `router` with everything else.

mod access;
mod admin;
mod assets;
mod batch;
mod body;
mod connections;
mod cors;
mod elsewhere;
mod execute;
mod executors;
mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod graphs;
mod guard;
mod hot;
mod jobs;
mod openapi;
mod options;
mod peer;
mod policies;
mod registry;
mod reply;
mod router;
mod shadows;
mod threads;
mod tls;
mod wire;

use std::{future::Future, net::SocketAddr, num::NonZero, sync::Arc, thread::available_parallelism};

use axum::Router;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{Request, Response, body::Incoming, header::HeaderValue};
use tokio::{net::TcpListener, sync::Semaphore};
use tower::ServiceExt as _;

use self::{
    access::{Session, Visitor},
    connections::{Answers, Pieces, accept},
    hot::Hot,
    threads::Threads,
    tls::Tls,
};
use crate::{
    app::App,
    config::Config,
    error::{Error, ErrorKind},
};

/// What most answers are made of: ready bytes.
type Reply = Response<Full<Bytes>>;
/// An answer as it goes out: ready bytes, or a stream of them.
type Answer = Response<Either<Full<Bytes>, Pieces>>;

/// The two sockets of a server.
pub struct Listeners {
    main: TcpListener,
    admin: TcpListener,
    tls: Option<Tls>,
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
        let tls = config.tls.as_ref().map(Tls::start).transpose()?;
        let main = bind("listen", config.listen).await?;
        let admin = bind("admin", config.admin).await?;
        Ok(Self { main, admin, tls, config: config.clone() })
    }

    /// The addresses that were bound, the API's first.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.main.local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` is over, then lets requests in flight finish.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { main, admin, tls, config } = self;
        let limit = Arc::new(Semaphore::new(usize::try_from(config.max_connections).unwrap_or(Semaphore::MAX_PERMITS)));
        let router = router::router(app.clone(), config.max_body);
        let cors = cors::Cors::new(&config.cors_origins);
        let door = || Door {
            app: app.clone(),
            guard: guard::Guard::new(config.listen.ip().is_loopback(), cors.clone()),
            router: router.clone(),
            max_body: config.max_body,
        };
        let admin_guard = guard::Guard::new(config.admin.ip().is_loopback(), cors::Cors::default());
        let admin_door = || admin::Door { app: app.clone(), guard: admin_guard.clone() };
        let failed = |error| Error::internal("the threads for connections cannot be started", error);
        let threads = Threads::start("lictor-http", processors(), door).map_err(failed)?;
        let admin_threads = Threads::start("lictor-admin", 1, admin_door).map_err(failed)?;
        let (quit, quitting) = tokio::sync::watch::channel(false);
        let main = tokio::spawn(accept(main, tls, limit, threads, quitting.clone(), config.grace));
        // Health is answered on connections of its own, however many the API has.
        let admin =
            tokio::spawn(accept(admin, None, Arc::new(Semaphore::new(64)), admin_threads, quitting, config.grace));
        stop.await;
        app.begin_stop();
        tracing::info!("stopping: requests in flight finish first");
        quit.send_replace(true);
        drop(tokio::join!(main, admin));
        Ok(())
    }
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener
        .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("`{name}`: {address} cannot be bound: {error}")))
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

impl Answers for Door {
    type Visitor = Visitor;

    fn visitor(&self, session: &Session, request: &Request<Incoming>) -> Visitor {
        session.visitor(&self.app.access, request.headers())
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>, visitor: Visitor) -> Answer {
        let page = match self.guard.admit(&request, self.app.access.is_closed()) {
            Ok(page) => page,
            Err(error) => {
                self.app.metrics.refused();
                return reply::refusal(&error).map(Either::Left);
            }
        };
        match page {
            None => self.admit(request, visitor).await,
            // PERF: boxed, so that the future of a request of a program stays small.
            Some(origin) => Box::pin(self.answer_page(request, visitor, origin)).await,
        }
    }
}

impl Door {
    async fn answer_page(
        self: &Arc<Self>,
        request: Request<Incoming>,
        visitor: Visitor,
        origin: HeaderValue,
    ) -> Answer {
        let mut answer = match cors::preflight(&request) {
            Some(reply) => reply.map(Either::Left),
            None => self.admit(request, visitor).await,
        };
        cors::show(answer.headers_mut(), origin);
        answer
    }

    async fn admit(self: &Arc<Self>, request: Request<Incoming>, visitor: Visitor) -> Answer {
        match self.try_admit(request, visitor).await {
            Ok(answer) => answer,
            Err(error) => reply::refusal(&error).map(Either::Left),
        }
    }

    async fn try_admit(self: &Arc<Self>, request: Request<Incoming>, visitor: Visitor) -> Result<Answer, Error> {
        if self.app.is_stopping() {
            return Err(Error::new(ErrorKind::ShuttingDown, "the server is stopping"));
        }
        if let Some(hot) = Hot::of(&self.app, &request) {
            let (caller, _running) = visitor.runs().inspect_err(|_| self.app.metrics.refused())?;
            return hot::answer(self, hot, request, caller).await.map(|reply| reply.map(Either::Left));
        }
        let door = Arc::clone(self);
        // PERF: boxed, so that the future of a hot route, which hyper moves for each request, stays small.
        Box::pin(threads::elsewhere(async move { door.route(request, visitor).await })).await
    }

    async fn route(&self, request: Request<Incoming>, visitor: Visitor) -> Result<Answer, Error> {
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Arc::new(visitor));
        match self.router.clone().oneshot(request).await {
            Ok(response) if reply::is_stream(&response) => Ok(response.map(|body| Either::Right(Pieces::new(body)))),
            Ok(response) => Ok(reply::collect(response).await?.map(Either::Left)),
            Err(never) => match never {},
        }
    }
}
