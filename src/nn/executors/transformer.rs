//! Runs vision transformers. Between stages flow tokens `(B, N, D)`: the class token and the registers, where there are any, and
//! the patches. The pooled features are the class token's, or what a pool of attention in a last stage of its own makes of all.

use std::ops::Range;

use candle_core::{Tensor, Var};

use super::adapter::LowRank;
use super::attention_pool::AttentionPool;
use super::block::Block;
use super::parameter::{Pair, handle, parameter};
use crate::domain::recipe::Precision;
use crate::nn::architectures::PROJECTION;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Patches, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::ops::{Pass, Road, Settings};
use crate::nn::kernels::tape::{Node, biased};
use crate::nn::kernels::{Activation, PatchEmbed, portable};
use crate::nn::weights::Weights;

/// What must be known of a transformer to run it.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Numbers per token.
    pub width: usize,
    pub heads: usize,
    /// Blocks.
    pub depth: usize,
    /// Of an image, in pixels.
    pub side: usize,
    /// Added to variances in layer norm.
    pub eps: f64,
    /// Of perceptrons.
    pub activation: Activation,
    /// Whether positions are also learnt of the tokens before the patches.
    pub places_prefix: bool,
}

/// A backbone built from its sizes and tensors.
pub(crate) struct Transformer {
    architecture: String,
    sizes: Sizes,
    stages: Vec<Stage>,
    /// Of patches: their matrix and, where there is one, its bias.
    projection: (Var, Option<Var>),
    /// The class token and the registers, those that there are.
    prefix: Vec<Var>,
    position: Var,
    /// Before the blocks, where there is one.
    norm_pre: Option<Pair>,
    blocks: Vec<Block>,
    norm: Pair,
    attention_pool: Option<AttentionPool>,
    /// Into a space that is shared with another network, where there is one: `(outputs, D)`.
    shared: Option<Var>,
    weights: Weights,
    settings: Settings,
    /// What learned before adapters took its place.
    replaced: Vec<Stage>,
}

