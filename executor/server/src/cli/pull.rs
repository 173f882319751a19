//! `lictor pull`: a package and its record, from a server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use lictor_loader::{FetchRules, Fetched, Fetcher, LoadCode, LoadError, Verified, archive, client::Method};
use lictor_model::{CodeRef, Digest, PolicyUri, asset, code::AssetRef};
use serde_json::{Map, Value, json};

use super::{
    Failure, host, print, progress,
    remote::{Remote, text},
    source::without_suffix,
};

/// Fetch a policy from a server: its package and its record.
///
/// Writes the package as policy.zip, or what else it is, and the record as policy.json beside it, which `lictor push`
/// and `lictor eval` find there. The package is checked against the digest in the record.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Pull {
    /// The policy: NAME:VERSION-TAG.
    uri: PolicyUri,
    /// The server.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Where to write: a folder, or the package's own file, with the record beside it [default: the folder
    /// NAME-VERSION-TAG].
    #[arg(short, long, value_name = "DIR|FILE")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lictor pull ip_allowlist:1.0-beta --from http://127.0.0.1:10000
  lictor eval ip_allowlist-1.0-beta/policy.zip --input '{}'

Exit codes:
  0  it is there
  2  the command makes no sense
  3  the server cannot be reached, or has no such policy, or its package is not what its record says
  5  a failure of lictor's own";

/// Fields that a server adds.
const COMPUTED: [&str; 4] = ["policy_rule_uri", "component_digest", "load", "_id"];

impl Pull {
    pub(super) fn run(self) -> Result<(), Failure> {
        let remote = Remote::at(&self.from, "--from")?;
        let what = format!("pulling {}", self.uri);
        let (record, file) = host::runtime()?.block_on(progress::during(what, pull(&remote, &self.uri)))?;
        self.write(record, &file)
    }

    fn write(&self, mut record: Map<String, Value>, file: &Verified) -> Result<(), Failure> {
        let suffix = archive::suffix_of(file.bytes()).unwrap_or(".bin");
        let (package, beside) = self.places(suffix);
        for name in COMPUTED {
            record.remove(name);
        }
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        record.insert("code".into(), json!(name));
        record.insert("code_digest".into(), json!(file.digest().to_string()));
        let text = serde_json::to_string_pretty(&record).map_err(Failure::internal)?;
        write(&package, file.bytes())?;
        // Last, so that it never names a package that is not there.
        write(&beside, format!("{text}\n").as_bytes())?;
        print::line(&format!("{}  {} bytes  {}", package.display(), file.bytes().len(), file.digest()))?;
        print::line(&beside.display().to_string())
    }

    /// Where the package goes, and its record.
    fn places(&self, suffix: &str) -> (PathBuf, PathBuf) {
        let file = self.out.as_ref().filter(|out| !out.is_dir()).and_then(|out| {
            let name = out.file_name()?.to_str()?;
            let stem = without_suffix(name);
            (stem != name && !stem.is_empty()).then(|| (out.clone(), out.with_file_name(format!("{stem}.json"))))
        });
        file.unwrap_or_else(|| {
            let folder = self.out.clone().unwrap_or_else(|| self.uri.as_str().replace(':', "-").into());
            (folder.join(format!("policy{suffix}")), folder.join("policy.json"))
        })
    }
}

/// Writes a file that is either the old one or the whole new one.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::Usage(format!("`{}` cannot be written: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.new", std::process::id()));
    fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path)).map_err(|error| {
        // The first error is the one to tell.
        drop(fs::remove_file(&unfinished));
        failed(error)
    })
}

async fn pull(remote: &Remote, uri: &PolicyUri) -> Result<(Map<String, Value>, Verified), Failure> {
    let Value::Object(record) = remote.get(&format!("/policy/{uri}")).await?.data()? else {
        return Err(gone("the server answered with no record".into()));
    };
    let said = |name: &str| record.get(name).and_then(Value::as_str);
    let code = CodeRef::of_python(said("code").unwrap_or_default()).map_err(LoadError::from)?;
    let digest = |name: &str| said(name).and_then(|text| text.parse::<Digest>().ok());
    let file = fetch(remote, &code).await?.verify(digest("code_digest").as_ref())?;
    let component = archive::code_of(&file, archive::kind_of(&file))?;
    match digest("component_digest") {
        Some(loaded) if loaded != component.digest() => {
            let why = format!(
                "the package holds another component than the one that the server runs: expected {loaded}, got {}",
                component.digest()
            );
            return Err(Failure::load(LoadCode::DigestMismatch, why));
        }
        None if !record.contains_key("code_digest") => {
            print::note(
                "lictor: nothing says what the package must be: neither `code_digest` nor `component_digest` is known",
            );
        }
        _ => {}
    }
    Ok((record, file))
}

/// The file behind `code`, from the server's assets where it is one of them.
async fn fetch(remote: &Remote, code: &CodeRef) -> Result<Fetched, Failure> {
    let asset = match code {
        CodeRef::Asset(AssetRef::Uri(uri)) => Some(remote.get(&format!("/asset/{uri}")).await?.data()?),
        CodeRef::Asset(AssetRef::Id(id)) => by_id(remote, id).await?,
        CodeRef::Http(url) => match url.path().rsplit_once("/asset-object/") {
            Some((_, id)) if url.query().is_none() => by_id(remote, id).await?,
            _ => None,
        },
        CodeRef::File(_) | CodeRef::Path(_) | CodeRef::Python(_) => None,
    };
    match (asset, code) {
        (Some(asset), _) => of_asset(remote, &asset).await,
        (None, CodeRef::Http(_)) => elsewhere(code).await,
        (None, _) => Err(gone(format!("the code of the policy is `{code}`, which only the server can read"))),
    }
}

async fn by_id(remote: &Remote, id: &str) -> Result<Option<Value>, Failure> {
    let found = remote.send(Method::POST, "/assets", &json!({"asset_id": id})).await?.data()?;
    Ok(found.as_array().and_then(|found| found.first()).cloned())
}

async fn of_asset(remote: &Remote, asset: &Value) -> Result<Fetched, Failure> {
    let id = text(asset, "/asset_id");
    if let Some(bytes) = remote.file(&format!("/asset-object/{id}")).await? {
        return Ok(Fetched::of(bytes));
    }
    let place = asset.as_object().map(asset::place).transpose();
    match place.map_err(|error| gone(error.to_string()))?.flatten() {
        Some(place @ CodeRef::Http(_)) => elsewhere(&place).await,
        _ => Err(gone("the asset has no file that can be fetched".into())),
    }
}

/// What is on the web is fetched under the rules of a server without configuration: the record that names it is not
/// the operator's word.
async fn elsewhere(code: &CodeRef) -> Result<Fetched, Failure> {
    Ok(Fetcher::new(FetchRules::default())?.fetch(code).await?)
}

fn gone(why: String) -> Failure {
    Failure::load(LoadCode::CodeUnreachable, why)
}
