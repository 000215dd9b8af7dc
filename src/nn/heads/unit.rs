//! Features as they are compared: of length one.

use candle_core::Tensor;

use crate::nn::error::Result;

/// Keeps features of no length from being divided by it.
const LEAST: f64 = 1e-12;

/// `(B, num_features)` to the same of length one.
pub(super) fn forward(x: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_div(&(x.sqr()?.sum_keepdim(1)? + LEAST)?.sqrt()?)?)
}
