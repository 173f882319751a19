//! Functions and jobs of other executors, and the executor's own API.

use lictor_tests::{
    Answer, Builder, CodeServer, Reply, TestServer, counter, counter_version, eventually, policy, record,
};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn host(server: &TestServer) -> String {
    format!("http://{}", server.address())
}

#[track_caller]
fn register(server: &TestServer, id: &str, host: &str) {
    let reply = server.post("/executor", &json!({"executor_id": id, "executor_host_uri": host}));
    assert_eq!(reply.data(), "Executor created successfully.");
}

/// A system, an executor of it in a process of its own that is registered there as `remote`, and code that both may read.
struct Pair {
    system: TestServer,
    remote: TestServer,
    web: CodeServer,
}

impl Pair {
    fn start() -> Self {
        let system = TestServer::builder().allow_loopback().start();
        let remote = Self::remote_of(&system).start();
        register(&system, "remote", &host(&remote));
        Self { system, remote, web: CodeServer::start() }
    }

    fn remote_of(system: &TestServer) -> Builder {
        let builder = TestServer::builder().allow_loopback();
        builder.flag("--system", host(system)).flag("--executor-id", "remote")
    }

    /// Stores a policy at the system.
    #[track_caller]
    fn load(&self, name: &str, code: Vec<u8>) -> String {
        let path = format!("/{name}.wasm");
        self.web.answer(&path, Answer::ok(code));
        self.system.load(&record(name, &self.web.url(&path)))
    }

    #[track_caller]
    fn deploy(&self, name: &str, uri: &str, replicas: u32) -> Reply {
        let body = json!({"name": name, "policy_rule_uri": uri, "replicas": replicas});
        self.system.post("/function/deployments/create/remote", &body)
    }

    #[track_caller]
    fn call(&self, name: &str, input: &Value) -> Reply {
        self.system.post(&format!("/function/call_function/{name}"), input)
    }

    /// The record of a job at the system, once it ended.
    #[track_caller]
    fn ended(&self, job_id: &str) -> Value {
        eventually("the job to end", || {
            let record = self.system.get(&format!("/jobs/{job_id}")).data();
            match record["job_status"].as_str() {
                Some("pending" | "running") => Err(record),
                _ => Ok(record),
            }
        })
    }
}

