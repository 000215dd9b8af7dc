//! All stages at once, for networks that answer on a CPU: each thread takes some sequences through all layers, without waiting for
//! the others, and keeps what it works on in its cache.

use std::sync::OnceLock;

use candle_core::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::layers::attentions;
use super::plan::Module;
use super::sequences::{Sequences, Tokens};
use super::{Encoder, Mode};
use crate::nn::error::Result;
use crate::nn::executors::pooling::How;
use crate::nn::kernels::matmul::{View, affine, parts_mut, transpose};
use crate::nn::kernels::{Activation, Attention, Biases, Buffer, gate, normalise_rows, read, tensor, with_scratch};

/// Tokens of a thread's sequences together, about: enough for the products, few enough for a core's cache.
const TOKENS: usize = 256;
/// Rows of the perceptron that are worked on together.
const ROWS: usize = 64;

/// Weights as products want them: each matrix transposed, queries, keys and values side by side.
pub(super) struct Prepared {
    norm: Norm,
    layers: Vec<PreparedLayer>,
    last_norm: Option<Norm>,
}

struct PreparedLayer {
    attention_norm: Option<Norm>,
    qkv: Linear,
    output: Linear,
    mlp_norm: Norm,
    up: Linear,
    down: Linear,
}

struct Linear {
    /// `(inputs, outputs)`.
    weight: Buffer,
    bias: Vec<f32>,
    inputs: usize,
}

struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Linear {
    fn of((weight, bias): (Tensor, Tensor)) -> Result<Linear> {
        let (outputs, inputs) = weight.dims2()?;
        Ok(Linear { weight: transpose(&read(&weight)?, outputs, inputs), bias: bias.to_vec1()?, inputs })
    }

    /// `out (rows, outputs) = x (rows, inputs) * weight + bias + residual`.
    fn apply(&self, out: &mut [f32], x: &[f32], residual: Option<&[f32]>, parallelism: Parallelism) {
        let outputs = self.bias.len();
        let size = [x.len() / self.inputs, outputs, self.inputs];
        affine(out, size, View::rows(x, self.inputs), View::rows(&self.weight, outputs), &self.bias, residual, parallelism);
    }
}

/// What all pieces of a batch share.
struct Shared<'a> {
    encoder: &'a Encoder,
    prepared: &'a Prepared,
    attentions: &'a [Attention],
    biases: Option<Biases<'a>>,
    parallelism: Parallelism,
}

/// Some sequences one behind the other.
struct Piece<'a> {
    x: &'a mut [f32],
    lengths: &'a [usize],
}

