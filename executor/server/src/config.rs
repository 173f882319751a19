//! Configuration: defaults < TOML file < `LICTOR_…` environment < flags. Unknown keys are errors.
//!
//! `RawConfig` is what people type; `Config` is what it means. The environment is read here and nowhere else.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use lictor_loader::python;
use lictor_model::{ExecutorId, HostUri, Origin, PolicyUri, address::AllowPrivate, limits::Ceiling};
use serde::{Deserialize, Serialize};

use crate::{
    access::Rates,
    decisions::{self, Durability, HttpSink, Privacy, WhenFull},
    policies::Bounds,
    store::Location,
    telemetry::LogFormat,
};

/// What people type, in a file, the environment or as flags.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    data_dir: Option<PathBuf>,
    listen: String,
    admin: String,
    executor_id: String,
    store: Option<String>,
    public_url: Option<String>,
    system: Option<String>,
    allow_file: Vec<PathBuf>,
    allow_private: Vec<String>,
    allow_anonymous: bool,
    max_instances: u32,
    max_body_kb: u64,
    max_asset_mb: u64,
    max_connections: u32,
    max_requests_per_second: u32,
    max_concurrent_requests: u32,
    cors_origins: Vec<String>,
    tls: Option<TlsFiles>,
    peer_token: Option<String>,
    max_processes: u64,
    max_replicas: Option<u32>,
    max_jobs: Option<u32>,
    max_queued_jobs: u32,
    job_ttl_seconds: u64,
    allocator_policy_uri: Option<String>,
    estimator_policy_uri: Option<String>,
    cache_dir: Option<PathBuf>,
    python_host: Option<PathBuf>,
    python_snapshots_mb: usize,
    heartbeat_ms: u64,
    grace_ms: u64,
    log: String,
    log_format: LogFormat,
    ceiling: Ceiling,
    grants: RawGrants,
    decisions: RawDecisions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGrants {
    http: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDecisions {
    enabled: bool,
    durability: Durability,
    when_full: WhenFull,
    keep_mb: u64,
    keep_days: Option<u64>,
    replay_kb: u64,
    key: Option<PathBuf>,
    policies: BTreeMap<String, Privacy>,
    stdout: bool,
    http: Option<RawSink>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSink {
    url: String,
    token: Option<String>,
}

/// Where what TLS needs is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and those between it and its root, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Whose certificates clients must show, PEM; where absent, they need none.
    pub client_ca: Option<PathBuf>,
}

/// A token that is shown to other servers. Nothing shows it to anybody else.
#[derive(Clone)]
pub struct PeerToken(String);

impl PeerToken {
    /// The token.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PeerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerToken")
    }
}

/// The flags of `serve` that set a key, under the key's name. What was not given is left out.
#[derive(Debug, Default, Serialize)]
pub struct Flags {
    /// `--data-dir`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// `--admin`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// `--executor-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<String>,
    /// `--store`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// `--public-url`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// `--system`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `--allow-file`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_file: Vec<PathBuf>,
    /// `--allow-private`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_private: Vec<String>,
    /// `--allow-anonymous`
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_anonymous: bool,
}

