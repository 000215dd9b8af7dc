//! The first half of a transformer's block as one op: `x + project(attention(qkv(layer_norm(x))))`. One op, because
//! every tensor between ops costs candle's bookkeeping two more passes in the backward pass, and because an image's
//! share of all of it fits in a core's cache.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::attention::{self, Heads, Made};
use super::layer_norm;
use super::memory::{floats, read, tensor, with_scratch};
use super::portable;
use super::product::{View, add_rows, affine, inner_parallelism, multiply, parts, parts_mut, sum_over_spans, transpose};

/// The parameters, under timm's names `norm1`, `attn.qkv` and `attn.proj`; D is the width.
#[derive(Clone, Copy)]
pub struct AttentionBlock<'a> {
    /// `(D)` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// `(3 D, D)` and `(3 D)`: queries, keys, values; in each, head after head.
    pub qkv: (&'a Tensor, &'a Tensor),
    /// `(D, D)` and `(D)`.
    pub projection: (&'a Tensor, &'a Tensor),
    pub heads: usize,
    /// Of the layer norm.
    pub eps: f64,
}

impl AttentionBlock<'_> {
    /// `(B, N, D)` to `(B, queries, D)`: what the first `queries` tokens make of all N. Gradients flow to x and every
    /// parameter. Errors when shapes do not fit.
    pub fn forward(&self, x: &Tensor, queries: usize) -> Result<Tensor> {
        let (batch, tokens, width) = x.dims3()?;
        let fits = |(weight, bias): (&Tensor, &Tensor), outputs: usize| weight.dims() == [outputs, width] && bias.dims() == [outputs];
        let fits =
            fits(self.qkv, 3 * width) && fits(self.projection, width) && self.norm.0.dims() == [width] && self.norm.1.dims() == [width];
        if !fits || self.heads == 0 || width % self.heads != 0 || !(1..=tokens).contains(&queries) || batch == 0 {
            bail!("an attention of {} heads and {queries} queries does not fit {:?}", self.heads, x.dims())
        }
        if portable::is_for(x) {
            return portable::attention_block(x, self, queries);
        }
        let flat = |tensor: &Tensor| tensor.flatten_all();
        let packed = [self.norm.0, self.norm.1, self.qkv.0, self.qkv.1, self.projection.0, self.projection.1].map(flat);
        let packed = Tensor::cat(&packed.into_iter().collect::<Result<Vec<_>>>()?, 0)?;
        let keep = x.track_op() || packed.track_op();
        let sizes = Heads { tokens, queries, width, heads: self.heads };
        x.contiguous()?.apply_op2(&packed, Op { sizes, eps: self.eps, keep, saved: OnceLock::new() })
    }
}

struct Op {
    sizes: Heads,
    eps: f64,
    /// Somebody will ask for a gradient.
    keep: bool,
    saved: OnceLock<Saved>,
}

/// What the forward pass leaves for the backward pass, image after image.
struct Saved {
    statistics: Vec<f32>,
    qkv: Vec<f32>,
    out: Vec<f32>,
    logs: Vec<f32>,
}

impl Op {
    /// Lengths of the packed parameters.
    fn lengths(&self) -> [usize; 6] {
        let width = self.sizes.width;
        [width, width, 3 * width * width, 3 * width, width * width, width]
    }

    /// Floats per image of statistics, queries-keys-values, attention's result, logarithms.
    fn saved_lengths(&self) -> [usize; 4] {
        let h = &self.sizes;
        [2 * h.tokens, 3 * h.tokens * h.width, h.queries * h.width, h.heads * h.queries]
    }

    fn forward(&self, x: &[f32], packed: &[f32]) -> (Vec<f32>, Option<Saved>) {
        let h = self.sizes;
        let (image, result) = (h.tokens * h.width, h.queries * h.width);
        let batch = x.len() / image;
        let [gamma, beta, qkv_weight, qkv_bias, weight, bias] = parts(packed, self.lengths());
        let (qkv_turned, turned) = (transpose(qkv_weight, 3 * h.width, h.width), transpose(weight, h.width, h.width));
        let parallelism = inner_parallelism(batch);
        let one = |y: &mut [f32], x: &[f32], [statistics, qkv, out, logs]: [&mut [f32]; 4], scratch: &mut [f32]| {
            let (normal, scores) = scratch.split_at_mut(image);
            layer_norm::normalise(normal, x, gamma, beta, self.eps, statistics);
            let normal = View::rows(normal, h.width);
            affine(qkv, [h.tokens, 3 * h.width, h.width], normal, View::rows(&qkv_turned, 3 * h.width), qkv_bias, None, parallelism);
            attention::forward(&h, qkv, out, logs, scores, parallelism);
            let (out, turned) = (View::rows(out, h.width), View::rows(&turned, h.width));
            affine(y, [h.queries, h.width, h.width], out, turned, bias, Some(&x[..result]), parallelism);
        };
        let mut y = vec![0.0; batch * result];
        let lengths = self.saved_lengths();
        let work = image + h.scores();
        if !self.keep {
            y.par_chunks_mut(result).zip(x.par_chunks(image)).for_each(|(y, x)| {
                with_scratch(work + lengths.iter().sum::<usize>(), |scratch| {
                    let (work, saved) = scratch.split_at_mut(work);
                    one(y, x, parts_mut(saved, lengths), work);
                });
            });
            return (y, None);
        }
        let [mut statistics, mut qkv, mut out, mut logs] = lengths.map(|length| vec![0.0; batch * length]);
        let saved = statistics.par_chunks_mut(lengths[0]).zip(qkv.par_chunks_mut(lengths[1]));
        let saved = saved.zip(out.par_chunks_mut(lengths[2])).zip(logs.par_chunks_mut(lengths[3]));
        y.par_chunks_mut(result).zip(x.par_chunks(image)).zip(saved).for_each(|((y, x), (((statistics, qkv), out), logs))| {
            with_scratch(work, |scratch| one(y, x, [statistics, qkv, out, logs], scratch));
        });
        (y, Some(Saved { statistics, qkv, out, logs }))
    }

