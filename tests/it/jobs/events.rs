//! Watching a job, over a socket of its own.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use lictor_tests::{Client, TestServer, eventually, policy};
use serde_json::{Value, json};

use super::{cancel, fails, job, load, sleeping, sleeps, submit, until, with};

/// The events of one job, as they come.
pub(super) struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    #[track_caller]
    pub(super) fn of(client: &Client, id: &str) -> Self {
        let mut stream = client.connect().expect("the server accepts connections");
        let head = format!("GET /jobs/{id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Self { stream, text: String::new() }
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let n = self.stream.read(&mut chunk).expect("the events go on or end");
        self.text.push_str(str::from_utf8(&chunk[..n]).expect("events are text"));
        0 < n
    }

    /// Waits until this was said.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str) {
        while !self.text.contains(what) {
            assert!(self.more(), "ended before `{what}`: {}", self.text);
        }
    }

    fn status(&mut self) -> u16 {
        self.until("\r\n\r\n");
        self.text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Waits for the end, and gives all records.
    #[track_caller]
    pub(super) fn all_records(mut self) -> Vec<Value> {
        while self.more() {}
        let (head, body) = self.text.split_once("\r\n\r\n").unwrap();
        let (head, body) = (head.to_lowercase(), unchunked(body));
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
        let lines = |name: &str| -> Vec<String> {
            body.lines().filter_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned()).collect()
        };
        let data = lines("data: ");
        let ids: Vec<String> = (1..=data.len()).map(|n| n.to_string()).collect();
        assert_eq!((lines("id: "), lines("event: ")), (ids, vec!["status".to_owned(); data.len()]), "{}", self.text);
        data.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// A body without the lengths of its chunks, which may begin and end anywhere.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a chunk has a length");
        match usize::from_str_radix(length, 16).expect("the length of a chunk is a number") {
            0 => return text,
            n => {
                text.push_str(&rest[..n]);
                body = rest[n..].strip_prefix("\r\n").expect("a chunk has an end");
            }
        }
    }
}

fn statuses(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["job_status"].as_str().unwrap()).collect()
}

// attack 80: in the events of a job.
#[test]
fn each_change_is_told_up_to_the_end() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let sleeps = sleeps(&server);
    let blocks = submit(&server, &sleeping(&sleeps));
    until(&server, &blocks, "running");
    let mut first = Events::of(&server, &blocks);
    first.until("\"job_status\":\"running\"");
    let good = load(&server, "good", &policy("{\"line\": \"a\\nb\"}"));
    let waits = submit(&server, &job(&good));
    let mut events = Events::of(&server, &waits);
    events.until("\"job_status\":\"pending\"");
    cancel(&server, &blocks);
    assert_eq!(statuses(&first.all_records()), ["running", "cancelled"]);
    let events = events.all_records();
    assert_eq!(statuses(&events), ["pending", "running", "completed"]);
    assert_eq!(events[2], server.get(&format!("/jobs/{waits}")).data());
    assert_eq!(events[2]["job_output_data"], json!({"line": "a\nb"}));
    // What has ended is told once.
    assert_eq!(Events::of(&server, &waits).all_records(), events[2..]);
    assert_eq!(server.get("/jobs/none/events").refusal(), (404, "not_found".into()));
}

#[test]
fn attempts_are_told_and_a_record_that_is_kept_no_longer_has_an_end_too() {
    let server = TestServer::builder().config("max_jobs = 1").start();
    let (sleeps, fails) = (sleeps(&server), load(&server, "fails", &fails()));
    let blocks = submit(&server, &sleeping(&sleeps));
    until(&server, &blocks, "running");
    let body = with(with(job(&fails), "backoff_limit", json!(1)), "ttl_seconds_after_finished", json!(0));
    let mut events = Events::of(&server, &submit(&server, &body));
    events.until("pending");
    cancel(&server, &blocks);
    let events = events.all_records();
    assert_eq!(statuses(&events), ["pending", "running", "pending", "running", "failed"]);
    let attempts: Vec<&Value> = events.iter().map(|event| &event["attempts"]).collect();
    assert_eq!(attempts, [0, 1, 1, 2, 2]);
}

#[test]
fn watching_ends_when_the_server_stops() {
    let server = TestServer::start();
    let sleeps = sleeps(&server);
    let id = submit(&server, &sleeping(&sleeps));
    let mut events = Events::of(&server, &id);
    events.until("\"job_status\":\"running\"");
    let stopped = server.stop();
    let events = events.all_records();
    assert_eq!(statuses(&events).last(), Some(&"running"));
    let server = stopped.start();
    let record = eventually("it to run again", || {
        let record = super::read(&server, &id);
        if record["attempts"] == 2 { Ok(record) } else { Err(record) }
    });
    assert_eq!(record["job_status"], "running");
    cancel(&server, &id);
}

// attack 82
#[test]
fn so_many_may_watch() {
    let server = TestServer::start();
    let sleeps = sleeps(&server);
    let id = submit(&server, &sleeping(&sleeps));
    until(&server, &id, "running");
    let mut watching: Vec<Events> = (0..1000).map(|_| Events::of(&server, &id)).collect();
    for events in &mut watching {
        assert_eq!(events.status(), 200);
    }
    assert_eq!(server.get(&format!("/jobs/{id}/events")).refusal(), (429, "busy".into()));
    drop(watching.split_off(500));
    let one_more = eventually("room for one more", || {
        let mut events = Events::of(&server, &id);
        if events.status() == 200 { Ok(events) } else { Err(()) }
    });
    cancel(&server, &id);
    for events in watching.into_iter().chain([one_more]) {
        assert_eq!(statuses(&events.all_records()), ["running", "cancelled"]);
    }
}
