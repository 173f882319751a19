//! Calls of `ip_allowlist` in process, one group for each figure: fresh instances, resident ones, and the native code.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use lictor_bench::{
    Res,
    native::Native,
    subject::{QUESTION, Subject},
};
use lictor_sandbox::{Op, Sandbox, SandboxConfig};
use lictor_tests::guest_bytes;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Res<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let subject = Subject::new(&sandbox, &guest_bytes("ip_allowlist"), Duration::from_secs(1))?;
    runtime.block_on(subject.check())?;
    let mut criterion = Criterion::default().configure_from_args();
    fresh(&mut criterion, &runtime, &subject);
    resident(&mut criterion, &runtime, &subject);
    native(&mut criterion, &Native::new()?);
    criterion.final_summary();
    Ok(())
}

/// `n` stateless calls of `op` on a worker of the runtime.
fn calls(runtime: &Runtime, subject: &Subject, op: Op<'static>, n: u64) -> tokio::task::JoinHandle<()> {
    let subject = subject.clone();
    runtime.spawn(async move {
        for _ in 0..n {
            black_box(subject.ask_fresh(op).await.ok());
        }
    })
}

fn fresh(criterion: &mut Criterion, runtime: &Runtime, subject: &Subject) {
    let mut group = criterion.benchmark_group("fresh");
    for (name, op) in [("instance, init, eval, teardown", QUESTION), ("instance, init, teardown", Op::Init)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|n| {
                let started = Instant::now();
                drop(runtime.block_on(calls(runtime, subject, op, n)));
                started.elapsed()
            });
        });
    }
    group.bench_function(BenchmarkId::new("instance, init, eval, teardown", "on two threads"), |bencher| {
        bencher.iter_custom(|n| {
            let started = Instant::now();
            let both = [calls(runtime, subject, QUESTION, n), calls(runtime, subject, QUESTION, n)];
            both.into_iter().for_each(|one| drop(runtime.block_on(one)));
            started.elapsed()
        });
    });
    group.finish();
}

fn resident(criterion: &mut Criterion, runtime: &Runtime, subject: &Subject) {
    let mut group = criterion.benchmark_group("resident");
    for (name, op) in [("eval", QUESTION), ("management", Op::Management { action: "get_state", data: "{}" })] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|n| {
                let subject = subject.clone();
                let calls = runtime.spawn(async move {
                    let mut instance = subject.resident();
                    subject.ask(&mut instance, Op::Init).await.ok();
                    let started = Instant::now();
                    for _ in 0..n {
                        black_box(subject.ask(&mut instance, op).await.ok());
                    }
                    started.elapsed()
                });
                runtime.block_on(calls).unwrap_or_default()
            });
        });
    }
    group.finish();
}

fn native(criterion: &mut Criterion, native: &Native) {
    criterion.benchmark_group("native").bench_function("eval", |bencher| bencher.iter(|| native.eval().ok()));
}
