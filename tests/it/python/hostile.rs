//! What a hostile policy in Python tries, and the outcome that it meets. Numbers are those of the list of attacks.

use lictor_model::{Outcome, StopKind};
use lictor_tests::{
    python,
    sandbox::{finished, stopped},
};
use serde_json::json;

use super::{answer, failure, on};

#[test]
fn an_endless_loop_is_stopped() {
    for code in
        ["while True:\n    pass", "import time\ntime.sleep(3600)", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')"]
    {
        on(&python(code).limits(&json!({"timeout_ms": 300})), async |cell| {
            stopped(&cell.eval("1").await, StopKind::Timeout);
        });
    }
}

#[test]
fn an_endless_loop_in_what_python_calls_by_itself_is_stopped() {
    let swallowed =
        "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass";
    let finalizer = "class Never:\n    def __del__(self):\n        while True: pass\nn = Never()\ndel n";
    let rendered = "class Never(str):\n    def __str__(self):\n        while True: pass\nraise ValueError(Never())";
    for code in [swallowed, finalizer, rendered] {
        on(&python(code).limits(&json!({"timeout_ms": 300})), async |cell| {
            stopped(&cell.eval("1").await, StopKind::Timeout);
        });
    }
}

#[test]
fn memory_is_bounded() {
    for code in [
        "all = []\nwhile True:\n    all.append(bytearray(1 << 20))",
        "return len('x' * (1 << 31 - 1))",
        "return [0] * (1 << 27)",
    ] {
        on(&python(code), async |cell| {
            let message = stopped(&cell.eval("1").await, StopKind::OutOfMemory).to_owned();
            assert!(message.contains("more memory than it has (code/function.py, line "), "{message}");
        });
    }
    // One that copes goes on.
    on(&python("try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    return 'coped'"), async |cell| {
        assert_eq!(answer(cell, "1").await, json!("coped"));
    });
}

#[test]
fn recursion_is_bounded() {
    on(&python("def f(n):\n    return f(n + 1)\nreturn f(0)"), async |cell| {
        let message = stopped(&cell.eval("1").await, StopKind::StackOverflow).to_owned();
        assert!(message.contains("recursed too deeply (code/function.py, line "), "{message}");
    });
    for deep in [
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n):\n    return f(n + 1)\nreturn f(0)",
        "class R:\n    def __repr__(self):\n        return repr(self)\nrepr(R())",
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6):\n    x = [x]\nreturn repr(x)",
        "import json\nx = []\nfor _ in range(10 ** 5):\n    x = [x]\nreturn x",
    ] {
        on(&python(deep).limits(&json!({"timeout_ms": 20000})), async |cell| {
            let outcome = cell.eval("1").await.outcome;
            let ended = match &outcome {
                Outcome::Stopped(stop) => {
                    matches!(stop.kind, StopKind::StackOverflow | StopKind::OutOfMemory | StopKind::BadOutput)
                }
                _ => false,
            };
            assert!(ended, "{outcome:?}");
        });
    }
}

#[test]
fn there_are_no_files() {
    for code in [
        "return open('/etc/passwd').read()",
        "import os\nreturn os.listdir('/')",
        "import os\nreturn os.listdir('/proc/self')",
        "import pathlib\nreturn pathlib.Path('/etc/hostname').read_text()",
        "open('/tmp/x', 'w').write('x')",
        "open(__file__, 'w').write('x')",
        "import os\nos.mkdir('/code/x')",
        "import tempfile\ntempfile.TemporaryFile()",
        "import sqlite3\nsqlite3.connect('/tmp/x.db').execute('create table t (x)')",
    ] {
        on(&python(code), async |cell| {
            let failure = failure(cell, "1").await;
            let refused = ["PermissionError", "FileNotFoundError", "OSError", "NotADirectoryError", "OperationalError"];
            assert!(refused.contains(&failure.code.as_str()), "{code}: {failure:?}");
        });
    }
}

#[test]
fn there_is_no_environment() {
    on(&python("import os, sys\nreturn [dict(os.environ), os.getenv('PATH'), sys.argv, os.getcwd()]"), async |cell| {
        assert_eq!(answer(cell, "1").await, json!([{}, null, ["/code/function.py"], "/"]));
    });
}

