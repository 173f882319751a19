//! The calls of a batch: made at the same time, a bounded number of them, and answered in order.

use std::{
    num::NonZero,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt as _, stream};
use lictor_model::ExecutorSpec;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::{super::options::Options, Batch, reply};
use crate::{
    app::App,
    error::{Error, ErrorKind},
    executor,
    executors::{Forward, Target},
    policies::Ready,
};

/// How long an input may wait for another executor that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before it is asked again the first time, and at most.
const PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// A batch that was begun. Dropping what comes of it ends its calls.
pub(super) struct Calls {
    work: Arc<Work>,
    /// What came of the first input, where that showed whether there is any use in the others.
    first: Option<String>,
}

struct Work {
    app: App,
    batch: Batch,
    options: Options,
    by: By,
}

/// Who answers.
enum By {
    /// The executor in this process: one version of the policy for all inputs.
    Us(Arc<Ready>),
    /// Another one.
    Other { to: ExecutorSpec, query: Option<String>, via: Option<String> },
}

impl Calls {
    /// Sees to what all calls need: the policy here, an answer to the first of them elsewhere. What is wrong with that is
    /// wrong with the whole batch. The query string and through whom the request came are passed on with calls.
    pub(super) async fn begin(
        app: App,
        batch: Batch,
        options: Options,
        target: Target,
        (query, via): (Option<String>, Option<String>),
    ) -> Result<Self, Error> {
        let by = match target {
            Target::Here => By::Us(app.policies.ready(batch.uri()).await?),
            Target::Elsewhere(to) => By::Other { to, query, via },
        };
        let work = Arc::new(Work { app, batch, options, by });
        let first = match &work.by {
            By::Other { .. } if 0 < work.batch.len() => Some(work.answer(0).await?),
            _ => None,
        };
        Ok(Self { work, first })
    }

    /// What comes of the inputs, in their order.
    pub(super) fn envelopes(self) -> impl Stream<Item = String> + Send + 'static {
        let Self { work, first } = self;
        let rest = usize::from(first.is_some())..work.batch.len();
        let calls = stream::iter(rest).map(move |idx| {
            let work = Arc::clone(&work);
            // PERF: a task of its own, so that calls that compute use all processors.
            let call = AbortOnDropHandle::new(tokio::spawn(async move { work.envelope(idx).await }));
            async move { call.await.unwrap_or_else(|error| refusal(Error::internal("a call came to no end", error))) }
        });
        stream::iter(first).chain(calls.buffered(at_the_same_time()))
    }
}

fn at_the_same_time() -> usize {
    available_parallelism().map_or(1, NonZero::get).saturating_mul(2)
}

fn refusal(error: Error) -> String {
    reply::envelope(&Err(error), false)
}

impl Work {
    async fn envelope(&self, idx: usize) -> String {
        self.answer(idx).await.unwrap_or_else(refusal)
    }

    async fn answer(&self, idx: usize) -> Result<String, Error> {
        match &self.by {
            By::Us(ready) => self.call(ready, idx).await,
            By::Other { to, query, via } => self.pass_on(to, query.as_deref(), via.as_deref(), idx).await,
        }
    }

    async fn call(&self, ready: &Ready, idx: usize) -> Result<String, Error> {
        let request = executor::Request {
            policy_rule_uri: self.batch.uri(),
            input: self.batch.input(idx),
            parameters: self.batch.parameters(),
            timeout_ms: self.options.timeout_ms,
            dry_run: self.options.dry_run,
            waits: true,
            asker: Some(&self.options.asker),
            ..executor::Request::default()
        };
        let checked = self.app.executor.execute_ready(ready, &request).await?;
        Ok(reply::envelope(&Ok(checked), self.options.usage))
    }

    async fn pass_on(
        &self,
        to: &ExecutorSpec,
        query: Option<&str>,
        via: Option<&str>,
        idx: usize,
    ) -> Result<String, Error> {
        let (uri, input) = (Value::from(self.batch.uri()), self.batch.input(idx));
        let parameters = self.batch.parameters().unwrap_or("null");
        let body = format!(r#"{{"policy_rule_uri":{uri},"input_data":{input},"parameters":{parameters}}}"#);
        let call = Forward { body: body.into(), query, timeout_ms: self.options.timeout_ms, via };
        let (began, mut pause) = (Instant::now(), PAUSE);
        loop {
            match self.app.executors.forward(to, call.clone()).await {
                // It has no line to wait in that we could join.
                Err(error) if error.kind() == ErrorKind::Busy && began.elapsed() < PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
                answered => return answered,
            }
        }
    }
}
