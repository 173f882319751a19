//! What an evaluator is made with: the arguments of the original's `LocalPolicyEvaluator`, and what the application
//! grants.

use std::{future::Future, path::PathBuf, sync::Arc};

use lictor_loader::{DiskCache, FetchRules};
use lictor_model::{Capabilities, Failure, FieldError, LimitsSpec, address::AllowPrivate, json, limits::Ceiling};
use lictor_sandbox::{HostFunctions, Recorder, Sandbox, SandboxConfig, TracingRecorder, context::Bucket};
use serde_json::{Map, Value};

use crate::{Error, LocalPolicyEvaluator, code::Custom, environment::Environment};

/// Instances that a sandbox of one evaluator has room for: the one that is there, and one that is being given up.
const INSTANCES: u32 = 2;

/// Where the policy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In this process.
    #[default]
    Local,
    /// On an executor.
    Remote,
}

impl From<&str> for Mode {
    /// As in the original, whatever is not `local` is remote.
    fn from(text: &str) -> Self {
        if text == "local" { Self::Local } else { Self::Remote }
    }
}

/// Puts an evaluator together. See [`LocalPolicyEvaluator::builder`].
#[derive(Clone)]
#[must_use]
pub struct Builder {
    pub(crate) policy_rule_uri: Option<String>,
    pub(crate) parameters: Value,
    pub(crate) settings: Value,
    pub(crate) custom: Option<Custom>,
    pub(crate) mode: Mode,
    pub(crate) executor_id: Option<String>,
    pub(crate) policy_db_url: Option<String>,
    pub(crate) executor_host_url: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) environment: Environment,
    pub(crate) grant: Capabilities,
    pub(crate) functions: HostFunctions,
    pub(crate) limits: Option<LimitsSpec>,
    pub(crate) ceiling: Ceiling,
    pub(crate) context: Option<Arc<Bucket>>,
    pub(crate) recorder: Arc<dyn Recorder>,
    allow_private: AllowPrivate,
    allow_file: Vec<PathBuf>,
    cache_dir: Option<PathBuf>,
    pub(crate) python_host: Option<PathBuf>,
    sandbox: Option<Sandbox>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            policy_rule_uri: None,
            parameters: Value::Null,
            settings: Value::Null,
            custom: None,
            mode: Mode::default(),
            executor_id: None,
            policy_db_url: None,
            executor_host_url: None,
            token: None,
            environment: Environment::default(),
            grant: Capabilities::default(),
            functions: HostFunctions::default(),
            limits: None,
            ceiling: Ceiling::default(),
            context: None,
            recorder: Arc::new(TracingRecorder),
            allow_private: AllowPrivate::default(),
            allow_file: Vec::new(),
            cache_dir: None,
            python_host: None,
            sandbox: None,
        }
    }
}

impl Builder {
    /// Which policy: `name:version-release_tag`. Needed unless the component is one of the application's own.
    pub fn policy_rule_uri(mut self, uri: impl Into<String>) -> Self {
        self.policy_rule_uri = Some(uri.into());
        self
    }

    /// Parameters that override those of the record, member by member. On an executor they replace them all, unless
    /// there are none here.
    pub fn parameters(mut self, parameters: Value) -> Self {
        self.parameters = parameters;
        self
    }

    /// Settings that override those of the record, member by member. An executor takes none.
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// A component, or a package with one, of the application's own: nothing is then read from any system, and the
    /// policy gets the settings and parameters given here alone. What the original calls `custom_class`.
    pub fn custom_component(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.custom = Some(Custom::Bytes(bytes.into()));
        self
    }

