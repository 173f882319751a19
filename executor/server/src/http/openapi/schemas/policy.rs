//! Policies, as they are posted and as they are read.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A policy as it is posted. Fields that are not known are kept.
#[derive(ToSchema)]
pub(in crate::http) struct PolicyBody {
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "ip_allowlist")]
    name: String,
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "1.0")]
    version: String,
    #[schema(pattern = "^[A-Za-z0-9._+-]{1,128}$", example = "stable")]
    release_tag: String,
    /// Where its code is: an archive or a component by `https://`, `http://`, `file://` where that is admitted,
    /// `asset:NAME:VERSION-TAG` or `asset://ID`.
    #[schema(example = "asset:ip_allowlist:1.0-stable")]
    code: String,
    r#type: PolicyType,
    /// What `code` must hash to: `sha256:…`.
    #[schema(nullable = false, pattern = "^sha256:[0-9a-f]{64}$")]
    code_digest: Option<String>,
    #[schema(nullable = false)]
    limits: Option<Limits>,
    #[schema(nullable = false)]
    capabilities: Option<Capabilities>,
    #[schema(nullable = false)]
    schema_mode: Option<SchemaMode>,
    /// Whether clocks are frozen and random numbers seeded.
    #[schema(nullable = false)]
    deterministic: Option<bool>,
    metadata: Option<Value>,
    #[schema(nullable = false)]
    tags: Option<Tags>,
    #[schema(nullable = false)]
    code_type: Option<String>,
    #[schema(nullable = false)]
    description: Option<String>,
    /// A template or a JSON Schema; `{}` is anything.
    #[schema(nullable = false)]
    policy_input_schema: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    policy_output_schema: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    policy_settings_schema: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    policy_parameters_schema: Option<Map<String, Value>>,
    /// Each command: `name`, `description`, `schema`.
    #[schema(nullable = false)]
    management_commands_schema: Option<Vec<Value>>,
    #[schema(nullable = false)]
    policy_settings: Option<Map<String, Value>>,
    /// What a call gets that brings no parameters of its own.
    #[schema(nullable = false)]
    policy_parameters: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    functionality_data: Option<Map<String, Value>>,
    #[schema(nullable = false)]
    resource_estimates: Option<Map<String, Value>>,
}

/// The kinds of code.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum PolicyType {
    WasmComponentV1,
    PythonClassV1,
}

/// What happens when a document does not match its schema.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum SchemaMode {
    Off,
    Warn,
    Enforce,
}

/// A text, or a list of texts.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Tags {
    Text(String),
    List(Vec<String>),
}

/// What one call may use. A limit that is absent takes the default; none is above the server's ceiling.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// For `init`, the call and its host calls together.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
    #[schema(minimum = 1)]
    memory_mb: Option<u64>,
    /// Instructions, roughly; absent: not metered.
    #[schema(minimum = 1)]
    fuel: Option<u64>,
    #[schema(minimum = 1)]
    output_kb: Option<u64>,
    log_kb: Option<u64>,
    http_requests: Option<u64>,
    context_kb: Option<u64>,
    /// Calls at the same time; 0: no bound.
    max_concurrency: Option<u64>,
}

/// What a policy may reach.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
struct Capabilities {
    /// Origins that it may send requests to.
    #[schema(nullable = false, example = json!(["https://example.com"]))]
    http: Option<Vec<String>>,
    /// Whether it has its context: granted unless this is false.
    #[schema(nullable = false)]
    context: Option<bool>,
    /// Functions of the host that it may call.
    #[schema(nullable = false)]
    host: Option<Vec<String>>,
}

/// A policy as it is read: what was posted, with the defaults of the fields that were not, and how its loading stands.
#[derive(ToSchema)]
pub(in crate::http) struct PolicyRecord {
    #[serde(flatten)]
    posted: PolicyBody,
    #[schema(example = "ip_allowlist:1.0-stable")]
    policy_rule_uri: String,
    /// The digest of the component, once it is known.
    #[schema(required = true)]
    component_digest: Option<String>,
    load: Load,
}

/// How loading stands.
#[derive(ToSchema)]
struct Load {
    state: LoadState,
    /// Why it failed, for programs.
    #[schema(nullable = false)]
    code: Option<String>,
    /// Why it failed, for people.
    #[schema(nullable = false)]
    message: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum LoadState {
    Pending,
    Ready,
    Failed,
}
