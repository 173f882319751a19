//! Rows for the registries: policies, executors, graphs, functions, jobs, assets.

use lictor_tests::record;
use serde_json::{Value, json};

use super::{Body, REGISTRY, RUNNING, Row, but, missing, row};

/// The executor that is there.
pub(super) fn executor() -> Value {
    json!({
        "executor_id": "far", "executor_host_uri": "http://127.0.0.1:9", "executor_metadata": {"n": "text"},
        "executor_hardware_info": {}
    })
}

/// The graph that is there.
pub(super) fn graph() -> Value {
    json!({
        "graph_name": "there", "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": {"n": "text"},
        "graph_function_ids": ["a"], "graph_connection_data": {}, "graph_search_tags": [], "graph_description": "",
        "graph_input_schema": {}, "graph_output_schema": {}
    })
}

/// The asset that is there.
pub(super) fn asset() -> Value {
    json!({
        "asset_name": "there", "asset_version": {"version": "1.0", "tag": "test"}, "asset_metadata": {"n": "text"},
        "asset_public_url": "https://example.com/p.zip"
    })
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = policies();
    rows.extend(executors());
    rows.extend(graphs());
    rows.extend(functions_and_jobs());
    rows.extend(assets());
    for path in ["/policy/query", "/executor/query", "/graphs/query", "/jobs/query"] {
        rows.extend(queries(path, REGISTRY));
    }
    for path in ["/function/query", "/assets"] {
        rows.extend(queries(path, RUNNING));
    }
    for path in ["/policy/there:1.0-test", "/executor/far", "/graphs/there:1.0-test"] {
        rows.extend(updates(path));
    }
    rows
}

/// What may be wrong with a query of any registry.
fn queries(path: &str, status: u16) -> Vec<Row> {
    let post = |options: &str, filter: Value, field: &'static str, says: &'static str| {
        row(&format!("POST {path}{options}"), filter, status, field, says)
    };
    vec![
        post("", json!({"$where": "1"}), "$where", "$where"),
        post("", json!({"a": {"$near": 1}}), "a", "unknown operator `$near`"),
        post("", json!({"a": {"$gt": 1, "b": 2}}), "a", "`b`"),
        post("", json!({"$and": []}), "$and", "list"),
        post("", json!({"$or": {"a": 1}}), "$or", "list"),
        post("", json!({"$or": [{"a": 1}, 5]}), "$or.1", "object"),
        post("", json!({"a": {"$in": 5}}), "a.$in", "list"),
        post("", json!({"a": {"$regex": "("}}), "a.$regex", ""),
        post("", json!({"a": {"$regex": "a", "$options": "q"}}), "a.$options", "q"),
        post("", json!({"a": {"$options": "i"}}), "a.$options", "$regex"),
        post("", json!({"a": {"$size": -1}}), "a.$size", "whole number"),
        post("", json!({"a": {"$mod": [0, 1]}}), "a.$mod", ""),
        post("", json!({"a": {"$type": "colour"}}), "a.$type", "colour"),
        post("", json!({"a": {"$exists": "yes"}}), "a.$exists", "true or false"),
        post("", json!({"a": {"$not": 5}}), "a.$not", "$ne"),
        post("", json!({"a..b": 1}), "a..b", ""),
        post("?limit=-1", json!({}), "limit", "whole number"),
        post("?limit=many", json!({}), "limit", "`many`"),
        post("?skip=1.5", json!({}), "skip", "whole number"),
        post("?limit=1&limit=2", json!({}), "limit", "twice"),
        post("?limt=1", json!({}), "limt", "did you mean `limit`"),
        post("?sort={", json!({}), "sort", ""),
        post("?sort=%7B%22a%22:2%7D", json!({}), "sort", "`a`"),
        post("?projection=a,-b", json!({}), "projection", ""),
    ]
}

