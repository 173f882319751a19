//! What the server adds to a call in process: its own part of a stateless call and of a function's, the checks of
//! schemas, and a graph of four functions beside four calls of them.

use std::{future::Future, hint::black_box, sync::Arc, time::Instant};

use criterion::Criterion;
use lictor_bench::{
    INPUT, PARAMETERS, Res,
    inside::{Inside, policy},
};
use lictor_model::Schemas;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Res<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let inside = Arc::new(runtime.block_on(Inside::new())?);
    let mut criterion = Criterion::default().configure_from_args();
    schemas(&mut criterion)?;
    measure(&mut criterion, &runtime, &inside, ("server", "execute a policy"), |inside| async move {
        inside.execute().await
    });
    measure(
        &mut criterion,
        &runtime,
        &inside,
        ("server", "call a function"),
        |inside| async move { inside.call().await },
    );
    measure(&mut criterion, &runtime, &inside, ("graph", "four calls by hand"), |inside| async move {
        inside.call_four().await
    });
    measure(
        &mut criterion,
        &runtime,
        &inside,
        ("graph", "of four functions"),
        |inside| async move { inside.graph().await },
    );
    criterion.final_summary();
    if let Some(inside) = Arc::into_inner(inside) {
        runtime.block_on(inside.stop());
    }
    Ok(())
}

/// Times `call` on a worker of the runtime. It must have been answered once before.
fn measure<F>(
    criterion: &mut Criterion,
    runtime: &Runtime,
    inside: &Arc<Inside>,
    (group, name): (&str, &str),
    call: impl Fn(Arc<Inside>) -> F + Copy + Send + 'static,
) where
    F: Future<Output = Res<String>> + Send,
{
    criterion.benchmark_group(group).bench_function(name, |bencher| {
        bencher.iter_custom(|n| {
            let inside = Arc::clone(inside);
            let calls = runtime.spawn(async move {
                let started = Instant::now();
                for _ in 0..n {
                    black_box(call(Arc::clone(&inside)).await.ok());
                }
                started.elapsed()
            });
            runtime.block_on(calls).unwrap_or_default()
        });
    });
}

fn schemas(criterion: &mut Criterion) -> Res<()> {
    let record = policy();
    let (schemas, _) = Schemas::parse(record.as_object().ok_or("a record is an object")?)?;
    let answer = format!(r#"{{"allowed":true,"input_data":{INPUT},"reason":"allowed"}}"#);
    let mut group = criterion.benchmark_group("schemas");
    group.bench_function("of what a call brings", |bencher| {
        bencher.iter(|| schemas.question(black_box(INPUT), Some(black_box(PARAMETERS))));
    });
    group.bench_function("of its answer", |bencher| bencher.iter(|| schemas.answer(black_box(&answer))));
    group.finish();
    Ok(())
}
