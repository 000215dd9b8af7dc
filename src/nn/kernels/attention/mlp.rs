//! The second half of a transformer's block as one layer: `x + fc2(gelu(fc1(layer_norm(x))))`, in blocks of rows whose
//! share of the wide layer stays in a core's cache; only what goes into the GELU is kept for the backward pass. Another
//! activation may stand in the GELU's place.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::tokens::{Gradients, Parameters, Values};
use crate::domain::recipe::Precision;
use crate::nn::kernels::activation::{Activation, Function, normal, with_function};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{View, add_rows, affine, multiply, parts_mut, sum_over_spans, transpose};
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::norm::layer_norm;
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::tape::Node;
use crate::nn::kernels::threads::Threads;

/// Rows of a block at most: with 768 hidden numbers each, half a core's second-level cache.
const ROWS: usize = 256;

/// The parameters, under timm's names `norm2`, `mlp.fc1` and `mlp.fc2`; D is the width, F that in between.
#[derive(Clone, Copy)]
pub struct MlpBlock<'a> {
    /// `(D)` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// `(F, D)` and `(F)`.
    pub expand: (&'a Tensor, &'a Tensor),
    /// `(D, F)` and `(D)`.
    pub contract: (&'a Tensor, &'a Tensor),
    pub activation: Activation,
    /// Of the layer norm.
    pub eps: f64,
}

impl MlpBlock<'_> {
    /// Tokens `(B, N, D)` to the same shape. Gradients flow to x and every parameter. The two linear layers multiply in the
    /// node's arithmetic. Errors when shapes do not fit.
    pub fn forward(&self, x: &Node) -> Result<Node> {
        let _span = trace_span!("perceptron").entered();
        let block = self.block(x.shape)?;
        let parameters = Parameters::new([self.contract, self.expand, self.norm]);
        let (tokens, arithmetic) = (x.tokens(), x.arithmetic);
        let forward = |x: &[f32], values: &Values<'_, 3>, keep: bool| match arithmetic.precision {
            Precision::F32 => Ok(block.forward(x, &Weights::of(values), keep)),
            Precision::Bf16 => block.forward_bf16(x, tokens, &Weights::of(values), arithmetic).map(|(y, saved)| (y, Some(saved))),
        };
        let backward = move |x: &[f32], values: &Values<'_, 3>, dy: Buffer, saved: &Saved| {
            let _span = trace_span!("perceptron gradient").entered();
            match arithmetic.precision {
                Precision::F32 => Ok(block.backward(x, &Weights::of(values), dy, saved)),
                Precision::Bf16 => block.backward_bf16(x, tokens, &Weights::of(values), dy, saved, arithmetic),
            }
        };
        parameters.learn(x, x.shape, forward, backward)
    }

    /// Errors when shapes do not fit.
    pub(crate) fn check(&self, [batch, tokens, width]: [usize; 3]) -> Result<()> {
        self.block([batch, tokens, 1, width]).map(|_| ())
    }

    fn block(&self, [batch, tokens, _, width]: [usize; 4]) -> Result<Block> {
        let hidden = self.expand.1.elem_count();
        let fits = self.expand.0.dims() == [hidden, width]
            && self.expand.1.dims() == [hidden]
            && self.contract.0.dims() == [width, hidden]
            && [self.contract.1, self.norm.0, self.norm.1].iter().all(|tensor| tensor.dims() == [width]);
        if !fits || batch * tokens * width * hidden == 0 {
            bail!("a perceptron of {hidden} hidden numbers does not fit {:?}", [batch, tokens, width])
        }
        Ok(Block { width, hidden, eps: self.eps, activation: self.activation })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) width: usize,
    pub(super) hidden: usize,
    pub(super) eps: f64,
    pub(super) activation: Activation,
}

/// The parameters' values.
pub(super) struct Weights<'a> {
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
    pub(super) expand: &'a [f32],
    pub(super) expand_bias: &'a [f32],
    pub(super) contract: &'a [f32],
    pub(super) bias: &'a [f32],
}

