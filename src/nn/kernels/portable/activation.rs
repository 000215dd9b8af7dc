//! Activations: the value and, for the gradient, the slope. Masks are made of signs, because comparing with a number
//! costs candle a tensor of that number; and values are multiplied by them, so that NaN stays NaN.

use candle_core::{Result, Tensor};

use super::op::op;
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::activation::Gate;

/// As in `kernels::activation`.
const QUICK: f64 = 1.702;
const TANH: f64 = 1.595_769_121_605_731;
const CUBIC: f64 = 0.044_715;

/// `activation(x)` for a tensor of any shape, with a gradient.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::None {
        return Ok(x.clone());
    }
    let (y, slope) = value_and_slope(&x.contiguous()?.detach(), activation, x.track_op())?;
    op("activation", &[x], y, move |dy| Ok(vec![slope.as_ref().map(|slope| dy * slope).transpose()?]))
}

/// The activation of constants and its slope, if that is wanted and not 1 everywhere.
pub(super) fn value_and_slope(x: &Tensor, activation: Activation, wants_slope: bool) -> Result<(Tensor, Option<Tensor>)> {
    let slope = |slope: &dyn Fn() -> Result<Tensor>| wants_slope.then(slope).transpose();
    match activation {
        Activation::None => Ok((x.clone(), None)),
        Activation::Relu => {
            let positive = positive(x)?;
            Ok(((x * &positive)?, Some(positive)))
        }
        Activation::Relu6 => {
            let below = positive(&(6.0 - x)?)?;
            let inside = (positive(x)? * &below)?;
            Ok((((x * &inside)? + (6.0 - (below * 6.0)?)?)?, Some(inside)))
        }
        Activation::HardSwish => {
            let (above, below) = (positive(&(x + 3.0)?)?, positive(&(3.0 - x)?)?);
            let middle = ((x / 3.0)? + 0.5)?;
            // 1 above 3, 0 below -3, and x / 6 + 1 / 2 (for the value) or x / 3 + 1 / 2 (for the slope) between.
            let pick = |middle: Tensor| &above * ((&below * (middle - 1.0)?)? + 1.0)?;
            let value = (x * pick(((x / 6.0)? + 0.5)?)?)?;
            Ok((value, slope(&|| pick(middle.clone()))?))
        }
        Activation::Silu => {
            let gate = sigmoid(x)?;
            // gate * (1 + x * (1 - gate))
            Ok(((x * &gate)?, slope(&|| &gate * ((x * (1.0 - &gate)?)? + 1.0)?)?))
        }
        Activation::Gelu => {
            let below = (((x / std::f64::consts::SQRT_2)?.erf()? + 1.0)? * 0.5)?;
            let density = || -> Result<Tensor> { ((x.sqr()? * -0.5)?.exp()? * (1.0 / (2.0 * std::f64::consts::PI).sqrt()))? * x };
            Ok(((x * &below)?, slope(&|| &below + density()?)?))
        }
        Activation::QuickGelu => {
            let gate = sigmoid(&(x * QUICK)?)?;
            // gate * (1 + q x * (1 - gate))
            Ok(((x * &gate)?, slope(&|| &gate * (((x * QUICK)? * (1.0 - &gate)?)? + 1.0)?)?))
        }
        Activation::GeluTanh => {
            let gate = sigmoid(&((x * ((x.sqr()? * CUBIC)? + 1.0)?)? * TANH)?)?;
            // gate * (1 + t x * (1 + 3 c x^2) * (1 - gate))
            let inner = || -> Result<Tensor> { (x * ((x.sqr()? * (3.0 * CUBIC))? + 1.0)?)? * TANH };
            Ok(((x * &gate)?, slope(&|| &gate * ((inner()? * (1.0 - &gate)?)? + 1.0)?)?))
        }
    }
}

/// 1 above zero, else 0.
fn positive(x: &Tensor) -> Result<Tensor> {
    x.relu()?.sign()
}

/// `1 / (1 + e^-x)` of constants.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// A gate, with a gradient.
pub(super) fn gate(x: &Tensor, gate: Gate) -> Result<Tensor> {
    let values = x.contiguous()?.detach();
    let (y, slope) = match gate {
        Gate::Sigmoid => {
            let y = sigmoid(&values)?;
            let slope = (&y * (1.0 - &y)?)?;
            (y, slope)
        }
        Gate::HardSigmoid => {
            let (above, below) = (positive(&(&values + 3.0)?)?, positive(&(3.0 - &values)?)?);
            let middle = ((&values / 6.0)? - 0.5)?;
            ((&above * ((&below * middle)? + 1.0)?)?, ((above * below)? / 6.0)?)
        }
    };
    op("gate", &[x], y, move |dy| Ok(vec![Some((dy * &slope)?)]))
}
