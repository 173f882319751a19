//! What was acknowledged is there after kill -9, whichever registry it was written to, and the data directory opens.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use lictor_tests::{Client, Reply, TestServer, counter, eventually, record};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// How often a server is killed, and by how many it is written to.
const ROUNDS: usize = 4;
const WRITERS: usize = 3;

/// One thing that was acknowledged.
enum Fact {
    /// The document at this path has this field with this value.
    Is(String, &'static str, Value),
    /// Nothing is at this path.
    Gone(String),
    /// The asset with this id has these bytes.
    Holds(String, String),
}

impl Fact {
    #[track_caller]
    fn check(&self, client: &Client) {
        match self {
            Self::Is(path, field, value) => assert_eq!(&client.get(path).data()[field], value, "{path}"),
            Self::Gone(path) => assert_eq!(client.get(path).refusal(), (200, "not_found".into()), "{path}"),
            Self::Holds(id, bytes) => assert_eq!(&client.get(&format!("/asset-object/{id}")).text(), bytes, "{id}"),
        }
    }
}

/// The routes of one registry, and the smallest document of it.
#[derive(Clone, Copy)]
struct Registry {
    path: &'static str,
    field: &'static str,
    metadata: &'static str,
    make: fn(&str) -> Value,
    id: fn(&str) -> String,
}

const POLICIES: Registry = Registry {
    path: "/policy",
    field: "name",
    metadata: "metadata",
    make: |name| record(name, "file:///nowhere/x.wasm"),
    id: |name| format!("{name}:1.0-test"),
};

const EXECUTORS: Registry = Registry {
    path: "/executor",
    field: "executor_id",
    metadata: "executor_metadata",
    make: |name| json!({"executor_id": name, "executor_host_uri": "http://203.0.113.7:1", "executor_metadata": {}}),
    id: str::to_owned,
};

const GRAPHS: Registry = Registry {
    path: "/graphs",
    field: "graph_name",
    metadata: "graph_metadata",
    make: |name| {
        json!({
            "graph_name": name, "graph_version": "1.0", "graph_release_tag": "test", "graph_metadata": {},
            "graph_function_ids": ["a"], "graph_connection_data": {}, "graph_search_tags": [], "graph_description": "",
            "graph_input_schema": {}, "graph_output_schema": {}
        })
    },
    id: |name| format!("{name}:1.0-test"),
};

impl Registry {
    fn at(&self, name: &str) -> String {
        format!("{}/{}", self.path, (self.id)(name))
    }