/// What a server is run with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything durable is.
    pub data_dir: PathBuf,
    /// The database.
    pub store: Location,
    /// The API's address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address of health, metrics and version.
    pub admin: SocketAddr,
    /// The embedded executor.
    pub executor_id: ExecutorId,
    /// The URL under which others reach this server, if that is not the address it listens on.
    pub public_url: Option<HostUri>,
    /// The system whose policies are run here, if not this server's own.
    pub system: Option<HostUri>,
    /// Folders that `file://` code may be in.
    pub allow_file: Vec<PathBuf>,
    /// Addresses that are reached although they are not public.
    pub allow_private: AllowPrivate,
    /// Whether anybody may use an address that is not loopback.
    pub allow_anonymous: bool,
    /// Sandboxes at the same time.
    pub max_instances: u32,
    /// The largest request body in bytes.
    pub max_body: usize,
    /// The largest asset in bytes.
    pub max_asset: u64,
    /// Connections at the same time.
    pub max_connections: u32,
    /// What one caller may take.
    pub rates: Rates,
    /// The places whose pages may use the API.
    pub cors_origins: Vec<String>,
    /// What the API is secured with.
    pub tls: Option<TlsFiles>,
    /// What other executors, and the system, are shown.
    pub peer_token: Option<PeerToken>,
    /// Calls at the same time on the embedded executor; 0 is any number.
    pub max_processes: u64,
    /// Replicas of functions on the embedded executor, of all functions together.
    pub max_replicas: usize,
    /// Jobs that the embedded executor runs at the same time.
    pub max_jobs: usize,
    /// Jobs that wait for one executor.
    pub max_queued_jobs: u64,
    /// How long the record of a job is kept after its end.
    pub job_ttl: Duration,
    /// The policy that picks an executor where nobody names one, if not the one that is built in.
    pub allocator_policy_uri: Option<PolicyUri>,
    /// The policy that says whether something fits here, if not the one that is built in.
    pub estimator_policy_uri: Option<PolicyUri>,
    /// Where fetched and compiled code is kept.
    pub cache_dir: PathBuf,
    /// Where the Python host component is, if there is one.
    pub python_host: Option<PathBuf>,
    /// What the code of snapshots of policies in Python may take, all together.
    pub python_snapshots_mb: usize,
    /// How often an executor says that it is there.
    pub heartbeat: Duration,
    /// How long calls in flight may take to finish when the server stops.
    pub grace: Duration,
    /// What is logged.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What a record may get at most.
    pub bounds: Bounds,
    /// How decisions are recorded, if they are.
    pub decisions: Option<decisions::Settings>,
}

const NO_DATA_DIR: &str = "`data_dir` is missing: give --data-dir DIR, the folder for everything that is kept";

/// Environment variables of the same prefix that belong to other tools of the project.
const NOT_OURS: [&str; 4] = ["guest_toolchain", "bin", "config", "token"];

impl Config {
    /// Reads everything, in order of precedence.
    pub fn read(file: Option<PathBuf>, flags: &Flags) -> Result<Self, String> {
        RawConfig::read(file, flags)?.resolve()
    }
}

impl RawConfig {
    fn read(file: Option<PathBuf>, flags: &Flags) -> Result<Self, String> {
        let file = file.or_else(|| Env::var("LICTOR_CONFIG").map(PathBuf::from));
        let mut figment = Figment::from(Serialized::defaults(defaults()));
        if let Some(file) = file {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| format!("the configuration file `{}` cannot be read: {error}", file.display()))?;
            figment = figment.merge(Toml::string(&text));
        }
        let env = Env::prefixed("LICTOR_").ignore(&NOT_OURS).split("__");
        figment.merge(env).merge(Serialized::defaults(flags)).extract().map_err(|error| error.to_string())
    }
}

/// Where the database is, for commands that need nothing else of the configuration.
pub fn location(file: Option<PathBuf>, flags: &Flags) -> Result<Location, String> {
    let raw = RawConfig::read(file, flags)?;
    Location::parse(raw.store.as_deref(), &raw.data_dir.ok_or(NO_DATA_DIR)?)
}

/// The data directory, for commands that need nothing else of the configuration.
pub fn data_dir(file: Option<PathBuf>, flags: &Flags) -> Result<PathBuf, String> {
    RawConfig::read(file, flags)?.data_dir.ok_or_else(|| NO_DATA_DIR.to_owned())
}

impl Config {
    /// Where others reach this server, as far as it knows.
    pub fn reached_at(&self) -> HostUri {
        let mut listen = self.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        self.public_url.clone().unwrap_or_else(|| HostUri::of_address(listen, self.tls.is_some()))
    }
}

