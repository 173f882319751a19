//! What the integration tests stand on: the real `lictor` as a child process, an HTTP client on real sockets, a web
//! server that misbehaves on demand, and policies made from a few lines of WebAssembly text.
//!
//! ```text
//! TestServer ── the binary, a temporary data directory, an admitted folder for code, its log
//!   └ Client ── one request a connection; `raw` for bytes that no client would send
//! CodeServer ── where code and allowlists are fetched from
//! guest, policy, component, zip_of, … ── code to be fetched
//! Command ── the other subcommands, with their exit codes
//! postgres.sh ── the PostgreSQL that servers keep their records in when `LICTOR_TEST_STORE=postgres`
//! ```
//!
//! Nothing here waits for a time to pass: [`eventually`] asks again until a condition holds, and gives up with what
//! it last saw. Everything ends with its value: children are killed, folders removed, sockets closed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed, and says where"
)]

mod archives;
mod client;
mod command;
mod counter;
mod database;
mod expected;
mod guests;
mod python;
pub mod sandbox;
mod server;
mod wait;
mod web;

pub use archives::{tar_gz_of, tar_of, tar_xz_of, zip_of};
pub use client::{Client, RawReply, Reply};
pub use command::{Command, Output, binary};
pub use counter::{counter, counter_version};
pub use expected::differences;
pub use guests::{
    Guest, component, file_url, guest, guest_bytes, guest_record, guest_zip, guests_dir, policy, record, repository,
};
pub use python::{
    class, python, python_cache, python_cell, python_cell_reaching, python_host, python_module, python_record,
};
pub use server::{Builder, Exited, TestServer};
pub use wait::{PATIENCE, eventually, eventually_within};
pub use web::{Answer, CodeServer, Seen};
