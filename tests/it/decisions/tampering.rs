//! Whatever is done to a log is found, and the first record that is not as it was written is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lictor_tests::TestServer;
use serde_json::json;
use tempfile::TempDir;

use super::{folder, load_echo, segments, verify};

/// A log of several segments, of a server that has stopped.
struct Log {
    home: TempDir,
    data: PathBuf,
}

impl Log {
    fn new() -> Self {
        let server = TestServer::builder().config("decisions.keep_mb = 1").start();
        let uri = load_echo(&server);
        for n in 0..300 {
            server.execute(&uri, &json!(format!("{n:0500}"))).data();
        }
        let stopped = server.stop();
        let home = tempfile::tempdir().unwrap();
        let log = Self { data: home.path().join("data"), home };
        copy(&stopped.data_dir(), &log.data);
        assert!(3 <= segments(&log.data).len());
        log
    }

    /// What is said of a copy to which this was done.
    #[track_caller]
    fn after(&self, name: &str, touch: impl FnOnce(&Path, &[PathBuf])) -> String {
        let data = self.home.path().join(name.replace(' ', "-"));
        copy(&self.data, &data);
        touch(&data, &segments(&data));
        let output = verify(&data).exits(1);
        assert!(output.json_line()["whole"] == false, "{name}: {}", output.stdout);
        output.stderr
    }
}

trait JsonLine {
    fn json_line(&self) -> serde_json::Value;
}

impl JsonLine for lictor_tests::Output {
    fn json_line(&self) -> serde_json::Value {
        self.json()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(folder(to)).unwrap();
    for entry in fs::read_dir(folder(from)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder(to).join(path.file_name().unwrap())).unwrap();
    }
}

/// Changes the lines of a segment.
fn edit(segment: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines: Vec<String> = fs::read_to_string(segment).unwrap().lines().map(|line| format!("{line}\n")).collect();
    change(&mut lines);
    fs::write(segment, lines.concat()).unwrap();
}

/// The number of the record in this line of a segment, counted from 0.
fn number(segment: &Path, line: usize) -> u64 {
    let text = fs::read_to_string(segment).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().nth(line).unwrap()).unwrap();
    line["n"].as_u64().unwrap()
}

#[test]
fn whatever_is_done_to_a_log_is_found_and_named() {
    let log = Log::new();
    let whole = verify(&log.data).exits(0).json();
    assert_eq!((&whole["decisions"], &whole["signed"]), (&json!(300), &whole["last"]));
    let middle = &segments(&log.data)[1];
    let (n, next) = (number(middle, 20), number(middle, 21));

    let said =
        log.after("a flipped bit", |_, all| edit(&all[1], |lines| lines[20] = lines[20].replacen("000", "001", 1)));
    assert!(said.contains(&format!("record {n}: altered")), "{said}");

    let said = log.after("a removed record", |_, all| edit(&all[1], |lines| drop(lines.remove(20))));
    assert!(said.contains(&format!("record {n}: removed")), "{said}");

    let said = log.after("reordered records", |_, all| edit(&all[1], |lines| lines.swap(20, 21)));
    assert!(said.contains(&format!("record {n}: reordered: it comes only after record {next}")), "{said}");

    let said = log.after("a duplicated record", |_, all| edit(&all[1], |lines| lines.insert(21, lines[20].clone())));
    assert!(said.contains(&format!("record {n}: duplicated")), "{said}");

    let said = log.after("a truncated record", |_, all| {
        edit(&all[1], |lines| {
            let half = lines[20].len() / 2;
            lines[20].truncate(half);
            lines[20].push('\n');
        });
    });
    assert!(said.contains(&format!("record {n}: altered: it has no hash")), "{said}");

    let last = whole["last"].as_u64().unwrap();
    let said = log.after("a truncated log", |_, all| {
        edit(all.last().unwrap(), |lines| lines.truncate(lines.len() - 3));
    });
    assert!(said.contains(&format!("record {}: truncated", last - 3)) && said.contains("3 more records"), "{said}");

    let said = log.after("a log without its last segment", |_, all| fs::remove_file(all.last().unwrap()).unwrap());
    assert!(said.contains("truncated: the log ends here"), "{said}");

    let said = log.after("a truncated segment", |_, all| {
        let len = fs::metadata(&all[0]).unwrap().len();
        fs::OpenOptions::new().write(true).open(&all[0]).unwrap().set_len(len - 10).unwrap();
    });
    assert!(said.contains("truncated: the line has no end"), "{said}");

    let said = log.after("swapped segments", |data, all| {
        let aside = folder(data).join("aside");
        fs::rename(&all[1], &aside).unwrap();
        fs::rename(&all[2], &all[1]).unwrap();
        fs::rename(&aside, &all[2]).unwrap();
    });
    assert!(said.contains("swapped: the segment begins with record"), "{said}");

    let said = log.after("a removed segment", |_, all| fs::remove_file(&all[1]).unwrap());
    assert!(said.contains(&format!("record {}: removed", number(middle, 0))), "{said}");

    let other = Log::new();
    let said = log.after("a segment of another log", |_, all| {
        fs::copy(&segments(&other.data)[1], &all[1]).unwrap();
    });
    assert!(said.contains("swapped") || said.contains("altered"), "{said}");

    let said = log.after("no head", |data, _| fs::remove_file(folder(data).join("head.json")).unwrap());
    assert!(said.contains("the head of the log is not there"), "{said}");
}

