//! The second half of a transformer's block as one op: `x + fc2(gelu(fc1(layer_norm(x))))`, in blocks of rows whose
//! share of the wide layer stays in a core's cache; only what goes into the GELU is kept for the backward pass.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::curve::normal;
use super::layer_norm;
use super::memory::{floats, read, tensor, with_scratch};
use super::product::{View, add_rows, affine, inner_parallelism, multiply, parts, parts_mut, sum_over_spans, transpose};
use super::simd::vectorised;
use super::{Activation, portable};

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
    /// Of the layer norm.
    pub eps: f64,
}

impl MlpBlock<'_> {
    /// `(B, N, D)` to the same shape. Gradients flow to x and every parameter. Errors when shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, _, width) = x.dims3()?;
        let hidden = self.expand.0.dim(0)?;
        let fits = self.expand.0.dims() == [hidden, width]
            && self.expand.1.dims() == [hidden]
            && self.contract.0.dims() == [width, hidden]
            && [self.contract.1, self.norm.0, self.norm.1].iter().all(|tensor| tensor.dims() == [width]);
        if !fits || x.elem_count() == 0 || hidden == 0 {
            bail!("a perceptron of {hidden} hidden numbers does not fit {:?}", x.dims())
        }
        if portable::is_for(x) {
            return portable::mlp_block(x, self);
        }
        let flat = |tensor: &Tensor| tensor.flatten_all();
        let packed = [self.norm.0, self.norm.1, self.expand.0, self.expand.1, self.contract.0, self.contract.1].map(flat);
        let packed = Tensor::cat(&packed.into_iter().collect::<Result<Vec<_>>>()?, 0)?;
        let keep = x.track_op() || packed.track_op();
        x.contiguous()?.apply_op2(&packed, Op { width, hidden, eps: self.eps, keep, saved: OnceLock::new() })
    }
}

struct Op {
    width: usize,
    hidden: usize,
    eps: f64,
    /// Somebody will ask for a gradient.
    keep: bool,
    saved: OnceLock<Saved>,
}

/// What the forward pass leaves for the backward pass.
struct Saved {
    statistics: Vec<f32>,
    hidden: Vec<f32>,
}

impl Op {
    /// Lengths of the packed parameters.
    fn lengths(&self) -> [usize; 6] {
        [self.width, self.width, self.hidden * self.width, self.hidden, self.width * self.hidden, self.width]
    }

