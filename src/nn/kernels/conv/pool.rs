//! Max pooling with what its gradient needs (candle has none), and the global average.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::geometry::Geometry;
use super::window::Window;
use crate::nn::kernels::memory::{floats, read, tensor};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// A max pooling of one shape.
pub(crate) struct MaxPool {
    pub geometry: Geometry,
}

impl MaxPool {
    /// Over maps `(B, H, W, C)`, of clips of so many frames those of all of them.
    pub fn new(input: &[usize], frames: usize, window: Window) -> Result<MaxPool> {
        if window.kernel > 15 || window.kernel * window.kernel * window.time.kernel > 256 {
            bail!("max pooling takes kernels up to 15, and 256 pixels at a time, not {} over {} frames", window.kernel, window.time.kernel)
        }
        Ok(MaxPool { geometry: window.geometry(input, frames)? })
    }

    /// Writes all of `y`; answers the winning tap (`(kt * kernel + ky) * kernel + kx`) of each output.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Vec<u8> {
        let _span = trace_span!("pool").entered();
        let g = &self.geometry;
        let line = g.out_w * g.out_c;
        let mut winners = vec![0u8; y.len()];
        y.par_chunks_mut(line).zip(winners.par_chunks_mut(line)).enumerate().for_each(|(index, (y, winners))| {
            vectorised!(pool_line(x, g, index / g.out_h, index % g.out_h, y, Some(winners)));
        });
        winners
    }

    /// Writes all of `y`, and remembers nothing.
    pub fn largest(&self, x: &[f32], threads: Threads, y: &mut [f32]) {
        let g = &self.geometry;
        threads.deal(y, g.out_w * g.out_c, |index, y| {
            vectorised!(pool_line(x, g, index / g.out_h, index % g.out_h, y, None));
        });
    }

    /// Writes all of `dx`.
    pub fn gradient(&self, dy: &[f32], winners: &[u8], dx: &mut [f32]) {
        let _span = trace_span!("pool gradient").entered();
        let g = &self.geometry;
        dx.par_chunks_mut(g.in_w * g.in_c).enumerate().for_each(|(index, dx)| {
            dx.fill(0.0);
            vectorised!(gradient_line(dy, winners, g, index / g.in_h, index % g.in_h, dx));
        });
    }
}

/// Channels compared at once, which stay in registers over the taps of a window.
const LANES: usize = 32;

#[inline(always)]
fn pool_line(x: &[f32], g: &Geometry, frame: usize, y: usize, out: &mut [f32], mut winners: Option<&mut [u8]>) {
    let channels = g.in_c;
    let (kt_first, kt_end, front) = g.frames(frame % g.out_t);
    let (ky_first, ky_end, top) = g.lines(y);
    let first = frame / g.out_t * g.in_t + front;
    for (column, out) in out.chunks_exact_mut(channels).enumerate() {
        let (kx_first, kx_end, left) = g.columns(column);
        let window = Seen {
            source: ((first * g.in_h + top) * g.in_w + left) * channels,
            frame: g.in_h * g.in_w * channels,
            line: g.in_w * channels,
            channels,
            frames: (kt_first..kt_end, g.kernel_h * g.kernel_w),
            taps: (ky_first..ky_end, kx_first..kx_end, g.kernel_w),
        };
        let wide = channels / LANES * LANES;
        let winners = winners.as_deref_mut().map(|winners| &mut winners[column * channels..(column + 1) * channels]);
        // Loops, because an iterator's `for_each` is not always inlined, and then compiled for the oldest processors.
        match winners {
            None => {
                for channel in (0..wide).step_by(LANES) {
                    window.largest::<LANES>(x, channel, out);
                }
                for channel in wide..channels {
                    window.largest::<1>(x, channel, out);
                }
            }
            Some(winners) => {
                for channel in (0..wide).step_by(LANES) {
                    window.winners::<LANES>(x, channel, out, winners);
                }
                for channel in wide..channels {
                    window.winners::<1>(x, channel, out, winners);
                }
            }
        }
    }
}

/// What one output pixel sees.
struct Seen {
    source: usize,
    frame: usize,
    line: usize,
    channels: usize,
    /// Frames of the kernel that meet the clip, and its pixels in each.
    frames: (Range<usize>, usize),
    /// Rows and columns of the kernel that meet the image, and the kernel's width.
    taps: (Range<usize>, Range<usize>, usize),
}

impl Seen {
    #[inline(always)]
    fn largest<const N: usize>(&self, x: &[f32], channel: usize, out: &mut [f32]) {
        let mut best = [f32::NEG_INFINITY; N];
        for frame in 0..self.frames.0.len() {
            for line in 0..self.taps.0.len() {
                for column in 0..self.taps.1.len() {
                    let at = self.source + frame * self.frame + line * self.line + column * self.channels + channel;
                    let values = &x[at..at + N];
                    for lane in 0..N {
                        best[lane] = if beats(values[lane], best[lane]) { values[lane] } else { best[lane] };
                    }
                }
            }
        }
        out[channel..channel + N].copy_from_slice(&best);
    }

