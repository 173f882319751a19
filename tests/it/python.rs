//! Policies that are Python classes, unmodified: what they find around them, and how their ends are told.

mod agreement;
mod frozen;
mod hostile;
mod loading;
mod server;
mod web;

use lictor_model::{Failure, Outcome, StopKind};
use lictor_sandbox::{Instance, Op};
use lictor_tests::{
    class, python, python_cell,
    sandbox::{Cell, finished, stopped},
};
use serde_json::{Value, json};

/// What a call of an instance of its own answers.
async fn answer(cell: &Cell, input: &str) -> Value {
    serde_json::from_str(finished(&cell.eval(input).await)).unwrap()
}

/// How a call of an instance of its own fails.
async fn failure(cell: &Cell, input: &str) -> Failure {
    match cell.eval(input).await.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("the policy did not fail: {other:?}"),
    }
}

/// Runs a test on a runtime that it makes when the policy is there: loading one has a runtime of its own.
fn on(cell: &Cell, test: impl AsyncFnOnce(&Cell)) {
    tokio::runtime::Runtime::new().unwrap().block_on(test(cell));
}

#[test]
fn self_parameters_and_the_argument_are_one_object() {
    let mut code = class("return [parameters is self.parameters, self.parameters]");
    code += "    def management(self, action, data):\n        self.parameters['list'] = data\n";
    on(&python_cell(&[("function.py", &code)]), async |cell| {
        let mut instance = cell.instance();
        assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), "[true,{}]");
        assert_eq!(finished(&cell.manage_in(&mut instance, "set", "[1]").await), "null");
        assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), r#"[true,{"list":[1]}]"#);
        // The parameters of a call are what its own instance is constructed with, and no others.
        let op = Op::Eval { parameters: Some(r#"{"own":1}"#), input: "1" };
        let mut fresh = Instance::once(cell.policy.clone());
        assert_eq!(finished(&cell.ask(&mut fresh, op).await.unwrap()), r#"[true,{"own":1}]"#);
        assert_eq!(finished(&cell.ask(&mut instance, op).await.unwrap()), r#"[false,{"list":[1]}]"#);
    });
}

#[test]
fn the_context_is_a_dict_that_outlives_the_call() {
    let code = class(
        "context['n'] = context.get('n', 0) + 1
context.setdefault('list', []).append(input_data)
context['list'].sort()
gone = context.pop('gone', 'never there')
context.update(seen=True)
assert 'n' in context and 'other' not in context and context and len(context) == 3, dict(context)
assert isinstance(context, dict) and {**context} == dict(context.items()) == context.copy()
try:
    context['other']
except KeyError as error:
    missing = str(error)
return [context['n'], context['list'], sorted(context), gone, missing, context | {'a': 1} > {}.items() if False else repr(context['list'])]",
    );
    on(&python_cell(&[("function.py", &code)]), async |cell| {
        let first = json!([1, [5], ["list", "n", "seen"], "never there", "'other'", "[5]"]);
        assert_eq!(answer(cell, "5").await, first);
        let second = json!([2, [3, 5], ["list", "n", "seen"], "never there", "'other'", "[3, 5]"]);
        assert_eq!(answer(cell, "3").await, second);
    });
    on(&python("context[1] = 2"), async |cell| {
        assert!(failure(cell, "1").await.message.contains("must be a string, not int"));
    });
    on(&python("context['a'] = {1, 2}"), async |cell| {
        assert!(failure(cell, "1").await.message.contains("the context keeps JSON"), "sets are not JSON");
    });
    on(&python("context['a'] = 1").grant(&json!({"context": false})), async |cell| {
        let failure = failure(cell, "1").await;
        assert_eq!(failure.code, "PermissionError");
        assert!(failure.message.contains("`capabilities.context`"), "{}", failure.message);
    });
}

#[test]
fn what_is_printed_and_logged_is_in_the_log() {
    let code = format!(
        "import logging, os, sys
logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s: %(message)s')
{}",
        class(
            "print('one', 2, end='')
print(' three', file=sys.stdout, flush=True)
logging.getLogger('gate').info('let %s in', input_data)
logging.getLogger('gate').debug('nobody hears this')
os.write(2, b'raw')
sys.stdout.buffer.write(b' bytes')
print('\\ud800 and \\x00')"
        )
    );
    on(&python_cell(&[("function.py", &code)]), async |cell| {
        assert_eq!(answer(cell, r#""Ann""#).await, Value::Null);
        let lines: Vec<_> = cell.heard.lines().into_iter().map(|line| (line.context, line.message)).collect();
        let expected = [
            ("stdout", "one 2 three"),
            ("stderr", "INFO gate: let Ann in"),
            ("stdout", " bytes\\ud800 and \\u{0}"),
            ("stderr", "raw"),
        ];
        assert_eq!(lines, expected.map(|(context, message)| (context.to_owned(), message.to_owned())));
    });
}

#[test]
fn an_exception_is_a_failure_with_the_policys_own_lines() {
    let helper = "import json\n\n\ndef read(text):\n    return json.loads(text)\n";
    let code = format!("import helper\n\n{}", class("return helper.read(input_data)"));
    on(&python_cell(&[("function.py", &code), ("helper.py", helper)]), async |cell| {
        let failure = failure(cell, r#""{oh""#).await;
        assert_eq!(failure.code, "JSONDecodeError");
        let message = "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)";
        assert_eq!(failure.message, message);
        let details: Value = serde_json::from_str(&failure.details.unwrap()).unwrap();
        let traceback = details["traceback"].as_str().unwrap();
        let lines: Vec<_> = traceback.lines().filter(|line| line.trim_start().starts_with("File ")).collect();
        let own = [r#"  File "code/function.py", line 7, in eval"#, r#"  File "code/helper.py", line 5, in read"#];
        assert_eq!(lines, own, "{traceback}");
        assert!(traceback.contains("return helper.read(input_data)"), "{traceback}");
        assert_eq!(details["type"], "JSONDecodeError");
    });
    let chained = "try:\n    {}['port']\nexcept KeyError as error:\n    raise ValueError('no port') from error";
    on(&python(chained), async |cell| {
        let failure = failure(cell, "1").await;
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("ValueError", "ValueError: no port"));
        let details = failure.details.unwrap();
        assert!(details.contains("KeyError: 'port'") && details.contains("direct cause"), "{details}");
    });
    on(&python("raise ValueError('x' * 100_000)"), async |cell| {
        let details = failure(cell, "1").await.details.expect("details that were cut are still there");
        assert!(details.contains("characters left out"), "{details}");
    });
    on(&python("import sys; sys.exit(3)"), async |cell| {
        assert!(failure(cell, "1").await.message.contains("sys.exit(3) (code/function.py, line 5)"));
    });
    on(&python("import numpy"), async |cell| {
        assert_eq!(failure(cell, "1").await.message, "ModuleNotFoundError: No module named 'numpy'");
    });
}

#[test]
fn an_instance_outlives_its_exceptions() {
    let code = class("self.n = getattr(self, 'n', 0) + 1\nif input_data:\n    raise ValueError(self.n)\nreturn self.n");
    on(&python_cell(&[("function.py", &code)]), async |cell| {
        let mut instance = cell.instance();
        for _ in 0..3 {
            let run = cell.eval_in(&mut instance, "true").await;
            assert!(matches!(run.outcome, Outcome::Failed(_)), "{:?}", run.outcome);
        }
        assert_eq!(finished(&cell.eval_in(&mut instance, "false").await), "4");
    });
}

#[test]
fn what_is_returned_is_json_or_said_not_to_be() {
    let code = "import dataclasses, datetime, decimal, uuid
@dataclasses.dataclass
class Verdict:
    allowed: bool
    ports: list
at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
return [Verdict(True, (1, 2)), decimal.Decimal('1.10'), uuid.UUID(int=1), at, at.date(), 'é\\ud800', 10 ** 30, {1: None}]";
    on(&python(code), async |cell| {
        let run = cell.eval("1").await;
        let expected = "[{\"allowed\": true, \"ports\": [1, 2]}, \"1.10\", \"00000000-0000-0000-0000-000000000001\", \
            \"Fri, 02 Jan 2026 03:04:05 GMT\", \"Fri, 02 Jan 2026 00:00:00 GMT\", \"\\u00e9\\ud800\", \
            1000000000000000000000000000000, {\"1\": null}]";
        let plain = |text: &str| text.replace(": ", ":").replace(", ", ",");
        assert_eq!(plain(finished(&run)), plain(expected));
    });
    on(&python("return {1, 2}"), async |cell| {
        let run = cell.eval("1").await;
        let why = "what `eval` returned is not JSON: Object of type set is not JSON serializable";
        assert_eq!(stopped(&run, StopKind::BadOutput), why);
    });
    on(&python("return float('nan')"), async |cell| {
        stopped(&cell.eval("1").await, StopKind::BadOutput);
    });
}

#[test]
fn the_standard_library_is_there() {
    let names = "abc argparse array ast asyncio base64 bisect builtins calendar cmath collections.abc colorsys concurrent.futures
configparser contextlib contextvars copy csv ctypes dataclasses datetime decimal difflib dis email.mime.text encodings.idna enum
errno fnmatch fractions functools gc getpass gettext glob graphlib gzip hashlib heapq hmac html.parser http.client http.cookies
importlib.metadata importlib.resources inspect io ipaddress itertools json keyword linecache locale logging.handlers math mimetypes
numbers operator optparse os.path pathlib pickle pkgutil platform plistlib pprint profile queue quopri random re reprlib sched
secrets select selectors shelve shlex shutil signal socket socketserver sqlite3 statistics string stringprep struct subprocess
symtable sys sysconfig tarfile tempfile textwrap threading time timeit token tokenize tomllib trace traceback tracemalloc types
typing unicodedata unittest.mock urllib.parse urllib.request urllib.robotparser uuid warnings wave weakref xml.dom.minidom
xml.etree.ElementTree xmlrpc.client zipfile zipimport zlib zoneinfo";
    let code = format!(
        "import importlib
missing = []
for name in '''{names}'''.split():
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing.append(name)
return missing"
    );
    on(&python(&code).limits(&json!({"memory_mb": 128})), async |cell| {
        // What the interpreter was built without: it would need a C library, or processes.
        assert_eq!(answer(cell, "1").await, json!(["ctypes"]));
    });
}

#[test]
fn asyncio_runs_what_waits_for_time() {
    let code = "import asyncio
async def after(seconds, answer):
    await asyncio.sleep(seconds)
    return answer
async def all():
    return await asyncio.gather(after(0.02, 'later'), after(0.01, 'sooner'))
return asyncio.run(all())";
    on(&python(code), async |cell| assert_eq!(answer(cell, "1").await, json!(["later", "sooner"])));
}
