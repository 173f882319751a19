//! The replicas of one function, and who has them.
//!
//! A call takes a free replica, or stands in line for the next one. What the server itself wants of a replica, such as a
//! management command, asks for that one and comes before the calls in line. Whoever has a replica holds a [`Lease`];
//! dropping it gives the replica back, so a caller that goes away never takes one along. A replica that did not survive
//! is down until somebody puts another one in its place.
//!
//! PERF: a call that finds a free replica takes one lock, for the time of a look at a map, and waits for nothing.

mod lease;
mod load;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

use crate::stripes::thread_number;

pub(super) use self::lease::Lease;
use self::{
    lease::{For, Place},
    load::Load,
};

/// Free replicas of which a call takes one that it is near to.
const LOOKED_AT: usize = 16;

/// Calls that stand in line for one function.
pub(super) const MAX_WAITING: usize = 1000;

/// What a pool has replicas of.
pub(super) trait Resident: Send + 'static {
    /// Whether it can take another call.
    fn is_alive(&self) -> bool;
}

/// The replicas by their numbers.
pub(super) struct Pool<R: Resident> {
    inner: Mutex<Inner<R>>,
    down: Notify,
}

struct Inner<R: Resident> {
    /// Places that were made.
    made: u64,
    slots: BTreeMap<u32, Slot<R>>,
    line: VecDeque<oneshot::Sender<Lease<R>>>,
    load: Load,
    /// Why replicas that are down stay down.
    failure: Option<String>,
    closed: bool,
}

/// The place of one replica.
struct Slot<R: Resident> {
    state: State<R>,
    /// Those who want this one and no other.
    takers: VecDeque<oneshot::Sender<Lease<R>>>,
    calls: u64,
    restarts: u64,
    /// Whether there ever was one.
    was_up: bool,
    /// Whether it was called since it was last asked for its state.
    called: bool,
    /// Another one with every place that is made.
    made: u64,
    /// The number of the thread that took it last for a call.
    thread: usize,
}

enum State<R> {
    Free(R),
    Taken,
    Down,
}

/// What a call comes to that wants a replica.
pub(super) enum Taken<R: Resident> {
    /// It has one.
    Now(Lease<R>),
    /// It stands in line.
    InLine(InLine<R>),
}

/// Why a call gets no replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoReplica {
    /// The function is no longer there.
    Closed,
    /// The line is full.
    Full,
    /// All replicas are down, and will be for a while.
    Failed(String),
}

/// How one replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its number.
    pub(super) replica: u32,
    /// `ready`, `busy` or `starting`.
    pub(super) state: &'static str,
    /// Calls that it was given.
    pub(super) calls: u64,
    /// How often another one took its place after it did not survive.
    pub(super) restarts: u64,
}

impl<R: Resident> Pool<R> {
    pub(super) fn new() -> Arc<Self> {
        let inner = Inner {
            made: 0,
            slots: BTreeMap::new(),
            line: VecDeque::new(),
            load: Load::new(),
            failure: None,
            closed: false,
        };
        Arc::new(Self { inner: Mutex::new(inner), down: Notify::new() })
    }

    /// Held for the time of a map operation only, and never across a wait.
    fn lock(&self) -> MutexGuard<'_, Inner<R>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free replica, or a place in the line.
    pub(super) fn take_any(self: &Arc<Self>) -> Result<Taken<R>, NoReplica> {
        let mut inner = self.lock();
        inner.admit()?;
        // Nobody stands in line while a replica is free.
        if let Some((place, replica)) = inner.take_free(thread_number()) {
            inner.load.begin();
            return Ok(Taken::Now(Lease::new(self, place, replica, For::Call)));
        }
        inner.line.retain(|waiting| !waiting.is_closed());
        if MAX_WAITING <= inner.line.len() {
            return Err(NoReplica::Full);
        }
        let (sender, receiver) = oneshot::channel();
        inner.line.push_back(sender);
        inner.load.join();
        drop(inner);
        Ok(Taken::InLine(InLine { pool: Arc::clone(self), receiver }))
    }

