//! Between stages maps have the shape that PyTorch gives them, inside they are seen with the channels last.

use candle_core::Tensor;

use crate::nn::error::{Error, Result};

/// `(B, C, H, W)` seen as `(B, H, W, C)`; no copy.
pub(super) fn channels_last(x: &Tensor) -> Result<Tensor> {
    if x.rank() != 4 {
        return Err(Error::Invalid(format!("a batch of images has the shape (batch, channels, height, width), not {:?}", x.dims())));
    }
    Ok(x.permute((0, 2, 3, 1))?)
}

/// `(B, H, W, C)` seen as `(B, C, H, W)`; no copy.
pub(super) fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 3, 1, 2))?)
}
