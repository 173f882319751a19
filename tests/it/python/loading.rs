//! From an author's files to a class: what is imported, what is refused, and by which name.

use lictor_loader::{LoadCode, LoadError};
use lictor_model::Outcome;
use lictor_tests::{class, python_cell, python_module, sandbox::sandbox};
use serde_json::json;

use super::{answer, failure, on};

fn refused(files: &[(&str, &str)]) -> LoadError {
    match python_module(&sandbox(2), files) {
        Err(error) => error,
        Ok(_) => panic!("it was loaded: {files:?}"),
    }
}

#[test]
fn modules_and_packages_beside_the_file_are_found() {
    let code = format!(
        "import os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import helper
from lib import deep
from lib.sub import leaf
from space import one
sys.path.append(os.path.join(os.path.dirname(__file__), 'more'))
import elsewhere
{}",
        class(
            "return [helper.NAME, deep.NAME, leaf.NAME, one.NAME, elsewhere.NAME, __name__, __file__, helper.__file__]"
        )
    );
    let files = [
        ("function.py", code.as_str()),
        ("helper.py", "NAME = 'helper'"),
        ("lib/__init__.py", ""),
        ("lib/deep.py", "from .sub.leaf import NAME as below\nNAME = 'deep ' + below"),
        ("lib/sub/__init__.py", ""),
        ("lib/sub/leaf.py", "from ... import nothing\n"),
        ("space/one.py", "NAME = 'a folder without __init__'"),
        ("more/elsewhere.py", "NAME = 'on the path'"),
    ];
    let mut files = files.to_vec();
    files[5].1 = "from ..names import LEAF as NAME";
    files.push(("lib/names.py", "LEAF = 'leaf'"));
    on(&python_cell(&files), async |cell| {
        let names = ["helper", "deep leaf", "leaf", "a folder without __init__", "on the path"];
        let mut expected = json!(names);
        expected
            .as_array_mut()
            .unwrap()
            .extend(["function", "/code/function.py", "/code/helper.py"].map(|name| json!(name)));
        assert_eq!(answer(cell, "1").await, expected);
    });
}

#[test]
fn a_file_comes_before_a_module_of_the_same_name() {
    let code = format!("import queue, platform, json\n{}", class("return [queue.NAME, platform.NAME, json.__name__]"));
    let files =
        [("function.py", code.as_str()), ("queue.py", "NAME = 'own'"), ("platform/__init__.py", "NAME = 'own too'")];
    on(&python_cell(&files), async |cell| assert_eq!(answer(cell, "1").await, json!(["own", "own too", "json"])));
}

#[test]
fn files_beside_the_file_can_be_read() {
    let code = class(
        "import importlib.resources, json, os, pathlib
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data')
with open(os.path.join(folder, 'rules.json')) as file:
    rules = json.load(file)
walked = sorted(name for _, _, names in os.walk(folder) for name in names)
path = pathlib.Path(__file__).parent / 'data' / 'raw.bin'
return [rules, walked, list(path.read_bytes()), path.exists(), path.stat().st_size, os.path.isdir(folder), os.path.exists('/code/no'),
        [line for line in open('/code/data/lines.txt', newline='')], sorted(p.name for p in path.parent.iterdir())]",
    );
    let files = [
        ("function.py", code.as_str()),
        ("data/rules.json", r#"{"a": "é"}"#),
        ("data/raw.bin", "\u{1}\u{2}"),
        ("data/lines.txt", "1\r\n2\n"),
    ];
    on(&python_cell(&files), async |cell| {
        let names = json!(["lines.txt", "raw.bin", "rules.json"]);
        let expected = json!([{"a": "é"}, names, [1, 2], true, 2, true, false, ["1\r\n", "2\n"], names]);
        assert_eq!(answer(cell, "1").await, expected);
    });
}

#[test]
fn what_is_no_policy_is_refused_by_name() {
    let good = class("return 1");
    for (files, code, message) in [
        (
            vec![("function.py", "class AIOSv1PolicyRule:\n    def eval(self\n")],
            LoadCode::NotAComponent,
            "`code/function.py`, line 2 is not Python: '(' was never closed",
        ),
        (
            vec![("function.py", "print 'python 2'\n")],
            LoadCode::NotAComponent,
            "line 1 is not Python: Missing parentheses",
        ),
        (vec![("function.py", "x = '\0'")], LoadCode::NotAComponent, "is not Python"),
        (
            vec![("function.py", "class Rule: pass")],
            LoadCode::MissingExport,
            "`code/function.py` defines no class `AIOSv1PolicyRule`",
        ),
        (
            vec![("function.py", &good), ("requirements.txt", "requests>=2\nnumpy==2.1 # fast\nPyYAML\n")],
            LoadCode::UnknownImport,
            "names `numpy==2.1`, `PyYAML`, which is neither in the interpreter nor in the package; `lictor pack`",
        ),
        (vec![("function.py", &good), ("requirements.txt", "-r more.txt")], LoadCode::UnknownImport, "`-r more.txt`"),
        (
            vec![("function.py", &good), ("site-packages/numpy/_core.so", "")],
            LoadCode::UnknownImport,
            "the requirement `numpy` has native code",
        ),
    ] {
        let error = refused(&files);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(message), "{message:?} in {error}");
    }
}

#[test]
fn what_cannot_be_known_before_is_told_by_the_call() {
    for (code, expected) in [
        ("from helper import *\n", "missing_export"),
        ("AIOSv1PolicyRule = 5\n", "missing_export"),
        ("class AIOSv1PolicyRule: pass\n", "missing_export"),
        ("AIOSv1PolicyRule\n", "NameError"),
        ("import helper\nAIOSv1PolicyRule = helper.broken\n", "AttributeError"),
        ("import broken\nAIOSv1PolicyRule = 1\n", "SyntaxError"),
    ] {
        on(&python_cell(&[("function.py", code), ("helper.py", ""), ("broken.py", "def\n")]), async |cell| {
            assert_eq!(failure(cell, "1").await.code, expected, "{code}");
        });
    }
    let code = format!("{}\n", class("return 1"));
    on(&python_cell(&[("function.py", &code)]), async |cell| {
        let mut instance = cell.instance();
        let run = cell.manage_in(&mut instance, "any", "{}").await;
        let Outcome::Failed(failure) = run.outcome else { panic!("{:?}", run.outcome) };
        assert_eq!(failure.message, "the class `AIOSv1PolicyRule` has no method `management`");
    });
}

#[test]
fn requirements_are_satisfied_by_the_interpreter_by_ours_and_by_what_was_packed() {
    let requirements =
        "# the seed's own\nlogging\nrequests >= 2.0 ; python_version >= '3.8'\n\ndataclasses; python_version < '3.7'
numpy ; python_version < '3'\nTyping_Extensions==4.1\nyaml\nhelper\n";
    let code =
        format!("import requests, tiny, yaml\n{}", class("return [tiny.NAME, yaml.NAME, requests.codes.not_found]"));
    let files = [
        ("function.py", code.as_str()),
        ("helper.py", ""),
        ("requirements.txt", requirements),
        ("site-packages/tiny/__init__.py", "NAME = 'packed'"),
        ("site-packages/typing_extensions-4.1.0.dist-info/METADATA", "Name: typing_extensions"),
        ("site-packages/yaml.py", "NAME = 'by hand'"),
    ];
    on(&python_cell(&files), async |cell| assert_eq!(answer(cell, "1").await, json!(["packed", "by hand", 404])));
}
