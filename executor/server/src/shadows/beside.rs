//! One candidate beside one policy: which calls it is asked about, and when.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use lictor_model::Outcome;
use lictor_sandbox::context::Bucket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{tally::Tally, verdict::Verdict};
use crate::{
    checked::Checked,
    contexts::Context,
    error::{Error, ErrorKind},
    executor::{Executor, Origin, Request},
};

/// Questions that wait for their turn, of all candidates, and of one.
const MAX_WAITING: usize = 256;
const MAX_WAITING_OF_ONE: usize = 64;
/// Bytes that all questions may hold: inputs, parameters, answers and contexts.
const MAX_BYTES: usize = 128 << 20;
/// Bytes of documents that are compared where others wait for the thread.
const LARGE: usize = 64 << 10;

/// The candidate beside a policy.
pub struct Shadow {
    line: Arc<Line>,
    candidate: String,
    sample_percent: AtomicU8,
    /// Calls that might have been followed: each is a throw of dice.
    throws: AtomicU64,
    dice: RandomState,
    /// What was counted and is not stored yet.
    tally: Mutex<Tally>,
    /// Its part of what the line has room for, so that a candidate that never answers does not hold up the others.
    running: Semaphore,
    waiting: Arc<Semaphore>,
    /// Set once it is taken away: nobody wants to know any more.
    withdrawn: CancellationToken,
}

/// A call of the current policy, to be put before the candidate.
pub(super) struct Question {
    input: String,
    parameters: Option<String>,
    timeout_ms: Option<u64>,
    /// The context that the call began with.
    context: Option<Arc<Bucket>>,
    /// What came of it.
    outcome: Outcome,
    /// What it holds counts until it is dropped.
    _bytes: OwnedSemaphorePermit,
}

/// What a call that is followed began with.
pub(crate) struct Noted {
    context: Option<Arc<Bucket>>,
    bytes: OwnedSemaphorePermit,
}

/// Where the questions of all candidates wait.
pub(super) struct Line {
    running: Semaphore,
    /// Of those, what one candidate may have.
    running_of_one: usize,
    waiting: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Line {
    pub(super) fn new() -> Self {
        let slots = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let (waiting, bytes) = (Arc::new(Semaphore::new(MAX_WAITING)), Arc::new(Semaphore::new(MAX_BYTES)));
        Self { running: Semaphore::new(slots), running_of_one: slots / 2, waiting, bytes, tasks: TaskTracker::new() }
    }

    /// Takes no more questions, and waits a while for those that were taken.
    pub(super) async fn finish(&self, patience: Duration) {
        self.waiting.close();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::info!(n = self.tasks.len(), "candidates did not answer in time: these calls are not compared");
        }
    }

    fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let n = u32::try_from(bytes).ok()?;
        Arc::clone(&self.bytes).try_acquire_many_owned(n).ok()
    }
}

impl Shadow {
    pub(super) fn new(line: Arc<Line>, candidate: String) -> Self {
        Self {
            running: Semaphore::new(line.running_of_one),
            waiting: Arc::new(Semaphore::new(MAX_WAITING_OF_ONE)),
            line,
            candidate,
            sample_percent: AtomicU8::new(100),
            throws: AtomicU64::new(0),
            dice: RandomState::new(),
            tally: Mutex::default(),
            withdrawn: CancellationToken::new(),
        }
    }

    /// Lets go of all questions, those that it is being asked too.
    pub(super) fn withdraw(&self) {
        self.withdrawn.cancel();
    }

    /// Sets how many of a hundred calls it is asked about.
    pub(super) fn sample(&self, percent: u8) {
        self.sample_percent.store(percent, Ordering::Relaxed);
    }

