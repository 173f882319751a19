//! What each way to run a policy costs, beside a stateless call of the same policy on the same server: functions with 1,
//! 2 and 8 replicas, jobs, graphs of 1 to 16 nodes, and an upgrade while a function is called.
//!
//! Run by `tests/bench/ways.sh`. `LICTOR_BIN` is the server that is measured.

#[path = "../client.rs"]
mod client;

use std::{
    error::Error,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{TestServer, counter, guest_record, record};
use serde_json::{Value, json};

use self::client::Client;

/// Connections that call at the same time.
const CALLERS: usize = 16;
/// How long each kind of call is made.
const EACH: Duration = Duration::from_secs(4);
/// Jobs that are submitted.
const JOBS: usize = 4_000;
/// Calls of a graph of each length.
const GRAPH_CALLS: usize = 3_000;
/// Upgrades of a function with so many replicas.
const UPGRADES: usize = 20;

const STATELESS: &str = "/executor/executor-001/execute_policy";
const CREATE: &str = "/function/deployments/create/executor-001";

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Res<()> {
    let server = TestServer::start();
    server.load(&guest_record("ip_allowlist"));
    for version in ["1.0", "2.0"] {
        let code = server.put_file("counter.wasm", &counter(true));
        let mut record = record("counter", &code);
        record["version"] = json!(version);
        server.load(&record);
    }
    let address = server.address();
    let mut client = Client::new(address)?;
    calls(address, &mut client, "ip_allowlist", &uri_of(&guest_record("ip_allowlist")), &json!({"ip": "10.0.0.1"}))?;
    calls(address, &mut client, "counter", "counter:1.0-test", &json!(1))?;
    jobs(address, &mut client)?;
    graphs(&mut client)?;
    upgrades(address, &mut client)
}

fn uri_of(record: &Value) -> String {
    let part = |name: &str| record[name].as_str().unwrap_or_default();
    format!("{}:{}-{}", part("name"), part("version"), part("release_tag"))
}

fn quantile(samples: &mut [Duration], q: f64) -> Duration {
    samples.sort();
    let idx = ((samples.len() as f64) * q) as usize;
    samples.get(idx.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Calls as many connections make in [`EACH`], and how long each took.
fn load(address: SocketAddr, path: &str, body: &str) -> Res<(f64, Vec<Duration>)> {
    let started = Instant::now();
    let one = || -> Res<Vec<Duration>> {
        let (mut client, mut took) = (Client::new(address)?, Vec::new());
        while started.elapsed() < EACH {
            took.push(client.data("POST", path, body)?.1);
        }
        Ok(took)
    };
    let all = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(one)).collect();
        callers.into_iter().map(|caller| caller.join().map_err(|_| "a caller panicked")?).collect::<Res<Vec<_>>>()
    })?;
    let took = all.concat();
    Ok((took.len() as f64 / started.elapsed().as_secs_f64(), took))
}

/// Stateless calls of a policy, and calls of it as a function.
fn calls(address: SocketAddr, client: &mut Client, name: &str, uri: &str, input: &Value) -> Res<()> {
    println!("\n{name}, {CALLERS} connections          calls/s   of stateless   p50 us   p99 us");
    let line = |what: &str, (rate, mut took): (f64, Vec<Duration>), against: f64| {
        let (p50, p99) = (us(quantile(&mut took, 0.5)), us(quantile(&mut took, 0.99)));
        println!("  {what:<36} {rate:>9.0} {:>14.2} {p50:>8.0} {p99:>8.0}", rate / against);
    };
    let body = json!({"policy_rule_uri": uri, "input_data": input}).to_string();
    load(address, STATELESS, &body)?;
    let stateless = load(address, STATELESS, &body)?;
    let against = stateless.0;
    line("stateless, a fresh instance each", stateless, against);
    for replicas in [1, 2, 8] {
        let function = format!("{name}-{replicas}");
        let body = json!({"name": function, "policy_rule_uri": uri, "replicas": replicas});
        client.data("POST", CREATE, &body.to_string())?;
        let path = format!("/function/call_function/{function}");
        let measured = load(address, &path, &input.to_string())?;
        line(&format!("function, replicas = {replicas}"), measured, against);
        client.data("DELETE", &format!("/function/deployments/remove/{function}"), "")?;
    }
    Ok(())
}

/// Jobs from the first submission to the last completion.
fn jobs(address: SocketAddr, client: &mut Client) -> Res<()> {
    println!("\njobs                                   submitted/s   completed/s");
    for connections in [1, CALLERS] {
        let each = JOBS / connections;
        let name = format!("bench-{connections}");
        let body = json!({"name": name, "policy_rule_uri": "counter:1.0-test", "inputs": 1}).to_string();
        let started = Instant::now();
        let one = || -> Res<()> {
            let mut client = Client::new(address)?;
            (0..each).try_for_each(|_| client.send("POST", "/jobs/submit/executor-001", &body).map(drop))
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
            all.into_iter().try_for_each(|one| one.join().map_err(|_| "a submitter panicked")?)
        })?;
        let submitted = started.elapsed();
        let open = json!({"name": name, "job_status": {"$in": ["pending", "running"]}}).to_string();
        while client.data("POST", "/jobs/query?limit=1", &open)?.0 != json!([]) {
            thread::sleep(Duration::from_millis(20));
        }
        let (n, completed) = ((each * connections) as f64, started.elapsed());
        println!(
            "  {:<36} {:>11.0} {:>13.0}",
            format!("{connections} connections"),
            n / submitted.as_secs_f64(),
            n / completed.as_secs_f64()
        );
        let bad = json!({"name": name, "job_status": {"$ne": "completed"}}).to_string();
        let (bad, _) = client.data("POST", "/jobs/query?limit=1", &bad)?;
        if bad != json!([]) {
            return Err(format!("a job did not complete: {bad}").into());
        }
    }
    Ok(())
}

