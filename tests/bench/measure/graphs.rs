//! A graph of four resident functions, one after the other, against four calls of them that hand on the same.

use std::{hint::black_box, sync::Arc, time::Instant};

use lictor_bench::inside::Inside;

use crate::{Res, figure, median};

const ROUNDS: usize = 9;
const TIMES: u32 = 5_000;

pub(crate) fn measure() -> Res<()> {
    let (graph, calls) = tokio::runtime::Runtime::new()?.block_on(async {
        let inside = Arc::new(Inside::new().await?);
        // On a worker, as requests are.
        tokio::spawn(in_turns(inside)).await?
    })?;
    figure("graph_us", graph, "us");
    figure("graph_calls_us", calls, "us");
    figure("graph_ratio", graph / calls, "ratio");
    Ok(())
}

async fn in_turns(inside: Arc<Inside>) -> Res<(f64, f64)> {
    if inside.graph().await? != inside.call_four().await? {
        return Err("the graph answers otherwise than the calls".into());
    }
    let (mut graph, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..TIMES {
            black_box(inside.call_four().await?);
        }
        calls.push(each(began));
        let began = Instant::now();
        for _ in 0..TIMES {
            black_box(inside.graph().await?);
        }
        graph.push(each(began));
    }
    Ok((median(graph), median(calls)))
}

fn each(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
}
