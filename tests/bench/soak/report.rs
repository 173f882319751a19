//! What a run tells at its end, and whether the server stayed as large as it was.

use crate::{
    gauges::{Course, Life, Sample},
    ledger::Counts,
    world::World,
};

/// Lives that are shorter tell nothing about growth, in seconds.
const LONG: f64 = 120.0;
/// What may be added between the end of the warm-up and the end, beside a tenth.
const SLACK_KB: f64 = 16.0 * 1024.0;
const SLACK_COUNT: f64 = 64.0;

type Figure = (&'static str, fn(&Sample) -> f64, f64);

const FIGURES: [Figure; 4] = [
    ("RSS, KiB", |sample| sample.rss_kb, SLACK_KB),
    ("private memory, KiB", |sample| sample.private_kb, SLACK_KB),
    ("descriptors", |sample| sample.descriptors, SLACK_COUNT),
    ("threads", |sample| sample.threads, SLACK_COUNT),
];

/// Looks whether what the server takes has grown in the longest of its lives.
pub(crate) fn resources(world: &World, lives: &[Life]) {
    for life in lives.iter().filter(|life| LONG <= life.seconds()) {
        for (name, of, slack) in FIGURES {
            let Course { first, last, slope } = life.course(of);
            if first * 1.1 + slack < last {
                world.violation(&format!("{name} grew from {first:.0} to {last:.0}, {slope:.1} a minute"));
            }
        }
    }
}

/// The table.
pub(crate) fn print(world: &World, lives: &[Life], left_out: &[&str]) {
    println!("\nseed {}, {:.0} s", world.seed, world.began.elapsed().as_secs_f64());
    table("operations", &world.operations());
    table("outcomes", &world.outcomes());
    table("faults", &world.faults());
    println!("\n{:<32} {:>10} {:>10} {:>12}", "of the server, warm and at the end", "first", "last", "a minute");
    let longest = lives.iter().max_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    if let Some(life) = longest {
        println!("of {} lives the longest, {:.0} s, {} looks", lives.len(), life.seconds(), life.samples.len());
        for (name, of, _) in FIGURES {
            let Course { first, last, slope } = life.course(of);
            println!("  {name:<32} {first:>10.0} {last:>10.0} {slope:>+12.2}");
        }
    }
    for what in left_out {
        println!("left out: {what}");
    }
    let (n, shown) = world.violations();
    println!("\nviolations: {n}, of which lost: {}", shown.iter().filter(|what| what.contains("lost: ")).count());
    shown.iter().take(20).for_each(|what| println!("  {what}"));
}

fn table(title: &str, counts: &Counts) {
    println!("\n{title}: {}", counts.values().sum::<u64>());
    for (name, n) in counts {
        println!("  {name:<40} {n:>10}");
    }
}
