//! A thousand different policies, one after the other, against one: what caches and maps of memory cost.

use std::process::Command;

use lictor_tests::{TestServer, repository};

use crate::{EXECUTE, Res, call_of, client::Client, decide, figure, median, shelf, shelf::Shelf};

const POLICIES: usize = 1000;
const ROUNDS: usize = 5;
const SECONDS: usize = 3;

pub(crate) fn measure() -> Res<()> {
    let builder = TestServer::start().stop();
    Shelf::new()?.fill(&builder, POLICIES)?;
    let server = builder.start();
    let mut client = Client::new(server.address())?;
    for n in 0..POLICIES {
        decide(&mut client, &call_of(&shelf::uri(n)))?;
    }
    let url = format!("http://{}{EXECUTE}", server.address());
    load(&url, POLICIES, 1)?;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(load(&url, 1, SECONDS)?);
        all.push(load(&url, POLICIES, SECONDS)?);
    }
    eprintln!("  one {one:.0?}, {POLICIES} {all:.0?}");
    let (one, all) = (median(one), median(all));
    figure("rotation_one_rps", one, "1/s");
    figure("rotation_thousand_rps", all, "1/s");
    figure("rotation_ratio", all / one, "ratio");
    Ok(())
}

/// Calls of the first `policies` in turn; gives how many were answered a second.
fn load(url: &str, policies: usize, seconds: usize) -> Res<f64> {
    let script = repository().join("tests/bench/rotate.lua");
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c32", &format!("-d{seconds}s"), "-s"]).arg(script);
    let output = wrk.args([url, "--", &policies.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).ok_or("wrk named no rate")?;
    Ok(rate.trim().parse()?)
}
