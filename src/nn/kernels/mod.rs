//! What candle lacks for training on a CPU: convolutions whose gradients are matrix products, depthwise
//! convolution, fused batch norm, max pooling with a gradient, squeeze-and-excite, and the halves of a transformer's
//! block. Each is a candle custom op with its own `bwd`.
//!
//! Inside the kernels tensors are *channels last*: `(batch, height, width, channels)`, f32, contiguous. A 1x1
//! convolution is then one plain matrix product over all pixels, and everything else streams over channels, which
//! is what vector units like. Weights keep PyTorch's order `(out, in / groups, height, width)`.
//!
//! Convolutions have two [backends](backend): oneDNN where it is installed, and our own matrix products.
//!
//! A network that learns on a CPU passes [maps](Map) from layer to layer, whose gradients are worked out in place;
//! the ops on tensors are for whatever else is composed with candle.
//!
//! On any other device than the CPU the same functions are composed from candle's own ops ([`portable`]).
//!
//! Results do not depend on which thread did what: work is cut into pieces by shape and thread count alone, and
//! partial sums are added in the order of the pieces.

mod affine;
mod attention;
mod attention_block;
pub mod backend;
mod buffer;
pub mod conv;
pub(crate) mod curve;
mod dense;
mod depthwise;
mod folded;
mod geometry;
mod layer_norm;
mod learned;
mod linear;
mod map;
mod map_layers;
#[cfg(test)]
mod map_tests;
mod memory;
mod mlp_block;
#[cfg(test)]
mod naive_tests;
mod norm;
mod normalise;
mod onednn;
mod patch_embed;
mod patches;
pub mod pool;
pub mod portable;
#[cfg(test)]
mod precision_tests;
mod product;
mod proof;
#[cfg(test)]
mod reference_tests;
mod rounded;
mod rounding;
mod scoped;
mod simd;
#[cfg(test)]
mod smooth_tests;
mod squeeze;
mod statistics;
mod threads;
mod tokens;
#[cfg(test)]
mod transformer_tests;

pub use attention_block::AttentionBlock;
pub(crate) use buffer::Buffer;
pub use buffer::Workspace;
pub use conv::conv2d;
pub use curve::{Gate, activate};
pub use folded::Folded;
pub use geometry::{Geometry, Padding, Spec};
pub use layer_norm::layer_norm;
pub use learned::backward;
pub use linear::linear;
pub use map::Map;
pub use map_layers::{conv_norm, map_average, map_max_pool};
pub(crate) use memory::{Floats, laid_out, read};
pub use mlp_block::MlpBlock;
pub use norm::{BatchStatistics, Norm, batch_norm_eval, batch_norm_train};
pub use patch_embed::PatchEmbed;
pub(crate) use pool::MaxPool;
pub use pool::{global_average_pool, max_pool};
pub use proof::has_bf16;
pub use squeeze::{Gates, SqueezeExcite};
pub use threads::Threads;

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
