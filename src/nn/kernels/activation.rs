//! Activations as curves: their values and slopes over whole slices, and the few transcendental functions they need,
//! written so that they vectorise (a call into the C library does not).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::memory::{floats, read, tensor};
use super::portable;
use super::simd::{clamp, vectorised};

/// Floats a thread takes at a time.
const CHUNK: usize = 32 * 1024;

/// What follows a normalisation. NaN stays NaN, so that a diverged run shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x` times the normal distribution's share below x; exact, not the tanh formula.
    Gelu,
}

impl Activation {
    /// Whether it bends values instead of holding them within bounds, so that its slope does not show in its output.
    pub(crate) fn is_smooth(self) -> bool {
        matches!(self, Activation::HardSwish | Activation::Silu | Activation::Gelu)
    }

    /// The range outside which the value is held and the gradient is zero.
    pub(crate) fn bounds(self) -> (f32, f32) {
        match self {
            // The bent ones are not held; `Activation::apply` follows where they are allowed.
            Activation::None | Activation::HardSwish | Activation::Silu | Activation::Gelu => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
        }
    }
}

/// `e^x` to within two units of the last place; beyond the range of f32 it stops at its ends (about 1e-38 and 1e38).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it rounds to whole numbers, which then stand in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first short enough for exact products.
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = clamp(x, -87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = x - whole * LN2.0 - whole * LN2.1;
    // Taylor, which on |r| <= ln 2 / 2 leaves 6e-9.
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + factor;
    }
    sum * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// The standard normal distribution at x: its cumulative value and its density.
///
/// The tail is the density times a polynomial in `1 / (1 + 0.3 |x|)` (the form of Abramowitz and Stegun 7.1.26),
/// fitted to a relative error of 1.5e-7.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    const FIT: [f32; 7] = [-0.157_203_85, 0.206_354_74, -0.053_684_693, 0.128_562_14, 0.099_913_35, 0.120_753_97, 0.119_629_3];
    // 1 / sqrt(2 pi).
    const PEAK: f32 = 0.398_942_3;
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.3 * x.abs());
    let mut sum = 0.035_674_967;
    for factor in FIT {
        sum = sum * t + factor;
    }
    let tail = bell * sum * t;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell * PEAK)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// A function of one number with a derivative.
pub(crate) trait Curve: Send + Sync {
    fn value(x: f32) -> f32;
    fn slope(x: f32) -> f32;
}

pub(crate) struct Straight;
pub(crate) struct Relu;
pub(crate) struct Relu6;
pub(crate) struct HardSwish;
pub(crate) struct Silu;
pub(crate) struct Gelu;
pub(crate) struct Sigmoid;
pub(crate) struct HardSigmoid;

macro_rules! curve {
    ($name:ident, $x:ident, $value:expr, $slope:expr) => {
        impl Curve for $name {
            #[inline(always)]
            fn value($x: f32) -> f32 {
                $value
            }

            #[inline(always)]
            fn slope($x: f32) -> f32 {
                $slope
            }
        }
    };
}

curve!(Straight, x, x, {
    let _ = x;
    1.0
});
curve!(Relu, x, clamp(x, 0.0, f32::INFINITY), if x > 0.0 { 1.0 } else { 0.0 });
curve!(Relu6, x, clamp(x, 0.0, 6.0), if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 });
curve!(HardSwish, x, x * clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0), {
    let middle = x * (1.0 / 3.0) + 0.5;
    let above = if x < 3.0 { middle } else { 1.0 };
    if x <= -3.0 { 0.0 } else { above }
});
curve!(Silu, x, x * sigmoid(x), {
    let gate = sigmoid(x);
    gate * (1.0 + x * (1.0 - gate))
});
curve!(Gelu, x, x * normal(x).0, {
    let (below, density) = normal(x);
    below + x * density
});
curve!(Sigmoid, x, sigmoid(x), {
    let gate = sigmoid(x);
    gate * (1.0 - gate)
});
curve!(HardSigmoid, x, clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0), if x > -3.0 && x < 3.0 { 1.0 / 6.0 } else { 0.0 });

/// Runs `$body` with `$curve` standing for the activation's curve.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $body:expr) => {
        match $activation {
            $crate::nn::kernels::activation::Activation::None => {
                type $curve = $crate::nn::kernels::activation::Straight;
                $body
            }
            $crate::nn::kernels::activation::Activation::Relu => {
                type $curve = $crate::nn::kernels::activation::Relu;
                $body
            }
            $crate::nn::kernels::activation::Activation::Relu6 => {
                type $curve = $crate::nn::kernels::activation::Relu6;
                $body
            }
            $crate::nn::kernels::activation::Activation::HardSwish => {
                type $curve = $crate::nn::kernels::activation::HardSwish;
                $body
            }
            $crate::nn::kernels::activation::Activation::Silu => {
                type $curve = $crate::nn::kernels::activation::Silu;
                $body
            }
            $crate::nn::kernels::activation::Activation::Gelu => {
                type $curve = $crate::nn::kernels::activation::Gelu;
                $body
            }
        }
    };
}
pub(crate) use with_curve;

/// What opens and shuts the channels of a squeeze-and-excite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
}

impl Gate {
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Gate::Sigmoid => bend::<Sigmoid>(values),
            Gate::HardSigmoid => bend::<HardSigmoid>(values),
        }
    }

    pub(crate) fn pull_back(self, gradient: &mut [f32], before: &[f32]) {
        match self {
            Gate::Sigmoid => chain::<Sigmoid>(gradient, before),
            Gate::HardSigmoid => chain::<HardSigmoid>(gradient, before),
        }
    }
}

impl Activation {
    /// `values = activation(values)`.
    pub(crate) fn apply(self, values: &mut [f32]) {
        if self != Activation::None {
            with_curve!(self, C => bend::<C>(values));
        }
    }

    /// `gradient *= slope(before)`, where `before` went into the activation.
    pub(crate) fn pull_back(self, gradient: &mut [f32], before: &[f32]) {
        if self != Activation::None {
            with_curve!(self, C => chain::<C>(gradient, before));
        }
    }
}

fn bend<C: Curve>(values: &mut [f32]) {
    vectorised!(values.iter_mut().for_each(|value| *value = C::value(*value)));
}

fn chain<C: Curve>(gradient: &mut [f32], before: &[f32]) {
    vectorised!(gradient.iter_mut().zip(before).for_each(|(gradient, &x)| *gradient *= C::slope(x)));
}

/// `activation(x)` for a tensor of any shape, with a gradient.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if portable::is_for(x) {
        return portable::activate(x, activation);
    }
    x.contiguous()?.apply_op1(Activate(activation))
}

struct Activate(Activation);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = floats(x, xl)?.to_vec();
        y.par_chunks_mut(CHUNK).for_each(|values| self.0.apply(values));
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (x, dy) = (read(x)?, dy.contiguous()?);
        let mut dx = read(&dy)?.to_vec();
        dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(gradient, x)| self.0.pull_back(gradient, x));
        Ok(Some(tensor(dx, dy.dims())?))
    }
}
