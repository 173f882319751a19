//! The policy executor's shell: registry, HTTP, command line. Modules in the order a request meets them.

pub mod access;
pub mod app;
pub mod assets;
pub mod cli;
pub mod config;
pub mod contexts;
pub mod decisions;
pub mod error;
pub mod executor;
pub mod executors;
pub mod functions;
#[cfg(test)]
mod fuzzed;
pub mod graphs;
pub mod http;
pub mod jobs;
pub mod placement;
pub mod policies;
pub mod registry;
pub mod replay;
pub mod shadows;
pub mod store;
mod stripes;
pub mod system;
pub mod telemetry;

pub use lictor_sandbox::checked;
