//! Maps on their way through layers that normalise no batch, on whichever road the pass takes. There is nothing to fold
//! in such layers, so one that answers goes between nodes on a CPU as one that learns does, and keeps nothing there.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::activation::Activation;
use super::attention::mlp::MlpBlock;
use super::attention::window::WindowAttention;
use super::conv::geometry::Spec;
use super::memory::laid_out;
use super::ops::{Pass, Road};
use super::portable;
use super::tape::reorder::{Order, reorder};
use super::tape::{Node, biased, layers, response};
use crate::domain::recipe::Precision;

/// Maps `(B, H, W, C)`.
#[derive(Clone)]
pub(crate) enum Maps {
    Tape(Node),
    /// And the precision of the layers that they go through.
    Portable(Tensor, Precision),
}

impl Maps {
    /// Takes in `(B, H, W, C)`, in whatever order it lies in memory.
    pub fn enter(x: &Tensor, pass: &Pass) -> Result<Maps> {
        Ok(match pass.road {
            Road::Tape | Road::Folded => Maps::Tape(Node::enter(x, pass.arithmetic)?),
            Road::Portable => Maps::Portable(laid_out(x)?, pass.arithmetic.precision),
        })
    }

    /// The same maps; what they go through multiplies as that pass does.
    pub fn at(self, pass: &Pass) -> Maps {
        match self {
            Maps::Tape(node) => Maps::Tape(node.at(pass.arithmetic)),
            Maps::Portable(x, _) => Maps::Portable(x, pass.arithmetic.precision),
        }
    }

    /// The same values to which no gradient flows.
    pub fn detach(&self) -> Maps {
        match self {
            Maps::Tape(node) => Maps::Tape(node.detach()),
            Maps::Portable(x, precision) => Maps::Portable(x.detach(), *precision),
        }
    }

    /// The tensor of the same values; gradients flow back.
    pub fn leave(&self) -> Result<Tensor> {
        match self {
            Maps::Tape(node) => node.leave(),
            Maps::Portable(x, _) => Ok(x.clone()),
        }
    }

    /// `activation(conv2d(x, weight) + bias)`. Gradients flow to all of them. Errors when shapes do not fit.
    pub fn conv_bias(&self, parameters: (&Tensor, &Tensor), spec: &Spec, activation: Activation) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(biased::conv_bias(node, parameters, spec, activation, None)?),
            Maps::Portable(x, precision) => {
                Maps::Portable(portable::conv_bias(x, parameters, spec, activation, None, *precision)?, *precision)
            }
        })
    }

    /// `conv2d(x, weight) + bias + residual`. Gradients flow to all of them. Errors when shapes do not fit, or the residual
    /// came by another road.
    pub fn conv_bias_onto(&self, parameters: (&Tensor, &Tensor), spec: &Spec, residual: &Maps) -> Result<Maps> {
        let none = Activation::None;
        Ok(match (self, residual) {
            (Maps::Tape(node), Maps::Tape(residual)) => Maps::Tape(biased::conv_bias(node, parameters, spec, none, Some(residual))?),
            (Maps::Portable(x, precision), residual) => {
                Maps::Portable(portable::conv_bias(x, parameters, spec, none, Some(&residual.leave()?), *precision)?, *precision)
            }
            (Maps::Tape(_), Maps::Portable(..)) => candle_core::bail!("a residual of tensors does not fit a node"),
        })
    }

    /// Layer norm of each pixel over its channels. Gradients flow to x, gamma and beta. Errors when shapes do not fit.
    pub fn layer_norm(&self, (gamma, beta): (&Tensor, &Tensor), eps: f64) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(biased::layer_norm(node, gamma, beta, eps)?),
            Maps::Portable(x, precision) => Maps::Portable(Road::Portable.layer_norm(x, gamma, beta, eps)?, *precision),
        })
    }

    /// Their shape.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Maps::Tape(node) => node.shape,
            Maps::Portable(x, _) => [0, 1, 2, 3].map(|axis| x.dims().get(axis).copied().unwrap_or(0)),
        }
    }

    /// The same values in another shape.
    pub fn seen_as(self, shape: [usize; 4]) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(node.seen_as(shape)?),
            Maps::Portable(x, precision) => Maps::Portable(x.reshape(shape.to_vec())?, precision),
        })
    }

    /// The rows of each image, `(B, N, 1, D)`, in that order. Gradients flow. Errors when the order is not one of N rows.
    pub fn reorder(&self, order: &Arc<Order>) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(reorder(node, order)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::reorder(&x.squeeze(2)?, order)?.unsqueeze(2)?, *precision),
        })
    }

    /// Both halves of a block over windows `(B * W, T, 1, D)`. Gradients flow to everything. Errors when shapes do not fit.
    pub fn window_block(&self, attention: &WindowAttention<'_>, mlp: &MlpBlock<'_>) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(mlp.forward(&attention.forward(node)?)?),
            Maps::Portable(x, precision) => {
                let half = portable::window_attention(&x.squeeze(2)?, attention, *precision)?;
                Maps::Portable(portable::mlp_block(&half, mlp, *precision)?.unsqueeze(2)?, *precision)
            }
        })
    }

    /// Global response norm: `x + weight * x * r + bias`, where r is how long a channel of an image is, beside the mean length of its
    /// channels (and `eps`). Gradients flow to x, weight and bias. Errors when shapes do not fit.
    pub fn response_norm(&self, (weight, bias): (&Tensor, &Tensor), eps: f64) -> Result<Maps> {
        Ok(match self {
            Maps::Tape(node) => Maps::Tape(response::response_norm(node, weight, bias, eps)?),
            Maps::Portable(x, precision) => Maps::Portable(portable::response_norm(x, weight, bias, eps)?, *precision),
        })
    }

    /// The mean over all pixels: a tensor `(B, C)`.
    pub fn average(&self) -> Result<Tensor> {
        match self {
            Maps::Tape(node) => layers::average(node),
            Maps::Portable(x, _) => Road::Portable.global_average_pool(x),
        }
    }
}
