//! What this process has left: what estimators are told by `get_metrics`.

use std::{fs, thread};

use serde_json::{Map, Value, json};

use super::Parts;
use crate::error::Error;

/// Where Linux says how much memory is free.
const MEMORY: &str = "/proc/meminfo";
/// Where it says how much a container may have, and has.
const CONTAINER: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"];

impl Parts {
    /// What is free, under the names that estimates have: memory in MiB, processors, replicas, and jobs that may wait.
    /// What cannot be seen is left out.
    pub(super) async fn free(&self) -> Result<Value, Error> {
        let own = self.executors.own().0.as_str();
        let replicas = self.deployed().await?.get(own).map_or(0, |deployed| deployed.replicas);
        let jobs = self.store.active_jobs().await?.get(own).map_or(0, |jobs| jobs.pending);
        let cores = thread::available_parallelism().ok().and_then(|n| u64::try_from(n.get()).ok());
        let free = [
            ("memory_mb", free_memory_kb().map(|kb| kb / 1024)),
            ("cpu", cores),
            ("replicas", Some(self.max_replicas.saturating_sub(replicas))),
            ("jobs", Some(self.max_queued_jobs.saturating_sub(jobs))),
        ];
        let free: Map<_, _> = free.into_iter().filter_map(|(name, n)| Some((name.to_owned(), n?.into()))).collect();
        Ok(json!({"node_id": own, "free": free}))
    }
}

/// The memory that is left to this process, of the machine's and of its container's.
fn free_memory_kb() -> Option<u64> {
    let machine = fs::read_to_string(MEMORY).ok().and_then(|text| available_kb(&text));
    let [most, used] = CONTAINER.map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let container = most.zip(used).map(|(most, used)| most.saturating_sub(used) / 1024);
    [machine, container].into_iter().flatten().min()
}

fn available_kb(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_that_is_left_is_read() {
        let text = "MemTotal:       16333760 kB\nMemFree:          123456 kB\nMemAvailable:    8000000 kB\n";
        assert_eq!(available_kb(text), Some(8_000_000));
        for text in ["", "MemAvailable: lots", "MemAvailable: 5 MB"] {
            assert_eq!(available_kb(text), None, "{text}");
        }
    }
}
