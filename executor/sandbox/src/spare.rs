//! Instances of twins that are as new, and how one becomes that again after a call.
//!
//! Making an instance costs more than most calls. So an instance of a twin in which a call ended well is not thrown
//! away: all of it that the call can have changed is put back to what it was when it was new, and the next call gets
//! it. What that is, `twin` has made sure: the memory and a few globals. Of the memory, only pages that were ever
//! written are copied over, as the kernel knows them (`pages`). An instance that trapped, that was stopped, that has
//! grown, or of which anything is not known, is thrown away.
//!
//! Spares are kept by policy and by thread, the one used last first: its memory is still near that thread's processor.
//! Nothing is kept of a policy that is called once.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use wasmtime::{
    Global, Instance, InstancePre, Memory, Store, StoreContextMut, TypedFunc, UpdateDeadline, Val, WasmParams,
    WasmResults,
};

use crate::{
    engine::TICK,
    inspect::RULE,
    module::lock,
    pages::{self, Pages},
    state::MemoryMeter,
    twin::{CLEANS_UP, GLOBAL},
};

/// Pages that a spare may have to put back after each call. One that writes more is cheaper made anew.
const MAX_WRITTEN: usize = 48;
/// Spares that one thread keeps of one policy.
const DEPTH: usize = 2;
/// Shelves for each processor: the threads that call most are to have one each.
const SHELVES: usize = 4;

/// What the store of a twin's instance has: of the call that is tried in it.
pub(crate) struct Tried {
    pub(crate) memory: MemoryMeter,
    /// What this thread had used of its processor at the first tick during the call.
    at_first_tick: Option<Duration>,
    deadline: Instant,
}

/// What all spares of a sandbox share.
pub(crate) struct Spares {
    pages: Option<Pages>,
    /// How many there may be.
    most: usize,
    /// How many shelves each policy has.
    shelves: usize,
    kept: AtomicUsize,
    /// Where they are; the policy whose spares go next when there are too many is first.
    clock: Mutex<VecDeque<Weak<Shelves>>>,
}

/// A place among the spares that are kept.
struct Place(Arc<Spares>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The spares of one policy, a shelf for each thread.
type Shelves = [Mutex<Vec<Spare>>];

/// The twin of one policy as it is instantiated.
pub(crate) struct Stock {
    pre: InstancePre<Tried>,
    image: OnceLock<Image>,
    /// Whether an instance was made before. Nothing is kept of the first one.
    made: AtomicBool,
    shelves: Arc<Shelves>,
    spares: Arc<Spares>,
}

/// What of a new instance a call can change.
struct Image {
    bytes: usize,
    /// Each page; none for one of zeros.
    pages: Box<[Option<Box<[u8]>>]>,
    globals: Box<[Val]>,
}

/// What `eval` takes: whether there are parameters, and three strings.
type EvalParams = (u32, u32, u32, u32, u32, u32, u32);

/// The functions of a twin.
pub(crate) struct Functions {
    pub(crate) realloc: TypedFunc<(u32, u32, u32, u32), u32>,
    pub(crate) init: TypedFunc<(u32, u32, u32, u32, u32, u32), u32>,
    pub(crate) after_init: Option<TypedFunc<u32, ()>>,
    pub(crate) after_eval: Option<TypedFunc<u32, ()>>,
    pub(crate) after_management: Option<TypedFunc<u32, ()>>,
    pub(crate) eval: TypedFunc<EvalParams, u32>,
    pub(crate) management: TypedFunc<(u32, u32, u32, u32), u32>,
}

/// An instance of a twin that is as new.
pub(crate) struct Spare {
    pub(crate) store: Store<Tried>,
    pub(crate) memory: Memory,
    pub(crate) functions: Functions,
    globals: Box<[Global]>,
    /// Whether it may be kept: see [`Stock::made`].
    stays: bool,
    /// The pages that were ever written, once that is known.
    written: Option<Vec<u32>>,
    place: Option<Place>,
}

impl Spares {
    /// Room for `most` of them; for none where the kernel cannot tell which pages were written.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let shelves = SHELVES * std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self { pages: Pages::open(), most, shelves, kept: AtomicUsize::new(0), clock: Mutex::default() })
    }

    fn register(&self, shelves: &Arc<Shelves>) {
        let mut clock = lock(&self.clock);
        // Two looks for each new one: those that are gone are found before they are as many as those that are not.
        for _ in 0..2 {
            if let Some(next) = clock.pop_front().filter(|next| next.strong_count() != 0) {
                clock.push_back(next);
            }
        }
        clock.push_back(Arc::downgrade(shelves));
    }

    /// A place for one more, for which those of another policy may have to go.
    fn admit(self: &Arc<Self>) -> Option<Place> {
        let place = || Place(Arc::clone(self));
        if self.kept.fetch_add(1, Ordering::Relaxed) < self.most {
            return Some(place());
        }
        let (place, policies) = (place(), lock(&self.clock).len());
        (0..policies).any(|_| self.drop_next()).then_some(place)
    }

    /// Drops the spares of the policy whose turn it is; false if it has none.
    fn drop_next(&self) -> bool {
        let mut clock = lock(&self.clock);
        let Some(shelves) = clock.pop_front().and_then(|next| next.upgrade()) else { return false };
        clock.push_back(Arc::downgrade(&shelves));
        drop(clock);
        let spares: Vec<_> = shelves.iter().flat_map(|shelf| std::mem::take(&mut *lock(shelf))).collect();
        !spares.is_empty()
    }
}

