//! The document's requests, pasted: each against the state that it needs, each answer compared whole.
//!
//! The bodies in `tests/data/seed` are as they are printed. Where the document has a typo, the printed body is in
//! `…_as_printed.json`: it must be refused, and the mended one beside it must work. The run also makes
//! `docs/requests.md`; `LICTOR_UPDATE_DOCS=1` writes it anew.

mod table;

use lictor_client::LocalPolicyEvaluator;
use lictor_tests::{Client, TestServer, eventually, file_url, guest_zip, policy, record};
use serde_json::{Value, json};

use self::table::{Body, Case, Table};

macro_rules! seed {
    ($name:literal) => {
        Body::Json($name, include_str!(concat!("../data/seed/", $name)))
    };
}

const POLICY: &str = include_str!("../data/seed/policy.json");
const EXECUTOR: &str = include_str!("../data/seed/executor.json");
const GRAPH: &str = include_str!("../data/seed/graph.json");
const ASSET: &str = include_str!("../data/seed/asset_metadata.json");
/// The job of the document's sample, which is no job here.
const JOB: &str = "1a2b3c4d-5678-9012-efgh-1234567890ab";
const JOB_SUBMITTED: &str = include_str!("../data/seed/submit_job.json");
const FUNCTION: &str = include_str!("../data/seed/create_function.json");
const KUBECONFIG: &str = include_str!("../data/seed/create_infra_as_printed.json");

/// A kubeconfig with nothing in it that would be executed.
const CLUSTER: &str = r#"{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster":
    {"server": "https://203.0.113.7:6443"}}], "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn with(mut document: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    document.as_object_mut().unwrap().extend(fields);
    document
}

fn success(data: Value) -> Value {
    Value::Object([("success".to_owned(), true.into()), ("data".to_owned(), data)].into_iter().collect())
}

fn refused(code: &str) -> Value {
    json!({"success": false, "code": code, "message": "<text>"})
}

#[test]
fn every_request_of_the_document_is_answered_as_it_says() {
    let server = TestServer::start();
    let mut table = Table::new(server.client());
    policies(&mut table, &server);
    executors(&mut table, &server);
    graphs(&mut table, &server);
    assets(&mut table);
    jobs(&mut table, &server);
    functions(&mut table, &server);
    graph_runs(&mut table, &server);
    evaluators(&mut table, &server);
    table.finish();
}

#[test]
fn a_mended_body_differs_from_the_printed_one_by_its_typo_alone() {
    let printed = include_str!("../data/seed/executor_as_printed.json");
    assert_eq!(printed.replace("},\n}", "}\n}"), EXECUTOR);
    assert!(serde_json::from_str::<Value>(printed).is_err());
    // Without its quotes, a shell takes the body of this one to end at the first blank.
    let printed = include_str!("../data/seed/update_executor_as_printed.json");
    assert_eq!(include_str!("../data/seed/update_executor.json").split_whitespace().next(), Some(printed));
}

/// Puts the sample policy there as it was created.
fn sample_policy(client: &Client, body: &str) {
    client.delete("/policy/ip_allowlist:1.0-beta");
    client.post_text("/policy", body).data();
    client.wait_loaded("ip_allowlist:1.0-beta");
}

fn policies(table: &mut Table, server: &TestServer) {
    let (one, updated) = ("the sample policy", "Policy updated successfully.");
    let stored = with(
        parsed(POLICY),
        json!({
            "policy_rule_uri": "ip_allowlist:1.0-beta", "code_type": "", "functionality_data": {}, "resource_estimates": {},
            "component_digest": null,
            // The code is of a type that this version does not run; its record is kept all the same.
            "load": {"state": "failed", "code": "not_available", "message": "<text>"}
        }),
    );
    table.chapter("Policies");
    table.ask(&Case {
        request: "POST /policy",
        body: seed!("policy.json"),
        state: "nothing",
        source: "Preparing 5, Policy 1; A.3",
        status: 200,
        answer: success(json!("Policy created successfully.")),
    });
    server.wait_loaded("ip_allowlist:1.0-beta");
    table.ask(&Case {
        request: "GET /policy/ip_allowlist:1.0-beta",
        body: Body::Nothing,
        state: one,
        source: "Policy 2; A.3, A.9",
        status: 200,
        answer: success(stored.clone()),
    });
    table.ask(&Case {
        request: "POST /policy/query",
        body: seed!("query_policies.json"),
        state: one,
        source: "Policy 5; A.3",
        status: 200,
        answer: success(json!([stored])),
    });
    table.ask(&Case {
        request: "PUT /policy/ip_allowlist:1.0-beta",
        body: seed!("update_policy.json"),
        state: one,
        source: "Policy 3; A.3",
        status: 200,
        answer: success(json!(updated)),
    });
    let changed = with(
        stored,
        json!({
            "policy_parameters": {"local_allowlist": ["10.0.0.1", "8.8.8.8"]},
            "description": "Updated policy to allow new internal IP ranges."
        }),
    );
    server.wait_loaded("ip_allowlist:1.0-beta");
    table.ask(&Case {
        request: "GET /policy/ip_allowlist:1.0-beta",
        body: Body::Nothing,
        state: "the sample policy, updated",
        source: "Policy 2, 3; A.3",
        status: 200,
        answer: success(changed),
    });
    table.ask(&Case {
        request: "DELETE /policy/ip_allowlist:1.0-beta",
        body: Body::Nothing,
        state: one,
        source: "Policy 4; A.3",
        status: 200,
        answer: success(json!("Policy deleted successfully.")),
    });
}

