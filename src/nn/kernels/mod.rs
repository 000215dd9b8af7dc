//! What candle lacks for networks on a CPU: convolutions whose gradients are matrix products, depthwise convolution,
//! batch norm fused with what follows it, max pooling with a gradient, squeeze-and-excite, and the halves of a
//! transformer's block.
//!
//! `ops` decides which road a pass takes. A network that learns on a CPU passes nodes (`tape`) from layer to layer,
//! whose gradients are worked out in place; one that answers runs folded layers on slices. On any other device
//! the same layers are composed from candle's own ops (`portable`).
//!
//! Inside the kernels tensors are *channels last*: `(batch, height, width, channels)`, f32, contiguous. A 1x1
//! convolution is then one plain matrix product over all pixels, and everything else streams over channels, which
//! is what vector units like. Weights keep PyTorch's order `(out, in / groups, height, width)`.
//!
//! Convolutions have two [backends](backend): oneDNN where it is installed, and our own matrix products.
//!
//! Results do not depend on which thread did what: work is cut into pieces by shape and thread count alone, and
//! partial sums are added in the order of the pieces.

mod activation;
mod attention;
pub mod backend;
mod bf16;
mod buffer;
#[cfg(test)]
mod clips_tests;
pub mod conv;
mod dense;
#[cfg(test)]
mod dense_tests;
#[cfg(test)]
mod joins_tests;
mod linear;
mod maps;
#[cfg(test)]
mod maps_tests;
pub(crate) mod matmul;
mod memory;
#[cfg(test)]
mod naive_tests;
mod norm;
mod onednn;
pub(crate) mod ops;
pub(crate) mod portable;
#[cfg(test)]
mod precision_tests;
mod proof;
#[cfg(test)]
mod reference_tests;
mod rounding;
mod simd;
#[cfg(test)]
mod smooth_tests;
pub(crate) mod tape;
#[cfg(test)]
mod tape_tests;
mod threads;
#[cfg(test)]
mod transformer_tests;

pub(crate) use activation::add;
pub use activation::{Activation, Gate};
pub(crate) use attention::block::AttentionBlock;
pub(crate) use attention::mlp::MlpBlock;
pub(crate) use attention::packed::{Attention, Biases};
pub(crate) use attention::patch_embed::PatchEmbed;
pub(crate) use attention::rotary::Rotary;
pub(crate) use attention::window::{Masks, WindowAttention};
pub(crate) use buffer::Buffer;
pub use buffer::Workspace;
pub(crate) use conv::affine::{Affine, normalise};
pub(crate) use conv::average::AveragePool;
pub(crate) use conv::folded::Folded;
pub use conv::geometry::{Clip, Geometry, Padding, Spec};
pub(crate) use conv::join::Join;
pub(crate) use conv::pool::MaxPool;
pub(crate) use conv::resize::{Between, Resize, resized};
pub(crate) use conv::shift::Shift;
pub(crate) use conv::squeeze::{Gates, SqueezeExcite};
pub use conv::window::{Average, Window};
pub(crate) use maps::Maps;
pub(crate) use memory::{Floats, laid_out, read, tensor, with_scratch};
pub(crate) use norm::layer_norm::normalise as normalise_rows;
pub(crate) use norm::{BatchStatistics, Norm};
pub use proof::has_bf16;
pub use tape::backward::backward;
pub(crate) use tape::packed::gate;
pub(crate) use tape::reorder::Order;
pub(crate) use threads::Threads;
