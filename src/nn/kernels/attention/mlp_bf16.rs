//! The same with linear layers that multiply bf16: layer by layer over the whole batch instead of block by block.

use candle_core::Result;
use rayon::prelude::*;

use super::mlp::{Block, Saved, Weights, again, biased, block_rows};
use super::tokens::Gradients;
use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::bf16::{Bf16Linear, add_both};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{add_in_order, add_rows, parts_mut, sum_over_spans};
use crate::nn::kernels::norm::layer_norm;

impl Block {
    /// `tokens` are those of an image.
    pub(super) fn forward_bf16(&self, x: &[f32], tokens: usize, w: &Weights<'_>, arithmetic: Arithmetic) -> Result<(Buffer, Saved)> {
        let (width, hidden) = (self.width, self.hidden);
        let rows = x.len() / width;
        let (block, sizes) = (block_rows(rows), [rows / tokens, tokens]);
        let mut saved = Saved { statistics: Buffer::any(2 * rows), hidden: Buffer::any(rows * hidden) };
        let mut normal = Buffer::any(x.len());
        let parts = normal.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).zip(saved.statistics.par_chunks_mut(2 * block));
        parts.for_each(|((normal, x), statistics)| layer_norm::normalise(normal, x, w.gamma, w.beta, self.eps, statistics));
        Bf16Linear::new(arithmetic, sizes, width, hidden)?.forward(&normal, w.expand, |_, _| {}, &mut saved.hidden)?;
        let mut activated = Buffer::any(rows * hidden);
        let parts = activated.par_chunks_mut(block * hidden).zip(saved.hidden.par_chunks_mut(block * hidden));
        parts.for_each(|(activated, wide)| biased(self.activation, activated, wide, w.expand_bias));
        // The result takes the place of the normalised values.
        let finish = |row: usize, y: &mut [f32]| add_both(y, w.bias, &x[row * width..(row + 1) * width]);
        Bf16Linear::new(arithmetic, sizes, hidden, width)?.forward(&activated, w.contract, finish, &mut normal)?;
        Ok((normal, saved))
    }

    pub(super) fn backward_bf16(
        &self,
        x: &[f32],
        tokens: usize,
        w: &Weights<'_>,
        mut dx: Buffer,
        saved: &Saved,
        arithmetic: Arithmetic,
    ) -> Result<(Buffer, Gradients<3>)> {
        let (width, hidden) = (self.width, self.hidden);
        let rows = x.len() / width;
        let (block, sizes) = (block_rows(rows), [rows / tokens, tokens]);
        let (expand, contract) = (Bf16Linear::new(arithmetic, sizes, width, hidden)?, Bf16Linear::new(arithmetic, sizes, hidden, width)?);
        let (mut dwide, mut activated) = (Buffer::any(rows * hidden), Buffer::any(rows * hidden));
        contract.input_gradient(&mut dx, w.contract, &mut dwide)?;
        let parts =
            activated.par_chunks_mut(block * hidden).zip(dwide.par_chunks_mut(block * hidden)).zip(saved.hidden.par_chunks(block * hidden));
        let sums = parts.map(|((activated, dwide), wide)| {
            let mut sums = vec![0.0; hidden];
            again(self.activation, activated, dwide, wide, &mut sums);
            sums
        });
        let dexpand_bias = add_in_order(sums.collect());
        let dcontract = contract.weight_gradient(&activated, &dx);
        drop(activated);
        let mut normal = Buffer::any(x.len());
        let parts = normal.par_chunks_mut(block * width).zip(x.par_chunks(block * width)).zip(saved.statistics.par_chunks(2 * block));
        parts.for_each(|((normal, x), statistics)| layer_norm::normalise_again(normal, x, w.gamma, w.beta, statistics));
        let dexpand = expand.weight_gradient(&normal, &dwide);
        // The normalised values are used up; their gradient takes their place.
        expand.input_gradient(&mut dwide, w.expand, &mut normal)?;
        let widths = [w.bias, w.gamma, w.beta].map(<[f32]>::len);
        let sums = sum_over_spans(rows.div_ceil(block), &mut dx, block * width, widths.iter().sum(), |piece, dx, sums| {
            let [dbias, dgamma, dbeta] = parts_mut(sums, widths);
            add_rows(dbias, dx);
            let (first, rows) = (piece * block, dx.len() / width);
            let own = first * width..(first + rows) * width;
            let statistics = &saved.statistics[2 * first..2 * (first + rows)];
            layer_norm::backward(dx, &normal[own.clone()], &x[own], w.gamma, statistics, dgamma, dbeta);
        });
        let [dbias, dgamma, dbeta] = sums.parts(widths);
        Ok((dx, [[dcontract, dbias], [dexpand, dexpand_bias], [dgamma, dbeta]]))
    }
}
