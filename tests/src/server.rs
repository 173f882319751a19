//! The real server as a child process in a folder of its own.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    ops::Deref,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{self, Child, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use lictor::store::{Location, Store};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    client::Client,
    command::{Command, binary, clean_environment},
    database::Database,
    guests::{file_url, guests_dir},
    wait::eventually,
};

/// How a server is to be started.
#[derive(Clone)]
pub struct Builder {
    home: Arc<TempDir>,
    files: PathBuf,
    database: Option<Arc<Database>>,
    flags: Vec<OsString>,
    env: Vec<(String, String)>,
    bare: bool,
}

/// A running server. Derefs to the client of its main listener. Killed when dropped.
pub struct TestServer {
    builder: Builder,
    child: Child,
    streams: Streams,
    client: Client,
    admin: Client,
}

/// A server that ended.
#[derive(Clone, Debug)]
pub struct Exited {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

#[derive(Clone, Default)]
struct Streams {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Builder {
    #[track_caller]
    fn new(database: impl FnOnce(&str) -> Option<Arc<Database>>) -> Self {
        let home = tempfile::Builder::new().prefix("lictor-it-").tempdir().expect("a temporary folder can be made");
        std::fs::create_dir(home.path().join("files")).expect("a folder can be made");
        // No other test has a folder of this name now, so none has a database of this name.
        let database = database(&home.path().file_name().unwrap_or_default().to_string_lossy());
        Self {
            files: home.path().join("files"),
            home: Arc::new(home),
            database,
            flags: Vec::new(),
            env: Vec::new(),
            bare: false,
        }
    }

    /// A server with a data directory of its own, and the records and the files of this one. Both must be on PostgreSQL.
    #[must_use]
    pub fn beside(server: &TestServer) -> Self {
        let database = server.builder.database.clone();
        assert!(database.is_some(), "only servers on PostgreSQL can be beside each other");
        Self { files: server.builder.files.clone(), ..Self::new(|_| database) }
    }

    /// A flag of `serve`, with its value if it takes one.
    #[must_use]
    pub fn flag(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        if matches!(flag, "--store" | "--system") {
            self.database = None;
        }
        self.flags.extend([flag.into(), value.into()]);
        self
    }

    /// A flag without a value.
    #[must_use]
    pub fn switch(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Admits loopback for code and for policies' requests, for use with a `CodeServer`.
    #[must_use]
    pub fn allow_loopback(self) -> Self {
        self.flag("--allow-private", "127.0.0.1")
    }

    /// A configuration file with this text.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        // Ours would win over the one that the test is about.
        if toml.lines().any(|line| line.starts_with("store")) {
            self.database = None;
        }
        let path = self.home.path().join("lictor.toml");
        std::fs::write(&path, toml).expect("a file can be written");
        self.flag("--config", path)
    }

    /// A variable in its environment, which has nothing else of ours.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Leaves out `--listen` and `--admin`, for tests of how these are given.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A folder that `--allow-file` admits.
    pub fn files(&self) -> PathBuf {
        self.files.clone()
    }

    /// The database of a server that does not run now, to be filled as that server would.
    pub async fn store(&self) -> Store {
        let url = self.database.as_deref().map(Database::url);
        let location = Location::parse(url.as_deref(), &self.data_dir()).expect("the harness names a database");
        Store::open(&location).await.expect("the database can be opened")
    }

    /// `lictor token` with these arguments, on its database.
    pub fn token_command(&self, args: &[&str]) -> Command {
        let command = Command::new(["token"]).args(args).arg("--data-dir").arg(self.data_dir());
        match &self.database {
            Some(database) => command.arg("--store").arg(database.url()),
            None => command,
        }
    }

    /// Makes a token of this role.
    #[track_caller]
    pub fn token(&self, role: &str) -> String {
        let made = self.token_command(&["create", role, "--role", role]).run().exits(0);
        made.stdout.trim_end().to_owned()
    }

