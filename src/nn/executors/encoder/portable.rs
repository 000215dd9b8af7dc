//! Single stages in candle's own ops: the road of every device that is not the CPU. Attention is worked out on padded rectangles
//! under a mask; all else on packed tokens.

use candle_core::{D, DType, Device, Tensor};

use super::plan::{Layer, Module, Plan};
use super::sequences::{Sequences, Tokens};
use super::{Encoder, Steps};
use crate::domain::recipe::Precision;
use crate::nn::backbone::Mode;
use crate::nn::error::Result;
use crate::nn::kernels::Activation;
use crate::nn::kernels::ops::{Pass, Road};
use crate::nn::kernels::portable;

/// What the layers of a pass have in common.
pub(super) struct Portable {
    sequences: Sequences,
    /// Tokens of the longest sequence.
    longest: usize,
    learning: Pass,
    /// Added to scores, for layers that see everything and for those that do not, by their reach: `(B, 1, N, N)`.
    masks: Vec<(Option<usize>, Tensor)>,
    /// Cosines and sines of rotary positions by their base, `(1, 1, N, depth)` each.
    turns: Vec<(f64, Tensor, Tensor)>,
}

/// What makes a score count for nothing.
const UNSEEN: f32 = -1e30;

impl Portable {
    pub fn new(sequences: &Sequences, plan: &Plan, learning: Pass, device: &Device) -> Result<Portable> {
        let longest = sequences.longest();
        let mut made = Portable { sequences: sequences.clone(), longest, learning, masks: Vec::new(), turns: Vec::new() };
        for layer in &plan.layers {
            if made.masks.iter().all(|(reach, _)| *reach != layer.reach) {
                made.masks.push((layer.reach, made.mask(layer.reach, plan.causal, device)?));
            }
            if let Some(base) = layer.rotary.filter(|base| made.turns.iter().all(|(of, ..)| of != base)) {
                let (cosines, sines) = turns(longest, plan.width / plan.heads, base, device)?;
                made.turns.push((base, cosines, sines));
            }
        }
        Ok(made)
    }

    fn mask(&self, reach: Option<usize>, causal: bool, device: &Device) -> Result<Tensor> {
        let (count, longest) = (self.sequences.lengths.len(), self.longest);
        let lengths = &self.sequences.lengths;
        let seen = |at: usize| {
            let (sequence, query, key) = (at / (longest * longest), at / longest % longest, at % longest);
            // Rows of padding see something, so that they are numbers.
            let within = key < lengths[sequence] || query >= lengths[sequence];
            let within = within && (!causal || key <= query || query >= lengths[sequence]);
            if within && reach.is_none_or(|reach| query.abs_diff(key) <= reach) { 0.0 } else { UNSEEN }
        };
        let values: Vec<f32> = (0..count * longest * longest).map(seen).collect();
        Ok(Tensor::from_vec(values, (count, 1, longest, longest), device)?)
    }

    fn linear(&self, x: &Tensor, (weight, bias): (Tensor, Tensor), precision: Precision) -> Result<Tensor> {
        Ok(portable::rows(x, (&weight, &bias), precision)?)
    }

    fn norm(&self, encoder: &Encoder, norm: &Module, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (gamma, beta) = encoder.module(norm, mode)?;
        Ok(Road::Portable.layer_norm(x, &gamma, &beta, encoder.plan.eps)?)
    }

    /// `(T, 3 D)` to `(T, D)`.
    fn attention(&self, encoder: &Encoder, layer: &Layer, qkv: &Tensor, mode: Mode) -> Result<Tensor> {
        let plan = &encoder.plan;
        let (count, longest, depth) = (self.sequences.lengths.len(), self.longest, plan.width / plan.heads);
        let rows = self.sequences.unpack(qkv, longest)?;
        let part = |part: usize| -> Result<Tensor> {
            let part = rows.narrow(2, part * plan.width, plan.width)?.reshape((count, longest, plan.heads, depth))?;
            Ok(part.transpose(1, 2)?.contiguous()?)
        };
        let (mut query, mut key, value) = (part(0)?, part(1)?, part(2)?);
        if let Some((_, cosines, sines)) = self.turns.iter().find(|(base, ..)| Some(*base) == layer.rotary) {
            query = turned(&query, cosines, sines)?;
            key = turned(&key, cosines, sines)?;
        }
        let mut scores = (query.matmul(&key.t()?.contiguous()?)? * (1.0 / (depth as f64).sqrt()))?;
        if let Some(biases) = encoder.biases(longest, mode)? {
            let places = (0..longest * longest).map(|at| (at % longest + longest - 1 - at / longest) as u32).collect::<Vec<_>>();
            let places = Tensor::new(places, biases.device())?;
            let square = biases.index_select(&places, 1)?.reshape((1, plan.heads, longest, longest))?;
            scores = scores.broadcast_add(&square)?;
        }
        if let Some((_, mask)) = self.masks.iter().find(|(reach, _)| *reach == layer.reach) {
            scores = scores.broadcast_add(mask)?;
        }
        let exponentials = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
        let shares = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
        let seen = shares.matmul(&value)?.transpose(1, 2)?.reshape((count, longest, plan.width))?;
        Sequences { padded: longest, ..self.sequences.clone() }.pack(&seen)
    }

