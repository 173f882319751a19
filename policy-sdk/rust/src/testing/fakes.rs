//! What a host gives, faked: one set for each thread, which is one for each test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::Failure;
use crate::http::{Error, Request, Response};
use crate::log::Level;

/// A log line that the policy wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// The module that wrote it.
    pub target: String,
    /// What it says.
    pub message: String,
}

pub(crate) type Function = Box<dyn FnMut(Value) -> Result<Value, Failure>>;

pub(crate) struct Route {
    method: Option<String>,
    url: String,
    pub(crate) answer: Result<Response, Error>,
}

impl Route {
    pub(crate) fn answers(&self, request: &Request) -> bool {
        self.url == request.url && self.method.as_ref().is_none_or(|method| *method == request.method)
    }
}

#[derive(Default)]
pub(crate) struct Fakes {
    pub(crate) context: BTreeMap<String, Vec<u8>>,
    pub(crate) routes: Vec<Route>,
    pub(crate) requests: Vec<Request>,
    pub(crate) logs: Vec<Line>,
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) now_ms: u64,
    pub(crate) n_host_calls: usize,
}

thread_local! {
    static FAKES: RefCell<Fakes> = RefCell::default();
}

pub(crate) fn with_fakes<T>(act: impl FnOnce(&mut Fakes) -> T) -> T {
    FAKES.with_borrow_mut(act)
}

/// Where the clock of a new [`World`] stands: 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
pub(crate) const START_MS: u64 = 1_767_225_600_000;

/// The host that policies on this thread meet: empty when it is made, and then as it is told to be.
///
/// Making one clears what an earlier one on the same thread held.
#[must_use = "policies of this thread meet the fakes in any case, but a test will want to ask them"]
pub struct World {
    /// Not to be sent to another thread, which has fakes of its own.
    _here: std::marker::PhantomData<*const ()>,
}

impl World {
    /// An empty world: no context, no host function, and every request is denied.
    #[expect(clippy::new_without_default, reason = "it clears the thread's fakes, which a default should not")]
    pub fn new() -> Self {
        with_fakes(|fakes| *fakes = Fakes { now_ms: START_MS, ..Fakes::default() });
        Self { _here: std::marker::PhantomData }
    }

    /// Puts a value into the context.
    pub fn context(self, key: &str, value: &Value) -> Self {
        with_fakes(|fakes| fakes.context.insert(key.to_owned(), value.to_string().into_bytes()));
        self
    }

    /// Answers requests to exactly `url`, whatever their method. Of several the first that fits answers.
    pub fn route(self, url: &str, status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        let response = Response { status, headers, body: body.to_string().into_bytes() };
        self.answer(None, url, Ok(response))
    }

    /// Fails requests to exactly `url` with an error of `wasi:http`, such as `connection-refused`.
    pub fn route_error(self, url: &str, code: &str) -> Self {
        self.answer(None, url, Err(Error::new(code.to_owned(), String::new())))
    }

    /// Answers requests with exactly this method (if given) and URL.
    pub fn answer(self, method: Option<&str>, url: &str, answer: Result<Response, Error>) -> Self {
        let route = Route { method: method.map(str::to_owned), url: url.to_owned(), answer };
        with_fakes(|fakes| fakes.routes.push(route));
        self
    }

    /// Hands the policy a host function.
    pub fn function(self, name: &str, function: impl FnMut(Value) -> Result<Value, Failure> + 'static) -> Self {
        with_fakes(|fakes| fakes.functions.insert(name.to_owned(), Box::new(function)));
        self
    }

    /// Sets the clock, in milliseconds since the Unix epoch. It stands still; at first at the start of 2026.
    pub fn at(self, now_ms: u64) -> Self {
        with_fakes(|fakes| fakes.now_ms = now_ms);
        self
    }

    /// What the context holds for `key`, if it is JSON.
    pub fn context_value(&self, key: &str) -> Option<Value> {
        with_fakes(|fakes| serde_json::from_slice(fakes.context.get(key)?).ok())
    }

    /// What the policies of this thread have logged.
    pub fn logs(&self) -> Vec<Line> {
        with_fakes(|fakes| fakes.logs.clone())
    }

    /// The method and URL of each request they have sent.
    pub fn requests(&self) -> Vec<(String, String)> {
        with_fakes(|fakes| fakes.requests.iter().map(|sent| (sent.method.clone(), sent.url.clone())).collect())
    }

    /// The bodies of those requests.
    pub fn request_bodies(&self) -> Vec<Vec<u8>> {
        with_fakes(|fakes| fakes.requests.iter().map(|sent| sent.body.clone()).collect())
    }

    /// How often they have called the host, for whatever reason.
    pub fn n_host_calls(&self) -> usize {
        with_fakes(|fakes| fakes.n_host_calls)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("n_host_calls", &self.n_host_calls()).finish_non_exhaustive()
    }
}
