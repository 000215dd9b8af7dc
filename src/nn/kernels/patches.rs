//! Laying out what each output pixel sees as one row of a matrix (im2col) and adding such rows back (col2im), and
//! the weights in the matching order.
//!
//! ```text
//! row of a patch matrix:   [ky][kx][input channel of the group]
//! packed weights, outputs first:  [group][output][ky][kx][input]     (for gradients to the input)
//! packed weights, outputs last:   [group][ky][kx][input][output]     (for products)
//! ```

use super::geometry::Geometry;

/// Fills `patches` with the rows `first..first + count` of the group's patch matrix.
pub(crate) fn gather(x: &[f32], g: &Geometry, group: usize, first: usize, count: usize, patches: &mut [f32]) {
    let (width, channel) = (g.group_in(), group * g.group_in());
    let line = g.kernel_w * width;
    for (index, patch) in patches.chunks_exact_mut(g.depth()).take(count).enumerate() {
        let (image, y, x_at) = place(g, first + index);
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
            let pixel = (image * g.in_h + top + ky - ky_first) * g.in_w + left;
            let source = &x[pixel * g.in_c..];
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
}

/// Adds patch rows back to the pixels of one image; `first` counts from that image's first output pixel.
#[inline(always)]
pub(crate) fn scatter(patches: &[f32], g: &Geometry, group: usize, first: usize, count: usize, image: &mut [f32]) {
    let (width, channel) = (g.group_in(), group * g.group_in());
    for (index, patch) in patches.chunks_exact(g.depth()).take(count).enumerate() {
        let (_, y, x_at) = place(g, first + index);
        let (ky_first, ky_end, top) = g.lines(y);
        let (kx_first, kx_end, left) = g.columns(x_at);
        for ky in ky_first..ky_end {
            let pixel = (top + ky - ky_first) * g.in_w + left;
            for kx in kx_first..kx_end {
                let at = (pixel + kx - kx_first) * g.in_c + channel;
                let from = (ky * g.kernel_w + kx) * width;
                for (sum, &value) in image[at..at + width].iter_mut().zip(&patch[from..from + width]) {
                    *sum += value;
                }
            }
        }
    }
}

/// Which image, line and column the output pixel `row` is.
#[inline(always)]
fn place(g: &Geometry, row: usize) -> (usize, usize, usize) {
    (row / (g.out_h * g.out_w), row / g.out_w % g.out_h, row % g.out_w)
}

/// Packed weights, outputs last.
pub(crate) fn pack_outputs_last(weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (depth, outputs) = (g.depth(), g.group_out());
    let mut packed = vec![0.0; weight.len()];
    visit(g, |group, output, tap, input, at| {
        packed[(group * depth + tap * g.group_in() + input) * outputs + output] = weight[at];
    });
    packed
}

/// Packed weights, outputs first.
pub(crate) fn pack_outputs_first(weight: &[f32], g: &Geometry) -> Vec<f32> {
    let depth = g.depth();
    let mut packed = vec![0.0; weight.len()];
    visit(g, |group, output, tap, input, at| {
        packed[(group * g.group_out() + output) * depth + tap * g.group_in() + input] = weight[at];
    });
    packed
}

/// Packed for the turned convolution, whose inputs are our outputs: `[group][turned ky][turned kx][output][input]`.
pub(crate) fn pack_turned(weight: &[f32], g: &Geometry) -> Vec<f32> {
    let (taps, inputs, outputs) = (g.kernel_h * g.kernel_w, g.group_in(), g.group_out());
    let mut packed = vec![0.0; weight.len()];
    visit(g, |group, output, tap, input, at| {
        packed[((group * taps + taps - 1 - tap) * outputs + output) * inputs + input] = weight[at];
    });
    packed
}

/// Back from `[group][output][ky][kx][input]` to PyTorch's order.
pub(crate) fn unpack_outputs_first(packed: &[f32], g: &Geometry) -> Vec<f32> {
    let depth = g.depth();
    let mut weight = vec![0.0; packed.len()];
    visit(g, |group, output, tap, input, at| {
        weight[at] = packed[(group * g.group_out() + output) * depth + tap * g.group_in() + input];
    });
    weight
}

/// Calls `with(group, output of group, tap, input of group, index)` for each weight in PyTorch's order.
#[inline(always)]
fn visit(g: &Geometry, mut with: impl FnMut(usize, usize, usize, usize, usize)) {
    let (taps, inputs, outputs) = (g.kernel_h * g.kernel_w, g.group_in(), g.group_out());
    let mut at = 0;
    for group in 0..g.groups {
        for output in 0..outputs {
            for input in 0..inputs {
                for tap in 0..taps {
                    with(group, output, tap, input, at);
                    at += 1;
                }
            }
        }
    }
}