    fn forward(&self, x: &[f32], packed: &[f32]) -> (Vec<f32>, Option<Saved>) {
        let (width, hidden) = (self.width, self.hidden);
        let [gamma, beta, expand, expand_bias, contract, bias] = parts(packed, self.lengths());
        let (expand, contract) = (transpose(expand, hidden, width), transpose(contract, width, hidden));
        let rows = x.len() / width;
        let block = block_rows(rows);
        let parallelism = inner_parallelism(rows.div_ceil(block));
        let one = |y: &mut [f32], x: &[f32], statistics: &mut [f32], wide: &mut [f32], bent: &mut [f32], normal: &mut [f32]| {
            let rows = x.len() / width;
            layer_norm::normalise(normal, x, gamma, beta, self.eps, statistics);
            let normal = View::rows(normal, width);
            affine(wide, [rows, hidden, width], normal, View::rows(&expand, hidden), expand_bias, None, parallelism);
            bent.copy_from_slice(wide);
            Activation::Gelu.apply(bent);
            affine(y, [rows, width, hidden], View::rows(bent, hidden), View::rows(&contract, width), bias, Some(x), parallelism);
        };
        let mut y = vec![0.0; x.len()];
        if !self.keep {
            y.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).for_each(|(y, x)| {
                let rows = x.len() / width;
                with_scratch(rows * (2 * hidden + width + 2), |scratch| {
                    let [wide, bent, normal, statistics] = parts_mut(scratch, [rows * hidden, rows * hidden, rows * width, rows * 2]);
                    one(y, x, statistics, wide, bent, normal);
                });
            });
            return (y, None);
        }
        let mut saved = Saved { statistics: vec![0.0; 2 * rows], hidden: vec![0.0; rows * hidden] };
        let parts = saved.statistics.par_chunks_mut(2 * block).zip(saved.hidden.par_chunks_mut(block * hidden));
        y.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).zip(parts).for_each(|((y, x), (statistics, wide))| {
            let rows = x.len() / width;
            with_scratch(rows * (hidden + width), |scratch| {
                let (bent, normal) = scratch.split_at_mut(rows * hidden);
                one(y, x, statistics, wide, bent, normal);
            });
        });
        (y, Some(saved))
    }

    /// Gradients to x and to the packed parameters.
    fn backward(&self, x: &[f32], packed: &[f32], dy: &[f32], saved: &Saved) -> (Vec<f32>, Vec<f32>) {
        let (width, hidden) = (self.width, self.hidden);
        let [gamma, beta, expand, _, contract, _] = parts(packed, self.lengths());
        let rows = x.len() / width;
        let block = block_rows(rows);
        let pieces = rows.div_ceil(block);
        let parallelism = inner_parallelism(pieces);
        let mut dx = vec![0.0; x.len()];
        let body = |piece: usize, dx: &mut [f32], sums: &mut [f32]| {
            let [dgamma, dbeta, dexpand, dexpand_bias, dcontract, dbias] = parts_mut(sums, self.lengths());
            let (first, rows) = (piece * block, dx.len() / width);
            let range = first * width..(first + rows) * width;
            let (x, dy) = (&x[range.clone()], &dy[range]);
            let statistics = &saved.statistics[2 * first..2 * (first + rows)];
            let wide = &saved.hidden[first * hidden..(first + rows) * hidden];
            with_scratch(rows * (2 * hidden + width), |scratch| {
                let [bent, dwide, normal] = parts_mut(scratch, [rows * hidden, rows * hidden, rows * width]);
                let gradient = View::rows(dy, width);
                multiply(dwide, hidden, [rows, hidden, width], gradient, View::rows(contract, hidden), false, parallelism);
                gelu_again(bent, dwide, wide);
                add_rows(dbias, dy);
                let size = [width, hidden, rows];
                multiply(dcontract, hidden, size, gradient.transposed(), View::rows(bent, hidden), true, parallelism);
                add_rows(dexpand_bias, dwide);
                layer_norm::normalise_again(normal, x, gamma, beta, statistics);
                let gradient = View::rows(dwide, hidden);
                let size = [hidden, width, rows];
                multiply(dexpand, width, size, gradient.transposed(), View::rows(normal, width), true, parallelism);
                // The normalised values are used up; their gradient takes their place.
                multiply(normal, width, [rows, width, hidden], gradient, View::rows(expand, width), false, parallelism);
                dx.copy_from_slice(dy);
                layer_norm::pull_back(dx, normal, x, gamma, statistics, dgamma, dbeta);
            });
        };
        let sums = sum_over_spans(pieces, &mut dx, block * width, packed.len(), body);
        (dx, sums)
    }
}

/// Rows per block, dealt evenly to the threads.
fn block_rows(rows: usize) -> usize {
    let threads = rayon::current_num_threads();
    rows.div_ceil(rows.div_ceil(ROWS).next_multiple_of(threads)).max(rows.min(32))
}

/// The GELU's value, and its slope upon the gradient, from one exponential.
fn gelu_again(bent: &mut [f32], gradient: &mut [f32], wide: &[f32]) {
    vectorised(|| {
        for ((bent, gradient), &x) in bent.iter_mut().zip(gradient.iter_mut()).zip(wide) {
            let (below, density) = normal(x);
            *bent = x * below;
            *gradient *= below + x * density;
        }
    });
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        "mlp-block"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, packed: &CpuStorage, pl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, saved) = self.forward(floats(x, xl)?, floats(packed, pl)?);
        if let Some(saved) = saved {
            // One op instance is applied once, so the cell is empty here.
            let _ = self.saved.set(saved);
        }
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, packed: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("a perceptron was asked for a gradient before its value") };
        let dy = dy.contiguous()?;
        let (dx, sums) = self.backward(&read(x)?, &read(packed)?, &read(&dy)?, saved);
        let dpacked = packed.track_op().then(|| tensor(sums, packed.dims())).transpose()?;
        Ok((x.track_op().then(|| tensor(dx, x.dims())).transpose()?, dpacked))
    }
}