impl<'a> Weights<'a> {
    fn of([[contract, bias], [expand, expand_bias], [gamma, beta]]: &'a Values<'_, 3>) -> Weights<'a> {
        Weights { gamma, beta, expand, expand_bias, contract, bias }
    }
}

/// What the forward pass leaves for the backward pass.
pub(super) struct Saved {
    pub(super) statistics: Buffer,
    pub(super) hidden: Buffer,
}

impl Block {
    fn forward(&self, x: &[f32], w: &Weights<'_>, keep: bool) -> (Buffer, Option<Saved>) {
        let (width, hidden) = (self.width, self.hidden);
        let (expand, contract) = (transpose(w.expand, hidden, width), transpose(w.contract, width, hidden));
        let rows = x.len() / width;
        let block = block_rows(rows);
        let parallelism = Threads::All.inside(rows.div_ceil(block));
        let one = |y: &mut [f32], x: &[f32], statistics: &mut [f32], wide: &mut [f32], activated: &mut [f32], normal: &mut [f32]| {
            let rows = x.len() / width;
            layer_norm::normalise(normal, x, w.gamma, w.beta, self.eps, statistics);
            let normal = View::rows(normal, width);
            multiply(wide, hidden, [rows, hidden, width], normal, View::rows(&expand, hidden), false, parallelism);
            biased(self.activation, activated, wide, w.expand_bias);
            affine(y, [rows, width, hidden], View::rows(activated, hidden), View::rows(&contract, width), w.bias, Some(x), parallelism);
        };
        let mut y = Buffer::any(x.len());
        if !keep {
            y.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).for_each(|(y, x)| {
                let rows = x.len() / width;
                with_scratch(rows * (2 * hidden + width + 2), |scratch| {
                    let [wide, activated, normal, statistics] = parts_mut(scratch, [rows * hidden, rows * hidden, rows * width, rows * 2]);
                    one(y, x, statistics, wide, activated, normal);
                });
            });
            return (y, None);
        }
        let mut saved = Saved { statistics: Buffer::any(2 * rows), hidden: Buffer::any(rows * hidden) };
        let parts = saved.statistics.par_chunks_mut(2 * block).zip(saved.hidden.par_chunks_mut(block * hidden));
        y.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).zip(parts).for_each(|((y, x), (statistics, wide))| {
            let rows = x.len() / width;
            with_scratch(rows * (hidden + width), |scratch| {
                let (activated, normal) = scratch.split_at_mut(rows * hidden);
                one(y, x, statistics, wide, activated, normal);
            });
        });
        (y, Some(saved))
    }

    /// Gradients to x and to the parameters.
    fn backward(&self, x: &[f32], w: &Weights<'_>, mut dx: Buffer, saved: &Saved) -> (Buffer, Gradients<3>) {
        let (width, hidden) = (self.width, self.hidden);
        let rows = x.len() / width;
        let block = block_rows(rows);
        let pieces = rows.div_ceil(block);
        let parallelism = Threads::All.inside(pieces);
        let lengths = [w.contract, w.bias, w.expand, w.expand_bias, w.gamma, w.beta].map(<[f32]>::len);
        // The gradient to the result is that to x by way of the residual, to which the rest is added at the end.
        let body = |piece: usize, dx: &mut [f32], sums: &mut [f32]| {
            let [dcontract, dbias, dexpand, dexpand_bias, dgamma, dbeta] = parts_mut(sums, lengths);
            let (first, rows) = (piece * block, dx.len() / width);
            let x = &x[first * width..(first + rows) * width];
            let statistics = &saved.statistics[2 * first..2 * (first + rows)];
            let wide = &saved.hidden[first * hidden..(first + rows) * hidden];
            with_scratch(rows * (2 * hidden + width), |scratch| {
                let [activated, dwide, normal] = parts_mut(scratch, [rows * hidden, rows * hidden, rows * width]);
                let gradient = View::rows(dx, width);
                multiply(dwide, hidden, [rows, hidden, width], gradient, View::rows(w.contract, hidden), false, parallelism);
                again(self.activation, activated, dwide, wide, dexpand_bias);
                add_rows(dbias, dx);
                let size = [width, hidden, rows];
                multiply(dcontract, hidden, size, gradient.transposed(), View::rows(activated, hidden), true, parallelism);
                layer_norm::normalise_again(normal, x, w.gamma, w.beta, statistics);
                let gradient = View::rows(dwide, hidden);
                let size = [hidden, width, rows];
                multiply(dexpand, width, size, gradient.transposed(), View::rows(normal, width), true, parallelism);
                // The normalised values are used up; their gradient takes their place.
                multiply(normal, width, [rows, width, hidden], gradient, View::rows(w.expand, width), false, parallelism);
                layer_norm::backward(dx, normal, x, w.gamma, statistics, dgamma, dbeta);
            });
        };
        let sums = sum_over_spans(pieces, &mut dx, block * width, lengths.iter().sum(), body);
        let [dcontract, dbias, dexpand, dexpand_bias, dgamma, dbeta] = sums.parts(lengths);
        (dx, [[dcontract, dbias], [dexpand, dexpand_bias], [dgamma, dbeta]])
    }
}

