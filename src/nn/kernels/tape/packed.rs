//! Layers between [nodes](Node) over packed sequences: tokens of all of them, one behind the other, are a node of
//! `(1, tokens, 1, width)`.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::{Gradient, Node, Step, step_link};
use crate::nn::kernels::activation::normal;
use crate::nn::kernels::attention::Made;
use crate::nn::kernels::attention::packed::{Attention, Biases};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::matmul::add_in_order;
use crate::nn::kernels::memory::{read, tensor, with_scratch};
use crate::nn::kernels::simd::vectorised;
use crate::nn::kernels::threads::Threads;

/// Rows a thread takes at a time.
const ROWS: usize = 64;

/// The parts of a slice, one for each sequence, each `per_token` times as long as that.
fn pieces<'a>(mut slice: &'a [f32], lengths: &[usize], per_token: usize) -> Vec<&'a [f32]> {
    let cut = |length: &usize| {
        let (piece, rest) = slice.split_at(length * per_token);
        slice = rest;
        piece
    };
    lengths.iter().map(cut).collect()
}

fn pieces_mut<'a>(mut slice: &'a mut [f32], lengths: &[usize], per_token: usize) -> Vec<&'a mut [f32]> {
    let cut = |length: &usize| {
        let (piece, rest) = std::mem::take(&mut slice).split_at_mut(length * per_token);
        slice = rest;
        piece
    };
    lengths.iter().map(cut).collect()
}

/// What each sequence's tokens make of it: `qkv (1, T, 1, 3 D)` to `(1, T, 1, D)`, where `lengths` add up to T. `biases (heads,
/// 2 * longest - 1)` are added to the scores by distance. Gradients flow to both. Errors when shapes do not fit.
pub fn attention(qkv: &Node, attention: &Attention, lengths: &Arc<[usize]>, biases: Option<&Tensor>) -> Result<Node> {
    let _span = trace_span!("attention").entered();
    let (width, heads, longest) = (attention.width, attention.heads, lengths.iter().copied().max().unwrap_or(0));
    let tokens = qkv.tokens();
    let fits = heads > 0
        && width % heads == 0
        && qkv.shape == [1, tokens, 1, 3 * width]
        && lengths.iter().sum::<usize>() == tokens
        && lengths.iter().all(|length| *length > 0)
        && biases.is_none_or(|biases| biases.dims() == [heads, Biases::distances(longest)])
        && attention.rotary.as_ref().is_none_or(|rotary| rotary.places() >= longest);
    if !fits || tokens == 0 {
        bail!("an attention of {heads} heads over {width} numbers does not fit {:?} and sequences of {lengths:?} tokens", qkv.shape)
    }
    let left = Left { attention: attention.clone(), lengths: lengths.clone(), longest };
    let none = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    let (turned, out, logs) = left.forward(qkv, biases)?;
    let out = Arc::new(out);
    let gradient = Arc::new(Gradient::default());
    let (from, values) = (gradient.clone(), out.clone());
    let to = qkv.is_tracked().then(|| qkv.gradient.clone());
    let back = move |biases: &Tensor, _: &Tensor| {
        let _span = trace_span!("attention gradient").entered();
        let dout = from.take(values.len());
        let biases = (biases.rank() == 2).then_some(biases);
        let (dqkv, dbiases) = left.backward(&turned, &values, &logs, &dout, biases)?;
        if let Some(to) = to {
            to.add(dqkv);
        }
        let wanted = biases.filter(|biases| biases.track_op());
        Ok((wanted.map(|biases| tensor(dbiases, biases.dims())).transpose()?, None))
    };
    let link = qkv.link.apply_op3(biases.unwrap_or(&none), &none, Step::new(back))?;
    Ok(Node { shape: [1, tokens, 1, width], values: out, link, gradient, arithmetic: qkv.arithmetic })
}

struct Left {
    attention: Attention,
    lengths: Arc<[usize]>,
    longest: usize,
}

