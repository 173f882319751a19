//! What all threads of a run share: where the server is, what is being done to it, and what came of everything so far.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    chance::Chance,
    connection::{Connection, Reply},
    ledger::Counts,
    server::Server,
};

/// How long checking everything may take before somebody must be stuck.
const PATIENCE: Duration = Duration::from_secs(240);
/// Violations that are shown; all are counted.
const SHOWN: usize = 100;
/// Every code that an answer may have.
const CODES: [&str; 32] = [
    "policy_error",
    "trap",
    "stack_overflow",
    "timeout",
    "out_of_memory",
    "out_of_fuel",
    "output_too_large",
    "bad_output",
    "input_schema",
    "output_schema",
    "hostcall_limit",
    "denied_capability",
    "bad_archive",
    "digest_mismatch",
    "not_a_component",
    "missing_export",
    "unknown_import",
    "too_complex",
    "code_unreachable",
    "invalid_input",
    "not_found",
    "conflict",
    "busy",
    "shutting_down",
    "not_available",
    "unauthorized",
    "forbidden",
    "internal",
    "asked_to_fail",
    "unknown_action",
    "bad_data",
    "no-such-store",
];

/// A time during which something is done to the server that excuses answers of some kind.
#[derive(Default)]
pub(crate) struct Spell(AtomicU64);

impl Spell {
    /// It begins, or ends.
    pub(crate) fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.mark() % 2 == 1
    }

    pub(crate) fn mark(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether it was on at any time since that mark.
    pub(crate) fn touched(&self, since: u64) -> bool {
        since % 2 == 1 || self.mark() != since
    }
}

/// See the file.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) began: Instant,
    /// Where the server listens, and its process.
    at: Mutex<Option<(SocketAddr, SocketAddr, u32)>>,
    /// From before the server is ended until another one is there.
    pub(crate) ends: Spell,
    /// While its disk is full.
    pub(crate) full: Spell,
    /// While what it compiles is killed, until its policies were sent again.
    pub(crate) compilers_die: Spell,
    over: AtomicBool,
    round: AtomicU64,
    checked: Mutex<u64>,
    one_checked: Condvar,
    operations: Mutex<Counts>,
    outcomes: Mutex<Counts>,
    faults: Mutex<Counts>,
    violations: Mutex<(u64, Vec<String>)>,
}

/// What came of a request.
pub(crate) enum Answer {
    /// The body, with `"success": true`.
    Done(Value),
    /// With a code that the caller knows what to do with.
    Refused,
    /// Nobody knows whether it was carried out.
    Unknown,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            began: Instant::now(),
            at: Mutex::default(),
            ends: Spell::default(),
            full: Spell::default(),
            compilers_die: Spell::default(),
            over: AtomicBool::default(),
            round: AtomicU64::default(),
            checked: Mutex::default(),
            one_checked: Condvar::default(),
            operations: Mutex::default(),
            outcomes: Mutex::default(),
            faults: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// Requests go to this server from now on.
    pub(crate) fn moves_to(&self, server: &Server) {
        *lock(&self.at) = Some((server.main, server.admin, server.pid()));
    }

    /// The API, the admin listener, and the process.
    pub(crate) fn at(&self) -> Option<(SocketAddr, SocketAddr, u32)> {
        *lock(&self.at)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.one_checked.notify_all();
    }

    pub(crate) fn faults(&self) -> Counts {
        lock(&self.faults).clone()
    }

    /// Requests may be sent once more: the threads have ended, and their last checks are left.
    pub(crate) fn again(&self) {
        self.over.store(false, Ordering::SeqCst);
    }

    /// Something happened that must not.
    pub(crate) fn violation(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        eprintln!("violation at {at:.1} s: {what}");
        let (n, shown) = &mut *lock(&self.violations);
        *n += 1;
        if shown.len() < SHOWN {
            shown.push(format!("{at:.1} s: {what}"));
        }
    }

    pub(crate) fn violations(&self) -> (u64, Vec<String>) {
        lock(&self.violations).clone()
    }

