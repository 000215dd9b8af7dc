//! The first half of a transformer's block as one layer: `x + project(attention(qkv(layer_norm(x))))`. One layer,
//! because an image's share of all of it fits in a core's cache.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::tokens::{Gradients, Parameters, Values};
use super::window::Biased;
use super::{Heads, Made};
use crate::domain::recipe::Precision;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{View, add_rows, affine, multiply, parts_mut, sum_over_spans, transpose};
use crate::nn::kernels::memory::{Floats, with_scratch};
use crate::nn::kernels::norm::layer_norm;
use crate::nn::kernels::tape::Node;
use crate::nn::kernels::threads::Threads;

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
    /// Tokens `(B, N, D)` to `(B, queries, D)`: what the first `queries` tokens make of all N. Gradients flow to x and every
    /// parameter. The two linear layers multiply in the node's arithmetic. Errors when shapes do not fit.
    pub fn forward(&self, x: &Node, queries: usize) -> Result<Node> {
        let _span = trace_span!("attention").entered();
        let block = self.block(x.shape, queries)?;
        let parameters = Parameters::new([self.projection, self.qkv, self.norm]);
        let (shape, arithmetic) = ([x.shape[0], queries, 1, x.shape[3]], x.arithmetic);
        let forward = |x: &[f32], values: &Values<'_, 3>, keep: bool| match arithmetic.precision {
            Precision::F32 => Ok(block.forward(x, &Weights::of(values.each_ref()), None, keep)),
            Precision::Bf16 => block.forward_bf16(x, &Weights::of(values.each_ref()), None, arithmetic).map(|(y, saved)| (y, Some(saved))),
        };
        let backward = move |x: &[f32], values: &Values<'_, 3>, dy: Buffer, saved: &Saved| {
            let _span = trace_span!("attention gradient").entered();
            let (dx, gradients, _) = match arithmetic.precision {
                Precision::F32 => block.backward(x, &Weights::of(values.each_ref()), None, dy, saved),
                Precision::Bf16 => block.backward_bf16(x, &Weights::of(values.each_ref()), None, dy, saved, arithmetic)?,
            };
            Ok((dx, gradients))
        };
        parameters.learn(x, shape, forward, backward)
    }

    /// Errors when shapes do not fit.
    pub(crate) fn check(&self, [batch, tokens, width]: [usize; 3], queries: usize) -> Result<()> {
        self.block([batch, tokens, 1, width], queries).map(|_| ())
    }

    pub(super) fn block(&self, [batch, tokens, _, width]: [usize; 4], queries: usize) -> Result<Block> {
        let fits = |(weight, bias): (&Tensor, &Tensor), outputs: usize| weight.dims() == [outputs, width] && bias.dims() == [outputs];
        let fits =
            fits(self.qkv, 3 * width) && fits(self.projection, width) && self.norm.0.dims() == [width] && self.norm.1.dims() == [width];
        if !fits || self.heads == 0 || width % self.heads != 0 || !(1..=tokens).contains(&queries) || batch == 0 {
            bail!("an attention of {} heads and {queries} queries does not fit {:?}", self.heads, [batch, tokens, width])
        }
        Ok(Block { sizes: Heads { tokens, queries, width, heads: self.heads }, eps: self.eps })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) sizes: Heads,
    pub(super) eps: f64,
}

/// The parameters' values.
pub(super) struct Weights<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) qkv: &'a [f32],
    pub(super) qkv_bias: &'a [f32],
    pub(super) projection: &'a [f32],
    pub(super) bias: &'a [f32],
}

impl<'a> Weights<'a> {
    pub(super) fn of([[projection, bias], [qkv, qkv_bias], [gamma, beta]]: [&'a [Floats<'_>; 2]; 3]) -> Weights<'a> {
        Weights { gamma, beta, qkv, qkv_bias, projection, bias }
    }
}

/// What the forward pass leaves for the backward pass, image after image.
pub(super) struct Saved {
    pub(super) statistics: Buffer,
    pub(super) qkv: Buffer,
    pub(super) out: Buffer,
    pub(super) logs: Buffer,
}

impl Block {
    /// Floats per image: what goes in, and what comes out.
    pub(super) fn images(&self) -> (usize, usize) {
        (self.sizes.tokens * self.sizes.width, self.sizes.queries * self.sizes.width)
    }

    /// Floats per image of statistics, queries-keys-values, attention's result, logarithms.
    pub(super) fn saved_lengths(&self) -> [usize; 4] {
        let h = &self.sizes;
        [2 * h.tokens, 3 * h.tokens * h.width, h.queries * h.width, h.heads * h.queries]
    }

