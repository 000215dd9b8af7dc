//! A linear layer with its bias and activation in one op: what stands between a pooled map and a classifier.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::activation::Activation;
use super::matmul::{View, add_rows, affine, multiply, sum_over_spans, transpose};
use super::memory::{floats, read, tensor};
use super::threads::Threads;

/// Rows a thread takes at a time.
const ROWS: usize = 256;

/// Errors when shapes do not fit.
pub(crate) fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<()> {
    let (rows, inputs) = x.dims2()?;
    let outputs = bias.elem_count();
    if weight.dim(0)? != outputs || weight.elem_count() != outputs * inputs || rows * inputs * outputs == 0 || bias.rank() != 1 {
        bail!("a linear layer of {:?} and {:?} does not fit {:?}", weight.dims(), bias.dims(), x.dims())
    }
    Ok(())
}

/// `activation(x * weight^T + bias)` for `x (B, I)`, `weight (O, I)` or `(O, I, 1, 1)`, `bias (O)`. Gradients flow to
/// all three.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let (inputs, outputs) = (x.dim(1)?, bias.elem_count());
    x.contiguous()?.apply_op3(&weight.contiguous()?, bias, Linear { inputs, outputs, activation, before: OnceLock::new() })
}

struct Linear {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    /// What went into the activation, where there is one.
    before: OnceLock<Vec<f32>>,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let _span = trace_span!("linear").entered();
        let (x, weight, bias) = (floats(x, xl)?, floats(weight, wl)?, floats(bias, bl)?);
        let (inputs, outputs) = (self.inputs, self.outputs);
        let rows = x.len() / inputs;
        let transposed = transpose(weight, outputs, inputs);
        let parallelism = Threads::All.inside(rows.div_ceil(ROWS));
        let mut y = vec![0.0; rows * outputs];
        y.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs)).for_each(|(y, x)| {
            let size = [x.len() / inputs, outputs, inputs];
            affine(y, size, View::rows(x, inputs), View::rows(&transposed, outputs), bias, None, parallelism);
        });
        if self.activation != Activation::None {
            // One op instance is applied once, so the cell is empty here.
            let _ = self.before.set(y.clone());
            y.par_chunks_mut(ROWS * outputs).for_each(|y| self.activation.apply(y));
        }
        Ok((CpuStorage::F32(y), Shape::from((rows, outputs))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let _span = trace_span!("linear gradient").entered();
        let (inputs, outputs) = (self.inputs, self.outputs);
        let dy = dy.contiguous()?;
        let mut gradient = read(&dy)?.to_vec();
        match self.before.get() {
            Some(before) => self.activation.backward(&mut gradient, before),
            None if self.activation == Activation::None => {}
            None => bail!("a linear layer was asked for a gradient before its value"),
        }
        let (values, factors) = (read(x)?, read(weight)?);
        let rows = values.len() / inputs;
        let pieces = rows.div_ceil(ROWS);
        let parallelism = Threads::All.inside(pieces);
        let mut dx = vec![0.0; values.len()];
        let sums = sum_over_spans(pieces, &mut dx, ROWS * inputs, outputs * (inputs + 1), |piece, dx, sums| {
            let (dweight, dbias) = sums.split_at_mut(outputs * inputs);
            let rows = dx.len() / inputs;
            let dy = &gradient[piece * ROWS * outputs..][..rows * outputs];
            let view = View::rows(dy, outputs);
            multiply(dx, inputs, [rows, inputs, outputs], view, View::rows(&factors, inputs), false, parallelism);
            let x = View::rows(&values[piece * ROWS * inputs..], inputs);
            multiply(dweight, inputs, [outputs, inputs, rows], view.transposed(), x, true, parallelism);
            add_rows(dbias, dy);
        });
        let [dweight, dbias] = sums.parts([outputs * inputs, outputs]);
        Ok((Some(tensor(dx, x.dims())?), Some(tensor(dweight, weight.dims())?), Some(tensor(dbias, bias.dims())?)))
    }
}
