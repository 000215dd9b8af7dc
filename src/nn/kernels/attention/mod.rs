//! Multi-head self-attention (Vaswani et al. 2017) on slices, one image at a time: its queries, keys and values, the
//! scores of one head and the result all stay in a core's cache. The gradient makes the scores again instead of
//! keeping them (Dao et al. 2022).

pub(crate) mod block;
mod block_bf16;
pub(crate) mod mlp;
mod mlp_bf16;
pub(crate) mod packed;
pub(crate) mod patch_embed;
pub(crate) mod rotary;
pub(crate) mod tokens;
pub(crate) mod window;

use gemm::Parallelism;

use crate::nn::kernels::activation::exp;
use crate::nn::kernels::matmul::{View, multiply};
use crate::nn::kernels::norm::layer_norm::sum_of;
use crate::nn::kernels::simd::vectorised;

/// The sizes of one image's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heads {
    pub tokens: usize,
    /// The first so many tokens ask; all are asked.
    pub queries: usize,
    pub width: usize,
    pub heads: usize,
}

impl Heads {
    /// Numbers per head and token.
    pub fn depth(&self) -> usize {
        self.width / self.heads
    }

    /// The scores of one head.
    fn scores(&self) -> usize {
        self.queries * self.tokens
    }

    /// Floats of scratch that [`forward`] needs.
    pub fn forward_scratch(&self) -> usize {
        self.scores() + self.queries
    }

    /// Floats of scratch that [`backward`] needs.
    pub fn backward_scratch(&self) -> usize {
        2 * self.scores()
    }

    fn scale(&self) -> f32 {
        1.0 / (self.depth() as f32).sqrt()
    }

    /// Queries, keys and values of a head in `qkv (tokens, 3 * width)`.
    fn views<'a>(&self, qkv: &'a [f32], head: usize) -> [View<'a>; 3] {
        [0, 1, 2].map(|part| View::rows(&qkv[part * self.width + head * self.depth()..], 3 * self.width))
    }
}

/// What is added to the scaled scores of one window before their softmax.
#[derive(Clone, Copy)]
pub(crate) struct Offsets<'a> {
    /// `(heads, queries, tokens)`.
    pub bias: &'a [f32],
    /// `(queries, tokens)`, for all heads, where there is one.
    pub mask: Option<&'a [f32]>,
}

impl Offsets<'_> {
    /// `scores = scale * scores + bias + mask` of one head.
    fn apply(&self, head: usize, scores: &mut [f32], scale: f32) {
        let bias = &self.bias[head * scores.len()..][..scores.len()];
        vectorised!(scores.iter_mut().zip(bias).for_each(|(score, bias)| *score = *score * scale + bias));
        if let Some(mask) = self.mask {
            vectorised!(scores.iter_mut().zip(mask).for_each(|(score, mask)| *score += mask));
        }
    }
}

/// `out (queries, width)`, and for each head and query the logarithm of its scores' sum, which [`backward`] wants;
/// `scratch` is [`Heads::forward_scratch`].
pub(crate) fn forward(
    h: &Heads,
    qkv: &[f32],
    offsets: Option<Offsets<'_>>,
    out: &mut [f32],
    logs: &mut [f32],
    scratch: &mut [f32],
    parallelism: Parallelism,
) {
    let (tokens, depth) = (h.tokens, h.depth());
    let (scores, sums) = scratch[..h.forward_scratch()].split_at_mut(h.scores());
    for head in 0..h.heads {
        let [queries, keys, values] = h.views(qkv, head);
        multiply(scores, tokens, [h.queries, tokens, depth], queries, keys.transposed(), false, parallelism);
        let scale = scaled(h, offsets, head, scores);
        let logs = &mut logs[head * h.queries..][..h.queries];
        vectorised!({
            for ((row, sum), log) in scores.chunks_exact_mut(tokens).zip(sums.iter_mut()).zip(logs.iter_mut()) {
                let largest = exponentials(row, scale, sum);
                *log = largest + sum.ln();
            }
        });
        let out = &mut out[head * depth..];
        multiply(out, h.width, [h.queries, depth, tokens], View::rows(scores, tokens), values, false, parallelism);
        // Dividing the few results by their sums is less than dividing the scores.
        vectorised!({
            for (row, sum) in out.chunks_mut(h.width).zip(&*sums) {
                let share = 1.0 / sum;
                row[..depth].iter_mut().for_each(|value| *value *= share);
            }
        });
    }
}