    fn command(&self) -> process::Command {
        let mut command = process::Command::new(binary());
        command.arg("serve").arg("--data-dir").arg(self.data_dir());
        command.arg("--allow-file").arg(self.files()).arg("--allow-file").arg(guests_dir());
        if !self.bare {
            command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        clean_environment(&mut command);
        if let Some(database) = &self.database {
            command.arg("--store").arg(database.url());
        }
        // Compiling the interpreter of policies in Python takes longer than most tests.
        command.env("LICTOR_PYTHON_HOST", "/nonexistent/python_host.wasm");
        command.args(&self.flags).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it; panics with its log if it does not come up.
    #[track_caller]
    pub fn start(self) -> TestServer {
        self.try_start().unwrap_or_else(|exited| panic!("the server did not start: {exited:?}"))
    }

    /// Starts it, or says how it ended.
    #[track_caller]
    pub fn try_start(self) -> Result<TestServer, Exited> {
        let mut child = self.command().spawn().expect("the binary can be run");
        let streams = Streams::of(&mut child);
        let up = eventually("the server to say where it listens", || {
            if let Some(found) = addresses(&streams.stdout.lock().unwrap()) {
                return Ok(Some(found));
            }
            match child.try_wait().expect("a child can be asked") {
                Some(_) => Ok(None),
                None => Err(streams.stderr.lock().unwrap().clone()),
            }
        });
        match up {
            Some((main, admin)) => {
                Ok(TestServer { builder: self, child, streams, client: Client::new(main), admin: Client::new(admin) })
            }
            None => {
                let status = child.wait().expect("a child can be waited for");
                Err(streams.exited(status))
            }
        }
    }
}

/// The addresses on the two lines, once both are there.
fn addresses(stdout: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut lines = stdout.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let main = lines.next()?.strip_prefix("listening on ")?;
    let main = main.strip_prefix("https://").or_else(|| main.strip_prefix("http://"))?.parse().ok()?;
    let admin = lines.next()?.strip_prefix("admin on http://")?.parse().ok()?;
    Some((main, admin))
}

impl Streams {
    fn of(child: &mut Child) -> Self {
        let streams = Self::default();
        collect(child.stdout.take().expect("stdout is piped"), Arc::clone(&streams.stdout));
        collect(child.stderr.take().expect("stderr is piped"), Arc::clone(&streams.stderr));
        streams
    }

    fn exited(&self, status: ExitStatus) -> Exited {
        // The threads hold the other handles until they have read to the end.
        eventually("the end of the streams", || {
            let open = Arc::strong_count(&self.stdout).max(Arc::strong_count(&self.stderr));
            if open == 1 { Ok(()) } else { Err(open) }
        });
        let text = |stream: &Mutex<String>| stream.lock().unwrap().clone();
        Exited { code: status.code(), signal: status.signal(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

fn collect(stream: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let (mut stream, mut line) = (BufReader::new(stream), Vec::new());
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n != 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

impl TestServer {
    /// A server with nothing but the folders admitted.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server to be configured.
    #[track_caller]
    pub fn builder() -> Builder {
        Builder::new(|name| Database::if_asked_for(name).map(Arc::new))
    }

    /// A server to be configured that keeps its records in PostgreSQL, whatever other tests do.
    #[track_caller]
    pub fn on_postgres() -> Builder {
        Builder::new(|name| Some(Arc::new(Database::new(name))))
    }

    /// Whether its records are in PostgreSQL.
    pub fn is_on_postgres(&self) -> bool {
        self.builder.database.is_some()
    }

    /// Runs a statement in its PostgreSQL, as another program would; a line for each row of the answer.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        self.builder.database.as_ref().expect("the server is on PostgreSQL").run(statement)
    }

    /// The password of its PostgreSQL.
    #[track_caller]
    pub fn database_password(&self) -> &str {
        self.builder.database.as_ref().expect("the server is on PostgreSQL").password()
    }

    /// The client of the main listener.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client of the admin listener.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.builder.data_dir()
    }

    /// Puts a file where the server may read it; returns its `file://` URL.
    #[track_caller]
    pub fn put_file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.builder.files().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder can be made");
        std::fs::write(&path, bytes).expect("a file can be written");
        file_url(&path)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.streams.stderr.lock().unwrap().clone()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.streams.stdout.lock().unwrap().clone()
    }

    /// Sends SIGTERM and returns at once.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        kill_process(pid, Signal::TERM).expect("a child can be told to stop");
    }

    /// Waits for its end; gives how it ended, and the builder to start it again in the same place.
    #[track_caller]
    pub fn wait(mut self) -> (Exited, Builder) {
        let status = eventually("the server to end", || {
            self.child.try_wait().expect("a child can be asked").ok_or_else(|| self.log())
        });
        (self.streams.exited(status), self.builder.clone())
    }

    /// Ends it with SIGKILL; gives the builder to start it again in the same place.
    #[track_caller]
    pub fn kill(mut self) -> Builder {
        self.child.kill().expect("a child can be killed");
        self.wait().1
    }

    /// Ends it with SIGTERM, which must end well; gives the builder to start it again in the same place.
    #[track_caller]
    pub fn stop(self) -> Builder {
        self.terminate();
        let (exited, builder) = self.wait();
        assert_eq!(exited.code, Some(0), "{exited:?}");
        builder
    }

    /// A builder for a server in the same place as this one.
    pub fn same_place(&self) -> Builder {
        self.builder.clone()
    }

    /// Checks that it still answers: its health, and a policy that has nothing to do with the test.
    #[track_caller]
    pub fn assert_serving(&self) {
        assert_eq!(self.admin.get("/healthz").status, 200);
        assert_eq!(self.get("/policy/no-such:1.0-x").refusal(), (200, "not_found".into()));
    }
}

impl Deref for TestServer {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
        if thread::panicking() {
            eprintln!("---- log of the server ----\n{}", self.log());
        }
    }
}
