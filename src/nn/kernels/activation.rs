//! Activations: their values and slopes over whole slices, and the few transcendental functions they need,
//! written so that they vectorise (a call into the C library does not).

use super::simd::{clamp, vectorised};

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
    /// The same by a logistic function, `x / (1 + e^(-1.702 x))`, as OpenAI's towers have it.
    QuickGelu,
    /// The same by the tanh formula (Hendrycks and Gimpel 2016): `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
}

impl Activation {
    /// Whether it is more than a clamp, so that its slope does not show in its output.
    pub(crate) fn is_smooth(self) -> bool {
        matches!(self, Activation::HardSwish | Activation::Silu | Activation::Gelu | Activation::QuickGelu | Activation::GeluTanh)
    }

    /// The range to which values are clamped, outside which the gradient is zero.
    pub(crate) fn bounds(self) -> (f32, f32) {
        match self {
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            // The smooth ones clamp nothing.
            _ => (f32::NEG_INFINITY, f32::INFINITY),
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
pub(crate) trait Function: Send + Sync {
    fn value(x: f32) -> f32;
    fn slope(x: f32) -> f32;
}

/// Of [`Activation::QuickGelu`], and of [`Activation::GeluTanh`] twice the root of 2 / pi, and what the cube counts.
const QUICK: f32 = 1.702;
const TANH: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

pub(crate) struct Straight;
pub(crate) struct Relu;
pub(crate) struct Relu6;
pub(crate) struct HardSwish;
pub(crate) struct Silu;
pub(crate) struct Gelu;
pub(crate) struct QuickGelu;
pub(crate) struct GeluTanh;
pub(crate) struct Sigmoid;
pub(crate) struct HardSigmoid;

macro_rules! function {
    ($name:ident, $x:ident, $value:expr, $slope:expr) => {
        impl Function for $name {
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

function!(Straight, x, x, {
    let _ = x;
    1.0
});
function!(Relu, x, clamp(x, 0.0, f32::INFINITY), if x > 0.0 { 1.0 } else { 0.0 });
function!(Relu6, x, clamp(x, 0.0, 6.0), if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 });
function!(HardSwish, x, x * clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0), {
    let middle = x * (1.0 / 3.0) + 0.5;
    let above = if x < 3.0 { middle } else { 1.0 };
    if x <= -3.0 { 0.0 } else { above }
});
function!(Silu, x, x * sigmoid(x), {
    let gate = sigmoid(x);
    gate * (1.0 + x * (1.0 - gate))
});
function!(Gelu, x, x * normal(x).0, {
    let (below, density) = normal(x);
    below + x * density
});
function!(QuickGelu, x, x * sigmoid(QUICK * x), {
    let gate = sigmoid(QUICK * x);
    gate * (1.0 + QUICK * x * (1.0 - gate))
});
// (1 + tanh(z)) / 2 is the logistic function of 2 z.
function!(GeluTanh, x, x * sigmoid(TANH * x * (1.0 + CUBIC * x * x)), {
    let gate = sigmoid(TANH * x * (1.0 + CUBIC * x * x));
    gate * (1.0 + TANH * x * (1.0 + 3.0 * CUBIC * x * x) * (1.0 - gate))
});
function!(Sigmoid, x, sigmoid(x), {
    let gate = sigmoid(x);
    gate * (1.0 - gate)
});
function!(HardSigmoid, x, clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0), if x > -3.0 && x < 3.0 { 1.0 / 6.0 } else { 0.0 });

/// Runs `$body` with `$function` standing for the activation's function.
macro_rules! with_function {
    ($activation:expr, $function:ident => $body:expr) => {
        match $activation {
            $crate::nn::kernels::activation::Activation::None => {
                type $function = $crate::nn::kernels::activation::Straight;
                $body
            }
            $crate::nn::kernels::activation::Activation::Relu => {
                type $function = $crate::nn::kernels::activation::Relu;
                $body
            }
            $crate::nn::kernels::activation::Activation::Relu6 => {
                type $function = $crate::nn::kernels::activation::Relu6;
                $body
            }
            $crate::nn::kernels::activation::Activation::HardSwish => {
                type $function = $crate::nn::kernels::activation::HardSwish;
                $body
            }
            $crate::nn::kernels::activation::Activation::Silu => {
                type $function = $crate::nn::kernels::activation::Silu;
                $body
            }
            $crate::nn::kernels::activation::Activation::Gelu => {
                type $function = $crate::nn::kernels::activation::Gelu;
                $body
            }
            $crate::nn::kernels::activation::Activation::QuickGelu => {
                type $function = $crate::nn::kernels::activation::QuickGelu;
                $body
            }
            $crate::nn::kernels::activation::Activation::GeluTanh => {
                type $function = $crate::nn::kernels::activation::GeluTanh;
                $body
            }
        }
    };
}
pub(crate) use with_function;

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
            Gate::Sigmoid => apply_value::<Sigmoid>(values),
            Gate::HardSigmoid => apply_value::<HardSigmoid>(values),
        }
    }

    pub(crate) fn backward(self, gradient: &mut [f32], before: &[f32]) {
        match self {
            Gate::Sigmoid => apply_slope::<Sigmoid>(gradient, before),
            Gate::HardSigmoid => apply_slope::<HardSigmoid>(gradient, before),
        }
    }
}

impl Activation {
    /// `values = activation(values)`.
    pub(crate) fn apply(self, values: &mut [f32]) {
        if self != Activation::None {
            with_function!(self, F => apply_value::<F>(values));
        }
    }

    /// `gradient *= slope(before)`, where `before` went into the activation.
    pub(crate) fn backward(self, gradient: &mut [f32], before: &[f32]) {
        if self != Activation::None {
            with_function!(self, F => apply_slope::<F>(gradient, before));
        }
    }
}

/// `values = activation(values + others)`.
pub(crate) fn add(values: &mut [f32], others: &[f32], activation: Activation) {
    with_function!(activation, F => add_value::<F>(values, others));
}

fn add_value<F: Function>(values: &mut [f32], others: &[f32]) {
    vectorised!(values.iter_mut().zip(others).for_each(|(value, other)| *value = F::value(*value + other)));
}

fn apply_value<F: Function>(values: &mut [f32]) {
    vectorised!(values.iter_mut().for_each(|value| *value = F::value(*value)));
}

fn apply_slope<F: Function>(gradient: &mut [f32], before: &[f32]) {
    vectorised!(gradient.iter_mut().zip(before).for_each(|(gradient, &x)| *gradient *= F::slope(x)));
}
