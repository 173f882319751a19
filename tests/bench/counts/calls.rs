//! The two hot calls over HTTP, and the servers that they are made of.

use std::{path::Path, process::Command};

use lictor_bench::{INPUT, PARAMETERS, inside};
use lictor_tests::guests_dir;
use serde_json::json;

use crate::{Res, client::Client, server::Server};

const POLICY: &str = "ip_allowlist:1.0-bench";

/// One way to ask.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    path: &'static str,
    body: fn() -> String,
}

pub(crate) const ROUTES: [Route; 2] = [
    Route { name: "stateless", path: "/executor/executor-001/execute_policy", body: stateless },
    Route { name: "function", path: "/function/call_function/bench", body: || INPUT.to_owned() },
];

fn stateless() -> String {
    format!(r#"{{"policy_rule_uri":"{POLICY}","input_data":{INPUT},"parameters":{PARAMETERS}}}"#)
}

impl Route {
    /// Makes `n` calls, one after the other; each must be answered with the decision.
    pub(crate) fn make(&self, client: &mut Client, n: usize) -> Res<()> {
        let body = (self.body)();
        for _ in 0..n {
            let answer = client.send("POST", self.path, &body)?;
            if !answer.body.starts_with(br#"{"success":true,"data":{"allowed":true"#) {
                return Err(format!("an unexpected answer: {}", answer.text()).into());
            }
        }
        Ok(())
    }
}

/// Stores the policy and deploys the function.
pub(crate) fn prepare(server: &Server) -> Res<()> {
    let mut client = server.client()?;
    client.data("POST", "/policy", &inside::policy().to_string())?;
    let parameters: serde_json::Value = serde_json::from_str(PARAMETERS)?;
    let function = json!({"name": "bench", "policy_rule_uri": POLICY, "policy_rule_parameters": parameters});
    client.data("POST", "/function/deployments/create/executor-001", &function.to_string())?;
    ROUTES.iter().try_for_each(|route| route.make(&mut client, 1))
}

/// The server that counts its allocations.
pub(crate) fn counting(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_counting-lictor"));
    serve(&mut command, home);
    command
}

/// The server that is shipped.
pub(crate) fn real(home: &Path) -> Command {
    let mut command = Command::new(lictor_tests::binary());
    serve(&mut command, home);
    command
}

/// Has `command` serve what is in this folder, whatever is in our environment.
pub(crate) fn serve(command: &mut Command, home: &Path) {
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"]).arg(home.join("data"));
    command.arg("--allow-file").arg(guests_dir());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LICTOR_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
}
