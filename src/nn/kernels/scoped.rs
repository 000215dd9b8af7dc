//! What a thread is told for the length of a call.

use std::cell::Cell;
use std::thread::LocalKey;

/// Puts back what was there, even where the call panics.
struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs `body` with another value in this thread's `cell`.
pub(super) fn scoped<T: Copy, R>(cell: &'static LocalKey<Cell<T>>, value: T, body: impl FnOnce() -> R) -> R {
    let _restore = Restore(cell, cell.replace(value));
    body()
}
