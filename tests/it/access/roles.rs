//! What each role may, route by route, and what it may not although the route is open to it.

use lictor_tests::{Client, TestServer, eventually, policy, record};
use serde_json::{Value, json};

use super::{client, closed, execute};

/// Which roles come in: those that do more than the rest of a row are listed first.
const ALL: [&str; 5] = ["admin", "deployer", "author", "caller", "auditor"];
const READ: &[&str] = &["admin", "deployer", "author", "auditor"];
const RUN: &[&str] = &["admin", "deployer", "author", "caller"];
const PUBLISH: &[&str] = &["admin", "deployer", "author"];
const DEPLOY: &[&str] = &["admin", "deployer"];
const ADMIN: &[&str] = &["admin"];

/// A route, filled in, and who gets past the door.
const ROUTES: [(&str, &str, &[&str]); 39] = [
    ("POST", "/policy", PUBLISH),
    ("GET", "/policy/a:1-b", READ),
    ("HEAD", "/policy/a:1-b", READ),
    ("PUT", "/policy/a:1-b", PUBLISH),
    ("DELETE", "/policy/a:1-b", PUBLISH),
    ("POST", "/policy/query", READ),
    ("PUT", "/policy/a:1-b/shadow", DEPLOY),
    ("GET", "/policy/a:1-b/shadow", READ),
    ("POST", "/upload_asset", PUBLISH),
    ("GET", "/asset-object/a", READ),
    ("POST", "/assets", READ),
    ("POST", "/executor", ADMIN),
    ("GET", "/executor/executor-001", READ),
    ("PUT", "/executor/a", ADMIN),
    ("DELETE", "/executor/a", ADMIN),
    ("POST", "/executor/a/heartbeat", DEPLOY),
    ("POST", "/executor/executor-001/execute_policy", RUN),
    ("POST", "/executor/executor-0/execute_policy", RUN),
    ("POST", "/executor/a/execute_policy", RUN),
    ("POST", "/executor/executor-001/execute_policy/batch", RUN),
    ("POST", "/execute_policy", RUN),
    ("POST", "/function/call_function/a", RUN),
    ("POST", "/call_function/a", RUN),
    ("POST", "/graph/execute_graph", RUN),
    ("GET", "/function/a", READ),
    ("GET", "/function/get_logs/a", READ),
    ("POST", "/function/deployments/create/executor-001", DEPLOY),
    ("DELETE", "/function/deployments/remove/a", DEPLOY),
    ("POST", "/function/management/a", DEPLOY),
    ("POST", "/function/a/upgrade", DEPLOY),
    ("POST", "/graphs", DEPLOY),
    ("DELETE", "/graphs/a", DEPLOY),
    ("POST", "/jobs/submit/executor-001", RUN),
    ("GET", "/jobs/a", &ALL),
    ("GET", "/jobs/a/events", &ALL),
    ("POST", "/jobs/a/cancel", RUN),
    ("POST", "/jobs/query", READ),
    ("POST", "/deployments", DEPLOY),
    ("POST", "/create_job", DEPLOY),
];

// attack 68
#[test]
fn each_role_may_what_it_is_for_and_nothing_else() {
    let builder = TestServer::builder();
    let tokens = ALL.map(|role| (role, builder.token(role)));
    let server = builder.start();
    for (role, token) in tokens {
        let client = server.with_token(&token);
        for (method, path, roles) in ROUTES {
            // A body that every route refuses, if it looks at it.
            let reply = client.send(method, path, &[("Content-Type", "application/json")], b"[");
            assert_ne!(reply.status, 401, "{role}: {method} {path}");
            let shut = reply.status == 403;
            assert_eq!(shut, !roles.contains(&role), "{role}: {method} {path}: {reply:?}");
            if shut && method != "HEAD" {
                assert_eq!(reply.refusal().1, "forbidden", "{role}: {method} {path}");
                let message = reply.json()["message"].as_str().unwrap().to_owned();
                assert!(message.contains(&format!("this one is `{role}`")), "{message}");
            }
        }
    }
}

fn granting(name: &str, code: &str, capabilities: &Value) -> Value {
    let mut record = record(name, code);
    record["capabilities"] = capabilities.clone();
    record
}

