//! The kernels composed from candle's own ops: the road of every device that is not the CPU. The same functions, the
//! same gradients and, but for the order of sums, the same numbers; they run on a CPU too, which is how the tests
//! prove them where there is no other device. On an NVIDIA GPU a few steps of it are kernels of our own (`cuda`).

mod activation;
mod average;
mod biased;
mod blocks;
mod convolution;
#[cfg(feature = "cuda")]
mod cuda;
mod dense;
mod matmul;
mod norm;
mod op;
mod pool;
mod response;
mod shift;
mod sums;
mod windows;

pub(crate) use activation::activate;
pub(crate) use average::average_pool;
pub(crate) use biased::conv_bias;
pub(crate) use blocks::{attention_block, linear, mlp_block, patch_embed, reorder, rows, squeeze_excite, window_attention};
pub(crate) use convolution::conv2d;
#[cfg(test)]
pub(crate) use convolution::conv2d_in_parts;
pub(crate) use dense::{dilated, resize};
pub(crate) use norm::{batch_norm_eval, batch_norm_train, layer_norm};
pub(crate) use pool::max_pool;
pub(crate) use response::response_norm;
pub(crate) use shift::shift;
pub(crate) use sums::{global_average_pool, scale_channels};
