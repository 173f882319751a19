//! The list of attacks, and that each has a test.
//!
//! `tests/data/attacks.json` says what is tried and what it must meet. Above a test that tries it stands
//! `// attack N`, or `// attacks N, M`, with more behind a colon if there is something to say. The table in
//! `docs/security.md` is made of both; `LICTOR_UPDATE=1` writes it anew, as `LICTOR_UPDATE_DOCS=1` does for all tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use lictor_tests::repository;
use serde_json::Value;

use crate::tidy::files;

const LIST: &str = "tests/data/attacks.json";
const DOCUMENT: &str = "docs/security.md";
const BEGIN: &str = "<!-- attacks: begin -->\n";
const END: &str = "<!-- attacks: end -->\n";
/// Where tests with marks are: the integration tests, and beside what they test.
const MARKED: [&str; 6] =
    ["tests/it", "executor/model", "executor/sandbox", "executor/loader", "executor/server", "executor/client"];

struct List {
    sections: BTreeMap<String, String>,
    attacks: Vec<Attack>,
}

struct Attack {
    number: u32,
    section: String,
    tries: String,
    meets: String,
    /// Why it, or a part of it, has no test.
    left_out: Option<String>,
}

/// The tests of each attack by their names.
type Tests = BTreeMap<u32, Vec<String>>;

fn list() -> List {
    let text = fs::read_to_string(repository().join(LIST)).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{LIST}: {error}"));
    let sections = list["sections"].as_object().unwrap().iter();
    List {
        sections: sections.map(|(name, title)| (name.clone(), title.as_str().unwrap().to_owned())).collect(),
        attacks: list["attacks"].as_array().unwrap().iter().map(attack).collect(),
    }
}

fn attack(entry: &Value) -> Attack {
    let known = ["number", "section", "tries", "meets", "left_out"];
    assert!(entry.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{entry}");
    let text = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("`{name}` of {entry}")).to_owned();
    Attack {
        number: u32::try_from(entry["number"].as_u64().unwrap()).unwrap(),
        section: text("section"),
        tries: text("tries"),
        meets: text("meets"),
        left_out: entry.get("left_out").map(|_| text("left_out")),
    }
}

/// The attacks that a line marks a test with.
fn marked(line: &str) -> Option<Vec<u32>> {
    let rest = line.trim_start().strip_prefix("// attack")?;
    let numbers = rest.split(':').next()?.trim_start_matches('s').trim();
    numbers.split(", ").map(|number| number.parse().ok()).collect()
}

/// The path of the module in a file, beginning with the name of what is built of it.
fn module(path: &str) -> String {
    let (crate_name, below) = match path.strip_prefix("tests/it/") {
        Some(below) => ("it".to_owned(), below),
        None => {
            let (layer, below) = path.strip_prefix("executor/").unwrap().split_once("/src/").unwrap_or_default();
            (if layer == "server" { "lictor".to_owned() } else { format!("lictor_{layer}") }, below)
        }
    };
    let below = below.trim_end_matches(".rs").replace('/', "::");
    format!("{crate_name}::{below}")
}

/// Goes through the lines of a file and takes the marks above tests.
struct Reader<'a> {
    path: &'a str,
    /// The modules that are open, and how far they are indented.
    modules: Vec<(usize, String)>,
    /// Marks whose test has not come yet.
    marks: Vec<u32>,
    is_test: bool,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, tests: &mut Tests) {
        let (code, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if let Some(name) = code.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            self.modules.push((indent, name.to_owned()));
        } else if code == "}" && self.modules.last().is_some_and(|(open, _)| *open == indent) {
            self.modules.pop();
        }
        if let Some(numbers) = marked(line) {
            self.marks.extend(numbers);
        } else if code.starts_with("#[test]") || code.starts_with("#[tokio::test") {
            self.is_test = true;
        } else if let Some(name) = function(code).filter(|_| self.is_test) {
            let modules: String = self.modules.iter().map(|(_, name)| format!("::{name}")).collect();
            for number in self.marks.drain(..) {
                tests.entry(number).or_default().push(format!("{}{modules}::{name}", module(self.path)));
            }
            self.is_test = false;
        } else if !code.starts_with("//") && !code.starts_with("#[") {
            assert!(self.marks.is_empty(), "{}: no test below `// attack` {:?}: {line}", self.path, self.marks);
            self.is_test = false;
        }
    }
}

