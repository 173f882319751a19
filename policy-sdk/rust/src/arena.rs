//! The guest's allocator: talc, over memory that is there from the start.
//!
//! Growing memory is the largest cost of a fresh sandbox (10 µs of 16), so the first 256 KiB come from a static arena
//! in bss. The arena is handed to talc piece by piece: talc writes at the end of the free space it knows of, so
//! handing it out whole would dirty its last page in every instance. Frees are real, since resident instances live
//! for months.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use talc::base::{Talc, binning::Binning};
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

const ARENA_BYTES: usize = 256 * 1024;
/// What the operating system gives and takes memory back in.
const HOST_PAGE_BYTES: usize = 4 * 1024;
const PAGE_BYTES: usize = 64 * 1024;
/// Growing in steps of 1 MiB at least, since each step costs the host a system call.
const MIN_GROWTH_BYTES: usize = 1024 * 1024;
/// What talc keeps for itself: its bins when a heap is first claimed, then a few words for each chunk.
const OVERHEAD_BYTES: usize = 1024;

/// Aligned as talc's chunks are; not to a page, so that the first of them share theirs with what is in front.
static mut ARENA: [MaybeUninit<u128>; ARENA_BYTES / 16] = [MaybeUninit::uninit(); ARENA_BYTES / 16];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Arena, WasmBinning> =
    TalcSyncCell::new_wasm(Arena { left_bytes: ARENA_BYTES, heap_end: None });

#[derive(Debug)]
struct Arena {
    /// How much of the static arena talc has not been given.
    // PERF: not zero at first, which puts the allocator in front of the arena, next to where that is used first.
    left_bytes: usize,
    /// The end of the heap that is extended next: the arena's, then that of grown memory.
    heap_end: Option<NonNull<u8>>,
}

// SAFETY: uses no allocator.
unsafe impl Source for Arena {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let needed_bytes = layout.size().checked_add(layout.align()).ok_or(())?;
        let needed_bytes = needed_bytes.checked_add(OVERHEAD_BYTES).ok_or(())?;
        if needed_bytes <= talc.source.left_bytes {
            take_piece(talc, needed_bytes);
            return Ok(());
        }
        grow(talc, needed_bytes.max(MIN_GROWTH_BYTES)).or_else(|()| grow(talc, needed_bytes))
    }
}

/// Gives talc the next piece of the arena: as much as it has already, up to the end of a page.
fn take_piece<B: Binning>(talc: &mut Talc<Arena, B>, needed_bytes: usize) {
    let left_bytes = talc.source.left_bytes;
    let used_bytes = ARENA_BYTES - left_bytes;
    let start = (&raw mut ARENA).cast::<u8>().wrapping_add(used_bytes);
    let end = (start as usize + needed_bytes.max(used_bytes)).next_multiple_of(HOST_PAGE_BYTES);
    let piece_bytes = (end - start as usize).min(left_bytes);
    talc.source.left_bytes = left_bytes - piece_bytes;
    add(talc, start, piece_bytes);
}

fn grow<B: Binning>(talc: &mut Talc<Arena, B>, bytes: usize) -> Result<(), ()> {
    let n_pages = bytes.div_ceil(PAGE_BYTES);
    let first_page = memory_grow::<0>(n_pages);
    if first_page == usize::MAX {
        return Err(());
    }
    // What is left of the arena is not enough for this request, and from here on it would only be a second heap.
    talc.source.left_bytes = 0;
    add(talc, (first_page * PAGE_BYTES) as *mut u8, n_pages * PAGE_BYTES);
    Ok(())
}

/// Gives talc `bytes` from `start` on: as part of the heap that ends there, or as a heap of their own.
fn add<B: Binning>(talc: &mut Talc<Arena, B>, start: *mut u8, bytes: usize) {
    let end = start.wrapping_add(bytes);
    talc.source.heap_end = match talc.source.heap_end {
        // SAFETY: the memory up to `end` is the allocator's alone: the arena's, or just grown.
        Some(heap_end) if heap_end.as_ptr() == start => Some(unsafe { talc.extend(heap_end, end) }),
        // SAFETY: as above; a heap never overlaps another, since each piece is handed out once.
        _ => unsafe { talc.claim(start, bytes) },
    };
}