/// Chains of functions, and what one node more costs.
fn graphs(client: &mut Client) -> Res<()> {
    let names: Vec<String> = (0..16).map(|n| format!("node{n:02}")).collect();
    for name in &names {
        let body = json!({"name": name, "policy_rule_uri": "counter:1.0-test"});
        client.data("POST", CREATE, &body.to_string())?;
    }
    let mut medians = Vec::new();
    println!("\ngraphs, one connection                    p50 us   p99 us");
    let mut direct = sample(client, "/function/call_function/node00", "1")?;
    let (p50, p99) = (quantile(&mut direct, 0.5), quantile(&mut direct, 0.99));
    println!("  {:<36} {:>9.0} {:>8.0}", "the function itself", us(p50), us(p99));
    for (kind, nodes) in [("chain", 1), ("chain", 4), ("chain", 16), ("diamond", 16)] {
        let ids = &names[..nodes];
        let edges: serde_json::Map<String, Value> = match kind {
            "chain" => ids.windows(2).map(|pair| (pair[0].clone(), json!([pair[1]]))).collect(),
            _ => {
                let middle = &ids[1..nodes - 1];
                let ends = middle.iter().map(|id| (id.clone(), json!([ids[nodes - 1]])));
                std::iter::once((ids[0].clone(), json!(middle))).chain(ends).collect()
            }
        };
        let graph = json!({
            "graph_name": format!("{kind}{nodes}"), "graph_version": "1.0", "graph_release_tag": "bench",
            "graph_metadata": {}, "graph_function_ids": ids, "graph_connection_data": edges, "graph_search_tags": [],
            "graph_description": "", "graph_input_schema": {}, "graph_output_schema": {}
        });
        client.data("POST", "/graphs", &graph.to_string())?;
        let body = json!({"graph_uri": format!("{kind}{nodes}:1.0-bench"), "input_data": 1}).to_string();
        let mut took = sample(client, "/graph/execute_graph", &body)?;
        let (p50, p99) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99));
        println!("  {:<36} {:>9.0} {:>8.0}", format!("{kind} of {nodes}"), us(p50), us(p99));
        medians.push((nodes, us(p50)));
    }
    if let [(few, short), _, (many, long), ..] = medians[..] {
        println!("  {:<36} {:>9.1}", "one node more in a chain", (long - short) / (many - few) as f64);
    }
    Ok(())
}

fn sample(client: &mut Client, path: &str, body: &str) -> Res<Vec<Duration>> {
    (0..GRAPH_CALLS).map(|_| Ok(client.data("POST", path, body)?.1)).collect()
}

/// Upgrades there and back while all connections call, and what they notice.
fn upgrades(address: SocketAddr, client: &mut Client) -> Res<()> {
    println!("\nupgrade of a function that saves its state, {CALLERS} connections calling");
    println!("                                          p50 ms   p99 ms   calls' p50 us   p99 us   slowest ms");
    for replicas in [1, 2, 8] {
        let name = format!("upgraded-{replicas}");
        let body = json!({"name": name, "policy_rule_uri": "counter:1.0-test", "replicas": replicas});
        client.data("POST", CREATE, &body.to_string())?;
        let done = AtomicBool::new(false);
        let path = format!("/function/call_function/{name}");
        let one = || -> Res<Vec<Duration>> {
            let (mut client, mut took) = (Client::new(address)?, Vec::new());
            while !done.load(Ordering::Relaxed) {
                took.push(client.data("POST", &path, "1")?.1);
            }
            Ok(took)
        };
        let (mut upgrades, calls) = thread::scope(|scope| -> Res<_> {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(one)).collect();
            let upgrades = upgrade(client, &name);
            done.store(true, Ordering::Relaxed);
            let calls = callers.into_iter().map(|caller| caller.join().map_err(|_| "a caller panicked")?);
            Ok((upgrades?, calls.collect::<Res<Vec<_>>>()?))
        })?;
        let mut calls = calls.concat();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "  {:<36} {:>9.1} {:>8.1} {:>15.0} {:>8.0} {:>12.1}",
            format!("replicas = {replicas}"),
            ms(quantile(&mut upgrades, 0.5)),
            ms(quantile(&mut upgrades, 0.99)),
            us(quantile(&mut calls, 0.5)),
            us(quantile(&mut calls, 0.99)),
            ms(quantile(&mut calls, 1.0)),
        );
    }
    Ok(())
}

fn upgrade(client: &mut Client, name: &str) -> Res<Vec<Duration>> {
    let mut took = Vec::new();
    for n in 0..UPGRADES {
        let version = if n % 2 == 0 { "2.0" } else { "1.0" };
        let body = json!({"policy_rule_uri": format!("counter:{version}-test")}).to_string();
        took.push(client.data("POST", &format!("/function/{name}/upgrade"), &body)?.1);
        thread::sleep(Duration::from_millis(50));
    }
    Ok(took)
}
