//! Graphs: functions that hand their outputs to each other.
//!
//! ```text
//! entity    what a record must hold
//! known     the plans of graphs that were executed before
//! course    one execution: which node runs when, with what, and what stops it
//! executed  what came of it
//! ```
//!
//! A graph is executed against one deadline, and stops at the first node that fails or cannot be run. Its nodes are calls
//! of functions: [`Functions::call`] is all that is known of them here.

mod course;
mod entity;
mod executed;
mod known;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lictor_model::{
    Entry, Outcome, SchemaMode, Schemas, Stop, StopKind, Violation,
    field::shorten,
    graph::{Plan, named},
    limits::Ceiling,
};
use serde_json::Value;
use tokio_util::task::TaskTracker;

use self::{
    course::{Course, Turn},
    known::{Graph, Known},
};
pub use self::{
    entity::GraphEntity,
    executed::{Ended, Executed, NodeRun},
};
use crate::{
    access::Asker,
    checked,
    error::{Error, ErrorKind},
    executor::Origin,
    functions::{FunctionCall, Functions},
    registry::Registry,
    store::{Change, Changes, Kind, Store},
};

/// The graphs of this server. Cheap to clone.
#[derive(Clone)]
pub struct Graphs {
    parts: Arc<Parts>,
}

struct Parts {
    registry: Registry<GraphEntity>,
    store: Store,
    functions: Functions,
    known: Known,
    ceiling: Duration,
    tasks: TaskTracker,
}

/// One execution as it was asked for.
#[derive(Clone, Debug)]
pub struct GraphCall<'a> {
    /// JSON text.
    pub input: &'a str,
    /// A time-out lower than the server's.
    pub timeout_ms: Option<u64>,
    /// Whether nothing of it is to last.
    pub dry_run: bool,
    /// Whether what each node answered is to be told.
    pub trace: bool,
    /// Who asks.
    pub asker: Asker,
}

impl Graphs {
    /// The graphs in `store`, which call `functions` and take no longer than `ceiling` has it.
    pub fn start(store: Store, functions: Functions, ceiling: &Ceiling, tasks: &TaskTracker) -> Self {
        let registry = Registry::new(store.clone(), GraphEntity);
        let ceiling = Duration::from_millis(ceiling.timeout_ms);
        let (known, changes) = (Known::default(), store.changes());
        let parts = Parts { registry, store, functions, known, ceiling, tasks: tasks.clone() };
        let graphs = Self { parts: Arc::new(parts) };
        tasks.spawn(follow(graphs.clone(), changes));
        graphs
    }

    /// Their records.
    pub fn registry(&self) -> &Registry<GraphEntity> {
        &self.parts.registry
    }

    /// Stores a new graph. Returns it with what its author should know.
    pub async fn create(&self, body: Value) -> Result<Entry, Error> {
        let graphs = self.clone();
        let entry = self.to_the_end(async move {
            let created = graphs.parts.registry.create(body).await?;
            graphs.parts.known.forget(Some(&created.entry.id));
            Ok(created.entry)
        });
        self.with_warnings(entry.await?).await
    }

    /// Replaces or changes a graph. Returns it with what its author should know.
    pub async fn update(&self, uri: &str, body: Value) -> Result<Entry, Error> {
        let (graphs, uri) = (self.clone(), uri.to_owned());
        let entry = self.to_the_end(async move {
            let changed = graphs.parts.registry.update(&uri, body).await;
            // Also of a change that failed: the database may have made it and only not said so.
            graphs.parts.known.forget(Some(&uri));
            let entry = changed?.entry;
            graphs.parts.known.forget(Some(&entry.id));
            Ok(entry)
        });
        self.with_warnings(entry.await?).await
    }

    /// Removes a graph.
    pub async fn delete(&self, uri: &str) -> Result<(), Error> {
        let (graphs, uri) = (self.clone(), uri.to_owned());
        self.to_the_end(async move {
            let deleted = graphs.parts.registry.delete(&uri).await;
            graphs.parts.known.forget(Some(&uri));
            deleted
        })
        .await
    }

