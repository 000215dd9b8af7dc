//! The kernels composed from candle's own ops: the road of every device that is not the CPU. The same functions, the
//! same gradients and, but for the order of sums, the same numbers; they run on a CPU too, which is how the tests
//! prove them where there is no other device. On an NVIDIA card a few steps of it are kernels of our own (`cuda`).

mod activation;
mod blocks;
mod convolution;
#[cfg(feature = "cuda")]
mod cuda;
mod matmul;
mod norm;
mod op;
mod pool;
mod sums;
mod windows;

use std::cell::Cell;

use candle_core::Tensor;

use super::scoped::scoped;

pub use activation::activate;
pub use blocks::{attention_block, linear, mlp_block, patch_embed, squeeze_excite};
pub use convolution::{conv2d, conv2d_in_parts};
pub use matmul::at;
pub use norm::{batch_norm_eval, batch_norm_train, layer_norm};
pub use pool::max_pool;
pub use sums::global_average_pool;

/// Whether ops on `x` take this road: the one switch by device.
pub(crate) fn is_for(x: &Tensor) -> bool {
    !x.device().is_cpu() || FORCED.get()
}

thread_local! {
    static FORCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` on this road whatever the device: to compare the two. What `body` leaves in a graph stays on it.
pub fn forced<R>(body: impl FnOnce() -> R) -> R {
    scoped(&FORCED, true, body)
}
