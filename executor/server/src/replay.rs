//! Makes recorded decisions again: with what was recorded of the world outside, and nothing of the world itself.
//!
//! A decision of an instance of its own is made again on its own. One of an instance that was kept is made again by
//! bringing that instance to life and giving it everything that it was given before, in order.

mod verdict;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use lictor_loader::{CompileIn, DiskCache, FetchRules, LoadError, Loader, Package};
use lictor_model::{Capabilities, Digest, Limits, LimitsSpec, Schemas, address::AllowPrivate, limits::Ceiling};
use lictor_sandbox::{
    Call, CallFacts, Instance, LogLine, Matching, Module, Op, Policy, Recorder, RunError, Sandbox, SandboxConfig,
    TapeMode, Transcript, checked, context::Bucket, run,
};

pub use self::verdict::Verdict;
use crate::{
    config::python_host,
    decisions::{
        line::{Decided, Made},
        read::Found,
    },
};

/// How long a replay may take: a machine that is slower than the one that decided must not make a difference.
const PATIENCE_MS: u64 = 60_000;
/// What was within a server's ceiling once may be so again.
const UNBOUNDED: Ceiling = Ceiling {
    timeout_ms: u64::MAX,
    memory_mb: u64::MAX,
    output_kb: u64::MAX,
    log_kb: u64::MAX,
    http_requests: u64::MAX,
    context_kb: u64::MAX,
};
/// Calls of one instance that wait for those before them.
const MAX_EARLY: usize = 1000;
/// Instances that are kept between two of their calls.
pub const INSTANCES: u32 = 1000;

/// What decisions are made again with.
pub struct Stage {
    sandbox: Sandbox,
    loader: Loader,
    kept: Option<DiskCache>,
    /// Components that were given, by their digests.
    given: HashMap<Digest, Vec<u8>>,
    /// What decides in the place of what decided.
    candidate: Option<Vec<u8>>,
}

/// What one thread makes decisions again with.
pub struct Player<'s> {
    stage: &'s Stage,
    modules: HashMap<(Digest, Option<Digest>, bool), Result<Module, String>>,
    versions: HashMap<usize, (Arc<Made>, Arc<Setting>)>,
    /// Instances that are alive, by their names, and how many calls they were given.
    alive: HashMap<String, (Instance, u64)>,
    /// Calls of instances that come before those that they follow on, by their places.
    early: HashMap<String, BTreeMap<u64, Found>>,
}

/// What a version of a policy is run as.
struct Setting {
    policy: Arc<Policy>,
    limits: Limits,
    /// As it was.
    timeout_ms: u64,
    schemas: Arc<Schemas>,
}

impl Stage {
    /// A stage that finds components in the server's cache, or among those given; `candidate` decides in their place.
    pub fn new(cache: Option<DiskCache>, given: Vec<Vec<u8>>, candidate: Option<Vec<u8>>) -> Result<Self, LoadError> {
        let config = SandboxConfig {
            max_instances: INSTANCES,
            allow_private: AllowPrivate::default(),
            ..SandboxConfig::default()
        };
        let sandbox = Sandbox::new(config)
            .map_err(|error| LoadError::new(lictor_loader::LoadCode::Internal, error.to_string()))?;
        let loader = Loader::new(sandbox.clone(), FetchRules::default(), None, CompileIn::Process)?;
        let loader = loader.with_python(python_host());
        let given = given.into_iter().map(|component| (Digest::of(&component), component)).collect();
        Ok(Self { sandbox, loader, kept: cache, given, candidate })
    }

    fn component(&self, digest: &Digest) -> Result<Vec<u8>, String> {
        if let Some(candidate) = &self.candidate {
            return Ok(candidate.clone());
        }
        self.component_as_it_was(digest).ok_or_else(|| gone(digest))
    }

    fn component_as_it_was(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.given.get(digest).cloned().or_else(|| self.kept.as_ref()?.component(digest))
    }

    fn matching(&self) -> Matching {
        if self.candidate.is_some() { Matching::Loose } else { Matching::Exact }
    }
}

fn gone(digest: &Digest) -> String {
    format!("the component {digest} is not here any more: give it with --component")
}

impl<'s> Player<'s> {
    /// A player on that stage.
    pub fn new(stage: &'s Stage) -> Self {
        Self { stage, modules: HashMap::new(), versions: HashMap::new(), alive: HashMap::new(), early: HashMap::new() }
    }

