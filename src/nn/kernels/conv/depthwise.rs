//! Depthwise convolution: one small kernel per channel, so no matrix product; the sums run over channels in vector
//! registers. Output (or input) lines are dealt to threads.

use rayon::prelude::*;

use super::finish::Finish;
use super::geometry::Geometry;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::add_in_order;
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// Channels summed at once: two AVX-512 registers, four of AVX2.
const LANES: usize = 32;
/// Floats of output a thread finishes at a time.
const PIECE_FLOATS: usize = 16 * 1024;

/// From `(channels, 1, kh, kw)` to `[ky][kx][channel]`, with `[kt]` before where it sees several frames.
pub(crate) fn pack(weight: &[f32], g: &Geometry) -> Buffer {
    let (taps, channels) = (g.taps(), g.in_c);
    let mut packed = Buffer::any(weight.len());
    for channel in 0..channels {
        for tap in 0..taps {
            packed[tap * channels + channel] = weight[channel * taps + tap];
        }
    }
    packed
}

/// `y = x * weight`, whatever `y` held before; `weight` is packed, and `finish` gets some lines at a time while they
/// are in the cache.
pub(crate) fn forward(x: &[f32], weight: &[f32], g: &Geometry, threads: Threads, finish: &Finish<'_>, y: &mut [f32]) {
    let line = g.out_w * g.out_c;
    let lines = (PIECE_FLOATS / line).max(1);
    threads.deal(y, lines * line, |piece, out| {
        for (index, out) in out.chunks_mut(line).enumerate() {
            let index = piece * lines + index;
            vectorised!(forward_line(x, weight, g, index / g.out_h, index % g.out_h, out));
        }
        finish(out, piece * lines * line);
    });
}

#[inline(always)]
fn forward_line(x: &[f32], weight: &[f32], g: &Geometry, frame: usize, y: usize, out: &mut [f32]) {
    let channels = g.in_c;
    let (kt_first, kt_end, front) = g.frames(frame % g.out_t);
    let (ky_first, ky_end, top) = g.lines(y);
    let first = frame / g.out_t * g.in_t + front;
    for (column, pixel) in out.chunks_exact_mut(channels).enumerate() {
        let (kx_first, kx_end, left) = g.columns(column);
        let taps = Taps {
            source: ((first * g.in_h + top) * g.in_w + left) * channels,
            source_frame: g.in_h * g.in_w * channels,
            source_line: g.in_w * channels,
            weight: ((kt_first * g.kernel_h + ky_first) * g.kernel_w + kx_first) * channels,
            weight_frame: g.kernel_h * g.kernel_w * channels,
            weight_line: g.kernel_w * channels,
            frames: kt_end - kt_first,
            lines: ky_end - ky_first,
            columns: kx_end - kx_first,
            channels,
        };
        taps.sum_all(x, weight, pixel);
    }
}

/// The part of a kernel that meets the image for one output pixel.
struct Taps {
    source: usize,
    source_frame: usize,
    source_line: usize,
    weight: usize,
    weight_frame: usize,
    weight_line: usize,
    frames: usize,
    lines: usize,
    columns: usize,
    channels: usize,
}

impl Taps {
    #[inline(always)]
    fn sum_all(&self, x: &[f32], weight: &[f32], out: &mut [f32]) {
        let wide = self.channels / LANES * LANES;
        let half = wide + (self.channels - wide) / 8 * 8;
        for channel in (0..wide).step_by(LANES) {
            self.sum::<LANES>(x, weight, channel, out);
        }
        for channel in (wide..half).step_by(8) {
            self.sum::<8>(x, weight, channel, out);
        }
        for channel in half..self.channels {
            self.sum::<1>(x, weight, channel, out);
        }
    }

    #[inline(always)]
    fn sum<const N: usize>(&self, x: &[f32], weight: &[f32], channel: usize, out: &mut [f32]) {
        let mut total = [0.0f32; N];
        for frame in 0..self.frames {
            let (source, kernel) = (self.source + frame * self.source_frame, self.weight + frame * self.weight_frame);
            for line in 0..self.lines {
                for column in 0..self.columns {
                    let at = source + line * self.source_line + column * self.channels + channel;
                    let weight_at = kernel + line * self.weight_line + column * self.channels + channel;
                    let (pixel, kernel) = (&x[at..at + N], &weight[weight_at..weight_at + N]);
                    for lane in 0..N {
                        total[lane] += pixel[lane] * kernel[lane];
                    }
                }
            }
        }
        out[channel..channel + N].copy_from_slice(&total);
    }
}

/// Gradient to the input, line by line: each input pixel collects from the outputs that saw it.
pub(crate) fn input_gradient(dy: &[f32], weight: &[f32], g: &Geometry, dx: &mut [f32]) {
    let line = g.in_w * g.in_c;
    dx.par_chunks_mut(line).enumerate().for_each(|(index, out)| {
        out.fill(0.0);
        vectorised!(input_gradient_line(dy, weight, g, index / g.in_h, index % g.in_h, out));
    });
}

