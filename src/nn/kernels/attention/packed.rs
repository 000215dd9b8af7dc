//! Self-attention over sequences of unequal lengths that lie one behind the other, so that nothing is worked out for padding
//! (Krell et al. 2021, sequence packing without cross-contamination): each sequence attends to itself alone. Beside the plain
//! scores: a bias by distance (Raffel et al. 2020, section 2.1), a reach beyond which nothing is seen (Beltagy et al. 2020), and
//! queries and keys turned by their place (Su et al. 2021).

use gemm::Parallelism;

use super::rotary::Rotary;
use crate::nn::kernels::activation::exp;
use crate::nn::kernels::matmul::{View, multiply};
use crate::nn::kernels::norm::layer_norm::sum_of;
use crate::nn::kernels::simd::vectorised;

/// What every sequence's attention has in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attention {
    pub width: usize,
    pub heads: usize,
    /// Tokens further away than this are not seen.
    pub reach: Option<usize>,
    /// Whether tokens behind one are not seen.
    pub causal: bool,
    pub rotary: Option<Rotary>,
}

/// A bias for each head and distance, laid out for the longest sequence: head after head, from the farthest token before to
/// the farthest behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Biases<'a> {
    pub values: &'a [f32],
    /// Of the longest sequence.
    pub longest: usize,
}

impl Biases<'_> {
    /// How many distances there are.
    pub fn distances(longest: usize) -> usize {
        2 * longest - 1
    }

    /// Where a head's biases of the row of one query among so many tokens lie.
    fn row(&self, head: usize, query: usize, tokens: usize) -> std::ops::Range<usize> {
        let from = head * Biases::distances(self.longest) + self.longest - 1 - query;
        from..from + tokens
    }
}

