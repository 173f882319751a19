//! `lictor push`: a package and its record, to a server.

mod parcel;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use lictor_loader::{LoadCode, client::Method};
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};

use self::parcel::Parcel;
use super::{
    Failure, host, print, progress,
    remote::{Remote, text},
};
use crate::config;

/// How long the server may take to make the policy ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the server is asked whether it is ready.
const PAUSE: Duration = Duration::from_millis(200);

/// Publish a policy on a server.
///
/// Uploads the package as an asset, registers its record, and waits until the server has it ready. What is there
/// already stays as it is, so the command may be repeated; other code or another record under the same name, version
/// and tag is refused. A crate is packed first, as `lictor pack` does it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Push {
    /// An archive (.zip, .tar.gz, .tar.xz), a .wasm, or a folder: of a package (code/policy.wasm) or of a crate.
    package: PathBuf,
    /// The server.
    #[arg(long, value_name = "URL")]
    to: String,
    /// The policy record [default: policy.json in the folder, or NAME.json beside the file].
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    identity: Identity,
}

/// What the record's own identity gives way to.
#[derive(Args, Clone, Debug, Default)]
struct Identity {
    /// The policy's name, instead of the record's.
    #[arg(long)]
    name: Option<String>,
    /// Its version, instead of the record's.
    #[arg(long)]
    version: Option<String>,
    /// Its release tag, instead of the record's [default: dev, where the record has none].
    #[arg(long, value_name = "TAG")]
    release_tag: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  lictor push dist/my-policy-1.0.zip --to http://127.0.0.1:10000
  lictor push . --to https://policies.example.com --release-tag stable

Exit codes:
  0  the server has the policy ready
  2  the command or the record makes no sense, or the server has something else under this name, version and tag
  3  the server cannot be reached, or the policy cannot be loaded
  5  a failure of lictor's own";

/// How the policy stood before.
struct There {
    record: Map<String, Value>,
}

impl Push {
    pub(super) fn run(self) -> Result<(), Failure> {
        let remote = Remote::at(&self.to, "--to")?;
        let parcel = Parcel::make(&self.package, self.record.as_deref(), &self.identity)?;
        let what = format!("pushing {}", parcel.uri);
        host::runtime()?.block_on(progress::during(what, push(&remote, parcel)))
    }
}

async fn push(remote: &Remote, mut parcel: Parcel) -> Result<(), Failure> {
    let path = format!("/policy/{}", parcel.uri);
    let there = There::of(remote, &path).await?;
    match there.as_ref().filter(|there| there.runs(&parcel)) {
        // The same component by another way stays where it is.
        Some(there) => parcel.is_at(&there.record),
        None => upload(remote, &parcel).await?,
    }
    let said = remote.send(Method::POST, "/policy", &Value::Object(parcel.record.clone())).await?;
    if said.code() == "conflict" {
        return Err(conflict(&parcel, "another policy"));
    }
    for warning in said.body.get("warnings").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        print::note(format_args!("lictor: {warning}"));
    }
    said.data()?;
    if there.as_ref().is_some_and(There::failed) {
        // A change that changes nothing: what kept it from loading may be mended by now.
        remote.send(Method::PUT, &path, &json!({"$set": {"name": parcel.record.get("name")}})).await?.data()?;
    }
    ready(remote, &path).await?;
    tell(remote, &parcel, there.is_some())
}

impl There {
    async fn of(remote: &Remote, path: &str) -> Result<Option<Self>, Failure> {
        let said = remote.get(path).await?;
        if said.code() == "not_found" {
            return Ok(None);
        }
        match said.data()? {
            Value::Object(record) => Ok(Some(Self { record })),
            _ => Err(Failure::load(LoadCode::CodeUnreachable, "the server answered with no record")),
        }
    }

    /// Whether it is ready and runs this very component.
    fn runs(&self, parcel: &Parcel) -> bool {
        let ready = self.state() == "ready";
        ready && self.record.get("component_digest").and_then(Value::as_str) == Some(parcel.component.as_str())
    }

    fn state(&self) -> &str {
        self.record.get("load").map_or("", |load| text(load, "/state"))
    }

    fn failed(&self) -> bool {
        self.state() == "failed"
    }
}

async fn upload(remote: &Remote, parcel: &Parcel) -> Result<(), Failure> {
    let said = remote.upload(parcel.file_name.clone(), parcel.bytes.clone(), &parcel.metadata()).await?;
    if said.code() != "conflict" {
        return said.data().map(drop);
    }
    // Somebody may have uploaded the same file with another description.
    let asset = remote.get(&format!("/asset/{}", parcel.uri)).await?.data()?;
    if text(&asset, "/asset_file_info/digest") == parcel.digest {
        return Ok(());
    }
    Err(conflict(parcel, "another package"))
}

fn conflict(parcel: &Parcel, what: &str) -> Failure {
    Failure::Usage(format!(
        "conflict: the server has {what} under `{}`: raise `version` in the record, or give --version or --release-tag",
        parcel.uri
    ))
}

/// Waits until loading ended, either way.
async fn ready(remote: &Remote, path: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let record = remote.get(path).await?.data()?;
        match text(&record, "/load/state") {
            "ready" => return Ok(()),
            "failed" => {
                let why = format!("{}: {}", text(&record, "/load/code"), text(&record, "/load/message"));
                return Err(Failure::load(
                    LoadCode::CodeUnreachable,
                    format!("the server cannot load the policy: {why}"),
                ));
            }
            _ if deadline < Instant::now() => {
                let why = format!("the policy is registered, and not ready after {} s", PATIENCE.as_secs());
                return Err(Failure::load(LoadCode::CodeUnreachable, why));
            }
            _ => time::sleep(PAUSE).await,
        }
    }
}

/// Says what it is called, and how to call it.
fn tell(remote: &Remote, parcel: &Parcel, was_there: bool) -> Result<(), Failure> {
    let how = if was_there { "already there" } else { "pushed" };
    print::line(&format!("{}  {how}  {}", parcel.uri, parcel.digest))?;
    let body = json!({"policy_rule_uri": parcel.uri.as_str(), "input_data": {}});
    let token = if config::token().is_some() { " -H \"Authorization: Bearer $LICTOR_TOKEN\"" } else { "" };
    print::line(&format!(
        "curl {}/executor/executor-0/execute_policy{token} -H 'Content-Type: application/json' -d '{body}'",
        remote.base()
    ))
}
