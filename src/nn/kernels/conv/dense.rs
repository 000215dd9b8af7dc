//! Dense (and grouped) convolution as matrix products over blocks of output pixels: forward, gradient to the input,
//! gradient to the weight.
//!
//! A block's patch matrix is laid out, multiplied and forgotten while it is in the cache; blocks are dealt to the
//! threads of rayon's pool. When there are fewer blocks than threads the matrix product itself is split instead.

use rayon::prelude::*;

use super::finish::Finish;
use super::geometry::Geometry;
use super::patches;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{View, add_in_order, multiply};
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// Patch floats a block should hold: about what a core's second-level cache keeps.
const BLOCK_FLOATS: usize = 256 * 1024;

/// `y (B, OH, OW, O) = x * weight`, whatever `y` held before; `finish` gets each block while it is in the cache.
pub(crate) fn forward(x: &[f32], packed: Weights<'_>, g: &Geometry, threads: Threads, finish: &Finish<'_>, y: &mut [f32]) {
    let block = block_rows(g.rows(), g.depth(), threads.count());
    let parallelism = threads.inside(g.rows().div_ceil(block));
    threads.deal(y, block * g.out_c, |index, out| {
        let (first, rows) = (index * block, out.len() / g.out_c);
        for group in 0..g.groups {
            let weight = packed.group(group, g);
            with_patches(x, g, group, first, rows, |patches| {
                let out = &mut out[group * g.group_out()..];
                multiply(out, g.out_c, [rows, g.group_out(), g.depth()], patches, weight, false, parallelism);
            });
        }
        finish(out, first * g.out_c);
    });
}

/// The weights of a forward product: depth by outputs, in whichever order they lie.
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
            Weights::OutputsLast(data) => View::rows(&data[group * size..(group + 1) * size], g.group_out()),
            Weights::OutputsFirst(data) => View::rows(&data[group * size..(group + 1) * size], g.depth()).transposed(),
        }
    }
}

/// Gradient to the input where the stride is over 1: patch gradients, added back image by image.
pub(crate) fn input_gradient_strided(dy: &[f32], outputs_first: &[f32], g: &Geometry, dx: &mut [f32]) {
    let (pixels, depth, size) = (g.output_pixels(), g.depth(), g.depth() * g.group_out());
    let block = block_rows(pixels, depth, rayon::current_num_threads()).max(pixels.min(32));
    let parallelism = Threads::All.inside(g.batch);
    dx.par_chunks_mut(g.input_pixels() * g.in_c).enumerate().for_each(|(image, dx)| {
        dx.fill(0.0);
        for group in 0..g.groups {
            let weight = View::rows(&outputs_first[group * size..(group + 1) * size], depth);
            for first in (0..pixels).step_by(block) {
                let rows = block.min(pixels - first);
                let from = (image * pixels + first) * g.out_c + group * g.group_out();
                let gradient = View::rows(&dy[from..], g.out_c);
                with_scratch(rows * depth, |patches| {
                    multiply(patches, depth, [rows, depth, g.group_out()], gradient, weight, false, parallelism);
                    vectorised!(patches::scatter(patches, g, group, first, rows, dx));
                });
            }
        }
    });
}

/// Gradient to the weight, `[group][output][ky][kx][input]`: each thread sums a span of pixels, the spans are added
/// in order.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Buffer {
    let (depth, size) = (g.depth(), g.depth() * g.group_out());
    let block = block_rows(g.rows(), depth, rayon::current_num_threads());
    let blocks = g.rows().div_ceil(block);
    let spans = rayon::current_num_threads().min(blocks);
    let per_span = blocks.div_ceil(spans) * block;
    let parallelism = Threads::All.inside(spans);
    let partial = |span: usize| {
        let mut sum = Buffer::zeros(size * g.groups);
        let end = g.rows().min((span + 1) * per_span);
        for first in (span * per_span..end).step_by(block) {
            let rows = block.min(end - first);
            for group in 0..g.groups {
                with_patches(x, g, group, first, rows, |patches| {
                    let gradient = View::rows(&dy[first * g.out_c + group * g.group_out()..], g.out_c).transposed();
                    let sum = &mut sum[group * size..(group + 1) * size];
                    multiply(sum, depth, [g.group_out(), depth, rows], gradient, patches, true, parallelism);
                });
            }
        }
        sum
    };
    add_in_order((0..spans).into_par_iter().map(partial).collect())
}

/// Output pixels per block: a cache full of patches, but enough to pay for packing the weights, and dealt evenly.
fn block_rows(rows: usize, depth: usize, threads: usize) -> usize {
    let wanted = (BLOCK_FLOATS / depth.max(1)).clamp(192, 4096);
    let blocks = rows.div_ceil(wanted).next_multiple_of(threads);
    rows.div_ceil(blocks).max(rows.min(32))
}

/// Lends the patch matrix, rows by depth. A 1x1 convolution reads the image itself.
fn with_patches<R>(x: &[f32], g: &Geometry, group: usize, first: usize, rows: usize, body: impl FnOnce(View<'_>) -> R) -> R {
    if g.is_pointwise() {
        return body(View::rows(&x[first * g.in_c + group * g.group_in()..], g.in_c));
    }
    with_scratch(rows * g.depth(), |patches| {
        patches::gather(x, g, group, first, rows, patches);
        body(View::rows(patches, g.depth()))
    })
}
