//! Linear layers, squeezes and the halves of a transformer's block.

use candle_core::{D, Result, Tensor};

use super::activation::{self, activate};
use super::matmul::linear_matmul;
use super::norm::layer_norm;
use super::op::op;
use super::sums::{add_row, global_average_pool, scale_channels, sum_rows};
use crate::domain::recipe::Precision;
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::attention::block::AttentionBlock;
use crate::nn::kernels::attention::mlp::MlpBlock;
use crate::nn::kernels::attention::patch_embed::PatchEmbed;
use crate::nn::kernels::attention::window::{Masks, WindowAttention};
use crate::nn::kernels::conv::squeeze::SqueezeExcite;
use crate::nn::kernels::tape::reorder::Order;

/// See [`crate::nn::kernels::ops::Road::linear`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    activate(&add_row(&x.matmul(&weight.flatten_from(1)?.t()?)?, bias)?, activation)
}

/// `x * weight^T + bias` over the last of three dimensions.
fn project(x: &Tensor, layer: (&Tensor, &Tensor), precision: Precision) -> Result<Tensor> {
    let (batch, tokens, width) = x.dims3()?;
    rows(&x.reshape((batch * tokens, width))?, layer, precision)?.reshape((batch, tokens, layer.1.elem_count()))
}

/// `x * weight^T + bias` for `x (rows, I)`. Gradients flow to all three.
pub fn rows(x: &Tensor, (weight, bias): (&Tensor, &Tensor), precision: Precision) -> Result<Tensor> {
    add_row(&linear_matmul(&x.contiguous()?, &weight.flatten_from(1)?.contiguous()?, precision)?, bias)
}

/// What the first `queries` tokens make of all: `qkv (B, N, 3 W)` to `(B, queries, W)`; with a bias `(heads, queries, N)`, and masks of
/// windows, on the scores.
fn attention(qkv: &Tensor, heads: usize, queries: usize, offsets: Option<(&Tensor, &Masks)>) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let (width, depth) = (width / 3, width / 3 / heads);
    let parts = qkv.detach().reshape(vec![batch, tokens, 3, heads, depth])?.permute(vec![2, 0, 3, 1, 4])?.contiguous()?;
    let (query, key, value) = (parts.get(0)?.narrow(2, 0, queries)?.contiguous()?, parts.get(1)?, parts.get(2)?);
    let scale = 1.0 / (depth as f64).sqrt();
    let scores = (query.matmul(&key.t()?)? * scale)?;
    let scores = match offsets {
        Some((bias, masks)) => masked(&scores.broadcast_add(&bias.detach().unsqueeze(0)?)?, masks)?,
        None => scores,
    };
    // In two dimensions: a GPU counts through fewer.
    let flat = (batch * heads * queries, tokens);
    let shares = softmax(&scores.reshape(flat)?)?.reshape(scores.shape())?;
    let y = shares.matmul(&value)?.transpose(1, 2)?.reshape((batch, queries, width))?;
    let all = heads * queries * tokens;
    let back = move |dy: &Tensor, biased: bool| -> Result<Vec<Option<Tensor>>> {
        let dy = dy.reshape((batch, queries, heads, depth))?.transpose(1, 2)?.contiguous()?;
        let dvalue = shares.t()?.matmul(&dy)?;
        let weighted = (&shares * dy.matmul(&value.t()?)?)?;
        let sums = weighted.reshape(flat)?.sum_keepdim(1)?;
        let common = shares.reshape(flat)?.broadcast_mul(&sums)?.reshape(shares.shape())?;
        let dscores = (&weighted - common)?;
        let dbias = if biased { Some(sum_rows(&dscores.reshape((batch, all))?)?.reshape((heads, queries, tokens))?) } else { None };
        let dscores = (dscores * scale)?;
        // Tokens that do not ask get no gradient to their queries.
        let dquery = dscores.matmul(&key)?.pad_with_zeros(2, 0, tokens - queries)?;
        let dkey = dscores.t()?.matmul(&query)?;
        let all = Tensor::stack(&[dquery, dkey, dvalue], 0)?.permute(vec![1, 3, 0, 2, 4])?;
        let mut gradients = vec![Some(all.reshape((batch, tokens, 3 * width))?)];
        gradients.extend(dbias.map(Some));
        Ok(gradients)
    };
    match offsets {
        Some((bias, _)) => op("attention", &[qkv, bias], y, move |dy| back(dy, true)),
        None => op("attention", &[qkv], y, move |dy| back(dy, false)),
    }
}

