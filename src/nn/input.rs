//! What a backbone is fed with, by modality.

use candle_core::{Device, Tensor};

use super::Result;

/// A batch of views.
#[derive(Debug, Clone)]
pub enum Input {
    /// Images `(B, 3, height, width)` in f32, normalised as the weights want them.
    Pixels(Tensor),
}

impl Input {
    /// The same on `device`.
    pub fn to_device(&self, device: &Device) -> Result<Input> {
        match self {
            Input::Pixels(pixels) => Ok(Input::Pixels(pixels.to_device(device)?)),
        }
    }

    /// What the first stage takes.
    pub fn tensor(&self) -> &Tensor {
        match self {
            Input::Pixels(pixels) => pixels,
        }
    }
}

/// A bare tensor is pixels.
impl From<&Tensor> for Input {
    fn from(pixels: &Tensor) -> Input {
        Input::Pixels(pixels.clone())
    }
}

impl From<&Input> for Input {
    fn from(input: &Input) -> Input {
        input.clone()
    }
}
