//! A server as a child process, or as the child of a tracer.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Res, client::Client};

/// Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Server {
    /// Starts what serves, and waits until it says where.
    pub(crate) fn start(command: &mut Command) -> Res<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (stdin, stdout) = (child.stdin.take().ok_or("no input")?, child.stdout.take().ok_or("no output")?);
        let mut res = Self { child, stdin, stdout: BufReader::new(stdout), address: ([127, 0, 0, 1], 0).into() };
        let said = res.line()?;
        res.address = said.strip_prefix("listening on http://").ok_or("the server did not start")?.parse()?;
        res.line()?;
        Ok(res)
    }

    fn line(&mut self) -> Res<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Res<Client> {
        Client::new(self.address)
    }

    /// How often it asked for memory so far; only of the one that counts.
    pub(crate) fn allocations(&mut self) -> Res<u64> {
        self.stdin.write_all(b"\n")?;
        Ok(self.line()?.parse()?)
    }

    /// Ends the server that this process traces, and waits for the tracer's end.
    pub(crate) fn end_traced(mut self) -> Res<()> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let traced = children.split_ascii_whitespace().next().ok_or("nothing is traced")?.parse()?;
        kill_process(Pid::from_raw(traced).ok_or("no process")?, Signal::TERM)?;
        let ended = self.child.wait()?;
        if ended.success() { Ok(()) } else { Err(format!("the traced server ended badly: {ended}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A tracer that is killed lets its child go; our end of the pipe is closed, but nothing of the server reads it.
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let all = children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        all.for_each(|pid| kill_process(pid, Signal::KILL).unwrap_or_default());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
