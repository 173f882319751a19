//! Functions: deployed, called, managed, scaled, upgraded, and there again after kill -9.

mod deployed;
mod guest;
mod managed;
mod replicas;
mod scaled;
mod upgraded;

use lictor_tests::{Client, Reply, TestServer, eventually, record};
use serde_json::{Value, json};

/// Loads a component as `name:1.0-test`, with more in its record.
#[track_caller]
fn load_with(server: &TestServer, name: &str, component: &[u8], more: &Value) -> String {
    let mut record = record(name, &server.put_file(&format!("{name}.wasm"), component));
    record["limits"] = json!({"timeout_ms": 20_000});
    for (field, value) in more.as_object().unwrap() {
        record[field] = value.clone();
    }
    server.load(&record)
}

#[track_caller]
fn load(server: &TestServer, name: &str, component: &[u8]) -> String {
    load_with(server, name, component, &json!({}))
}

fn create(server: &TestServer, body: &Value) -> Reply {
    server.post("/function/deployments/create/executor-001", body)
}

/// Deploys the policy `uri` as the function `f`.
#[track_caller]
fn deploy(server: &TestServer, uri: &str, replicas: u32) {
    create(server, &json!({"name": "f", "policy_rule_uri": uri, "replicas": replicas})).data();
}

fn ask(client: &Client, input: &Value) -> Reply {
    client.post("/function/call_function/f", input)
}

/// What `f` answers.
#[track_caller]
fn call(client: &Client, input: &Value) -> Value {
    ask(client, input).data()
}

fn manage(client: &Client, body: &Value) -> Reply {
    client.post("/function/management/f", body)
}

/// Has every replica carry out a command.
#[track_caller]
fn set(client: &Client, action: &str, n: i64) {
    manage(client, &json!({"mgmt_action": action, "mgmt_data": n})).data();
}

/// The record of `f`.
#[track_caller]
fn read(client: &Client) -> Value {
    client.get("/function/f").data()
}

/// How `f` stands, once `so` holds of it.
#[track_caller]
fn standing(client: &Client, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let status = read(client)["function_status"].clone();
        if so(&status) { Ok(status) } else { Err(status) }
    })
}

/// The value that each replica has, by the answers to a command that reads it.
#[track_caller]
fn values(client: &Client) -> Vec<Value> {
    let answer = manage(client, &json!({"mgmt_action": "get"})).json();
    answer["replicas"].as_array().unwrap().iter().map(|replica| replica["data"]["value"].clone()).collect()
}