#[track_caller]
fn refused(client: &Client, method: &str, path: &str, body: &Value) {
    let headers = [("Content-Type", "application/json")];
    let reply = client.send(method, path, &headers, body.to_string().as_bytes());
    assert_eq!(reply.refusal(), (403, "forbidden".into()), "{method} {path} {body}");
    assert_eq!(reply.json()["field"], "capabilities");
}

// attack 34: an author cannot give a policy what it has not, by any way of changing a record.
#[test]
fn only_some_roles_raise_a_grant() {
    let (server, _admin) = closed();
    let (author, deployer) = (client(&server, "author"), client(&server, "deployer"));
    let code = server.put_file("p.wasm", &policy("7"));
    let some = json!({"http": ["https://a.example"], "host": ["f"]});
    let more = json!({"http": ["https://a.example", "https://b.example"], "host": ["f"]});
    refused(&author, "POST", "/policy", &granting("p", &code, &some));
    refused(&author, "POST", "/policy", &granting("p", &code, &json!({"host": ["f"]})));
    let uri = author.create_policy(&granting("p", &code, &json!({"context": false})));
    let path = format!("/policy/{uri}");
    refused(&author, "PUT", &path, &granting("p", &code, &some));
    refused(&author, "PUT", &path, &json!({"$set": {"capabilities": some}}));
    refused(&author, "PUT", &path, &json!({"$set": {"capabilities.http": ["https://a.example"]}}));
    refused(&author, "PUT", &path, &json!({"$unset": {"capabilities": ""}}));
    refused(&author, "PUT", &path, &record("p", &code));
    assert_eq!(deployer.put(&path, &granting("p", &code, &some)).json()["success"], true);
    // What it has it keeps: an author goes on with its own work, gives some of it back, and does not get it again.
    assert_eq!(author.put(&path, &json!({"$set": {"metadata": {"a": 1}}})).json()["success"], true);
    refused(&author, "PUT", &path, &json!({"$push": {"capabilities.http": "https://b.example"}}));
    refused(&author, "PUT", &path, &granting("p", &code, &more));
    refused(&author, "PUT", &path, &json!({"$set": {"version": "2.0", "capabilities": more}}));
    let less = json!({"http": [], "host": ["f"]});
    assert_eq!(author.put(&path, &json!({"$set": {"capabilities": less}})).json()["success"], true);
    refused(&author, "PUT", &path, &json!({"$set": {"capabilities": some}}));
    assert_eq!(deployer.get(&path).json()["data"]["capabilities"]["http"], json!([]));
}

// attack 72: what one caller submitted is not there for another one.
#[test]
fn who_may_only_run_sees_the_jobs_it_submitted() {
    let (server, admin) = closed();
    let (one, other) = (client(&server, "caller"), client(&server, "caller"));
    let uri = admin.load(&record("p", &server.put_file("p.wasm", &policy("7"))));
    let job = json!({"name": "j", "policy_rule_uri": uri, "inputs": {}});
    let id = one.post("/jobs/submit/executor-001", &job).json()["job_id"].as_str().unwrap().to_owned();
    let ended = eventually("the job to end", || {
        let record = one.get(&format!("/jobs/{id}")).json()["data"].clone();
        if record["job_status"] == "completed" { Ok(record) } else { Err(record) }
    });
    assert_eq!(ended["job_output_data"], 7);
    let missing = other.get("/jobs/no-such").json()["message"].as_str().unwrap().replace("no-such", &id);
    for (method, path) in [("GET", ""), ("GET", "/events"), ("POST", "/cancel")] {
        let headers = [("Content-Type", "application/json")];
        let reply = other.send(method, &format!("/jobs/{id}{path}"), &headers, b"{}");
        assert_eq!(reply.refusal().1, "not_found", "{method} {path}");
        assert_eq!(reply.json()["message"], missing.as_str(), "{method} {path}");
    }
    // Those who read everything read it, and see whose it is.
    for role in ["auditor", "deployer"] {
        let record = client(&server, role).get(&format!("/jobs/{id}")).json()["data"].clone();
        assert_eq!(record["submitted_by"], ended["submitted_by"], "{role}");
    }
    assert_eq!(execute(&other, &uri).data(), 7);
}
