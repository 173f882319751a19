//! Every integration test in one binary, so that it is linked once. Each module says what belongs there.

/// `POST /executor/{id}/execute_policy`: the seed's sample, its fields, its options, a policy's own HTTP.
mod execute;

/// Requests that no honest client sends, and the admin listener.
mod edge;
/// From `code` to something that runs: sources, packages, digests, what is refused, the cache on disk.
mod loading;
/// The registry of policies: create, read, update, delete, query, what survives kill -9, what concurrent writers see.
mod registry;
/// How a server ends, and why it may not start.
mod stop;
/// The twin of a component, in which most stateless calls are made.
mod twin;
