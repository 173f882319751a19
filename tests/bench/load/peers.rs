//! The peers that `peers.sh` installed.

use std::{fmt::Display, net::SocketAddr, process::Command};

use crate::{
    Res,
    contestant::Contestant,
    ours::{self, POST},
    process::{self, Group},
};

const SCRIPT: &str = "tests/bench/peers/peers.sh";
/// How long a turn is: there are many of them.
const SECONDS: u32 = 2;

/// One that serves.
pub(crate) struct Peer {
    name: String,
    address: SocketAddr,
    group: Group,
}

/// Starts every peer that is installed, and says which are left out, and why.
pub(crate) fn start() -> Res<Vec<Peer>> {
    let output = Command::new(SCRIPT).arg("list").output().map_err(|error| format!("{SCRIPT}: {error}"))?;
    let mut peers = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let [name, version, why_not] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{SCRIPT} listed `{line}`").into());
        };
        println!("peer_{name}_version\t{version}\tversion");
        let started = if why_not.is_empty() { Peer::start(name) } else { Err(why_not.into()) };
        match started {
            Ok(peer) => peers.push(peer),
            Err(why_not) => leave_out(&format!("peer_{name}"), &why_not),
        }
    }
    Ok(peers)
}

/// Says that a peer is left out, and why.
pub(crate) fn leave_out(key: &str, why: &dyn Display) {
    println!("{key}_left_out\t{}\treason", why.to_string().replace(['\t', '\n'], " "));
}

impl Peer {
    fn start(name: &str) -> Res<Self> {
        let address = process::free_address()?;
        let mut group = Group::start(Command::new(SCRIPT).args(["serve", name, &address.port().to_string()]))?;
        group.wait_for(address)?;
        ours::check(address, "/", &ours::body()?, r#""allowed":true"#)?;
        Ok(Self { name: name.to_owned(), address, group })
    }

    pub(crate) fn contestant(&self) -> Contestant {
        let key = format!("peer_{}", self.name);
        Contestant::new(&key, format!("http://{}/", self.address), POST, self.group.pid(), SECONDS)
    }
}
