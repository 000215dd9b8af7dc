//! Matrix products on slices, with every access proved before `gemm` is called, and the two ways in which the blocks
//! of a network share one: bias first, and sums over spans of a batch.

use std::ops::DerefMut;

use gemm::Parallelism;
use rayon::prelude::*;

use super::buffer::Buffer;
use super::simd::vectorised;

/// A matrix in a slice: element `(i, j)` is `data[i * rows + j * columns]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> View<'a> {
    /// Row after row, `stride` apart.
    pub fn rows(data: &'a [f32], stride: usize) -> View<'a> {
        View { data, rows: stride, columns: 1 }
    }

    pub fn transposed(self) -> View<'a> {
        View { rows: self.columns, columns: self.rows, ..self }
    }
}

/// `out (rows, columns) (+)= left (rows, depth) * right (depth, columns)`; rows of `out` lie `stride` apart. It is
/// fastest when `right` has contiguous rows, a multiple of sixteen long.
pub(crate) fn multiply(
    out: &mut [f32],
    stride: usize,
    [rows, columns, depth]: [usize; 3],
    left: View<'_>,
    right: View<'_>,
    accumulate: bool,
    parallelism: Parallelism,
) {
    assert!(rows > 0 && columns > 0 && depth > 0 && stride >= columns);
    assert!(out.len() >= (rows - 1) * stride + columns);
    assert!(left.data.len() > (rows - 1) * left.rows + (depth - 1) * left.columns);
    assert!(right.data.len() > (depth - 1) * right.rows + (columns - 1) * right.columns);
    // SAFETY: the asserts above prove that every element the product touches lies inside its slice; `out` is
    // borrowed mutably, so nothing else aliases it. Both sides are handed over transposed, because `gemm` likes its
    // output's columns contiguous.
    unsafe {
        gemm::gemm(
            columns,
            rows,
            depth,
            out.as_mut_ptr(),
            stride as isize,
            1,
            accumulate,
            right.data.as_ptr(),
            right.rows as isize,
            right.columns as isize,
            left.data.as_ptr(),
            left.rows as isize,
            left.columns as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Rows and columns of a matrix that are transposed together.
const TILE: usize = 16;

/// Fills a matrix of this many rows and columns by `value(row, column)`, tile by tile: what lies apart in memory on
/// the other side is met again while it is in the cache.
#[inline(always)]
pub(crate) fn fill_transposed(to: &mut [f32], value: impl Fn(usize, usize) -> f32, [rows, columns]: [usize; 2]) {
    for first in (0..columns).step_by(TILE) {
        let end = columns.min(first + TILE);
        for row in 0..rows {
            let to = &mut to[row * columns + first..row * columns + end];
            to.iter_mut().zip(first..end).for_each(|(to, column)| *to = value(row, column));
        }
    }
}

/// A weight `(outputs, inputs)` as `(inputs, outputs)`, so that products with it need no packing.
pub(crate) fn transpose(weight: &[f32], outputs: usize, inputs: usize) -> Buffer {
    let mut transposed = Buffer::any(weight.len());
    transposed.par_chunks_mut(TILE * outputs).enumerate().for_each(|(strip, transposed)| {
        let size = [transposed.len() / outputs, outputs];
        fill_transposed(transposed, |input, output| weight[output * inputs + strip * TILE + input], size);
    });
    transposed
}

/// `out = left * right + bias`, row by row; `residual` is added where there is one.
pub(crate) fn affine(
    out: &mut [f32],
    [rows, columns, depth]: [usize; 3],
    left: View<'_>,
    right: View<'_>,
    bias: &[f32],
    residual: Option<&[f32]>,
    parallelism: Parallelism,
) {
    match residual {
        None => out[..rows * columns].chunks_exact_mut(columns).for_each(|row| row.copy_from_slice(&bias[..columns])),
        Some(residual) => vectorised!({
            for (row, residual) in out[..rows * columns].chunks_exact_mut(columns).zip(residual.chunks_exact(columns)) {
                row.iter_mut().zip(residual).zip(bias).for_each(|((out, residual), bias)| *out = residual + bias);
            }
        }),
    }
    multiply(out, columns, [rows, columns, depth], left, right, true, parallelism);
}

/// `sums += ` the sum of all rows: the gradient of a bias.
pub(crate) fn add_rows(sums: &mut [f32], rows: &[f32]) {
    let columns = sums.len();
    vectorised!({
        for row in rows.chunks_exact(columns) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    });
}

/// Floats one thread adds up at a time.
const CHUNK: usize = 1 << 14;

/// Adds equally long vectors, first to last.
pub(crate) fn add_in_order<T: DerefMut<Target = [f32]> + Default + Sync>(parts: Vec<T>) -> T {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    let rest: Vec<T> = parts.collect();
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(index, total)| {
        for part in &rest {
            let part = &part[index * CHUNK..][..total.len()];
            vectorised!(total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
        }
    });
    total
}

/// What each thread has summed.
pub(crate) struct Sums(Vec<Buffer>);

impl Sums {
    /// The sum of all, thread by thread, cut into consecutive parts of these lengths.
    pub fn parts<const N: usize>(&self, lengths: [usize; N]) -> [Vec<f32>; N] {
        let mut end = 0;
        lengths.map(|length| {
            let from = end;
            end += length;
            let mut total = vec![0.0; length];
            total.par_chunks_mut(CHUNK).enumerate().for_each(|(index, total)| {
                let range = from + index * CHUNK..from + index * CHUNK + total.len();
                let Some((first, rest)) = self.0.split_first() else { return };
                total.copy_from_slice(&first[range.clone()]);
                for sum in rest {
                    vectorised!(total.iter_mut().zip(&sum[range.clone()]).for_each(|(total, value)| *total += value));
                }
            });
            total
        })
    }
}

/// Deals `pieces` of a batch to the threads in spans that sum what each piece gives: `body(piece, its part of out, the
/// span's sum)`. Parts of `out` are `length` long. The result depends on the number of threads alone.
pub(crate) fn sum_over_spans(
    pieces: usize,
    out: &mut [f32],
    length: usize,
    sum_length: usize,
    body: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Sums {
    let spans = rayon::current_num_threads().min(pieces).max(1);
    let per_span = pieces.div_ceil(spans).max(1);
    let partial = |(span, out): (usize, &mut [f32])| {
        let mut sum = Buffer::zeros(sum_length);
        for (index, out) in out.chunks_mut(length).enumerate() {
            body(span * per_span + index, out, &mut sum);
        }
        sum
    };
    Sums(out.par_chunks_mut(per_span * length).enumerate().map(partial).collect())
}

/// Cuts a slice into consecutive parts of these lengths.
pub(crate) fn parts<const N: usize>(mut slice: &[f32], lengths: [usize; N]) -> [&[f32]; N] {
    lengths.map(|length| {
        let (part, rest) = slice.split_at(length);
        slice = rest;
        part
    })
}

/// [`parts`] of a mutable slice.
pub(crate) fn parts_mut<const N: usize>(slice: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    let mut slice = slice;
    lengths.map(|length| {
        let (part, rest) = std::mem::take(&mut slice).split_at_mut(length);
        slice = rest;
        part
    })
}
