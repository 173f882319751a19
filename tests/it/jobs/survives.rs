//! Jobs after the end of the process: nothing acknowledged is missing, and what did not end runs again.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use lictor_tests::{Builder, TestServer, eventually, policy};
use serde_json::{Value, json};

use super::{cancel, ended, job, load, read, sleeping, sleeps, submit, until, with};

#[test]
fn what_was_running_and_what_was_waiting_runs_after_kill_9() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let (sleeps, good) = (sleeps(&server), load(&server, "good", &policy("7")));
    let runs = submit(&server, &sleeping(&sleeps));
    until(&server, &runs, "running");
    let waits = submit(&server, &job(&good));
    let gone = submit(&server, &job(&good));
    cancel(&server, &gone);
    let server = server.kill().start();
    eventually("it to run again", || {
        let record = read(&server, &runs);
        if record["job_status"] == "running" && record["attempts"] == 2 { Ok(()) } else { Err(record) }
    });
    assert_eq!(read(&server, &waits)["job_status"], "pending");
    cancel(&server, &runs);
    assert_eq!(ended(&server, &waits)["job_output_data"], 7);
    assert_eq!(read(&server, &gone)["job_status"], "cancelled");
}

#[test]
fn a_server_that_stops_cuts_what_runs_and_says_so() {
    let server = TestServer::start();
    let sleeps = sleeps(&server);
    let id = submit(&server, &sleeping(&sleeps));
    until(&server, &id, "running");
    server.terminate();
    let (exited, builder) = server.wait();
    assert_eq!(exited.code, Some(0), "{exited:?}");
    assert!(exited.stderr.contains("1 jobs are cut"), "{}", exited.stderr);
    let server = builder.start();
    until(&server, &id, "running");
    assert_eq!(cancel(&server, &id)["job_status"], "cancelled");
}

/// Submits jobs until the server is killed under it, which is after `enough`. Gives the builder and what was acknowledged.
fn kill_under_submissions(server: TestServer, uris: &[String; 2], enough: usize) -> (Builder, Vec<String>) {
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let builder = thread::scope(|scope| {
        for writer in 0..3 {
            let (client, acknowledged, stop) = (server.client().clone(), &acknowledged, &stop);
            scope.spawn(move || {
                for n in 0_usize.. {
                    let body = with(job(&uris[(writer + n) % 2]), "inputs", json!(format!("{writer}.{n}"))).to_string();
                    let json = [("Content-Type", "application/json")];
                    let sent = client.try_send("POST", "/jobs/submit/executor-001", &json, body.as_bytes());
                    let Ok(reply) = sent else { break };
                    assert_eq!(reply.status, 201, "{}", reply.text());
                    acknowledged.lock().unwrap().push(reply.json()["job_id"].as_str().unwrap().to_owned());
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        eventually("some submissions", || {
            let n = acknowledged.lock().unwrap().len();
            if enough <= n { Ok(()) } else { Err(n) }
        });
        let builder = server.kill();
        stop.store(true, Ordering::Relaxed);
        builder
    });
    (builder, acknowledged.into_inner().unwrap())
}

#[test]
fn kill_9_again_and_again_loses_no_job_and_ends_each_once() {
    let mut server = TestServer::start();
    let uris = [load(&server, "good", &policy("7")), load(&server, "fails", &super::fails())];
    let (mut all, mut over) = (BTreeSet::new(), std::collections::BTreeMap::<String, Value>::new());
    for round in 0..5 {
        let (builder, acknowledged) = kill_under_submissions(server, &uris, 20 + round * 10);
        all.extend(acknowledged);
        server = builder.start();
        // What had ended is as it was: nothing runs that ended.
        for (id, record) in &over {
            assert_eq!(&read(&server, id), record);
        }
        for id in &all {
            let record = read(&server, id);
            if !record["finished_at"].is_null() {
                over.insert(id.clone(), record);
            }
        }
    }
    for id in &all {
        let record = ended(&server, id);
        let expected = if record["policy_rule_uri"] == json!(uris[0]) { "completed" } else { "failed" };
        assert_eq!(record["job_status"], expected, "{record}");
    }
    let there = server.post("/jobs/query", &json!({})).data();
    let there: BTreeSet<&str> =
        there.as_array().unwrap().iter().map(|record| record["job_id"].as_str().unwrap()).collect();
    assert!(all.iter().all(|id| there.contains(id.as_str())));
    eventually("those that were not acknowledged to end too", || {
        let open = server.post("/jobs/query", &json!({"job_status": {"$in": ["pending", "running"]}})).data();
        if open == json!([]) { Ok(()) } else { Err(open) }
    });
    server.stop();
}