/// Scores `(B * W, heads, T, T)` with the masks of each image's W windows.
fn masked(scores: &Tensor, masks: &Masks) -> Result<Tensor> {
    if masks.is_empty() {
        return Ok(scores.clone());
    }
    let (all, heads, tokens, _) = scores.dims4()?;
    let (windows, square) = (masks.windows(), tokens * tokens);
    let mask = Tensor::from_vec(masks.values(square), (1, windows, 1, square), scores.device())?;
    scores.reshape((all / windows, windows, heads, square))?.broadcast_add(&mask)?.reshape(scores.shape())
}

/// `softmax` over the last dimension, of constants.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let exponentials = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}

/// See [`AttentionBlock::forward`].
pub fn attention_block(x: &Tensor, block: &AttentionBlock<'_>, queries: usize, precision: Precision) -> Result<Tensor> {
    block.check(x.dims3()?.into(), queries)?;
    let qkv = project(&layer_norm(x, block.norm.0, block.norm.1, block.eps)?, block.qkv, precision)?;
    let out = attention(&qkv, block.heads, queries, None)?;
    x.narrow(1, 0, queries)? + project(&out, block.projection, precision)?
}

/// See [`WindowAttention::forward`].
pub fn window_attention(x: &Tensor, window: &WindowAttention<'_>, precision: Precision) -> Result<Tensor> {
    window.check(x.dims3()?.into())?;
    let block = &window.block;
    let qkv = project(&layer_norm(x, block.norm.0, block.norm.1, block.eps)?, block.qkv, precision)?;
    let out = attention(&qkv, block.heads, x.dim(1)?, Some((window.bias, window.masks.as_ref())))?;
    x + project(&out, block.projection, precision)?
}

/// The rows of `x (B, N, D)` in that order. Gradients flow. Errors when the order is not one of N rows.
pub fn reorder(x: &Tensor, order: &Order) -> Result<Tensor> {
    let places = |places: &[u32]| Tensor::new(places, x.device());
    let y = x.detach().contiguous()?.index_select(&places(order.from())?, 1)?;
    let back = places(order.to())?;
    op("reorder", &[x], y, move |dy| Ok(vec![Some(dy.index_select(&back, 1)?)]))
}

/// See [`MlpBlock::forward`].
pub fn mlp_block(x: &Tensor, block: &MlpBlock<'_>, precision: Precision) -> Result<Tensor> {
    block.check(x.dims3()?.into())?;
    let wide = project(&layer_norm(x, block.norm.0, block.norm.1, block.eps)?, block.expand, precision)?;
    x + project(&activate(&wide, block.activation)?, block.contract, precision)?
}

/// See [`PatchEmbed::forward`].
pub fn patch_embed(x: &Tensor, embed: &PatchEmbed<'_>) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    embed.check([batch, channels, height, width])?;
    let (outputs, _, patch, _) = embed.projection.0.dims4()?;
    let (down, across) = (height / patch, width / patch);
    let patches = x.reshape(vec![batch, channels, down, patch, across, patch])?.permute(vec![0, 2, 4, 1, 3, 5])?;
    let patches = patches.reshape((batch, down * across, channels * patch * patch))?;
    let tokens = project(&patches, embed.projection, Precision::F32)?;
    let placed =
        add_row(&tokens.reshape((batch, embed.position.elem_count()))?, &embed.position.flatten_all()?)?.reshape(tokens.shape())?;
    match embed.prefix {
        Some(prefix) => Tensor::cat(&[&prefix.broadcast_as((batch, prefix.dim(1)?, outputs))?, &placed], 1),
        None => Ok(placed),
    }
}

/// See [`SqueezeExcite`]. Gradients flow to x and every parameter. Errors when shapes do not fit.
pub fn squeeze_excite(x: &Tensor, squeeze: &SqueezeExcite<'_>) -> Result<Tensor> {
    squeeze.sizes(x.dims4()?.into())?;
    let small = linear(&global_average_pool(x)?, squeeze.reduce.0, squeeze.reduce.1, squeeze.activation)?;
    let wide = linear(&small, squeeze.expand.0, squeeze.expand.1, Activation::None)?;
    scale_channels(x, &activation::gate(&wide, squeeze.gate)?)
}
