//! Parse and run; everything else is in the library.

use std::process::ExitCode;

/// glibc's allocator gives large tensors back to the kernel and page-faults them again; this one does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hub::cli::main()
}
