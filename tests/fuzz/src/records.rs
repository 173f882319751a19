//! Everything that is registered, submitted or set.

use std::fmt::Debug;

use lictor_model::{
    AssetDraft, Capabilities, Deploy, Draft, Entry, ExecutorDraft, FieldError, FunctionSpec, LimitsSpec, Schemas,
    ShadowSpec,
    alloc::Alloc,
    asset::AssetKind,
    function::{self, Autoscaling, Manage},
    graph::{self, Plan},
    job::{self, Submit},
    json,
    limits::Ceiling,
};
use serde_json::{Map, Value};

use crate::values;

/// The name of a kind and a record of it. What was taken is taken again as it is written, and is the same then.
pub(crate) fn record(data: &[u8]) {
    let Some([Value::String(kind), body]) = values(data) else { return };
    match kind.as_str() {
        "policy" => same(body, |body| {
            let draft = Draft::parse(body)?;
            Ok((draft.spec.uri.to_string(), draft.document))
        }),
        "executor" => same(body, |body| {
            let draft = ExecutorDraft::parse(body, None)?;
            Ok((draft.spec.id.to_string(), draft.document))
        }),
        "graph" => {
            same(body.clone(), |body| graph::parse(body).map(parts));
            if let Ok(entry) = graph::parse(body) {
                let (plan, _) = Plan::parse(&entry.document).expect("what was read has a plan");
                assert!(plan.leaf() < plan.nodes().len(), "the end is no node");
            }
        }
        "function" => {
            same(body.clone(), |body| function::parse(body).map(parts));
            if let Ok(entry) = function::parse(body) {
                let spec = FunctionSpec::read(&entry.document).expect("what was read is a function");
                assert!(0 < spec.replicas && spec.name == entry.id);
            }
        }
        "job" => same(body, |body| job::parse(body).map(parts)),
        "asset" => same(body, |body| asset(body, AssetKind::File)),
        "external" => same(body, |body| asset(body, AssetKind::External)),
        "submit" => same_body(&body, Submit::parse, |submit| {
            let ttl = submit.ttl_seconds_after_finished.take();
            submit.warnings.clear();
            let mut body = submit.to_body();
            body.extend(ttl.map(|ttl| ("ttl_seconds_after_finished".to_owned(), ttl.into())));
            submit.ttl_seconds_after_finished = ttl;
            Value::Object(body)
        }),
        "deploy" => same_body(&body, Deploy::parse, |deploy| {
            deploy.warnings.clear();
            deploy.to_body()
        }),
        "limits" => limits(&body),
        _ => only_read(&kind, body),
    }
}

fn parts(entry: Entry) -> (String, Map<String, Value>) {
    (entry.id, entry.document)
}

fn asset(body: Value, kind: AssetKind) -> Result<(String, Map<String, Value>), FieldError> {
    let draft = AssetDraft::parse(body, kind).map_err(|error| FieldError::new(error.field(), error.to_string()))?;
    Ok((draft.uri.to_string(), draft.document))
}

/// What `parse` makes of a record, it makes of that again.
fn same(body: Value, parse: impl Fn(Value) -> Result<(String, Map<String, Value>), FieldError>) {
    let Ok((id, document)) = parse(body) else { return };
    let written = Value::Object(document.clone()).to_string();
    let again = parse(json::parse(&written).expect("what is stored can be read"));
    assert_eq!(again, Ok((id, document)));
}

/// The same of what is sent to other executors; `body` settles what is not sent.
fn same_body<T: PartialEq + Debug + Clone>(
    sent: &Value,
    parse: impl Fn(Value) -> Result<T, FieldError>,
    body: impl Fn(&mut T) -> Value,
) {
    let Ok(mut first) = parse(sent.clone()) else { return };
    let passed_on = body(&mut first);
    let mut second = parse(passed_on).expect("what is passed on is taken");
    body(&mut second);
    assert_eq!(second, first);
}

/// Limits are within the ceiling whatever was asked for.
fn limits(body: &Value) {
    let Ok(spec) = LimitsSpec::parse(body) else { return };
    let ceiling = Ceiling { timeout_ms: 5, memory_mb: 4, output_kb: 3, log_kb: 2, http_requests: 1, context_kb: 0 };
    let limits = spec.within(&ceiling);
    assert!(limits.timeout().as_millis() <= 5 && limits.memory_bytes() <= 4 << 20);
    assert!(limits.output_bytes() <= 3 << 10 && limits.log_bytes() <= 2 << 10);
    assert!(limits.http_requests() <= 1 && limits.context_bytes() == 0);
    let cut = spec.cut_by(&ceiling);
    assert!(cut.len() <= 6 && cut.iter().all(|what| what.starts_with("`limits.")), "{cut:?}");
}

/// What is read and not written again: reading ends.
fn only_read(kind: &str, body: Value) {
    match kind {
        "manage" => drop(Manage::parse(body)),
        "shadow" => drop(ShadowSpec::parse(body, "a:1.0-b")),
        "alloc" => drop(Alloc::parse(&body)),
        "autoscaling" => {
            if let Ok(Some(autoscaling)) = Autoscaling::parse(Some(&body)) {
                for current in [1, 2, 50, u32::MAX] {
                    let wanted = autoscaling.wanted(current, 7);
                    let most = autoscaling.max_replicas;
                    assert!((autoscaling.min_replicas..=most).contains(&autoscaling.within(wanted)), "{wanted}");
                }
            }
        }
        "capabilities" => {
            if let Ok(capabilities) = Capabilities::parse(&body) {
                assert!(capabilities.http.iter().all(|origin| capabilities.permits_http(origin)));
            }
        }
        "schemas" => {
            if let Value::Object(document) = &body {
                drop((Schemas::parse(document), Schemas::of_graph(document)));
            }
        }
        _ => {}
    }
}
