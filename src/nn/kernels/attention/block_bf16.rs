//! The same with linear layers that multiply bf16: layer by layer over the whole batch instead of image by image.

use candle_core::Result;
use rayon::prelude::*;

use super::Made;
use super::block::{Block, Saved, Weights};
use super::tokens::Gradients;
use super::window::Biased;
use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::bf16::{Bf16Linear, add_both};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::{add_rows, parts_mut, sum_over_spans};
use crate::nn::kernels::memory::with_scratch;
use crate::nn::kernels::norm::layer_norm;
use crate::nn::kernels::threads::Threads;

impl Block {
    pub(super) fn forward_bf16(
        &self,
        x: &[f32],
        w: &Weights<'_>,
        bias: Option<&Biased<'_>>,
        arithmetic: Arithmetic,
    ) -> Result<(Buffer, Saved)> {
        let (h, (image, result)) = (self.sizes, self.images());
        let batch = x.len() / image;
        let lengths = self.saved_lengths();
        let [mut statistics, mut qkv, mut out, mut logs] = lengths.map(|length| Buffer::any(batch * length));
        let mut normal = Buffer::any(x.len());
        let rows = normal.par_chunks_mut(image).zip(x.par_chunks(image)).zip(statistics.par_chunks_mut(lengths[0]));
        rows.for_each(|((normal, x), statistics)| layer_norm::normalise(normal, x, w.gamma, w.beta, self.eps, statistics));
        Bf16Linear::new(arithmetic, [batch, h.tokens], h.width, 3 * h.width)?.forward(
            &normal,
            w.qkv,
            |_, row| add_rows(row, w.qkv_bias),
            &mut qkv,
        )?;
        drop(normal);
        let parallelism = Threads::All.inside(batch);
        let images = out.par_chunks_mut(lengths[2]).zip(logs.par_chunks_mut(lengths[3])).zip(qkv.par_chunks(lengths[1]));
        images.enumerate().for_each(|(index, ((out, logs), qkv))| {
            let offsets = bias.map(|bias| bias.of(index));
            with_scratch(h.forward_scratch(), |scratch| super::forward(&h, qkv, offsets, out, logs, scratch, parallelism));
        });
        let mut y = Buffer::any(batch * result);
        let finish = |row: usize, y: &mut [f32]| {
            let at = row / h.queries * image + row % h.queries * h.width;
            add_both(y, w.bias, &x[at..at + h.width]);
        };
        Bf16Linear::new(arithmetic, [batch, h.queries], h.width, h.width)?.forward(&out, w.projection, finish, &mut y)?;
        Ok((y, Saved { statistics, qkv, out, logs }))
    }

    pub(super) fn backward_bf16(
        &self,
        x: &[f32],
        w: &Weights<'_>,
        bias: Option<&Biased<'_>>,
        mut dy: Buffer,
        saved: &Saved,
        arithmetic: Arithmetic,
    ) -> Result<(Buffer, Gradients<3>, Vec<f32>)> {
        let (h, (image, result)) = (self.sizes, self.images());
        let batch = x.len() / image;
        let (parallelism, lengths) = (Threads::All.inside(batch), self.saved_lengths());
        let layer = Bf16Linear::new(arithmetic, [batch, h.queries], h.width, h.width)?;
        let (mut dout, mut dqkv) = (Buffer::any(batch * result), Buffer::any(3 * x.len()));
        let dprojection = layer.weight_gradient(&saved.out, &dy);
        layer.input_gradient(&mut dy, w.projection, &mut dout)?;
        let scores = bias.map_or(0, |bias| bias.bias.len());
        let sums = sum_over_spans(batch, &mut dqkv, 3 * image, scores, |index, dqkv, dscores| {
            let [_, qkv, out, logs] = saved.of(index, lengths);
            let made = Made { qkv, out, logs, dout: &dout[index * result..(index + 1) * result] };
            let offsets = bias.map(|bias| bias.of(index));
            with_scratch(h.backward_scratch(), |scratch| super::backward(&h, &made, offsets, dqkv, dscores, scratch, parallelism));
        });
        let [dscores] = sums.parts([scores]);
        drop(dout);
        let mut normal = Buffer::any(x.len());
        let rows = normal.par_chunks_mut(image).zip(x.par_chunks(image)).zip(saved.statistics.par_chunks(lengths[0]));
        rows.for_each(|((normal, x), statistics)| layer_norm::normalise_again(normal, x, w.gamma, w.beta, statistics));
        let layer = Bf16Linear::new(arithmetic, [batch, h.tokens], h.width, 3 * h.width)?;
        let dqkv_weight = layer.weight_gradient(&normal, &dqkv);
        // The normalised values are used up; their gradient takes their place.
        layer.input_gradient(&mut dqkv, w.qkv, &mut normal)?;
        let mut dx = self.spread(dy, batch);
        let widths = [w.bias, w.qkv_bias, w.gamma, w.beta].map(<[f32]>::len);
        let sums = sum_over_spans(batch, &mut dx, image, widths.iter().sum(), |index, dx, sums| {
            let [dbias, dqkv_bias, dgamma, dbeta] = parts_mut(sums, widths);
            add_rows(dbias, &dx[..result]);
            add_rows(dqkv_bias, &dqkv[3 * index * image..3 * (index + 1) * image]);
            let own = index * image..(index + 1) * image;
            let [statistics, ..] = saved.of(index, lengths);
            layer_norm::backward(dx, &normal[own.clone()], &x[own], w.gamma, statistics, dgamma, dbeta);
        });
        let [dbias, dqkv_bias, dgamma, dbeta] = sums.parts(widths);
        Ok((dx, [[dprojection, dbias], [dqkv_weight, dqkv_bias], [dgamma, dbeta]], dscores))
    }
}
