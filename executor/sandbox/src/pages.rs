//! Which pages of a memory were ever written, as the kernel knows it.
//!
//! Two facts about Linux are used. `PAGEMAP_SCAN` (since 6.7) tells the pages of a range that are present, private and
//! not the shared page of zeros: those were written since the range was mapped. And a first write to a page is a page
//! fault, which the kernel counts for the thread it happens on.

use std::{cell::Cell, fs::File, os::fd::AsRawFd as _, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use rustix::mm::{Advice, madvise};

/// Runs of pages that one scan may find; a memory that was written in more places is not worth it.
const MAX_RUNS: usize = 64;

/// The `PAGE_IS_*` bits of the kernel's `fs.h`.
const WRITTEN: u64 = 1 << 1;
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO: u64 = 1 << 5;

/// `struct pm_scan_arg` of the kernel's `fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

nix::ioctl_readwrite!(pagemap_scan, b'f', 16, ScanArg);

/// Where the kernel is asked about this process's pages.
pub(crate) struct Pages {
    map: File,
    size: usize,
}

impl Pages {
    /// None if this kernel cannot tell, or if a page that was written could be swapped out and then not be found.
    pub(crate) fn open() -> Option<Self> {
        if can_swap() {
            return None;
        }
        let pages = Self { map: File::open("/proc/self/pagemap").ok()?, size: rustix::param::page_size() };
        // What the kernel answers is looked at once: a page that was written is found, one that was not is not.
        let mut probe = vec![0u8; pages.size * 4];
        let from = probe.as_ptr().addr().next_multiple_of(pages.size) - probe.as_ptr().addr();
        let page = probe.get_mut(from..)?.get_mut(..pages.size)?;
        page.fill(1);
        let found = pages.written(std::hint::black_box(page), 1)?;
        (found == [0]).then_some(pages)
    }

    /// The size of a page in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The pages of `memory`, numbered from its beginning, that were written since it was mapped; none if that cannot
    /// be told, or if they are more than `most`.
    pub(crate) fn written(&self, memory: &[u8], most: usize) -> Option<Vec<u32>> {
        let start = memory.as_ptr().addr();
        let mut runs = [Run::default(); MAX_RUNS];
        let end = u64::try_from(start.checked_add(memory.len())?).ok()?;
        let start = u64::try_from(start).ok()?;
        let mut arg = ScanArg {
            size: size_of::<ScanArg>() as u64,
            start,
            end,
            vec: u64::try_from(runs.as_mut_ptr().addr()).ok()?,
            vec_len: MAX_RUNS as u64,
            category_inverted: ZERO | FILE,
            category_mask: WRITTEN | ZERO | FILE,
            // A page that the kernel is just moving is not present, and looks like one that was swapped out.
            category_anyof_mask: PRESENT | SWAPPED,
            ..ScanArg::default()
        };
        #[expect(unsafe_code, reason = "is a call of the kernel, which writes what it found into `arg` and `runs`")]
        // SAFETY: `arg` has the layout that the kernel expects and lives until the call is over, and so does `runs`,
        // whose address and length it holds. The memory that is asked about is only looked up, never touched.
        let found = unsafe { pagemap_scan(self.map.as_raw_fd(), &raw mut arg) }.ok()?;
        if arg.walk_end != end {
            return None;
        }
        let size = self.size as u64;
        let mut res = Vec::new();
        for run in runs.get(..usize::try_from(found).ok()?)? {
            let (first, end) = (run.start.checked_sub(start)? / size, run.end.checked_sub(start)? / size);
            if most as u64 <= (end - first).saturating_add(res.len() as u64).saturating_sub(1) {
                return None;
            }
            for page in first..end {
                res.push(u32::try_from(page).ok()?);
            }
        }
        Some(res)
    }

    /// Has the kernel never put pages of `memory` together into a larger one, by which pages that nobody wrote would
    /// be as if they had been, without a fault.
    pub(crate) fn keep_apart(&self, memory: &mut [u8]) -> bool {
        #[expect(unsafe_code, reason = "is a call of the kernel")]
        // SAFETY: the advice changes nothing of what is in the memory.
        let told = unsafe { madvise(memory.as_mut_ptr().cast(), memory.len(), Advice::LinuxNoHugepage) };
        // A kernel that does not know the advice does not do it either.
        told.is_ok() || told == Err(rustix::io::Errno::INVAL)
    }
}

/// Whether a page that was written may be swapped out, and then not be found by a scan (see also
/// bytecodealliance/wasmtime#14357).
pub(crate) fn can_swap() -> bool {
    std::fs::read_to_string("/proc/swaps").map_or(true, |swaps| 1 < swaps.lines().count())
}

/// Whether this thread had a page fault since it was last asked here.
///
/// PERF: where there was none, nothing was written for the first time, and no scan is needed: 0.2 µs instead of 0.8
/// when two threads do it at once.
pub(crate) fn faulted() -> bool {
    thread_local!(static LAST: Cell<Option<i64>> = const { Cell::new(None) });
    let count = getrusage(UsageWho::RUSAGE_THREAD)
        .ok()
        .map(|usage| usage.minor_page_faults().wrapping_add(usage.major_page_faults()));
    count.is_none() || LAST.replace(count) != count
}

/// What this thread used of its processor so far, where the kernel says.
pub(crate) fn processor_time() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    let us = usage.user_time().num_microseconds().checked_add(usage.system_time().num_microseconds())?;
    u64::try_from(us).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_and_the_first_write_is_a_fault() {
        let Some(pages) = Pages::open() else { return };
        let size = pages.size();
        let mut memory = vec![0u8; 300 * size];
        let from = memory.as_ptr().addr().next_multiple_of(size) - memory.as_ptr().addr();
        let memory = &mut memory[from..][..256 * size];
        assert!(pages.keep_apart(memory));
        let known = pages.written(memory, 256).unwrap();
        // The allocator may have written at the ends, never in the middle.
        assert!(known.iter().all(|page| !(1..255).contains(page)), "{known:?}");
        std::hint::black_box(memory[50 * size]);
        assert_eq!(pages.written(memory, 256).unwrap(), known, "reading is not writing");
        faulted();
        for (page, offset) in [(7, 0), (9, size - 1), (200, 17)] {
            memory[page * size + offset] = 1;
            assert!(faulted(), "page {page}");
            let now = pages.written(memory, 256).unwrap();
            assert!(now.contains(&u32::try_from(page).unwrap()), "page {page}: {now:?}");
            memory[page * size + offset] = 2;
        }
        assert_eq!(pages.written(memory, 2), None, "more than is worth it");
    }
}
