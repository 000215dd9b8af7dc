//! Maps on their way through layers that normalise no batch, on whichever road the pass takes. There is nothing to fold
//! in such layers, so one that answers goes between nodes on a CPU as one that learns does, and keeps nothing there.

use candle_core::{Result, Tensor};

use super::activation::Activation;
use super::conv::geometry::Spec;
use super::memory::laid_out;
use super::ops::{Pass, Road};
use super::portable;
use super::tape::{Node, biased, layers};
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

    /// The mean over all pixels: a tensor `(B, C)`.
    pub fn average(&self) -> Result<Tensor> {
        match self {
            Maps::Tape(node) => layers::average(node),
            Maps::Portable(x, _) => Road::Portable.global_average_pool(x),
        }
    }
}
