//! An allocator that counts how often memory is asked for: the system's own, and one addition.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

/// Counts every allocation and every change of the size of one, on all threads.
pub struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);

/// How often memory was asked for since the process began.
pub fn asked() -> u64 {
    ASKED.load(Ordering::Relaxed)
}

fn count() {
    ASKED.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call is handed on as it came, and counting asks for no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to what `GlobalAlloc` asks of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