    /// Makes a decision again, and compares; and those that waited for it. One of an instance that was called before may
    /// have to wait: threads write their lines one after the other.
    pub async fn again(&mut self, found: Found) -> Vec<(Found, Verdict)> {
        let mut done = Vec::new();
        let mut next = self.in_turn(found);
        while let Some(found) = next {
            let verdict = self.one(&found).await;
            next = self.follower(&found);
            done.push((found, verdict));
        }
        done
    }

    /// What waits in vain, at the end of the log.
    pub async fn end(&mut self) -> Vec<(Found, Verdict)> {
        let mut done = Vec::new();
        for found in std::mem::take(&mut self.early).into_values().flat_map(BTreeMap::into_values) {
            let verdict = self.one(&found).await;
            done.push((found, verdict));
        }
        done
    }

    /// The same, if it is its turn; else it is kept.
    fn in_turn(&mut self, found: Found) -> Option<Found> {
        let Some(name) = &found.decided.instance else { return Some(found) };
        let sequence = found.decided.sequence.unwrap_or(0);
        let next = self.alive.get(name).map_or(0, |(_, next)| *next);
        let waiting = self.early.get(name).map_or(0, BTreeMap::len);
        if sequence <= next || MAX_EARLY <= waiting {
            return Some(found);
        }
        self.early.entry(name.clone()).or_default().insert(sequence, found);
        None
    }

    /// The call that waited for this one.
    fn follower(&mut self, found: &Found) -> Option<Found> {
        let name = found.decided.instance.as_ref()?;
        let next = found.decided.sequence.unwrap_or(0).saturating_add(1);
        let waiting = self.early.get_mut(name)?;
        let follower = waiting.remove(&next);
        if waiting.is_empty() {
            self.early.remove(name);
        }
        follower
    }

    async fn one(&mut self, found: &Found) -> Verdict {
        match self.try_again(found).await {
            Ok(verdict) => verdict,
            Err(why) => Verdict::Impossible(why),
        }
    }

    async fn try_again(&mut self, found: &Found) -> Result<Verdict, String> {
        let Found { decided, made, .. } = found;
        if let Some(verdict) = Verdict::without_replay(decided) {
            return Ok(verdict);
        }
        let setting = self.setting(made).await?;
        let mut instance = self.instance(decided, &setting)?;
        // What cannot be given to an instance leaves it another one than it was.
        possible(decided)?;
        let transcript = Arc::new(Transcript { events: decided.calls.clone(), cut: false });
        let ran = self.call(&mut instance, decided, &setting, transcript).await.map_err(|error| error.to_string())?;
        if let Some(name) = decided.instance.as_ref().filter(|_| instance.is_live()) {
            let next = decided.sequence.unwrap_or(0).saturating_add(1);
            self.alive.insert(name.clone(), (instance, next));
        }
        Ok(Verdict::of(decided, &ran, self.stage.matching()))
    }

    async fn call(
        &self,
        instance: &mut Instance,
        decided: &Decided,
        setting: &Setting,
        transcript: Arc<Transcript>,
    ) -> Result<lictor_sandbox::Run, RunError> {
        let op = op(decided);
        let call = Call {
            op,
            limits: setting.limits,
            facts: CallFacts {
                id: &decided.decision,
                origin: &decided.origin,
                deadline_ms: decided.at_ms.saturating_add(decided.timeout_ms.unwrap_or(setting.timeout_ms)),
            },
            context: (setting.policy.module.uses_context() && setting.policy.grant.context)
                .then(Arc::<Bucket>::default),
            dry_run: decided.dry_run,
            tape: TapeMode::Play { transcript, matching: self.stage.matching() },
            recorder: Arc::new(Silent),
        };
        Ok(checked::run(&setting.schemas, op, run(&self.stage.sandbox, instance, call)).await?.run)
    }

    /// The instance that a decision was made by, as it was before.
    fn instance(&mut self, decided: &Decided, setting: &Setting) -> Result<Instance, String> {
        let Some(name) = &decided.instance else { return Ok(Instance::once(Arc::clone(&setting.policy))) };
        let sequence = decided.sequence.unwrap_or(0);
        match self.alive.remove(name) {
            None if sequence == 0 => Ok(Instance::new(Arc::clone(&setting.policy))),
            Some((instance, next)) if next == sequence => Ok(instance),
            Some(_) => {
                Err(format!("call {sequence} of the instance {name} does not follow on what was replayed of it"))
            }
            None => Err(format!("what the instance {name} did before is not in the log, or could not be replayed")),
        }
    }