/// Puts the sample executor there as it was registered.
fn sample_executor(client: &Client) {
    client.post_text("/executor", EXECUTOR).data();
}

fn executors(table: &mut Table, server: &TestServer) {
    let one = "the sample executor";
    let stored = with(parsed(EXECUTOR), json!({"executor_host_uri": "<url>", "executor_status": "healthy"}));
    table.chapter("Executors");
    table.ask(&Case {
        request: "POST /executor",
        body: seed!("executor_as_printed.json"),
        state: "nothing",
        source: "no JSON: a trailing comma",
        status: 400,
        answer: refused("invalid_input"),
    });
    table.ask(&Case {
        request: "POST /executor",
        body: seed!("executor.json"),
        state: "nothing",
        source: "Executor 1; A.4",
        status: 200,
        answer: success(json!("Executor created successfully.")),
    });
    table.ask(&Case {
        request: "GET /executor/executor-001",
        body: Body::Nothing,
        state: one,
        source: "Executor 2; A.4",
        status: 200,
        answer: success(stored.clone()),
    });
    table.ask(&Case {
        request: "POST /executor/query",
        body: seed!("query_executors.json"),
        state: one,
        source: "Executor 5; A.4",
        status: 200,
        answer: success(json!([stored])),
    });
    executor_update(table, stored);
    calls(table, server);
    infrastructure(table);
    table.ask(&Case {
        request: "DELETE /executor/executor-001",
        body: Body::Nothing,
        state: one,
        source: "Executor 4; A.4",
        status: 200,
        answer: success(json!("Executor deleted successfully.")),
    });
    sample_executor(server);
}

fn executor_update(table: &mut Table, mut stored: Value) {
    table.ask(&Case {
        request: "PUT /executor/executor-001",
        body: seed!("update_executor_as_printed.json"),
        state: "the sample executor",
        source: "no JSON: without quotes, a shell sends `{`",
        status: 400,
        answer: refused("invalid_input"),
    });
    table.ask(&Case {
        request: "PUT /executor/executor-001",
        body: seed!("update_executor.json"),
        state: "the sample executor",
        source: "Executor 3; A.4",
        status: 200,
        answer: success(json!("Executor updated successfully.")),
    });
    stored["executor_metadata"]["tags"] = json!(["amd_64", "zero-downtime", "ai-worker"]);
    stored["executor_metadata"]["description"] = json!("Updated policy to allow new internal IP ranges.");
    table.ask(&Case {
        request: "GET /executor/executor-001",
        body: Body::Nothing,
        state: "the sample executor, updated",
        source: "Executor 2, 3; A.4",
        status: 200,
        answer: success(stored),
    });
}

fn calls(table: &mut Table, server: &TestServer) {
    let code = file_url(&guest_zip("ip_allowlist"));
    let runs = with(parsed(POLICY), json!({"code": code, "type": "wasm_component_v1"}));
    sample_policy(server, &runs.to_string());
    table.ask(&Case {
        request: "POST /executor/executor-001/execute_policy",
        body: seed!("execute_policy.json"),
        state: "the sample executor and the sample policy, its code the built example",
        source: "Execute Policy on Executor; A.4",
        status: 200,
        answer: success(json!({"allowed": true, "input_data": {"ip": "10.0.0.1"}, "reason": "allowed"})),
    });
}