/// The token that commands show to servers: `LICTOR_TOKEN`, so that it is in no list of processes.
pub fn token() -> Option<String> {
    Env::var("LICTOR_TOKEN").map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Where the Python host component is, for commands: `LICTOR_PYTHON_HOST`, or the usual place.
pub fn python_host() -> Option<PathBuf> {
    Env::var("LICTOR_PYTHON_HOST").map(PathBuf::from).or_else(python::usual_host)
}

/// Where commands keep what they can make again: `$XDG_CACHE_HOME/lictor` or `~/.cache/lictor`.
pub fn cache_dir() -> Option<PathBuf> {
    // A relative one would be another folder for each command; the standard says to ignore it.
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("lictor"))
}

fn defaults() -> serde_json::Value {
    serde_json::json!({
        "listen": "127.0.0.1:10000",
        "admin": "127.0.0.1:10001",
        "executor_id": "executor-001",
        "allow_file": [],
        "allow_private": [],
        "allow_anonymous": false,
        "max_instances": 1000,
        "python_snapshots_mb": 512,
        "max_body_kb": 16_384,
        "max_asset_mb": 64,
        "max_connections": 10_000,
        "max_requests_per_second": 0,
        "max_concurrent_requests": 0,
        "cors_origins": [],
        "max_processes": 0,
        "max_queued_jobs": 100_000,
        "job_ttl_seconds": 7 * 24 * 3600,
        "heartbeat_ms": 5000,
        "grace_ms": 10_000,
        "log": "info",
        "log_format": "text",
        "ceiling": Ceiling::default(),
        "grants": {},
        "decisions": {
            "enabled": true,
            "durability": "batched",
            "when_full": "refuse",
            "keep_mb": 1024,
            "replay_kb": 1024,
            "policies": {},
            "stdout": false,
        },
    })
}

