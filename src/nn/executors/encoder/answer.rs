//! All stages at once where nobody learns on a CPU: each thread takes some sequences through all layers, without waiting for the
//! others, and keeps what it works on in its cache.

use std::cmp::Reverse;
use std::ops::Range;

use candle_core::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::layers::attentions;
use super::plan::Module;
use super::sequences::{Sequences, Tokens};
use super::{Encoder, Given, Mode};
use crate::nn::error::Result;
use crate::nn::executors::pooling::How;
use crate::nn::kernels::matmul::{View, affine, parts_mut, transpose};
use crate::nn::kernels::{Attention, Biases, Buffer, Floats, gate, normalise_rows, read, tensor, with_scratch};

/// Tokens of a thread's sequences together, about: enough for the products, few enough for a core's cache.
const TOKENS: usize = 256;
/// Rows of the perceptron that are worked on together.
const ROWS: usize = 64;

/// Weights as products want them: each matrix transposed, queries, keys and values side by side.
pub(super) struct Prepared {
    norm: Option<Norm>,
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
    layers: &'a [PreparedLayer],
    /// Where the last layer is among them.
    last_norm: Option<&'a Norm>,
    attentions: &'a [Attention],
    biases: Option<Biases<'a>>,
    parallelism: Parallelism,
}

/// Some sequences one behind the other, and which of the batch they are.
struct Piece {
    x: Buffer,
    sequences: Vec<usize>,
    lengths: Vec<usize>,
}

impl Encoder {
    /// The features of all sequences, `(B, D)`.
    pub(super) fn answer(&self, tokens: &Tokens) -> Result<Tensor> {
        let (given, stages) = (Given::Ids(tokens), 0..self.stages.len());
        let sequences = &tokens.sequences;
        if self.pool.how == How::Mean && self.plan.pooler.is_none() {
            return self.means(&self.pieces(stages, &given)?, sequences);
        }
        self.to_features(&self.passed(stages, &given)?, sequences, Mode::Eval)
    }

    /// What stages that nobody learns in make of a batch, packed: `(T, D)`.
    pub(super) fn passed(&self, stages: Range<usize>, given: &Given<'_>) -> Result<Tensor> {
        let (sequences, width) = (given.sequences(), self.plan.width);
        let starts = sequences.starts();
        let mut packed = vec![0.0; sequences.total() * width];
        for piece in self.pieces(stages, given)? {
            for (at, rows) in piece.rows(width) {
                packed[starts[at] as usize * width..][..rows.len()].copy_from_slice(rows);
            }
        }
        Ok(tensor(packed, &[sequences.total(), width])?)
    }

    /// All sequences, passed through these stages.
    fn pieces(&self, stages: Range<usize>, given: &Given<'_>) -> Result<Vec<Piece>> {
        let layers = stages.start.saturating_sub(1)..stages.end.saturating_sub(1);
        let fresh;
        let (prepared, own) = match &self.prepared {
            Some(cell) => match cell.get() {
                Some(prepared) => (prepared, layers.clone()),
                None => {
                    let made = self.prepare(0..self.plan.layers.len())?;
                    (cell.get_or_init(|| made), layers.clone())
                }
            },
            None => {
                fresh = self.prepare(layers.clone())?;
                (&fresh, 0..layers.len())
            }
        };
        let sequences = given.sequences();
        let longest = sequences.longest();
        let biases = self.biases(longest, Mode::Eval)?;
        let values = biases.as_ref().map(read).transpose()?;
        let biases = values.as_ref().map(|values| Biases { values, longest });
        let dealt = dealt(&sequences.lengths, rayon::current_num_threads());
        let parallelism = if dealt.len() < rayon::current_num_threads() { Parallelism::Rayon(0) } else { Parallelism::None };
        let attentions = attentions(&self.plan, longest);
        let last_norm = if layers.end == self.plan.layers.len() { prepared.last_norm.as_ref() } else { None };
        let (layers, attentions) = (&prepared.layers[own], &attentions[layers]);
        let shared = Shared { encoder: self, layers, last_norm, attentions, biases, parallelism };
        let tables = match given {
            Given::Ids(tokens) => self.tables(tokens)?,
            Given::Packed(..) => Vec::new(),
        };
        let start = match given {
            Given::Ids(_) => Start::Looked { tables: looked_into(&tables)?, norm: prepared.norm.as_ref() },
            Given::Packed(packed, _) => Start::Passed(read(packed)?),
        };
        let starts = sequences.starts();
        let run = |own: Vec<usize>| {
            let mut piece = start.piece(own, &starts, &sequences.lengths, self.plan.width);
            if let Start::Looked { norm: Some(norm), .. } = &start {
                norm.apply_in_place(&mut piece.x, self.plan.eps);
            }
            shared.run(&mut piece);
            piece
        };
        Ok(dealt.into_par_iter().map(run).collect())
    }