impl Transformer {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, sizes: Sizes, stages: Vec<(String, Vec<Expected>)>, weights: Weights) -> Result<Transformer> {
        let pair = |module: &str| Pair::of(module, &weights, architecture);
        let attention_pool = AttentionPool::of(&weights, architecture, sizes.activation)?;
        let block = |index| Block::of(&prefix_of(index), sizes.activation, &weights, architecture);
        Ok(Transformer {
            architecture: architecture.into(),
            sizes,
            stages: Stage::list(stages),
            projection: (handle("patch_embed.proj.weight", &weights, architecture)?, weights.get("patch_embed.proj.bias").cloned()),
            prefix: ["cls_token", "reg_token"].iter().filter_map(|name| weights.get(name).cloned()).collect(),
            position: handle("pos_embed", &weights, architecture)?,
            norm_pre: weights.get("norm_pre.weight").map(|_| pair("norm_pre")).transpose()?,
            blocks: (0..sizes.depth).map(block).collect::<Result<_>>()?,
            norm: pair("norm")?,
            attention_pool,
            shared: weights.get(PROJECTION).cloned(),
            weights,
            settings: Settings::new(),
            replaced: Vec::new(),
        })
    }

    /// The stages of this range, the first `frozen_stages` of all as constants; of the last block only the first `queries`
    /// tokens are worked out.
    fn run(&self, stages: Range<usize>, x: &Tensor, queries: usize, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.is_empty() {
            return Ok(x.clone());
        }
        self.check(&stages, x)?;
        let (end, mode) = (stages.end, |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode });
        let learning = self.settings.pass(x, mode(end - 1) == Mode::Train);
        let pass = |stage: usize| if mode(stage) == Mode::Train { learning } else { learning.frozen() };
        // The pool, where it is a stage, comes after the blocks.
        let pool = self.blocks.len() + 1;
        let mut tokens = x.clone();
        if stages.start < pool {
            let body = stages.start..end.min(pool);
            tokens = if learning.road == Road::Portable {
                let mut y = tokens;
                for stage in body {
                    y = self.compose(stage, &y, queries, mode(stage), &pass(stage))?;
                    y = if stage < frozen_stages { y.detach() } else { y };
                }
                y
            } else {
                let first = pass(stages.start).arithmetic;
                let mut y = match stages.start {
                    0 => Node::enter(x, first)?,
                    _ => Node::enter_tokens(x, first)?,
                };
                for stage in body {
                    y = self.forward(stage, &y.at(pass(stage).arithmetic), queries, mode(stage))?;
                    y = if stage < frozen_stages { y.detach() } else { y };
                }
                y.leave_tokens()?
            };
            if end < pool {
                return Ok(tokens);
            }
            let (gamma, beta) = self.norm.tensors(self.of_base(mode(pool - 1)));
            tokens = learning.road.layer_norm(&tokens, &gamma, &beta, self.sizes.eps)?;
        }
        match &self.attention_pool {
            Some(attention) if end > pool => {
                let mode_of_pool = self.of_base(mode(pool));
                let pooled = attention.forward(&tokens, self.heads(), mode_of_pool, &learning)?;
                Ok(if pool < frozen_stages { pooled.detach() } else { pooled })
            }
            _ => Ok(tokens),
        }
    }

    /// Errors unless those stages exist and the first takes `x`.
    fn check(&self, stages: &Range<usize>, x: &Tensor) -> Result<()> {
        if stages.end > self.stages.len() {
            let (count, stage) = (self.stages.len(), stages.end - 1);
            return Err(Error::Invalid(format!("{} has {count} stages, there is no stage {stage}", self.architecture)));
        }
        let (side, width) = (self.sizes.side, self.sizes.width);
        if stages.start > 0 && (x.rank() != 3 || x.dim(2)? != width) {
            return Err(Error::Invalid(format!("a batch of tokens has the shape (batch, tokens, {width}), not {:?}", x.dims())));
        }
        if stages.start == 0 && !matches!(x.dims(), [_, 3, height, width] if *height == side && *width == side) {
            return Err(Error::Invalid(format!(
                "{} has learnt the positions of patches in images of {side} pixels: it takes (batch, 3, {side}, {side}), not {:?}",
                self.architecture,
                x.dims()
            )));
        }
        Ok(())
    }

    /// One stage between nodes.
    fn forward(&self, stage: usize, x: &Node, queries: usize, mode: Mode) -> Result<Node> {
        let Some(block) = self.block(stage) else {
            let tokens = self.embedded(mode, |embed| embed.forward(x))??;
            return match &self.norm_pre {
                None => Ok(tokens),
                Some(norm) => {
                    let (gamma, beta) = norm.tensors(self.of_base(mode));
                    Ok(biased::layer_norm(&tokens, &gamma, &beta, self.sizes.eps)?)
                }
            };
        };
        let queries = self.queries(stage, queries, x.tokens());
        block.halves(self.heads(), (mode, self.of_base(mode)), |attention, mlp| mlp.forward(&attention.forward(x, queries)?))
    }

    /// The same between tensors, where the kernels are composed.
    fn compose(&self, stage: usize, x: &Tensor, queries: usize, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let Some(block) = self.block(stage) else {
            let tokens = self.embedded(mode, |embed| portable::patch_embed(x, embed))??;
            return match &self.norm_pre {
                None => Ok(tokens),
                Some(norm) => {
                    let (gamma, beta) = norm.tensors(self.of_base(mode));
                    Ok(Road::Portable.layer_norm(&tokens, &gamma, &beta, self.sizes.eps)?)
                }
            };
        };
        let precision = pass.arithmetic.precision;
        let queries = self.queries(stage, queries, x.dim(1)?);
        block.halves(self.heads(), (mode, self.of_base(mode)), |attention, mlp| {
            portable::mlp_block(&portable::attention_block(x, attention, queries, precision)?, mlp, precision)
        })
    }

    /// How the base's own parameters are run: where adapters learn, they do not.
    fn of_base(&self, mode: Mode) -> Mode {
        if self.replaced.is_empty() { mode } else { Mode::Eval }
    }

    /// All stages but the stem are one.
    fn block(&self, stage: usize) -> Option<&Block> {
        stage.checked_sub(1).and_then(|block| self.blocks.get(block))
    }

    fn heads(&self) -> (usize, f64) {
        (self.sizes.heads, self.sizes.eps)
    }

    /// Only after the last block tokens may be missing.
    fn queries(&self, stage: usize, wanted: usize, tokens: usize) -> usize {
        if stage == self.blocks.len() { wanted.min(tokens) } else { tokens }
    }

    fn embedded<R>(&self, mode: Mode, with: impl FnOnce(&PatchEmbed<'_>) -> R) -> Result<R> {
        let mode = self.of_base(mode);
        let weight = parameter(&self.projection.0, mode);
        let bias = match &self.projection.1 {
            Some(bias) => parameter(bias, mode),
            None => Tensor::zeros(self.sizes.width, weight.dtype(), weight.device())?,
        };
        let prefix = self.prefix.iter().map(|tokens| parameter(tokens, mode)).collect::<Vec<_>>();
        let mut prefix = if prefix.is_empty() { None } else { Some(Tensor::cat(&prefix, 1)?) };
        let mut position = parameter(&self.position, mode);
        if let (Some(tokens), true) = (&prefix, self.sizes.places_prefix) {
            let (first, all) = (tokens.dim(1)?, position.dim(1)?);
            prefix = Some((tokens + position.narrow(1, 0, first)?)?);
            position = position.narrow(1, first, all - first)?.contiguous()?;
        }
        Ok(with(&PatchEmbed { projection: (&weight, &bias), prefix: prefix.as_ref(), position: &position }))
    }
}

