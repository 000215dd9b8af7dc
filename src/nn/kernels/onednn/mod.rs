//! The second backend of convolutions: oneDNN, Intel's library, where it is installed.
//!
//! It is loaded when it is first asked for, so one binary runs with and without it, and with version 2 or 3. Images are dealt to rayon's
//! threads and each thread runs the library on its own images: the library's own pool (OpenMP) stays out of the way
//! of ours, and `--threads` holds for both. Only where there are fewer images than threads it uses threads of its own.
//!
//! What is the same from run to run: for one library version, CPU and number of threads, every bit. Another version
//! or CPU may sum in another order, so last digits differ, as they do between the backends.

mod cache;
mod convolution;
mod ffi;
mod interface;
mod library;
mod v2;
mod v3;
#[cfg(all(test, target_os = "linux"))]
mod version_tests;

pub(crate) use convolution::{Ready, weight_gradient};
pub(crate) use library::{Library, Role, library};
