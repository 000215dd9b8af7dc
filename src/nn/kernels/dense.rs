//! What heads over maps do with [`Maps`], on whichever road the pass takes.

use candle_core::{D, Result, Tensor, bail};

use super::activation::Activation;
use super::conv::geometry::Spec;
use super::conv::resize::Between;
use super::maps::Maps;
use super::norm::{BatchStatistics, Norm};
use super::portable;
use super::tape::{self, dense, joins, layers};

/// A mean and a variance for each channel by which a norm is to normalise; those of the batch where there are none.
pub(crate) type Fixed<'a> = Option<(&'a Tensor, &'a Tensor)>;

impl Maps {
    /// `activation(norm(conv2d(x, weight)))`, with the statistics of this batch, which are answered. Gradients flow to x, weight, scale and
    /// shift. Errors when shapes do not fit, or a channel has a single value.
    pub fn conv_norm(&self, weight: &Tensor, spec: &Spec, norm: &Norm<'_>, fixed: Fixed<'_>) -> Result<(Maps, Option<BatchStatistics>)> {
        Ok(match self {
            Maps::Tape(node) => {
                let (node, batch) = layers::conv_norm(node, weight, spec, norm, None, fixed)?;
                (Maps::Tape(node), batch)
            }
            Maps::Portable(x, precision) => {
                let y = portable::conv2d(x, weight, spec, *precision)?;
                Maps::Portable(y, *precision).norm(norm, fixed)?
            }
        })
    }

    /// `activation(norm(x))`, likewise.
    pub fn norm(&self, norm: &Norm<'_>, fixed: Fixed<'_>) -> Result<(Maps, Option<BatchStatistics>)> {
        Ok(match (self, fixed) {
            (Maps::Tape(node), fixed) => {
                let (node, batch) = tape::norm::batch_norm(node, norm, fixed)?;
                (Maps::Tape(node), batch)
            }
            (Maps::Portable(x, precision), Some((mean, variance))) => {
                (Maps::Portable(portable::batch_norm_eval(x, norm, mean, variance, None)?, *precision), None)
            }
            (Maps::Portable(x, precision), None) => {
                let (y, batch) = portable::batch_norm_train(x, norm, None)?;
                (Maps::Portable(y, *precision), Some(batch))
            }
        })
    }

    /// Depthwise convolution with `weight (C, 1, k, k)` whose taps are `rate` pixels apart; sides stay. Gradients flow to both.
    pub fn dilated(&self, weight: &Tensor, rate: usize) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(dense::dilated(node, weight, rate)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::dilated(x, weight, rate)?, *precision),
        })
    }

    /// At other sides, `[height, width]`; the same maps where they are theirs. Gradients flow.
    pub fn resized(&self, sides: [usize; 2], between: Between) -> Result<Maps> {
        let [_, height, width, _] = self.shape();
        if sides == [height, width] {
            return Ok(self.clone());
        }
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(dense::resize(node, sides, between)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::resize(x, sides, between)?, *precision),
        })
    }

    /// Each channel of each image times its gate `(B, C)`. Gradients flow to both.
    pub fn gated(&self, gates: &Tensor) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(dense::gated(node, gates)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::scale_channels(x, gates)?, *precision),
        })
    }

    /// `activation(x + other)`, of an activation that clamps or does nothing. Gradients flow to both.
    pub fn plus(&self, other: &Maps, activation: Activation) -> Result<Maps> {
        Ok(match (self, other) {
            (Maps::Tape(node), Maps::Tape(other)) => Maps::Tape(layers::sum(node, other, activation)?),
            (Maps::Portable(x, precision), other) => Maps::Portable(portable::activate(&(x + other.leave()?)?, activation)?, *precision),
            (Maps::Tape(_), Maps::Portable(..)) => bail!("maps that came by two roads cannot be added"),
        })
    }

    /// What of them is above zero. The gradient flows.
    pub fn clamped(&self) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(dense::clamped(node)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::activate(x, Activation::Relu)?, *precision),
        })
    }

    /// The channels of all of them, one behind the other. Gradients flow to each. Errors when there are none, or their sides differ.
    pub fn joined(all: &[Maps]) -> Result<Maps> {
        let precision = match all.first() {
            Some(Maps::Portable(_, precision)) => *precision,
            Some(Maps::Tape(_)) => {
                let nodes = all.iter().map(|maps| match maps {
                    Maps::Tape(node) => Ok(node.clone()),
                    Maps::Portable(..) => bail!("maps that came by two roads cannot be joined"),
                });
                return Ok(Maps::Tape(joins::join(&nodes.collect::<Result<Vec<_>>>()?)?));
            }
            None => bail!("there are no maps to join"),
        };
        let tensors = all.iter().map(Maps::leave).collect::<Result<Vec<_>>>()?;
        Ok(Maps::Portable(Tensor::cat(&tensors, D::Minus1)?, precision))
    }
}
