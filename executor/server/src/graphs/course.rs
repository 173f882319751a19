//! One execution of a graph: each node runs as soon as its parents have answered, and those that can at the same time.
//!
//! Outputs are handed on as the text that they are; what several parents answered is joined as text. What is held at one
//! time, outputs and joins together, has a bound, because a graph can make much of little: each node that joins two
//! copies of what it is given doubles it.
//!
//! CANCEL: every call ends with the course, whose tasks and futures they are: when one failed, when the time is over, and
//! when whoever asked went away. A function replaces by itself a replica whose call was dropped.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use lictor_model::{
    Outcome, Stop, StopKind, Usage,
    field::shorten,
    graph::{Node, Plan, named},
    json,
};
use tokio::{
    task::{Id, JoinSet},
    time::sleep_until,
};

use super::executed::{Ended, Executed, NodeRun, add, micros, warn};
use crate::{checked::Checked, error::Error};

/// Bytes of outputs and joins that an execution holds at the same time.
const MAX_HELD: usize = 64 << 20;

/// What a node is called with.
pub(super) struct Turn {
    /// Its function.
    pub(super) function_id: Arc<str>,
    /// JSON text.
    pub(super) input: Arc<str>,
    /// What is left of the graph's time.
    pub(super) left_ms: u64,
}

/// An execution under way. `C` calls a node.
pub(super) struct Course<'p, C, F> {
    plan: &'p Plan,
    input: Arc<str>,
    began: Instant,
    timeout: Duration,
    /// Whether outputs are kept to be told.
    keep: bool,
    call: C,
    nodes: Vec<Progress>,
    held: usize,
    /// Calls that nobody has polled yet.
    begun: Vec<Begun<F>>,
    tasks: JoinSet<Back>,
    warnings: Vec<String>,
    usage: Usage,
}

/// How far a node is.
#[derive(Default)]
struct Progress {
    run: NodeRun,
    /// Parents that have not answered.
    waits_for: usize,
    /// Children that have not answered, for which its output is held.
    needed_by: usize,
    /// What it answered.
    output: Option<Arc<str>>,
    running: bool,
    /// The task that its call is, if it is one.
    task: Option<Id>,
    /// Bytes of the input that was made for it.
    joined: usize,
}

/// A call that can run.
struct Begun<F> {
    node: usize,
    call: F,
}

/// A call that ended.
struct Back {
    node: usize,
    wall_us: u64,
    result: Result<Checked, Error>,
}

impl<F: Future<Output = Result<Checked, Error>>> Begun<F> {
    async fn run(self) -> Back {
        let started = Instant::now();
        let result = self.call.await;
        Back { node: self.node, wall_us: micros(started), result }
    }
}

