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

pub(crate) mod activation;
pub(crate) mod attention;
pub mod backend;
mod bf16;
mod buffer;
pub mod conv;
mod linear;
mod matmul;
mod memory;
#[cfg(test)]
mod naive_tests;
mod norm;
mod onednn;
pub mod portable;
#[cfg(test)]
mod precision_tests;
mod proof;
#[cfg(test)]
mod reference_tests;
mod rounding;
mod scoped;
mod simd;
#[cfg(test)]
mod smooth_tests;
mod tape;
#[cfg(test)]
mod tape_tests;
mod threads;
#[cfg(test)]
mod transformer_tests;

pub use activation::{Activation, Gate, activate};
pub use attention::block::AttentionBlock;
pub use attention::mlp::MlpBlock;
pub use attention::patch_embed::PatchEmbed;
pub(crate) use buffer::Buffer;
pub use buffer::Workspace;
pub use conv::conv2d;
pub use conv::folded::Folded;
pub use conv::geometry::{Geometry, Padding, Spec};
pub(crate) use conv::pool::MaxPool;
pub use conv::pool::{global_average_pool, max_pool};
pub use conv::squeeze::{Gates, SqueezeExcite};
pub use linear::linear;
pub(crate) use memory::{Floats, laid_out, read};
pub use norm::layer_norm::layer_norm;
pub use norm::{BatchStatistics, Norm, batch_norm_eval, batch_norm_train};
pub use proof::has_bf16;
pub use tape::Map;
pub use tape::backward::backward;
pub use tape::layers::{conv_norm, map_average, map_max_pool};
pub use threads::Threads;