    pub(crate) fn count_operation(&self, what: &str) {
        *lock(&self.operations).entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn count_outcome(&self, what: &str) {
        *lock(&self.outcomes).entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn count_fault(&self, what: &str) {
        *lock(&self.faults).entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn operations(&self) -> Counts {
        lock(&self.operations).clone()
    }

    pub(crate) fn outcomes(&self) -> Counts {
        lock(&self.outcomes).clone()
    }

    /// The round of checks that everybody is asked to have made.
    pub(crate) fn round(&self) -> u64 {
        self.round.load(Ordering::SeqCst)
    }

    /// Somebody has made the checks of this round.
    pub(crate) fn checked_in(&self) {
        *lock(&self.checked) += 1;
        self.one_checked.notify_all();
    }

    /// Has each of `n` threads compare what it knows to be acknowledged with what is there.
    pub(crate) fn check_all(&self, n: u64) {
        *lock(&self.checked) = 0;
        self.round.fetch_add(1, Ordering::SeqCst);
        let waiting = |checked: &mut u64| *checked < n && !self.is_over();
        let waited = self.one_checked.wait_timeout_while(lock(&self.checked), PATIENCE, waiting);
        let (checked, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            self.violation(&format!("only {checked} of {n} clients could check what they know within {PATIENCE:?}"));
        }
    }

    /// The API's address, as soon as there is a server.
    fn address(&self) -> Option<SocketAddr> {
        while self.ends.is_on() {
            if self.is_over() {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.at().map(|(main, _, _)| main)
    }
}

/// One thread's place in the world.
pub(crate) struct Desk<'a> {
    pub(crate) world: &'a World,
    pub(crate) connection: Connection,
    pub(crate) chance: Chance,
    /// Its number, for names that nobody else has.
    pub(crate) number: u64,
}

/// A media type and a body.
pub(crate) type Body<'a> = (&'a str, &'a [u8]);
/// What a request has that has no body.
pub(crate) const NOTHING: Body<'static> = ("application/json", b"");

impl<'a> Desk<'a> {
    pub(crate) fn new(world: &'a World, number: u64) -> Self {
        Self { world, connection: Connection::default(), chance: Chance::new(world.seed, number), number }
    }

    /// Sends a request; none if the server was ended meanwhile, and a violation if it was not.
    pub(crate) fn send(&mut self, what: &str, line: &str, (media_type, body): Body<'_>) -> Option<Reply> {
        let address = self.world.address()?;
        let mark = self.world.ends.mark();
        let accept = if what.contains("lines") { "application/x-ndjson" } else { "*/*" };
        let head = format!("{line} HTTP/1.1\r\nContent-Type: {media_type}\r\nAccept: {accept}");
        self.world.count_operation(what);
        match self.connection.send(address, &head, body) {
            Ok(reply) if reply.status == 503 && self.world.ends.touched(mark) => {
                self.world.count_outcome("shutting_down");
                None
            }
            Ok(reply) => Some(reply),
            Err(error) => {
                self.unanswered(what, line, mark, &error);
                None
            }
        }
    }

    fn unanswered(&self, what: &str, line: &str, mark: u64, error: &io::Error) {
        if self.world.ends.touched(mark) || self.world.is_over() {
            self.world.count_outcome("no answer, as the server ended");
        } else {
            self.world.violation(&format!("{what}: {line}: no answer: {error}"));
        }
    }

    /// Sends JSON and looks whether the answer is an envelope: a success, or a refusal with one of these codes.
    pub(crate) fn ask(&mut self, what: &str, line: &str, body: &Value, may: &[&str]) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_with(what, line, ("application/json", body.as_bytes()), may)
    }

    /// Like [`ask`](Self::ask), with any body.
    pub(crate) fn ask_with(&mut self, what: &str, line: &str, body: Body<'_>, may: &[&str]) -> Answer {
        let world = self.world;
        let (full, die) = (world.full.mark(), world.compilers_die.mark());
        let excused = || world.full.touched(full) || world.compilers_die.touched(die);
        let Some(reply) = self.send(what, line, body) else { return Answer::Unknown };
        match judged(&reply) {
            Ok(Ok(body)) => {
                self.world.count_outcome("ok");
                Answer::Done(body)
            }
            Ok(Err(code)) if may.contains(&code.as_str()) => {
                self.world.count_outcome(&code);
                Answer::Refused
            }
            // Nothing is decided that cannot be recorded.
            Ok(Err(code)) if ["internal", "not_available"].contains(&code.as_str()) && excused() => {
                self.world.count_outcome("not done, as the disk was full or compilers were killed");
                // A server that has not read all of a request closes the connection after its answer, unannounced.
                self.connection = Connection::default();
                Answer::Unknown
            }
            Ok(Err(_)) => {
                self.world.violation(&format!("{what}: {line}: {}", shown(&reply)));
                Answer::Unknown
            }
            Err(why) => {
                self.world.violation(&format!("{what}: {line}: {why}: {}", shown(&reply)));
                Answer::Unknown
            }
        }
    }
}

/// What an answer says: its body if it is a success, else its code. An error if it is no envelope.
fn judged(reply: &Reply) -> Result<Result<Value, String>, &'static str> {
    let body: Value = serde_json::from_slice(&reply.body).map_err(|_| "is no JSON")?;
    judge(reply.status, body)
}

/// Looks at one envelope.
pub(crate) fn judge(status: u16, body: Value) -> Result<Result<Value, String>, &'static str> {
    match body["success"].as_bool() {
        Some(true) if (200..300).contains(&status) => Ok(Ok(body)),
        Some(true) => Err("is a success with the status of a failure"),
        Some(false) if body["message"].as_str().is_none_or(str::is_empty) => Err("is a failure without a message"),
        Some(false) => match body["code"].as_str() {
            Some(code) if CODES.contains(&code) && (status == 500) == (code == "internal") => Ok(Err(code.to_owned())),
            _ => Err("is a failure without a known code, or with one that does not go with its status"),
        },
        None => Err("is no envelope"),
    }
}

fn shown(reply: &Reply) -> String {
    let body: String = String::from_utf8_lossy(&reply.body).chars().take(400).collect();
    format!("{} {body}", reply.status)
}
