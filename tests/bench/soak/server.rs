//! The server under test: started, ended and suspended, in a folder that outlives it.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use lictor_bench::Res;
use lictor_tests::{binary, guests_dir};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to be ready, or to end, before the run has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where servers are started, one after the other.
pub(crate) struct Place {
    home: PathBuf,
}

/// A server that runs. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) main: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Place {
    /// A place in this folder, which must be empty.
    pub(crate) fn new(home: &Path) -> Res<Self> {
        for folder in ["data", "files"] {
            fs::create_dir_all(home.join(folder))?;
        }
        Ok(Self { home: home.to_owned() })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Everything that its servers logged.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Puts code where servers may read it; returns its `file://` URL.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Res<String> {
        let path = self.home.join("files").join(name);
        fs::write(&path, bytes)?;
        Ok(lictor_tests::file_url(&path))
    }

    /// Starts a server whose monotonic clock is that many seconds ahead of the machine's, if any.
    pub(crate) fn start(&self, ahead: Option<usize>) -> Res<Server> {
        let mut command = match ahead {
            Some(seconds) => unshared(seconds),
            None => Command::new(binary()),
        };
        command.arg("serve").arg("--data-dir").arg(self.data());
        command.arg("--allow-file").arg(self.home.join("files")).arg("--allow-file").arg(guests_dir());
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        // What policies say is theirs: it would be a gigabyte in half an hour.
        command.env("LICTOR_DECISIONS__KEEP_MB", "64");
        command.env("LICTOR_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        match addresses(&mut child) {
            Some((main, admin)) => Ok(Server { child, main, admin }),
            None => {
                let _ended_already = child.kill();
                Err(format!("the server did not come up: {}; see {}", child.wait()?, self.log().display()).into())
            }
        }
    }
}

/// The server in a time namespace of its own.
fn unshared(seconds: usize) -> Command {
    let mut command = Command::new("unshare");
    command.arg("--time").arg(format!("--monotonic={seconds}")).arg(format!("--boottime={seconds}")).arg(binary());
    command
}

/// Whether this machine lets a process have a monotonic clock of its own.
pub(crate) fn can_move_clocks() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--time", "--monotonic=1000", "true"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What the server says of itself when it is ready; none if it ends before, or takes too long.
fn addresses(child: &mut Child) -> Option<(SocketAddr, SocketAddr)> {
    let stdout = child.stdout.take()?;
    let (said, heard) = mpsc::channel();
    thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    let address = |name: &str| {
        let line = heard.recv_timeout(PATIENCE).ok()?;
        line.strip_prefix(name)?.strip_prefix(" on http://")?.parse().ok()
    };
    Some((address("listening")?, address("admin")?))
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) -> Res<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) -> Res<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Tells it to stop, and waits until it has, which it must do well.
    pub(crate) fn stop(mut self) -> Res<()> {
        self.signal(Signal::TERM)?;
        let began = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("a server that was told to stop ended with {status}").into()),
                None if PATIENCE < began.elapsed() => return Err("the server did not stop when it was told to".into()),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Lets it do nothing for so long, as a machine that is suspended.
    pub(crate) fn suspend(&self, time: Duration) -> Res<()> {
        self.signal(Signal::STOP)?;
        thread::sleep(time);
        self.signal(Signal::CONT)
    }

    /// How it ended, if it did by itself.
    pub(crate) fn ended(&mut self) -> Res<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills what it has started to compile components; gives how many that were.
    pub(crate) fn kill_compilers(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<String> =
            children.flat_map(|all| all.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
        let killed = children.iter().filter_map(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        killed.filter(|pid| kill_process(*pid, Signal::KILL).is_ok()).count() as u64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The lines of a log that tell of a panic.
pub(crate) fn panics(log: &Path) -> Res<Vec<String>> {
    let lines = BufReader::new(File::open(log)?).lines().map_while(Result::ok);
    Ok(lines.filter(|line| line.contains("panicked at")).take(10).collect())
}