    /// Creates a record, and deletes it again if `n` says so.
    fn write(&self, client: &Client, name: &str, n: usize) -> io::Result<Fact> {
        send(client, "POST", self.path, &(self.make)(name))?.data();
        if n % 3 == 2 {
            client.try_send("DELETE", &self.at(name), &[], b"")?.data();
            return Ok(Fact::Gone(self.at(name)));
        }
        Ok(Fact::Is(self.at(name), self.field, json!(name)))
    }
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> io::Result<Reply> {
    client.try_send(method, path, &[JSON], body.to_string().as_bytes())
}

/// Tells threads to end, also when the one that waits for them fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets every writer write until the server is killed under them, which is after `enough` writes.
fn kill_under_writes<T: Send>(
    server: TestServer,
    enough: usize,
    write: impl Fn(&Client, usize, usize) -> io::Result<T> + Sync,
) -> (TestServer, Vec<T>) {
    let (written, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let builder = thread::scope(|scope| {
        let spawn = |writer| {
            let (client, write, written, stop) = (server.client().clone(), &write, &written, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let Ok(fact) = write(&client, writer, n) else { break };
                    written.lock().unwrap().push(fact);
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(spawn).collect();
        let _end = SetAtEnd(&stop);
        eventually("some writes", || {
            let n = written.lock().unwrap().len();
            // One that ended by itself has failed, which shows when the scope ends.
            if enough <= n || writers.iter().any(|writer| writer.is_finished()) { Ok(()) } else { Err(n) }
        });
        server.kill()
    });
    (builder.start(), written.into_inner().unwrap())
}

/// Kills a server under such writes again and again, and looks for everything that was ever acknowledged.
fn nothing_is_missing(write: impl Fn(&Client, &str, usize) -> io::Result<Fact> + Sync) {
    let (mut server, mut facts) = (TestServer::start(), Vec::new());
    for round in 0..ROUNDS {
        let (again, written) = kill_under_writes(server, 15 + round * 5, |client, writer, n| {
            write(client, &format!("r{round}.w{writer}.n{n}"), n)
        });
        facts.extend(written);
        for fact in &facts {
            fact.check(&again);
        }
        server = again;
    }
    server.stop();
}

#[test]
fn policies_survive_kill_9() {
    nothing_is_missing(|client, name, n| POLICIES.write(client, name, n));
}

#[test]
fn executors_survive_kill_9() {
    nothing_is_missing(|client, name, n| EXECUTORS.write(client, name, n));
}

#[test]
fn graphs_survive_kill_9() {
    nothing_is_missing(|client, name, n| GRAPHS.write(client, name, n));
}

#[test]
fn assets_survive_kill_9() {
    nothing_is_missing(|client, name, _| {
        let bytes = format!("the bytes of {name}");
        let metadata = json!({"asset_name": name, "asset_version": {"version": "1", "tag": "t"}});
        let form = format!(
            "--x\r\nContent-Disposition: form-data; name=\"asset\"; filename=\"f\"\r\n\r\n{bytes}\r\n--x\r\n\
             Content-Disposition: form-data; name=\"asset_metadata\"\r\n\r\n{metadata}\r\n--x--\r\n"
        );
        let media_type = [("Content-Type", "multipart/form-data; boundary=x")];
        let reply = client.try_send("POST", "/upload_asset", &media_type, form.as_bytes())?;
        let body = reply.json();
        assert_eq!((reply.status, &body["success"]), (201, &json!(true)), "{body}");
        Ok(Fact::Holds(body["asset_id"].as_str().unwrap().to_owned(), bytes))
    });
}

/// A write that was not answered may be there or not, but whole, and only the last one of each writer.
#[test]
fn updates_survive_kill_9_whole_and_in_order() {
    let registries = [POLICIES, EXECUTORS, GRAPHS];
    let mut server = TestServer::start();
    for (writer, registry) in registries.iter().enumerate() {
        server.post(registry.path, &(registry.make)(&format!("counter{writer}"))).data();
    }
    let mut counts = [0; WRITERS];
    for round in 0..ROUNDS {
        let before = counts;
        let (again, written) = kill_under_writes(server, 20 + round * 5, |client, writer, n| {
            let registry = &registries[writer];
            let [count, list] = ["n", "list"].map(|name| format!("{}.{name}", registry.metadata));
            let change = json!({"$inc": {count: 1}, "$push": {list: before[writer] + n}});
            send(client, "PUT", &registry.at(&format!("counter{writer}")), &change)?.data();
            Ok(writer)
        });
        for (writer, registry) in registries.iter().enumerate() {
            let acknowledged = before[writer] + written.iter().filter(|by| **by == writer).count();
            let metadata = again.get(&registry.at(&format!("counter{writer}"))).data()[registry.metadata].take();
            let count = metadata["n"].as_u64().map_or(0, |n| usize::try_from(n).unwrap());
            assert!(count == acknowledged || count == acknowledged + 1, "{acknowledged} acknowledged: {metadata}");
            let list = metadata["list"].as_array().cloned().unwrap_or_default();
            assert_eq!(list, (0..count).map(|n| json!(n)).collect::<Vec<_>>(), "round {round}");
            counts[writer] = count;
        }
        server = again;
    }
    server.stop();
}

/// A function that was deployed and managed, jobs that were submitted, and a graph of them, all under load.
#[test]
fn functions_jobs_and_graphs_survive_kill_9() {
    let mut server = TestServer::start();
    for (name, stateful) in [("saves", true), ("replays", false)] {
        let code = server.put_file(&format!("{name}.wasm"), &counter(stateful));
        server.load(&record(name, &code));
        let body = json!({"name": name, "policy_rule_uri": format!("{name}:1.0-test"), "replicas": 2});
        server.post("/function/deployments/create/executor-001", &body).data();
    }
    let mut graph = (GRAPHS.make)("both");
    graph["graph_function_ids"] = json!(["saves", "replays"]);
    graph["graph_connection_data"] = json!({"saves": ["replays"]});
    server.post("/graphs", &graph).data();
    let (mut jobs, mut values) = (Vec::new(), [0_u64; 2]);
    for round in 0..ROUNDS {
        let before = values;
        let (again, written) = kill_under_writes(server, 40 + round * 10, |client, writer, n| {
            if writer == 2 {
                return submit_and_execute(client, n).map(|id| (writer, Some(id)));
            }
            // Each writer has a function, and sets its value to what nobody set before.
            let name = ["saves", "replays"][writer];
            let value = before[writer] + u64::try_from(n).unwrap() + 1;
            let body = json!({"mgmt_action": "set", "mgmt_data": value});
            let path = format!("/function/management/{name}");
            let answer = send(client, "POST", &path, &body)?.json();
            assert_eq!(answer["success"], true, "{answer}");
            send(client, "POST", &format!("/function/call_function/{name}"), &json!(1))?.data();
            Ok((writer, None))
        });
        for (writer, job) in written {
            match job {
                Some(id) => jobs.push(id),
                None => values[writer] += 1,
            }
        }
        for (writer, name) in ["saves", "replays"].into_iter().enumerate() {
            // One that was not answered may have been carried out.
            let body = json!({"mgmt_action": "get"});
            let all = again.post(&format!("/function/management/{name}"), &body).json();
            for replica in all["replicas"].as_array().unwrap_or_else(|| panic!("{all}")) {
                let value = replica["data"]["value"].as_u64().unwrap_or_else(|| panic!("{all}"));
                assert!(
                    (values[writer]..=values[writer] + 1).contains(&value),
                    "{} acknowledged: {all}",
                    values[writer]
                );
            }
            values[writer] = all["data"]["value"].as_u64().unwrap();
        }
        again.post("/graph/execute_graph", &json!({"graph_uri": "both:1.0-test", "input_data": 1})).data();
        server = again;
    }
    for id in &jobs {
        let record = eventually(&format!("the job {id} to end"), || {
            let record = server.get(&format!("/jobs/{id}")).data();
            if record["job_status"] == "completed" { Ok(record) } else { Err(record) }
        });
        assert!(record["attempts"].as_u64().is_some_and(|n| 1 <= n), "{record}");
    }
    assert!(!jobs.is_empty());
    server.stop();
}

/// Submits a job, and now and then executes the graph; gives the job's id.
fn submit_and_execute(client: &Client, n: usize) -> io::Result<String> {
    let body = json!({"name": format!("n{n}"), "policy_rule_uri": "saves:1.0-test", "inputs": n});
    let reply = send(client, "POST", "/jobs/submit/executor-001", &body)?;
    assert_eq!(reply.status, 201, "{}", reply.text());
    if n.is_multiple_of(4) {
        let body = json!({"graph_uri": "both:1.0-test", "input_data": 1});
        send(client, "POST", "/graph/execute_graph", &body)?.data();
    }
    Ok(reply.json()["job_id"].as_str().unwrap().to_owned())
}