fn infrastructure(table: &mut Table) {
    let filled_in = KUBECONFIG.replace("<json-data of the kubeconfig file>", CLUSTER);
    table.ask(&Case {
        request: "POST /executor/executor-001/create-infra",
        body: Body::Json("create_infra_as_printed.json", KUBECONFIG),
        state: "the sample executor",
        source: "no JSON: a placeholder",
        status: 400,
        answer: refused("invalid_input"),
    });
    table.ask(&Case {
        request: "POST /executor/executor-001/create-infra",
        body: Body::Json("create_infra_as_printed.json, with a kubeconfig", &filled_in),
        state: "the sample executor",
        source: "Create Executor Infrastructure; A.12",
        status: 501,
        answer: refused("not_available"),
    });
    table.ask(&Case {
        request: "DELETE /executor/executor-001/remove-infra",
        body: seed!("remove_infra.json"),
        state: "the sample executor",
        source: "Remove Executor Infrastructure; A.12",
        status: 501,
        answer: refused("not_available"),
    });
}

fn graphs(table: &mut Table, server: &TestServer) {
    let uri = json!({"graph_uri": "ip_risk_analysis:1.0-stable"});
    let stored = with(parsed(GRAPH), uri.clone());
    let one = "the sample graph";
    table.chapter("Graphs");
    let ask = |table: &mut Table, request, body, state, source, answer| {
        table.ask(&Case { request, body, state, source, status: 200, answer });
    };
    let path = "GET /graphs/ip_risk_analysis:1.0-stable";
    // Its functions are not deployed yet, which is said and no error.
    let with_warning = with(success(uri.clone()), json!({"warnings": ["<text>"]}));
    ask(table, "POST /graphs", seed!("graph.json"), "nothing", "Create Graph; A.6", with_warning.clone());
    ask(table, path, Body::Nothing, one, "Get Graph by URI; A.6", success(stored.clone()));
    // The sample has no tag `security`; the query is there to find one that has.
    ask(table, "POST /graphs/query", seed!("query_graphs.json"), one, "Query Graphs; A.6", success(json!([])));
    let secure = with(
        stored,
        json!({"graph_uri": "login_risk:1.0-stable", "graph_name": "login_risk", "graph_search_tags": ["security"]}),
    );
    server.post("/graphs", &secure).data();
    let two = "the sample graph, and one with the tag";
    let found = success(json!([secure]));
    ask(table, "POST /graphs/query", seed!("query_graphs.json"), two, "Query Graphs; A.6", found);
    let request = "PUT /graphs/ip_risk_analysis:1.0-stable";
    ask(table, request, seed!("update_graph.json"), one, "Update Graph; A.6", with_warning);
    let moved = with(
        parsed(GRAPH),
        json!({
            "graph_uri": "ip_risk_analysis:2.0-stable", "graph_version": "2.0",
            "graph_search_tags": ["ip", "network-analysis", "ip-access-check"]
        }),
    );
    let source = "Update Graph: another version is another uri";
    let request = "GET /graphs/ip_risk_analysis:2.0-stable";
    ask(table, request, Body::Nothing, "the sample graph, updated", source, success(moved));
    ask(table, path, Body::Nothing, "the sample graph, updated", source, refused("not_found"));
    server.post_text("/graphs", GRAPH).data();
    let request = "DELETE /graphs/ip_risk_analysis:1.0-stable";
    ask(table, request, Body::Nothing, one, "Delete Graph; A.6", success(uri));
}

/// The sample policy with the code of the built example, which answers at once.
fn runnable_policy(server: &TestServer) -> Value {
    let code = file_url(&guest_zip("ip_allowlist"));
    let record = with(parsed(POLICY), json!({"code": code, "type": "wasm_component_v1"}));
    sample_policy(server, &record.to_string());
    server.policy("ip_allowlist:1.0-beta")
}

fn allowed(ip: &str) -> Value {
    json!({"allowed": true, "input_data": {"ip": ip}, "reason": "allowed"})
}