impl Left {
    /// Turned queries, keys and values, the result, and the logarithms.
    fn forward(&self, qkv: &Node, biases: Option<&Tensor>) -> Result<(Arc<Buffer>, Buffer, Buffer)> {
        let (a, lengths) = (&self.attention, &self.lengths);
        let tokens = qkv.tokens();
        let turned = match &a.rotary {
            None => qkv.values.clone(),
            Some(rotary) => {
                let mut turned = Buffer::any(qkv.values.len());
                turned.copy_from_slice(&qkv.values);
                pieces_mut(&mut turned, lengths, 3 * a.width).into_par_iter().for_each(|qkv| rotary.turn(qkv, a.width, false));
                Arc::new(turned)
            }
        };
        let (mut out, mut logs) = (Buffer::any(tokens * a.width), Buffer::any(tokens * a.heads));
        let values = biases.map(read).transpose()?;
        let biases = values.as_ref().map(|values| Biases { values, longest: self.longest });
        let parallelism = Threads::All.inside(lengths.len());
        let outs = pieces_mut(&mut out, lengths, a.width);
        let parts = pieces(&turned, lengths, 3 * a.width).into_par_iter().zip(outs).zip(pieces_mut(&mut logs, lengths, a.heads));
        parts.for_each(|((qkv, out), logs)| {
            with_scratch(Attention::forward_scratch(out.len() / a.width), |scratch| {
                a.forward(qkv, biases, out, logs, scratch, parallelism);
            });
        });
        Ok((turned, out, logs))
    }

    /// Gradients to queries, keys and values as they were given, and to the biases.
    fn backward(&self, qkv: &[f32], out: &[f32], logs: &[f32], dout: &[f32], biases: Option<&Tensor>) -> Result<(Buffer, Vec<f32>)> {
        let (a, lengths) = (&self.attention, &self.lengths);
        let mut dqkv = Buffer::any(qkv.len());
        let values = biases.map(read).transpose()?;
        let biases = values.as_ref().map(|values| Biases { values, longest: self.longest });
        let parallelism = Threads::All.inside(lengths.len());
        let distances = if biases.is_some() { a.heads * Biases::distances(self.longest) } else { 0 };
        let made = pieces(qkv, lengths, 3 * a.width).into_iter().zip(pieces(out, lengths, a.width));
        let made = made.zip(pieces(logs, lengths, a.heads)).zip(pieces(dout, lengths, a.width));
        let made: Vec<Made<'_>> = made.map(|(((qkv, out), logs), dout)| Made { qkv, out, logs, dout }).collect();
        let one = |(made, dqkv): (Made<'_>, &mut [f32])| {
            let mut dbiases = vec![0.0; distances];
            with_scratch(Attention::backward_scratch(made.out.len() / a.width), |scratch| {
                a.backward(&made, biases, dqkv, &mut dbiases, scratch, parallelism);
            });
            if let Some(rotary) = &a.rotary {
                rotary.turn(dqkv, a.width, true);
            }
            dbiases
        };
        let dbiases: Vec<Vec<f32>> = made.into_par_iter().zip(pieces_mut(&mut dqkv, lengths, 3 * a.width)).map(one).collect();
        Ok((dqkv, add_in_order(dbiases)))
    }
}

/// `gelu(a) * b` where `x (..., 2 F)` holds a and then b: to `(..., F)` (Shazeer 2020). Gradients flow to x.
pub fn gated_gelu(x: &Node) -> Result<Node> {
    let [batch, height, width, channels] = x.shape;
    if channels % 2 != 0 || x.values.is_empty() {
        bail!("a gate over {channels} numbers has no halves")
    }
    let half = channels / 2;
    let mut y = Buffer::any(x.values.len() / 2);
    y.par_chunks_mut(ROWS * half).zip(x.values.par_chunks(ROWS * channels)).for_each(|(y, x)| gate(y, x, half));
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let link = step_link(&x.link, move || {
        let dy = from.take(values.len() / 2);
        let Some(to) = to else { return Ok(()) };
        let mut dx = Buffer::any(values.len());
        let parts = dx.par_chunks_mut(ROWS * channels).zip(values.par_chunks(ROWS * channels)).zip(dy.par_chunks(ROWS * half));
        parts.for_each(|((dx, x), dy)| gate_gradient(dx, x, dy, half));
        to.add(dx);
        Ok(())
    })?;
    Ok(Node { shape: [batch, height, width, half], values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// `y = gelu(a) * b`, row by row.
pub(crate) fn gate(y: &mut [f32], x: &[f32], half: usize) {
    vectorised!({
        for (y, x) in y.chunks_exact_mut(half).zip(x.chunks_exact(2 * half)) {
            let (a, b) = x.split_at(half);
            y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = a * normal(a).0 * b);
        }
    });
}

fn gate_gradient(dx: &mut [f32], x: &[f32], dy: &[f32], half: usize) {
    vectorised!({
        for ((dx, x), dy) in dx.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)).zip(dy.chunks_exact(half)) {
            let (da, db) = dx.split_at_mut(half);
            let (a, b) = x.split_at(half);
            for ((((da, db), &a), &b), &dy) in da.iter_mut().zip(db).zip(a).zip(b).zip(dy) {
                let (below, density) = normal(a);
                *da = dy * b * (below + a * density);
                *db = dy * a * below;
            }
        }
    });
}