    /// Gradients to x and to the packed parameters.
    fn backward(&self, x: &[f32], packed: &[f32], dy: &[f32], saved: &Saved) -> (Vec<f32>, Vec<f32>) {
        let h = self.sizes;
        let (image, result) = (h.tokens * h.width, h.queries * h.width);
        let batch = x.len() / image;
        let [gamma, beta, qkv_weight, _, weight, _] = parts(packed, self.lengths());
        let parallelism = inner_parallelism(batch);
        let lengths = self.saved_lengths();
        let mut dx = vec![0.0; x.len()];
        let body = |index: usize, dx: &mut [f32], sums: &mut [f32]| {
            let [dgamma, dbeta, dqkv_weight, dqkv_bias, dweight, dbias] = parts_mut(sums, self.lengths());
            let of = |values: &'_ [f32], length: usize| -> std::ops::Range<usize> {
                debug_assert!(values.len() >= (index + 1) * length);
                index * length..(index + 1) * length
            };
            let (x, dy) = (&x[of(x, image)], &dy[of(dy, result)]);
            let statistics = &saved.statistics[of(&saved.statistics, lengths[0])];
            let (qkv, out) = (&saved.qkv[of(&saved.qkv, lengths[1])], &saved.out[of(&saved.out, lengths[2])]);
            let logs = &saved.logs[of(&saved.logs, lengths[3])];
            let gradient = View::rows(dy, h.width);
            add_rows(dbias, dy);
            let transposed = gradient.transposed();
            multiply(dweight, h.width, [h.width, h.width, h.queries], transposed, View::rows(out, h.width), true, parallelism);
            with_scratch(result + 3 * image + image + 2 * h.scores(), |scratch| {
                let [dout, dqkv, normal, scores] = parts_mut(scratch, [result, 3 * image, image, 2 * h.scores()]);
                multiply(dout, h.width, [h.queries, h.width, h.width], gradient, View::rows(weight, h.width), false, parallelism);
                attention::backward(&h, &Made { qkv, out, logs, dout }, dqkv, scores, parallelism);
                add_rows(dqkv_bias, dqkv);
                layer_norm::normalise_again(normal, x, gamma, beta, statistics);
                let gradient = View::rows(dqkv, 3 * h.width);
                let size = [3 * h.width, h.width, h.tokens];
                multiply(dqkv_weight, h.width, size, gradient.transposed(), View::rows(normal, h.width), true, parallelism);
                // The normalised values are used up; their gradient takes their place.
                multiply(normal, h.width, [h.tokens, h.width, 3 * h.width], gradient, View::rows(qkv_weight, h.width), false, parallelism);
                dx[..result].copy_from_slice(dy);
                layer_norm::pull_back(dx, normal, x, gamma, statistics, dgamma, dbeta);
            });
        };
        let sums = sum_over_spans(batch, &mut dx, image, packed.len(), body);
        (dx, sums)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        "attention-block"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, packed: &CpuStorage, pl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, saved) = self.forward(floats(x, xl)?, floats(packed, pl)?);
        if let Some(saved) = saved {
            // One op instance is applied once, so the cell is empty here.
            let _ = self.saved.set(saved);
        }
        let h = &self.sizes;
        let batch = y.len() / (h.queries * h.width);
        Ok((CpuStorage::F32(y), Shape::from((batch, h.queries, h.width))))
    }

    fn bwd(&self, x: &Tensor, packed: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("attention was asked for a gradient before its value") };
        let dy = dy.contiguous()?;
        let (dx, sums) = self.backward(&read(x)?, &read(packed)?, &read(&dy)?, saved);
        let dpacked = packed.track_op().then(|| tensor(sums, packed.dims())).transpose()?;
        Ok((x.track_op().then(|| tensor(dx, x.dims())).transpose()?, dpacked))
    }
}
