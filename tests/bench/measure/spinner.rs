//! A policy that never ends, and callers that keep it going on every core.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lictor_tests::{TestServer, record, repository};
use serde_json::json;

use crate::{EXECUTE, Res, client::Client};

/// Stores the endless policy under `name` with this time-out; gives its uri.
pub(crate) fn load(server: &TestServer, name: &str, timeout: Duration) -> Res<String> {
    let component = wat::parse_file(repository().join("tests/bench/spin.wat"))?;
    let mut record = record(name, &server.put_file("spin.wasm", &component));
    record["limits"] = json!({"timeout_ms": u64::try_from(timeout.as_millis())?});
    Ok(server.load(&record))
}

/// The body of a call of it.
pub(crate) fn call_of(uri: &str) -> String {
    json!({"policy_rule_uri": uri, "input_data": {}}).to_string()
}

/// Calls it, and checks that its time-out ended it.
pub(crate) fn spin(client: &mut Client, body: &str) -> Res<Duration> {
    let timed = client.send("POST", EXECUTE, body)?;
    if timed.text().contains(r#""code":"timeout""#) {
        return Ok(timed.took);
    }
    Err(format!("the endless policy was answered: {}", timed.text()).into())
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Does `work` while a call of the endless policy is under way for every core, and another one as soon as it ends.
pub(crate) fn beside<T>(address: SocketAddr, body: &str, work: impl FnOnce() -> Res<T>) -> Res<T> {
    let done = AtomicBool::new(false);
    let keep_going = || -> Res<()> {
        let mut client = Client::new(address)?;
        while !done.load(Ordering::Relaxed) {
            spin(&mut client, body)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..cores()).map(|_| scope.spawn(keep_going)).collect();
        // Until all of them have begun.
        thread::sleep(Duration::from_millis(100));
        let result = work();
        done.store(true, Ordering::Relaxed);
        for one in all {
            one.join().map_err(|_| "a caller panicked")??;
        }
        result
    })
}