/// What may be wrong with an update of any registry; `…metadata.n` is a text.
fn updates(path: &str) -> Vec<Row> {
    let metadata = if path.starts_with("/policy") {
        "metadata"
    } else if path.starts_with("/executor") {
        "executor_metadata"
    } else {
        "graph_metadata"
    };
    let at = |name: &str| format!("{metadata}.{name}");
    let put = |change: Value, field: String, says: &'static str| {
        // Leaked once for each row: a row's field is text that is in the source everywhere else.
        row(&format!("PUT {path}"), change, REGISTRY, Box::leak(field.into_boxed_str()), says)
    };
    vec![
        put(json!({"$set": {"a..b": 1}}), "a..b".into(), ""),
        put(json!({"$set": 5}), "$set".into(), "object"),
        put(json!({"$explode": {"a": 1}}), "$explode".into(), "$explode"),
        put(json!({"$set": {"a": 1}, "b": 2}), "b".into(), ""),
        put(json!({"$set": {"a": 1, "a.b": 2}}), "a.b".into(), "twice"),
        put(json!({"$inc": {at("n"): 1}}), at("n"), "number"),
        put(json!({"$inc": {at("m"): "1"}}), at("m"), "number"),
        put(json!({"$push": {at("n"): 1}}), at("n"), "list"),
        put(json!({"$push": {at("m"): {"$each": 1}}}), at("m"), "list"),
        put(json!({"$rename": {at("n"): 5}}), at("n"), "string"),
        put(json!({"$set": {at("n.x"): 1}}), at("n.x"), "n"),
    ]
}

fn policies() -> Vec<Row> {
    let good = record("new", "https://example.com/p.zip");
    let post = |field: &'static str, value: Option<Value>, says: &'static str| {
        row("POST /policy", but(&good, field, value), REGISTRY, field, says)
    };
    let mut rows: Vec<Row> = ["name", "version", "release_tag", "code", "type"]
        .into_iter()
        .map(|field| post(field, None, "is required"))
        .collect();
    rows.extend([
        post("name", Some(json!(5)), "string"),
        post("name", Some(json!("a/b")), ""),
        post("type", Some(json!("jar")), "`wasm_component_v1` or `python_class_v1`, not `jar`"),
        post("code", Some(json!("gopher://x")), ""),
        post("tags", Some(json!(5)), ""),
        post("policy_settings", Some(json!([])), "object"),
        post("management_commands_schema", Some(json!({})), "list"),
        post("schema_mode", Some(json!("strict")), "`off`, `warn` or `enforce`"),
        post("code_digest", Some(json!("md5:1")), "sha256"),
        post("deterministic", Some(json!(1)), ""),
        row("POST /policy", but(&good, "limits", Some(json!({"cpu": 1}))), REGISTRY, "limits", "cpu"),
        row("PUT /policy/there:1.0-test", json!({"description": "x"}), REGISTRY, "name", "is required"),
        row("PUT /policy/there:1.0-test", json!({"$unset": {"code": ""}}), REGISTRY, "code", "is required"),
        row("PUT /policy/there:1.0-test", json!({"$set": {"type": "jar"}}), REGISTRY, "type", "jar"),
        missing("PUT /policy/no:1.0-such", Some(json!({"$set": {"description": "x"}})), REGISTRY, ""),
        missing("GET /policy/no:1.0-such", None, REGISTRY, "Policy not found"),
        missing("DELETE /policy/no:1.0-such", None, REGISTRY, ""),
    ]);
    let mut taken = row("POST /policy", record("there", "https://example.com/other.zip"), REGISTRY, "", "");
    taken.code = "conflict";
    rows.push(taken);
    rows
}

fn executors() -> Vec<Row> {
    let good = but(&executor(), "executor_id", Some(json!("new")));
    let post = |field: &'static str, value: Option<Value>, says: &'static str| {
        row("POST /executor", but(&good, field, value), REGISTRY, field, says)
    };
    let mut taken = row("POST /executor", but(&executor(), "executor_metadata", Some(json!({}))), REGISTRY, "", "");
    taken.code = "conflict";
    vec![
        post("executor_id", None, "is required"),
        post("executor_id", Some(json!(5)), "string"),
        post("executor_id", Some(json!("a/b")), ""),
        post("executor_host_uri", None, "cluster_public_ip"),
        post("executor_host_uri", Some(json!(5)), "string"),
        post("executor_host_uri", Some(json!("ftp://x")), ""),
        post("executor_host_uri", Some(json!("http://user:secret@x")), ""),
        post("cluster_public_ip", Some(json!("nowhere at all")), "address"),
        post("executor_metadata", Some(json!([])), "object"),
        post("executor_hardware_info", Some(json!("x")), "object"),
        post("executor_status", Some(json!(5)), "string"),
        post("max_processes", Some(json!(-1)), "whole number"),
        row("PUT /executor/far", json!({"executor_metadata": {}}), REGISTRY, "executor_id", "is required"),
        row("PUT /executor/far", json!({"$set": {"executor_host_uri": "x y"}}), REGISTRY, "executor_host_uri", ""),
        missing("PUT /executor/none", Some(json!({"$set": {"metadata.x": 1}})), REGISTRY, "xecutor"),
        missing("GET /executor/none", None, REGISTRY, "Executor not found"),
        missing("DELETE /executor/none", None, REGISTRY, ""),
        taken,
    ]
}

