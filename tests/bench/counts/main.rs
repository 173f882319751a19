//! Exact counts of the hot call, compared with `tests/bench/counts.json`: how often the host asks for memory, which
//! system calls it makes, how much fuel the guest uses. Clocks drift, counts do not: one allocation more in a call is
//! seen here, whatever the machine does meanwhile.
//!
//! A count that grew, or fell, is committed together with its reason: `make counts BECAUSE='…'`.

mod baseline;
mod calls;
mod server;
mod system_calls;

use std::{error::Error, time::Duration};

use lictor_bench::{
    allocations::{Counting, asked},
    subject::{QUESTION, Subject},
};
use lictor_sandbox::{Sandbox, SandboxConfig};
use lictor_tests::guest_bytes;

use self::{
    baseline::{Count, Meaning, agrees},
    calls::{ROUTES, Route, counting, prepare},
    server::Server,
};

#[path = "../client.rs"]
mod client;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Calls before anything is counted: pools are filled, tables have grown.
const WARM: usize = 300;
/// Calls that are counted one by one in process.
const ONE_BY_ONE: usize = 501;
/// Calls between two looks at a server's count, and how many such windows; the one in the middle counts, so that what
/// happens in the background now and then is left out.
const WINDOW: usize = 100;
const WINDOWS: usize = 41;
/// More fuel than a call needs.
const FUEL: u64 = 1_000_000_000;

fn middle<T: Ord + Copy>(mut samples: Vec<T>) -> Res<T> {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().ok_or_else(|| "nothing was counted".into())
}

/// Runs on this thread alone, so that nothing but the call asks for memory.
fn on_this_thread<T>(work: impl Future<Output = Res<T>>) -> Res<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[test]
fn allocations_of_a_call_in_the_sandbox() -> Res<()> {
    agrees("allocations in the sandbox", || {
        on_this_thread(async {
            let sandbox = Sandbox::new(SandboxConfig::default())?;
            let subject = Subject::new(&sandbox, &guest_bytes("ip_allowlist"), Duration::from_secs(60))?;
            subject.check().await?;
            let (mut fresh, mut resident, mut instance) = (Vec::new(), Vec::new(), subject.resident());
            for n in 0..WARM + ONE_BY_ONE {
                let before = asked();
                drop(subject.ask_fresh(QUESTION).await?);
                let between = asked();
                drop(subject.ask(&mut instance, QUESTION).await?);
                let after = asked();
                if WARM <= n {
                    fresh.push(between - before);
                    resident.push(after - between);
                }
            }
            let of = |name, n: u64| Count { name, n: n as f64, meaning: Meaning::Exact };
            Ok(vec![of("stateless", middle(fresh)?), of("resident", middle(resident)?)])
        })
    })
}

#[test]
fn allocations_of_a_request() -> Res<()> {
    agrees("allocations of a request", || {
        let home = tempfile::tempdir()?;
        let mut server = Server::start(&mut counting(home.path()))?;
        prepare(&server)?;
        ROUTES.iter().map(|route| of_route(&mut server, route)).collect()
    })
}

fn of_route(server: &mut Server, route: &Route) -> Res<Count> {
    let mut client = server.client()?;
    route.make(&mut client, WARM)?;
    let mut windows = Vec::new();
    for _ in 0..WINDOWS {
        let before = server.allocations()?;
        route.make(&mut client, WINDOW)?;
        windows.push(server.allocations()? - before);
    }
    Ok(Count { name: route.name, n: middle(windows)? as f64 / WINDOW as f64, meaning: Meaning::PerCall })
}

#[test]
fn fuel_of_a_call() -> Res<()> {
    agrees("fuel", || {
        on_this_thread(async {
            let sandbox = Sandbox::new(SandboxConfig::default())?;
            let subject = Subject::metered(&sandbox, &guest_bytes("ip_allowlist"), FUEL)?;
            subject.check().await?;
            let mut instance = subject.resident();
            drop(subject.ask(&mut instance, QUESTION).await?);
            let mut counts = Vec::new();
            for name in ["stateless", "resident"] {
                let run = match name {
                    "stateless" => subject.ask_fresh(QUESTION).await?,
                    _ => subject.ask(&mut instance, QUESTION).await?,
                };
                let n = run.usage.fuel.ok_or("no fuel was counted")?;
                counts.push(Count { name, n: n as f64, meaning: Meaning::Compiled });
            }
            Ok(counts)
        })
    })
}

#[test]
fn system_calls_of_a_request() -> Res<()> {
    let home = tempfile::tempdir()?;
    prepare(&Server::start(&mut calls::real(home.path()))?)?;
    for route in &ROUTES {
        system_calls::agree(home.path(), route)?;
    }
    Ok(())
}