impl Encoder {
    /// The features of all sequences, `(B, D)`.
    pub(super) fn answer(&self, tokens: &Tokens) -> Result<Tensor> {
        let fresh = OnceLock::new();
        let cell = self.prepared.as_ref().unwrap_or(&fresh);
        let prepared = match cell.get() {
            Some(prepared) => prepared,
            None => {
                let made = self.prepare()?;
                cell.get_or_init(|| made)
            }
        };
        let sequences = &tokens.sequences;
        let longest = sequences.longest();
        let attentions = attentions(&self.plan, longest);
        let biases = self.biases(longest, Mode::Eval)?;
        let values = biases.as_ref().map(read).transpose()?;
        let biases = values.as_ref().map(|values| Biases { values, longest });
        let width = self.plan.width;
        let mut x = Buffer::zeros(sequences.total() * width);
        let pieces = dealt(&mut x, &sequences.lengths, width);
        let parallelism = if pieces.len() < rayon::current_num_threads() { Parallelism::Rayon(0) } else { Parallelism::None };
        let shared = Shared { encoder: self, prepared, attentions: &attentions, biases, parallelism };
        let tables = self.tables(tokens)?;
        let tables = tables.iter().map(|(table, rows)| Ok((read(table)?, rows))).collect::<Result<Vec<_>>>()?;
        pieces.into_par_iter().for_each(|(first, mut piece)| {
            for (table, rows) in &tables {
                let rows = &rows[first..][..piece.x.len() / width];
                for (x, &row) in piece.x.chunks_exact_mut(width).zip(rows) {
                    let row = &table[row as usize * width..][..width];
                    x.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
            }
            prepared.norm.apply_in_place(piece.x, self.plan.eps);
            shared.run(&mut piece);
        });
        if self.pool.how == How::Mean && self.plan.pooler.is_none() {
            return self.means(&x, sequences);
        }
        let packed = tensor(x.to_vec(), &[sequences.total(), width])?;
        self.to_features(&packed, sequences, Mode::Eval)
    }

    fn prepare(&self) -> Result<Prepared> {
        let layer = |layer: &super::plan::Layer| -> Result<PreparedLayer> {
            let linear = |module: &Module| Linear::of(self.module(module, Mode::Eval)?);
            let (weight, bias) = self.qkv(&layer.qkv, Mode::Eval)?;
            Ok(PreparedLayer {
                attention_norm: layer.attention_norm.as_ref().map(|norm| Norm::of(self, norm)).transpose()?,
                qkv: Linear::of((weight.contiguous()?, bias))?,
                output: linear(&layer.output)?,
                mlp_norm: Norm::of(self, &layer.mlp_norm)?,
                up: linear(&layer.up)?,
                down: linear(&layer.down)?,
            })
        };
        Ok(Prepared {
            norm: Norm::of(self, &self.plan.norm)?,
            layers: self.plan.layers.iter().map(layer).collect::<Result<_>>()?,
            last_norm: self.plan.last_norm.as_ref().map(|norm| Norm::of(self, norm)).transpose()?,
        })
    }

    /// The tables whose rows are summed for each token, with the numbers of its rows.
    fn tables(&self, tokens: &Tokens) -> Result<Vec<(Tensor, Vec<u32>)>> {
        let plan = &self.plan;
        let table = |name: &str, rows: Vec<u32>| -> Result<(Tensor, Vec<u32>)> { Ok((self.tensor(name, Mode::Eval)?, rows)) };
        let mut tables = vec![table(&plan.words.name, tokens.ids.clone())?];
        if let Some(types) = &plan.types {
            tables.push(table(&types.name, tokens.types.clone())?);
        }
        if let Some((places, first)) = &plan.positions {
            tables.push(table(&places.name, tokens.places(*first))?);
        }
        Ok(tables)
    }

    /// The mean of each sequence, at length one where that is asked for.
    fn means(&self, x: &[f32], sequences: &Sequences) -> Result<Tensor> {
        let width = self.plan.width;
        let mut means = vec![0.0f32; sequences.lengths.len() * width];
        let mut rows = x.chunks_exact(width);
        for (mean, &length) in means.chunks_exact_mut(width).zip(sequences.lengths.iter()) {
            for row in rows.by_ref().take(length) {
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let by = match self.pool.normalised {
                // The length of the sum: how many tokens there are makes no difference.
                true => mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12),
                false => length as f32,
            };
            mean.iter_mut().for_each(|value| *value /= by);
        }
        Ok(tensor(means, &[sequences.lengths.len(), width])?)
    }
}

/// Whole sequences in pieces of about as many tokens, each with the number of its first token.
fn dealt<'a>(mut x: &'a mut [f32], mut lengths: &'a [usize], width: usize) -> Vec<(usize, Piece<'a>)> {
    let (mut pieces, mut first) = (Vec::new(), 0);
    let threads = rayon::current_num_threads();
    let share = lengths.iter().sum::<usize>().div_ceil(threads).clamp(1, TOKENS);
    while !lengths.is_empty() {
        let mut tokens = 0;
        let full = |length: &usize| {
            tokens += length;
            tokens >= share
        };
        let count = lengths.iter().position(full).map_or(lengths.len(), |last| last + 1);
        let (own, rest) = lengths.split_at(count);
        let tokens: usize = own.iter().sum();
        let (values, others) = std::mem::take(&mut x).split_at_mut(tokens * width);
        pieces.push((first, Piece { x: values, lengths: own }));
        (x, lengths, first) = (others, rest, first + tokens);
    }
    pieces
}

