//! Parse and run; everything else is in the library.

use std::alloc::{GlobalAlloc, Layout};
use std::process::ExitCode;

use mimalloc::MiMalloc;

/// glibc's allocator gives large tensors back to the kernel and page-faults them again; this one does not.
#[global_allocator]
static ALLOCATOR: Noting = Noting(MiMalloc);

/// Says so where memory has run out: the process ends right after, and nobody else could tell why.
struct Noting(MiMalloc);

fn noted(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        hub::cli::note_out_of_memory();
    }
    memory
}

// SAFETY: all work is MiMalloc's, whose answers are handed on as they are.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc`.
        noted(unsafe { self.0.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        noted(unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the promises of `realloc`.
        noted(unsafe { self.0.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

fn main() -> ExitCode {
    hub::cli::main()
}
