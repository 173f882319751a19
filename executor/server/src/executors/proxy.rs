//! What another executor is asked, and a call that it answers.
//!
//! It is asked by the executor's own API, the same for the original's and for ours. A call is passed on to
//! `POST <host>/execute_policy` with three fields, each the text that the caller sent. Two headers say more to one of ours: for whom the call is, so
//! that a wrong host is noticed, and through whom it came. A server that would have to pass on such a call refuses it,
//! so that no circle of records becomes a circle of calls.
//!
//! The other executor bounds the call itself. Our deadline is for when it does not: the time that the call may take,
//! and [`MARGIN`] for what that does not count, which is getting there and loading the policy.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lictor_loader::{Answer, Ask, Client, client::Method};
use lictor_model::{ExecutorId, ExecutorSpec, field::shorten, limits::Ceiling};

use super::{
    envelope,
    gate::{Gate, Place},
};
use crate::error::{Error, ErrorKind};

/// What a call may take beyond its own time.
const MARGIN: Duration = Duration::from_secs(5);
/// What an answer may have around the policy's output, in bytes.
const AROUND: usize = 64 * 1024;
/// Executors of which something is remembered.
const MAX_KNOWN: usize = 10_000;

/// A header that says through which executors a call came.
pub const VIA: &str = "x-lictor-via";
/// A header that says for which executor a call is.
pub const FOR: &str = "x-lictor-executor";

/// What bounds a call that is passed on.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The most time.
    timeout: Duration,
    /// The most bytes of an answer.
    bytes: usize,
}

/// A call to pass on.
#[derive(Clone, Debug)]
pub struct Forward<'a> {
    /// The body, JSON.
    pub body: Bytes,
    /// The query string.
    pub query: Option<&'a str>,
    /// The time-out that it asks for.
    pub timeout_ms: Option<u64>,
    /// Through whom it came here, if not from a caller.
    pub via: Option<&'a str>,
}

/// What another executor is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// With its query.
    pub(super) path: &'a str,
    /// JSON.
    pub(super) body: Option<Bytes>,
    /// How long what is asked may take there.
    pub(super) patience: Duration,
}

/// Asks other executors.
pub(super) struct Proxy {
    own: ExecutorId,
    client: Client,
    limits: Limits,
    gates: Mutex<HashMap<String, Arc<Gate>>>,
    judged: Judged,
}

/// How the last call to each executor went. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    reached: Arc<Mutex<HashMap<String, bool>>>,
}

impl Judged {
    /// What that says of an executor's health.
    pub(super) fn status(&self, id: &str) -> Option<&'static str> {
        lock(&self.reached).get(id).map(|reached| if *reached { "healthy" } else { "unreachable" })
    }

    fn note(&self, id: &str, reached: bool) {
        put(&mut lock(&self.reached), id, reached);
    }
}

impl Proxy {
    pub(super) fn new(own: ExecutorId, client: Client, ceiling: &Ceiling) -> Self {
        let kb = usize::try_from(ceiling.output_kb).unwrap_or(usize::MAX);
        let bytes = kb.saturating_mul(1024).saturating_add(AROUND);
        let limits = Limits { timeout: Duration::from_millis(ceiling.timeout_ms), bytes };
        Self { own, client, limits, gates: Mutex::default(), judged: Judged::default() }
    }

    /// How calls to other executors went.
    pub(super) fn judged(&self) -> Judged {
        self.judged.clone()
    }

    /// Forgets what is remembered of an executor.
    pub(super) fn forget(&self, id: &str) {
        lock(&self.gates).remove(id);
        lock(&self.judged.reached).remove(id);
    }

    /// Has the executor `to` answer a call. Returns the body of our answer.
    pub(super) async fn forward(&self, to: &ExecutorSpec, call: Forward<'_>) -> Result<String, Error> {
        if let Some(via) = call.via {
            return Err(circle(via, &self.own, &to.id));
        }
        let timeout = self.timeout(call.timeout_ms);
        let _place = self.enter(to, timeout).await?;
        let query = call.query.map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("/execute_policy{query}");
        let question = Question { method: Method::POST, path: &path, body: Some(call.body), patience: timeout };
        self.ask(to, question, envelope::read).await
    }

    /// The time that a call may take, with its own limit or without.
    pub(super) fn timeout(&self, timeout_ms: Option<u64>) -> Duration {
        timeout_ms.map_or(self.limits.timeout, Duration::from_millis).min(self.limits.timeout)
    }

    /// Asks the executor `to`, notes whether it could be asked, and reads its answer by `read`, which is told its name.
    pub(super) async fn ask<T>(
        &self,
        to: &ExecutorSpec,
        question: Question<'_>,
        read: impl FnOnce(&str, &Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (id, name) = (to.id.as_str(), format!("the executor `{}` at {}", to.id, to.host));
        let ask = Ask {
            method: question.method,
            url: &format!("{}{}", to.host, question.path),
            headers: &[(VIA, self.own.as_str()), (FOR, id)],
            body: question.body,
            deadline: Instant::now() + question.patience.saturating_add(MARGIN),
            max_bytes: self.limits.bytes,
        };
        let answered = self.client.ask(ask).await;
        let answered = answered.map_err(|why| Error::new(ErrorKind::Unreachable, format!("{name} {why}")));
        let read = answered.and_then(|answer| read(&name, &answer));
        let reached = read.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::Unreachable);
        self.judged.note(id, reached);
        read
    }

    /// How many of the calls that were passed on to the executor `id` run, and how many may, if they are counted.
    pub(super) fn load(&self, id: &str) -> Option<(usize, usize)> {
        lock(&self.gates).get(id).and_then(|gate| gate.load())
    }

    /// Waits until another call may be made of the executor `to`.
    pub(super) async fn enter(&self, to: &ExecutorSpec, patience: Duration) -> Result<Place, Error> {
        if to.max_processes == 0 {
            return Ok(None);
        }
        let gate = {
            let mut gates = lock(&self.gates);
            let there = gates.get(to.id.as_str()).cloned();
            there.unwrap_or_else(|| {
                let made = Arc::<Gate>::default();
                put(&mut gates, to.id.as_str(), Arc::clone(&made));
                made
            })
        };
        gate.set(to.max_processes);
        gate.enter(patience).await
    }
}

/// That a question would go round in a circle.
pub(super) fn circle(via: &str, own: &ExecutorId, to: &ExecutorId) -> Error {
    let via = shorten(via, 200);
    let why = format!(
        "this call came through `{via}`, and `{own}` would have to pass it on to `{to}`: an executor must be registered where it is, not at another system"
    );
    Error::new(ErrorKind::Conflict, why)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers `value` of the executor `id`, and forgets another one where there are too many.
fn put<T>(map: &mut HashMap<String, T>, id: &str, value: T) {
    if MAX_KNOWN <= map.len()
        && !map.contains_key(id)
        && let Some(other) = map.keys().next().cloned()
    {
        map.remove(&other);
    }
    map.insert(id.to_owned(), value);
}
