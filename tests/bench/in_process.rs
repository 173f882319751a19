//! What a call costs without HTTP around it, and how far limits are overrun: one figure a line, `key<TAB>value<TAB>unit`.
//! The criterion suite (`benches/`) looks at the same calls one by one.
//!
//! usage: `in-process IP_ALLOWLIST.wasm SPIN.wat`

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use lictor_bench::{
    Res, median,
    native::Native,
    subject::{QUESTION, Subject},
};
use lictor_model::Outcome;
use lictor_sandbox::{Sandbox, SandboxConfig};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls in one sample, and samples. What is reported is the median of the samples, each the mean of its calls.
const CALLS: u32 = 20_000;
const SAMPLES: usize = 9;
/// Calls that are timed one by one, for what a single one takes.
const ALONE: usize = 50_000;
/// The time-out whose overrun is measured, and how often.
const TIMEOUT: Duration = Duration::from_millis(20);
const OVERRUNS: usize = 100;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Res<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(allowlist), Some(spin)) = (arguments.next(), arguments.next()) else {
        return Err("usage: in-process IP_ALLOWLIST.wasm SPIN.wat".into());
    };
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let subject = Subject::new(&sandbox, &std::fs::read(allowlist)?, Duration::from_secs(1))?;
    subject.check().await?;
    costs(&subject).await?;
    overruns(&Subject::new(&sandbox, &wat::parse_file(spin)?, TIMEOUT)?).await
}

fn figure(key: &str, value: f64, unit: &str) {
    println!("{key}\t{value:.3}\t{unit}");
}

async fn costs(subject: &Subject) -> Res<()> {
    figure("fresh_us", on_a_worker(subject, Way::Fresh).await?, "us");
    figure("fresh_p50_us", alone(subject, Way::Fresh).await?, "us");
    // What all threads of the process share, its memory map before all, shows here.
    let (a, b) = tokio::join!(on_a_worker(subject, Way::Fresh), on_a_worker(subject, Way::Fresh));
    figure("fresh_two_threads_us", (a? + b?) / 2.0, "us");
    // In turns, so that a machine that drifts does so for both.
    let (native, mut resident_samples, mut native_samples) = (Native::new()?, Vec::new(), Vec::new());
    for _ in 0..3 {
        resident_samples.push(on_a_worker(subject, Way::Resident).await?);
        native_samples.push(natively(&native)?);
    }
    let (resident, native) = (median(resident_samples), median(native_samples));
    figure("resident_us", resident, "us");
    figure("resident_p50_us", alone(subject, Way::Resident).await?, "us");
    figure("native_us", native, "us");
    figure("resident_over_native", resident / native, "ratio");
    Ok(())
}

/// Which instance a call is made of.
#[derive(Clone, Copy)]
enum Way {
    Fresh,
    Resident,
}

/// Microseconds a call, on a worker of the runtime as in the server.
async fn on_a_worker(subject: &Subject, way: Way) -> Res<f64> {
    let subject = subject.clone();
    tokio::spawn(async move {
        let (mut instance, mut samples) = (subject.resident(), Vec::new());
        for _ in 0..SAMPLES {
            let started = Instant::now();
            for _ in 0..CALLS {
                black_box(match way {
                    Way::Fresh => subject.ask_fresh(QUESTION).await?,
                    Way::Resident => subject.ask(&mut instance, QUESTION).await?,
                });
            }
            samples.push(each(started));
        }
        Ok(median(samples))
    })
    .await?
}

/// The median of calls that are timed one by one, clocks included.
async fn alone(subject: &Subject, way: Way) -> Res<f64> {
    let subject = subject.clone();
    tokio::spawn(async move {
        let (mut instance, mut samples) = (subject.resident(), Vec::with_capacity(ALONE));
        for _ in 0..ALONE {
            let started = Instant::now();
            black_box(match way {
                Way::Fresh => subject.ask_fresh(QUESTION).await?,
                Way::Resident => subject.ask(&mut instance, QUESTION).await?,
            });
            samples.push(us(started.elapsed()));
        }
        Ok(median(samples))
    })
    .await?
}

fn natively(native: &Native) -> Res<f64> {
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(native.eval()?);
        }
        samples.push(each(started));
    }
    Ok(median(samples))
}

fn each(started: Instant) -> f64 {
    us(started.elapsed()) / f64::from(CALLS)
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

async fn overruns(spinner: &Subject) -> Res<()> {
    let task = spinner.clone();
    let idle = tokio::spawn(async move { overrun(&task).await }).await??;
    figure("overrun_in_process_idle_us", p99(idle), "us");
    // More endless loops than there are workers.
    let all: Vec<_> =
        (0..3).map(|_| spinner.clone()).map(|task| tokio::spawn(async move { overrun(&task).await })).collect();
    let mut busy = Vec::new();
    for one in all {
        busy.extend(one.await??);
    }
    figure("overrun_in_process_busy_us", p99(busy), "us");
    Ok(())
}

/// How long after its time-out the caller of an endless loop has the outcome.
async fn overrun(spinner: &Subject) -> Res<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..OVERRUNS {
        let started = Instant::now();
        match spinner.ask_fresh(QUESTION).await?.outcome {
            Outcome::Stopped(_) => samples.push(us(started.elapsed().saturating_sub(TIMEOUT))),
            other => return Err(format!("the endless loop ended: {other:?}").into()),
        }
    }
    Ok(samples)
}

fn p99(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let idx = (samples.len() * 99).div_ceil(100).saturating_sub(1);
    samples.get(idx).copied().unwrap_or(f64::NAN)
}