impl Attention {
    /// Numbers per head and token.
    pub fn depth(&self) -> usize {
        self.width / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.depth() as f32).sqrt()
    }

    /// Floats of scratch that [`Attention::forward`] wants for a sequence.
    pub fn forward_scratch(tokens: usize) -> usize {
        tokens * tokens + tokens
    }

    /// Floats of scratch that [`Attention::backward`] wants for a sequence.
    pub fn backward_scratch(tokens: usize) -> usize {
        2 * tokens * tokens
    }

    /// Queries, keys and values of a head in `qkv (tokens, 3 * width)`.
    fn views<'a>(&self, qkv: &'a [f32], head: usize) -> [View<'a>; 3] {
        [0, 1, 2].map(|part| View::rows(&qkv[part * self.width + head * self.depth()..], 3 * self.width))
    }

    /// The tokens that one sees.
    fn seen(&self, query: usize, tokens: usize) -> std::ops::Range<usize> {
        let seen = match self.reach {
            None => 0..tokens,
            Some(reach) => query.saturating_sub(reach)..tokens.min(query + reach + 1),
        };
        if self.causal { seen.start..query + 1 } else { seen }
    }

    /// One sequence: `out (tokens, width)` of turned `qkv (tokens, 3 * width)`, and for each head and query the logarithm of its
    /// scores' sum, which [`Attention::backward`] wants.
    pub fn forward(
        &self,
        qkv: &[f32],
        biases: Option<Biases<'_>>,
        out: &mut [f32],
        logs: &mut [f32],
        scratch: &mut [f32],
        parallelism: Parallelism,
    ) {
        let (depth, scale, width) = (self.depth(), self.scale(), self.width);
        let tokens = out.len() / width;
        let (scores, sums) = scratch[..Attention::forward_scratch(tokens)].split_at_mut(tokens * tokens);
        for head in 0..self.heads {
            let [queries, keys, values] = self.views(qkv, head);
            multiply(scores, tokens, [tokens, tokens, depth], queries, keys.transposed(), false, parallelism);
            let logs = &mut logs[head * tokens..][..tokens];
            vectorised!({
                for (query, (row, sum)) in scores.chunks_exact_mut(tokens).zip(sums.iter_mut()).enumerate() {
                    match biases {
                        None => row.iter_mut().for_each(|score| *score *= scale),
                        Some(biases) => {
                            let row_of = &biases.values[biases.row(head, query, tokens)];
                            row.iter_mut().zip(row_of).for_each(|(score, bias)| *score = *score * scale + bias);
                        }
                    }
                    let seen = self.seen(query, tokens);
                    row[..seen.start].fill(0.0);
                    row[seen.end..].fill(0.0);
                    let largest = exponentials(&mut row[seen], sum);
                    logs[query] = largest + sum.ln();
                }
            });
            let out = &mut out[head * depth..];
            multiply(out, width, [tokens, depth, tokens], View::rows(scores, tokens), values, false, parallelism);
            vectorised!({
                for (row, sum) in out.chunks_mut(width).zip(&*sums) {
                    let share = 1.0 / sum;
                    row[..depth].iter_mut().for_each(|value| *value *= share);
                }
            });
        }
    }

    /// The gradient to turned queries, keys and to values of one sequence, `dqkv (tokens, 3 * width)`; to the biases it is added.
    pub fn backward(
        &self,
        made: &super::Made<'_>,
        biases: Option<Biases<'_>>,
        dqkv: &mut [f32],
        dbiases: &mut [f32],
        scratch: &mut [f32],
        parallelism: Parallelism,
    ) {
        let (depth, scale, width) = (self.depth(), self.scale(), self.width);
        let tokens = made.out.len() / width;
        let (scores, slopes) = scratch[..Attention::backward_scratch(tokens)].split_at_mut(tokens * tokens);
        for head in 0..self.heads {
            let [queries, keys, values] = self.views(made.qkv, head);
            let at = head * depth;
            let dout = View::rows(&made.dout[at..], width);
            multiply(scores, tokens, [tokens, tokens, depth], queries, keys.transposed(), false, parallelism);
            multiply(slopes, tokens, [tokens, tokens, depth], dout, values.transposed(), false, parallelism);
            let logs = &made.logs[head * tokens..][..tokens];
            let rows = scores.chunks_exact_mut(tokens).zip(slopes.chunks_exact_mut(tokens)).zip(logs).enumerate();
            for (query, ((scores, slopes), &log)) in rows {
                let own = query * width + at..query * width + at + depth;
                let seen = self.seen(query, tokens);
                let bias = biases.map(|biases| biases.row(head, query, tokens));
                vectorised!({
                    let mean = sum_of(&made.dout[own.clone()], &made.out[own.clone()], |dout, out| dout * out);
                    for (key, (score, slope)) in scores.iter_mut().zip(slopes.iter_mut()).enumerate() {
                        let bias = match (&biases, &bias) {
                            (Some(biases), Some(row)) => biases.values[row.start + key],
                            _ => 0.0,
                        };
                        let share = if seen.contains(&key) { exp(*score * scale + bias - log) } else { 0.0 };
                        *score = share;
                        *slope = share * (*slope - mean);
                    }
                    if let Some(row) = &bias {
                        dbiases[row.clone()].iter_mut().zip(slopes.iter()).for_each(|(sum, slope)| *sum += slope);
                    }
                    slopes.iter_mut().for_each(|slope| *slope *= scale);
                });
            }
            let (scores, slopes) = (View::rows(scores, tokens), View::rows(slopes, tokens));
            multiply(&mut dqkv[2 * width + at..], 3 * width, [tokens, depth, tokens], scores.transposed(), dout, false, parallelism);
            multiply(&mut dqkv[at..], 3 * width, [tokens, depth, tokens], slopes, keys, false, parallelism);
            multiply(&mut dqkv[width + at..], 3 * width, [tokens, depth, tokens], slopes.transposed(), queries, false, parallelism);
        }
    }
}

/// `row = exp(row - its largest)`, and their sum; answers the largest.
#[inline(always)]
fn exponentials(row: &mut [f32], sum: &mut f32) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (wide, tail) = row.as_chunks::<LANES>();
    for part in wide {
        for lane in 0..LANES {
            lanes[lane] = if part[lane] > lanes[lane] { part[lane] } else { lanes[lane] };
        }
    }
    let largest = lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |largest, &value| largest.max(value));
    let mut sums = [0.0; LANES];
    let (wide, tail) = row.as_chunks_mut::<LANES>();
    for part in wide {
        for lane in 0..LANES {
            part[lane] = exp(part[lane] - largest);
            sums[lane] += part[lane];
        }
    }
    for (value, sum) in tail.iter_mut().zip(&mut sums) {
        *value = exp(*value - largest);
        *sum += *value;
    }
    *sum = sums.iter().sum();
    largest
}
