//! Assets: bytes that go up come down as they were.

use serde_json::{Value, json};

use super::{Part, data};
use crate::{
    chance::Chance,
    ledger::Entry,
    world::{Answer, Desk, NOTHING},
};

const ASSETS: usize = 3;
/// More than one of the pieces that are stored.
const LARGEST: usize = 2 << 20;

/// The assets of one client. The state of each says which bytes it has; none if it is not there.
pub(crate) struct Assets {
    prefix: String,
    entries: Vec<Entry<Option<u64>>>,
    uploads: u64,
}

/// The bytes of this number.
fn bytes(n: u64) -> Vec<u8> {
    let mut chance = Chance::new(n, 0);
    let length = chance.below(LARGEST);
    (0..length.div_ceil(8)).flat_map(|_| chance.next().to_le_bytes()).take(length).collect()
}

impl Assets {
    pub(crate) fn new(number: u64) -> Self {
        let entries = (0..ASSETS).map(|_| Entry::new(None)).collect();
        Self { prefix: format!("asset{number}"), entries, uploads: number << 32 }
    }

    fn line(&self, method: &str, idx: usize) -> String {
        format!("{method} /asset/{}-{idx}:1-t", self.prefix)
    }

    fn upload(&mut self, desk: &mut Desk<'_>, idx: usize) {
        self.uploads += 1;
        let metadata = json!({
            "asset_name": format!("{}-{idx}", self.prefix), "asset_version": {"version": "1", "tag": "t"},
            "asset_metadata": {"n": self.uploads},
        });
        let mut form = b"--soak\r\nContent-Disposition: form-data; name=\"asset\"; filename=\"f\"\r\n\r\n".to_vec();
        form.extend(bytes(self.uploads));
        let rest = "\r\n--soak\r\nContent-Disposition: form-data; name=\"asset_metadata\"";
        form.extend(format!("{rest}\r\n\r\n{metadata}\r\n--soak--\r\n").as_bytes());
        let body = ("multipart/form-data; boundary=soak", form.as_slice());
        let answer = desk.ask_with("upload an asset", "POST /upload_asset", body, &[]);
        self.note(&answer, idx, Some(self.uploads));
    }

    fn delete(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let answer = desk.ask("delete an asset", &self.line("DELETE", idx), &Value::Null, &[]);
        self.note(&answer, idx, None);
    }

    fn note(&mut self, answer: &Answer, idx: usize, state: Option<u64>) {
        match answer {
            Answer::Done(_) => self.entries[idx].is(state),
            Answer::Refused | Answer::Unknown => self.entries[idx].may_be(state),
        }
    }

    fn read(&mut self, desk: &mut Desk<'_>, idx: usize) {
        let record = match desk.ask("read an asset", &self.line("GET", idx), &Value::Null, &["not_found"]) {
            Answer::Unknown => return,
            Answer::Refused => None,
            answer => data(answer),
        };
        let state = record.as_ref().and_then(|record| record["asset_metadata"]["n"].as_u64());
        if let Err(why) = self.entries[idx].saw(state) {
            desk.world.violation(&format!("lost: the asset {}-{idx} {why}", self.prefix));
            self.entries[idx].is(state);
        }
        if let (Some(record), Some(n)) = (record, state) {
            let id = record["asset_id"].as_str().unwrap_or_default();
            let reply = desk.send("download an asset", &format!("GET /asset-object/{id}"), NOTHING);
            if let Some(reply) = reply
                && (reply.status != 200 || reply.body != bytes(n))
            {
                desk.world.violation(&format!("lost: the asset {} has other bytes, {}", record, reply.status));
            }
        }
    }
}

impl Part for Assets {
    fn step(&mut self, desk: &mut Desk<'_>) {
        let idx = desk.chance.below(ASSETS);
        match (self.entries[idx].known(), desk.chance.below(2)) {
            (Some(None), _) => self.upload(desk, idx),
            (Some(Some(_)), 0) => self.delete(desk, idx),
            _ => self.read(desk, idx),
        }
    }

    fn check(&mut self, desk: &mut Desk<'_>) {
        (0..ASSETS).for_each(|idx| self.read(desk, idx));
    }
}
