//! The kernels of transformers and squeezes composed from candle's own ops, for devices other than the CPU. Slower,
//! and the same numbers.

use candle_core::{D, Result, Tensor};

use super::{Activation, AttentionBlock, Gate, MlpBlock, PatchEmbed, SqueezeExcite, portable};

/// See [`super::layer_norm`].
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)?.broadcast_mul(gamma)?.broadcast_add(beta)
}

/// See [`super::linear`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let weight = weight.flatten_from(1)?;
    portable::activate(&x.matmul(&weight.t()?)?.broadcast_add(bias)?, activation)
}

/// `x * weight^T + bias` over the last of three dimensions.
fn project(x: &Tensor, (weight, bias): (&Tensor, &Tensor)) -> Result<Tensor> {
    x.broadcast_matmul(&weight.t()?)?.broadcast_add(bias)
}

/// `softmax` over the last dimension, with a gradient (candle's fused one has none).
fn softmax(x: &Tensor) -> Result<Tensor> {
    // The largest value cancels, so it is a constant to the gradient.
    let exponentials = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}

/// See [`AttentionBlock::forward`].
pub fn attention_block(x: &Tensor, block: &AttentionBlock<'_>, queries: usize) -> Result<Tensor> {
    let (batch, tokens, width) = x.dims3()?;
    let (heads, depth) = (block.heads, width / block.heads);
    let qkv = project(&layer_norm(x, block.norm.0, block.norm.1, block.eps)?, block.qkv)?;
    let part = |index: usize, count: usize| -> Result<Tensor> {
        let part = qkv.narrow(2, index * width, width)?.narrow(1, 0, count)?;
        part.reshape((batch, count, heads, depth))?.transpose(1, 2)?.contiguous()
    };
    let (query, key, value) = (part(0, queries)?, part(1, tokens)?, part(2, tokens)?);
    let scores = (query.matmul(&key.t()?.contiguous()?)? / (depth as f64).sqrt())?;
    let out = softmax(&scores)?.matmul(&value)?.transpose(1, 2)?.reshape((batch, queries, width))?;
    x.narrow(1, 0, queries)? + project(&out, block.projection)?
}

/// See [`MlpBlock::forward`].
pub fn mlp_block(x: &Tensor, block: &MlpBlock<'_>) -> Result<Tensor> {
    let wide = project(&layer_norm(x, block.norm.0, block.norm.1, block.eps)?, block.expand)?;
    x + project(&portable::activate(&wide, Activation::Gelu)?, block.contract)?
}

/// See [`PatchEmbed::forward`].
pub fn patch_embed(x: &Tensor, embed: &PatchEmbed<'_>) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (outputs, _, patch, _) = embed.projection.0.dims4()?;
    let (down, across) = (height / patch, width / patch);
    let patches = x.reshape(vec![batch, channels, down, patch, across, patch])?.permute(vec![0, 2, 4, 1, 3, 5])?;
    let patches = patches.reshape((batch, down * across, channels * patch * patch))?;
    let weight = embed.projection.0.flatten_from(1)?;
    let tokens = project(&patches, (&weight, embed.projection.1))?;
    let class = embed.class_token.broadcast_as((batch, 1, outputs))?;
    Tensor::cat(&[class, tokens], 1)?.broadcast_add(embed.position)
}

/// See [`SqueezeExcite::forward`].
pub fn squeeze_excite(x: &Tensor, squeeze: &SqueezeExcite<'_>) -> Result<Tensor> {
    let small = linear(&x.mean((1, 2))?, squeeze.reduce.0, squeeze.reduce.1, squeeze.activation)?;
    let wide = linear(&small, squeeze.expand.0, squeeze.expand.1, Activation::None)?;
    let gates = match squeeze.gate {
        Gate::Sigmoid => portable::sigmoid(&wide)?,
        Gate::HardSigmoid => ((wide + 3.0)?.clamp(0f32, 6f32)? / 6.0)?,
    };
    x.broadcast_mul(&gates.unsqueeze(1)?.unsqueeze(1)?)
}
