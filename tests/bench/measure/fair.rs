//! What a policy that behaves sees of one that spins on every core.
//!
//! One caller sends at fixed times, whether or not the answers come (an open loop), and counts from the time at which a
//! request was due, so that waiting behind a late answer counts too. Its own thread goes before all others: it stands for
//! a caller on another machine, which a busy server does not hold up.

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{TestServer, guest_record};
use serde_json::json;

use crate::{Res, call_of, client::Client, decide, figure, median, quantile_us, spinner};

const ROUNDS: usize = 5;
const REQUESTS: u32 = 1500;
/// From one request to the next.
const PERIOD: Duration = Duration::from_millis(2);
/// Slept up to here before a request is due; a sleep alone ends late.
const AWAKE: Duration = Duration::from_micros(150);

pub(crate) fn measure() -> Res<()> {
    let server = TestServer::start();
    let mut record = guest_record("ip_allowlist");
    record["policy_settings"] = json!({});
    let body = call_of(&server.load(&record));
    let spins = spinner::call_of(&spinner::load(&server, "spins", Duration::from_secs(1))?);
    let address = server.address();
    let round = || -> Res<Vec<Duration>> {
        let (mut client, body) = (Client::new(address)?, body.clone());
        thread::spawn(move || open_loop(&mut client, &body)).join().map_err(|_| "the caller panicked")?
    };
    round()?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        let mut quiet = round()?;
        let mut busy = spinner::beside(address, &spins, round)?;
        eprintln!("  round {n}: alone {}; beside {}", spread(&mut quiet), spread(&mut busy));
        alone.push(quantile_us(&mut quiet, 0.99));
        beside.push(quantile_us(&mut busy, 0.99));
    }
    let (alone, beside) = (median(alone), median(beside));
    figure("p99_alone_us", alone, "us");
    figure("p99_beside_spinner_us", beside, "us");
    figure("spinner_ratio", beside / alone, "ratio");
    Ok(())
}

fn spread(samples: &mut [Duration]) -> String {
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| quantile_us(samples, share));
    format!("p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, max {max:.0} us")
}

fn open_loop(client: &mut Client, body: &str) -> Res<Vec<Duration>> {
    if rustix::process::setpriority_process(None, -20).is_err() {
        eprintln!("  the caller's thread cannot be put before others: its own delays are counted too");
    }
    let began = Instant::now();
    let mut samples = Vec::new();
    for n in 0..REQUESTS {
        let due = began + PERIOD * n;
        thread::sleep((due - AWAKE).saturating_duration_since(Instant::now()));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        decide(client, body)?;
        samples.push(due.elapsed());
    }
    Ok(samples)
}