impl<'p, C, F> Course<'p, C, F>
where
    C: Fn(Turn) -> F,
    F: Future<Output = Result<Checked, Error>> + Send + 'static,
{
    /// An execution of `plan` that began then and may take so long.
    pub(super) fn new(
        plan: &'p Plan,
        input: Arc<str>,
        (began, timeout): (Instant, Duration),
        keep: bool,
        call: C,
    ) -> Self {
        let progress = |node: &Node| Progress {
            run: NodeRun { function_id: Arc::clone(&node.function_id), outcome: "skipped", ..NodeRun::default() },
            waits_for: node.parents.len(),
            needed_by: node.children.len(),
            ..Progress::default()
        };
        let nodes = plan.nodes().iter().map(progress).collect();
        let (begun, tasks, warnings, usage) = (Vec::new(), JoinSet::new(), Vec::new(), Usage::default());
        Self { plan, input, began, timeout, keep, call, nodes, held: 0, begun, tasks, warnings, usage }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self) -> Executed {
        let ended = match self.drive().await {
            Ok(output) => Ended::Answered(output),
            Err(ended) => ended,
        };
        for progress in self.nodes.iter_mut().filter(|progress| progress.running) {
            progress.run.outcome = "cancelled";
            let began = progress.run.started_us.unwrap_or_default();
            progress.run.wall_us = Some(micros(self.began).saturating_sub(began));
        }
        let keep = self.keep;
        let run = |progress: Progress| NodeRun { output: progress.output.filter(|_| keep), ..progress.run };
        let usage = Usage { wall_us: micros(self.began), ..self.usage };
        Executed { ended, nodes: self.nodes.into_iter().map(run).collect(), warnings: self.warnings, usage }
    }

    /// Runs nodes until the last one has answered.
    async fn drive(&mut self) -> Result<Arc<str>, Ended> {
        let mut late = std::pin::pin!(sleep_until(tokio::time::Instant::from_std(self.deadline())));
        for node in 0..self.nodes.len() {
            if self.nodes.get(node).is_some_and(|progress| progress.waits_for == 0) {
                self.start(node)?;
            }
        }
        loop {
            let back = tokio::select! {
                biased;
                back = self.next() => back?,
                () = &mut late => return Err(self.over(None)),
            };
            if let Some(output) = self.ended(back)? {
                return Ok(output);
            }
        }
    }

    /// The next call that ends. Those that can run at the same time are tasks, so that they use all processors.
    ///
    /// PERF: one that runs alone is polled here: a task would wake another thread for it. With that, and with calls that are
    /// boxed, a chain of four takes 1.24 times as long as its calls, where it took 2.8 times.
    async fn next(&mut self) -> Result<Back, Ended> {
        if self.tasks.is_empty()
            && let [_] = self.begun.as_slice()
            && let Some(begun) = self.begun.pop()
        {
            let node = begun.node;
            let back = AssertUnwindSafe(begun.run()).catch_unwind().await;
            return back.map_err(|_| self.lost(node, "the call panicked"));
        }
        for begun in self.begun.drain(..) {
            if let Some(progress) = self.nodes.get_mut(begun.node) {
                progress.task = Some(self.tasks.spawn(begun.run()).id());
            }
        }
        match self.tasks.join_next().await {
            Some(Ok(back)) => Ok(back),
            Some(Err(lost)) => {
                let node = self.nodes.iter().position(|progress| progress.task == Some(lost.id()));
                Err(self.lost(node.unwrap_or_default(), lost))
            }
            // Every node leads to the last one, which ends the course.
            None => Err(self.not_run(self.plan.leaf(), Error::internal("a graph came to no end", "no node runs"))),
        }
    }

    fn deadline(&self) -> Instant {
        self.began + self.timeout
    }

    /// Begins the call of a node whose parents have all answered.
    fn start(&mut self, node: usize) -> Result<(), Ended> {
        let left = self.deadline().saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.over(None));
        }
        let input = self.input_of(node)?;
        let Some(progress) = self.nodes.get_mut(node) else { return Ok(()) };
        // Rounded up: that the time is over is told of the graph, not of the node that it met.
        let left_ms = u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let call = (self.call)(Turn { function_id: Arc::clone(&progress.run.function_id), input, left_ms });
        progress.run.started_us = Some(micros(self.began));
        progress.running = true;
        self.begun.push(Begun { node, call });
        Ok(())
    }

    /// What a node is given: the graph's input, its parent's output as it is, or a list of those of its parents.
    fn input_of(&mut self, node: usize) -> Result<Arc<str>, Ended> {
        let parents = self.plan.nodes().get(node).map(|node| node.parents.as_slice()).unwrap_or_default();
        let outputs = || parents.iter().filter_map(|parent| self.nodes.get(*parent)?.output.as_ref());
        if parents.is_empty() {
            return Ok(Arc::clone(&self.input));
        }
        if let (1, Some(output)) = (parents.len(), outputs().next()) {
            return Ok(Arc::clone(output));
        }
        let n = outputs().map(|output| output.len().saturating_add(1)).fold(1, usize::saturating_add);
        if MAX_HELD < self.held.saturating_add(n) {
            return Err(self.too_much(node));
        }
        let mut text = String::with_capacity(n);
        for output in outputs() {
            text.push(if text.is_empty() { '[' } else { ',' });
            text.push_str(output);
        }
        text.push(']');
        if let Err(error) = json::check_depth(text.as_bytes()) {
            let stop = Stop::new(StopKind::BadOutput, format!("the list of its parents' outputs {error}"));
            return Err(self.failed(node, Outcome::Stopped(stop)));
        }
        self.held = self.held.saturating_add(n);
        self.nodes.get_mut(node).into_iter().for_each(|progress| progress.joined = n);
        Ok(text.into())
    }

    /// Takes what a call came to, and begins those that waited for it. Returns the output of the last node.
    fn ended(&mut self, back: Back) -> Result<Option<Arc<str>>, Ended> {
        let Back { node, wall_us, result } = back;
        if let Some(progress) = self.nodes.get_mut(node) {
            (progress.running, progress.task) = (false, None);
            progress.run.wall_us = Some(wall_us);
        }
        let checked = result.map_err(|error| self.not_run(node, error))?;
        add(&mut self.usage, &checked.run.usage);
        let id = self.nodes.get(node).map(|progress| Arc::clone(&progress.run.function_id)).unwrap_or_default();
        warn(&mut self.warnings, Some(&id), &checked.warnings);
        let output: Arc<str> = match checked.run.outcome {
            Outcome::Finished(output) => output.into(),
            outcome => return Err(self.failed(node, outcome)),
        };
        self.release(node);
        self.held = self.held.saturating_add(output.len());
        if MAX_HELD < self.held {
            return Err(self.too_much(node));
        }
        if let Some(progress) = self.nodes.get_mut(node) {
            progress.run.outcome = "ok";
            progress.output = Some(Arc::clone(&output));
        }
        if node == self.plan.leaf() {
            return Ok(Some(output));
        }
        let plan = self.plan;
        for child in plan.nodes().get(node).into_iter().flat_map(|node| &node.children) {
            let Some(progress) = self.nodes.get_mut(*child) else { continue };
            progress.waits_for = progress.waits_for.saturating_sub(1);
            if progress.waits_for == 0 {
                self.start(*child)?;
            }
        }
        Ok(None)
    }

    /// Lets go of what was held for a node that ended.
    fn release(&mut self, node: usize) {
        let plan = self.plan;
        let joined = self.nodes.get_mut(node).map(|progress| std::mem::take(&mut progress.joined));
        self.held = self.held.saturating_sub(joined.unwrap_or_default());
        for parent in plan.nodes().get(node).into_iter().flat_map(|node| &node.parents) {
            let Some(progress) = self.nodes.get_mut(*parent) else { continue };
            progress.needed_by = progress.needed_by.saturating_sub(1);
            if progress.needed_by == 0 && !self.keep {
                let gone = progress.output.take();
                self.held = self.held.saturating_sub(gone.map_or(0, |output| output.len()));
            }
        }
    }

    /// A node failed or was stopped. One that was stopped because the graph's time is over is not to blame.
    fn failed(&mut self, node: usize, outcome: Outcome) -> Ended {
        let id = self.note(node, outcome.code(), said(&outcome));
        let over = matches!(&outcome, Outcome::Stopped(stop) if stop.kind == StopKind::Timeout)
            && self.deadline() <= Instant::now();
        if over { self.over(Some(&id)) } else { Ended::Failed { node: Some(id), outcome } }
    }

    fn not_run(&mut self, node: usize, error: Error) -> Ended {
        let node = self.note(node, error.kind().code(), error.message().to_owned());
        let error = error.after(&format!("node `{}`:", shorten(&node, 60)));
        Ended::NotRun { node, error }
    }

    fn note(&mut self, node: usize, outcome: &'static str, message: String) -> Arc<str> {
        let Some(progress) = self.nodes.get_mut(node) else { return Arc::default() };
        progress.run.outcome = outcome;
        progress.run.message = Some(message);
        Arc::clone(&progress.run.function_id)
    }

    /// The time is over; `last` was stopped by that too.
    fn over(&self, last: Option<&str>) -> Ended {
        let running = self.nodes.iter().filter(|progress| progress.running);
        let names: Vec<&str> = last.into_iter().chain(running.map(|progress| &*progress.run.function_id)).collect();
        let node = if let [only] = names.as_slice() { Some(Arc::from(*only)) } else { None };
        let running = if names.is_empty() { "none".into() } else { named(names.into_iter()) };
        let message =
            format!("the graph did not finish within {} ms; running then: {running}", self.timeout.as_millis());
        Ended::Failed { node, outcome: Outcome::Stopped(Stop::new(StopKind::Timeout, message)) }
    }

    fn too_much(&mut self, node: usize) -> Ended {
        let mib = MAX_HELD >> 20;
        let message = format!("with it the graph would hold more than {mib} MiB of outputs at the same time");
        self.failed(node, Outcome::Stopped(Stop::new(StopKind::OutputTooLarge, message)))
    }

    /// A call ended without an answer.
    fn lost(&mut self, node: usize, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Ended {
        self.nodes.get_mut(node).into_iter().for_each(|progress| progress.running = false);
        self.not_run(node, Error::internal("a call came to no end", why))
    }
}

/// What is said of an outcome.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Finished(_) => String::new(),
        Outcome::Failed(failure) => failure.message.clone(),
        Outcome::Stopped(stop) => stop.message.clone(),
    }
}

#[cfg(test)]
mod tests;