    fn perceptron(&self, encoder: &Encoder, layer: &Layer, x: &Tensor, mode: Mode, precision: Precision) -> Result<Tensor> {
        let wide = self.linear(x, encoder.module(&layer.up, mode)?, precision)?;
        let bent = match encoder.plan.gated {
            false => portable::activate(&wide, encoder.plan.activation)?,
            true => {
                let half = encoder.plan.hidden;
                let gate = portable::activate(&wide.narrow(1, 0, half)?.contiguous()?, Activation::Gelu)?;
                (gate * wide.narrow(1, half, half)?)?
            }
        };
        self.linear(&bent, encoder.module(&layer.down, mode)?, precision)
    }
}

/// Cosines and sines, each number of the first half of a head beside that of the second.
fn turns(places: usize, depth: usize, base: f64, device: &Device) -> Result<(Tensor, Tensor)> {
    let angle = |at: usize| {
        let (place, pair) = (at / depth, at % depth % (depth / 2));
        place as f32 * (1.0 / base.powf(2.0 * pair as f64 / depth as f64)) as f32
    };
    let table = |of: fn(f32) -> f32| Tensor::from_vec((0..places * depth).map(|at| of(angle(at))).collect(), (1, 1, places, depth), device);
    Ok((table(libm::cosf)?, table(libm::sinf)?))
}

fn turned(x: &Tensor, cosines: &Tensor, sines: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let across = Tensor::cat(&[x.narrow(D::Minus1, half, half)?.neg()?, x.narrow(D::Minus1, 0, half)?], D::Minus1)?;
    Ok((x.broadcast_mul(cosines)? + across.broadcast_mul(sines)?)?)
}

impl Steps for Portable {
    type Flow = Tensor;

    fn embed(&self, encoder: &Encoder, tokens: &Tokens, mode: Mode) -> Result<Tensor> {
        let rows = encoder.looked_up(tokens, mode)?;
        match &encoder.plan.norm {
            Some(norm) => self.norm(encoder, norm, &rows, mode),
            None => Ok(rows),
        }
    }

    fn enter(&self, packed: &Tensor, _pass: &Pass) -> Result<Tensor> {
        Ok(packed.to_dtype(DType::F32)?)
    }

    fn layer(&self, encoder: &Encoder, index: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let pass = if mode == Mode::Train { self.learning } else { self.learning.frozen() };
        let (plan, precision) = (&encoder.plan, pass.arithmetic.precision);
        let layer = &plan.layers[index];
        let attend = |x: &Tensor| -> Result<Tensor> {
            let qkv = self.linear(x, encoder.qkv(&layer.qkv, mode)?, precision)?;
            self.linear(&self.attention(encoder, layer, &qkv, mode)?, encoder.module(&layer.output, mode)?, precision)
        };
        let before = |norm: &Option<Module>, x: &Tensor| match norm {
            Some(norm) => self.norm(encoder, norm, x, mode),
            None => Ok(x.clone()),
        };
        let y = if plan.pre_norm {
            let x = (x + attend(&before(&layer.attention_norm, x)?)?)?;
            let normal = self.norm(encoder, &layer.mlp_norm, &x, mode)?;
            (&x + self.perceptron(encoder, layer, &normal, mode, precision)?)?
        } else {
            let x = before(&layer.attention_norm, &(x + attend(x)?)?)?;
            let sum = (&x + self.perceptron(encoder, layer, &x, mode, precision)?)?;
            self.norm(encoder, &layer.mlp_norm, &sum, mode)?
        };
        match &plan.last_norm {
            Some(norm) if index + 1 == plan.layers.len() => self.norm(encoder, norm, &y, mode),
            _ => Ok(y),
        }
    }

    fn detach(&self, x: &Tensor) -> Tensor {
        x.detach()
    }

    fn leave(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.clone())
    }
}
