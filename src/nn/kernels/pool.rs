//! Max pooling that can learn (candle's cannot), and the global average.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::geometry::{Geometry, Padding, Spec};
use super::memory::{floats, read, tensor};
use super::portable;
use super::simd::vectorised;

/// The largest value of each `kernel x kernel` window of `x (B, H, W, C)`; what lies outside the image never wins.
/// The gradient goes to the first largest, as in PyTorch.
pub fn max_pool(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    if portable::is_for(x) {
        return portable::max_pool(x, kernel, stride, padding);
    }
    let pool = MaxPool::new(x.dims(), kernel, stride, padding)?;
    x.contiguous()?.apply_op1(MaxPoolOp { pool, winners: OnceLock::new() })
}

/// A max pooling of one shape.
pub(super) struct MaxPool {
    pub geometry: Geometry,
}

impl MaxPool {
    pub fn new(input: &[usize], kernel: usize, stride: usize, padding: usize) -> Result<MaxPool> {
        if padding * 2 > kernel || kernel > 15 {
            bail!("max pooling takes kernels up to 15 and padding up to half of that, not {kernel} and {padding}")
        }
        let &[_, _, _, channels] = input else { bail!("expected four dimensions, got {input:?}") };
        let spec = Spec { stride, padding: Padding::Symmetric(padding), groups: channels };
        Ok(MaxPool { geometry: Geometry::of(input, &[channels, 1, kernel, kernel], &spec)? })
    }

    /// Writes all of `y`; answers the winning tap (`ky * kernel + kx`) of each output.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Vec<u8> {
        let g = &self.geometry;
        let line = g.out_w * g.out_c;
        let mut winners = vec![0u8; y.len()];
        y.par_chunks_mut(line).zip(winners.par_chunks_mut(line)).enumerate().for_each(|(index, (y, winners))| {
            y.fill(f32::NEG_INFINITY);
            vectorised(|| pool_line(x, g, index / g.out_h, index % g.out_h, y, winners));
        });
        winners
    }

    /// Writes all of `dx`.
    pub fn gradient(&self, dy: &[f32], winners: &[u8], dx: &mut [f32]) {
        let g = &self.geometry;
        dx.par_chunks_mut(g.in_w * g.in_c).enumerate().for_each(|(index, dx)| {
            dx.fill(0.0);
            vectorised(|| gradient_line(dy, winners, g, index / g.in_h, index % g.in_h, dx));
        });
    }
}

struct MaxPoolOp {
    pool: MaxPool,
    winners: OnceLock<Vec<u8>>,
}

impl CustomOp1 for MaxPoolOp {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = &self.pool.geometry;
        let mut y = vec![0.0; g.rows() * g.out_c];
        // One op instance is applied once, so the cell is empty here.
        let _ = self.winners.set(self.pool.forward(floats(x, xl)?, &mut y));
        Ok((CpuStorage::F32(y), Shape::from(&g.output_shape()[..])))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(winners) = self.winners.get() else { bail!("max pooling was asked for a gradient before its value") };
        let mut dx = vec![0.0; x.elem_count()];
        self.pool.gradient(&read(&dy.contiguous()?)?, winners, &mut dx);
        Ok(Some(tensor(dx, x.dims())?))
    }
}

#[inline(always)]
fn pool_line(x: &[f32], g: &Geometry, image: usize, y: usize, out: &mut [f32], winners: &mut [u8]) {
    let channels = g.in_c;
    let (ky_first, ky_end, top) = g.lines(y);
    for (column, (out, winners)) in out.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels)).enumerate() {
        let (kx_first, kx_end, left) = g.columns(column);
        for ky in ky_first..ky_end {
            for kx in kx_first..kx_end {
                let tap = (ky * g.kernel_w + kx) as u8;
                let pixel = ((image * g.in_h + top + ky - ky_first) * g.in_w + left + kx - kx_first) * channels;
                for ((out, winner), &value) in out.iter_mut().zip(winners.iter_mut()).zip(&x[pixel..pixel + channels]) {
                    // NaN wins, so that it shows.
                    let better = value > *out || value.is_nan();
                    *out = if better { value } else { *out };
                    *winner = if better { tap } else { *winner };
                }
            }
        }
    }
}

/// Each input pixel collects from the windows it lies in and won.
#[inline(always)]
fn gradient_line(dy: &[f32], winners: &[u8], g: &Geometry, image: usize, y: usize, dx: &mut [f32]) {
    let channels = g.in_c;
    for (x, pixel) in dx.chunks_exact_mut(channels).enumerate() {
        for ky in 0..g.kernel_h {
            let Some(line) = window(y, ky, g.pad_top, g.stride, g.out_h) else { continue };
            for kx in 0..g.kernel_w {
                let Some(column) = window(x, kx, g.pad_left, g.stride, g.out_w) else { continue };
                let tap = (ky * g.kernel_w + kx) as u8;
                let at = ((image * g.out_h + line) * g.out_w + column) * channels;
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

/// The mean over all pixels: `(B, H, W, C)` to `(B, C)`.
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    let (_, height, width, _) = x.dims4()?;
    if height * width == 0 {
        bail!("cannot pool an empty image of shape {:?}", x.dims())
    }
    if portable::is_for(x) {
        return portable::global_average_pool(x);
    }
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
pub(super) fn average(x: &[f32], pixels: usize, channels: usize, y: &mut [f32]) {
    let factor = 1.0 / pixels as f32;
    y.par_chunks_mut(channels).zip(x.par_chunks(pixels * channels)).for_each(|(y, image)| {
        vectorised(|| {
            for pixel in image.chunks_exact(channels) {
                y.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
            y.iter_mut().for_each(|sum| *sum *= factor);
        });
    });
}

/// Writes all of `dx`.
pub(super) fn average_gradient(dy: &[f32], pixels: usize, channels: usize, dx: &mut [f32]) {
    let factor = 1.0 / pixels as f32;
    dx.par_chunks_mut(pixels * channels).zip(dy.par_chunks(channels)).for_each(|(image, dy)| {
        vectorised(|| {
            for pixel in image.chunks_exact_mut(channels) {
                pixel.iter_mut().zip(dy).for_each(|(value, dy)| *value = dy * factor);
            }
        });
    });
}
