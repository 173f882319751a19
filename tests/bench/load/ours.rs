//! The bare server, and ours with the policy that is measured.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use lictor_bench::{INPUT, PARAMETERS};
use lictor_tests::{TestServer, guest_record};
use serde_json::json;

use crate::{
    Res,
    client::Client,
    contestant::Contestant,
    fetched::AllowList,
    process::{self, Group},
};

/// The request that all of them answer.
pub(crate) const POST: &str = "tests/bench/post.lua";
/// The call of a function: the body is the input itself, and the parameters are those of the function.
const FUNCTION: &str = "tests/bench/function.lua";
const EXECUTE: &str = "/executor/executor-001/execute_policy";
/// How long a turn is.
const SECONDS: u32 = 4;

/// The server that only parses and echoes.
pub(crate) struct Bare {
    address: SocketAddr,
    group: Group,
}

/// Ours, with one policy.
pub(crate) struct Server {
    server: TestServer,
    /// Where the fetching form finds the rest of its list.
    list: Option<AllowList>,
}

/// The body that the script sends.
pub(crate) fn body() -> Res<String> {
    let text = std::fs::read_to_string(POST).map_err(|error| format!("{POST}: {error}"))?;
    let body = text.split('\'').nth(1).ok_or("the script has no body")?;
    Ok(body.to_owned())
}

/// Asks a server once, and checks that it decides.
pub(crate) fn check(address: SocketAddr, path: &str, body: &str, expected: &str) -> Res<()> {
    let answer = Client::new(address)?.send("POST", path, body)?.text();
    if answer.contains(expected) { Ok(()) } else { Err(format!("{path} answered {answer}").into()) }
}

/// The bare server, which is the `echo` beside the server that is measured.
pub(crate) fn bare() -> Res<Bare> {
    let lictor = PathBuf::from(std::env::var_os("LICTOR_BIN").ok_or("`LICTOR_BIN` names no server")?);
    let address = process::free_address()?;
    let mut group = Group::start(Command::new(lictor.with_file_name("echo")).arg(address.to_string()))?;
    group.wait_for(address)?;
    check(address, "/", &body()?, INPUT)?;
    Ok(Bare { address, group })
}

impl Bare {
    pub(crate) fn contestant(&self, key: &str) -> Contestant {
        Contestant::new(key, format!("http://{}/", self.address), POST, self.group.pid(), SECONDS)
    }
}

/// Ours with `ip_allowlist`, which fetches the rest of its list from this machine if it is told to.
pub(crate) fn server(fetches: bool) -> Res<Server> {
    let mut record = guest_record("ip_allowlist");
    record["policy_parameters"] = serde_json::from_str(PARAMETERS)?;
    record["policy_settings"] = json!({});
    let list = if fetches { Some(AllowList::serve()?) } else { None };
    let mut builder = TestServer::builder();
    if let Some(list) = &list {
        record["policy_settings"] = json!({"allowlist_api": format!("{}/list", list.origin())});
        record["capabilities"] = json!({"http": [list.origin()]});
        builder = builder.allow_loopback();
    }
    let server = builder.start();
    server.load(&record);
    Ok(Server { server, list })
}

impl Server {
    pub(crate) fn stateless(&self, key: &str) -> Res<Contestant> {
        check(self.server.address(), EXECUTE, &body()?, r#""allowed":true"#)?;
        Ok(self.contestant(key, EXECUTE, POST))
    }

    /// The same policy as a function: two replicas, one for each of two cores.
    pub(crate) fn function(&self) -> Res<Contestant> {
        let function = json!({"name": "allowlist", "policy_rule_uri": "ip_allowlist:1.0-beta", "replicas": 2});
        let mut client = Client::new(self.server.address())?;
        client.data("POST", "/function/deployments/create/executor-001", &function.to_string())?;
        let path = "/function/call_function/allowlist";
        check(self.server.address(), path, INPUT, r#""allowed":true"#)?;
        Ok(self.contestant("function", path, FUNCTION))
    }

    fn contestant(&self, key: &str, path: &str, script: &'static str) -> Contestant {
        let url = format!("http://{}{path}", self.server.address());
        Contestant::new(key, url, script, self.server.pid(), SECONDS)
    }

    /// Fails unless its calls fetched: one that could not would be answered all the same, and sooner.
    pub(crate) fn has_fetched<'a>(&self, all: impl Iterator<Item = &'a Contestant>) -> Res<()> {
        let calls: u64 = all.flat_map(|one| &one.rounds).map(|round| round.requests).sum();
        let fetched = self.list.as_ref().map_or(0, AllowList::hits);
        if fetched < calls { Err(format!("{calls} calls fetched only {fetched} lists").into()) } else { Ok(()) }
    }
}