    pub(super) fn forward(&self, x: &[f32], w: &Weights<'_>, bias: Option<&Biased<'_>>, keep: bool) -> (Buffer, Option<Saved>) {
        let (h, (image, result)) = (self.sizes, self.images());
        let batch = x.len() / image;
        let (qkv_transposed, transposed) = (transpose(w.qkv, 3 * h.width, h.width), transpose(w.projection, h.width, h.width));
        let parallelism = Threads::All.inside(batch);
        let one = |image_at: usize, y: &mut [f32], x: &[f32], [statistics, qkv, out, logs]: [&mut [f32]; 4], scratch: &mut [f32]| {
            let (normal, scores) = scratch.split_at_mut(image);
            layer_norm::normalise(normal, x, w.gamma, w.beta, self.eps, statistics);
            let normal = View::rows(normal, h.width);
            affine(qkv, [h.tokens, 3 * h.width, h.width], normal, View::rows(&qkv_transposed, 3 * h.width), w.qkv_bias, None, parallelism);
            super::forward(&h, qkv, bias.map(|bias| bias.of(image_at)), out, logs, scores, parallelism);
            let (out, transposed) = (View::rows(out, h.width), View::rows(&transposed, h.width));
            affine(y, [h.queries, h.width, h.width], out, transposed, w.bias, Some(&x[..result]), parallelism);
        };
        let mut y = Buffer::any(batch * result);
        let lengths = self.saved_lengths();
        let work = image + h.forward_scratch();
        if !keep {
            y.par_chunks_mut(result).zip(x.par_chunks(image)).enumerate().for_each(|(index, (y, x))| {
                with_scratch(work + lengths.iter().sum::<usize>(), |scratch| {
                    let (work, saved) = scratch.split_at_mut(work);
                    one(index, y, x, parts_mut(saved, lengths), work);
                });
            });
            return (y, None);
        }
        let [mut statistics, mut qkv, mut out, mut logs] = lengths.map(|length| Buffer::any(batch * length));
        let saved = statistics.par_chunks_mut(lengths[0]).zip(qkv.par_chunks_mut(lengths[1]));
        let saved = saved.zip(out.par_chunks_mut(lengths[2])).zip(logs.par_chunks_mut(lengths[3]));
        y.par_chunks_mut(result).zip(x.par_chunks(image)).zip(saved).enumerate().for_each(|(index, ((y, x), saved))| {
            let (((statistics, qkv), out), logs) = saved;
            with_scratch(work, |scratch| one(index, y, x, [statistics, qkv, out, logs], scratch));
        });
        (y, Some(Saved { statistics, qkv, out, logs }))
    }

    /// Gradients to x, to the parameters and to the bias of the scores.
    pub(super) fn backward(
        &self,
        x: &[f32],
        w: &Weights<'_>,
        bias: Option<&Biased<'_>>,
        dy: Buffer,
        saved: &Saved,
    ) -> (Buffer, Gradients<3>, Vec<f32>) {
        let (h, (image, result)) = (self.sizes, self.images());
        let batch = x.len() / image;
        let parallelism = Threads::All.inside(batch);
        let scores = bias.map_or(&[][..], |bias| bias.bias);
        let lengths = [w.projection, w.bias, w.qkv, w.qkv_bias, w.gamma, w.beta, scores].map(<[f32]>::len);
        let body = |index: usize, dx: &mut [f32], sums: &mut [f32]| {
            let [dprojection, dbias, dqkv_weight, dqkv_bias, dgamma, dbeta, dscores] = parts_mut(sums, lengths);
            let x = &x[index * image..(index + 1) * image];
            let [statistics, qkv, out, logs] = saved.of(index, self.saved_lengths());
            with_scratch(result + 3 * image + image + h.backward_scratch(), |scratch| {
                let [dout, dqkv, normal, scores] = parts_mut(scratch, [result, 3 * image, image, h.backward_scratch()]);
                let dy = &dx[..result];
                let gradient = View::rows(dy, h.width);
                add_rows(dbias, dy);
                let size = [h.width, h.width, h.queries];
                multiply(dprojection, h.width, size, gradient.transposed(), View::rows(out, h.width), true, parallelism);
                multiply(dout, h.width, [h.queries, h.width, h.width], gradient, View::rows(w.projection, h.width), false, parallelism);
                super::backward(&h, &Made { qkv, out, logs, dout }, bias.map(|bias| bias.of(index)), dqkv, dscores, scores, parallelism);
                add_rows(dqkv_bias, dqkv);
                layer_norm::normalise_again(normal, x, w.gamma, w.beta, statistics);
                let gradient = View::rows(dqkv, 3 * h.width);
                let size = [3 * h.width, h.width, h.tokens];
                multiply(dqkv_weight, h.width, size, gradient.transposed(), View::rows(normal, h.width), true, parallelism);
                // The normalised values are used up; their gradient takes their place.
                multiply(normal, h.width, [h.tokens, h.width, 3 * h.width], gradient, View::rows(w.qkv, h.width), false, parallelism);
                layer_norm::backward(dx, normal, x, w.gamma, statistics, dgamma, dbeta);
            });
        };
        let mut dx = self.spread(dy, batch);
        let sums = sum_over_spans(batch, &mut dx, image, lengths.iter().sum(), body);
        let [dprojection, dbias, dqkv, dqkv_bias, dgamma, dbeta, dscores] = sums.parts(lengths);
        (dx, [[dprojection, dbias], [dqkv, dqkv_bias], [dgamma, dbeta]], dscores)
    }

    /// The residual's gradient to x, which is dy where tokens ask, and zero where they do not.
    pub(super) fn spread(&self, dy: Buffer, batch: usize) -> Buffer {
        let (image, result) = self.images();
        if image == result {
            return dy;
        }
        let mut dx = Buffer::any(batch * image);
        dx.par_chunks_mut(image).zip(dy.par_chunks(result)).for_each(|(dx, dy)| {
            dx[..result].copy_from_slice(dy);
            dx[result..].fill(0.0);
        });
        dx
    }
}

impl Saved {
    /// What belongs to one image.
    pub(super) fn of(&self, image: usize, lengths: [usize; 4]) -> [&[f32]; 4] {
        let [statistics, qkv, out, logs] = lengths.map(|length| image * length..(image + 1) * length);
        [&self.statistics[statistics], &self.qkv[qkv], &self.out[out], &self.logs[logs]]
    }
}
