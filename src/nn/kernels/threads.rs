//! Who works on a batch: all threads on one layer after the other, or each thread on images of its own.

use gemm::Parallelism;
use rayon::prelude::*;

/// The threads that share one call's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Rayon's, each on some pieces.
    All,
    /// The calling one, because the others have calls of their own.
    One,
}

impl Threads {
    pub fn count(self) -> usize {
        match self {
            Threads::All => rayon::current_num_threads(),
            Threads::One => 1,
        }
    }

    /// Calls `body(index, piece)` for each `length` values; the last piece may be shorter.
    pub(crate) fn deal(self, values: &mut [f32], length: usize, body: impl Fn(usize, &mut [f32]) + Sync) {
        match self {
            Threads::All => values.par_chunks_mut(length).enumerate().for_each(|(index, piece)| body(index, piece)),
            Threads::One => values.chunks_mut(length).enumerate().for_each(|(index, piece)| body(index, piece)),
        }
    }

    /// Splits inside the products only where the pieces alone would leave threads idle.
    pub(crate) fn inside(self, pieces: usize) -> Parallelism {
        if pieces < self.count() { Parallelism::Rayon(0) } else { Parallelism::None }
    }
}
