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

/// Images `(B, C, H, W)` as `(B, H, W, C)`, or clips `(B, C, T, H, W)` as the maps of all their frames `(B * T, H, W, C)`, and T. No copy
/// where clips lie in memory channels last.
pub(super) fn frames_last(x: &Tensor, clips: bool) -> Result<(Tensor, usize)> {
    if !clips {
        return Ok((channels_last(x)?, 1));
    }
    let Ok((batch, channels, frames, height, width)) = x.dims5() else {
        return Err(Error::Invalid(format!("a batch of clips has the shape (batch, channels, frames, height, width), not {:?}", x.dims())));
    };
    let maps = x.permute(vec![0, 2, 3, 4, 1])?.reshape((batch * frames, height, width, channels))?;
    Ok((maps, frames))
}

/// The way back from [`frames_last`]; no copy.
pub(super) fn frames_first(maps: &Tensor, frames: usize, clips: bool) -> Result<Tensor> {
    if !clips {
        return channels_first(maps);
    }
    let (all, height, width, channels) = maps.dims4()?;
    Ok(maps.reshape((all / frames.max(1), frames, height, width, channels))?.permute(vec![0, 4, 1, 2, 3])?)
}

/// The maps of all frames as one tall map for each clip, for what is done to all pixels of one: the same memory.
pub(super) fn tall([maps, height, width, channels]: [usize; 4], frames: usize) -> [usize; 4] {
    [maps / frames.max(1), frames * height, width, channels]
}

/// `(B, H, W, C)` seen as `(B, C, H, W)`; no copy.
pub(super) fn channels_first(x: &Tensor) -> Result<Tensor> {
    Ok(x.permute((0, 3, 1, 2))?)
}
