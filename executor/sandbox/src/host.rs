//! Functions that a host application hands to a policy by name: what stands behind `lictor:policy/host`.
//!
//! The application gives them to an [`Instance`](crate::Instance), and the policy's capabilities must name each as well.
//! A function runs as a task of its own: with a whole stack under it, so that what it does cannot overflow the guest's,
//! and so that its panic is the guest's failure and nothing more. At the deadline of the call the task is dropped where
//! it waits. A function that blocks its thread cannot be dropped: the call ends at its deadline where another thread
//! drives it, but the blocked thread is the application's to get back, and on a runtime of one thread nothing else
//! happens meanwhile.

use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use lictor_model::{Failure, field::shorten, json};
use tokio::task::JoinHandle;

use crate::run::bounded;

/// The longest answer of a function in bytes.
const MAX_ANSWER: usize = 2 << 20;
/// Characters of a function's name in a message.
const SHOWN: usize = 60;

type Function = dyn Fn(String) -> BoxFuture<'static, Result<String, Failure>> + Send + Sync;

/// Functions by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct HostFunctions {
    /// PERF: none where there are none, so that an instance for one call allocates nothing for them.
    by_name: Option<Arc<BTreeMap<String, Arc<Function>>>>,
}

impl HostFunctions {
    /// With `function` under `name`; one that had this name before is replaced.
    ///
    /// It is given its arguments as JSON text, and answers with JSON text or with the failure that the policy sees.
    #[must_use]
    pub fn with<A>(mut self, name: impl Into<String>, function: impl Fn(String) -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Result<String, Failure>> + Send + 'static,
    {
        let function: Arc<Function> = Arc::new(move |args| Box::pin(function(args)));
        Arc::make_mut(self.by_name.get_or_insert_default()).insert(name.into(), function);
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.iter().flat_map(|functions| functions.keys()).map(String::as_str)
    }

    /// Calls a function, and drops it if the caller goes away.
    pub(crate) async fn call(&self, name: &str, args: String) -> Result<String, Failure> {
        let Some(function) = self.by_name.as_ref().and_then(|functions| functions.get(name)).cloned() else {
            return Err(failure("not_available", format!("this host has no function `{}`", shorten(name, SHOWN))));
        };
        // Its own code begins inside the task too: a closure may panic before it makes a future.
        let mut running = Running(tokio::spawn(async move { function(args).await }));
        match (&mut running.0).await {
            Ok(answer) => accept(name, answer),
            Err(error) if error.is_panic() => {
                Err(failure("internal", format!("the host function `{}` panicked", shorten(name, SHOWN))))
            }
            Err(_) => Err(failure("internal", format!("the host function `{}` was stopped", shorten(name, SHOWN)))),
        }
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A function that runs; dropped with the call that waits for it.
struct Running(JoinHandle<Result<String, Failure>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message, details: None }
}

/// The answer as the guest gets it: a document of a bounded size, whatever the function made of it.
pub(crate) fn accept(name: &str, answer: Result<String, Failure>) -> Result<String, Failure> {
    let answer = answer.map_err(bounded)?;
    let name = shorten(name, SHOWN);
    if MAX_ANSWER < answer.len() {
        let message = format!("the host function `{name}` answered with more than {MAX_ANSWER} bytes");
        return Err(failure("output_too_large", message));
    }
    match json::check(&answer) {
        Ok(()) => Ok(answer),
        Err(error) => Err(failure("bad_output", format!("the answer of the host function `{name}` {error}"))),
    }
}