    fn prepare(&self, layers: Range<usize>) -> Result<Prepared> {
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
            norm: self.plan.norm.as_ref().map(|norm| Norm::of(self, norm)).transpose()?,
            layers: self.plan.layers[layers].iter().map(layer).collect::<Result<_>>()?,
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
    fn means(&self, pieces: &[Piece], sequences: &Sequences) -> Result<Tensor> {
        let width = self.plan.width;
        let mut means = vec![0.0f32; sequences.lengths.len() * width];
        for (at, rows) in pieces.iter().flat_map(|piece| piece.rows(width)) {
            let mean = &mut means[at * width..][..width];
            for row in rows.chunks_exact(width) {
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let by = match self.pool.normalised {
                // The length of the sum: how many tokens there are makes no difference.
                true => mean.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12),
                false => (rows.len() / width) as f32,
            };
            mean.iter_mut().for_each(|value| *value /= by);
        }
        Ok(tensor(means, &[sequences.lengths.len(), width])?)
    }
}

impl Piece {
    /// Each sequence's number in the batch, and its rows.
    fn rows(&self, width: usize) -> impl Iterator<Item = (usize, &[f32])> {
        let mut rest: &[f32] = &self.x;
        self.sequences.iter().zip(&self.lengths).map(move |(&at, &length)| {
            let (own, others) = rest.split_at(length * width);
            rest = others;
            (at, own)
        })
    }
}

fn looked_into(tables: &[(Tensor, Vec<u32>)]) -> Result<Vec<(Floats<'_>, &[u32])>> {
    tables.iter().map(|(table, rows)| Ok((read(table)?, rows.as_slice()))).collect()
}

/// What pieces begin with.
enum Start<'a> {
    /// The sum of rows of tables, normalised where there is a norm; the rows' numbers are beside each.
    Looked { tables: Vec<(Floats<'a>, &'a [u32])>, norm: Option<&'a Norm> },
    /// What earlier stages made.
    Passed(Floats<'a>),
}

impl Start<'_> {
    /// These sequences' first values, `(tokens, width)`.
    fn piece(&self, sequences: Vec<usize>, starts: &[u32], lengths: &[usize], width: usize) -> Piece {
        let lengths: Vec<usize> = sequences.iter().map(|&at| lengths[at]).collect();
        let mut x = Buffer::zeros(lengths.iter().sum::<usize>() * width);
        let mut rest: &mut [f32] = &mut x;
        for (&at, &length) in sequences.iter().zip(&lengths) {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(length * width);
            rest = others;
            let first = starts[at] as usize;
            match self {
                Start::Passed(packed) => own.copy_from_slice(&packed[first * width..][..length * width]),
                Start::Looked { tables, .. } => {
                    for (table, rows) in tables {
                        for (x, &row) in own.chunks_exact_mut(width).zip(&rows[first..][..length]) {
                            let row = &table[row as usize * width..][..width];
                            x.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                        }
                    }
                }
            }
        }
        Piece { x, sequences, lengths }
    }
}

/// Whole sequences in pieces of about as many tokens, as many pieces for each thread: the longest first, each to the piece that has
/// least (Graham 1969, longest processing time).
fn dealt(lengths: &[usize], threads: usize) -> Vec<Vec<usize>> {
    let total: usize = lengths.iter().sum();
    let count = (threads * total.div_ceil(threads * TOKENS)).clamp(1, lengths.len().max(1));
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| (Reverse(lengths[at]), at));
    let mut pieces = vec![(0, Vec::new()); count];
    for at in order {
        if let Some((tokens, own)) = pieces.iter_mut().min_by_key(|(tokens, _)| *tokens) {
            *tokens += lengths[at];
            own.push(at);
        }
    }
    pieces.into_iter().map(|(_, own)| own).filter(|own: &Vec<usize>| !own.is_empty()).collect()
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
    fn run(&self, piece: &mut Piece) {
        let plan = &self.encoder.plan;
        let (x, lengths): (&mut [f32], &[usize]) = (&mut piece.x, &piece.lengths);
        let (width, tokens) = (plan.width, x.len() / plan.width);
        with_scratch(tokens * 5 * width, |scratch| {
            let [normal, qkv, seen] = parts_mut(scratch, [tokens * width, tokens * 3 * width, tokens * width]);
            for (layer, attention) in self.layers.iter().zip(self.attentions) {
                let from: &[f32] = match (&layer.attention_norm, plan.pre_norm) {
                    (Some(norm), true) => {
                        norm.apply(normal, x, plan.eps);
                        normal
                    }
                    _ => x,
                };
                layer.qkv.apply(qkv, from, None, self.parallelism);
                self.attend(attention, lengths, qkv, seen);
                layer.output.apply(normal, seen, Some(&*x), self.parallelism);
                match (&layer.attention_norm, plan.pre_norm) {
                    (Some(norm), false) => norm.apply(x, normal, plan.eps),
                    _ => x.copy_from_slice(normal),
                }
                self.perceptron(layer, x);
            }
        });
        if let Some(norm) = self.last_norm {
            norm.apply_in_place(x, plan.eps);
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
                        plan.activation.apply(hidden);
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
