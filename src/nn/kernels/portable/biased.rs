//! Convolution with a bias.

use candle_core::{Result, Tensor};

use super::activation::activate;
use super::convolution::conv2d;
use super::sums::add_row;
use crate::domain::recipe::Precision;
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::conv::geometry::Spec;

/// `activation(conv2d(x, weight) + bias) + residual` over `x (B, H, W, C)`. Gradients flow to all of them.
pub fn conv_bias(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    spec: &Spec,
    activation: Activation,
    residual: Option<&Tensor>,
    precision: Precision,
) -> Result<Tensor> {
    let y = conv2d(x, weight, spec, precision)?;
    let (shape, channels) = (y.dims4()?, bias.elem_count());
    let rows = add_row(&y.reshape((y.elem_count() / channels, channels))?, bias)?;
    let y = activate(&rows, activation)?.reshape(shape)?;
    match residual {
        Some(residual) => y + residual,
        None => Ok(y),
    }
}
