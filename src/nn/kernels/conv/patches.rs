//! Laying out what each output pixel sees as one row of a matrix (im2col) and adding such rows back (col2im), and
//! the weights in the matching order.
//!
//! ```text
//! row of a patch matrix:   [ky][kx][input channel of the group], of clips [kt] before all
//! packed weights, outputs first:  [group][output][ky][kx][input]     (for gradients to the input)
//! packed weights, outputs last:   [group][ky][kx][input][output]     (for products)
//! ```

use rayon::prelude::*;

use super::geometry::Geometry;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::fill_transposed;

/// Floats that a thread packs at a time at least.
const MATRIX_FLOATS: usize = 16 * 1024;

/// Fills `patches` with the rows `first..first + count` of the group's patch matrix.
pub(crate) fn gather(x: &[f32], g: &Geometry, group: usize, first: usize, count: usize, patches: &mut [f32]) {
    let (width, channel) = (g.group_in(), group * g.group_in());
    let plane = g.kernel_h * g.kernel_w * width;
    for (index, patch) in patches.chunks_exact_mut(g.depth()).take(count).enumerate() {
        let (image, t, y, x_at) = place(g, first + index);
        let (kt_first, kt_end, front) = g.frames(t);
        patch[..kt_first * plane].fill(0.0);
        patch[kt_end * plane..].fill(0.0);
        let seen = patch[kt_first * plane..kt_end * plane].chunks_exact_mut(plane);
        for (frame, patch) in (image * g.in_t + front..).zip(seen) {
            gather_frame(&x[frame * g.in_h * g.in_w * g.in_c..], g, channel, (y, x_at), patch);
        }
    }
}

/// What the output pixel at `(y, x)` sees of one frame.
#[inline(always)]
fn gather_frame(frame: &[f32], g: &Geometry, channel: usize, (y, x_at): (usize, usize), patch: &mut [f32]) {
    let width = g.group_in();
    let line = g.kernel_w * width;
    let (ky_first, ky_end, top) = g.lines(y);
    let (kx_first, kx_end, left) = g.columns(x_at);
    patch[..ky_first * line].fill(0.0);
    patch[ky_end * line..].fill(0.0);
    for ky in ky_first..ky_end {
        let row = &mut patch[ky * line..(ky + 1) * line];
        row[..kx_first * width].fill(0.0);
        row[kx_end * width..].fill(0.0);
        // Padding as wide as the kernel: this output sees no pixel at all.
        if kx_first == kx_end {
            continue;
        }
        let source = &frame[((top + ky - ky_first) * g.in_w + left) * g.in_c..];
        let inside = &mut row[kx_first * width..kx_end * width];
        if g.groups == 1 {
            inside.copy_from_slice(&source[..inside.len()]);
        } else {
            for (target, from) in inside.chunks_exact_mut(width).zip(source.chunks(g.in_c)) {
                target.copy_from_slice(&from[channel..channel + width]);
            }
        }
    }
}

/// Adds patch rows back to the pixels of one image or clip; `first` counts from that image's first output pixel.
#[inline(always)]
pub(crate) fn scatter(patches: &[f32], g: &Geometry, group: usize, first: usize, count: usize, image: &mut [f32]) {
    let (width, channel) = (g.group_in(), group * g.group_in());
    for (index, patch) in patches.chunks_exact(g.depth()).take(count).enumerate() {
        let (_, t, y, x_at) = place(g, first + index);
        let (kt_first, kt_end, front) = g.frames(t);
        let (ky_first, ky_end, top) = g.lines(y);
        let (kx_first, kx_end, left) = g.columns(x_at);
        for (kt, ky) in (kt_first..kt_end).flat_map(|kt| (ky_first..ky_end).map(move |ky| (kt, ky))) {
            let pixel = ((front + kt - kt_first) * g.in_h + top + ky - ky_first) * g.in_w + left;
            for kx in kx_first..kx_end {
                let at = (pixel + kx - kx_first) * g.in_c + channel;
                let from = ((kt * g.kernel_h + ky) * g.kernel_w + kx) * width;
                for (sum, &value) in image[at..at + width].iter_mut().zip(&patch[from..from + width]) {
                    *sum += value;
                }
            }
        }
    }
}