impl Stock {
    pub(crate) fn new(pre: InstancePre<Tried>, spares: &Arc<Spares>) -> Self {
        let shelves: Arc<Shelves> = (0..spares.shelves).map(|_| Mutex::default()).collect();
        spares.register(&shelves);
        Self { pre, image: OnceLock::new(), made: AtomicBool::new(false), shelves, spares: Arc::clone(spares) }
    }

    /// An instance as new, for a call with this much memory that ends by `deadline`.
    pub(crate) fn take(&self, memory_bytes: usize, deadline: Instant) -> Option<Spare> {
        let kept = self.shelf().and_then(|shelf| lock(shelf).pop());
        let Some(mut spare) = kept else { return Spare::new(self, memory_bytes, deadline) };
        let tried = spare.store.data_mut();
        tried.memory.begin(memory_bytes);
        (tried.at_first_tick, tried.deadline) = (None, deadline);
        let fits = tried.memory.fits();
        spare.store.set_epoch_deadline(1);
        fits.then_some(spare)
    }

    /// Keeps an instance in which a call ended well, if it can be put back.
    pub(crate) fn put_back(&self, mut spare: Spare) {
        let Some(shelf) = self.shelf().filter(|_| spare.stays) else { return };
        if spare.restore(self).is_none() {
            return;
        }
        if spare.place.is_none() {
            spare.place = self.spares.admit();
        }
        let mut shelf = lock(shelf);
        if spare.place.is_some() && shelf.len() < DEPTH {
            shelf.push(spare);
        }
    }

    /// The shelf of this thread, where spares are kept at all.
    fn shelf(&self) -> Option<&Mutex<Vec<Spare>>> {
        self.spares.pages.as_ref()?;
        self.shelves.get(thread_number() % self.shelves.len().max(1))
    }
}

/// Ends an attempt that has computed for a tick or two. One whose thread had to wait meanwhile has not.
fn at_tick(mut store: StoreContextMut<'_, Tried>) -> wasmtime::Result<UpdateDeadline> {
    let tried = store.data_mut();
    let computes = pages::processor_time().is_none_or(|used| {
        let first = *tried.at_first_tick.get_or_insert(used);
        TICK <= used.saturating_sub(first)
    });
    match computes || tried.deadline <= Instant::now() {
        true => Ok(UpdateDeadline::Interrupt),
        false => Ok(UpdateDeadline::Continue(1)),
    }
}

/// Numbers threads in the order in which they come by.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

