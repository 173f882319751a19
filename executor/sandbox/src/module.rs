//! A module: native code that is mapped, linked and type-checked. Everything about a policy's code that can be done
//! once is done here, so that a call only instantiates.

use std::{
    fs::File,
    io::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use lictor_model::{Digest, Limits, field::shorten};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wasmtime::{
    Engine,
    component::{
        Component, ComponentExportIndex, InstancePre, Type,
        types::{ComponentFunc, ComponentInstance, ComponentItem},
    },
};

use crate::{
    aot::{About, Artifact, Native},
    engine::Sandbox,
    imports,
    inspect::{RULE, Refusal, RefusalCode, STATE},
    source::{SOURCE, Source},
    spare::Stock,
    state::State,
};

/// Code that can run. Cheap to clone.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
    /// Of an interpreter: what it is to run.
    source: Option<Arc<Source>>,
}

struct Inner {
    component: Deferred,
    twin: Option<Twin>,
    digest: Digest,
    metered: bool,
    about: About,
    code_bytes: usize,
}

/// A component whose code is read, mapped and linked when it is first needed: where there is a twin, most never are.
struct Deferred {
    sandbox: Sandbox,
    metered: bool,
    /// Its code, until it is mapped.
    native: Mutex<Option<Native>>,
    linked: OnceLock<Linked<State>>,
}

/// A component that only has to be instantiated, and where its functions are.
pub(crate) struct Linked<T: 'static> {
    pub(crate) pre: InstancePre<T>,
    pub(crate) init: ComponentExportIndex,
    pub(crate) eval: ComponentExportIndex,
    pub(crate) management: ComponentExportIndex,
    /// Where it exports `state`.
    pub(crate) state: Option<StateExports>,
    /// Where it exports `source`: it is an interpreter.
    pub(crate) source: Option<SourceExports>,
}

/// The functions of `state`.
pub(crate) struct StateExports {
    pub(crate) save: ComponentExportIndex,
    pub(crate) restore: ComponentExportIndex,
}

/// The functions of `source`.
pub(crate) struct SourceExports {
    pub(crate) compile: ComponentExportIndex,
    pub(crate) load: ComponentExportIndex,
    pub(crate) freeze: ComponentExportIndex,
}

/// The component's twin (see `twin`), and how many calls to leave it out of.
pub(crate) struct Twin {
    pub(crate) stock: Stock,
    skip: AtomicU32,
    /// Calls in a row that it could not answer.
    failures: AtomicU32,
}

/// How many calls at most go straight to the component after one that its twin could not answer: one less than this
/// power of two.
const MAX_SKIPPED: u32 = 7;

impl Twin {
    fn new(stock: Stock) -> Self {
        Self { stock, skip: AtomicU32::new(0), failures: AtomicU32::new(0) }
    }

