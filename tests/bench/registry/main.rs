//! What the registries cost with 100,000 policies in them, on SQLite and, where `LICTOR_TEST_POSTGRES` names one, on
//! PostgreSQL: writes a second, each kind of query, and what they mean for calls of a policy.
//!
//! Run by `tests/bench/registry.sh`. `LICTOR_BIN` is the server that is measured.

#[path = "../client.rs"]
mod client;
mod fill;
mod queries;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use lictor_tests::{Builder, TestServer};
use serde_json::json;

use self::client::Client;

/// Policies in the small registry that calls are compared with.
const FEW: usize = 100;
/// Policies that are called, spread over the few.
const CALLED: usize = 50;
/// Rounds of calls, and calls of each: the two registries take turns.
const ROUNDS: usize = 20;
const CALLS: usize = 500;
/// Policies that are created over HTTP: on one connection up to here, on 16 up to there.
const ON_ONE: usize = 2_000;
const ON_SIXTEEN: usize = 6_000;

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn quantile(mut samples: Vec<Duration>, q: f64) -> Duration {
    samples.sort();
    let idx = ((samples.len() as f64) * q) as usize;
    samples.get(idx.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn main() -> Res<()> {
    database("SQLite", TestServer::builder)?;
    if std::env::var_os("LICTOR_TEST_POSTGRES").is_some() {
        database("PostgreSQL", TestServer::on_postgres)?;
    }
    Ok(())
}

fn database(name: &str, builder: impl Fn() -> Builder) -> Res<()> {
    println!("\n{name}");
    let server = builder().start();
    let component = server.load(&fill::policy(0));
    let component = server.policy(&component)["component_digest"].as_str().unwrap_or_default().parse()?;
    println!("  policies created a second, 1 connection:   {:>8.0}", fill::write(&server, 1, ON_ONE, 1)?);
    println!("  policies created a second, 16 connections: {:>8.0}", fill::write(&server, ON_ONE, ON_SIXTEEN, 16)?);
    let builder_of_large = server.stop();
    let took = fill::store(&builder_of_large, ON_SIXTEEN, fill::ALL, component)?;
    println!("  the others stored in {:.0} s, without a server", took.as_secs_f64());
    let started = Instant::now();
    let large = builder_of_large.start();
    println!(
        "  start with {} policies: {:.0} ms, {}",
        fill::ALL,
        started.elapsed().as_secs_f64() * 1e3,
        memory(&large)
    );
    settled(&large, ON_SIXTEEN)?;
    queries::measure(&large)?;
    println!("  after the queries: {}", memory(&large));

    let few = builder().start();
    fill::write(&few, 0, FEW, 1)?;
    settled(&few, FEW)?;
    calls(&few, &large)
}

/// Waits until none of the first `n` policies is still being loaded.
fn settled(server: &TestServer, n: usize) -> Res<()> {
    let mut client = Client::new(server.address())?;
    for n in 0..n {
        let path = format!("/policy/{}", fill::uri(n));
        lictor_tests::eventually(&path, || match client.data("GET", &path, "") {
            Ok((record, _)) if record["load"]["state"] != "pending" => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    Ok(())
}

/// The memory that the server's process has.
fn memory(server: &TestServer) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
    format!("{line} resident")
}

/// Calls of the same policies with few and with many others registered, taking turns.
fn calls(few: &TestServer, large: &TestServer) -> Res<()> {
    let mut sides = Vec::new();
    for server in [few, large] {
        sides.push((Client::new(server.address())?, Vec::with_capacity(ROUNDS * CALLS)));
    }
    let bodies: Vec<String> = (0..CALLED)
        .map(|n| json!({"policy_rule_uri": fill::uri(n * FEW / CALLED), "input_data": {"ip": "127.0.0.1"}}).to_string())
        .filter(|body| !body.contains("python"))
        .collect();
    for round in 0..=ROUNDS {
        for (client, samples) in &mut sides {
            for n in 0..CALLS {
                let timed = client.send("POST", "/executor/executor-001/execute_policy", &bodies[n % bodies.len()])?;
                if !timed.body.starts_with(br#"{"success":true,"data":{"allowed":true"#) {
                    return Err(format!("an unexpected answer: {}", timed.text()).into());
                }
                // The first round loads what is called.
                if 0 < round {
                    samples.push(timed.took);
                }
            }
        }
    }
    println!("  {:<44} {:>10} {:>10}", "execute_policy, one connection", "p50 µs", "p99 µs");
    for ((_, samples), name) in sides.into_iter().zip(["100 policies registered", "100,000 policies registered"]) {
        let us = |q| quantile(samples.clone(), q).as_secs_f64() * 1e6;
        println!("  {name:<44} {:>10.0} {:>10.0}", us(0.5), us(0.99));
    }
    Ok(())
}
