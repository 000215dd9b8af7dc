//! What a backbone is fed with, by modality.

use candle_core::{Device, Tensor};

use super::{Error, Result};

/// A batch of views.
#[derive(Debug, Clone)]
pub enum Input {
    /// Images `(B, 3, height, width)` in f32, normalised as the weights want them.
    Pixels(Tensor),
    /// Clips of videos `(B, 3, frames, height, width)` in f32, normalised; in memory channels last, as images lie.
    Clips(Tensor),
    /// Texts `(B, tokens, 2)` in u32: of each token its id and its type (0, or 1 in the second text of a pair; with [`WORD`] in it where
    /// words are answered about and one begins); behind the end of
    /// a text stands [`PADDING`], which is all the attention mask there is.
    Tokens(Tensor),
}

/// Marks the type of a token with which a word begins that is to be answered about.
pub const WORD: u32 = 1 << 31;

/// Behind the end of a sequence of token ids.
pub const PADDING: u32 = u32::MAX;

impl Input {
    /// The same on `device`.
    pub fn to_device(&self, device: &Device) -> Result<Input> {
        match self {
            Input::Pixels(pixels) => Ok(Input::Pixels(pixels.to_device(device)?)),
            Input::Clips(clips) => Ok(Input::Clips(clips.to_device(device)?)),
            Input::Tokens(tokens) => Ok(Input::Tokens(tokens.to_device(device)?)),
        }
    }

    /// Another batch of the same kind.
    pub fn with(&self, tensor: Tensor) -> Input {
        match self {
            Input::Pixels(_) => Input::Pixels(tensor),
            Input::Clips(_) => Input::Clips(tensor),
            Input::Tokens(_) => Input::Tokens(tensor),
        }
    }

    /// As a mirror shows it.
    pub fn mirrored(&self) -> Result<Input> {
        let pixels = self.channels_last("mirrored")?;
        let across = pixels.rank() - 2;
        let order: Vec<u32> = (0..pixels.dim(across)? as u32).rev().collect();
        let order = Tensor::new(order, pixels.device())?;
        self.channels_first(&pixels.contiguous()?.index_select(&order, across)?)
    }

    /// `share` of each item and the rest of its partner: the items in reverse.
    pub fn mixed(&self, share: f64) -> Result<Input> {
        // As they lie in memory, so that nothing is laid out anew.
        let pixels = self.channels_last("mixed")?;
        let mixed = ((&pixels * share)? + (reversed(&pixels)? * (1.0 - share))?)?;
        self.channels_first(&mixed)
    }

    /// Each item with a box of its partner in it, in clips through all frames: as large as `1 - share` of the area and around the middle given as shares of the
    /// sides, as far as it lies inside. Says what share of the area is left.
    pub fn patched(&self, share: f64, middle: (f64, f64)) -> Result<(Input, f64)> {
        let pixels = self.channels_last("patched")?;
        let (batch, height, width) = (pixels.dim(0)?, pixels.dim(pixels.rank() - 3)?, pixels.dim(pixels.rank() - 2)?);
        let span = |side: usize, middle: f64| {
            let half = (side as f64 * (1.0 - share).max(0.0).sqrt()) as usize / 2;
            let middle = (middle * side as f64) as usize;
            middle.saturating_sub(half)..(middle + half).min(side)
        };
        let (rows, columns) = (span(height, middle.0), span(width, middle.1));
        let mut mask = vec![0f32; height * width];
        for row in rows.clone() {
            mask[row * width..][columns.clone()].fill(1.0);
        }
        let mask = Tensor::from_vec(mask, (1, height, width, 1), pixels.device())?;
        let mask = if pixels.rank() == 5 { mask.unsqueeze(0)? } else { mask };
        let others = reversed(&pixels)?;
        let patched = (&pixels + (others - &pixels)?.broadcast_mul(&mask)?)?;
        let left = 1.0 - (rows.len() * columns.len()) as f64 / (height * width) as f64;
        Ok((self.channels_first(&patched)?, if batch == 0 { 1.0 } else { left }))
    }

    /// What the first stage takes.
    pub fn tensor(&self) -> &Tensor {
        match self {
            Input::Pixels(tensor) | Input::Clips(tensor) | Input::Tokens(tensor) => tensor,
        }
    }

    /// `(B, height, width, 3)`, of clips `(B, frames, height, width, 3)`.
    ///
    /// # Errors
    /// It is no batch of pictures, and only those can be changed so.
    fn channels_last(&self, how: &str) -> Result<Tensor> {
        match self {
            Input::Pixels(pixels) => Ok(pixels.permute((0, 2, 3, 1))?),
            Input::Clips(clips) => Ok(clips.permute((0, 2, 3, 4, 1))?),
            Input::Tokens(_) => Err(Error::Invalid(format!("texts cannot be {how}, only images can; leave that setting out"))),
        }
    }

    /// The way back.
    fn channels_first(&self, pixels: &Tensor) -> Result<Input> {
        Ok(match self {
            Input::Clips(_) => Input::Clips(pixels.permute((0, 4, 1, 2, 3))?),
            _ => Input::Pixels(pixels.permute((0, 3, 1, 2))?),
        })
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

/// The items in reverse.
fn reversed(items: &Tensor) -> Result<Tensor> {
    let order: Vec<u32> = (0..items.dim(0)? as u32).rev().collect();
    Ok(items.contiguous()?.index_select(&Tensor::new(order, items.device())?, 0)?)
}