#[test]
fn there_are_no_processes_and_no_threads() {
    for code in [
        "import subprocess\nreturn subprocess.run(['ls'])",
        "import os\nreturn os.system('ls')",
        "import os\nreturn os.fork()",
        "import os\nos.execv('/bin/sh', ['sh'])",
        "import threading\nthreading.Thread(target=print).start()",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()",
        "import os\nos.kill(1, 9)",
    ] {
        on(&python(code), async |cell| drop(failure(cell, "1").await));
    }
}

#[test]
fn there_is_no_native_code() {
    for code in [
        "import ctypes",
        "import _ctypes",
        "import mmap",
        "import importlib.machinery as m\nm.ExtensionFileLoader('x', '/code/x.so').load_module('x')",
    ] {
        on(&python(code), async |cell| {
            let failure = failure(cell, "1").await;
            assert!(
                ["ModuleNotFoundError", "ImportError", "AttributeError"].contains(&failure.code.as_str()),
                "{failure:?}"
            );
        });
    }
}

#[test]
fn there_are_no_sockets() {
    for code in [
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        "import socket\nsocket.socket().connect(('127.0.0.1', 80))",
        "import socket\nsocket.socket().bind(('127.0.0.1', 0))",
        "import socket\nreturn socket.getaddrinfo('localhost', 80)",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "import smtplib\nsmtplib.SMTP('127.0.0.1')",
    ] {
        on(&python(code), async |cell| {
            let outcome = cell.eval("1").await.outcome;
            assert!(
                matches!(&outcome, Outcome::Failed(failure) if failure.code == "PermissionError"),
                "{code}: {outcome:?}"
            );
        });
    }
    // Below what we put in its place there is nothing either.
    on(&python("import _socket\nreturn _socket.getaddrinfo('localhost', 80)"), async |cell| {
        let outcome = cell.eval("1").await.outcome;
        assert!(!matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
    });
}

#[test]
fn an_answer_that_is_too_large_is_stopped() {
    on(&python("return 'x' * (input_data << 20)").limits(&json!({"output_kb": 1024})), async |cell| {
        stopped(&cell.eval("2").await, StopKind::OutputTooLarge);
        assert_eq!(finished(&cell.eval("0").await), r#""""#);
    });
    on(&python("x = []\nx.append(x)\nreturn x"), async |cell| {
        assert!(stopped(&cell.eval("1").await, StopKind::BadOutput).contains("Circular reference"));
    });
}

#[test]
fn a_flood_of_words_is_cut() {
    on(
        &python("for n in range(input_data):\n    print('x' * 1000)\nreturn 'done'").limits(&json!({"log_kb": 8})),
        async |cell| {
            let run = cell.eval("100").await;
            assert_eq!(finished(&run), r#""done""#);
            assert!(run.usage.log_truncated);
            let said: usize = cell.heard.messages().iter().map(String::len).sum();
            assert!(said <= 9 * 1024, "{said}");
        },
    );
    on(&python("print('{\"level\":\"error\"}\\r\\n\\x1b[2J\\x00', end='')"), async |cell| {
        cell.eval("1").await;
        assert!(
            cell.heard.messages().iter().all(|line| !line.contains(['\n', '\x1b', '\0'])),
            "{:?}",
            cell.heard.messages()
        );
    });
}

#[test]
fn what_it_breaks_is_its_own() {
    // All of it is inside the sandbox, and gone with the instance.
    let code = "import builtins, json, sys
from _lictor import policy, answers
answers.text = lambda *_: '\"forged\"'
builtins.open = sys.stdout = None
sys.modules.clear()
return 1";
    on(&python(code), async |cell| {
        let mut instance = cell.instance();
        assert_eq!(finished(&cell.eval_in(&mut instance, "1").await), "1");
        let outcome = cell.eval_in(&mut instance, "1").await.outcome;
        assert!(!matches!(outcome, Outcome::Finished(_)), "{outcome:?}");
        assert_eq!(finished(&cell.eval("1").await), "1");
    });
    on(&python("import os\nos._exit(0)"), async |cell| {
        stopped(&cell.eval("1").await, StopKind::Trap);
    });
    on(&python("import os\nos.abort()"), async |cell| {
        stopped(&cell.eval("1").await, StopKind::Trap);
    });
}

#[test]
fn nothing_of_one_call_is_visible_to_the_next() {
    let code = "import sys\nleft = getattr(sys, 'left', None)\nsys.left = 'secret'\nreturn left";
    on(&python(code), async |cell| {
        for _ in 0..5 {
            assert_eq!(finished(&cell.eval("1").await), "null");
        }
    });
}
