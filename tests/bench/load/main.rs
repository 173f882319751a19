//! Requests a second over HTTP, under one load: a bare server, ours in three forms, and peers that make the same decision.
//! They take turns, so that a machine that drifts drifts for all of them. One figure a line on standard output,
//! `key<TAB>value<TAB>unit`; what is going on, on standard error.
//!
//! usage: `load`, in the repository's folder. `LICTOR_BIN` is the server that is measured, and the bare one is the `echo`
//! beside it. With `LICTOR_BENCH_QUICK`, rounds are too short for their figures to mean much.

#[path = "../client.rs"]
mod client;
mod contestant;
mod fetched;
mod ours;
mod peers;
mod process;
mod wrk;

use std::time::Duration;

use lictor_bench::{Res, median};

use self::contestant::{Contestant, Round};

/// Turns that each contestant has.
const ROUNDS: usize = 5;
/// Turns that those whose ratio has a goal have beside these: a machine's slow minute is not to decide it.
const MORE: usize = 8;
/// Against which the others are put.
const BARE: &str = "bare";

fn main() -> Res<()> {
    let bare = ours::bare()?;
    let server = ours::server(false)?;
    let fetching = ours::server(true)?;
    let peers = peers::start()?;
    let mut ours = vec![bare.contestant(BARE), server.stateless("stateless")?, server.function()?];
    let mut others = vec![fetching.stateless("fetching")?];
    others.extend(peers.iter().map(peers::Peer::contestant));

    let is_quick = std::env::var_os("LICTOR_BENCH_QUICK").is_some();
    // The first turn is short, and does not count.
    for some in [&mut ours, &mut others] {
        turn(some, true)?;
        some.iter_mut().for_each(|one| one.rounds.clear());
    }
    for round in 1..=ROUNDS + MORE {
        eprintln!("round {round} of {}", ROUNDS + MORE);
        turn(&mut ours, is_quick)?;
        if round <= ROUNDS {
            turn(&mut others, is_quick)?;
        }
    }
    fetching.has_fetched(others.iter().filter(|one| one.key == "fetching"))?;
    ours.append(&mut others);
    print(&ours);
    Ok(())
}

/// Lets each of them have a turn. A peer that fails is left out from then on.
fn turn(all: &mut Vec<Contestant>, is_short: bool) -> Res<()> {
    let mut failed = Vec::new();
    for one in &mut *all {
        match one.measure(if is_short { 1 } else { one.seconds }) {
            Ok(()) => {}
            Err(error) if one.key.starts_with("peer_") => {
                peers::leave_out(&one.key, &error);
                failed.push(one.key.clone());
            }
            Err(error) => return Err(format!("{}: {error}", one.key).into()),
        }
    }
    all.retain(|one| !failed.contains(&one.key));
    Ok(())
}

fn print(all: &[Contestant]) {
    let Some(bare) = all.iter().find(|one| one.key == BARE) else { return };
    for one in all {
        let key = &one.key;
        println!("{key}_rps\t{:.0}\trequests/s", one.median(|round| round.rate));
        println!("{key}_p99_us\t{:.0}\tus", one.median(|round| micros(round.p99)));
        println!("{key}_user_us\t{:.2}\tus", one.median(Round::user_micros));
        println!("{key}_system_us\t{:.2}\tus", one.median(Round::system_micros));
        println!("{key}_threads\t{:.0}\tthreads", one.median(|round| round.threads as f64));
        if key != BARE {
            // Each round against the bare server's round beside it.
            let ratios = one.rounds.iter().zip(&bare.rounds).map(|(one, bare)| one.rate / bare.rate);
            println!("{key}_ratio\t{:.3}\tof bare", median(ratios.collect()));
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