    #[inline(always)]
    fn winners<const N: usize>(&self, x: &[f32], channel: usize, out: &mut [f32], winners: &mut [u8]) {
        let (mut best, mut taps) = ([f32::NEG_INFINITY; N], [0u32; N]);
        for (frame, kt) in self.frames.0.clone().enumerate() {
            for (line, ky) in self.taps.0.clone().enumerate() {
                for (column, kx) in self.taps.1.clone().enumerate() {
                    let tap = (kt * self.frames.1 + ky * self.taps.2 + kx) as u32;
                    let at = self.source + frame * self.frame + line * self.line + column * self.channels + channel;
                    let values = &x[at..at + N];
                    for lane in 0..N {
                        let better = beats(values[lane], best[lane]);
                        best[lane] = if better { values[lane] } else { best[lane] };
                        taps[lane] = if better { tap } else { taps[lane] };
                    }
                }
            }
        }
        out[channel..channel + N].copy_from_slice(&best);
        winners[channel..channel + N].iter_mut().zip(taps).for_each(|(winner, tap)| *winner = tap as u8);
    }
}

/// NaN wins, so that it shows.
#[inline(always)]
fn beats(value: f32, best: f32) -> bool {
    value > best || value.is_nan()
}

/// Each input pixel collects from the windows it lies in and won.
#[inline(always)]
fn gradient_line(dy: &[f32], winners: &[u8], g: &Geometry, frame: usize, y: usize, dx: &mut [f32]) {
    let channels = g.in_c;
    for (kt, ky) in (0..g.kernel_t).flat_map(|kt| (0..g.kernel_h).map(move |ky| (kt, ky))) {
        let Some(seen) = window(frame % g.in_t, kt, g.pad_front, g.stride_t, g.out_t) else { continue };
        let Some(line) = window(y, ky, g.pad_top, g.stride, g.out_h) else { continue };
        let from = ((frame / g.in_t * g.out_t + seen) * g.out_h + line) * g.out_w;
        for (x, pixel) in dx.chunks_exact_mut(channels).enumerate() {
            for kx in 0..g.kernel_w {
                let Some(column) = window(x, kx, g.pad_left, g.stride, g.out_w) else { continue };
                let tap = ((kt * g.kernel_h + ky) * g.kernel_w + kx) as u8;
                let at = (from + column) * channels;
                let (dy, winners) = (&dy[at..at + channels], &winners[at..at + channels]);
                for ((sum, &gradient), &winner) in pixel.iter_mut().zip(dy).zip(winners) {
                    *sum += if winner == tap { gradient } else { 0.0 };
                }
            }
        }
    }
}

/// The window whose tap `tap` lies on input position `at`.
#[inline(always)]
fn window(at: usize, tap: usize, pad: isize, stride: usize, size: usize) -> Option<usize> {
    let shifted = at as isize + pad - tap as isize;
    let position = shifted / stride as isize;
    (shifted >= 0 && shifted % stride as isize == 0 && (position as usize) < size).then_some(position as usize)
}

/// Errors where there is no pixel.
pub(crate) fn check(x: &Tensor) -> Result<()> {
    let (_, height, width, _) = x.dims4()?;
    if height * width == 0 {
        bail!("cannot pool an empty image of shape {:?}", x.dims())
    }
    Ok(())
}

/// The mean over all pixels: `(B, H, W, C)` to `(B, C)`.
pub(crate) fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GlobalAverage)
}

struct GlobalAverage;

impl CustomOp1 for GlobalAverage {
    fn name(&self) -> &'static str {
        "global-average-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = xl.shape().dims4()?;
        let x = floats(x, xl)?;
        let mut y = vec![0.0f32; batch * channels];
        average(x, height * width, channels, &mut y);
        Ok((CpuStorage::F32(y), Shape::from((batch, channels))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, height, width, channels) = x.dims4()?;
        let mut dx = vec![0.0f32; x.elem_count()];
        average_gradient(&read(&dy.contiguous()?)?, height * width, channels, &mut dx);
        Ok(Some(tensor(dx, x.dims())?))
    }
}

/// Means over the pixels of each image; `y` holds zeros.
pub(crate) fn average(x: &[f32], pixels: usize, channels: usize, y: &mut [f32]) {
    let factor = 1.0 / pixels as f32;
    y.par_chunks_mut(channels).zip(x.par_chunks(pixels * channels)).for_each(|(y, image)| {
        vectorised!({
            for pixel in image.chunks_exact(channels) {
                y.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
            y.iter_mut().for_each(|sum| *sum *= factor);
        });
    });
}

/// Writes all of `dx`.
pub(crate) fn average_gradient(dy: &[f32], pixels: usize, channels: usize, dx: &mut [f32]) {
    let factor = 1.0 / pixels as f32;
    dx.par_chunks_mut(pixels * channels).zip(dy.par_chunks(channels)).for_each(|(image, dy)| {
        vectorised!({
            for pixel in image.chunks_exact_mut(channels) {
                pixel.iter_mut().zip(dy).for_each(|(value, dy)| *value = dy * factor);
            }
        });
    });
}
