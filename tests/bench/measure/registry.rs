//! What the number of policies in the registry means for a call of one of them: nothing.
//!
//! All on one processor: which one the thread of a server wakes up on would decide between 13 and 70 us.

use std::{
    process::{Command, id},
    thread::available_parallelism,
};

use lictor_tests::{Builder, TestServer, file_url, guest_zip};
use serde_json::json;

use crate::{Res, call_of, client::Client, decide, figure, fill, median, quantile_us};

const FEW: usize = 100;
const ROUNDS: usize = 15;
const CALLS: usize = 1000;
/// The policy that is called.
const CALLED: usize = 50;

pub(crate) fn measure() -> Res<()> {
    let builders = [filled(FEW)?, filled(fill::ALL)?];
    let processors = available_parallelism()?.get();
    run_on("0")?;
    let servers = builders.map(Builder::start);
    let mut sides = Vec::new();
    // Only now: a connection that sends nothing for long is closed.
    for server in &servers {
        sides.push((Client::new(server.address())?, Vec::new()));
    }
    let body = call_of(&fill::uri(CALLED));
    for round in 0..=ROUNDS {
        for (client, medians) in &mut sides {
            let mut took = (0..CALLS).map(|_| decide(client, &body)).collect::<Res<Vec<_>>>()?;
            // The first round loads what is called.
            if 0 < round {
                medians.push(quantile_us(&mut took, 0.5));
            }
        }
    }
    run_on(&format!("0-{}", processors - 1))?;
    let [few, many] = [0, 1].map(|idx| sides.get(idx).map_or(f64::NAN, |(_, medians)| median(medians.clone())));
    figure("registry_100_us", few, "us");
    figure("registry_100000_us", many, "us");
    figure("registry_ratio", many / few, "ratio");
    Ok(())
}

/// Has this thread, and what it starts from now on, run on these processors.
fn run_on(processors: &str) -> Res<()> {
    let output = Command::new("taskset").args(["--cpu-list", "--pid", processors, &id().to_string()]).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("taskset: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A server that is to have so many policies, of which none is in memory.
fn filled(policies: usize) -> Res<Builder> {
    let server = TestServer::start();
    let mut record = lictor_tests::record("first", &file_url(&guest_zip("ip_allowlist")));
    record["policy_settings"] = json!({});
    let uri = server.load(&record);
    let component = server.policy(&uri)["component_digest"].as_str().unwrap_or_default().parse()?;
    let builder = server.stop();
    let took = fill::store(&builder, 0, policies, component)?;
    eprintln!("  {policies} policies stored in {:.1} s", took.as_secs_f64());
    Ok(builder)
}
