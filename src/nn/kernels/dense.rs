//! Dense (and grouped) convolution as matrix products over blocks of output pixels: forward, gradient to the input,
//! gradient to the weight.
//!
//! A block's patch matrix is laid out, multiplied and forgotten while it is in the cache; blocks are dealt to the
//! threads of rayon's pool. When there are fewer blocks than threads the matrix product itself is split instead.

use gemm::Parallelism;
use rayon::prelude::*;

use super::affine::Epilogue;
use super::geometry::Geometry;
use super::memory::with_scratch;
use super::patches;
use super::simd::vectorised;

/// Patch floats a block should hold: about what a core's second-level cache keeps.
const BLOCK_FLOATS: usize = 256 * 1024;

/// A matrix seen through strides: element `(i, j)` is `data[i * rows + j * columns]`.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
}

/// `y (B, OH, OW, O) = epilogue(x * weight)`, whatever `y` held before.
pub(crate) fn forward(x: &[f32], packed: Weights<'_>, g: &Geometry, epilogue: &Epilogue<'_>, y: &mut [f32]) {
    let block = block_rows(g.rows(), g.depth());
    let parallelism = inner_parallelism(g.rows().div_ceil(block));
    y.par_chunks_mut(block * g.out_c).enumerate().for_each(|(index, out)| {
        let (first, rows) = (index * block, out.len() / g.out_c);
        for group in 0..g.groups {
            let weight = packed.group(group, g);
            with_patches(x, g, group, first, rows, |patches| {
                // Transposed on both sides, because the product likes its output's columns contiguous.
                let out = &mut out[group * g.group_out()..];
                multiply(g.group_out(), rows, g.depth(), out, g.out_c, false, weight, patches, parallelism);
            });
        }
        epilogue.apply(out, first * g.out_c, g.out_c);
    });
}

/// The weights of a forward product: outputs by depth, in whichever order they lie.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// `[group][depth][output]`.
    OutputsLast(&'a [f32]),
    /// `[group][output][depth]`, which for 1x1 kernels is PyTorch's own order.
    OutputsFirst(&'a [f32]),
}

impl<'a> Weights<'a> {
    fn group(self, group: usize, g: &Geometry) -> View<'a> {
        let size = g.depth() * g.group_out();
        match self {
            Weights::OutputsLast(data) => View { data: &data[group * size..(group + 1) * size], rows: 1, columns: g.group_out() },
            Weights::OutputsFirst(data) => View { data: &data[group * size..(group + 1) * size], rows: g.depth(), columns: 1 },
        }
    }
}

/// Gradient to the input where the stride is over 1: patch gradients, added back image by image.
pub(crate) fn input_gradient_strided(dy: &[f32], outputs_first: &[f32], g: &Geometry, dx: &mut [f32]) {
    let (pixels, depth, size) = (g.out_h * g.out_w, g.depth(), g.depth() * g.group_out());
    let block = block_rows(pixels, depth).max(pixels.min(32));
    let parallelism = inner_parallelism(g.batch);
    dx.par_chunks_mut(g.in_h * g.in_w * g.in_c).enumerate().for_each(|(image, dx)| {
        dx.fill(0.0);
        for group in 0..g.groups {
            let weight = View { data: &outputs_first[group * size..(group + 1) * size], rows: 1, columns: depth };
            for first in (0..pixels).step_by(block) {
                let rows = block.min(pixels - first);
                let from = (image * pixels + first) * g.out_c + group * g.group_out();
                let gradient = View { data: &dy[from..], rows: 1, columns: g.out_c };
                with_scratch(rows * depth, |patches| {
                    multiply(depth, rows, g.group_out(), patches, depth, false, weight, gradient, parallelism);
                    vectorised(|| patches::scatter(patches, g, group, first, rows, dx));
                });
            }
        }
    });
}

/// Gradient to the weight, `[group][output][ky][kx][input]`: each thread sums a span of pixels, the spans are added
/// in order.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let (depth, size) = (g.depth(), g.depth() * g.group_out());
    let block = block_rows(g.rows(), depth);
    let blocks = g.rows().div_ceil(block);
    let spans = rayon::current_num_threads().min(blocks);
    let per_span = blocks.div_ceil(spans) * block;
    let parallelism = inner_parallelism(spans);
    let partial = |span: usize| {
        let mut sum = vec![0.0; size * g.groups];
        let end = g.rows().min((span + 1) * per_span);
        for first in (span * per_span..end).step_by(block) {
            let rows = block.min(end - first);
            for group in 0..g.groups {
                with_patches(x, g, group, first, rows, |patches| {
                    let patches = View { data: patches.data, rows: patches.rows, columns: patches.columns };
                    let gradient = View { data: &dy[first * g.out_c + group * g.group_out()..], rows: g.out_c, columns: 1 };
                    let sum = &mut sum[group * size..(group + 1) * size];
                    multiply(depth, g.group_out(), rows, sum, depth, true, patches, gradient, parallelism);
                });
            }
        }
        sum
    };
    add_in_order((0..spans).into_par_iter().map(partial).collect())
}

/// Adds equally long vectors, first to last.
pub(crate) fn add_in_order(parts: Vec<Vec<f32>>) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        vectorised(|| total.iter_mut().zip(&part).for_each(|(sum, value)| *sum += value));
    }
    total
}

/// Output pixels per block: a cache full of patches, but enough to pay for packing the weights, and dealt evenly.
fn block_rows(rows: usize, depth: usize) -> usize {
    let threads = rayon::current_num_threads();
    let wanted = (BLOCK_FLOATS / depth.max(1)).clamp(192, 4096);
    let blocks = rows.div_ceil(wanted).next_multiple_of(threads);
    rows.div_ceil(blocks).max(rows.min(32))
}

/// Splits inside the product only where the blocks alone would leave threads idle.
fn inner_parallelism(pieces: usize) -> Parallelism {
    if pieces < rayon::current_num_threads() { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// Lends the patch matrix, depth by rows. A 1x1 convolution reads the image itself.
fn with_patches<R>(x: &[f32], g: &Geometry, group: usize, first: usize, rows: usize, body: impl FnOnce(View<'_>) -> R) -> R {
    if g.is_pointwise() {
        return body(View { data: &x[first * g.in_c + group * g.group_in()..], rows: 1, columns: g.in_c });
    }
    with_scratch(rows * g.depth(), |patches| {
        patches::gather(x, g, group, first, rows, patches);
        body(View { data: patches, rows: 1, columns: g.depth() })
    })
}

/// `out (m, n) (+)= left (m, k) * right (k, n)`, where `out` has contiguous columns `stride` apart.
#[allow(clippy::too_many_arguments)] // The dimensions of a matrix product have no better home.
fn multiply(
    m: usize,
    n: usize,
    k: usize,
    out: &mut [f32],
    stride: usize,
    accumulate: bool,
    left: View<'_>,
    right: View<'_>,
    parallelism: Parallelism,
) {
    assert!(out.len() >= (n - 1) * stride + m && stride >= m);
    assert!(left.data.len() > (m - 1) * left.rows + (k - 1) * left.columns);
    assert!(right.data.len() > (k - 1) * right.rows + (n - 1) * right.columns);
    // SAFETY: the asserts above prove that every element the product touches lies inside its slice; `out` is
    // borrowed mutably, so nothing else aliases it.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            stride as isize,
            1,
            accumulate,
            left.data.as_ptr(),
            left.columns as isize,
            left.rows as isize,
            right.data.as_ptr(),
            right.columns as isize,
            right.rows as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
