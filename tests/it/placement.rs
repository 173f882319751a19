//! Where things run that no executor was named for: the allocator and the estimator, built in and of one's own.

use std::{collections::BTreeMap, fs, path::Path};

use lictor_model::Digest;
use lictor_tests::{Command, Reply, TestServer, guest_record, policy, record, repository, sandbox::Guest};
use serde_json::{Value, json};

const BUILTIN: [&str; 2] = ["allocator", "estimator"];

fn builtin() -> std::path::PathBuf {
    repository().join("executor/server/src/placement/builtin")
}

#[test]
fn what_is_built_in_answers_as_the_examples_do() {
    for name in BUILTIN {
        let fixtures = repository().join("guest-examples").join(name).join("expected.json");
        let cases: Value = serde_json::from_str(&fs::read_to_string(&fixtures).unwrap()).unwrap();
        let component = builtin().join(format!("{name}.wasm"));
        let output = Command::new(["test"]).arg(component).arg("--fixtures").arg(fixtures).run().exits(0);
        let expected = format!("{} passed, 0 failed", cases.as_array().unwrap().len());
        assert!(output.stdout.contains(&expected), "{name}: {}", output.stdout);
    }
}

/// A component differs with the toolchain that built it, so it is held to its sources by what they were then.
#[test]
fn what_is_built_in_was_made_of_the_sources_that_are_there() {
    let mut now = BTreeMap::new();
    let mut folders: Vec<_> = BUILTIN.iter().map(|name| repository().join("guest-examples").join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") || ["Cargo.toml", "policy.json"].contains(&name) {
                let shown = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
                now.insert(shown, sha256(&path));
            }
        }
    }
    let listed = fs::read_to_string(builtin().join("sources.sha256")).unwrap();
    let then: BTreeMap<_, _> = listed
        .lines()
        .map(|line| line.split_once("  ").map(|(digest, path)| (path.to_owned(), digest.to_owned())).unwrap())
        .collect();
    assert_eq!(then, now, "the sources were changed after `make builtin`");
}

fn sha256(path: &Path) -> String {
    Digest::of(&fs::read(path).unwrap()).to_string().replace("sha256:", "")
}

fn submit(server: &TestServer, path: &str, body: &Value) -> Reply {
    server.post(path, body)
}

fn executor_of(server: &TestServer, job: &Reply) -> String {
    assert_eq!(job.status, 201, "{}", job.text());
    let id = job.json()["job_id"].as_str().unwrap().to_owned();
    server.get(&format!("/jobs/{id}")).data()["executor_id"].as_str().unwrap().to_owned()
}

/// A server, and a policy on it that can be a job.
fn server() -> (TestServer, String) {
    let server = TestServer::builder().allow_loopback().start();
    let uri = server.load(&record("seven", &server.put_file("seven.wasm", &policy("7"))));
    (server, uri)
}

/// Stores a policy that answers this document, whatever it is asked.
#[track_caller]
fn answering(server: &TestServer, name: &str, answer: &Value) -> String {
    server.load(&record(name, &server.put_file(&format!("{name}.wasm"), &policy(&answer.to_string()))))
}

fn alloc(uri: &str) -> Value {
    json!({"resource_allocator_policy_uri": uri, "settings": null, "parameters": null})
}

#[test]
fn a_job_that_names_no_executor_goes_to_one() {
    let (server, uri) = server();
    let body = json!({"name": "j", "policy_rule_uri": uri});
    for path in ["/jobs/submit/", "/jobs/submit/auto"] {
        assert_eq!(executor_of(&server, &submit(&server, path, &body)), "executor-001", "{path}");
    }
    // One that cannot be reached is known only by its record, which says that it is not healthy.
    let far =
        json!({"executor_id": "a-far", "executor_host_uri": "http://203.0.113.7", "executor_status": "unreachable"});
    server.post("/executor", &far).data();
    assert_eq!(executor_of(&server, &submit(&server, "/jobs/submit/", &body)), "executor-001");
    // None at all that is healthy is what came of the request.
    server.delete("/executor/executor-001").data();
    let none = submit(&server, "/jobs/submit/", &body);
    assert_eq!((none.status, &none.json()["code"]), (200, &json!("policy_error")), "{}", none.text());
    assert_eq!(none.json()["failure"]["code"], "no_executor");
    assert_eq!(none.json()["data"]["success"], false);
    assert!(none.json()["message"].as_str().unwrap().starts_with("the allocator: "), "{}", none.text());
}

