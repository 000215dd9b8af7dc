//! Temporal shift as maps that are moved along the frames of their clip.

use candle_core::{Result, Tensor};

use crate::nn::kernels::conv::shift::{PARTS, Shift};

/// In maps `(B, H, W, C)` of all frames of clips of so many frames, an eighth of the channels from the frame after, an eighth from the one
/// before. The gradient flows to x.
pub fn shift(x: &Tensor, frames: usize) -> Result<Tensor> {
    Shift::new(x.dims(), frames)?;
    let (maps, height, width, channels) = x.dims4()?;
    let (part, pixels) = (channels / PARTS, height * width);
    if part == 0 {
        return Ok(x.clone());
    }
    let clips = x.contiguous()?.reshape((maps / frames, frames, pixels, channels))?;
    let rest = clips.narrow(3, 2 * part, channels - 2 * part)?;
    if frames == 1 {
        let none = Tensor::zeros((maps, 1, pixels, 2 * part), x.dtype(), x.device())?;
        return Tensor::cat(&[none, rest], 3)?.reshape((maps, height, width, channels));
    }
    let after = clips.narrow(3, 0, part)?.narrow(1, 1, frames - 1)?.pad_with_zeros(1, 0, 1)?;
    let before = clips.narrow(3, part, part)?.narrow(1, 0, frames - 1)?.pad_with_zeros(1, 1, 0)?;
    Tensor::cat(&[after, before, rest], 3)?.reshape((maps, height, width, channels))
}
