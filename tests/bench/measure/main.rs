//! What a caller feels: first decisions, neighbours that spin, many policies, memory, limits, large registries, counting and
//! graphs. One figure a line on standard output, `key<TAB>value<TAB>unit`; what is going on, on standard error.
//!
//! usage: `measure [first|fair|rotation|memory|overrun|registry|counting|graphs]…`, all of them if none is named.
//! `LICTOR_BIN` is the server that is measured.

#[path = "../client.rs"]
mod client;
mod counting;
mod fair;
#[path = "../registry/fill.rs"]
#[expect(dead_code, reason = "what queries look for is for `registry`")]
mod fill;
mod first;
mod graphs;
mod memory;
mod overrun;
mod registry;
mod rotation;
mod shelf;
mod spinner;

use std::time::Duration;

use lictor_bench::{INPUT, PARAMETERS, Res, median};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXECUTE: &str = "/executor/executor-001/execute_policy";
const DEPLOY: &str = "/function/deployments/create/executor-001";

/// Prints what it found.
type Measure = fn() -> Res<()>;

/// What is measured, under the name that it is asked for by.
const ALL: [(&str, Measure); 8] = [
    ("first", first::measure),
    ("fair", fair::measure),
    ("rotation", rotation::measure),
    ("memory", memory::measure),
    ("overrun", overrun::measure),
    ("registry", registry::measure),
    ("counting", counting::measure),
    ("graphs", graphs::measure),
];

fn main() -> Res<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| ALL.iter().all(|(known, _)| known != name)) {
        return Err(format!("`{unknown}` is not one of {:?}", ALL.map(|(name, _)| name)).into());
    }
    for (name, measure) in ALL.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name)) {
        let began = std::time::Instant::now();
        measure().map_err(|error| format!("{name}: {error}"))?;
        eprintln!("measured {name} in {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Prints a figure.
fn figure(key: &str, value: f64, unit: &str) {
    println!("{key}\t{value:.3}\t{unit}");
}

/// The smallest sample that this share of the others does not exceed, in microseconds.
fn quantile_us(samples: &mut [Duration], share: f64) -> f64 {
    samples.sort();
    let at = (samples.len() as f64 * share).ceil() as usize;
    let idx = at.clamp(1, samples.len().max(1)) - 1;
    samples.get(idx).map_or(f64::NAN, |sample| us(*sample))
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A stateless call of a policy.
fn call_of(uri: &str) -> String {
    format!(r#"{{"policy_rule_uri":"{uri}","input_data":{INPUT},"parameters":{PARAMETERS}}}"#)
}

/// Makes a call that must be answered with a decision.
fn decide(client: &mut client::Client, body: &str) -> Res<Duration> {
    let timed = client.send("POST", EXECUTE, body)?;
    if timed.body.starts_with(br#"{"success":true,"data":{"allowed":true"#) {
        return Ok(timed.took);
    }
    Err(format!("an unexpected answer: {}", timed.text()).into())
}
