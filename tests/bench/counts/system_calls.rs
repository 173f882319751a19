//! System calls of a request, as `strace -c` counts them: of a server that was asked [`CALLS`] times, less those of one
//! that was not asked at all.

use std::{collections::BTreeMap, path::Path, process::Command};

use lictor_tests::binary;

use crate::{
    Res,
    baseline::{Count, Meaning, agrees_but_for},
    calls::{Route, serve},
    server::Server,
};

const CALLS: usize = 10_000;
/// What happens less often than this in a call happens in the background.
const OFTEN: f64 = 0.1;

/// How often threads sleep and wake each other is the scheduler's to say: it is only bounded.
const BOUNDED: [&str; 5] = ["epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "sched_yield"];
/// The epoch thread's naps, and clocks where the kernel has to be asked for them.
const CLOCKS: [&str; 5] = ["clock_nanosleep", "nanosleep", "restart_syscall", "clock_gettime", "gettimeofday"];
/// How memory is put back: another way on a kernel without `PAGEMAP_SCAN`, or with swap, where it is not used.
const MEMORY: [&str; 6] = ["ioctl", "getrusage", "madvise", "mprotect", "mmap", "munmap"];

type Totals = BTreeMap<String, u64>;

/// Compares the system calls of a route with the baseline.
pub(crate) fn agree(home: &Path, route: &Route) -> Res<()> {
    let left_out: &[&str] = if scans_pages() { &[] } else { &MEMORY };
    if !left_out.is_empty() {
        println!("left out: {}: this kernel has no PAGEMAP_SCAN, or this machine has swap", left_out.join(", "));
    }
    agrees_but_for(&format!("system calls of a request, {}", route.name), left_out, || {
        let (idle, asked) = (traced(home, route, 0)?, traced(home, route, CALLS)?);
        let per_call = |name: &str| {
            let of = |totals: &Totals| totals.get(name).copied().unwrap_or(0);
            of(&asked).saturating_sub(of(&idle)) as f64 / CALLS as f64
        };
        let counts = asked.keys().filter(|name| !CLOCKS.contains(&name.as_str())).filter_map(|name| {
            let meaning = if BOUNDED.contains(&name.as_str()) { Meaning::Bounded } else { Meaning::PerCall };
            Some(Count { name: known(name), n: per_call(name), meaning }).filter(|count| OFTEN <= count.n)
        });
        Ok(counts.collect())
    })
}

/// Names live as long as the process: there are a few dozen of them.
fn known(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

/// All system calls of a server from its start to its end, during which it is asked `calls` times.
fn traced(home: &Path, route: &Route, calls: usize) -> Res<Totals> {
    let said = home.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&said).arg(binary());
    serve(&mut command, home);
    let server = Server::start(&mut command).map_err(|error| format!("strace: {error}"))?;
    route.make(&mut server.client()?, 100 + calls)?;
    server.end_traced()?;
    totals(&std::fs::read_to_string(said)?)
}

/// Reads the table of `strace -c`: share, seconds, microseconds a call, calls, errors if there were any, name.
fn totals(table: &str) -> Res<Totals> {
    let rows = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (name, calls) = (columns.last()?, columns.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), calls))
    });
    let totals = Totals::from_iter(rows);
    if totals.is_empty() { Err(format!("not a table of strace: {table}").into()) } else { Ok(totals) }
}

/// Whether memory is put back with `PAGEMAP_SCAN`: Linux 6.7 has it, and it is used only where nothing is swapped out.
fn scans_pages() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let swaps = std::fs::read_to_string("/proc/swaps").map_or(0, |swaps| swaps.lines().count());
    (6, 7) <= (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) && swaps < 2
}
