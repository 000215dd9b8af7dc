//! Batch and layer norm with their gradients written out.

use candle_core::{D, Result, Tensor};

use super::activation::value_and_slope;
use super::op::op;
use super::sums::{scale_columns, sum_products, sum_rows};
use crate::nn::kernels::norm::BatchStatistics;
use crate::nn::kernels::norm::Norm;

/// `activation(gamma * (x - mean) / sqrt(variance + eps) + beta + residual)` with the mean and variance of this
/// batch, over `x (B, H, W, C)`. Gradients flow to x, gamma, beta and the residual.
///
/// Errors when the batch has a single value per channel, which has no variance.
pub fn batch_norm_train(x: &Tensor, norm: &Norm<'_>, residual: Option<&Tensor>) -> Result<(Tensor, BatchStatistics)> {
    let channels = x.dim(3)?;
    norm.check(channels)?;
    let rows = x.elem_count() / channels.max(1);
    Norm::check_count(rows)?;
    let values = x.detach().contiguous()?.reshape((rows, channels))?;
    let mean = (sum_rows(&values)? / rows as f64)?;
    let centred = scale_columns(&values, None, None, &mean.neg()?)?;
    let variance = (sum_products(&centred, &centred)? / rows as f64)?;
    let unbiased_variance = (&variance * (rows as f64 / (rows as f64 - 1.0)))?;
    let y = normalised(x, centred, &variance, norm, true, residual)?;
    Ok((y, BatchStatistics { mean, unbiased_variance }))
}

/// The same with given statistics, which are constants. Gradients flow to x, gamma, beta and the residual.
pub fn batch_norm_eval(x: &Tensor, norm: &Norm<'_>, mean: &Tensor, variance: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    let channels = x.dim(3)?;
    norm.check(channels)?;
    let values = x.detach().contiguous()?.reshape((x.elem_count() / channels, channels))?;
    let centred = scale_columns(&values, None, None, &mean.detach().neg()?)?;
    normalised(x, centred, &variance.detach(), norm, false, residual)
}

/// `activation(centred / sqrt(variance + eps) * gamma + beta + residual)` as a function of x, gamma, beta and the
/// residual; `from_batch` when the statistics are those of x.
fn normalised(
    x: &Tensor,
    centred: Tensor,
    variance: &Tensor,
    norm: &Norm<'_>,
    from_batch: bool,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let inverse = (variance + norm.eps)?.sqrt()?.recip()?;
    let gain = Tensor::cat(&[norm.gamma, norm.beta], 0)?;
    let tracked = x.track_op() || gain.track_op() || residual.is_some_and(Tensor::track_op);
    let shape = x.dims().to_vec();
    let scale = (norm.gamma.detach() * &inverse)?;
    let more = residual.map(|residual| residual.detach().contiguous()?.reshape(centred.shape())).transpose()?;
    let before = scale_columns(&centred, Some(&scale), more.as_ref().map(|more| (more, None)), &norm.beta.detach())?;
    let (y, slope) = value_and_slope(&before, norm.activation, tracked)?;
    drop(before);
    let (wants_x, has_residual) = (x.track_op(), residual.is_some());
    let back = move |dy: &Tensor| {
        let dy = dy.reshape(centred.shape())?;
        let dy = match &slope {
            Some(slope) => (dy * slope)?,
            None => dy,
        };
        let (dbeta, dgamma) = (sum_rows(&dy)?, (sum_products(&dy, &centred)? * &inverse)?);
        let dx = match (wants_x, from_batch) {
            (false, _) => None,
            (true, false) => Some(dy.broadcast_mul(&scale)?.reshape(&shape[..])?),
            (true, true) => {
                let share = 1.0 / centred.dim(0)? as f64;
                // scale * (dy - what dy has in common with the mean and with x)
                let along = (((&dgamma * &inverse)? * &scale)? * -share)?;
                let shift = ((&dbeta * &scale)? * -share)?;
                Some(scale_columns(&dy, Some(&scale), Some((&centred, Some(&along))), &shift)?.reshape(&shape[..])?)
            }
        };
        let mut gradients = vec![dx, Some(Tensor::cat(&[dgamma, dbeta], 0)?)];
        if has_residual {
            gradients.push(Some(dy.reshape(&shape[..])?));
        }
        Ok(gradients)
    };
    let y = y.reshape(x.shape())?;
    match residual {
        None => op("batch-norm", &[&x, &gain], y, back),
        Some(residual) => op("batch-norm", &[&x, &gain, &residual.contiguous()?], y, back),
    }
}

/// See [`crate::nn::kernels::ops::Road::layer_norm`].
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (width, shape) = (x.dim(D::Minus1)?, x.dims().to_vec());
    let values = x.detach().reshape((x.elem_count() / width, width))?;
    let centred = values.broadcast_sub(&values.mean_keepdim(1)?)?;
    let inverse = (centred.sqr()?.mean_keepdim(1)? + eps)?.sqrt()?.recip()?;
    let normal = centred.broadcast_mul(&inverse)?;
    let factors = gamma.detach();
    let y = normal.broadcast_mul(&factors)?.broadcast_add(&beta.detach())?.reshape(x.shape())?;
    op("layer-norm", &[&x, gamma, beta], y, move |dy| {
        let dy = dy.reshape(normal.shape())?;
        let products = (&dy * &normal)?;
        let (dgamma, dbeta) = (sum_rows(&products)?, sum_rows(&dy)?);
        let scaled = dy.broadcast_mul(&factors)?;
        let along = normal.broadcast_mul(&products.broadcast_mul(&factors)?.mean_keepdim(1)?)?;
        let dx = (scaled.broadcast_sub(&scaled.mean_keepdim(1)?)? - along)?.broadcast_mul(&inverse)?;
        Ok(vec![Some(dx.reshape(&shape[..])?), Some(dgamma), Some(dbeta)])
    })
}
