//! Policies that an interpreter runs: its component, and what it loads.
//!
//! Such a policy is the module of the interpreter with a [`Source`] of its own, so that all share one copy of the
//! interpreter's machine code. Each instance loads the source before `init`. For a policy that is called often, a
//! component can be made whose instances begin where loading ended (`run::freeze`); it then takes the interpreter's
//! place for new instances.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU32, Ordering},
};

use lictor_model::{Digest, Limits};

use crate::module::Module;

/// The exported interface of a component that is an interpreter.
pub(crate) const SOURCE: &str = "lictor:policy/source@1.0.0";

/// Is told once of a policy that is called often.
type Hook = Box<dyn Fn() + Send + Sync>;

/// What an interpreter is to run.
pub struct Source {
    digest: Digest,
    compiled: Vec<u8>,
    frozen: RwLock<Option<Module>>,
    /// Instances that had to load it.
    loads: AtomicU32,
    hook: OnceLock<(u32, Hook)>,
}

impl Source {
    /// What the interpreter made of the author's files, whose sha256 is `digest`.
    pub fn new(digest: Digest, compiled: Vec<u8>) -> Arc<Self> {
        let (frozen, loads, hook) = (RwLock::default(), AtomicU32::new(0), OnceLock::new());
        Arc::new(Self { digest, compiled, frozen, loads, hook })
    }

    /// The identity of what runs.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What `load` gets.
    pub fn compiled(&self) -> &[u8] {
        &self.compiled
    }

    /// Sets what new instances begin as, or nothing: then they load.
    pub fn set_frozen(&self, frozen: Option<Module>) {
        *self.frozen.write().unwrap_or_else(PoisonError::into_inner) = frozen;
    }

    /// Calls `hook` when the source was loaded `times` times; the first hook that is set counts.
    pub fn when_loaded(&self, times: u32, hook: impl Fn() + Send + Sync + 'static) {
        drop(self.hook.set((times, Box::new(hook))));
    }

    /// What a new instance is made of, unless it is to load the source: that has begun if there is none.
    pub(crate) fn begin(&self, limits: &Limits) -> Option<Module> {
        let frozen = self.frozen.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(frozen) = frozen.filter(|frozen| frozen.fits(limits).is_ok()) {
            return Some(frozen);
        }
        let loads = self.loads.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some((_, hook)) = self.hook.get().filter(|(times, _)| *times == loads) {
            hook();
        }
        None
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({}, {} bytes)", self.digest, self.compiled.len())
    }
}
