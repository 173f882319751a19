//! Runs a policy inside an application's own process, or asks an executor to run it.
//!
//! ```no_run
//! use lictor_client::LocalPolicyEvaluator;
//! use serde_json::json;
//!
//! # async fn run() -> Result<(), lictor_client::Error> {
//! let evaluator = LocalPolicyEvaluator::builder()
//!     .policy_rule_uri("ip_allowlist:1.0-beta")
//!     .parameters(json!({"local_allowlist": ["10.0.0.1"]}))
//!     .mode("local")
//!     .build()
//!     .await?;
//! let output = evaluator.execute_policy_rule(&json!({"ip": "192.168.0.109"})).await?;
//! evaluator.execute_mgmt_command("update_local_allowlist", &json!({"ips": ["192.168.0.100"]})).await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Locally**, the record of the policy is read from the policies system, its code is fetched, and one instance is
//! constructed that lives as long as the evaluator: what it remembers of one call is there in the next, and management
//! commands reach the same instance. A policy is still only a guest: it runs under limits, it reaches what its record
//! asks for *and* the application grants, and what goes wrong in it is an [`Error`] of one call. The application may hand
//! it functions of its own by name ([`Builder::host_function`]).
//!
//! **Remotely**, an executor runs the policy, in a fresh instance for each call.
//!
//! | variable | stands for |
//! |---|---|
//! | `POLICY_EXECUTION_MODE` | the mode, and wins over [`Builder::mode`] |
//! | `POLICY_DB_URL` | the system that has the records; `http://localhost:10000` if nothing else is said |
//! | `POLICY_EXECUTOR_HOST_URL` | the system that has the executors; `http://localhost:10000` if nothing else is said |
//! | `POLICY_SYSTEM_EXECUTOR_ID` | the executor, unless [`Builder::executor_id`] names it; then `executor-0` |
//!
//! Needs a tokio runtime; [`blocking`] brings its own.
#![forbid(unsafe_code)]

pub mod blocking;
mod builder;
mod code;
mod envelope;
mod environment;
mod error;
mod evaluator;
mod local;
mod remote;

pub use builder::{Builder, Mode};
pub use error::Error;
pub use evaluator::LocalPolicyEvaluator;
pub use lictor_model::{
    Capabilities, Failure, LimitsSpec, Origin, Stop, StopKind, address::AllowPrivate, limits::Ceiling,
};
pub use lictor_sandbox::{
    LogLine, Recorder, Sandbox, SandboxConfig, TracingRecorder,
    context::{Bucket, Write},
};
