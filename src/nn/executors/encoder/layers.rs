//! Single stages between nodes: the road of networks that learn on a CPU.

use std::sync::Arc;

use candle_core::Tensor;

use super::plan::{Layer, Module, Plan};
use super::sequences::{Sequences, Tokens};
use super::{Encoder, Steps};
use crate::domain::recipe::Precision;
use crate::nn::backbone::Mode;
use crate::nn::error::Result;
use crate::nn::kernels::backend::{self, Arithmetic, Choice};
use crate::nn::kernels::ops::Pass;
use crate::nn::kernels::tape::{Node, biased, packed};
use crate::nn::kernels::{Activation, Attention, Padding, Rotary, Spec};

/// What the layers of a pass have in common.
pub(super) struct Tape {
    lengths: Arc<[usize]>,
    /// Of each layer.
    attentions: Vec<Attention>,
    longest: usize,
}

/// A linear layer is a convolution of one pixel.
const POINTWISE: Spec = Spec { stride: 1, padding: Padding::Symmetric(0), groups: 1, ..Spec::POINTWISE };

/// How each layer's attention goes, over sequences of so many tokens at most.
pub(super) fn attentions(plan: &Plan, longest: usize) -> Vec<Attention> {
    let mut known: Vec<(f64, Rotary)> = Vec::new();
    let mut rotary = |base: f64| match known.iter().find(|(of, _)| *of == base) {
        Some((_, rotary)) => rotary.clone(),
        None => {
            let rotary = Rotary::new(longest, plan.width / plan.heads, base);
            known.push((base, rotary.clone()));
            rotary
        }
    };
    let (width, heads, causal) = (plan.width, plan.heads, plan.causal);
    let of = |layer: &Layer| Attention { width, heads, reach: layer.reach, causal, rotary: layer.rotary.map(&mut rotary) };
    plan.layers.iter().map(of).collect()
}

/// All tokens together are one image of one pixel's width. oneDNN takes threads of its own for a single image, which wait for each other
/// after every product: a step of MiniLM took a quarter longer with it.
fn arithmetic(precision: Precision) -> Arithmetic {
    let backend = if precision == Precision::F32 { Choice::Rust } else { backend::choice() };
    Arithmetic::new(backend, precision)
}

impl Tape {
    pub fn new(sequences: &Sequences, plan: &Plan) -> Result<Tape> {
        let longest = sequences.longest();
        Ok(Tape { lengths: sequences.lengths.clone(), attentions: attentions(plan, longest), longest })
    }

    fn linear(&self, x: &Node, (weight, bias): (Tensor, Tensor), activation: Activation, residual: Option<&Node>) -> Result<Node> {
        let (outputs, inputs) = weight.dims2()?;
        Ok(biased::conv_bias(x, (&weight.reshape((outputs, inputs, 1, 1))?, &bias), &POINTWISE, activation, residual)?)
    }

    fn norm(&self, encoder: &Encoder, norm: &Module, x: &Node, mode: Mode) -> Result<Node> {
        let (gamma, beta) = encoder.module(norm, mode)?;
        Ok(biased::layer_norm(x, &gamma, &beta, encoder.plan.eps)?)
    }

    fn attention(&self, encoder: &Encoder, index: usize, x: &Node, residual: &Node, mode: Mode) -> Result<Node> {
        let layer = &encoder.plan.layers[index];
        let qkv = self.linear(x, encoder.qkv(&layer.qkv, mode)?, Activation::None, None)?;
        let biases = encoder.biases(self.longest, mode)?;
        let seen = packed::attention(&qkv, &self.attentions[index], &self.lengths, biases.as_ref())?;
        self.linear(&seen, encoder.module(&layer.output, mode)?, Activation::None, Some(residual))
    }

    fn perceptron(&self, encoder: &Encoder, layer: &Layer, x: &Node, residual: &Node, mode: Mode) -> Result<Node> {
        let up = encoder.module(&layer.up, mode)?;
        let wide = match encoder.plan.gated {
            false => self.linear(x, up, encoder.plan.activation, None)?,
            true => packed::gated_gelu(&self.linear(x, up, Activation::None, None)?)?,
        };
        self.linear(&wide, encoder.module(&layer.down, mode)?, Activation::None, Some(residual))
    }
}

impl Steps for Tape {
    type Flow = Node;

    fn embed(&self, encoder: &Encoder, tokens: &Tokens, mode: Mode) -> Result<Node> {
        let rows = encoder.looked_up(tokens, mode)?;
        let x = self.enter(&rows, &encoder.settings.pass(&rows, mode == Mode::Train))?;
        match &encoder.plan.norm {
            Some(norm) => self.norm(encoder, norm, &x, mode),
            None => Ok(x),
        }
    }

    fn enter(&self, packed: &Tensor, pass: &Pass) -> Result<Node> {
        let (tokens, width) = packed.dims2()?;
        Ok(Node::enter(&packed.reshape((1, tokens, 1, width))?, pass.arithmetic)?)
    }

    fn layer(&self, encoder: &Encoder, index: usize, x: &Node, mode: Mode) -> Result<Node> {
        let precision = if mode == Mode::Train { x.arithmetic.precision } else { Precision::F32 };
        let x = &x.clone().at(arithmetic(precision));
        let plan = &encoder.plan;
        let layer = &plan.layers[index];
        let y = if plan.pre_norm {
            let normal = match &layer.attention_norm {
                Some(norm) => self.norm(encoder, norm, x, mode)?,
                None => x.clone(),
            };
            let x = self.attention(encoder, index, &normal, x, mode)?;
            let normal = self.norm(encoder, &layer.mlp_norm, &x, mode)?;
            self.perceptron(encoder, layer, &normal, &x, mode)?
        } else {
            let sum = self.attention(encoder, index, x, x, mode)?;
            let x = match &layer.attention_norm {
                Some(norm) => self.norm(encoder, norm, &sum, mode)?,
                None => sum,
            };
            let sum = self.perceptron(encoder, layer, &x, &x, mode)?;
            self.norm(encoder, &layer.mlp_norm, &sum, mode)?
        };
        match &plan.last_norm {
            Some(norm) if index + 1 == plan.layers.len() => self.norm(encoder, norm, &y, mode),
            _ => Ok(y),
        }
    }

    fn detach(&self, x: &Node) -> Node {
        x.detach()
    }

    fn leave(&self, x: &Node) -> Result<Tensor> {
        Ok(x.leave()?.reshape((x.tokens(), x.shape[3]))?)
    }
}