    /// Takes what was counted since the last time.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally())
    }

    /// Takes back what could not be stored.
    pub(super) fn give_back(&self, tally: Tally) {
        self.tally().add(tally);
    }

    /// Whether there is nothing to be stored.
    pub(super) fn is_idle(&self) -> bool {
        self.tally().is_empty()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the candidate is to be asked about this call.
    pub(crate) fn follows(&self, request: &Request<'_>) -> bool {
        let by_itself = request.origin == Origin::Http && !request.dry_run && request.with.is_none();
        by_itself && self.dice.hash_one(self.throws.fetch_add(1, Ordering::Relaxed)) % 100 < self.percent()
    }

    fn percent(&self) -> u64 {
        self.sample_percent.load(Ordering::Relaxed).into()
    }

    /// Notes what a call begins with; none if there is no room for that.
    pub(crate) fn note(&self, request: &Request<'_>, context: Option<&Context>) -> Option<Noted> {
        let context = context.map(Context::copy);
        let texts = request.input.len() + request.parameters.map_or(0, str::len);
        let Some(bytes) = self.line.room_for(texts + context.as_ref().map_or(0, |context| context.bytes())) else {
            self.tally().drop_one();
            return None;
        };
        Some(Noted { context, bytes })
    }

    /// Puts a call before the candidate, some time after its answer has gone out.
    pub(crate) fn ask(self: &Arc<Self>, executor: &Executor, request: &Request<'_>, noted: Noted, checked: &Checked) {
        let outcome = &checked.run.outcome;
        let place = |waiting: &Arc<Semaphore>| Arc::clone(waiting).try_acquire_owned().ok();
        let places = place(&self.waiting).zip(place(&self.line.waiting));
        let (Some(places), Some(more)) = (places, self.line.room_for(size(outcome))) else {
            return self.tally().drop_one();
        };
        let mut bytes = noted.bytes;
        bytes.merge(more);
        let question = Question {
            input: request.input.to_owned(),
            parameters: request.parameters.map(str::to_owned),
            timeout_ms: request.timeout_ms,
            context: noted.context,
            outcome: outcome.clone(),
            _bytes: bytes,
        };
        // PERF: the thread that makes the call goes on with it, and takes this up when it has nothing left to send.
        let (shadow, executor) = (Arc::clone(self), executor.clone());
        self.line.tasks.spawn(async move {
            // What is asked when it is withdrawn ends with it, however long it would have taken.
            shadow.withdrawn.run_until_cancelled(shadow.answer(executor, question, places)).await;
        });
    }

    async fn answer<P>(&self, executor: Executor, question: Question, places: P) {
        let Ok(_of_one) = self.running.acquire().await else { return };
        let Ok(_running) = self.line.running.acquire().await else { return };
        drop(places);
        let request = Request {
            policy_rule_uri: &self.candidate,
            input: &question.input,
            parameters: question.parameters.as_deref(),
            timeout_ms: question.timeout_ms,
            origin: Origin::Shadow,
            dry_run: true,
            context: question.context.as_ref(),
            ..Request::default()
        };
        let answered = executor.execute(&request).await.map(|checked| checked.run.outcome);
        if answered.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            // That says nothing of the candidate.
            return self.tally().drop_one();
        }
        match judge(question, answered).await {
            Some(verdict) => self.tally().count(verdict),
            None => self.tally().drop_one(),
        }
    }
}

/// Compares on this thread what is small, and what is large on one where it holds up nobody.
async fn judge(question: Question, answered: Result<Outcome, Error>) -> Option<Verdict> {
    let bytes = size(&question.outcome) + answered.as_ref().map_or(0, size);
    if bytes <= LARGE {
        return Some(Verdict::of(&question, &answered));
    }
    tokio::task::spawn_blocking(move || Verdict::of(&question, &answered)).await.ok()
}

/// Bytes of what a policy said.
fn size(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Finished(answer) => answer.len(),
        Outcome::Failed(failure) => failure.message.len() + failure.details.as_ref().map_or(0, String::len),
        Outcome::Stopped(stop) => stop.message.len(),
    }
}

impl Question {
    /// The input, JSON text.
    pub(super) fn input(&self) -> &str {
        &self.input
    }

    /// What the current policy made of it.
    pub(super) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    #[cfg(test)]
    pub(super) fn for_test(input: &str, outcome: Outcome) -> Self {
        let _bytes = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Self { input: input.into(), parameters: None, timeout_ms: None, context: None, outcome, _bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shadow(sample_percent: u8) -> Shadow {
        let shadow = Shadow::new(Arc::new(Line::new()), "p:2.0-x".into());
        shadow.sample(sample_percent);
        shadow
    }

    #[test]
    fn only_calls_of_a_policy_by_itself_are_followed() {
        let (shadow, with) = (shadow(100), crate::executor::With::default());
        let request = Request { input: "1", ..Request::default() };
        assert!(shadow.follows(&request));
        for request in [
            Request { dry_run: true, ..request },
            Request { with: Some(&with), ..request },
            Request { origin: Origin::Shadow, ..request },
            Request { origin: Origin::Job, ..request },
            Request { origin: Origin::System, ..request },
        ] {
            assert!(!shadow.follows(&request), "{:?}", request.origin);
        }
    }

    #[test]
    fn so_many_of_a_hundred_calls_are_followed() {
        for percent in [1_u8, 30, 99] {
            let shadow = shadow(percent);
            let n = (0..100_000).filter(|_| shadow.follows(&Request::default())).count();
            // Ten standard deviations are less than 1,600.
            assert!(n.abs_diff(1000 * usize::from(percent)) < 1600, "{percent}: {n}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped() {
        let shadow = shadow(100);
        let large = "x".repeat(MAX_BYTES / 2);
        let request = Request { input: &large, ..Request::default() };
        let noted = [(); 3].map(|()| shadow.note(&request, None));
        assert_eq!(noted.each_ref().map(Option::is_some), [true, true, false]);
        drop(noted);
        assert!(shadow.note(&request, None).is_some());
        let mut expected = Tally::default();
        expected.drop_one();
        assert_eq!(shadow.take(), expected);
        assert!(shadow.is_idle());
    }
}
