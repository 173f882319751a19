//! The number of replicas follows the load, up and down, and is in the record.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use lictor_tests::{TestServer, counter, eventually};
use serde_json::json;

use super::{call, create, load, read, set, values};

/// Waits until there are so many replicas, by the record and by how they stand.
#[track_caller]
fn wait_for(server: &TestServer, what: &str, so: impl Fn(u64) -> bool) {
    eventually(what, || {
        let record = read(server);
        let (wanted, there) = (&record["replicas"], &record["function_status"]["ready_replicas"]);
        let good = wanted == there && so(wanted.as_u64().unwrap());
        if good { Ok(()) } else { Err(format!("{wanted}, {}", record["function_status"])) }
    });
}

#[test]
fn more_when_they_are_busy_and_fewer_when_they_are_not() {
    let server = TestServer::start();
    for stateful in [true, false] {
        let uri = load(&server, &format!("counter{stateful}"), &counter(stateful));
        let autoscaling = json!({
            "enabled": true, "min_replicas": 1, "max_replicas": 4, "target_cpu_utilization_percentage": 30,
            "scale_down_stabilization_seconds": 1,
        });
        let body = json!({"name": "f", "policy_rule_uri": uri, "replicas": 1, "autoscaling": autoscaling});
        create(&server, &body).data();
        set(&server, "set", 7);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // Also one that came later knows what was said before.
                        assert_eq!(call(&server, &json!("work"))["value"], 7);
                    }
                });
            }
            wait_for(&server, "all replicas", |n| n == 4);
            let busy = read(&server)["function_status"]["utilization_percent"].as_u64();
            assert!(busy.is_some(), "{busy:?}");
            assert_eq!(values(&server), [7, 7, 7, 7]);
            done.store(true, Ordering::Relaxed);
        });
        let metrics = server.admin().get("/metrics");
        assert!(metrics.text().contains("lictor_function_replicas"), "there is a gauge");
        wait_for(&server, "one replica", |n| n == 1);
        assert_eq!(values(&server), [7]);
        // The deployment is still the same one.
        create(&server, &body).data();
        let record = read(&server);
        assert_eq!(record["autoscaling"], body["autoscaling"]);
        server.delete("/function/deployments/remove/f").data();
    }
}

#[test]
fn the_number_is_durable_and_within_what_the_executor_may_have() {
    let server = TestServer::builder().config("max_replicas = 3").start();
    let uri = load(&server, "counter", &counter(true));
    let autoscaling = json!({
        "min_replicas": 1, "max_replicas": 10, "target_cpu_utilization_percentage": 10,
        "scale_down_stabilization_seconds": 3600,
    });
    create(&server, &json!({"name": "f", "policy_rule_uri": uri, "autoscaling": autoscaling})).data();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                call(&server, &json!("work"));
            }
        });
        wait_for(&server, "as many as there may be", |n| n == 3);
        done.store(true, Ordering::Relaxed);
    });
    let server = server.kill().start();
    wait_for(&server, "them to be there again", |n| n == 3);
    let reply = create(&server, &json!({"name": "g", "policy_rule_uri": uri}));
    assert_eq!(reply.refusal(), (429, "busy".into()));
}
