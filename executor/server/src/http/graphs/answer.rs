//! What came of a graph, as it is answered.

use hyper::StatusCode;
use lictor_model::{Outcome, field::shorten};
use serde_json::{Map, Value, json};

use super::super::{Reply, options::Options, reply};
use crate::graphs::{Ended, Executed, NodeRun};

/// The answer to an execution.
pub(super) fn of(executed: Executed, options: &Options) -> Reply {
    let mut more = Vec::new();
    if !executed.warnings.is_empty() {
        more.push(("warnings", json!(executed.warnings).to_string()));
    }
    if options.usage {
        more.push(("usage", json!(executed.usage).to_string()));
    }
    if options.trace {
        more.push(("nodes", nodes(&executed.nodes)));
    }
    let body = match executed.ended {
        // PERF: the answer is a checked document, so it is put in as it is.
        Ended::Answered(output) => with(format!(r#"{{"success":true,"data":{output}"#), &more),
        Ended::Failed { node, outcome } => with(failed(node.as_deref(), &outcome), &more),
        Ended::NotRun { node, error } => {
            more.insert(0, ("node", json!(&*node).to_string()));
            return reply::refusal_with(&error, &more);
        }
    };
    reply::plain(StatusCode::OK, "application/json", body)
}

/// The beginning of an object, ended with these members.
fn with(mut body: String, more: &[(&str, String)]) -> String {
    for (name, value) in more {
        body.push_str(&format!(r#","{name}":{value}"#));
    }
    body.push('}');
    body
}

/// The failure twice, as of a policy, without the end of the object.
fn failed(node: Option<&str>, outcome: &Outcome) -> String {
    let mut body = match outcome {
        Outcome::Finished(_) => Map::new(),
        Outcome::Failed(failure) => {
            let body = json!({"success": false, "code": "policy_error", "message": failure.message});
            body.as_object().cloned().unwrap_or_default()
        }
        Outcome::Stopped(stop) => stop.to_json().as_object().cloned().unwrap_or_default(),
    };
    if let Some(node) = node {
        if let Some(Value::String(message)) = body.get_mut("message") {
            *message = format!("node `{}`: {message}", shorten(node, 60));
        }
        body.insert("node".into(), json!(node));
    }
    let copy = Value::Object(body.clone());
    body.insert("data".into(), copy);
    if let Outcome::Failed(failure) = outcome {
        let details = failure.details.as_deref().and_then(|details| serde_json::from_str::<Value>(details).ok());
        body.insert("failure".into(), json!({"code": failure.code, "details": details}));
    }
    let mut text = Value::Object(body).to_string();
    text.truncate(text.len().saturating_sub(1));
    text
}

/// What each node did, with its output as the text that it is.
fn nodes(runs: &[NodeRun]) -> String {
    let run = |run: &NodeRun| {
        let head = json!({"function_id": &*run.function_id, "outcome": run.outcome}).to_string();
        let head = head.strip_suffix('}').unwrap_or_default().to_owned();
        let members = [
            ("message", run.message.as_ref().map(|message| json!(message).to_string())),
            ("output", run.output.as_deref().map(str::to_owned)),
            ("started_us", run.started_us.map(|us| us.to_string())),
            ("wall_us", run.wall_us.map(|us| us.to_string())),
        ];
        let members: Vec<_> = members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        with(head, &members)
    };
    format!("[{}]", runs.iter().map(run).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use lictor_model::{Failure, Stop, StopKind, Usage};

    use super::*;
    use crate::error::{Error, ErrorKind};

    fn body(executed: Executed, query: &str) -> (u16, String) {
        use http_body_util::BodyExt as _;

        let reply = of(executed, &Options::parse(Some(query), &["trace"]).unwrap());
        let (status, body) = (reply.status().as_u16(), reply.into_body());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
        (status, String::from_utf8(bytes.into()).unwrap())
    }

    fn executed(ended: Ended) -> Executed {
        let ok = NodeRun {
            function_id: "a".into(),
            outcome: "ok",
            output: Some("1.50".into()),
            started_us: Some(1),
            wall_us: Some(2),
            ..NodeRun::default()
        };
        let skipped = NodeRun { function_id: "b\"".into(), outcome: "skipped", ..NodeRun::default() };
        Executed { ended, nodes: vec![ok, skipped], warnings: Vec::new(), usage: Usage::default() }
    }

    #[test]
    fn an_answer_is_put_in_as_it_is_and_so_are_those_of_nodes() {
        let (status, text) = body(executed(Ended::Answered("[ 1.50]".into())), "");
        assert_eq!((status, text.as_str()), (200, r#"{"success":true,"data":[ 1.50]}"#));
        let (_, text) = body(executed(Ended::Answered("{}".into())), "trace=1");
        let nodes = r#"[{"function_id":"a","outcome":"ok","output":1.50,"started_us":1,"wall_us":2},{"function_id":"b\"","outcome":"skipped"}]"#;
        assert_eq!(text, format!(r#"{{"success":true,"data":{{}},"nodes":{nodes}}}"#));
    }

    #[test]
    fn a_failure_names_its_node_in_both_places() {
        let failure = Failure { code: "own".into(), message: "no".into(), details: Some("[1]".into()) };
        let ended = Ended::Failed { node: Some("b".into()), outcome: Outcome::Failed(failure) };
        let copy = r#"{"success":false,"code":"policy_error","message":"node `b`: no","node":"b"}"#;
        let expected =
            format!(r#"{},"data":{copy},"failure":{{"code":"own","details":[1]}}}}"#, copy.strip_suffix('}').unwrap());
        assert_eq!(body(executed(ended), ""), (200, expected));
        let stop = Stop::new(StopKind::Timeout, "too late");
        let ended = Ended::Failed { node: None, outcome: Outcome::Stopped(stop) };
        let copy = r#"{"success":false,"code":"timeout","message":"too late"}"#;
        assert_eq!(body(executed(ended), ""), (200, format!(r#"{},"data":{copy}}}"#, copy.strip_suffix('}').unwrap())));
    }

    #[test]
    fn a_node_that_could_not_be_run_is_a_refusal_with_its_name() {
        let error = Error::new(ErrorKind::Busy, "node `b`: every replica is busy");
        let (status, text) = body(executed(Ended::NotRun { node: "b".into(), error }), "trace=1");
        let refusal: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &refusal["code"], &refusal["node"]), (429, &json!("busy"), &json!("b")));
        assert_eq!(refusal["message"], "node `b`: every replica is busy");
        assert_eq!(refusal["nodes"][0]["output"], json!(1.5));
    }
}
