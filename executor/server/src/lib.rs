//! The policy executor's shell: registry, HTTP, command line. Modules in the order a request meets them.

pub mod app;
pub mod cli;
pub mod config;
pub mod contexts;
pub mod error;
pub mod executor;
pub mod http;
pub mod policies;
pub mod store;
pub mod telemetry;
