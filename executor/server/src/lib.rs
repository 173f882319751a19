//! The policy executor's shell: registry, HTTP, command line. Modules in the order a request meets them.

pub mod app;
pub mod assets;
pub mod checked;
pub mod cli;
pub mod config;
pub mod contexts;
pub mod error;
pub mod executor;
pub mod executors;
pub mod http;
pub mod policies;
pub mod registry;
pub mod store;
pub mod system;
pub mod telemetry;