fn jobs(table: &mut Table, server: &TestServer) {
    runnable_policy(server);
    let one = "the sample policy, its code the built example, and the job, once it ended";
    let ask = |table: &mut Table, request, body, state, source, (status, answer)| {
        table.ask(&Case { request, body, state, source, status, answer })
    };
    table.chapter("Jobs");
    // Reading jobs is a registry's route: its failures have the status 200.
    let request = format!("GET /jobs/{JOB}");
    let missing = (200, refused("not_found"));
    ask(table, &request, Body::Nothing, "nothing", "Get Job by ID; A.7", missing);
    let (request, body) = ("POST /jobs/submit/executor-001", seed!("submit_job.json"));
    let created = (201, json!({"success": true, "job_id": "<uuid>"}));
    let state = "the sample policy, its code the built example";
    let reply = ask(table, request, body, state, "Submit Job to Executor; A.7", created);
    let id = reply.json()["job_id"].as_str().unwrap_or_default().to_owned();
    eventually("the job to end", || {
        let status = server.get(&format!("/jobs/{id}")).data()["job_status"].take();
        if matches!(status.as_str(), Some("completed" | "failed")) { Ok(()) } else { Err(status) }
    });
    let mut record = parsed(JOB_SUBMITTED);
    record["policy_rule_parameters"] = json!({"local_allowlist": ["192.168.1.1"]});
    let record = with(
        record,
        json!({
            "job_id": "<uuid>", "job_output_data": allowed("192.168.1.1"), "job_status": "completed", "node_id": "",
            "job_policy_rule_uri": "ip_allowlist:1.0-beta", "executor_id": "executor-001", "attempts": 1,
            "backoff_limit": "<any>", "timeout_ms": "<any>", "ttl_seconds_after_finished": "<any>",
            "submitted_at": "<text>", "started_at": "<text>", "finished_at": "<text>", "next_attempt_at": null,
            "code": null, "message": null, "usage": "<any>"
        }),
    );
    let path = format!("GET /jobs/{id}");
    let read = Case {
        request: &path,
        body: Body::Nothing,
        state: one,
        source: "Get Job by ID; A.7",
        status: 200,
        answer: success(record.clone()),
    };
    table.ask_as("GET /jobs/<job_id>", &read);
    let list = (200, success(json!([record])));
    ask(table, "POST /jobs/query", seed!("query_jobs.json"), one, "Query Jobs; A.7", list);
}

fn functions(table: &mut Table, server: &TestServer) {
    let snapshot = runnable_policy(server);
    let (before, one) = ("the sample policy, its code the built example", "the sample function");
    let ask = |table: &mut Table, request, body, state, source, status, answer| {
        table.ask(&Case { request, body, state, source, status, answer });
    };
    table.chapter("Functions");
    let (read, call) = ("GET /function/check-ip-fn", "POST /function/call_function/check-ip-fn");
    let missing = refused("not_found");
    ask(table, read, Body::Nothing, "nothing", "Read Function Metadata; A.5", 404, missing.clone());
    let body = seed!("create_function.json");
    let request = "POST /function/deployments/create/executor-001";
    ask(table, request, body, before, "Create Function Deployment; A.5", 200, success(snapshot.clone()));
    let body = || seed!("call_function.json");
    ask(table, call, body(), one, "Call a Deployed Function; A.5", 200, success(allowed("10.0.0.1")));
    let deployed = parsed(FUNCTION);
    let record = json!({
        "function_id": "check-ip-fn", "function_executor_id": "executor-001", "function_executor_uri": "<url>",
        "function_metadata": deployed["function_metadata"], "function_tags": deployed["function_tags"],
        "function_policy_rule_uri": "ip_allowlist:1.0-beta", "function_policy_data": snapshot,
        "function_policy_rule_parameters": deployed["policy_rule_parameters"], "replicas": "<number>",
        "autoscaling": deployed["autoscaling"], "node_selector": {}, "function_status": "<any>"
    });
    ask(table, read, Body::Nothing, one, "Read Function Metadata; A.5", 200, success(record.clone()));
    let query = seed!("query_functions.json");
    ask(table, "POST /function/query", query, one, "Query Functions; A.5", 200, success(json!([record])));
    let request = "DELETE /function/deployments/remove/check-ip-fn";
    let removed = success(json!("<text>"));
    ask(table, request, Body::Nothing, one, "Remove Function Deployment; A.5", 200, removed);
    ask(table, call, body(), "the sample function, removed", "Call a Deployed Function; A.5", 404, missing);
}

