//! The routes that are called most, matched before the router: a policy that is run once, and a call of a function.
//!
//! Reading the request and writing the answer stay on the connection's thread, and so does a call that ends at once.

use std::sync::Arc;

use hyper::{Method, Request, body::Incoming};

use super::{
    Door, Reply, body, execute, functions,
    options::{Options, trace},
    threads::begin_here,
};
use crate::{
    access::{Asker, Caller},
    app::App,
    error::Error,
};

/// Which of them a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hot {
    /// `POST /executor/{id}/execute_policy`, of the executor in this process.
    Execute,
    /// `POST /function/call_function/{name}`, of a function in this process.
    Call,
}

impl Hot {
    /// The hot route that the request is for; the router has these too, for whatever is not the usual case.
    pub(super) fn of<B>(app: &App, request: &Request<B>) -> Option<Self> {
        let path = Some(request.uri().path()).filter(|_| request.method() == Method::POST)?;
        if let Some(id) = execute::executor_id(path) {
            return app.executors.is_here(id).then_some(Self::Execute);
        }
        let name = functions::called(path)?;
        // An executor of another system refuses this route.
        (app.system.is_none() && app.functions.is_here(name)).then_some(Self::Call)
    }
}

pub(super) async fn answer(
    door: &Arc<Door>,
    hot: Hot,
    request: Request<Incoming>,
    caller: Arc<Caller>,
) -> Result<Reply, Error> {
    let mut options = Options::parse(request.uri().query(), &[])?;
    options.asker = Asker { caller: Some(caller), trace: trace(request.headers()), ..Asker::default() };
    body::media_type(request.headers())?;
    let (uri, body) = {
        let (head, body) = request.into_parts();
        (head.uri, body)
    };
    let body = body::read(body, door.max_body).await?;
    let door = Arc::clone(door);
    match hot {
        Hot::Execute => {
            begin_here(Box::pin(async move { execute::run(&door.app, body::object(&body)?, options).await })).await
        }
        Hot::Call => {
            let call = async move {
                let name = functions::called(uri.path()).unwrap_or_default();
                functions::run(&door.app, name, body::any(&body)?, options).await
            };
            begin_here(Box::pin(call)).await
        }
    }
}
