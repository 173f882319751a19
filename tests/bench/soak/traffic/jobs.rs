//! Jobs: whatever was submitted is there, ends as it must, and stays as it ended.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Part, data};
use crate::world::{Answer, Desk, NOTHING};

/// Jobs of one client that have not ended: with more, it first sees how they stand.
const AT_ONCE: usize = 20;
/// Jobs that ended and are looked at in each round of checks.
const SAMPLE: usize = 20;
/// How long jobs may take to end when nothing else is done.
const PATIENCE: Duration = Duration::from_secs(180);

struct Job {
    id: String,
    /// How it may end.
    may_end: Vec<&'static str>,
    /// What a completed one has put out.
    output: Value,
    /// How it ended.
    ended: Option<String>,
    /// While it was there, the disk was full: tries failed for our own reasons.
    full: u64,
}

/// The jobs of one client.
#[derive(Default)]
pub(crate) struct Jobs {
    waiting: Vec<Job>,
    ended: Vec<Job>,
    submitted: u64,
}

impl Jobs {
    fn submit(&mut self, desk: &mut Desk<'_>, policy: &str, may_end: &[&'static str]) -> Option<usize> {
        self.submitted += 1;
        let input = json!({"of": desk.number, "n": self.submitted});
        let mut body = json!({"name": "soak", "policy_rule_uri": format!("{policy}:1.0-test"), "inputs": input});
        if policy == "spins" {
            // One that is not cancelled, since the server was killed before, must not keep others waiting for long.
            body["timeout_ms"] = json!(3_000);
        }
        let full = desk.world.full.mark();
        let answer = desk.ask("submit a job", "POST /jobs/submit/executor-001", &body, &[]);
        let Answer::Done(body) = answer else { return None };
        let id = body["job_id"].as_str()?.to_owned();
        self.waiting.push(Job { id, may_end: may_end.to_vec(), output: input, ended: None, full });
        Some(self.waiting.len() - 1)
    }

    fn cancel(&mut self, desk: &mut Desk<'_>) {
        let Some(idx) = self.submit(desk, "spins", &["failed", "cancelled"]) else { return };
        let job = &mut self.waiting[idx];
        let line = format!("POST /jobs/{}/cancel", job.id);
        if let Answer::Done(_) = desk.ask("cancel a job", &line, &Value::Null, &["conflict"]) {
            job.may_end = vec!["cancelled"];
        }
    }

    /// Follows one to its end.
    fn watch(&mut self, desk: &mut Desk<'_>) {
        let Some(idx) = self.submit(desk, "echo", &["completed"]) else { return };
        let job = &self.waiting[idx];
        let (full, ends) = (desk.world.full.mark(), desk.world.ends.mark());
        let Some(reply) = desk.send("watch a job", &format!("GET /jobs/{}/events", job.id), NOTHING) else { return };
        let text = String::from_utf8_lossy(&reply.body);
        let excused = desk.world.full.touched(full) || desk.world.ends.touched(ends);
        if !excused && !text.contains(r#""job_status":"completed""#) {
            desk.world.violation(&format!("the events of job {} do not tell its end: {} {text}", job.id, reply.status));
        }
    }

    fn look(&mut self, desk: &mut Desk<'_>) {
        for job in &mut self.waiting {
            job.look(desk);
        }
        let (ended, waiting) = self.waiting.drain(..).partition(|job| job.ended.is_some());
        self.waiting = waiting;
        self.ended.extend::<Vec<Job>>(ended);
    }
}

impl Job {
    fn look(&mut self, desk: &mut Desk<'_>) {
        let Some(record) = data(desk.ask("read a job", &format!("GET /jobs/{}", self.id), &Value::Null, &[])) else {
            return;
        };
        let status = record["job_status"].as_str().unwrap_or_default().to_owned();
        let failed_by_us = status == "failed" && desk.world.full.touched(self.full);
        match &self.ended {
            Some(before) if *before == status => {}
            Some(before) => desk.world.violation(&format!("lost: job {} was {before}, and is {record}", self.id)),
            None if ["pending", "running"].contains(&status.as_str()) => {}
            None if self.may_end.contains(&status.as_str()) || failed_by_us => {
                desk.world.count_outcome(&format!("job {status}"));
                if status == "completed" && record["job_output_data"] != self.output {
                    desk.world.violation(&format!("job {} put out something else: {record}", self.id));
                }
                self.ended = Some(status);
            }
            None => {
                desk.world.violation(&format!("job {} ended so: {record}", self.id));
                self.ended = Some(status);
            }
        }
    }
}

impl Part for Jobs {
    fn step(&mut self, desk: &mut Desk<'_>) {
        if AT_ONCE <= self.waiting.len() {
            thread::sleep(Duration::from_millis(20));
            return self.look(desk);
        }
        match desk.chance.below(20) {
            0 => self.cancel(desk),
            1 | 2 => self.watch(desk),
            3 => drop(self.submit(desk, "fails", &["failed"])),
            4 => self.look(desk),
            5 => {
                let query = json!({"job_status": {"$in": ["completed", "pending"]}, "inputs.of": desk.number});
                desk.ask("find jobs", "POST /jobs/query?limit=5", &query, &[]);
            }
            _ => drop(self.submit(desk, "echo", &["completed"])),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        self.look(desk);
        for _ in 0..SAMPLE.min(self.ended.len()) {
            let idx = desk.chance.below(self.ended.len());
            self.ended[idx].look(desk);
        }
    }

    fn check_at_the_end(&mut self, desk: &mut Desk<'_>) {
        let began = Instant::now();
        while !self.waiting.is_empty() && began.elapsed() < PATIENCE {
            self.look(desk);
            thread::sleep(Duration::from_millis(200));
        }
        for job in &self.waiting {
            desk.world.violation(&format!("job {} does not end", job.id));
        }
        self.ended.iter_mut().for_each(|job| job.look(desk));
    }
}
