//! `lictor audit verify`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    super::{Failure, print},
    place::Place,
    unreadable,
};
use crate::decisions::{
    files::Head,
    key::PublicKey,
    verify::{Report, Trust, verify},
};

/// Prove the log whole, or name the first record that is not as it was written.
///
/// Every record must follow from the one before it, every checkpoint must be signed, nothing may be missing at the
/// beginning but what the log says that it dropped, and the log must not end before its head. Who could write the log and
/// had its key could write another one: against that, keep the key or a copy of `decisions/head.json` elsewhere, and give
/// it here.
#[derive(Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    place: Place,
    /// The public key that must have signed the log, in hexadecimal digits [default: the one that the log names].
    #[arg(long = "key", value_name = "HEX")]
    keys: Vec<String>,
    /// A copy of the log's head from earlier: the log must still have what it had then.
    #[arg(long = "head", value_name = "FILE")]
    heads: Vec<PathBuf>,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let folder = self.place.log()?;
        let report = verify(&folder, &self.trust()?);
        let report = report.map_err(|error| unreadable(&folder, &error))?;
        for note in &report.notes {
            print::note(format_args!("lictor: {note}"));
        }
        print::json_line(&line(&report))?;
        match &report.finding {
            None => Ok(()),
            Some(finding) => {
                print::note(format_args!("lictor: the decision log is not whole: {finding}"));
                Err(Failure::Policy)
            }
        }
    }

    fn trust(&self) -> Result<Trust, Failure> {
        let key = |text: &String| {
            PublicKey::parse(text)
                .ok_or_else(|| Failure::Usage(format!("`{text}` is no public key: 64 hexadecimal digits")))
        };
        let head = |path: &PathBuf| {
            let unusable = |why: String| Failure::Usage(format!("`{}` is no head of a log: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
            serde_json::from_str::<Head>(&text).map_err(|error| unusable(error.to_string()))
        };
        Ok(Trust {
            keys: self.keys.iter().map(key).collect::<Result<_, _>>()?,
            heads: self.heads.iter().map(head).collect::<Result<_, _>>()?,
        })
    }
}

fn line(report: &Report) -> String {
    let Report { segments, first, last, hash, decisions, signed, keys, finding, .. } = report;
    let finding = finding.as_ref().map(|finding| {
        json!({"record": finding.n, "segment": finding.segment, "line": finding.line, "message": finding.what})
    });
    json!({
        "whole": finding.is_none(), "first": first, "last": last, "signed": signed, "decisions": decisions,
        "segments": segments, "hash": hash, "keys": keys, "finding": finding,
    })
    .to_string()
}
