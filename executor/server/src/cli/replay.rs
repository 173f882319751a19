//! `lictor replay`: recorded decisions, made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    num::NonZero,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, available_parallelism},
};

use clap::Args;
use lictor_loader::DiskCache;
use serde_json::json;

use super::{
    Failure,
    audit::{
        place::Place,
        show::{by_id, missing},
        unreadable,
        wanted::Wanted,
    },
    host, print,
    source::Found as Source,
};
use crate::{
    decisions::{
        read::{Filter, Found, each},
        time,
    },
    replay::{Player, Stage, Verdict},
    telemetry,
};

/// Decisions that wait for one thread.
const WAITING: usize = 1000;

/// Make recorded decisions again, and compare them byte for byte.
///
/// Each is given what it was given, and everything that it asked of the world outside (clocks, random numbers, its context,
/// HTTP, functions of the host) is answered from the record: nothing goes out, and nothing is changed. A decision of a
/// function's instance is made again by giving a new instance all that this one was given before. With --with, another
/// component decides in the place of the recorded one: what changes is what putting it in force would have changed.
///
/// Prints a line of JSON for each decision that is not the same, and one that sums up.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Replay {
    /// The decision's id [default: all that the options name].
    id: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// Decide with this component instead: a `.wasm`, an archive, a package or a crate.
    #[arg(long, value_name = "POLICY")]
    with: Option<PathBuf>,
    /// A component that decisions were made by and that the server's cache no longer has.
    #[arg(long = "component", value_name = "FILE")]
    components: Vec<PathBuf>,
    /// How many are made again at the same time [default: as many as there are processors].
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

const EXAMPLES: &str = "\
Examples:
  lictor replay 0198c0de-0000-7000-8000-000000000000 --data-dir /var/lib/lictor
  lictor replay --data-dir /var/lib/lictor --since 7d
  lictor replay --data-dir /var/lib/lictor --since 7d --policy 'ip_allowlist:*' --with candidate.wasm

Exit codes:
  0  every decision that can be made again came to the same
  1  some did not, or the log has no such decision
  2  the command makes no sense
  3  the component of --with or --component could not be loaded
  5  a failure of lictor's own";

/// What came of all of them.
#[derive(Default)]
struct Sum {
    by_verdict: BTreeMap<&'static str, u64>,
    decisions: u64,
    failed: Option<Failure>,
}

impl Replay {
    pub(super) fn run(self) -> Result<(), Failure> {
        telemetry::init("error", telemetry::LogFormat::Text).map_err(Failure::Internal)?;
        let folder = self.place.log()?;
        let filter = match &self.id {
            Some(id) => by_id(id)?,
            None => self.wanted.filter()?,
        };
        let stage = self.stage()?;
        let threads = self.threads.or_else(|| available_parallelism().ok()).map_or(1, NonZero::get);
        let sum = Mutex::new(Sum::default());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let (jobs, inbox) = mpsc::sync_channel(WAITING);
                    let (stage, filter, sum) = (&stage, &filter, &sum);
                    scope.spawn(move || work(stage, filter, &inbox, sum));
                    jobs
                })
                .collect();
            hand_out(&folder, &filter, &workers)
        })
        .map_err(|error| unreadable(&folder, &error))?;
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        match self.id {
            Some(id) if sum.decisions == 0 => Err(missing(&id)),
            _ => sum.end(),
        }
    }

    fn stage(&self) -> Result<Stage, Failure> {
        let component = |path: &PathBuf| Source::at(path, None).map(|found| found.component.bytes().to_vec());
        let candidate = self.with.as_ref().map(component).transpose()?;
        let given = self.components.iter().map(component).collect::<Result<_, _>>()?;
        let cache = self.place.data_dir()?.join("cache");
        let cache = if cache.is_dir() { Some(DiskCache::open(&cache)?) } else { None };
        Ok(Stage::new(cache, given, candidate)?)
    }
}

/// Reads the log and gives each worker its share: those of one instance to the same one, in order.
fn hand_out(folder: &Path, filter: &Filter, workers: &[mpsc::SyncSender<Found>]) -> std::io::Result<()> {
    let (mut next, mut instances) = (0_usize, BTreeSet::new());
    let give = |found: Found, idx: usize| match workers.get(idx % workers.len().max(1)) {
        Some(worker) if worker.send(found).is_ok() => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    each(folder, filter, |found| match &found.decided.instance {
        Some(instance) => {
            instances.insert(instance.clone());
            ControlFlow::Continue(())
        }
        None => {
            next = next.wrapping_add(1);
            give(found, next)
        }
    })?;
    if instances.is_empty() {
        return Ok(());
    }
    // An instance is what it was given from its beginning on, which may be before what is wanted.
    let keys = RandomState::new();
    let before = Filter { until_ms: filter.until_ms, ..Filter::default() };
    each(folder, &before, |found| {
        let Some(instance) = found.decided.instance.as_ref().filter(|instance| instances.contains(*instance)) else {
            return ControlFlow::Continue(());
        };
        let idx = usize::try_from(keys.hash_one(instance) % 1024).unwrap_or(0);
        give(found, idx)
    })
}

fn work(stage: &Stage, filter: &Filter, inbox: &mpsc::Receiver<Found>, sum: &Mutex<Sum>) {
    let lock = || sum.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = match host::runtime() {
        Ok(runtime) => runtime,
        Err(failure) => {
            lock().failed = Some(failure);
            return;
        }
    };
    let mut player = Player::new(stage);
    let tell = |done: Vec<(Found, Verdict)>| {
        for (found, verdict) in done.iter().filter(|(found, _)| filter.wants(&found.decided)) {
            let mut sum = lock();
            sum.count(verdict);
            if let Some(line) = line(found, verdict)
                && let Err(failure) = print::json_line(&line)
            {
                sum.failed = Some(failure);
            }
        }
    };
    for found in inbox {
        tell(runtime.block_on(player.again(found)));
    }
    tell(runtime.block_on(player.end()));
}

/// What is said of a decision; nothing of one that came to the same.
fn line(found: &Found, verdict: &Verdict) -> Option<String> {
    let Found { decided, .. } = found;
    let at = time(decided.at_ms).to_string();
    let (policy, name) = (&decided.policy, verdict.name());
    Some(
        match verdict {
            Verdict::Same | Verdict::StoppedByTime | Verdict::Abandoned => return None,
            Verdict::Differs { recorded, replayed } => json!({
                "decision": decided.decision, "policy": policy, "at": at, "verdict": name, "input": decided.input(),
                "recorded": recorded, "replayed": replayed,
            }),
            Verdict::Strayed(why) | Verdict::Impossible(why) => {
                json!({"decision": decided.decision, "policy": policy, "at": at, "verdict": name, "why": why})
            }
        }
        .to_string(),
    )
}

impl Sum {
    fn count(&mut self, verdict: &Verdict) {
        let n = self.by_verdict.entry(verdict.name()).or_default();
        *n = n.saturating_add(1);
        self.decisions = self.decisions.saturating_add(1);
    }

    fn end(self) -> Result<(), Failure> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        let of = |name: &str| self.by_verdict.get(name).copied().unwrap_or(0);
        let sum = json!({
            "decisions": self.decisions, "same": of("same"), "different": of("different"), "strayed": of("strayed"),
            "stopped_by_time": of("stopped_by_time"), "abandoned": of("abandoned"), "impossible": of("impossible"),
        });
        print::json_line(&sum.to_string())?;
        if 0 < of("different") || 0 < of("strayed") { Err(Failure::Policy) } else { Ok(()) }
    }
}
