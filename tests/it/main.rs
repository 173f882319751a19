//! Every integration test in one binary, so that it is linked once. Each module says what belongs there.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot be set up has failed, and says where"
)]

/// Who may come in: tokens and roles, TLS, pages, how much one caller may take, and the record of changes.
mod access;
/// The assets registry, `push` and `pull`.
mod assets;
/// The list of attacks, and that each has a test.
mod attacks;
/// Many inputs for one policy, and runs that leave nothing behind.
mod batch;
/// What a policy may reach: grants, addresses, and what is linked and empty.
mod capabilities;
/// The other subcommands: what they print, and every exit code.
mod cli;
/// `lictor-client`: policies in an application's own process, the functions it hands them, and on an executor.
mod client;
/// The context of a policy: what it keeps, its bounds, and that nothing acknowledged is lost.
mod context;
/// The decision log, and replay.
mod decisions;
/// What was acknowledged, after kill -9: every registry.
mod durability;
/// Requests that no honest client sends, and the admin listener.
mod edge;
/// The examples in the sandbox: their fixtures, and what their records promise.
mod examples;
/// `POST /executor/{id}/execute_policy`: the seed's sample, its fields, its options, a policy's own HTTP.
mod execute;
/// The registry of executors, their health, and calls that another executor answers.
mod executors;
/// Nothing of one run is visible to the next.
mod fresh;
/// Functions: deployed, called, managed, scaled, upgraded, and there again after kill -9.
mod functions;
/// Graphs: what is refused when one is made, joins, deadlines, and which node is to blame.
mod graphs;
/// What a hostile policy tries, and the outcome that it meets.
mod hostile;
/// Jobs: durable before they are acknowledged, retried, cancelled, watched, and there again after kill -9.
mod jobs;
/// Each limit of a record holds and is measured.
mod limits;
/// From `code` to something that runs: sources, packages, digests, what is refused, the cache on disk.
mod loading;
/// The description of the API, and that the API keeps to it.
mod openapi;
/// Functions and jobs of other executors, and the executor's own API.
mod peers;
/// Where things run that no executor was named for.
mod placement;
/// Policies in Python: the class that people have, in the sandbox.
mod python;
/// Filters, updates, and the options of queries, over HTTP.
mod query;
/// Bad input on every route, by table.
mod refusals;
/// The registry of policies: create, read, update, delete, query, what survives kill -9, what concurrent writers see.
mod registry;
/// Instances that stay: what they remember, hand over and take over.
mod resident;
/// What the schemas of a policy say, kept or only warned about.
mod schemas;
/// The requests of the document, pasted, and the table that comes of it.
mod seed;
/// Candidates that run beside a policy, and what they answer otherwise.
mod shadows;
/// Several servers on one PostgreSQL.
mod shared;
/// Everything at the same time: no call without an answer, none with two, nothing acknowledged lost.
mod soundness;
/// How a server ends, and why it may not start.
mod stop;
/// What no compiler checks: layers, headers, and that documents speak of things that exist.
mod tidy;
/// The twin of a component, in which most stateless calls are made.
mod twin;
