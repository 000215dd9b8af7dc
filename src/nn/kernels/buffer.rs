//! Memory that is used again: a step needs the same large tensors as the one before, and pages that the kernel takes
//! back and clears anew cost as much as the arithmetic on them.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Kept for later, in floats over all buffers; beyond that memory goes back to the allocator.
const KEPT: usize = 1 << 30;
/// Smaller ones are the allocator's business.
const SMALLEST: usize = 4096;

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { buffers: Vec::new(), floats: 0 });

/// Buffers nobody uses, by length.
struct Shelf {
    buffers: Vec<Vec<f32>>,
    floats: usize,
}

/// Floats that go back to the shelf when dropped.
#[derive(Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    /// How many of them are in use.
    length: usize,
}

impl Buffer {
    /// `length` floats of any content: whoever asks writes all of them.
    pub fn any(length: usize) -> Buffer {
        let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that is long enough, unless most of it would lie idle.
        let at = shelf.buffers.partition_point(|buffer| buffer.len() < length);
        match shelf.buffers.get(at) {
            Some(found) if found.len() <= length + length / 2 => {
                let values = shelf.buffers.remove(at);
                shelf.floats -= values.len();
                Buffer { values, length }
            }
            _ => {
                drop(shelf);
                Buffer { values: vec![0.0; length], length }
            }
        }
    }

    /// `length` zeros.
    pub fn zeros(length: usize) -> Buffer {
        let mut buffer = Buffer::any(length);
        buffer.fill(0.0);
        buffer
    }

    /// Takes the floats out, for a tensor that outlives the step.
    pub fn into_vec(mut self) -> Vec<f32> {
        let mut values = std::mem::take(&mut self.values);
        values.truncate(self.length);
        values
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Buffer {
        Buffer { length: values.len(), values }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if values.len() < SMALLEST {
            return;
        }
        let mut shelf = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.floats += values.len();
        let at = shelf.buffers.partition_point(|buffer| buffer.len() < values.len());
        shelf.buffers.insert(at, values);
        // The largest go first: one of them makes room for many.
        while shelf.floats > KEPT {
            let Some(gone) = shelf.buffers.pop() else { break };
            shelf.floats -= gone.len();
        }
    }
}