    /// This replica, before the calls in line; none if it is down or there is none.
    pub(super) async fn take(self: &Arc<Self>, number: u32) -> Option<Lease<R>> {
        let receiver = {
            let mut inner = self.lock();
            let slot = inner.slots.get_mut(&number)?;
            let place = Place { number, made: slot.made };
            match std::mem::replace(&mut slot.state, State::Taken) {
                State::Free(replica) => return Some(Lease::new(self, place, replica, For::Us)),
                State::Down => {
                    slot.state = State::Down;
                    return None;
                }
                State::Taken => {
                    let (sender, receiver) = oneshot::channel();
                    slot.takers.push_back(sender);
                    receiver
                }
            }
        };
        receiver.await.ok()
    }

    /// Puts a replica in its place, which is made or was down.
    pub(super) fn put(self: &Arc<Self>, number: u32, replica: R) {
        let mut inner = self.lock();
        if inner.closed {
            return;
        }
        let slot = inner.place(number);
        slot.restarts += u64::from(slot.was_up);
        slot.was_up = true;
        let unwanted = inner.offer(self, number, replica);
        drop(inner);
        drop(unwanted);
    }

    /// Makes the place of a replica that is to be brought up.
    pub(super) fn announce(&self, number: u32) {
        self.lock().place(number);
        self.down.notify_one();
    }

    /// Takes a replica out. Whoever has it now keeps it to the end of its call.
    pub(super) fn retire(&self, number: u32) {
        let gone = self.lock().slots.remove(&number);
        drop(gone);
    }

    /// Gives no replica to anybody from now on. Calls that have one keep it to their end.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let gone = (std::mem::take(&mut inner.slots), std::mem::take(&mut inner.line));
        drop(inner);
        drop(gone);
    }

    /// Says why replicas stay down, or that they do not any more. With none left that works, nobody is left in line.
    pub(super) fn set_failure(&self, failure: Option<String>) {
        let mut inner = self.lock();
        inner.failure = failure;
        let gone = if inner.admit().is_err() { std::mem::take(&mut inner.line) } else { VecDeque::new() };
        drop(inner);
        drop(gone);
    }

    /// Why replicas that are down stay down, if they do.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// Why a call that stood in line was sent away.
    pub(super) fn refusal(&self) -> NoReplica {
        self.lock().admit().err().unwrap_or(NoReplica::Full)
    }

    /// Waits until a replica goes down.
    pub(super) async fn goes_down(&self) {
        self.down.notified().await;
    }

    /// The numbers of all replicas.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.numbers_of(|_| true)
    }

    /// Those that are down.
    pub(super) fn down(&self) -> Vec<u32> {
        self.numbers_of(|slot| matches!(slot.state, State::Down))
    }

    /// Those that were called since this was last asked of each.
    pub(super) fn called(&self) -> Vec<u32> {
        self.numbers_of(|slot| slot.called && !matches!(slot.state, State::Down))
    }

    fn numbers_of(&self, which: impl Fn(&Slot<R>) -> bool) -> Vec<u32> {
        let inner = self.lock();
        inner.slots.iter().filter(|(_, slot)| which(slot)).map(|(number, _)| *number).collect()
    }

    /// Notes that a replica has something to save, or that it was asked for it.
    pub(super) fn set_called(&self, number: u32, called: bool) {
        if let Some(slot) = self.lock().slots.get_mut(&number) {
            slot.called = called;
        }
    }

    /// How each stands.
    pub(super) fn standing(&self) -> Vec<Standing> {
        let inner = self.lock();
        let standing = |(number, slot): (&u32, &Slot<R>)| Standing {
            replica: *number,
            state: slot.state(),
            calls: slot.calls,
            restarts: slot.restarts,
        };
        inner.slots.iter().map(standing).collect()
    }

    /// How many are alive.
    pub(super) fn alive(&self) -> usize {
        self.lock().slots.values().filter(|slot| slot.is_up()).count()
    }

    /// The time that calls spent with a replica or in line, all together since the beginning, in microseconds.
    pub(super) fn busy_us(&self) -> u64 {
        self.lock().load.busy_us()
    }

    fn give_back(self: &Arc<Self>, place: Place, replica: Option<R>, whose: For) {
        let replica = replica.filter(Resident::is_alive);
        let mut inner = self.lock();
        if whose == For::Call {
            inner.load.end();
        }
        let gone = inner.give_back(self, place, replica, whose);
        drop(inner);
        // What a replica holds is given back without the lock.
        drop(gone);
    }

    fn left_line(&self) {
        self.lock().load.leave();
    }
}