    /// The same, from a file.
    pub fn custom_component_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.custom = Some(Custom::File(path.into()));
        self
    }

    /// The token that the system or the executor is shown, where these need one. Without it, it is the variable
    /// `LICTOR_TOKEN`.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Where the policy runs; `"local"` and `"remote"` will do. The variable `POLICY_EXECUTION_MODE` wins over this.
    pub fn mode(mut self, mode: impl Into<Mode>) -> Self {
        self.mode = mode.into();
        self
    }

    /// The executor that runs it in remote mode.
    pub fn executor_id(mut self, id: impl Into<String>) -> Self {
        self.executor_id = Some(id.into());
        self
    }

    /// The system that has the records, instead of the one that the variable `POLICY_DB_URL` names. It is reached at
    /// whatever address it has.
    pub fn policy_db_url(mut self, url: impl Into<String>) -> Self {
        self.policy_db_url = Some(url.into());
        self
    }

    /// The system that has the executors, instead of the one that the variable `POLICY_EXECUTOR_HOST_URL` names. It is
    /// reached at whatever address it has.
    pub fn executor_host_url(mut self, url: impl Into<String>) -> Self {
        self.executor_host_url = Some(url.into());
        self
    }

    /// Variables to go by instead of those of this process.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = Environment::of(variables);
        self
    }

    /// What the policy may have of what its record asks for: by default its context and nothing else. Host functions
    /// are granted by handing them over. A component of the application's own gets all of it.
    pub fn grant(mut self, grant: Capabilities) -> Self {
        self.grant = grant;
        self
    }

    /// Hands the policy a function of the application's own. The record must ask for it in `capabilities.host`.
    ///
    /// It is called while the policy waits, on a task of its own, and dropped at the deadline of the call. It must not
    /// call the same evaluator, which answers one call at a time, and should not block its thread: that cannot be
    /// interrupted. A panic in it is a failure that the policy sees, if the application unwinds.
    pub fn host_function<A>(
        mut self,
        name: impl Into<String>,
        function: impl Fn(Value) -> A + Send + Sync + 'static,
    ) -> Self
    where
        A: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        let called = move |args: String| {
            let answer = json::parse(&args).map(&function);
            async move {
                match answer {
                    Ok(answer) => answer.await.map(|answer| answer.to_string()),
                    // The sandbox has looked already.
                    Err(error) => Err(Failure {
                        code: "invalid_input".into(),
                        message: format!("the arguments: {error}"),
                        details: None,
                    }),
                }
            }
        };
        self.functions = self.functions.with(name, called);
        self
    }

    /// What a call may use, instead of what the record asks for.
    pub fn limits(mut self, limits: LimitsSpec) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The most that a call may use, whatever is asked for.
    pub fn ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = ceiling;
        self
    }

    /// The policy's context. By default it is empty, in memory, and gone with the evaluator; one that the application
    /// keeps can be shared, filled beforehand and saved.
    pub fn context(mut self, context: Arc<Bucket>) -> Self {
        self.context = Some(context);
        self
    }

    /// Who is told what the policy says. By default it goes to `tracing`, under the target `guest`.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Addresses that code may be fetched from, and that the policy may reach, although they are not public.
    pub fn allow_private(mut self, allow: AllowPrivate) -> Self {
        self.allow_private = allow;
        self
    }

    /// A folder that `file://` code may be read from, at any depth. May be given more than once.
    pub fn allow_file(mut self, folder: impl Into<PathBuf>) -> Self {
        self.allow_file.push(folder.into());
        self
    }

    /// A folder of this application's own where code is kept that was fetched and compiled. By default each evaluator
    /// fetches and compiles anew. Whoever can write there can have anything run.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Where the Python host component is, which policies in Python need. By default it is looked for beside this
    /// executable.
    pub fn python_host(mut self, path: impl Into<PathBuf>) -> Self {
        self.python_host = Some(path.into());
        self
    }

    /// Runs the policy in a sandbox that other evaluators use too: for more than a handful, since each sandbox has a
    /// thread and reserves address space. Private addresses that it admits are then the only ones for the policy, and
    /// it needs room for an instance of each evaluator.
    pub fn sandbox(mut self, sandbox: &Sandbox) -> Self {
        self.sandbox = Some(sandbox.clone());
        self
    }

    /// Makes the evaluator. Locally, this reads the record, loads the code and constructs the policy.
    pub async fn build(self) -> Result<LocalPolicyEvaluator, Error> {
        match self.environment.mode(self.mode) {
            Mode::Local => LocalPolicyEvaluator::local(self).await,
            Mode::Remote => LocalPolicyEvaluator::remote(&self),
        }
    }

    pub(crate) fn made_sandbox(&self) -> Result<Sandbox, Error> {
        if let Some(shared) = &self.sandbox {
            return Ok(shared.clone());
        }
        let max_memory_bytes = usize::try_from(self.ceiling.memory_mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
        let allow_private = self.allow_private.clone();
        let config = SandboxConfig { max_instances: INSTANCES, max_memory_bytes, allow_private };
        Sandbox::new(config).map_err(|error| Error::Internal(error.to_string()))
    }

    pub(crate) fn fetch_rules(&self) -> FetchRules {
        let (allow_private, allow_file) = (self.allow_private.clone(), self.allow_file.clone());
        FetchRules { allow_private, allow_file, ..FetchRules::default() }
    }

    pub(crate) fn cache(&self) -> Result<Option<DiskCache>, Error> {
        Ok(self.cache_dir.as_deref().map(DiskCache::open).transpose()?)
    }
}

/// The members of an argument that must be an object; `null` has none.
pub(crate) fn members(argument: &str, value: &Value) -> Result<Map<String, Value>, FieldError> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(members) => Ok(members.clone()),
        _ => Err(FieldError::new(argument, "must be a JSON object")),
    }
}