fn function(code: &str) -> Option<&str> {
    let rest = code.strip_prefix("async ").unwrap_or(code).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn tests() -> Tests {
    let mut tests = Tests::new();
    for folder in MARKED {
        for (path, text) in files(folder, ".rs") {
            let mut reader = Reader { path: &path, modules: Vec::new(), marks: Vec::new(), is_test: false };
            text.lines().for_each(|line| reader.line(line, &mut tests));
            assert!(reader.marks.is_empty(), "{path} ends with a mark");
        }
    }
    tests
}

#[test]
fn every_attack_has_a_test_or_a_reason() {
    let (list, tests) = (list(), tests());
    let numbers: Vec<u32> = list.attacks.iter().map(|attack| attack.number).collect();
    assert!(numbers.iter().copied().eq(1..=u32::try_from(numbers.len()).unwrap()), "{numbers:?}");
    assert!(78 <= numbers.len());
    for attack in &list.attacks {
        let Attack { number, section, tries, meets, left_out } = attack;
        let tested = tests.contains_key(number);
        assert!(tested || left_out.is_some(), "attack {number} has neither a test nor a reason: {tries}");
        assert!(list.sections.contains_key(section) && !tries.is_empty(), "attack {number}");
        assert_eq!(tested, !meets.is_empty(), "attack {number}: what it meets is said of what is tested");
    }
    for (number, names) in &tests {
        assert!(numbers.contains(number), "attack {number} is not in {LIST}: {names:?}");
    }
}

fn table(list: &List, tests: &Tests) -> String {
    let mut text = String::new();
    for (section, title) in &list.sections {
        text.push_str(&format!(
            "\n### {section}. {title}\n\n| | attack | what it meets | tests |\n|---|---|---|---|\n"
        ));
        for attack in list.attacks.iter().filter(|attack| attack.section == *section) {
            text.push_str(&row(attack, tests));
        }
    }
    text.push_str(&counts(list, tests));
    text
}

fn row(attack: &Attack, tests: &Tests) -> String {
    let names = tests.get(&attack.number).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let why = attack.left_out.iter().map(|why| format!("left out: {why}"));
    let meets = Some(attack.meets.clone()).filter(|meets| !meets.is_empty());
    let meets: Vec<String> = meets.into_iter().chain(why).collect();
    format!("| {} | {} | {} | {} |\n", attack.number, attack.tries, meets.join("; "), names.join("<br>"))
}

fn counts(list: &List, tests: &Tests) -> String {
    let (tested, left_out): (Vec<&Attack>, Vec<&Attack>) =
        list.attacks.iter().partition(|attack| tests.contains_key(&attack.number));
    let named = tests.values().flatten().collect::<BTreeSet<_>>().len();
    let in_part = tested.iter().filter(|attack| attack.left_out.is_some()).count();
    let why = |attack: &&Attack| format!("{} ({})", attack.number, attack.left_out.as_deref().unwrap_or_default());
    let left_out_why: Vec<String> = left_out.iter().map(why).collect();
    format!(
        "\n{} attacks: {} have tests, {named} of them, {in_part} of these attacks in part; {} left out: {}.\n",
        list.attacks.len(),
        tested.len(),
        left_out.len(),
        left_out_why.join(", ")
    )
}

#[test]
fn the_table_of_attacks_is_what_the_tests_say() {
    let path = repository().join(DOCUMENT);
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the document has the mark where the table ends");
    let made = format!("{before}{BEGIN}{}\n{END}{after}", table(&list(), &tests()));
    if ["LICTOR_UPDATE", "LICTOR_UPDATE_DOCS"].iter().any(|name| std::env::var_os(name).is_some()) {
        fs::write(&path, made).unwrap();
    } else {
        assert!(document == made, "{DOCUMENT} is not up to date: run this test with LICTOR_UPDATE=1");
    }
}

#[test]
fn marks_are_read_as_they_are_written() {
    for (line, numbers) in [
        ("// attack 7", Some(vec![7])),
        ("    // attacks 1, 20: and more, of it", Some(vec![1, 20])),
        ("// attack 24: wherever it is cut.", Some(vec![24])),
        ("/// attack 7", None),
        ("// an attack 7", None),
        ("// attacks of others", None),
    ] {
        assert_eq!(marked(line), numbers, "{line}");
    }
    assert_eq!(module("tests/it/hostile/meanwhile.rs"), "it::hostile::meanwhile");
    assert_eq!(module("executor/loader/src/archive/tests.rs"), "lictor_loader::archive::tests");
    assert_eq!(module("executor/server/src/stripes.rs"), "lictor::stripes");
}
