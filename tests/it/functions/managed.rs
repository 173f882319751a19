//! Management commands: to every replica, kept for those that come later, and what becomes of one that fails.

use lictor_tests::{TestServer, counter};
use serde_json::{Value, json};

use super::{call, create, deploy, load, load_with, manage, set, standing, values};

#[test]
fn a_command_reaches_every_replica_or_the_one_that_is_named() {
    let server = TestServer::start();
    let uri = load(&server, "counter", &counter(true));
    deploy(&server, &uri, 3);
    let reply = manage(&server, &json!({"mgmt_action": "set", "mgmt_data": 7}));
    let each = |n: u32| json!({"replica": n, "success": true, "data": {"value": 7}});
    let expected = json!({"success": true, "data": {"value": 7}, "replicas": [each(1), each(2), each(3)]});
    assert_eq!((reply.status, reply.json()), (200, expected));
    let reply = manage(&server, &json!({"mgmt_action": "add", "mgmt_data": 1, "replica": 2}));
    assert_eq!(reply.json()["replicas"], json!([{"replica": 2, "success": true, "data": {"value": 8}}]));
    assert_eq!(values(&server), [7, 8, 7]);
    let reply = manage(&server, &json!({"mgmt_action": "get", "replica": 4}));
    assert_eq!((reply.refusal(), &reply.json()["field"]), ((400, "invalid_input".into()), &json!("replica")));
    assert!(reply.text().contains("there are 1 to 3"), "{}", reply.text());
    let usage = server.post("/function/management/f?usage=1", &json!({"mgmt_action": "get"})).json();
    assert!(usage["usage"]["wall_us"].is_u64(), "{usage}");
}

#[test]
fn one_that_the_first_replica_refuses_goes_no_further() {
    let server = TestServer::start();
    for stateful in [true, false] {
        let uri = load_with(
            &server,
            &format!("counter{stateful}"),
            &counter(stateful),
            &json!({"limits": {"timeout_ms": 300}}),
        );
        deploy(&server, &uri, 2);
        set(&server, "set", 7);
        let failed = manage(&server, &json!({"mgmt_action": "reset"}));
        let body = failed.json();
        assert_eq!(
            (failed.status, &body["code"], &body["failure"]["code"]),
            (200, &json!("policy_error"), &json!("unknown_action"))
        );
        assert_eq!(body["replicas"].as_array().unwrap().len(), 1);
        for (action, code) in [("trap", "trap"), ("spin", "timeout")] {
            let body = manage(&server, &json!({"mgmt_action": action})).json();
            assert_eq!((&body["data"]["code"], &body["replicas"][0]["code"]), (&json!(code), &json!(code)));
            assert_eq!(body["replicas"].as_array().unwrap().len(), 1, "{body}");
        }
        // Nothing of them is given to a replica that comes later.
        standing(&server, "the replica to be there again", |status| status["ready_replicas"] == 2);
        assert_eq!(values(&server), [7, 7], "stateful: {stateful}");
        server.delete("/function/deployments/remove/f").data();
    }
}

#[test]
fn a_replica_that_takes_the_place_of_another_knows_what_was_revoked() {
    let server = TestServer::start();
    for stateful in [true, false] {
        let uri = load(&server, &format!("counter{stateful}"), &counter(stateful));
        deploy(&server, &uri, 2);
        let from = if stateful { "saved_state" } else { "management_commands" };
        assert_eq!(super::read(&server)["function_status"]["state_from"], from);
        for n in 1..=10 {
            set(&server, "add", n);
        }
        manage(&server, &json!({"mgmt_action": "add", "mgmt_data": 1000, "replica": 2})).data();
        for _ in 0..3 {
            let trapped = super::ask(&server, &json!("trap")).json();
            assert_eq!(trapped["code"], "trap");
            assert_eq!(call(&server, &json!(1))["value"].as_i64().unwrap() % 1000, 55);
        }
        standing(&server, "the replicas to be there again", |status| status["ready_replicas"] == 2);
        assert_eq!(values(&server), [55, 1055], "stateful: {stateful}");
        server.delete("/function/deployments/remove/f").data();
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let mut server = TestServer::start();
    for stateful in [true, false] {
        let uri = load(&server, &format!("counter{stateful}"), &counter(stateful));
        deploy(&server, &uri, 2);
        let mut value = 0;
        for round in 1..=3 {
            for n in 1..=5 {
                set(&server, "add", n);
                value += n;
            }
            manage(&server, &json!({"mgmt_action": "add", "mgmt_data": 1000, "replica": 1})).data();
            server = server.kill().start();
            // A call waits for the function to be there.
            assert!(call(&server, &json!(1))["value"].is_i64());
            assert_eq!(values(&server), [value + 1000 * round, value], "stateful: {stateful}");
        }
        server.delete("/function/deployments/remove/f").data();
    }
}

#[test]
fn a_thousand_commands_are_kept_of_a_policy_without_state() {
    let server = TestServer::start();
    let declared = json!([{"name": "get", "read_only": true}, {"name": "add"}]);
    let uri = load_with(&server, "plain", &counter(false), &json!({"management_commands_schema": declared}));
    deploy(&server, &uri, 1);
    for _ in 0..1000 {
        set(&server, "add", 1);
    }
    let refused = manage(&server, &json!({"mgmt_action": "add", "mgmt_data": 1}));
    assert_eq!(refused.refusal(), (409, "conflict".into()));
    assert!(refused.text().contains("read_only") && refused.text().contains("`state`"), "{}", refused.text());
    // What only reads goes on.
    assert_eq!(values(&server), [1000]);
    let server = server.kill().start();
    assert_eq!(values(&server), [1000]);
    super::ask(&server, &json!("trap"));
    assert_eq!(call(&server, &json!(1))["value"], 1000);
    // With a state, what is saved makes room.
    let uri = load(&server, "stateful", &counter(true));
    create(&server, &json!({"name": "g", "policy_rule_uri": uri, "replicas": 2})).data();
    for n in 0..1010 {
        let replica = if n % 2 == 0 { json!(2) } else { Value::Null };
        let body = json!({"mgmt_action": "add", "mgmt_data": 1, "replica": replica});
        server.post("/function/management/g", &body).data();
    }
    let answer = server.post("/function/management/g", &json!({"mgmt_action": "get"})).json();
    assert_eq!(
        (&answer["replicas"][0]["data"]["value"], &answer["replicas"][1]["data"]["value"]),
        (&json!(505), &json!(1010))
    );
}

#[test]
fn schemas_of_commands_are_enforced() {
    let server = TestServer::start();
    let declared = json!([{"name": "set", "schema": {"type": "number"}}]);
    let more = json!({"schema_mode": "enforce", "management_commands_schema": declared});
    let uri = load_with(&server, "strict", &counter(true), &more);
    deploy(&server, &uri, 2);
    let refused = manage(&server, &json!({"mgmt_action": "set", "mgmt_data": {"v": "x"}}));
    let body = refused.json();
    if body["success"] == true {
        panic!("a schema that is a field map only checks objects: {body}");
    }
    assert_eq!(refused.status, 200);
    set(&server, "set", 5);
    assert_eq!(values(&server), [5, 5]);
}