#[test]
fn a_function_goes_where_fewest_replicas_are() {
    let (server, _) = server();
    let uri = server.load(&guest_record("ip_allowlist"));
    let body = json!({"name": "first", "policy_rule_uri": uri, "replicas": 2});
    assert_eq!(server.post("/function/deployments/create/", &body).data()["name"], "ip_allowlist");
    let first = server.get("/function/first").data();
    // The allocator that is built in leaves the number of replicas to the request.
    assert_eq!((&first["function_executor_id"], &first["replicas"]), (&json!("executor-001"), &json!(2)));
    // Whoever has nothing to do is next, and cannot be reached: it is not public.
    server.post("/executor", &json!({"executor_id": "b", "executor_host_uri": "http://203.0.113.7"})).data();
    let body = json!({"name": "second", "policy_rule_uri": uri});
    let next = server.post("/function/deployments/create/auto", &body);
    assert_eq!(next.refusal(), (502, "code_unreachable".into()));
    assert!(next.text().contains("`b`"), "{}", next.text());
}

#[test]
fn an_allocator_of_ones_own_decides() {
    let (server, uri) = server();
    server
        .post("/executor", &json!({"executor_id": "executor-001", "executor_hardware_info": {"clusterId": "rack-7"}}))
        .data();
    let chooses = [
        ("by_cluster", json!({"clusterId": "rack-7", "replica_count": 3})),
        ("by_executor", json!({"executor_id": "executor-001", "replica_count": 3})),
        ("by_other_name", json!({"cluster_id": "rack-7", "node_id": 1, "gpus": []})),
    ];
    let allow = server.load(&guest_record("ip_allowlist"));
    for (name, answer) in chooses {
        let with = alloc(&answering(&server, name, &answer));
        let job = json!({"name": "j", "policy_rule_uri": uri, "alloc": with});
        assert_eq!(executor_of(&server, &submit(&server, "/jobs/submit/", &job)), "executor-001", "{name}");
        let function = json!({"name": name, "policy_rule_uri": allow, "alloc": with});
        server.post("/function/deployments/create/", &function).data();
        let replicas = answer.get("replica_count").cloned().unwrap_or(json!(1));
        assert_eq!(server.get(&format!("/function/{name}")).data()["replicas"], replicas, "{name}");
    }
    let nonsense = [
        ("elsewhere", json!({"clusterId": "rack-8"}), "rack-8"),
        ("nowhere", json!({}), "no `clusterId`"),
        ("none", json!({"clusterId": "rack-7", "replica_count": 0}), "replica_count"),
    ];
    for (name, answer, says) in nonsense {
        let job = json!({"name": "j", "policy_rule_uri": uri, "alloc": alloc(&answering(&server, name, &answer))});
        let reply = submit(&server, "/jobs/submit/", &job);
        assert_eq!(reply.refusal(), (502, "internal".into()), "{name}");
        assert!(reply.text().contains(says) && reply.text().contains("the allocator"), "{}", reply.text());
    }
}