fn graph_runs(table: &mut Table, server: &TestServer) {
    let (request, state) = ("POST /graph/execute_graph", "the sample graph, and nothing deployed");
    server.post_text("/graphs", GRAPH).data();
    table.chapter("Runs of graphs");
    table.ask(&Case {
        request,
        body: seed!("execute_graph.json"),
        state,
        source: "Execute Graph: its functions must be there; A.6",
        status: 404,
        answer: with(refused("not_found"), json!({"node": "<any>"})),
    });
    // What the document's functions do is not said: each of these answers what it must for the graph's schemas.
    let decision = r#"{"decision":"allow","reason":"both agree"}"#;
    for (name, answer) in
        [("funcA", r#"{"ip":"192.168.1.1"}"#), ("funcB", "1"), ("funcC", "{\"score\":0}"), ("funcD", decision)]
    {
        server.load(&record(name, &server.put_file(&format!("{name}.wasm"), &policy(answer))));
        let body = json!({"name": name, "policy_rule_uri": format!("{name}:1.0-test")});
        server.post("/function/deployments/create/executor-001", &body).data();
    }
    table.ask(&Case {
        request,
        body: seed!("execute_graph.json"),
        state: "the sample graph and its four functions",
        source: "Execute Graph; A.6",
        status: 200,
        answer: success(parsed(decision)),
    });
}

/// The document's examples in Python, made with the evaluator for Rust.
fn evaluators(table: &mut Table, server: &TestServer) {
    runnable_policy(server);
    let url = format!("http://{}", server.client().address());
    let make = |mode: &str, executor_id: &str| {
        LocalPolicyEvaluator::builder()
            .policy_rule_uri("ip_allowlist:1.0-beta")
            .parameters(json!({}))
            .settings(json!({}))
            .mode(mode)
            .executor_id(executor_id)
            .environment([
                ("POLICY_DB_URL".to_owned(), url.clone()),
                ("POLICY_EXECUTOR_HOST_URL".to_owned(), url.clone()),
            ])
            .allow_file(lictor_tests::guests_dir())
    };
    let input = json!({"ip": "192.168.0.109"});
    let denied = json!({"allowed": false, "input_data": input, "reason": "denied"});
    let commanded = json!({"ips": ["192.168.0.100", "192.168.0.102"]});
    table.chapter("In an application");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let local = make("local", "").build().await.unwrap();
        let answer = local.execute_policy_rule(&input).await.unwrap();
        table.note("`execute_policy_rule`, mode `local`", &input, "Using the policy; A.9", &denied, &answer);
        let remote = make("remote", "executor-001").build().await.unwrap();
        let answer = remote.execute_policy_rule(&input).await.unwrap();
        table.note("`execute_policy_rule`, mode `remote`", &input, "Using the policy; A.9", &denied, &answer);
        let answer = local.execute_mgmt_command("update_local_allowlist", &commanded).await.unwrap();
        let expected = json!({"status": "success", "updated_allowlist": commanded["ips"]});
        let request = "`execute_mgmt_command`, `update_local_allowlist`";
        table.note(request, &commanded, "Execute the management command; A.9", &expected, &answer);
        let input = json!({"ip": "192.168.0.100"});
        let answer = local.execute_policy_rule(&input).await.unwrap();
        let request = "`execute_policy_rule` after it";
        table.note(request, &input, "Using the policy; A.9", &allowed("192.168.0.100"), &answer);
    });
}

/// The form as the document's curl line makes it of a package.
fn form(boundary: &str, package: &[u8]) -> Vec<u8> {
    let mut form = Vec::new();
    let part = |form: &mut Vec<u8>, head: &str, body: &[u8]| {
        form.extend(format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        form.extend(body);
        form.extend(b"\r\n");
    };
    let file = "name=\"asset\"; filename=\"ip-allow-list-checker.zip\"\r\nContent-Type: application/zip";
    part(&mut form, file, package);
    part(&mut form, "name=\"asset_metadata\"", ASSET.as_bytes());
    form.extend(format!("--{boundary}--\r\n").as_bytes());
    form
}

fn assets(table: &mut Table) {
    let package = std::fs::read(guest_zip("ip_allowlist")).unwrap();
    let boundary = "------------------------d74496d66958873e";
    table.chapter("Assets");
    let reply = table.ask(&Case {
        request: "POST /upload_asset",
        body: Body::Form("asset_metadata.json and the package", boundary, &form(boundary, &package)),
        state: "nothing",
        source: "Preparing 4; A.11",
        status: 201,
        answer: json!({
            "success": true, "asset_uri": "IP-allow-list:1.0-beta", "asset_id": "<uuid>", "public_url": "<url>"
        }),
    });
    let url = reply.json()["public_url"].as_str().unwrap_or_default().to_owned();
    let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
    let back = table.client().get(&path);
    table.check(back.status == 200 && back.body == package, "what was uploaded is not at `public_url`");
}
