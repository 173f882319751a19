//! What a server's processes used, and a server that ends when it is dropped.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Res;

/// The kernel counts processor time in hundredths of a second for everybody, whatever it does inside.
const TICK: Duration = Duration::from_millis(10);

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processor time of a process and those that it started.
#[derive(Default)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// In all, by thread.
    threads: BTreeMap<u32, Duration>,
}

/// The fields of a `stat` file that matter here.
struct Stat {
    id: u32,
    parent: u32,
    user: Duration,
    system: Duration,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Res<Self> {
        let (mut usage, mut family) = (Self::default(), vec![pid]);
        let all: Vec<Stat> = ids("/proc")?.filter_map(|id| Stat::read(&format!("/proc/{id}/stat"))).collect();
        while let Some(pid) = family.pop() {
            let own = all.iter().find(|stat| stat.id == pid).ok_or(format!("process {pid} is gone"))?;
            usage.user += own.user;
            usage.system += own.system;
            for id in ids(&format!("/proc/{pid}/task"))? {
                let stat = Stat::read(&format!("/proc/{pid}/task/{id}/stat"));
                usage.threads.extend(stat.map(|stat| (stat.id, stat.user + stat.system)));
            }
            family.extend(all.iter().filter(|stat| stat.parent == pid).map(|stat| stat.id));
        }
        Ok(usage)
    }

    /// What was used after `before`.
    pub(crate) fn since(self, before: &Self) -> Self {
        let threads = self.threads.into_iter().map(|(id, time)| {
            let earlier = before.threads.get(&id).copied().unwrap_or_default();
            (id, time.saturating_sub(earlier))
        });
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            threads: threads.collect(),
        }
    }

    /// Threads that had a share of the work, and not a look at a clock now and then.
    pub(crate) fn busy_threads(&self) -> usize {
        let tenth = (self.user + self.system) / 10;
        self.threads.values().filter(|time| tenth < **time).count()
    }
}

/// The entries of a folder that are numbers.
fn ids(folder: &str) -> Res<impl Iterator<Item = u32> + use<>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

impl Stat {
    fn read(path: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything, so what follows is counted from the last of them.
        let (before, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let time = |n: usize| Some(TICK * fields.get(n)?.parse::<u32>().ok()?);
        Some(Self {
            id: before.split(' ').next()?.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            user: time(11)?,
            system: time(12)?,
        })
    }
}

/// An address on loopback that nobody listens on, for servers that do not pick one themselves.
pub(crate) fn free_address() -> Res<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A process and all that it starts, ended together.
pub(crate) struct Group(Child);

impl Group {
    pub(crate) fn start(command: &mut Command) -> Res<Self> {
        let command = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until something listens there.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Res<()> {
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            if PATIENCE < began.elapsed() {
                return Err(format!("nothing listens on {address} after {PATIENCE:?}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ended_already = kill_process_group(group, Signal::KILL);
        }
        let _status = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Stat, Usage};

    #[test]
    fn reads_a_stat_file_whatever_the_name() {
        let text = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 250 31 0 0 20 0 3 0 99 1 1";
        let stat = Stat::parse(text).unwrap();
        let millis = [stat.user, stat.system].map(|time| time.as_millis());
        assert_eq!((stat.id, stat.parent, millis), (7, 3, [2_500, 310]));
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn counts_only_what_was_used_since_and_threads_that_worked() {
        let usage = |user: u64, threads: &[(u32, u64)]| Usage {
            user: Duration::from_millis(user),
            system: Duration::ZERO,
            threads: threads.iter().map(|(id, ms)| (*id, Duration::from_millis(*ms))).collect(),
        };
        let before = usage(1_000, &[(1, 900), (2, 100)]);
        let used = usage(2_000, &[(1, 900), (2, 600), (3, 490), (4, 10)]).since(&before);
        assert_eq!(used.user, Duration::from_secs(1));
        assert_eq!(used.busy_threads(), 2);
    }

    #[test]
    fn finds_this_process() {
        assert!(!Usage::of(std::process::id()).unwrap().threads.is_empty());
    }
}
