//! The first decision of a new process, of a policy whose compiled code is in the cache on disk.

use std::{
    thread,
    time::{Duration, Instant},
};

use lictor_tests::{TestServer, guest_record};
use serde_json::json;

use crate::{Res, call_of, client::Client, decide, figure, median, us};

const PROCESSES: usize = 9;
/// How long a server is left alone once it says that it is ready, so that nothing of its start is measured.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) fn measure() -> Res<()> {
    let server = TestServer::start();
    let mut record = guest_record("ip_allowlist");
    record["policy_settings"] = json!({});
    let body = call_of(&server.load(&record));
    let mut builder = server.stop();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..PROCESSES {
        let server = builder.start();
        thread::sleep(SETTLE);
        let mut client = Client::new(server.address())?;
        // Another request first: what is measured is the policy, not the connection.
        client.data("GET", "/policy/ip_allowlist:1.0-beta", "")?;
        let began = Instant::now();
        decide(&mut client, &body)?;
        first.push(us(began.elapsed()));
        second.push(us(decide(&mut client, &body)?));
        builder = server.stop();
    }
    eprintln!("  first decisions: {first:.0?} us");
    figure("first_decision_us", median(first), "us");
    figure("second_decision_us", median(second), "us");
    Ok(())
}