#[inline(always)]
fn input_gradient_line(dy: &[f32], weight: &[f32], g: &Geometry, frame: usize, y: usize, out: &mut [f32]) {
    let channels = g.in_c;
    for (kt, ky) in (0..g.kernel_t).flat_map(|kt| (0..g.kernel_h).map(move |ky| (kt, ky))) {
        let Some(seen) = source_of(frame % g.in_t, kt, g.pad_front, g.stride_t, g.out_t) else { continue };
        let Some(line) = source_of(y, ky, g.pad_top, g.stride, g.out_h) else { continue };
        let gradients = &dy[((frame / g.in_t * g.out_t + seen) * g.out_h + line) * g.out_w * channels..][..g.out_w * channels];
        for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
            for kx in 0..g.kernel_w {
                let Some(column) = source_of(x, kx, g.pad_left, g.stride, g.out_w) else { continue };
                let gradient = &gradients[column * channels..][..channels];
                let kernel = &weight[((kt * g.kernel_h + ky) * g.kernel_w + kx) * channels..][..channels];
                for ((sum, &gradient), &kernel) in pixel.iter_mut().zip(gradient).zip(kernel) {
                    *sum += gradient * kernel;
                }
            }
        }
    }
}

/// The output position whose kernel tap `tap` lies on input position `at`, if there is one.
#[inline(always)]
fn source_of(at: usize, tap: usize, pad: isize, stride: usize, size: usize) -> Option<usize> {
    let shifted = at as isize + pad - tap as isize;
    if shifted < 0 || !(shifted as usize).is_multiple_of(stride) {
        return None;
    }
    let position = shifted as usize / stride;
    (position < size).then_some(position)
}

/// Gradient to the weight, in PyTorch's order `(channels, 1, kh, kw)`.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let (taps, channels) = (g.taps(), g.in_c);
    let lines = g.batch * g.out_t * g.out_h;
    let spans = rayon::current_num_threads().min(lines);
    let per_span = lines.div_ceil(spans);
    let partial = |span: usize| {
        let mut sum = vec![0.0; taps * channels];
        for line in span * per_span..lines.min((span + 1) * per_span) {
            vectorised!(weight_gradient_line(x, dy, g, line / g.out_h, line % g.out_h, &mut sum));
        }
        sum
    };
    let packed = add_in_order((0..spans).into_par_iter().map(partial).collect());
    let mut weight = vec![0.0; packed.len()];
    for channel in 0..channels {
        for tap in 0..taps {
            weight[channel * taps + tap] = packed[tap * channels + channel];
        }
    }
    weight
}

#[inline(always)]
fn weight_gradient_line(x: &[f32], dy: &[f32], g: &Geometry, frame: usize, y: usize, sum: &mut [f32]) {
    let channels = g.in_c;
    let gradients = &dy[(frame * g.out_h + y) * g.out_w * channels..][..g.out_w * channels];
    let (kt_first, kt_end, front) = g.frames(frame % g.out_t);
    let (ky_first, ky_end, top) = g.lines(y);
    for (kt, ky) in (kt_first..kt_end).flat_map(|kt| (ky_first..ky_end).map(move |ky| (kt, ky))) {
        let seen = frame / g.out_t * g.in_t + front + kt - kt_first;
        let pixels = &x[(seen * g.in_h + top + ky - ky_first) * g.in_w * channels..][..g.in_w * channels];
        for kx in 0..g.kernel_w {
            let sum = &mut sum[((kt * g.kernel_h + ky) * g.kernel_w + kx) * channels..][..channels];
            let wide = channels / LANES * LANES;
            let half = wide + (channels - wide) / 8 * 8;
            for channel in (0..wide).step_by(LANES) {
                correlate::<LANES>(pixels, gradients, g, kx, channel, sum);
            }
            for channel in (wide..half).step_by(8) {
                correlate::<8>(pixels, gradients, g, kx, channel, sum);
            }
            for channel in half..channels {
                correlate::<1>(pixels, gradients, g, kx, channel, sum);
            }
        }
    }
}

/// Adds the products of one line of gradients with the pixels tap column `kx` saw.
#[inline(always)]
fn correlate<const N: usize>(pixels: &[f32], gradients: &[f32], g: &Geometry, kx: usize, channel: usize, sum: &mut [f32]) {
    let mut total = [0.0f32; N];
    // Output columns for which this tap lies inside the line.
    let shift = g.pad_left - kx as isize;
    let first = if shift > 0 { (shift as usize).div_ceil(g.stride) } else { 0 };
    let last = g.in_w as isize - 1 + shift;
    let end = if last < 0 { 0 } else { g.out_w.min(last as usize / g.stride + 1) };
    for column in first..end {
        let pixel = (column * g.stride).wrapping_add_signed(-shift) * g.in_c + channel;
        let at = column * g.in_c + channel;
        let (pixel, gradient) = (&pixels[pixel..pixel + N], &gradients[at..at + N]);
        for lane in 0..N {
            total[lane] += pixel[lane] * gradient[lane];
        }
    }
    for lane in 0..N {
        sum[channel + lane] += total[lane];
    }
}
