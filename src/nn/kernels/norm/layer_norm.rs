//! Layer normalisation (Ba et al. 2016): each row by its own mean and variance, one pass while the row is in the
//! cache. Slices for the transformer's blocks, and an op.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::nn::kernels::matmul::{parts_mut, sum_over_spans};
use crate::nn::kernels::memory::{floats, read, tensor};
use crate::nn::kernels::simd::vectorised;

/// Rows a thread takes at a time.
const ROWS: usize = 128;
/// Sums are kept this many at once, which fills a vector register.
const LANES: usize = 16;

/// Sums `term(x[i], y[i])`.
#[inline(always)]
pub(crate) fn sum_of(x: &[f32], y: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (wide, tail) = x.as_chunks::<LANES>();
    let (other, other_tail) = y.as_chunks::<LANES>();
    for (x, y) in wide.iter().zip(other) {
        for lane in 0..LANES {
            lanes[lane] += term(x[lane], y[lane]);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(tail.iter().zip(other_tail)) {
        *lane += term(x, y);
    }
    lanes.iter().sum()
}

/// `y = gamma * (x - mean) / sqrt(variance + eps) + beta` row by row; writes mean and inverse deviation of each row
/// (two floats) to `statistics`.
pub(crate) fn normalise(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], eps: f64, statistics: &mut [f32]) {
    let width = gamma.len();
    vectorised!({
        let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(statistics.chunks_exact_mut(2));
        for ((y, x), statistics) in rows {
            let mean = sum_of(x, x, |x, _| x) / width as f32;
            let variance = sum_of(x, x, |x, _| (x - mean) * (x - mean)) / width as f32;
            let inverse = 1.0 / (variance + eps as f32).sqrt();
            statistics.copy_from_slice(&[mean, inverse]);
            again(y, x, gamma, beta, mean, inverse);
        }
    });
}

/// [`normalise`] from statistics that are known.
pub(crate) fn normalise_again(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], statistics: &[f32]) {
    let width = gamma.len();
    vectorised!({
        for ((y, x), statistics) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(statistics.chunks_exact(2)) {
            again(y, x, gamma, beta, statistics[0], statistics[1]);
        }
    });
}

#[inline(always)]
fn again(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], mean: f32, inverse: f32) {
    for (((y, &x), &gamma), &beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
        *y = (x - mean) * inverse * gamma + beta;
    }
}

/// `dx += ` the gradient to x, `dgamma` and `dbeta` likewise, from `dy` row by row.
pub(crate) fn backward(dx: &mut [f32], dy: &[f32], x: &[f32], gamma: &[f32], statistics: &[f32], dgamma: &mut [f32], dbeta: &mut [f32]) {
    let width = gamma.len();
    let count = width as f32;
    vectorised!({
        let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width)).zip(statistics.chunks_exact(2));
        for (((dx, dy), x), statistics) in rows {
            let (mean, inverse) = (statistics[0], statistics[1]);
            for ((((dgamma, dbeta), &dy), &x), _) in dgamma.iter_mut().zip(dbeta.iter_mut()).zip(dy).zip(x).zip(gamma) {
                *dgamma += dy * (x - mean) * inverse;
                *dbeta += dy;
            }
            let sum = sum_of(dy, gamma, |dy, gamma| dy * gamma) / count;
            let mut lanes = [0.0f32; LANES];
            let (wide, tail) = x.as_chunks::<LANES>();
            let whole = wide.len() * LANES;
            let (gradients, factors) = (dy.as_chunks::<LANES>().0, gamma.as_chunks::<LANES>().0);
            for ((x, dy), gamma) in wide.iter().zip(gradients).zip(factors) {
                for lane in 0..LANES {
                    lanes[lane] += dy[lane] * gamma[lane] * (x[lane] - mean);
                }
            }
            for (lane, ((&x, &dy), &gamma)) in lanes.iter_mut().zip(tail.iter().zip(&dy[whole..]).zip(&gamma[whole..])) {
                *lane += dy * gamma * (x - mean);
            }
            let product = lanes.iter().sum::<f32>() * inverse * inverse / count;
            for (((dx, &dy), &x), &gamma) in dx.iter_mut().zip(dy).zip(x).zip(gamma) {
                *dx += inverse * (dy * gamma - sum - (x - mean) * product);
            }
        }
    });
}

/// Errors when shapes do not fit.
pub(crate) fn check(x: &Tensor, gamma: &Tensor, beta: &Tensor) -> Result<()> {
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 || x.elem_count() == 0 || gamma.dims() != [width] || beta.dims() != [width] {
        bail!("a layer norm over {:?} and {:?} does not fit {:?}", gamma.dims(), beta.dims(), x.dims())
    }
    Ok(())
}

/// Layer norm over the last dimension of `x (..., D)`. Gradients flow to x, gamma and beta.
pub(crate) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op3(gamma, beta, LayerNorm { eps, statistics: OnceLock::new() })
}

struct LayerNorm {
    eps: f64,
    /// Mean and inverse deviation of each row.
    statistics: OnceLock<Vec<f32>>,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        gamma: &CpuStorage,
        gl: &Layout,
        beta: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gamma, beta) = (floats(x, xl)?, floats(gamma, gl)?, floats(beta, bl)?);
        let block = ROWS * gamma.len();
        let mut y = vec![0.0; x.len()];
        let mut statistics = vec![0.0; x.len() / gamma.len() * 2];
        y.par_chunks_mut(block).zip(x.par_chunks(block)).zip(statistics.par_chunks_mut(2 * ROWS)).for_each(|((y, x), statistics)| {
            normalise(y, x, gamma, beta, self.eps, statistics);
        });
        // One op instance is applied once, so the cell is empty here.
        let _ = self.statistics.set(statistics);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        _beta: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.statistics.get() else { bail!("layer norm was asked for a gradient before its value") };
        let dy = dy.contiguous()?;
        let (values, factors, gradient) = (read(x)?, read(gamma)?, read(&dy)?);
        let width = factors.len();
        let block = ROWS * width;
        let mut dx = vec![0.0; values.len()];
        let pieces = values.len().div_ceil(block);
        let sums = sum_over_spans(pieces, &mut dx, block, 2 * width, |piece, dx, sums| {
            let range = piece * block..piece * block + dx.len();
            let [dgamma, dbeta] = parts_mut(sums, [width, width]);
            let statistics = &statistics[2 * piece * ROWS..];
            backward(dx, &gradient[range.clone()], &values[range], &factors, statistics, dgamma, dbeta);
        });
        let [dgamma, dbeta] = sums.parts([width, width]).map(|part| tensor(part, &[width]));
        Ok((Some(tensor(dx, x.dims())?), Some(dgamma?), Some(dbeta?)))
    }
}