impl Norm {
    fn of(encoder: &Encoder, norm: &Module) -> Result<Norm> {
        let (gamma, beta) = encoder.module(norm, Mode::Eval)?;
        Ok(Norm { gamma: gamma.to_vec1()?, beta: beta.to_vec1()? })
    }

    fn apply(&self, y: &mut [f32], x: &[f32], eps: f64) {
        let mut statistics = [0.0; 2];
        let width = self.gamma.len();
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            normalise_rows(y, x, &self.gamma, &self.beta, eps, &mut statistics);
        }
    }

    fn apply_in_place(&self, x: &mut [f32], eps: f64) {
        let width = self.gamma.len();
        with_scratch(width, |row| {
            for x in x.chunks_exact_mut(width) {
                row.copy_from_slice(x);
                self.apply(x, row, eps);
            }
        });
    }
}

impl Shared<'_> {
    fn run(&self, piece: &mut Piece<'_>) {
        let plan = &self.encoder.plan;
        let (width, tokens) = (plan.width, piece.x.len() / plan.width);
        with_scratch(tokens * 5 * width, |scratch| {
            let [normal, qkv, seen] = parts_mut(scratch, [tokens * width, tokens * 3 * width, tokens * width]);
            for (layer, attention) in self.prepared.layers.iter().zip(self.attentions) {
                let from: &[f32] = match (&layer.attention_norm, plan.pre_norm) {
                    (Some(norm), true) => {
                        norm.apply(normal, piece.x, plan.eps);
                        normal
                    }
                    _ => piece.x,
                };
                layer.qkv.apply(qkv, from, None, self.parallelism);
                self.attend(attention, piece.lengths, qkv, seen);
                layer.output.apply(normal, seen, Some(piece.x), self.parallelism);
                match (&layer.attention_norm, plan.pre_norm) {
                    (Some(norm), false) => norm.apply(piece.x, normal, plan.eps),
                    _ => piece.x.copy_from_slice(normal),
                }
                self.perceptron(layer, piece.x);
            }
        });
        if let Some(norm) = &self.prepared.last_norm {
            norm.apply_in_place(piece.x, plan.eps);
        }
    }

    fn attend(&self, attention: &Attention, lengths: &[usize], qkv: &mut [f32], seen: &mut [f32]) {
        let width = attention.width;
        let (mut qkv, mut seen) = (qkv, seen);
        for &length in lengths {
            let (own, rest) = std::mem::take(&mut qkv).split_at_mut(3 * width * length);
            let (out, others) = std::mem::take(&mut seen).split_at_mut(width * length);
            (qkv, seen) = (rest, others);
            if let Some(rotary) = &attention.rotary {
                rotary.turn(own, width, false);
            }
            with_scratch(Attention::forward_scratch(length) + attention.heads * length, |scratch| {
                let (logs, scratch) = scratch.split_at_mut(attention.heads * length);
                attention.forward(own, self.biases, out, logs, scratch, self.parallelism);
            });
        }
    }

    fn perceptron(&self, layer: &PreparedLayer, x: &mut [f32]) {
        let plan = &self.encoder.plan;
        let (width, wide) = (plan.width, layer.up.bias.len());
        for x in x.chunks_mut(ROWS * width) {
            let rows = x.len() / width;
            with_scratch(rows * (2 * wide + width), |scratch| {
                let [hidden, gated, other] = parts_mut(scratch, [rows * wide, rows * wide, rows * width]);
                if plan.pre_norm {
                    layer.mlp_norm.apply(other, x, plan.eps);
                    layer.up.apply(hidden, other, None, self.parallelism);
                } else {
                    layer.up.apply(hidden, x, None, self.parallelism);
                }
                let hidden: &[f32] = match plan.gated {
                    true => {
                        let gated = &mut gated[..rows * plan.hidden];
                        gate(gated, hidden, plan.hidden);
                        gated
                    }
                    false => {
                        Activation::Gelu.apply(hidden);
                        hidden
                    }
                };
                layer.down.apply(other, hidden, Some(x), self.parallelism);
                match plan.pre_norm {
                    true => x.copy_from_slice(other),
                    false => layer.mlp_norm.apply(x, other, plan.eps),
                }
            });
        }
    }
}