/// Adds the offsets, if there are any, to scores scaled before; answers by what the scores are still to be scaled.
fn scaled(h: &Heads, offsets: Option<Offsets<'_>>, head: usize, scores: &mut [f32]) -> f32 {
    let Some(offsets) = offsets else { return h.scale() };
    offsets.apply(head, scores, h.scale());
    1.0
}

/// `row = exp(scale * (row - its largest))`, and their sum; answers `scale` times the largest.
#[inline(always)]
fn exponentials(row: &mut [f32], scale: f32, sum: &mut f32) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (wide, tail) = row.as_chunks::<16>();
    for part in wide {
        for lane in 0..16 {
            lanes[lane] = if part[lane] > lanes[lane] { part[lane] } else { lanes[lane] };
        }
    }
    let largest = lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |largest, &value| largest.max(value)) * scale;
    let mut sums = [0.0; 16];
    let (wide, tail) = row.as_chunks_mut::<16>();
    for part in wide {
        for lane in 0..16 {
            part[lane] = exp(part[lane] * scale - largest);
            sums[lane] += part[lane];
        }
    }
    for (value, sum) in tail.iter_mut().zip(&mut sums) {
        *value = exp(*value * scale - largest);
        *sum += *value;
    }
    *sum = sums.iter().sum();
    largest
}

/// What [`forward`] made, and the gradient to its result.
pub(crate) struct Made<'a> {
    pub qkv: &'a [f32],
    pub out: &'a [f32],
    pub logs: &'a [f32],
    pub dout: &'a [f32],
}

/// The gradient to queries, keys and values, `dqkv (tokens, 3 * width)`; `scratch` is [`Heads::backward_scratch`]. The gradient to the
/// offsets' bias, where there are any, is added to `dbias`.
pub(crate) fn backward(
    h: &Heads,
    made: &Made<'_>,
    offsets: Option<Offsets<'_>>,
    dqkv: &mut [f32],
    dbias: &mut [f32],
    scratch: &mut [f32],
    parallelism: Parallelism,
) {
    let (tokens, depth, width) = (h.tokens, h.depth(), h.width);
    let (scores, slopes) = scratch[..h.backward_scratch()].split_at_mut(h.scores());
    // Tokens that do not ask get no gradient to their queries.
    dqkv[h.queries * 3 * width..].chunks_exact_mut(3 * width).for_each(|row| row[..width].fill(0.0));
    for head in 0..h.heads {
        let [queries, keys, values] = h.views(made.qkv, head);
        let at = head * depth;
        let dout = View::rows(&made.dout[at..], width);
        multiply(scores, tokens, [h.queries, tokens, depth], queries, keys.transposed(), false, parallelism);
        multiply(slopes, tokens, [h.queries, tokens, depth], dout, values.transposed(), false, parallelism);
        let logs = &made.logs[head * h.queries..][..h.queries];
        let scale = scaled(h, offsets, head, scores);
        vectorised!({
            let rows = scores.chunks_exact_mut(tokens).zip(slopes.chunks_exact_mut(tokens)).zip(logs).enumerate();
            for (query, ((scores, slopes), &log)) in rows {
                let own = query * width + at..query * width + at + depth;
                let mean = sum_of(&made.dout[own.clone()], &made.out[own], |dout, out| dout * out);
                for (score, slope) in scores.iter_mut().zip(slopes) {
                    *score = exp(*score * scale - log);
                    *slope = *score * (*slope - mean) * scale;
                }
            }
        });
        if offsets.is_some() {
            // The bias was added to scores that had been scaled.
            let (dbias, scale) = (&mut dbias[head * slopes.len()..][..slopes.len()], h.scale());
            vectorised!(dbias.iter_mut().zip(slopes.iter_mut()).for_each(|(sum, slope)| {
                *sum += *slope;
                *slope *= scale;
            }));
        }
        let (scores, slopes) = (View::rows(scores, tokens), View::rows(slopes, tokens));
        let dvalues = &mut dqkv[2 * width + at..];
        multiply(dvalues, 3 * width, [tokens, depth, h.queries], scores.transposed(), dout, false, parallelism);
        multiply(&mut dqkv[at..], 3 * width, [h.queries, depth, tokens], slopes, keys, false, parallelism);
        multiply(&mut dqkv[width + at..], 3 * width, [tokens, depth, h.queries], slopes.transposed(), queries, false, parallelism);
    }
}