/// Who writes everything anew has not the key; and who puts an older log in its place, not what somebody else kept.
#[test]
fn a_log_that_was_written_anew_is_not_signed() {
    let log = Log::new();
    let said = log.after("hashed anew", |_, all| {
        let mut before: Option<String> = None;
        for segment in all {
            edit(segment, |lines| {
                for (idx, line) in lines.iter_mut().enumerate() {
                    let text = line.rsplit_once(",\"hash\":").unwrap().0.replacen("0042\"", "0043\"", 2);
                    // The first line of a segment says what it follows.
                    let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
                    let said = parsed["segment"]["previous"].as_str().map(str::to_owned);
                    let (text, from) = match (idx, said, &before) {
                        (0, Some(said), Some(before)) => (text.replace(&said, before), before.clone()),
                        (0, Some(said), None) => (text, said),
                        _ => (text, before.clone().unwrap()),
                    };
                    let hash = lictor_model::Digest::of(format!("{from}{text}").as_bytes()).to_hex();
                    *line = format!("{text},\"hash\":\"{hash}\"}}\n");
                    before = Some(hash);
                }
            });
        }
    });
    assert!(said.contains("forged: its signature"), "{said}");

    let kept = log.home.path().join("kept.json");
    fs::copy(folder(&log.data).join("head.json"), &kept).unwrap();
    let with_head = |data: &Path| {
        lictor_tests::Command::new(["audit", "verify", "--head"]).arg(&kept).arg("--data-dir").arg(data).run()
    };
    with_head(&log.data).exits(0);
    let other = Log::new();
    let said = with_head(&other.data).exits(1).stderr;
    assert!(said.contains("the log once had"), "{said}");
}

/// A server that finds its log shorter than it was says so, for ever.
#[test]
fn a_log_that_was_cut_before_a_start_says_so() {
    let server = TestServer::start();
    let uri = load_echo(&server);
    for n in 0..10 {
        server.execute(&uri, &json!(n)).data();
    }
    let builder = server.stop();
    let data = builder.data_dir();
    edit(&segments(&data)[0], |lines| lines.truncate(lines.len() - 4));
    let server = builder.start();
    assert!(server.log().contains("shorter than it was"), "{}", server.log());
    let stopped = server.stop();
    let data = stopped.data_dir();
    let said = verify(&data).exits(1).stderr;
    assert!(said.contains("the last 4 records of the log were gone when the server started"), "{said}");

    let server = TestServer::start();
    let builder = server.stop();
    fs::remove_file(folder(&builder.data_dir()).join("head.json")).unwrap();
    let stopped = builder.start().stop();
    let said = verify(&stopped.data_dir()).exits(1).stderr;
    assert!(said.contains("the head of the log was gone when the server started"), "{said}");
}