fn prefix_of(block: usize) -> String {
    format!("blocks.{block}")
}

impl Backbone for Transformer {
    fields!();

    fn num_features(&self) -> usize {
        self.shared.as_ref().and_then(|matrix| matrix.dim(0).ok()).unwrap_or(self.sizes.width)
    }

    /// Four blocks, evenly spread to the last (as DPT and BEiT's heads look at them; Ranftl et al. 2021).
    fn patches(&self) -> Option<Patches> {
        let (depth, patch) = (self.blocks.len(), self.projection.0.dims().last().copied()?);
        let prefix = self.prefix.iter().map(|tokens| tokens.dims().get(1).copied().unwrap_or(0)).sum();
        let stages = [1, 2, 3, 4].map(|quarter| (depth * quarter / 4).max(1));
        (depth >= stages.len()).then_some(Patches { side: self.sizes.side, patch, prefix, stages, width: self.sizes.width })
    }

    fn adapt(&mut self, with: &LowRank) -> Result<()> {
        let before = self.stages.clone();
        for (index, block) in self.blocks.iter_mut().enumerate() {
            self.stages[index + 1].parameters = block.adapt(&prefix_of(index), index, with, &mut self.weights)?;
        }
        // Neither what comes before the blocks nor what comes after.
        self.stages.iter_mut().skip(self.blocks.len() + 1).for_each(|stage| stage.parameters.clear());
        self.stages[0].parameters.clear();
        self.replaced = before;
        Ok(())
    }

    fn merge_adapters(&mut self) -> Result<()> {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            block.merge_adapters(&prefix_of(index), &mut self.weights)?;
        }
        if !self.replaced.is_empty() {
            self.stages = std::mem::take(&mut self.replaced);
        }
        Ok(())
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(stage..stage + 1, x, usize::MAX, 0, mode)
    }

    // The provided method would do; this spares the graph a tensor between stages.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.run(from..self.stages.len(), x, usize::MAX, frozen_stages, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let token = features.narrow(1, 0, 1)?.squeeze(1)?;
        let Some(matrix) = &self.shared else { return Ok(token) };
        // It belongs to the last stage: what no gradient flows to is a constant before it.
        let mode = if features.track_op() { Mode::Train } else { Mode::Eval };
        let road = if token.device().is_cpu() { Road::Tape } else { Road::Portable };
        let none = Tensor::zeros(self.num_features(), token.dtype(), token.device())?;
        Ok(road.linear(&token.contiguous()?, &parameter(matrix, self.of_base(mode)), &none, Activation::None)?)
    }

    /// Where the class token is what is pooled, the last block is worked out for it alone: no other token goes any further.
    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let queries = if self.attention_pool.is_some() { usize::MAX } else { 1 };
        self.pool(&self.run(0..self.stages.len(), input.tensor(), queries, frozen_stages, mode)?)
    }
}