impl Spare {
    fn new(stock: &Stock, memory_bytes: usize, deadline: Instant) -> Option<Self> {
        let tried = Tried { memory: MemoryMeter::new(memory_bytes), at_first_tick: None, deadline };
        let mut store = Store::new(stock.pre.module().engine(), tried);
        store.limiter(|tried| &mut tried.memory);
        store.epoch_deadline_callback(at_tick);
        store.set_epoch_deadline(1);
        let instance = stock.pre.instantiate(&mut store).ok()?;
        let memory = instance.get_memory(&mut store, "memory")?;
        let functions = Functions::of(&instance, &mut store)?;
        let globals = globals(&instance, &mut store);
        // PERF: the first one goes: 0.2 ms of a policy's first decision, and 100 kB of each that is called once.
        let pages = stock.spares.pages.as_ref().filter(|_| stock.made.swap(true, Ordering::Relaxed));
        if let Some(pages) = pages {
            if !pages.keep_apart(memory.data_mut(&mut store)) {
                return None;
            }
            stock.image.get_or_init(|| Image::of(memory, &globals, &mut store, pages.size()));
        }
        Some(Self { store, memory, functions, globals, stays: pages.is_some(), written: None, place: None })
    }

    /// Makes it as new. None if it cannot be: it is then not to be used again.
    fn restore(&mut self, stock: &Stock) -> Option<()> {
        let (pages, image) = (stock.spares.pages.as_ref()?, stock.image.get()?);
        let memory = self.memory.data_mut(&mut self.store);
        if memory.len() != image.bytes {
            return None;
        }
        let faulted = pages::faulted();
        let written = match self.written.take() {
            Some(written) if !faulted => written,
            known => {
                let mut written = pages.written(memory, MAX_WRITTEN)?;
                written.extend(known.unwrap_or_default());
                written.sort_unstable();
                written.dedup();
                written
            }
        };
        let size = pages.size();
        for &page in &written {
            let page = usize::try_from(page).ok()?;
            let bytes = memory.get_mut(page.checked_mul(size)?..)?.get_mut(..size)?;
            match image.pages.get(page)? {
                Some(image) => bytes.copy_from_slice(image),
                None => bytes.fill(0),
            }
        }
        self.written = Some(written);
        for (global, value) in self.globals.iter().zip(&image.globals) {
            global.set(&mut self.store, *value).ok()?;
        }
        Some(())
    }
}

impl Image {
    fn of(memory: Memory, globals: &[Global], store: &mut Store<Tried>, page: usize) -> Self {
        let data = memory.data(&*store);
        let pages = data.chunks(page).map(|page| page.iter().any(|byte| *byte != 0).then(|| page.into())).collect();
        let bytes = data.len();
        Self { bytes, pages, globals: globals.iter().map(|global| global.get(&mut *store)).collect() }
    }
}

impl Functions {
    fn of(instance: &Instance, store: &mut Store<Tried>) -> Option<Self> {
        let rule = |name: &str| format!("{RULE}#{name}");
        Some(Self {
            realloc: function(instance, store, "cabi_realloc")?,
            init: function(instance, store, &rule("init"))?,
            after_init: after(instance, store, "init")?,
            eval: function(instance, store, &rule("eval"))?,
            after_eval: after(instance, store, "eval")?,
            management: function(instance, store, &rule("management"))?,
            after_management: after(instance, store, "management")?,
        })
    }
}

/// What cleans up after a function of `rule`, if anything does.
fn after(instance: &Instance, store: &mut Store<Tried>, name: &str) -> Option<Option<TypedFunc<u32, ()>>> {
    let name = format!("{CLEANS_UP}{RULE}#{name}");
    match instance.get_func(&mut *store, &name) {
        None => Some(None),
        Some(_) => function(instance, store, &name).map(Some),
    }
}

fn function<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Tried>,
    name: &str,
) -> Option<TypedFunc<P, R>> {
    instance.get_typed_func(store, name).ok()
}

fn globals(instance: &Instance, store: &mut Store<Tried>) -> Box<[Global]> {
    (0..).map_while(|n: usize| instance.get_global(&mut *store, &format!("{GLOBAL}{n}"))).collect()
}