#[track_caller]
fn job_id(reply: &Reply) -> String {
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_function_lives_on_another_executor_as_it_would_here() {
    let pair = Pair::start();
    let (first, second) = (pair.load("first", counter_version(true, 1)), pair.load("second", counter_version(true, 1)));
    let deployed = pair.deploy("fn", &first, 2);
    assert_eq!(deployed.data()["policy_rule_uri"], json!(first), "{}", deployed.text());
    let record = pair.system.get("/function/fn").data();
    assert_eq!(
        (&record["function_executor_id"], &record["function_executor_uri"]),
        (&json!("remote"), &json!(host(&pair.remote)))
    );
    // The same again is fine, another one of its name is not.
    assert_eq!(pair.deploy("fn", &first, 2).json()["success"], true);
    assert_eq!(pair.deploy("fn", &second, 2).refusal(), (409, "conflict".into()));

    let set = json!({"mgmt_action": "set", "mgmt_data": 5});
    let managed = pair.system.post("/function/management/fn", &set);
    assert_eq!(managed.data(), json!({"value": 5}));
    assert_eq!(managed.json()["replicas"].as_array().map(Vec::len), Some(2));
    for _ in 0..4 {
        assert_eq!(pair.call("fn", &json!({"any": 1})).data()["value"], 5);
    }
    // What a policy comes to is the same there as here.
    let failed = pair.call("fn", &json!("fail"));
    assert_eq!((failed.status, &failed.json()["failure"]["code"]), (200, &json!("asked_to_fail")));
    let trapped = pair.system.post("/function/call_function/fn?usage=1", &json!("trap"));
    assert_eq!((trapped.status, &trapped.json()["code"]), (200, &json!("trap")));
    assert!(trapped.json()["usage"]["wall_us"].is_u64(), "{}", trapped.text());
    let slow = pair.system.post("/function/call_function/fn?timeout_ms=30", &json!("spin"));
    assert_eq!(slow.json()["code"], "timeout");
    // A dry run leaves nothing behind, there neither.
    let dry = pair.system.post("/function/management/fn?dry_run=1", &json!({"mgmt_action": "set", "mgmt_data": 9}));
    assert_eq!(dry.data(), json!({"value": 9}));
    let refused = pair.system.post("/function/management/fn", &json!({"mgmt_action": "explode", "mgmt_data": 1}));
    assert_eq!(refused.json()["success"], false);
    assert_eq!(pair.call("fn", &json!({})).data()["value"], 5);
    assert!(pair.system.get("/function/get_logs/fn?tail=50").json()["logs"].is_string());

    let dry = pair.system.post("/function/fn/upgrade?dry_run=1", &json!({"policy_rule_uri": second}));
    assert_eq!(dry.json()["success"], true, "{}", dry.text());
    assert_eq!(pair.system.get("/function/fn").data()["function_policy_rule_uri"], json!(first));
    let upgraded = pair.system.post("/function/fn/upgrade", &json!({"policy_rule_uri": second}));
    assert_eq!(upgraded.json()["success"], true, "{}", upgraded.text());
    assert_eq!(pair.system.get("/function/fn").data()["function_policy_rule_uri"], json!(second));
    assert_eq!(pair.call("fn", &json!({})).data()["value"], 5);

    let removed = pair.system.delete("/function/deployments/remove/fn");
    assert_eq!(removed.data(), "Deployment 'fn' removed successfully.");
    for server in [&pair.system, &pair.remote] {
        let path = if std::ptr::eq(server, &raw const pair.system) {
            "/function/call_function/fn"
        } else {
            "/call_function/fn"
        };
        assert_eq!(server.post(path, &json!({})).refusal(), (404, "not_found".into()));
    }
}

#[test]
fn a_function_of_another_executor_is_there_again_when_that_is() {
    let pair = Pair::start();
    let uri = pair.load("first", counter(true));
    pair.deploy("fn", &uri, 1).data();
    pair.system.post("/function/management/fn", &json!({"mgmt_action": "set", "mgmt_data": 5})).data();
    let Pair { system, remote, web } = pair;
    let builder = remote.kill();
    let silent = system.post("/function/call_function/fn", &json!({}));
    assert_eq!(silent.refusal(), (502, "code_unreachable".into()));
    let remote = builder.start();
    system.put("/executor/remote", &json!({"$set": {"executor_host_uri": host(&remote)}})).data();
    let pair = Pair { system, remote, web };
    eventually("the function to be back", || {
        let reply = pair.call("fn", &json!({}));
        if reply.json()["success"] == true { Ok(()) } else { Err(reply.text()) }
    });
    assert_eq!(pair.call("fn", &json!({})).data()["value"], 5);
    // One that went without a word is removed all the same.
    pair.remote.delete("/deployments/fn");
    assert_eq!(pair.system.delete("/function/deployments/remove/fn").json()["success"], true);
}

#[test]
fn a_function_that_another_executor_refuses_is_not_there() {
    let pair = Pair::start();
    let uri = pair.load("first", counter(false));
    let unknown = pair.deploy("fn", "no-such:1.0-x", 1);
    assert_eq!(unknown.refusal(), (404, "not_found".into()));
    // There is one of that name already, of which the system knows nothing.
    let there = json!({"name": "fn", "policy_rule_uri": uri, "replicas": 2});
    assert_eq!(pair.remote.post("/deployments", &there).json()["success"], true);
    let taken = pair.deploy("fn", &uri, 1);
    assert_eq!(taken.refusal(), (409, "conflict".into()), "{}", taken.text());
    assert_eq!(pair.system.get("/function/fn").refusal(), (404, "not_found".into()));
}

#[test]
fn a_job_on_another_executor_ends_as_it_would_here() {
    let pair = Pair::start();
    let (seven, counter) = (pair.load("seven", policy("7")), pair.load("counter", counter(false)));
    let submit = |uri: &str, inputs: &Value| {
        let body = json!({"name": "j", "policy_rule_uri": uri, "inputs": inputs});
        job_id(&pair.system.post("/jobs/submit/remote", &body))
    };
    let done = submit(&seven, &json!({"ip": "::1"}));
    let record = pair.ended(&done);
    assert_eq!((&record["job_status"], &record["job_output_data"]), (&json!("completed"), &json!(7)));
    assert_eq!((&record["executor_id"], &record["inputs"]), (&json!("remote"), &json!({"ip": "::1"})));
    // There it has a record of its own, under the same id.
    let there = pair.remote.get(&format!("/jobs/{done}")).data();
    assert_eq!((&there["job_status"], &there["job_output_data"]), (&json!("completed"), &json!(7)));
    let failed = pair.ended(&submit(&counter, &json!("fail")));
    assert_eq!((&failed["job_status"], &failed["code"]), (&json!("failed"), &json!("policy_error")), "{failed}");
    let trapped = pair.ended(&submit(&counter, &json!("trap")));
    assert_eq!((&trapped["job_status"], &trapped["code"]), (&json!("failed"), &json!("trap")), "{trapped}");
}

#[test]
fn a_job_on_another_executor_is_cancelled_there_too() {
    let pair = Pair::start();
    let mut spins = record("spins", &pair.web.url("/spins.wasm"));
    pair.web.answer("/spins.wasm", Answer::ok(counter(false)));
    spins["limits"] = json!({"timeout_ms": 60_000});
    let uri = pair.system.load(&spins);
    let body = json!({"name": "j", "policy_rule_uri": uri, "inputs": "spin"});
    let id = job_id(&pair.system.post("/jobs/submit/remote", &body));
    let path = format!("/jobs/{id}");
    eventually("the other executor to have the job", || {
        let record = pair.remote.get(&path).json();
        if record["data"]["job_status"] == "running" { Ok(()) } else { Err(record) }
    });
    let cancelled = pair.system.post(&format!("{path}/cancel"), &json!({}));
    assert_eq!(cancelled.data()["job_status"], "cancelled");
    eventually("the other executor to have stopped it", || {
        let record = pair.remote.get(&path).data();
        if record["job_status"] == "cancelled" { Ok(()) } else { Err(record) }
    });
}

#[test]
fn its_own_api_answers_as_that_of_the_original() {
    let server = TestServer::start();
    let uri = server.load(&record("seven", &server.put_file("seven.wasm", &policy("7"))));
    let deployment = json!({"name": "fn", "policy_rule_uri": uri, "policy_rule_parameters": null, "replicas": 1, "autoscaling": null, "node_selector": {}});
    let created = server.post("/deployments", &deployment);
    assert_eq!(
        (created.status, created.json()),
        (200, json!({"success": true, "message": "Deployment 'fn' created successfully."}))
    );
    for input in [json!({}), json!(null), json!(0), json!([1]), json!("text")] {
        let called = server.post("/call_function/fn", &input);
        assert_eq!((called.status, called.json()), (200, json!({"success": true, "data": 7})), "{input}");
    }
    let logs = server.get("/get_function_logs/fn?tail=10");
    assert_eq!((logs.status, logs.data().is_string()), (200, true));
    let job = json!({"name": "j", "policy_rule_uri": uri, "job_id": "1a2b", "policy_rule_parameters": {}, "node_selector": {}, "inputs": {"ip": "::1"}});
    for _ in 0..2 {
        let created = server.post("/create_job", &job);
        assert_eq!(created.status, 201);
        assert_eq!(
            created.json(),
            json!({"success": true, "message": "Job 'j' created successfully.", "job_id": "1a2b"})
        );
    }
    let mut other = job.clone();
    other["inputs"] = json!(5);
    let taken = server.post("/create_job", &other);
    assert_eq!(taken.refusal(), (409, "conflict".into()));
    // What is wrong stands where clients of the original look, and where everybody else does.
    assert_eq!(taken.json()["error"], taken.json()["message"]);
    let removed = server.delete("/deployments/fn");
    assert_eq!(removed.json(), json!({"success": true, "message": "Deployment 'fn' removed successfully."}));
    let again = server.delete("/deployments/fn");
    assert_eq!(again.refusal(), (404, "not_found".into()));
    assert_eq!(again.json()["error"], again.json()["message"]);
}

// attack 86
#[test]
fn a_question_for_somebody_else_is_noticed_and_none_goes_in_a_circle() {
    let server = TestServer::builder().allow_loopback().start();
    let web = CodeServer::start();
    let uri = server.load(&record("seven", &server.put_file("seven.wasm", &policy("7"))));
    let deployment = json!({"name": "fn", "policy_rule_uri": uri}).to_string();
    let send = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        server.send(method, path, &[headers, &[JSON]].concat(), body.as_bytes())
    };
    let (other, own) = (("x-lictor-executor", "b"), ("x-lictor-executor", "executor-001"));
    for (method, path, body) in [
        ("POST", "/deployments", deployment.as_str()),
        ("POST", "/deployments/deploy-with-estimate", &deployment),
        ("DELETE", "/deployments/fn", ""),
        ("POST", "/call_function/fn", "1"),
        ("GET", "/get_function_logs/fn", ""),
        ("POST", "/create_job", &deployment),
        ("POST", "/create_job_with_estimate", &deployment),
        ("POST", "/estimator/estimate", r#"{"mode":"adhoc","policy":{}}"#),
    ] {
        let refused = send(method, path, &[other], body);
        assert_eq!(refused.refusal(), (409, "conflict".into()), "{method} {path}");
        assert!(refused.text().contains("the caller expected `b`"), "{}", refused.text());
    }
    assert_eq!(send("POST", "/deployments", &[own, ("x-lictor-via", "a")], &deployment).status, 200);
    assert_eq!(send("POST", "/call_function/fn", &[own], "1").data(), 7);
    // A function of somebody else's: its record says so, and whoever asks is sent there.
    register(&server, "far", &web.origin());
    web.answer("/deployments", Answer::json(&json!({"success": true, "message": "done"})));
    let far = json!({"name": "far-fn", "policy_rule_uri": uri});
    server.post("/function/deployments/create/far", &far).data();
    let command = json!({"mgmt_action": "set", "mgmt_data": 1}).to_string();
    for path in ["/function/management/far-fn", "/function/far-fn/upgrade"] {
        let refused = send("POST", path, &[own, ("x-lictor-via", "a")], &command);
        assert_eq!(refused.refusal(), (409, "conflict".into()), "{path}");
        assert!(refused.text().contains("through `a`"), "{}", refused.text());
        assert_eq!(web.hits(path), 0);
    }
    let elsewhere = send("POST", "/function/management/fn", &[other, ("x-lictor-via", "a")], &command);
    assert!(elsewhere.text().contains("the caller expected `b`"), "{}", elsewhere.text());
}

#[test]
fn an_executor_of_the_originals_kind_is_understood() {
    let server = TestServer::builder().allow_loopback().start();
    let web = CodeServer::start();
    register(&server, "old", &web.origin());
    let uri = server.load(&record("seven", &server.put_file("seven.wasm", &policy("7"))));
    let body = json!({"name": "fn", "policy_rule_uri": uri, "replicas": 2});
    let path = "/function/deployments/create/old";
    // Its failures are under `error`.
    let kubernetes = json!({"success": false, "error": "(409)\nReason: Conflict"});
    web.answer("/deployments", Answer::json(&kubernetes).with_status(500));
    let refused = server.post(path, &body);
    assert_eq!(refused.refusal(), (502, "internal".into()));
    assert!(refused.text().contains("(409)"), "{}", refused.text());
    assert_eq!(server.get("/function/fn").refusal(), (404, "not_found".into()));

    web.answer(
        "/deployments",
        Answer::json(&json!({"success": true, "message": "Deployment 'fn' created successfully."})),
    );
    assert_eq!(server.post(path, &body).data()["policy_rule_uri"], json!(uri));
    let sent: Value = serde_json::from_slice(&web.seen().last().unwrap().body).unwrap();
    assert_eq!((&sent["name"], &sent["replicas"], &sent["node_selector"]), (&json!("fn"), &json!(2), &json!({})));

    let call = "/call_function/fn?usage=1";
    web.answer(call, Answer::json(&json!({"success": true, "data": {"allowed": true}})));
    assert_eq!(server.post("/function/call_function/fn", &json!([1, 2.50])).data(), json!({"allowed": true}));
    assert_eq!(web.seen().last().unwrap().body, b"[1,2.5]");
    web.answer(call, Answer::json(&json!({"success": false, "message": "KeyError: 'ip'"})).with_status(500));
    let failed = server.post("/function/call_function/fn", &json!({}));
    assert_eq!(failed.refusal(), (502, "internal".into()));
    assert!(failed.text().contains("KeyError"), "{}", failed.text());
    web.answer("/get_function_logs/fn?tail=2", Answer::json(&json!({"success": true, "data": "a\nb\n"})));
    assert_eq!(server.get("/function/get_logs/fn?tail=2").json()["logs"], "a\nb\n");

    // What it does not know is said so.
    let managed = server.post("/function/management/fn", &json!({"mgmt_action": "set", "mgmt_data": 1}));
    assert_eq!(managed.refusal(), (501, "not_available".into()));
    assert!(managed.text().contains("no such route"), "{}", managed.text());

    // A function that its cluster has lost is removed here too.
    let gone = json!({"success": false, "error": "(404)\nReason: Not Found"});
    web.answer("/deployments/fn", Answer::json(&gone).with_status(500));
    assert_eq!(server.delete("/function/deployments/remove/fn").json()["success"], true);
    assert_eq!(server.get("/function/fn").refusal(), (404, "not_found".into()));

    web.answer("/estimator/estimate", Answer::json(&json!({"success": false, "error": "no node has 4 GPUs"})));
    let estimated = server.post("/function/deployments/create-with-estimate/old", &body);
    assert_eq!((estimated.status, estimated.json()["success"].clone()), (200, json!(false)));
    assert!(estimated.json()["error"].as_str().unwrap().contains("4 GPUs"), "{}", estimated.text());
    web.answer(
        "/estimator/estimate",
        Answer::json(&json!({"success": true, "data": {"allowed": true, "node_id": "n7"}})),
    );
    web.answer(
        "/create_job",
        Answer::json(&json!({"success": true, "message": "Job 'j' created successfully."})).with_status(201),
    );
    let job = json!({"name": "j", "job_id": "chosen", "policy_rule_uri": uri});
    let submitted = server.post("/jobs/submit-with-estimate/old", &job);
    assert_eq!(submitted.json()["data"], "Job 'j' created successfully.", "{}", submitted.text());
    eventually(
        "the job to be handed over",
        || if web.hits("/create_job") == 1 { Ok(()) } else { Err(web.seen().len()) },
    );
    let handed = web.seen().into_iter().rfind(|seen| seen.path == "/create_job").unwrap();
    let handed: Value = serde_json::from_slice(&handed.body).unwrap();
    assert_eq!((&handed["job_id"], &handed["node_selector"]), (&json!("chosen"), &json!({"nodeID": "n7"})));
}
