//! Attention within windows (Liu et al. 2021): the first half of a block over each window's tokens, with a learned bias for each pair of
//! places added to the scores, and in windows that hold what does not lie together a mask over pairs that must not see each other.

use candle_core::{Result, Tensor, bail};
use tracing::trace_span;

use super::Offsets;
use super::block::{AttentionBlock, Saved, Weights};
use super::tokens::{Parameters, Values};
use crate::domain::recipe::Precision;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::tape::Node;

/// The half of a block, over windows `(B * W, T, D)`, the W of an image one after the other.
#[derive(Clone, Copy)]
pub struct WindowAttention<'a> {
    pub block: AttentionBlock<'a>,
    /// `(heads, T, T)`.
    pub bias: &'a Tensor,
    pub masks: &'a std::sync::Arc<Masks>,
}

/// What is added to the scores of an image's windows.
#[derive(Debug, Clone, Default)]
pub struct Masks {
    /// Masks `(T, T)` that differ.
    kinds: Vec<Vec<f32>>,
    /// Of each window of an image, which; none where none is needed.
    of_window: Vec<Option<usize>>,
}

impl Masks {
    /// From that of each window of an image, one after the other.
    pub fn new(windows: impl IntoIterator<Item = Vec<f32>>) -> Masks {
        let mut masks = Masks::default();
        for mask in windows {
            let kind = if mask.iter().all(|value| *value == 0.0) {
                None
            } else if let Some(known) = masks.kinds.iter().position(|kind| *kind == mask) {
                Some(known)
            } else {
                masks.kinds.push(mask);
                Some(masks.kinds.len() - 1)
            };
            masks.of_window.push(kind);
        }
        masks
    }

    fn of(&self, window: usize) -> Option<&[f32]> {
        let kind = self.of_window.get(window % self.of_window.len().max(1)).copied().flatten()?;
        self.kinds.get(kind).map(Vec::as_slice)
    }

    /// Whether there is nothing to add.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// All of an image's, `(W, T, T)`, one after the other.
    pub(crate) fn values(&self, length: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.of_window.len() * length);
        for window in 0..self.of_window.len() {
            match self.of(window) {
                Some(mask) => values.extend_from_slice(mask),
                None => values.resize(values.len() + length, 0.0),
            }
        }
        values
    }

    /// Windows of an image.
    pub(crate) fn windows(&self) -> usize {
        self.of_window.len()
    }
}

/// The values of what is added to scores.
pub(super) struct Biased<'a> {
    pub bias: &'a [f32],
    masks: &'a Masks,
}

impl Biased<'_> {
    /// Of one of the windows of a batch.
    pub fn of(&self, window: usize) -> Offsets<'_> {
        Offsets { bias: self.bias, mask: self.masks.of(window) }
    }
}

impl WindowAttention<'_> {
    /// Windows `(B * W, T, 1, D)` to the same shape. Gradients flow to x, every parameter and the bias. The two linear layers multiply in
    /// the node's arithmetic. Errors when shapes do not fit.
    pub fn forward(&self, x: &Node) -> Result<Node> {
        let _span = trace_span!("window attention").entered();
        let [windows, tokens, _, width] = x.shape;
        self.check([windows, tokens, width])?;
        let block = self.block.block(x.shape, tokens)?;
        let none = Tensor::zeros(1, self.bias.dtype(), self.bias.device())?;
        let pairs = [self.block.projection, self.block.qkv, self.block.norm, (self.bias, &none)];
        let (arithmetic, masks) = (x.arithmetic, self.masks.clone());
        let forward = |x: &[f32], values: &Values<'_, 4>, keep: bool| {
            let [projection, qkv, norm, [bias, _]] = values;
            let (weights, biased) = (Weights::of([projection, qkv, norm]), Biased { bias, masks: &masks });
            match arithmetic.precision {
                Precision::F32 => Ok(block.forward(x, &weights, Some(&biased), keep)),
                Precision::Bf16 => block.forward_bf16(x, &weights, Some(&biased), arithmetic).map(|(y, saved)| (y, Some(saved))),
            }
        };
        let masks = self.masks.clone();
        let backward = move |x: &[f32], values: &Values<'_, 4>, dy: Buffer, saved: &Saved| {
            let _span = trace_span!("window attention gradient").entered();
            let [projection, qkv, norm, [bias, _]] = values;
            let (weights, biased) = (Weights::of([projection, qkv, norm]), Biased { bias, masks: &masks });
            let (dx, [projection, qkv, norm], dscores) = match arithmetic.precision {
                Precision::F32 => block.backward(x, &weights, Some(&biased), dy, saved),
                Precision::Bf16 => block.backward_bf16(x, &weights, Some(&biased), dy, saved, arithmetic)?,
            };
            Ok((dx, [projection, qkv, norm, [dscores, Vec::new()]]))
        };
        Parameters::new(pairs).learn(x, x.shape, forward, backward)
    }

    /// Errors when shapes do not fit.
    pub(crate) fn check(&self, [windows, tokens, width]: [usize; 3]) -> Result<()> {
        self.block.check([windows, tokens, width], tokens)?;
        let masks = self.masks;
        let masked = masks.kinds.iter().all(|mask| mask.len() == tokens * tokens) && windows.is_multiple_of(masks.windows().max(1));
        if self.bias.dims() != [self.block.heads, tokens, tokens] || !masked {
            bail!(
                "a bias of {:?} and masks of {} windows do not fit {windows} windows of {tokens} tokens",
                self.bias.dims(),
                masks.windows()
            )
        }
        Ok(())
    }
}