    /// Whether the next call is worth a try. A policy that calls the host does so in most of its calls.
    pub(crate) fn is_worth_a_try(&self) -> bool {
        match self.skip.load(Ordering::Relaxed) {
            0 => true,
            left => {
                self.skip.store(left - 1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Notes that the twin answered.
    pub(crate) fn answered(&self) {
        // Read before it is written: threads that call one policy are not to take the line from each other.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that the twin could not answer: once, which happens to any call whose thread is kept waiting, means little.
    pub(crate) fn failed(&self) {
        let before = self.failures.load(Ordering::Relaxed).min(MAX_SKIPPED);
        self.failures.store(before + 1, Ordering::Relaxed);
        self.skip.store((1 << before) - 1, Ordering::Relaxed);
    }
}

/// Why code could not be made ready.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// The component is not one that this executor runs.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Our own failure.
    #[error("{0}")]
    Internal(String),
}

impl OpenError {
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    #[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
    pub(crate) fn engine(error: wasmtime::Error) -> Self {
        Self::Internal(format!("the engine cannot be made: {}", error.root_cause()))
    }

    #[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
    pub(crate) fn compile(error: wasmtime::Error) -> Self {
        let why = shorten(&error.root_cause().to_string(), 300);
        Self::Refused(Refusal::new(RefusalCode::TooComplex, format!("the component cannot be compiled: {why}")))
    }

    #[expect(clippy::needless_pass_by_value, reason = "is given to `map_err`")]
    fn link(error: wasmtime::Error) -> Self {
        // The outer errors name the import, the inner ones say what is wrong with it.
        let why = shorten(&format!("{error:#}"), 300);
        Self::Refused(Refusal::new(RefusalCode::UnknownImport, format!("the component cannot be linked: {why}")))
    }
}

impl Sandbox {
    /// Maps an artifact and links it.
    ///
    /// `metered` says for which of the two engines it was compiled.
    pub fn open(&self, artifact: &Artifact, metered: bool) -> Result<Module, OpenError> {
        let linked = self.linked(metered)?;
        if artifact.engine() != &linked.hash {
            return Err(OpenError::internal("the artifact was made for another engine"));
        }
        let (twin, about, native) = artifact.parts();
        let code_bytes = native.len().saturating_add(twin.len());
        let twin = match &**twin {
            [] => None,
            code => Some(self.link_twin(linked.linker.engine(), code)?),
        };
        let deferred = Deferred { sandbox: self.clone(), metered, native: Mutex::default(), linked: OnceLock::new() };
        if twin.is_some() && !artifact.was_opened() {
            // Whether it can be is to be known now.
            deferred.link(&native)?;
        }
        *lock(&deferred.native) = Some(native);
        if twin.is_none() {
            deferred.get()?;
        }
        let digest = artifact.component();
        let inner = Inner { component: deferred, twin, digest, metered, about, code_bytes };
        Ok(Module { inner: Arc::new(inner), source: None })
    }

    fn link_twin(&self, engine: &Engine, code: &[u8]) -> Result<Twin, OpenError> {
        let module = map(engine, &sealed(code)?, wasmtime::Module::deserialize_file)?;
        let pre = wasmtime::Linker::new(engine).instantiate_pre(&module).map_err(OpenError::link)?;
        Ok(Twin::new(Stock::new(pre, self.spares())))
    }
}

impl Deferred {
    fn get(&self) -> Result<&Linked<State>, OpenError> {
        if let Some(linked) = self.linked.get() {
            return Ok(linked);
        }
        // Of those that come at the same time one does it.
        let mut native = lock(&self.native);
        if let Some(code) = native.as_ref() {
            let linked = self.link(code)?;
            *native = None;
            return Ok(self.linked.get_or_init(|| linked));
        }
        self.linked.get().ok_or_else(|| OpenError::internal("a component has neither code nor links"))
    }

    /// Maps and links it.
    fn link(&self, native: &Native) -> Result<Linked<State>, OpenError> {
        let lost = |error| OpenError::internal(format!("the component's compiled code is lost: {error}"));
        let linker = &self.sandbox.linked(self.metered)?.linker;
        let engine = linker.engine();
        let component = map(engine, &sealed(&native.read().map_err(lost)?)?, Component::deserialize_file)?;
        let mut linker = linker.clone();
        imports::complete(&mut linker, engine, &component).map_err(OpenError::link)?;
        Linked::new(linker.instantiate_pre(&component).map_err(OpenError::link)?)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: 'static> Linked<T> {
    /// Finds the functions of `rule`, `state` and `source`, and checks their types.
    fn new(pre: InstancePre<T>) -> Result<Self, OpenError> {
        let component = pre.component().clone();
        let rule = Exports::of(&component, RULE)?;
        let init = rule.function("init", &[Kind::Text, Kind::Text, Kind::Text], Kind::Nothing)?;
        let eval = rule.function("eval", &[Kind::Maybe, Kind::Text, Kind::Text], Kind::Text)?;
        let management = rule.function("management", &[Kind::Text, Kind::Text], Kind::Text)?;
        let state = match component.get_export_index(None, STATE) {
            None => None,
            Some(_) => {
                let state = Exports::of(&component, STATE)?;
                let save = state.function("save", &[], Kind::Bytes)?;
                let restore = state.function("restore", &[Kind::Text, Kind::Bytes], Kind::Nothing)?;
                Some(StateExports { save, restore })
            }
        };
        let source = match component.get_export_index(None, SOURCE) {
            None => None,
            Some(_) => {
                let source = Exports::of(&component, SOURCE)?;
                let compile = source.function("compile", &[Kind::Bytes], Kind::Bytes)?;
                let load = source.function("load", &[Kind::Bytes], Kind::Nothing)?;
                let freeze = source.function("freeze", &[Kind::Bytes], Kind::Nothing)?;
                Some(SourceExports { compile, load, freeze })
            }
        };
        Ok(Self { pre, init, eval, management, state, source })
    }
}

/// Maps native code from a sealed memory file, which nothing can change any more.
fn map<T>(
    engine: &Engine,
    sealed: &File,
    deserialize: unsafe fn(&Engine, String) -> wasmtime::Result<T>,
) -> Result<T, OpenError> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(sealed));
    #[expect(
        unsafe_code,
        reason = "the code was compiled by us: its MAC was checked, or it comes from our own compiler"
    )]
    // SAFETY: an `Artifact` is made only by `Compiler`, by our own child process, or by `Artifact::unseal` after its
    // MAC under our key was checked; the memory file is sealed, so it is those bytes that are mapped.
    let mapped = unsafe { deserialize(engine, path) };
    mapped.map_err(|error| not_mapped(&error))
}

/// What the pool has no room for is the component's fault; anything else is ours.
fn not_mapped(error: &wasmtime::Error) -> OpenError {
    let why = error.root_cause().to_string();
    if why.contains("exceeds the") {
        return Refusal::new(RefusalCode::TooComplex, shorten(&why, 300)).into();
    }
    OpenError::internal(format!("compiled code does not load: {why}"))
}

/// Puts native code into a memory file that nothing can change any more.
fn sealed(code: &[u8]) -> Result<File, OpenError> {
    let copy = || -> std::io::Result<File> {
        let mut file = File::from(memfd_create("lictor-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(code)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(file)
    };
    copy().map_err(|error| OpenError::internal(format!("cannot map compiled code: {error}")))
}

impl Module {
    /// The component, which is mapped and linked now if it was not yet.
    pub(crate) fn linked(&self) -> Result<&Linked<State>, OpenError> {
        self.inner.component.get()
    }

    pub(crate) fn twin(&self) -> Option<&Twin> {
        self.inner.twin.as_ref()
    }

    /// The sha256 of the component it was compiled from, or of the files that it interprets: the identity of what runs.
    pub fn digest(&self) -> Digest {
        self.source.as_ref().map_or(self.inner.digest, |source| source.digest())
    }

    /// The same code with this to run.
    pub fn interpreting(&self, source: Arc<Source>) -> Result<Self, OpenError> {
        match self.linked()?.source {
            Some(_) => Ok(Self { inner: Arc::clone(&self.inner), source: Some(source) }),
            None => Err(refused(format!("the interpreter does not export the interface `{SOURCE}`"))),
        }
    }

    /// What it interprets, if it is an interpreter's.
    pub fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// The sha256 of the interpreter's component, if there is one.
    pub fn interpreter(&self) -> Option<Digest> {
        self.source.as_ref().map(|_| self.inner.digest)
    }

    /// What a new instance is made of.
    pub(crate) fn for_new_instance(&self, limits: &Limits) -> Self {
        let frozen = self.source.as_ref().and_then(|source| source.begin(limits));
        frozen.unwrap_or_else(|| self.clone())
    }

    /// The linear memory that an instance starts with, in bytes.
    pub fn initial_memory_bytes(&self) -> u64 {
        self.inner.about.initial_memory_bytes
    }

    /// Whether an instance can start under `limits`: it is known before any call that it never could.
    pub fn fits(&self, limits: &Limits) -> Result<(), Refusal> {
        let (memory, most) = (self.initial_memory_bytes(), limits.memory_bytes());
        if memory <= most as u64 {
            return Ok(());
        }
        let why = format!(
            "the component starts with {memory} bytes of memory, more than the {most} of its limit `memory_mb`"
        );
        Err(Refusal::new(RefusalCode::TooComplex, why))
    }

    /// The size of its native code, in bytes; of what is interpreted, which has none of its own, its compiled source's.
    pub fn code_bytes(&self) -> usize {
        self.source.as_ref().map_or(self.inner.code_bytes, |source| source.compiled().len())
    }

    /// Whether it counts fuel.
    pub fn is_metered(&self) -> bool {
        self.inner.metered
    }

    /// Whether stateless calls are tried in its twin first.
    pub fn has_twin(&self) -> bool {
        self.inner.twin.is_some()
    }

    /// Whether its instances can hand over their state.
    pub fn is_stateful(&self) -> bool {
        self.inner.about.stateful
    }

    /// Whether it imports the context, so that a call needs its bucket.
    pub fn uses_context(&self) -> bool {
        self.inner.about.uses_context
    }
}

/// One interface that a component exports.
struct Exports<'a> {
    component: &'a Component,
    interface: &'static str,
    instance: ComponentInstance,
    idx: ComponentExportIndex,
}

impl<'a> Exports<'a> {
    fn of(component: &'a Component, interface: &'static str) -> Result<Self, OpenError> {
        match component.get_export(None, interface) {
            Some((ComponentItem::ComponentInstance(instance), idx)) => Ok(Self { component, interface, instance, idx }),
            _ => Err(refused(format!("the component does not export the interface `{interface}`"))),
        }
    }

    /// Where the function `name` is, which must take these parameters and give `result<ok, failure>`.
    fn function(&self, name: &str, params: &[Kind], ok: Kind) -> Result<ComponentExportIndex, OpenError> {
        let Self { component, interface, instance, idx } = self;
        let missing = || refused(format!("`{interface}` does not export the function `{name}`"));
        let item = instance.get_export(component.engine(), name).map(|item| item.ty);
        let Some(ComponentItem::ComponentFunc(function)) = item else { return Err(missing()) };
        if !has_signature(&function, params, ok) {
            let params: Vec<_> = params.iter().map(|param| param.wit()).collect();
            let expected = format!("func({}) -> result<{}, failure>", params.join(", "), ok.wit());
            return Err(refused(format!("`{interface}` exports `{name}` with another type: expected `{expected}`")));
        }
        component.get_export_index(Some(idx), name).ok_or_else(missing)
    }
}

fn refused(why: String) -> OpenError {
    Refusal::new(RefusalCode::MissingExport, why).into()
}

/// The shapes in the signatures of `rule` and `state`.
#[derive(Clone, Copy)]
enum Kind {
    Nothing,
    Text,
    Maybe,
    Bytes,
}

impl Kind {
    fn matches(self, ty: Option<&Type>) -> bool {
        match (self, ty) {
            (Self::Nothing, None) | (Self::Text, Some(Type::String)) => true,
            (Self::Maybe, Some(Type::Option(inner))) => matches!(inner.ty(), Type::String),
            (Self::Bytes, Some(Type::List(inner))) => matches!(inner.ty(), Type::U8),
            _ => false,
        }
    }

    fn wit(self) -> &'static str {
        match self {
            Self::Nothing => "_",
            Self::Text => "string",
            Self::Maybe => "option<string>",
            Self::Bytes => "list<u8>",
        }
    }
}

fn has_signature(function: &ComponentFunc, params: &[Kind], ok: Kind) -> bool {
    let mut results = function.results();
    let same_params = function.params().len() == params.len()
        && function.params().zip(params).all(|((_, ty), param)| param.matches(Some(&ty)));
    let fails = match (results.next(), results.next()) {
        (Some(Type::Result(result)), None) => {
            ok.matches(result.ok().as_ref()) && result.err().is_some_and(|ty| is_failure(&ty))
        }
        _ => false,
    };
    same_params && fails && !function.async_()
}

fn is_failure(ty: &Type) -> bool {
    let Type::Record(record) = ty else { return false };
    let fields: Vec<_> = record.fields().collect();
    let expected = [("code", Kind::Text), ("message", Kind::Text), ("details", Kind::Maybe)];
    fields.len() == expected.len()
        && fields.iter().zip(expected).all(|(field, (name, kind))| field.name == name && kind.matches(Some(&field.ty)))
}