fn graphs() -> Vec<Row> {
    let good = but(&graph(), "graph_name", Some(json!("new")));
    let post = |field: &'static str, value: Option<Value>, says: &'static str| {
        row("POST /graphs", but(&good, field, value), REGISTRY, field, says)
    };
    let mut taken = row("POST /graphs", but(&graph(), "graph_description", Some(json!("x"))), REGISTRY, "", "");
    taken.code = "conflict";
    let mut rows: Vec<Row> = [
        "graph_name",
        "graph_version",
        "graph_release_tag",
        "graph_metadata",
        "graph_function_ids",
        "graph_connection_data",
        "graph_search_tags",
        "graph_description",
        "graph_input_schema",
        "graph_output_schema",
    ]
    .into_iter()
    .map(|field| post(field, None, "is required"))
    .collect();
    rows.extend([
        post("graph_name", Some(json!("a b")), ""),
        post("graph_function_ids", Some(json!("a")), "list"),
        post("graph_connection_data", Some(json!([])), "object"),
        post("graph_input_schema", Some(json!("{}")), "object"),
        row(
            "POST /graphs",
            but(&good, "graph_connection_data", Some(json!({"a": "b"}))),
            REGISTRY,
            "graph_connection_data.a",
            "list",
        ),
        row("PUT /graphs/there:1.0-test", json!({"$set": {"graph_name": 5}}), REGISTRY, "graph_name", "string"),
        missing("PUT /graphs/no:1.0-such", Some(json!({"$set": {"graph_description": "x"}})), REGISTRY, "no:1.0-such"),
        missing("GET /graphs/no:1.0-such", None, REGISTRY, "Graph with URI 'no:1.0-such' not found"),
        missing("DELETE /graphs/no:1.0-such", None, REGISTRY, "no:1.0-such"),
        taken,
    ]);
    rows
}

fn functions_and_jobs() -> Vec<Row> {
    vec![
        missing("GET /function/none", None, 404, "Function not found"),
        missing("GET /jobs/none", None, REGISTRY, "Job with ID 'none' not found"),
    ]
}

fn assets() -> Vec<Row> {
    let good = but(&asset(), "asset_name", Some(json!("new")));
    let post = |field: &'static str, value: Option<Value>, status, says: &'static str| {
        row("POST /asset", but(&good, field, value), status, field, says)
    };
    let form = |parts: Vec<(&'static str, String)>, field: &'static str, says: &'static str| Row {
        request: "POST /upload_asset".into(),
        body: Body::Form(parts),
        status: 400,
        code: "invalid_input",
        field,
        says,
    };
    let file = || ("name=\"asset\"; filename=\"f\"", "bytes".to_owned());
    let metadata = |value: Value| ("name=\"asset_metadata\"", value.to_string());
    let half = json!({"asset_name": "a", "asset_version": {"version": "1"}});
    vec![
        post("asset_name", None, 400, "asset_name is required"),
        post("asset_version", None, 400, "Both version and tag are required"),
        post("asset_public_url", Some(json!("gopher://x/")), 400, ""),
        form(vec![metadata(asset())], "asset", "No file part"),
        form(vec![("name=\"asset\"; filename=\"\"", String::new()), metadata(asset())], "asset", "No selected file"),
        form(vec![file(), metadata(json!({}))], "asset_name", "asset_name is required"),
        form(vec![file(), metadata(half)], "asset_version", "Both version and tag are required in asset_version"),
        form(vec![file(), ("name=\"asset_metadata\"", "{".into())], "asset_metadata", ""),
        missing("GET /asset-object/none", None, 404, ""),
        missing("GET /asset/no:1.0-such", None, 404, ""),
        missing("PUT /asset/no:1.0-such", Some(json!({"asset_tags": []})), 404, ""),
        missing("DELETE /asset/no:1.0-such", None, 404, ""),
    ]
}
