//! The binary as a person runs it: arguments in, exit code and two streams out.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Stdio},
    thread,
};

use serde_json::Value;

/// The `lictor` that is tested: the one built beside the tests, or `LICTOR_BIN`.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("LICTOR_BIN") {
        return given.into();
    }
    let exe = std::env::current_exe().expect("a test knows where it is");
    let found = exe.parent().and_then(Path::parent).expect("a test is in target/<profile>/deps").join("lictor");
    assert!(found.exists(), "there is no `{}`: `make test` builds it first", found.display());
    found
}

/// One run of the binary, being put together.
pub struct Command {
    command: process::Command,
    stdin: Vec<u8>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Command {
    /// `lictor` with these arguments, and nothing of ours in its environment.
    pub fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = process::Command::new(binary());
        command.args(args);
        clean_environment(&mut command);
        Self { command, stdin: Vec::new() }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// A variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder it runs in.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Output {
        let command = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let text = self.stdin;
        // What it does not read, it does not want.
        let feeder = thread::spawn(move || drop(stdin.write_all(&text)));
        let output = child.wait_with_output().expect("the binary ends");
        feeder.join().expect("the feeder does not panic");
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Takes away what the machine or a developer set for another `lictor`.
pub(crate) fn clean_environment(command: &mut process::Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LICTOR_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
}

impl Output {
    /// Checks the exit code and returns the rest.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}
