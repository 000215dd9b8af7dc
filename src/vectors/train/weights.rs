//! The two matrices that all threads change at once, without locks (Niu et al. 2011, "Hogwild!"): updates touch few rows each, so
//! that they seldom meet, and where they do one of them may be lost, which costs nothing that could be measured.

use std::cell::UnsafeCell;

/// As wide as a vector of any processor, so that rows have no rest.
const LANE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Lane([f32; LANE]);

/// A matrix `[rows, width]`, each row padded with zeros to whole lanes.
pub struct Weights {
    lanes: Vec<UnsafeCell<Lane>>,
    pub rows: usize,
    pub width: usize,
    /// Lanes of a row.
    stride: usize,
}

// SAFETY: what the cells hold is reached by `row` only, whose caller answers for what it does, and by `get`, which borrows all of it.
unsafe impl Sync for Weights {}

impl Weights {
    pub fn zeros(rows: usize, width: usize) -> Weights {
        let stride = width.div_ceil(LANE);
        let lanes = (0..rows * stride).map(|_| UnsafeCell::new(Lane([0.0; LANE]))).collect();
        Weights { lanes, rows, width, stride }
    }

    /// Numbers of a row with its padding.
    pub fn padded(&self) -> usize {
        self.stride * LANE
    }

    /// The row `row` as a run of [`Weights::padded`] numbers.
    ///
    /// # Safety
    /// Other threads may read and write the same row meanwhile; nothing may depend on what is read being of one moment. The slice must be let
    /// go of before this thread asks for the same row again.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, row: usize) -> &mut [f32] {
        let lanes = &self.lanes[row * self.stride..(row + 1) * self.stride];
        let numbers = UnsafeCell::raw_get(lanes.as_ptr()).cast::<f32>();
        // SAFETY: the lanes are arrays of numbers one after the other; that they may change meanwhile is the caller's to bear.
        unsafe { std::slice::from_raw_parts_mut(numbers, self.stride * LANE) }
    }

    /// A row without its padding, while no other thread is at work.
    pub fn get(&mut self, row: usize) -> &mut [f32] {
        let width = self.width;
        // SAFETY: `self` is borrowed alone, so that nobody else has a row.
        unsafe { &mut self.row(row)[..width] }
    }
}
