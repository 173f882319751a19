//! What counting a decision costs, as a share of a stateless call in process: both on every core at once, because what is
//! counted is shared by all of them.

use std::{hint::black_box, sync::Arc, time::Instant};

use lictor::telemetry::Metrics;
use lictor_bench::inside::Inside;
use lictor_model::Outcome;

use crate::{Res, figure, median, spinner::cores};

const ROUNDS: usize = 7;
const CALLS: u32 = 20_000;
const COUNTS: u32 = 1_000_000;

pub(crate) fn measure() -> Res<()> {
    let (call, count) = tokio::runtime::Runtime::new()?.block_on(async {
        let inside = Arc::new(Inside::new().await?);
        let (mut calls, mut counts) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            calls.push(on_all(|| called(Arc::clone(&inside))).await?);
            let metrics = Metrics::new();
            counts.push(on_all(|| counted(metrics.clone())).await?);
        }
        Res::Ok((median(calls), median(counts)))
    })?;
    figure("stateless_in_process_us", call, "us");
    figure("metrics_us", count, "us");
    figure("metrics_share", count / call, "ratio");
    Ok(())
}

/// Does it on every core at once; gives the mean.
async fn on_all<F: Future<Output = Res<f64>> + Send + 'static>(one: impl Fn() -> F) -> Res<f64> {
    let tasks: Vec<_> = (0..cores()).map(|_| tokio::spawn(one())).collect();
    let mut sum = 0.0;
    for task in tasks {
        sum += task.await??;
    }
    Ok(sum / cores() as f64)
}

/// Microseconds a call, counted as every call is.
async fn called(inside: Arc<Inside>) -> Res<f64> {
    let began = Instant::now();
    for _ in 0..CALLS {
        black_box(inside.execute().await?);
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS))
}

/// Microseconds to count one.
async fn counted(metrics: Metrics) -> Res<f64> {
    let outcome = Outcome::Finished(String::new());
    let began = Instant::now();
    for n in 0..COUNTS {
        metrics.evaluation(black_box(&outcome), black_box(u64::from(n % 16)));
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(COUNTS))
}