#[test]
fn an_allocator_is_told_of_every_executor_and_given_its_settings() {
    let (server, uri) = server();
    server
        .post("/executor", &json!({"executor_id": "b", "cluster_public_ip": "203.0.113.7", "max_processes": 4}))
        .data();
    let echo = server.load(&record("echo", &server.put_file("echo.wasm", &Guest::echo().component())));
    let job = json!({"name": "j", "policy_rule_uri": uri, "alloc": alloc(&echo)});
    let said = submit(&server, "/jobs/submit/", &job).json()["message"].to_string().replace('\\', "");
    // Its input is no decision, and is shown.
    assert!(said.contains(r#"{"cluster_data":{"b":{"data":{"executor_id":"b""#), "{said}");
    // The example itself, under these settings: it has none, so they change nothing, and parameters neither.
    let example = server.load(&guest_record("allocator"));
    let with = json!({"resource_allocator_policy_uri": example, "settings": {}, "parameters": {}});
    let job = json!({"name": "j", "policy_rule_uri": uri, "alloc": with});
    assert_eq!(executor_of(&server, &submit(&server, "/jobs/submit/", &job)), "b");
    // That one cannot be reached, so its job waits, which counts.
    assert_eq!(executor_of(&server, &submit(&server, "/jobs/submit/", &job)), "executor-001");
}

#[test]
fn what_is_wrong_with_an_alloc_is_named() {
    let (server, uri) = server();
    let good = alloc("no-such:1.0-x");
    let rows = [
        (json!(5), (400, "invalid_input"), "alloc"),
        (json!({}), (400, "invalid_input"), "alloc.resource_allocator_policy_uri"),
        (json!({"resource_allocator_policy_uri": "a:1-b", "settings": {}}), (400, "invalid_input"), "alloc.parameters"),
        (good, (404, "not_found"), "alloc.resource_allocator_policy_uri"),
    ];
    for (alloc, (status, code), field) in rows {
        for path in ["/jobs/submit/", "/function/deployments/create/"] {
            let reply = server.post(path, &json!({"name": "j", "policy_rule_uri": uri, "alloc": alloc}));
            assert_eq!(reply.refusal(), (status, code.into()), "{path} {alloc}");
            assert_eq!(reply.json()["field"], field, "{path} {alloc}");
        }
    }
}

#[test]
fn another_allocator_and_estimator_may_be_configured() {
    let (server, uri) = server();
    answering(&server, "mine", &json!({"clusterId": "executor-001", "replica_count": 2}));
    answering(&server, "never", &json!({"allowed": false, "node_id": "n"}));
    let server = server.stop().env("LICTOR_ALLOCATOR_POLICY_URI", "mine:1.0-test");
    let server = server.env("LICTOR_ESTIMATOR_POLICY_URI", "never:1.0-test").start();
    let body = json!({"name": "fn", "policy_rule_uri": uri});
    server.post("/function/deployments/create/", &body).data();
    assert_eq!(server.get("/function/fn").data()["replicas"], 2);
    let estimate = server.post("/estimator/estimate", &json!({"mode": "adhoc", "policy": {}}));
    assert_eq!((estimate.status, &estimate.json()["data"]["node_id"]), (200, &json!("n")));
    let bad = TestServer::builder().env("LICTOR_ALLOCATOR_POLICY_URI", "no uri").try_start();
    assert!(bad.is_err_and(|exited| exited.code == Some(2) && exited.stderr.contains("allocator_policy_uri")));
}

#[test]
fn what_a_record_expects_to_need_is_compared_with_what_is_free() {
    let (server, uri) = server();
    let estimate = |body: &Value| server.post("/estimator/estimate", body);
    let adhoc = |estimates: Value| json!({"mode": "adhoc", "policy": {"name": "a", "resource_estimates": estimates}});
    for estimates in [json!({}), json!(null), json!({"memory_mb": 1, "cpu": 1, "replicas": 1}), json!({"gpus": 1})] {
        let reply = estimate(&adhoc(estimates.clone()));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let data = reply.data();
        assert_eq!((&data["allowed"], &data["node_id"]), (&json!(true), &json!("executor-001")), "{estimates}");
    }
    for (estimates, says) in [
        (json!({"memory_mb": 1e9}), "memory_mb"),
        (json!({"cpu": 10_000}), "cpu: 10000 needed"),
        (json!({"memory": "100Ti"}), "memory"),
        (json!({"replicas": 100_000}), "replicas"),
    ] {
        let reply = estimate(&adhoc(estimates.clone()));
        assert_eq!((reply.status, reply.json()["success"].clone()), (200, json!(false)), "{estimates}");
        assert_eq!(reply.json()["data"]["allowed"], false, "{estimates}");
        let message = reply.json()["message"].clone();
        assert!(message == reply.json()["error"] && message.to_string().contains(says), "{}", reply.text());
    }
    let stored = estimate(&json!({"mode": "stored", "policy_rule_uri": uri, "estimate_type": "job"})).data();
    assert_eq!(stored["allowed"], true);
}

#[test]
fn what_does_not_fit_is_not_done() {
    let (server, uri) = server();
    let mut large = record("large", &server.put_file("large.wasm", &policy("7")));
    large["resource_estimates"] = json!({"cpu": 10_000});
    let large = server.load(&large);
    let deploy = |path: &str, name: &str, uri: &str| server.post(path, &json!({"name": name, "policy_rule_uri": uri}));
    let there = "/function/deployments/create-with-estimate/executor-001";
    let created = deploy(there, "fits", &uri).json();
    assert_eq!(created["data"], "Deployment 'fits' created successfully.");
    let record = server.get("/function/fits").data();
    assert_eq!(record["node_selector"], json!({"nodeID": "executor-001"}));
    assert_eq!(server.post("/function/call_function/fits", &json!(1)).data(), 7);
    let here = deploy("/deployments/deploy-with-estimate", "here", &uri);
    assert_eq!(here.json()["message"], "Deployment 'here' created successfully.");
    for path in [there, "/deployments/deploy-with-estimate"] {
        let refused = deploy(path, "too-large", &large);
        assert_eq!((refused.status, refused.json()["success"].clone()), (200, json!(false)), "{path}");
        assert!(refused.json()["error"].as_str().unwrap().contains("cpu"), "{}", refused.text());
        assert_eq!(server.get("/function/too-large").refusal(), (404, "not_found".into()));
    }
    let submit = |path: &str, id: &str, uri: &str| {
        server.post(path, &json!({"name": "j", "job_id": id, "policy_rule_uri": uri, "inputs": 1}))
    };
    let there = "/jobs/submit-with-estimate/executor-001";
    let submitted = submit(there, "chosen", &uri);
    assert_eq!(submitted.status, 200);
    assert_eq!(submitted.json()["data"], "Job 'j' created successfully.");
    assert_eq!(server.get("/jobs/chosen").data()["node_selector"], json!({"nodeID": "executor-001"}));
    let here = submit("/create_job_with_estimate", "here", &uri);
    assert_eq!((here.status, &here.json()["message"]), (201, &json!("Job 'j' created successfully.")));
    for path in [there, "/create_job_with_estimate"] {
        let refused = submit(path, "too-large", &large);
        assert_eq!((refused.status, refused.json()["success"].clone()), (200, json!(false)), "{path}");
        assert_eq!(server.get("/jobs/too-large").refusal(), (200, "not_found".into()));
    }
}

#[test]
fn an_executor_of_another_system_places_nothing_and_estimates_all_the_same() {
    let (system, uri) = server();
    let remote = TestServer::builder().allow_loopback().flag("--system", format!("http://{}", system.address()));
    let remote = remote.flag("--executor-id", "remote").start();
    for path in ["/jobs/submit/", "/function/deployments/create/"] {
        let reply = remote.post(path, &json!({"name": "j", "policy_rule_uri": uri}));
        assert_eq!(reply.refusal(), (501, "not_available".into()), "{path}");
    }
    let estimate = remote.post("/estimator/estimate", &json!({"mode": "stored", "policy_rule_uri": uri}));
    assert_eq!((&estimate.data()["allowed"], &estimate.data()["node_id"]), (&json!(true), &json!("remote")));
    let missing = remote.post("/estimator/estimate", &json!({"mode": "stored", "policy_rule_uri": "no-such:1.0-x"}));
    assert_eq!(missing.refusal(), (404, "not_found".into()));
}
