//! Pooling by attention (Lee et al. 2019, set transformers; the towers of Zhai et al. 2023): one learned query asks all tokens, and a
//! perceptron follows.
//!
//! The one query is the same for every image. So it is taken through the keys' matrix once, instead of every token; and what it
//! picks of the tokens goes through the values' matrix after, not before. That is the same function by two matrices over one vector
//! a head instead of over every token. All of it is f32, whatever the precision of a recipe.

use candle_core::{D, Result as Candle, Tensor, Var};

use super::parameter::{Pair, handle, parameter};
use crate::nn::backbone::Mode;
use crate::nn::error::Result;
use crate::nn::kernels::ops::{Pass, Road};
use crate::nn::kernels::tape::Node;
use crate::nn::kernels::{Activation, MlpBlock, portable};
use crate::nn::weights::Weights;

/// The handles of `attn_pool`.
pub(super) struct AttentionPool {
    /// `(1, 1, D)`.
    latent: Var,
    query: Pair,
    /// `(2 D, D)` and `(2 D)`: keys, then values; in each, head after head.
    keys_values: Pair,
    projection: Pair,
    norm: Pair,
    fc1: Pair,
    fc2: Pair,
    activation: Activation,
}

impl AttentionPool {
    /// Where the weights have one.
    pub fn of(weights: &Weights, architecture: &str, activation: Activation) -> Result<Option<AttentionPool>> {
        if weights.get("attn_pool.latent").is_none() {
            return Ok(None);
        }
        let pair = |module: &str| Pair::of(&format!("attn_pool.{module}"), weights, architecture);
        Ok(Some(AttentionPool {
            latent: handle("attn_pool.latent", weights, architecture)?,
            query: pair("q")?,
            keys_values: pair("kv")?,
            projection: pair("proj")?,
            norm: pair("norm")?,
            fc1: pair("mlp.fc1")?,
            fc2: pair("mlp.fc2")?,
            activation,
        }))
    }

    /// Tokens `(B, N, D)` to one for each image, `(B, 1, D)`. Gradients flow to the tokens and, in train mode, to every parameter.
    pub fn forward(&self, x: &Tensor, (heads, eps): (usize, f64), mode: Mode, pass: &Pass) -> Result<Tensor> {
        let pair = |pair: &Pair| pair.tensors(mode);
        let (latent, query, keys_values) = (parameter(&self.latent, mode), pair(&self.query), pair(&self.keys_values));
        let seen = attend(x, heads, &latent, (&query.0, &query.1), (&keys_values.0, &keys_values.1), pass.road)?;
        let projection = pair(&self.projection);
        let y = pass.road.linear(&seen, &projection.0, &projection.1, Activation::None)?.unsqueeze(1)?;
        let [norm, fc1, fc2] = [&self.norm, &self.fc1, &self.fc2].map(pair);
        let activation = self.activation;
        let mlp = MlpBlock { norm: (&norm.0, &norm.1), expand: (&fc1.0, &fc1.1), contract: (&fc2.0, &fc2.1), activation, eps };
        Ok(match pass.road {
            Road::Portable => portable::mlp_block(&y, &mlp, pass.frozen().arithmetic.precision)?,
            Road::Tape | Road::Folded => mlp.forward(&Node::enter_tokens(&y, pass.frozen().arithmetic)?)?.leave_tokens()?,
        })
    }
}

/// What the query takes of the values: `(B, D)`.
fn attend(
    x: &Tensor,
    heads: usize,
    latent: &Tensor,
    query: (&Tensor, &Tensor),
    (weight, bias): (&Tensor, &Tensor),
    road: Road,
) -> Candle<Tensor> {
    let (batch, tokens, width) = x.dims3()?;
    let depth = width / heads;
    let query = road.linear(&latent.reshape((1, width))?, query.0, query.1, Activation::None)?;
    let query = (query.reshape((heads, 1, depth))? * (1.0 / (depth as f64).sqrt()))?;
    // Per head: what is asked of a token as it is, and what every token answers alike.
    let asked = query.matmul(&weight.narrow(0, 0, width)?.reshape((heads, depth, width))?)?.reshape((heads, width))?;
    let alike = (&query * bias.narrow(0, 0, width)?.reshape((heads, 1, depth))?)?.sum(2)?.reshape((1, heads))?;
    let scores = x.reshape((batch * tokens, width))?.matmul(&asked.t()?)?.broadcast_add(&alike)?;
    let shares = softmax(&scores.reshape((batch, tokens, heads))?.transpose(1, 2)?.contiguous()?)?;
    let picked = shares.matmul(x)?.transpose(0, 1)?.contiguous()?;
    let values = weight.narrow(0, width, width)?.reshape((heads, depth, width))?;
    let out = picked.matmul(&values.transpose(1, 2)?)?.transpose(0, 1)?.reshape((batch, width))?;
    out.broadcast_add(&bias.narrow(0, width, width)?)
}

/// `softmax` over the last dimension; gradients flow.
fn softmax(x: &Tensor) -> Candle<Tensor> {
    let exponentials = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}
