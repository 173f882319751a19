//! Every integration test in one binary, so that it is linked once. Each module says what belongs there.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot be set up has failed, and says where"
)]

/// What a policy may reach: grants, addresses, and what is linked and empty.
mod assets;
mod capabilities;
mod cli;
mod context;
mod edge;
mod examples;
mod execute;
mod executors;
mod hostile;
mod limits;
mod loading;
mod openapi;
mod query;
mod refusals;
mod registry;
mod schemas;
mod seed;
mod shared;
mod stop;
mod tidy;
mod twin;
/// The other subcommands: what they print, and every exit code.
mod cli;
/// The context of a policy: what it keeps, its bounds, and that nothing acknowledged is lost.
mod context;
/// Requests that no honest client sends, and the admin listener.
mod edge;
/// The examples in the sandbox: their fixtures, and what their records promise.
mod examples;
/// `POST /executor/{id}/execute_policy`: the seed's sample, its fields, its options, a policy's own HTTP.
mod execute;
/// What a hostile policy tries, and the outcome that it meets.
mod hostile;
/// Each limit of a record holds and is measured.
mod limits;
/// From `code` to something that runs: sources, packages, digests, what is refused, the cache on disk.
mod loading;
/// The registry of policies: create, read, update, delete, query, what survives kill -9, what concurrent writers see.
mod registry;
/// How a server ends, and why it may not start.
mod stop;
/// What no compiler checks: layers, headers, and that documents speak of things that exist.
mod tidy;
/// The twin of a component, in which most stateless calls are made.
mod twin;
