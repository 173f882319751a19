//! What of its memory is the server's alone (private and dirty): idle with the examples loaded, for each further policy, and
//! with a thousand resident functions. Compiled code is in sealed memory files, which count as shared: reported beside it.

use std::{fs, thread, time::Duration};

use lictor_tests::{TestServer, guest_record, guests_dir};
use serde_json::json;

use crate::{DEPLOY, INPUT, Res, call_of, client::Client, decide, figure, shelf, shelf::Shelf};

/// Policies that are loaded after each other, of which the first are not counted.
const POLICIES: usize = 300;
const NOT_COUNTED: usize = 50;
const FUNCTIONS: usize = 1000;
/// For what a server still does after it was asked for something.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn measure() -> Res<()> {
    idle()?;
    policies()?;
    functions()
}

/// In kilobytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    private_dirty: f64,
    shmem: f64,
}

fn memory(server: &TestServer) -> Res<Memory> {
    thread::sleep(SETTLE);
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", server.pid()));
    let field = |text: &str, name: &str| -> Res<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("the kernel does not say")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    let (rollup, status) = (read("smaps_rollup")?, read("status")?);
    Ok(Memory { private_dirty: field(&rollup, "Private_Dirty:")?, shmem: field(&status, "RssShmem:")? })
}

fn idle() -> Res<()> {
    let server = TestServer::start();
    for file in fs::read_dir(guests_dir())? {
        let path = file?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|kind| kind == "json") {
            server.load(&guest_record(&name));
        }
    }
    let loaded = memory(&server)?;
    figure("memory_idle_kb", loaded.private_dirty, "kB");
    figure("memory_idle_shmem_kb", loaded.shmem, "kB");
    Ok(())
}

fn policies() -> Res<()> {
    let builder = TestServer::start().stop();
    Shelf::new()?.fill(&builder, POLICIES)?;
    let server = builder.start();
    let mut client = Client::new(server.address())?;
    let mut call = |policies: std::ops::Range<usize>| -> Res<Memory> {
        for n in policies {
            decide(&mut client, &call_of(&shelf::uri(n)))?;
        }
        memory(&server)
    };
    let (before, after) = (call(0..NOT_COUNTED)?, call(NOT_COUNTED..POLICIES)?);
    let each = (POLICIES - NOT_COUNTED) as f64;
    figure("memory_policy_kb", (after.private_dirty - before.private_dirty) / each, "kB");
    figure("memory_policy_shmem_kb", (after.shmem - before.shmem) / each, "kB");
    Ok(())
}

fn functions() -> Res<()> {
    // Half of the instances may be replicas.
    let instances = format!("max_instances = {}\nmax_replicas = {FUNCTIONS}\n", 2 * FUNCTIONS);
    let server = TestServer::builder().config(&instances).start();
    let mut record = guest_record("ip_allowlist");
    record["policy_settings"] = json!({});
    let uri = server.load(&record);
    let mut client = Client::new(server.address())?;
    for n in 0..FUNCTIONS {
        let name = format!("function-{n:04}");
        let body =
            json!({"name": name, "policy_rule_uri": uri, "policy_rule_parameters": {"local_allowlist": ["10.0.0.1"]}});
        client.data("POST", DEPLOY, &body.to_string())?;
        let (answer, _) = client.data("POST", &format!("/function/call_function/{name}"), INPUT)?;
        if answer["allowed"] != true {
            return Err(format!("an unexpected answer: {answer}").into());
        }
    }
    let memory = memory(&server)?;
    figure("memory_functions_kb", memory.private_dirty, "kB");
    figure("memory_functions_shmem_kb", memory.shmem, "kB");
    Ok(())
}
