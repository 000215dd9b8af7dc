//! The kernels composed from candle's own ops, for devices other than the CPU. Slower, and the same numbers.

use candle_core::{Result, Tensor, bail};

use super::geometry::{Geometry, Spec};
use super::{Activation, BatchStatistics, Norm};

/// See [`super::conv2d`].
pub fn conv2d(x: &Tensor, weight: &Tensor, spec: &Spec) -> Result<Tensor> {
    let g = Geometry::of(x.dims(), weight.dims(), spec)?;
    let x = pad(&x.permute((0, 3, 1, 2))?, &g)?.contiguous()?;
    x.conv2d(weight, 0, g.stride, 1, g.groups)?.permute((0, 2, 3, 1))?.contiguous()
}

/// Zeros around `(B, C, H, W)`, as many as the geometry asks for and no more than the kernel reaches.
fn pad(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    let bottom = ((g.out_h - 1) * g.stride + g.kernel_h) as isize - g.pad_top - g.in_h as isize;
    let right = ((g.out_w - 1) * g.stride + g.kernel_w) as isize - g.pad_left - g.in_w as isize;
    let amount = |pad: isize| usize::try_from(pad).unwrap_or(0);
    x.pad_with_zeros(2, amount(g.pad_top), amount(bottom))?.pad_with_zeros(3, amount(g.pad_left), amount(right))
}

/// `activation(x * scale + shift + residual)` over channels last.
pub fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor, residual: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    let y = x.broadcast_mul(scale)?.broadcast_add(shift)?;
    let y = match residual {
        Some(residual) => (y + residual)?,
        None => y,
    };
    activate(&y, activation)
}

/// See [`super::activate`].
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Relu6 => x.clamp(0f32, 6f32),
        Activation::HardSwish => (x + 3.0)?.clamp(0f32, 6f32)?.mul(x)? / 6.0,
        Activation::Silu => sigmoid(x)?.mul(x),
        Activation::Gelu => x.gelu_erf(),
    }
}

/// `1 / (1 + e^-x)`, with a gradient that is a number however far out x lies.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// See [`super::batch_norm_train`].
pub fn batch_norm_train(x: &Tensor, norm: &Norm<'_>, residual: Option<&Tensor>) -> Result<(Tensor, BatchStatistics)> {
    let count = (x.elem_count() / x.dim(3)?) as f64;
    let mean = x.mean((0, 1, 2))?;
    let variance = x.broadcast_sub(&mean)?.sqr()?.mean((0, 1, 2))?;
    let y = batch_norm_eval(x, norm, &mean, &variance, residual)?;
    let unbiased = (variance.detach() * (count / (count - 1.0)))?;
    Ok((y, BatchStatistics { mean: mean.to_vec1()?, unbiased_variance: unbiased.to_vec1()? }))
}

/// See [`super::batch_norm_eval`].
pub fn batch_norm_eval(x: &Tensor, norm: &Norm<'_>, mean: &Tensor, variance: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    let scale = norm.gamma.div(&(variance + norm.eps)?.sqrt()?)?;
    let shift = norm.beta.sub(&(mean * &scale)?)?;
    affine(x, &scale, &shift, residual, norm.activation)
}

/// See [`super::max_pool`]: the maximum of as many shifted, strided views as the kernel has taps.
pub fn max_pool(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor> {
    let (_, height, width, _) = x.dims4()?;
    if height + 2 * padding < kernel || width + 2 * padding < kernel || stride == 0 {
        bail!("an image of {height}x{width} is too small to pool over {kernel}")
    }
    let x = surround(&surround(x, 1, padding)?, 2, padding)?;
    let (rows, columns) = ((height + 2 * padding - kernel) / stride + 1, (width + 2 * padding - kernel) / stride + 1);
    let mut best: Option<Tensor> = None;
    for ky in 0..kernel {
        for kx in 0..kernel {
            let view = every(&every(&x, 1, ky, stride, rows)?, 2, kx, stride, columns)?;
            best = Some(match best {
                Some(best) => best.maximum(&view)?,
                None => view,
            });
        }
    }
    match best {
        Some(best) => Ok(best),
        None => bail!("a pooling window needs at least one pixel"),
    }
}

/// The lowest number before and after a dimension, so that padding never wins.
fn surround(x: &Tensor, dim: usize, padding: usize) -> Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    shape[dim] = padding;
    let edge = Tensor::full(f32::MIN, shape, x.device())?;
    Tensor::cat(&[&edge, x, &edge], dim)
}

/// `count` positions of a dimension from `first`, `stride` apart.
fn every(x: &Tensor, dim: usize, first: usize, stride: usize, count: usize) -> Result<Tensor> {
    let positions: Vec<u32> = (0..count).map(|index| (first + index * stride) as u32).collect();
    x.index_select(&Tensor::new(positions, x.device())?, dim)
}