/// Rows per block, dealt evenly to the threads.
pub(super) fn block_rows(rows: usize) -> usize {
    let threads = rayon::current_num_threads();
    rows.div_ceil(rows.div_ceil(ROWS).next_multiple_of(threads)).max(rows.min(32))
}

/// `wide += bias`, row by row, and the activation of that.
pub(super) fn biased(activation: Activation, activated: &mut [f32], wide: &mut [f32], bias: &[f32]) {
    match activation {
        Activation::Gelu => biased_gelu(activated, wide, bias),
        other => with_function!(other, F => biased_by::<F>(activated, wide, bias)),
    }
}

/// The activation's value, and its slope upon the gradient; `sums += ` the sum of all rows of that.
pub(super) fn again(activation: Activation, activated: &mut [f32], gradient: &mut [f32], wide: &[f32], sums: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu_again(activated, gradient, wide, sums),
        other => with_function!(other, F => again_by::<F>(activated, gradient, wide, sums)),
    }
}

fn biased_by<F: Function>(activated: &mut [f32], wide: &mut [f32], bias: &[f32]) {
    let width = bias.len();
    vectorised!({
        for (activated, wide) in activated.chunks_exact_mut(width).zip(wide.chunks_exact_mut(width)) {
            for ((activated, wide), bias) in activated.iter_mut().zip(wide).zip(bias) {
                *wide += bias;
                *activated = F::value(*wide);
            }
        }
    });
}

fn again_by<F: Function>(activated: &mut [f32], gradient: &mut [f32], wide: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    vectorised!({
        let rows = activated.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(width)).zip(wide.chunks_exact(width));
        for ((activated, gradient), wide) in rows {
            for (((activated, gradient), &x), sum) in activated.iter_mut().zip(gradient).zip(wide).zip(sums.iter_mut()) {
                *activated = F::value(x);
                *gradient *= F::slope(x);
                *sum += *gradient;
            }
        }
    });
}

/// `wide += bias`, row by row, and the GELU of that.
fn biased_gelu(activated: &mut [f32], wide: &mut [f32], bias: &[f32]) {
    let width = bias.len();
    vectorised!({
        for (activated, wide) in activated.chunks_exact_mut(width).zip(wide.chunks_exact_mut(width)) {
            for ((activated, wide), bias) in activated.iter_mut().zip(wide).zip(bias) {
                *wide += bias;
                *activated = *wide * normal(*wide).0;
            }
        }
    });
}

/// The GELU's value, and its slope upon the gradient, from one exponential; `sums += ` the sum of all rows of that.
fn gelu_again(activated: &mut [f32], gradient: &mut [f32], wide: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    vectorised!({
        let rows = activated.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(width)).zip(wide.chunks_exact(width));
        for ((activated, gradient), wide) in rows {
            for (((activated, gradient), &x), sum) in activated.iter_mut().zip(gradient).zip(wide).zip(sums.iter_mut()) {
                let (below, density) = normal(x);
                *activated = x * below;
                *gradient *= below + x * density;
                *sum += *gradient;
            }
        }
    });
}
