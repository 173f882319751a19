//! The committed counts, `tests/bench/counts.json`: `{group: {name: {"count": …, "reason": …}}}`.
//!
//! With `LICTOR_COUNTS_BECAUSE` set, what was measured is written instead of compared, and its value is the reason that
//! stands beside each count that changed.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, Serializer};

use crate::Res;

const FILE: &str = "counts.json";
const BECAUSE: &str = "LICTOR_COUNTS_BECAUSE";
/// How often is counted before a difference is believed: a machine that is busy can add to a count, seldom three times.
const ATTEMPTS: usize = 3;

/// What was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) n: f64,
    pub(crate) meaning: Meaning,
}

/// How exactly a count is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// Not one more or less.
    Exact,
    /// Of code that was compiled somewhere. The two tool-chains that build policies differ by 1.6 %, and the folder that
    /// the code stood in decides how it is ordered, which is one instruction in a thousand.
    Compiled,
    /// The mean of many calls, in which a little of the background shows.
    PerCall,
    /// Depends on the scheduler.
    Bounded,
}

impl Meaning {
    /// How far a count may be from `was`.
    fn tolerance(self, was: f64) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Compiled => was / 100.0,
            Self::PerCall => 0.3,
            Self::Bounded => 1.0,
        }
    }
}

#[derive(Clone, Deserialize, Serialize)]
struct Entry {
    #[serde(serialize_with = "whole")]
    count: f64,
    reason: String,
}

/// Most counts are whole, and read better so.
fn whole<S: Serializer>(count: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if count.fract() == 0.0 { serializer.serialize_u64(*count as u64) } else { serializer.serialize_f64(*count) }
}

type Group = BTreeMap<String, Entry>;

/// Compares what `count` counts with the group's baseline.
pub(crate) fn agrees(group: &str, count: impl FnMut() -> Res<Vec<Count>>) -> Res<()> {
    agrees_but_for(group, &[], count)
}

/// The same, but for counts that mean nothing here.
pub(crate) fn agrees_but_for(group: &str, left_out: &[&str], mut count: impl FnMut() -> Res<Vec<Count>>) -> Res<()> {
    // One measurement at a time, also where all tests are threads of one process: they share the count.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = std::env::var_os(BECAUSE) {
        return update(group, left_out, count, &reason.to_string_lossy());
    }
    let baseline = read(&mut open()?)?.remove(group).unwrap_or_default();
    let mut differences = Vec::new();
    for _ in 0..ATTEMPTS {
        let counts = count()?;
        differences = compare(&baseline, &counts, left_out);
        if differences.is_empty() {
            counts.iter().for_each(|Count { name, n, .. }| println!("{group}: {name} {n:.2}"));
            return Ok(());
        }
    }
    let differences = differences.join("\n  ");
    Err(format!(
        "{group}:\n  {differences}\nIf that is meant, commit it with its reason: make counts BECAUSE='…' (tests/bench/{FILE})"
    )
    .into())
}

/// What of the counts is not as the baseline has it, a line for each.
fn compare(baseline: &Group, counts: &[Count], left_out: &[&str]) -> Vec<String> {
    let mut differences = Vec::new();
    for Count { name, n, meaning } in counts.iter().filter(|count| !left_out.contains(&count.name)) {
        let was = baseline.get(*name).map(|entry| entry.count);
        match was {
            None => differences.push(format!("{name} is new: {n:.1} a call")),
            Some(was) if was + meaning.tolerance(was) < *n => {
                differences.push(format!("{name} grew from {was} to {n:.1} a call"));
            }
            Some(was) if *n < was - meaning.tolerance(was) => {
                differences.push(format!(
                    "{name} fell from {was} to {n:.1} a call, which is better: commit it, so that it stays"
                ));
            }
            Some(_) => {}
        }
    }
    let gone = baseline.iter().filter(|(name, entry)| {
        let is_known = counts.iter().any(|count| count.name == *name) || left_out.contains(&name.as_str());
        // What is seldom enough comes and goes.
        !is_known && Meaning::PerCall.tolerance(entry.count) <= entry.count
    });
    let unexplained = baseline.iter().filter(|(_, entry)| entry.reason.trim().is_empty());
    differences.extend(unexplained.map(|(name, _)| format!("{name} has no reason")));
    differences.extend(gone.map(|(name, entry)| format!("{name} fell from {} to nothing: commit it", entry.count)));
    differences
}

/// Writes the least of what was counted. What is as before keeps its reason.
fn update(group: &str, left_out: &[&str], mut count: impl FnMut() -> Res<Vec<Count>>, reason: &str) -> Res<()> {
    if reason.trim().is_empty() {
        return Err(format!("{BECAUSE} is the reason for the change: it must not be empty").into());
    }
    if !left_out.is_empty() {
        return Err(format!("the baseline is made where everything can be counted, which {left_out:?} cannot").into());
    }
    let mut least: BTreeMap<&str, Count> = BTreeMap::new();
    for one in (0..ATTEMPTS).map(|_| count()).collect::<Res<Vec<_>>>()?.into_iter().flatten() {
        let kept = least.entry(one.name).or_insert(one);
        kept.n = kept.n.min(one.n);
    }
    let mut file = open()?;
    let mut all = read(&mut file)?;
    let before = all.remove(group).unwrap_or_default();
    let entry = |count: &Count| match before.get(count.name) {
        Some(same) if (same.count - count.n).abs() <= count.meaning.tolerance(same.count) => same.clone(),
        _ => Entry { count: (count.n * 10.0).round() / 10.0, reason: reason.to_owned() },
    };
    all.insert(group.to_owned(), least.values().map(|count| (count.name.to_owned(), entry(count))).collect());
    file.rewind()?;
    file.set_len(0)?;
    Ok(writeln!(file, "{}", serde_json::to_string_pretty(&all)?)?)
}

/// The file, held until it is closed: several tests may write to it.
fn open() -> Res<File> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let writes = std::env::var_os(BECAUSE).is_some();
    let file = OpenOptions::new().read(true).write(writes).create(writes).truncate(false).open(&path);
    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
    if writes {
        file.lock()?;
    }
    Ok(file)
}

fn read(file: &mut File) -> Res<BTreeMap<String, Group>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(serde_json::from_str(&text).map_err(|error| format!("tests/bench/{FILE}: {error}"))?)
}