    /// CANCEL: a change is brought to its end although whoever asked for it went away: what is known must not stay behind
    /// what is stored.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.parts.tasks.spawn(work).await;
        done.map_err(|error| Error::internal("the graph could not be changed", error))?
    }

    /// Warns of functions that are not there yet.
    async fn with_warnings(&self, mut entry: Entry) -> Result<Entry, Error> {
        let Ok((plan, _)) = Plan::parse(&entry.document) else { return Ok(entry) };
        let missing = self.missing(&plan).await?;
        if !missing.is_empty() {
            let names = named(missing.iter().copied());
            entry
                .warnings
                .push(format!("no function is deployed yet as {names}: the graph can be executed once it is"));
        }
        Ok(entry)
    }

    /// The functions of a plan that there are not.
    async fn missing<'p>(&self, plan: &'p Plan) -> Result<Vec<&'p str>, Error> {
        let ids = plan.nodes().iter().map(|node| &*node.function_id);
        let ids: Vec<&str> = ids.filter(|id| !self.parts.functions.is_here(id)).collect();
        self.parts.store.missing(Kind::Function, &ids).await
    }

    /// Executes a graph.
    pub async fn execute(&self, uri: &str, call: GraphCall<'_>) -> Result<Executed, Error> {
        let began = Instant::now();
        let timeout = call.timeout_ms.map_or(self.parts.ceiling, Duration::from_millis).min(self.parts.ceiling);
        let graph = self.graph(uri).await?;
        let plan = graph.plan.as_ref().map_err(|why| Error::new(ErrorKind::Conflict, why.clone()))?;
        let missing = self.missing(plan).await?;
        if let [first, ..] = missing.as_slice() {
            let (node, error) = ((*first).into(), Error::new(ErrorKind::NotFound, none_of(&missing)));
            return Ok(Executed::before(plan, Ended::NotRun { node, error }, began));
        }
        let wrong = checked::check(&graph.schemas, call.input, None, Schemas::question).await;
        if let Some(stop) = refused(&graph.schemas, StopKind::InputSchema, "what the call brings", &wrong) {
            let ended = Ended::Failed { node: None, outcome: Outcome::Stopped(stop) };
            return Ok(Executed::before(plan, ended, began));
        }
        let (functions, asker, dry_run) = (self.parts.functions.clone(), Arc::new(call.asker), call.dry_run);
        let run = move |turn: Turn| {
            let (functions, asker) = (functions.clone(), Arc::clone(&asker));
            // Boxed, since the course moves it several times.
            Box::pin(async move {
                let Turn { function_id, input, left_ms } = turn;
                let (timeout_ms, origin, asker) = (Some(left_ms), Origin::Graph, &*asker);
                let call = FunctionCall { input: &input, timeout_ms, dry_run, origin, asker };
                functions.call(&function_id, call).await
            })
        };
        let course = Course::new(plan, call.input.into(), (began, timeout), call.trace, run);
        let mut executed = course.run().await;
        executed.warn(None, &wrong);
        self.check_answer(&graph.schemas, &mut executed).await;
        Ok(executed)
    }

    async fn check_answer(&self, schemas: &Arc<Schemas>, executed: &mut Executed) {
        let Ended::Answered(output) = &executed.ended else { return };
        let wrong = checked::check(schemas, output, None, |schemas, output, _| schemas.answer(output)).await;
        match refused(schemas, StopKind::OutputSchema, "the graph's answer", &wrong) {
            Some(stop) => executed.ended = Ended::Failed { node: None, outcome: Outcome::Stopped(stop) },
            None => executed.warn(None, &wrong),
        }
    }

    /// A graph that is to be executed. One that cannot be is known too, with the reason: it was stored by a version that
    /// did not look.
    async fn graph(&self, uri: &str) -> Result<Arc<Graph>, Error> {
        let known = &self.parts.known;
        if let Some(graph) = known.get(uri) {
            return Ok(graph);
        }
        let seen = known.changes();
        let graph = Arc::new(Graph::of(&self.parts.registry.stored(uri).await?.document));
        known.keep(uri, &graph, seen);
        Ok(graph)
    }
}

/// What refuses a document, if it is refused.
fn refused(schemas: &Schemas, kind: StopKind, what: &str, wrong: &[Violation]) -> Option<Stop> {
    if wrong.is_empty() || schemas.mode() != SchemaMode::Enforce {
        return None;
    }
    let listed = wrong.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ");
    let message = format!("{what} does not match the graph's schema: {listed}");
    Some(Stop { kind, message, violations: wrong.to_vec() })
}

/// What the original says of a function that is not there.
fn none_of(missing: &[&str]) -> String {
    match missing {
        [only] => format!("No function with ID '{}' found.", shorten(only, 200)),
        _ => format!("No functions with these IDs found: {}.", named(missing.iter().copied())),
    }
}

/// Follows what other processes change.
async fn follow(graphs: Graphs, mut changes: Changes) {
    while let Some(change) = changes.next().await {
        match change {
            Change::One(Kind::Graph, uri) => graphs.parts.known.forget(Some(&uri)),
            Change::All => graphs.parts.known.forget(None),
            _ => {}
        }
    }
}
