//! What the server takes of the machine, looked at every second, and whether it stays the same.

use std::{
    collections::BTreeMap,
    fs,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::{connection::Connection, world::World};

const PAUSE: Duration = Duration::from_secs(1);
/// How long everything may take to be given back.
const PATIENCE: Duration = Duration::from_secs(60);

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Seconds since the process was first looked at.
    pub(crate) at: f64,
    pub(crate) rss_kb: f64,
    pub(crate) private_kb: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
}

/// All looks at one process.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pid: u32,
    began: Instant,
    pub(crate) samples: Vec<Sample>,
    counters: BTreeMap<String, f64>,
}

/// One figure of a life: what it was after the warm-up and at the end, and how it went on the whole.
pub(crate) struct Course {
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// By the minute, of the line that lies closest.
    pub(crate) slope: f64,
}

/// Looks until the world is over.
pub(crate) fn watch(world: &World, lives: &Mutex<Vec<Life>>) {
    let mut connection = Connection::default();
    while !world.is_over() {
        thread::sleep(PAUSE);
        let mark = world.ends.mark();
        let Some((_, admin, pid)) = world.at().filter(|_| !world.ends.is_on()) else { continue };
        let mut lives = lives.lock().expect("no other thread fails while it looks");
        if lives.last().is_none_or(|life| life.pid != pid) {
            lives.push(Life { pid, began: Instant::now(), samples: Vec::new(), counters: BTreeMap::new() });
        }
        let life = lives.last_mut().expect("there is one by now");
        life.samples.extend(Sample::take(pid, life.began));
        match connection.send(admin, "GET /metrics HTTP/1.1", b"") {
            Ok(reply) => life.compare(world, &String::from_utf8_lossy(&reply.body)),
            Err(_) if world.ends.touched(mark) => {}
            Err(error) => world.violation(&format!("the metrics: no answer: {error}")),
        }
    }
}

/// When nobody calls, only replicas of functions have sandboxes.
pub(crate) fn given_back(world: &World) {
    let began = Instant::now();
    let mut seen = String::new();
    while began.elapsed() < PATIENCE {
        let Some((_, admin, _)) = world.at() else { return };
        let Ok(reply) = Connection::default().send(admin, "GET /metrics HTTP/1.1", b"") else { continue };
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let gauge = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (used, replicas) = (gauge("lictor_instances_in_use "), gauge("lictor_function_replicas "));
        if used.is_some() && used == replicas {
            return;
        }
        seen = format!("{used:?} sandboxes are in use for {replicas:?} replicas");
        thread::sleep(Duration::from_millis(100));
    }
    world.violation(&format!("when nobody calls, {seen}"));
}

impl Sample {
    /// None if the process is gone.
    fn take(pid: u32, began: Instant) -> Option<Self> {
        let folder = format!("/proc/{pid}");
        let maps = fs::read_to_string(format!("{folder}/smaps_rollup")).ok()?;
        let kb = |name: &str| {
            let rest = maps.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        let entries = |name: &str| Some(fs::read_dir(format!("{folder}/{name}")).ok()?.count() as f64);
        Some(Self {
            at: began.elapsed().as_secs_f64(),
            rss_kb: kb("Rss:")?,
            private_kb: kb("Private_Dirty:")?,
            descriptors: entries("fd")?,
            threads: entries("task")?,
        })
    }
}

impl Life {
    /// Counters never go down in the life of a process, and never go away.
    fn compare(&mut self, world: &World, text: &str) {
        let now = counters(text);
        if now.is_empty() {
            world.violation("the metrics have no counters");
        }
        for (name, before) in &self.counters {
            match now.get(name) {
                Some(value) if before <= value => {}
                other => world.violation(&format!("the counter {name} was {before}, and is {other:?}")),
            }
        }
        self.counters = now;
    }

    /// How long it was looked at.
    pub(crate) fn seconds(&self) -> f64 {
        self.samples.last().map_or(0.0, |sample| sample.at)
    }

    /// The course of one figure, without the first third, in which caches fill.
    pub(crate) fn course(&self, of: impl Fn(&Sample) -> f64) -> Course {
        let settled: Vec<&Sample> = self.samples.iter().filter(|sample| self.seconds() / 3.0 < sample.at).collect();
        let part = (settled.len() / 4).max(1);
        let middle = |samples: &[&Sample]| lictor_bench::median(samples.iter().map(|sample| of(sample)).collect());
        Course {
            first: middle(&settled[..part.min(settled.len())]),
            last: middle(&settled[settled.len().saturating_sub(part)..]),
            slope: slope(settled.iter().map(|sample| (sample.at / 60.0, of(sample))).collect()),
        }
    }
}

/// Everything in the text of the metrics that only counts up.
fn counters(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let counts = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        ["_total", "_bucket", "_count", "_sum"].iter().any(|ending| name.ends_with(ending))
    };
    lines
        .filter(|(name, _)| counts(name))
        .filter_map(|(name, value)| Some((name.into(), value.parse().ok()?)))
        .collect()
}

/// By least squares.
fn slope(points: Vec<(f64, f64)>) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    over / under
}

#[cfg(test)]
mod tests {
    use super::{counters, slope};

    #[test]
    fn the_slope_of_a_line_is_its_own() {
        assert!((slope(vec![(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_counts_up_is_compared() {
        let text =
            "# HELP a b\nlictor_calls_total{outcome=\"ok\"} 3\nlictor_replicas 2\nlictor_time_bucket{le=\"0.1\"} 4\n";
        let found: Vec<_> = counters(text).into_iter().collect();
        assert_eq!(
            found,
            [("lictor_calls_total{outcome=\"ok\"}".into(), 3.0), ("lictor_time_bucket{le=\"0.1\"}".into(), 4.0)]
        );
    }
}
