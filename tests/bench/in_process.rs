//! What a call costs without HTTP around it, and how far limits are overrun. One table on standard output.
//!
//! usage: `in-process IP_ALLOWLIST.wasm SPIN.wat`

use std::{
    error::Error,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use ip_allowlist::IpAllowlist;
use lictor_model::{Limits, LimitsSpec, Outcome, limits::Ceiling};
use lictor_policy::testing::Harness;
use lictor_sandbox::{
    Bounds, Call, CallFacts, Compiler, Facts, Instance, LogLine, Op, Policy, Recorder, Sandbox, SandboxConfig, run,
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INPUT: &str = r#"{"ip":"10.0.0.1"}"#;
const PARAMETERS: &str = r#"{"local_allowlist":["127.0.0.1","192.168.0.1","10.0.0.1"]}"#;
/// Calls in one sample, and samples; the median of the samples is reported.
const CALLS: u32 = 20_000;
const SAMPLES: usize = 7;
/// The time-out whose overrun is measured, and how often.
const TIMEOUT: Duration = Duration::from_millis(20);
const OVERRUNS: usize = 100;

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Listens to nothing.
struct Silent;

impl Recorder for Silent {
    fn log(&self, _line: LogLine<'_>) {}
}

/// One policy that can be called.
#[derive(Clone)]
struct Subject {
    sandbox: Sandbox,
    policy: Arc<Policy>,
    limits: Limits,
    recorder: Arc<dyn Recorder>,
}

impl Subject {
    fn new(sandbox: &Sandbox, component: &[u8], timeout: Duration) -> Res<Self> {
        let facts = Facts::read(component, &Bounds::default())?;
        let artifact = Compiler::new(false)?.compile(&facts, component)?;
        let policy = Policy {
            module: sandbox.open(&artifact, false)?,
            uri: "ip_allowlist:1.0-beta".into(),
            settings: "{}".into(),
            parameters: PARAMETERS.into(),
            grant: Arc::default(),
            deterministic: false,
        };
        let timeout_ms = u64::try_from(timeout.as_millis())?;
        let limits = LimitsSpec { timeout_ms: Some(timeout_ms), ..LimitsSpec::default() }.within(&Ceiling::default());
        Ok(Self { sandbox: sandbox.clone(), policy: Arc::new(policy), limits, recorder: Arc::new(Silent) })
    }

    async fn call(&self, instance: &mut Instance) -> Res<Outcome> {
        let call = Call {
            op: Op::Eval { parameters: Some(PARAMETERS), input: INPUT },
            limits: self.limits,
            facts: CallFacts { id: "bench", origin: "bench" },
            context: None,
            dry_run: false,
            recorder: Arc::clone(&self.recorder),
        };
        Ok(run(&self.sandbox, instance, call).await?.outcome)
    }

    async fn fresh(&self) -> Res<Outcome> {
        self.call(&mut Instance::once(Arc::clone(&self.policy))).await
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

fn quantile(mut samples: Vec<Duration>, q: f64) -> Duration {
    samples.sort();
    let idx = ((samples.len() as f64) * q) as usize;
    samples.get(idx.min(samples.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn micros_per_call(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

async fn fresh(subject: &Subject) -> Res<f64> {
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(subject.fresh().await?);
        }
        samples.push(micros_per_call(started));
    }
    Ok(median(samples))
}

/// Fresh calls on both cores at once: what the process's memory map costs shows here.
async fn fresh_on_two(subject: &Subject) -> Res<f64> {
    let one = |subject: Subject| tokio::spawn(async move { fresh(&subject).await });
    let (a, b) = tokio::join!(one(subject.clone()), one(subject.clone()));
    Ok((a?? + b??) / 2.0)
}

async fn resident(subject: &Subject) -> Res<f64> {
    let mut instance = Instance::new(Arc::clone(&subject.policy));
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(subject.call(&mut instance).await?);
        }
        samples.push(micros_per_call(started));
    }
    Ok(median(samples))
}

fn native() -> Res<f64> {
    let harness = Harness::<IpAllowlist>::new(&json!({}), &json!({})).map_err(|failure| failure.message)?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(harness.eval_text(Some(PARAMETERS), INPUT).map_err(|failure| failure.message)?);
        }
        samples.push(micros_per_call(started));
    }
    Ok(median(samples))
}

/// How long after its time-out the caller of an endless loop has the outcome.
async fn overrun(subject: &Subject) -> Res<Vec<Duration>> {
    let mut samples = Vec::new();
    for _ in 0..OVERRUNS {
        let started = Instant::now();
        match subject.fresh().await? {
            Outcome::Stopped(_) => samples.push(started.elapsed().saturating_sub(TIMEOUT)),
            other => return Err(format!("the endless loop ended: {other:?}").into()),
        }
    }
    Ok(samples)
}

/// The same while as many other endless loops run as there are cores.
async fn overrun_busy(subject: &Subject) -> Res<Vec<Duration>> {
    let all = (0..3).map(|_| {
        let subject = subject.clone();
        tokio::spawn(async move { overrun(&subject).await })
    });
    let mut samples = Vec::new();
    for one in all.collect::<Vec<_>>() {
        samples.extend(one.await??);
    }
    Ok(samples)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Res<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(allowlist), Some(spin)) = (arguments.next(), arguments.next()) else {
        return Err("usage: in-process IP_ALLOWLIST.wasm SPIN.wat".into());
    };
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let subject = Subject::new(&sandbox, &std::fs::read(allowlist)?, Duration::from_secs(1))?;
    match subject.fresh().await? {
        Outcome::Finished(answer) if answer.contains(r#""allowed":true"#) => {}
        other => return Err(format!("unexpected answer: {other:?}").into()),
    }
    let row = |what: &str, value: f64| println!("{what:<58} {value:>9.2} µs");
    let task = subject.clone();
    row("fresh instance, init, eval, teardown", tokio::spawn(async move { fresh(&task).await }).await??);
    row("the same, on two threads at once, each", fresh_on_two(&subject).await?);
    let task = subject.clone();
    row("resident eval", tokio::spawn(async move { resident(&task).await }).await??);
    row("the same code compiled natively", native()?);
    let spinner = Subject::new(&sandbox, &wat::parse_file(spin)?, TIMEOUT)?;
    let task = spinner.clone();
    let idle = tokio::spawn(async move { overrun(&task).await }).await??;
    row("overrun of a 20 ms time-out by an endless loop, p50", quantile(idle.clone(), 0.5).as_secs_f64() * 1e6);
    row("the same, p99", quantile(idle, 0.99).as_secs_f64() * 1e6);
    row("the same with every core busy, p99", quantile(overrun_busy(&spinner).await?, 0.99).as_secs_f64() * 1e6);
    Ok(())
}