impl RawConfig {
    fn resolve(self) -> Result<Config, String> {
        let public_url = self.public_url.as_deref().map(|url| place("public_url", url)).transpose()?;
        let system = self.system.as_deref().map(|url| place("system", url)).transpose()?;
        if system.is_some() && self.store.as_deref().is_some_and(|url| !url.starts_with("sqlite:")) {
            return Err("`system` and `store` cannot be given together: the registries are that system's, and what is kept here is only this executor's".into());
        }
        let listen = address("listen", &self.listen)?;
        let admin = address("admin", &self.admin)?;
        let at_least_one =
            |name: &str, n: u64| if n == 0 { Err(format!("`{name}` must be at least 1")) } else { Ok(()) };
        at_least_one("max_instances", self.max_instances.into())?;
        at_least_one("max_body_kb", self.max_body_kb)?;
        at_least_one("max_asset_mb", self.max_asset_mb)?;
        at_least_one("max_connections", self.max_connections.into())?;
        at_least_one("heartbeat_ms", self.heartbeat_ms)?;
        at_least_one("max_jobs", self.max_jobs.unwrap_or(1).into())?;
        // Resident instances leave room for the others.
        let most = self.max_instances / 2;
        let max_replicas = self.max_replicas.unwrap_or(most);
        if most < max_replicas {
            return Err(format!("`max_replicas` must be at most {most}, half of `max_instances`"));
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let data_dir = self.data_dir.ok_or(NO_DATA_DIR)?;
        let decisions = self.decisions.resolve(&data_dir)?;
        Ok(Config {
            decisions,
            store: Location::parse(self.store.as_deref(), &data_dir)?,
            listen,
            admin,
            executor_id: self.executor_id.parse().map_err(|error| format!("{error}"))?,
            public_url,
            system,
            allow_file: self.allow_file,
            allow_private: AllowPrivate::parse(&self.allow_private)
                .map_err(|error| format!("`allow_private`: {error}"))?,
            allow_anonymous: self.allow_anonymous,
            max_instances: self.max_instances,
            max_body: usize::try_from(self.max_body_kb.saturating_mul(1024)).unwrap_or(usize::MAX),
            max_asset: self.max_asset_mb.saturating_mul(1 << 20),
            max_connections: self.max_connections,
            rates: Rates { per_second: self.max_requests_per_second, at_once: self.max_concurrent_requests },
            cors_origins: self.cors_origins.iter().map(|text| page(text)).collect::<Result<_, _>>()?,
            tls: self.tls,
            peer_token: self.peer_token.as_deref().map(peer_token).transpose()?,
            max_processes: self.max_processes,
            max_replicas: usize::try_from(max_replicas).unwrap_or(usize::MAX),
            max_jobs: self.max_jobs.map_or(cores, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            max_queued_jobs: self.max_queued_jobs.into(),
            job_ttl: Duration::from_secs(self.job_ttl_seconds),
            allocator_policy_uri: policy("allocator_policy_uri", self.allocator_policy_uri.as_deref())?,
            estimator_policy_uri: policy("estimator_policy_uri", self.estimator_policy_uri.as_deref())?,
            cache_dir: self.cache_dir.unwrap_or_else(|| data_dir.join("cache")),
            data_dir,
            python_host: self.python_host.or_else(python::usual_host),
            python_snapshots_mb: self.python_snapshots_mb,
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            grace: Duration::from_millis(self.grace_ms),
            log: self.log,
            log_format: self.log_format,
            bounds: Bounds { ceiling: self.ceiling, http: self.grants.http.map(origins).transpose()? },
        })
    }
}

impl RawDecisions {
    fn resolve(self, data_dir: &Path) -> Result<Option<decisions::Settings>, String> {
        if self.keep_mb == 0 {
            return Err("`decisions.keep_mb` must be at least 1; `decisions.enabled = false` records nothing".into());
        }
        for (policy, privacy) in &self.policies {
            if let Some(wrong) = privacy.mask.iter().find(|pointer| !pointer.starts_with('/')) {
                return Err(format!(
                    "`decisions.policies` has for `{policy}` the mask `{wrong}`, which is no JSON pointer such as `/input/user`"
                ));
            }
        }
        const DAY: u64 = 86_400_000;
        let settings = decisions::Settings {
            durability: self.durability,
            when_full: self.when_full,
            keep_bytes: self.keep_mb.saturating_mul(1 << 20),
            keep_ms: self.keep_days.map(|days| days.saturating_mul(DAY)),
            transcript_bytes: usize::try_from(self.replay_kb.saturating_mul(1024)).unwrap_or(usize::MAX),
            key: self.key,
            policies: self.policies.into_iter().collect(),
            stdout: self.stdout,
            http: self.http.map(|RawSink { url, token }| HttpSink { url, token }),
            ..decisions::Settings::of(data_dir)
        };
        Ok(self.enabled.then_some(settings))
    }
}

fn place(name: &str, text: &str) -> Result<HostUri, String> {
    HostUri::parse(text).map_err(|why| format!("`{name}` {why}"))
}

/// An origin as browsers send it.
fn page(text: &str) -> Result<String, String> {
    let origin = Origin::parse(text).map_err(|_| {
        format!("`cors_origins` has `{text}`, which is not an origin such as `https://console.example.com`")
    })?;
    Ok(origin.to_string())
}

fn peer_token(text: &str) -> Result<PeerToken, String> {
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(PeerToken(text.to_owned())) } else { Err("`peer_token` must be a token, without spaces".into()) }
}

fn policy(name: &str, uri: Option<&str>) -> Result<Option<PolicyUri>, String> {
    uri.map(str::parse).transpose().map_err(|error| format!("`{name}`: {error}"))
}

fn address(name: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{name}` must be an address such as 127.0.0.1:10000, not `{text}`"))
}

#[expect(clippy::needless_pass_by_value, reason = "is given to `map`")]
fn origins(texts: Vec<String>) -> Result<Vec<Origin>, String> {
    texts
        .iter()
        .map(|text| Origin::parse(text))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`grants.http` {}", error.message()))
}