impl<R: Resident> Inner<R> {
    /// The place of this number, made if there is none.
    fn place(&mut self, number: u32) -> &mut Slot<R> {
        let made = &mut self.made;
        self.slots.entry(number).or_insert_with(|| {
            *made = made.wrapping_add(1);
            Slot::new(*made)
        })
    }

    /// A free replica, if there is one: among a few the first that this thread had last, since what that remembers is
    /// still near its processor.
    fn take_free(&mut self, thread: usize) -> Option<(Place, R)> {
        let free = || self.slots.iter().filter(|(_, slot)| matches!(slot.state, State::Free(_))).take(LOOKED_AT);
        let (&number, _) = free().find(|(_, slot)| slot.thread == thread).or_else(|| free().next())?;
        let slot = self.slots.get_mut(&number)?;
        slot.thread = thread;
        let place = Place { number, made: slot.made };
        slot.take_for_call().map(|replica| (place, replica))
    }

    /// Whether a call may hope for a replica.
    fn admit(&self) -> Result<(), NoReplica> {
        if self.closed {
            return Err(NoReplica::Closed);
        }
        match &self.failure {
            Some(why) if !self.slots.values().any(Slot::is_up) => Err(NoReplica::Failed(why.clone())),
            _ => Ok(()),
        }
    }

    /// Returns what is to be dropped without the lock.
    fn give_back(&mut self, pool: &Arc<Pool<R>>, place: Place, replica: Option<R>, whose: For) -> Option<R> {
        // Its place may be gone, or be that of another one.
        let slot = self.slots.get_mut(&place.number).filter(|slot| slot.made == place.made);
        let Some(slot) = slot else { return replica };
        slot.called |= whose == For::Call;
        match replica {
            Some(replica) => self.offer(pool, place.number, replica),
            None => {
                slot.state = State::Down;
                slot.takers.clear();
                if self.admit().is_err() {
                    self.line.clear();
                }
                pool.down.notify_one();
                None
            }
        }
    }

    /// Gives a replica to whoever wants it, or lays it down. Returns it if its place is gone.
    fn offer(&mut self, pool: &Arc<Pool<R>>, number: u32, mut replica: R) -> Option<R> {
        let Some(slot) = self.slots.get_mut(&number) else { return Some(replica) };
        let place = Place { number, made: slot.made };
        slot.state = State::Taken;
        while let Some(taker) = slot.takers.pop_front() {
            match taker.send(Lease::new(pool, place, replica, For::Us)) {
                Ok(()) => return None,
                Err(lease) => replica = lease.defuse()?,
            }
        }
        while let Some(call) = self.line.pop_front() {
            match call.send(Lease::new(pool, place, replica, For::Call)) {
                Ok(()) => {
                    slot.calls += 1;
                    self.load.begin();
                    return None;
                }
                Err(lease) => replica = lease.defuse()?,
            }
        }
        slot.state = State::Free(replica);
        None
    }
}

impl<R: Resident> Slot<R> {
    fn new(made: u64) -> Self {
        let takers = VecDeque::new();
        Self {
            state: State::Down,
            takers,
            calls: 0,
            restarts: 0,
            was_up: false,
            called: false,
            made,
            thread: usize::MAX,
        }
    }

    fn take_for_call(&mut self) -> Option<R> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Free(replica) => {
                self.calls += 1;
                Some(replica)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    fn is_up(&self) -> bool {
        !matches!(self.state, State::Down)
    }

    fn state(&self) -> &'static str {
        match &self.state {
            State::Free(_) => "ready",
            State::Taken => "busy",
            State::Down => "starting",
        }
    }
}

/// A place in the line; dropping it leaves the line.
pub(super) struct InLine<R: Resident> {
    pool: Arc<Pool<R>>,
    receiver: oneshot::Receiver<Lease<R>>,
}

impl<R: Resident> InLine<R> {
    /// Waits for a replica.
    pub(super) async fn wait(&mut self) -> Result<Lease<R>, NoReplica> {
        let waited = (&mut self.receiver).await;
        waited.map_err(|_| self.pool.refusal())
    }
}

impl<R: Resident> Drop for InLine<R> {
    fn drop(&mut self) {
        self.pool.left_line();
    }
}

#[cfg(test)]
mod tests;
