//! Snapshots: they take over, they answer as the files do, and nothing of the moment they were made shows.

use std::{collections::BTreeSet, time::Duration};

use lictor_tests::{TestServer, class, eventually_within, python_record};
use serde_json::{Value, json};

/// Compiling twice takes half a minute of a processor that nothing else needs.
const PATIENCE: Duration = Duration::from_secs(400);

fn server() -> TestServer {
    let builder = TestServer::builder().with_python();
    builder.env("LICTOR_PYTHON_SNAPSHOTS_MB", "512").env("LICTOR_LOG", "info").start()
}

fn calls(server: &TestServer, uri: &str, n: usize) -> Vec<Value> {
    (0..n).map(|_| server.client().execute(uri, &json!(1)).data()).collect()
}

/// Waits until the log says this of the policy's code.
fn wait_for(server: &TestServer, uri: &str, what: &str) {
    let code = server.client().policy(uri)["component_digest"].as_str().unwrap().to_owned();
    eventually_within(PATIENCE, what, || {
        let log = server.log();
        let found = log.lines().any(|line| line.contains(&code) && line.contains(what));
        if found {
            Ok(())
        } else {
            Err(log.lines().filter(|line| line.contains("snapshot")).map(str::to_owned).collect::<Vec<_>>())
        }
    });
}

#[test]
fn chance_and_time_are_new_in_each_copy() {
    let server = server();
    let code = format!(
        "import random, secrets, time, uuid\nRULES = sorted(range(50))\n{}",
        class(
            "return [random.random(), random.getrandbits(64), uuid.uuid4().hex, secrets.token_hex(8), time.time_ns(), time.monotonic_ns(), random.Random().random(), len(RULES)]"
        )
    );
    let uri = server.client().load(&python_record("chance", &code));
    let before = calls(&server, &uri, 5);
    wait_for(&server, &uri, "a policy in Python has a snapshot");
    let mut all = calls(&server, &uri, 100);
    all.extend(before);
    for n in 0..7 {
        let values: BTreeSet<_> = all.iter().map(|answer| answer[n].to_string()).collect();
        assert_eq!(values.len(), 105, "of what is answered at {n}");
    }
    assert!(all.iter().all(|answer| answer[7] == 50));

    // It is kept over a restart, where nobody has called the policy yet.
    let server = server.stop().start();
    calls(&server, &uri, 4);
    wait_for(&server, &uri, "a policy in Python has a snapshot");
    let values: BTreeSet<_> = calls(&server, &uri, 20).iter().map(|answer| answer[0].to_string()).collect();
    assert_eq!(values.len(), 20);
}

#[test]
fn what_would_be_frozen_is_not_frozen() {
    let server = server();
    for (name, first, value) in [
        ("clock", "import time\nVALUE = time.time_ns()", None),
        ("chance", "import random\nVALUE = random.random()", None),
        ("entropy", "import uuid\nVALUE = uuid.uuid4().hex", None),
        ("seeded", "import random\nrandom.seed(7)\nVALUE = 7", Some(json!(7))),
        ("words", "print('loaded')\nVALUE = 1", Some(json!(1))),
        ("fails", "VALUE = 1\n1 / 0", None),
    ] {
        let code = format!("{first}\n{}", class("return VALUE"));
        let uri = server.client().load(&python_record(name, &code));
        let mut values: Vec<_> =
            (0..5).map(|_| server.client().execute(&uri, &json!(1)).json()["data"].clone()).collect();
        wait_for(&server, &uri, "a policy in Python has no snapshot");
        values.extend((0..5).map(|_| server.client().execute(&uri, &json!(1)).json()["data"].clone()));
        let different: BTreeSet<_> = values.iter().map(Value::to_string).collect();
        match (name, value) {
            (_, Some(value)) => assert!(values.iter().all(|seen| *seen == value), "{name}: {values:?}"),
            ("fails", None) => assert!(values.iter().all(|seen| seen["code"] == "policy_error"), "{values:?}"),
            _ => assert_eq!(different.len(), 10, "{name}: {values:?}"),
        }
    }
}