/// Which image or clip, frame, line and column the output pixel `row` is.
#[inline(always)]
fn place(g: &Geometry, row: usize) -> (usize, usize, usize, usize) {
    let frame = row / (g.out_h * g.out_w);
    (frame / g.out_t, frame % g.out_t, row / g.out_w % g.out_h, row % g.out_w)
}

/// Packed weights, outputs last.
pub(crate) fn pack_outputs_last(weight: &[f32], g: &Geometry) -> Buffer {
    let (taps, inputs, outputs) = (g.taps(), g.group_in(), g.group_out());
    let mut packed = Buffer::any(weight.len());
    // One chunk is what a tap of a group needs.
    packed.par_chunks_mut(inputs * outputs).enumerate().for_each(|(index, packed)| {
        let (group, tap) = (index / taps, index % taps);
        let weight = &weight[group * outputs * inputs * taps + tap..];
        fill_transposed(packed, |input, output| weight[(output * inputs + input) * taps], [inputs, outputs]);
    });
    packed
}

/// Packed weights, outputs first.
pub(crate) fn pack_outputs_first(weight: &[f32], g: &Geometry) -> Buffer {
    let mut packed = Buffer::any(weight.len());
    exchange(&mut packed, weight, [g.group_in(), g.taps()]);
    packed
}

/// Packed for the transposed convolution, whose inputs are our outputs: `[group][reversed ky][reversed kx][output][input]`.
pub(crate) fn pack_transposed(weight: &[f32], g: &Geometry) -> Buffer {
    let (taps, inputs, outputs) = (g.taps(), g.group_in(), g.group_out());
    let mut packed = Buffer::any(weight.len());
    packed.par_chunks_mut(inputs * outputs).enumerate().for_each(|(index, packed)| {
        let (group, tap) = (index / taps, taps - 1 - index % taps);
        let weight = &weight[group * outputs * inputs * taps + tap..];
        for (packed, weight) in packed.chunks_exact_mut(inputs).zip(weight.chunks(inputs * taps)) {
            packed.iter_mut().zip(weight.iter().step_by(taps)).for_each(|(to, from)| *to = *from);
        }
    });
    packed
}

/// Back from `[group][output][ky][kx][input]` to PyTorch's order.
pub(crate) fn unpack_outputs_first(packed: &[f32], g: &Geometry) -> Vec<f32> {
    let mut weight = vec![0.0; packed.len()];
    exchange(&mut weight, packed, [g.taps(), g.group_in()]);
    weight
}

/// Maps `(B, H, W, C)` as `(B, C, H, W)`.
pub(crate) fn channels_first(maps: &[f32], g: &Geometry) -> Buffer {
    let mut planes = Buffer::any(g.input_shape().iter().product());
    exchange(&mut planes, maps, [g.in_h * g.in_w, g.in_c]);
    planes
}

/// Back from that order.
pub(crate) fn channels_last(planes: &[f32], g: &Geometry, maps: &mut [f32]) {
    exchange(maps, planes, [g.in_c, g.in_h * g.in_w]);
}

/// Exchanges the last two dimensions, which are `rows` and `columns` in `from`: output by output of a weight.
fn exchange(to: &mut [f32], from: &[f32], [rows, columns]: [usize; 2]) {
    let matrix = rows * columns;
    let several = (MATRIX_FLOATS / matrix).max(1) * matrix;
    to.par_chunks_mut(several).zip(from.par_chunks(several)).for_each(|(to, from)| {
        for (to, from) in to.chunks_exact_mut(matrix).zip(from.chunks_exact(matrix)) {
            fill_transposed(to, |column, row| from[row * columns + column], [columns, rows]);
        }
    });
}