    async fn setting(&mut self, made: &Arc<Made>) -> Result<Arc<Setting>, String> {
        // One of these is shared by all decisions of a version in a segment, and kept here so that its place stays its own.
        let key = Arc::as_ptr(made) as usize;
        if let Some((_, setting)) = self.versions.get(&key) {
            return Ok(Arc::clone(setting));
        }
        let setting = Arc::new(self.make(made).await?);
        self.versions.insert(key, (Arc::clone(made), Arc::clone(&setting)));
        Ok(setting)
    }

    async fn make(&mut self, made: &Made) -> Result<Setting, String> {
        let told = |what: &str, error: String| {
            format!("the log's {what} of `{}` cannot be read: {error}", made.policy_rule_uri)
        };
        let digest: Digest =
            made.component_digest.parse().map_err(|error| told("component digest", format!("{error}")))?;
        let interpreter = made.interpreter_digest.as_deref().map(str::parse::<Digest>).transpose();
        let interpreter = interpreter.map_err(|error| told("interpreter digest", format!("{error}")))?;
        let spec: LimitsSpec =
            serde_json::from_value(made.limits.clone()).map_err(|error| told("limits", error.to_string()))?;
        let timeout_ms = spec.timeout_ms.unwrap_or(0);
        let limits = LimitsSpec { timeout_ms: Some(PATIENCE_MS.max(timeout_ms)), ..spec }.within(&UNBOUNDED);
        let grant = Capabilities::parse(&made.capabilities).map_err(|error| told("capabilities", error.to_string()))?;
        let schemas = made
            .schemas
            .as_ref()
            .map(Schemas::parse)
            .transpose()
            .map_err(|error| told("schemas", error.to_string()))?;
        let policy = Policy {
            module: self.module(digest, interpreter, limits.fuel().is_some()).await?,
            uri: made.policy_rule_uri.as_str().into(),
            settings: made.settings().into(),
            parameters: made.parameters().into(),
            grant: Arc::new(grant),
            deterministic: made.deterministic,
        };
        let schemas = Arc::new(schemas.map_or_else(Schemas::default, |(schemas, _)| schemas));
        Ok(Setting { policy: Arc::new(policy), limits, timeout_ms, schemas })
    }

    async fn module(&mut self, digest: Digest, interpreter: Option<Digest>, metered: bool) -> Result<Module, String> {
        let key = (digest, interpreter, metered);
        if let Some(module) = self.modules.get(&key) {
            return module.clone();
        }
        let module = self.made(digest, interpreter, metered).await;
        self.modules.insert(key, module.clone());
        module
    }

    async fn made(&self, digest: Digest, interpreter: Option<Digest>, metered: bool) -> Result<Module, String> {
        let Stage { loader, .. } = self.stage;
        let code = self.stage.component(&digest)?;
        // What decides in its place may be written in another language.
        let loaded = match interpreter.filter(|_| Package::is(&code)) {
            Some(interpreter) => match self.stage.component_as_it_was(&interpreter) {
                Some(interpreter) => loader.load_interpreted(code, interpreter, metered).await,
                None => return Err(gone(&interpreter)),
            },
            None => loader.load_bytes(code, metered).await,
        };
        loaded.map_err(|error| error.message().to_owned())
    }
}

/// Whether a record has everything that its decision followed from.
fn possible(decided: &Decided) -> Result<(), String> {
    let has_question = match decided.op.as_deref() {
        None => decided.input().is_some(),
        Some("management") => decided.data().is_some(),
        Some("restore") => decided.state.is_some(),
        Some(_) => true,
    };
    if decided.masked || !has_question {
        return Err("its input was recorded hashed or masked".into());
    }
    if decided.calls_cut {
        return Err("it was told more by the world outside than is recorded".into());
    }
    Ok(())
}

fn op(decided: &Decided) -> Op<'_> {
    match decided.op.as_deref() {
        Some("init") => Op::Init,
        Some("save") => Op::Save,
        Some("management") => Op::Management {
            action: decided.action.as_deref().unwrap_or_default(),
            data: decided.data().unwrap_or("null"),
        },
        Some("restore") => Op::Restore {
            from_policy_uri: decided.from_policy_uri.as_deref().unwrap_or_default(),
            state: decided.state.as_ref().map_or(&[], |state| &state.0),
        },
        _ => Op::Eval { parameters: decided.parameters(), input: decided.input().unwrap_or("null") },
    }
}

/// What guests say was said when they said it first.
struct Silent;

impl Recorder for Silent {
    fn log(&self, _line: LogLine<'_>) {}
}
