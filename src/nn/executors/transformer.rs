//! Runs vision transformers. Between stages flow tokens `(B, N, D)`, the class token first; the pooled features are the class
//! token's.

use std::ops::Range;

use candle_core::{Tensor, Var};

use super::adapter::{Adapter, LowRank};
use super::parameter::{Pair, handle, parameter};
use crate::domain::recipe::Precision;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::ops::{Pass, Road, Settings};
use crate::nn::kernels::tape::Node;
use crate::nn::kernels::{AttentionBlock, MlpBlock, PatchEmbed, portable};
use crate::nn::weights::Weights;

/// Added to variances in layer norm.
const EPS: f64 = 1e-6;

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
}

/// A backbone built from its sizes and tensors.
pub(crate) struct Transformer {
    architecture: String,
    sizes: Sizes,
    stages: Vec<Stage>,
    projection: Pair,
    class_token: Var,
    position: Var,
    blocks: Vec<Block>,
    norm: Pair,
    weights: Weights,
    settings: Settings,
    /// What learned before adapters took its place.
    replaced: Vec<Stage>,
}

struct Block {
    norm1: Pair,
    qkv: Pair,
    projection: Pair,
    norm2: Pair,
    fc1: Pair,
    fc2: Pair,
    /// Of `qkv`, `projection`, `fc1` and `fc2`.
    adapters: [Option<Adapter>; 4],
}

/// The modules of a block that adapters can be put in.
const ADAPTED: [&str; 4] = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];

impl Transformer {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, sizes: Sizes, stages: Vec<(String, Vec<Expected>)>, weights: Weights) -> Result<Transformer> {
        let pair = |module: &str| Pair::of(module, &weights, architecture);
        let block = |index: usize| -> Result<Block> {
            let part = |module: &str| pair(&format!("blocks.{index}.{module}"));
            Ok(Block {
                norm1: part("norm1")?,
                qkv: part("attn.qkv")?,
                projection: part("attn.proj")?,
                norm2: part("norm2")?,
                fc1: part("mlp.fc1")?,
                fc2: part("mlp.fc2")?,
                adapters: Default::default(),
            })
        };
        Ok(Transformer {
            architecture: architecture.into(),
            sizes,
            stages: Stage::list(stages),
            projection: pair("patch_embed.proj")?,
            class_token: handle("cls_token", &weights, architecture)?,
            position: handle("pos_embed", &weights, architecture)?,
            blocks: (0..sizes.depth).map(block).collect::<Result<_>>()?,
            norm: pair("norm")?,
            weights,
            settings: Settings::new(),
            replaced: Vec::new(),
        })
    }

    /// The stages of this range, the first `frozen_stages` of all as constants; of the last only the first `queries`
    /// tokens are worked out.
    fn run(&self, stages: Range<usize>, x: &Tensor, queries: usize, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.is_empty() {
            return Ok(x.clone());
        }
        self.check(&stages, x)?;
        let (end, mode) = (stages.end, |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode });
        let learning = self.settings.pass(x, mode(end - 1) == Mode::Train);
        let pass = |stage: usize| if mode(stage) == Mode::Train { learning } else { learning.frozen() };
        let tokens = if learning.road == Road::Portable {
            let mut y = x.clone();
            for stage in stages {
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
            for stage in stages {
                y = self.forward(stage, &y.at(pass(stage).arithmetic), queries, mode(stage))?;
                y = if stage < frozen_stages { y.detach() } else { y };
            }
            y.leave_tokens()?
        };
        if end < self.stages.len() {
            return Ok(tokens);
        }
        let (gamma, beta) = self.norm.tensors(self.of_base(mode(end - 1)));
        Ok(learning.road.layer_norm(&tokens, &gamma, &beta, EPS)?)
    }

    /// Errors unless those stages exist and the first takes `x`.
    fn check(&self, stages: &Range<usize>, x: &Tensor) -> Result<()> {
        if stages.end > self.stages.len() {
            let (count, stage) = (self.stages.len(), stages.end - 1);
            return Err(Error::Invalid(format!("{} has {count} stages, there is no stage {stage}", self.architecture)));
        }
        let side = self.sizes.side;
        if stages.start > 0 && x.rank() != 3 {
            return Err(Error::Invalid(format!("a batch of tokens has the shape (batch, tokens, width), not {:?}", x.dims())));
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
        let Some(block) = self.block(stage) else { return Ok(self.embedded(mode, |embed| embed.forward(x))?) };
        let queries = self.queries(stage, queries, x.tokens());
        block.halves(self.sizes.heads, (mode, self.of_base(mode)), |attention, mlp| mlp.forward(&attention.forward(x, queries)?))
    }

    /// The same between tensors, where the kernels are composed.
    fn compose(&self, stage: usize, x: &Tensor, queries: usize, mode: Mode, pass: &Pass) -> Result<Tensor> {
        let Some(block) = self.block(stage) else { return Ok(self.embedded(mode, |embed| portable::patch_embed(x, embed))?) };
        let precision = pass.arithmetic.precision;
        let queries = self.queries(stage, queries, x.dim(1)?);
        block.halves(self.sizes.heads, (mode, self.of_base(mode)), |attention, mlp| {
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

    /// Only after the last stage tokens may be missing.
    fn queries(&self, stage: usize, wanted: usize, tokens: usize) -> usize {
        if stage + 1 == self.stages.len() { wanted.min(tokens) } else { tokens }
    }

    fn embedded<R>(&self, mode: Mode, with: impl FnOnce(&PatchEmbed<'_>) -> R) -> R {
        let mode = self.of_base(mode);
        let (weight, bias) = self.projection.tensors(mode);
        let (class_token, position) = (parameter(&self.class_token, mode), parameter(&self.position, mode));
        with(&PatchEmbed { projection: (&weight, &bias), class_token: &class_token, position: &position })
    }
}

impl Block {
    /// `mode` is that of adapters, `base` that of all other parameters.
    fn halves<R>(
        &self,
        heads: usize,
        (mode, base): (Mode, Mode),
        with: impl FnOnce(&AttentionBlock<'_>, &MlpBlock<'_>) -> candle_core::Result<R>,
    ) -> Result<R> {
        let [norm1, norm2] = [&self.norm1, &self.norm2].map(|pair| pair.tensors(base));
        let mut linear = self.linear().map(|pair| pair.tensors(base));
        for ((adapter, pair), (weight, _)) in self.adapters.iter().zip(self.linear()).zip(&mut linear) {
            if let Some(adapter) = adapter {
                *weight = adapter.on(pair.matrix(), mode == Mode::Train)?;
            }
        }
        let [qkv, projection, fc1, fc2] = &linear;
        let attention = AttentionBlock {
            norm: (&norm1.0, &norm1.1),
            qkv: (&qkv.0, &qkv.1),
            projection: (&projection.0, &projection.1),
            heads,
            eps: EPS,
        };
        let mlp = MlpBlock { norm: (&norm2.0, &norm2.1), expand: (&fc1.0, &fc1.1), contract: (&fc2.0, &fc2.1), eps: EPS };
        Ok(with(&attention, &mlp)?)
    }

    /// In the order of [`ADAPTED`].
    fn linear(&self) -> [&Pair; 4] {
        [&self.qkv, &self.projection, &self.fc1, &self.fc2]
    }
}

impl Backbone for Transformer {
    fn architecture(&self) -> &str {
        &self.architecture
    }

    fn num_features(&self) -> usize {
        self.sizes.width
    }

    fn stages(&self) -> &[Stage] {
        &self.stages
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    /// There is no batch norm.
    fn set_norm_momentum(&self, _momentum: f64) {}

    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.settings.set_precision(precision, &self.weights.device())
    }

    fn adapt(&mut self, with: &LowRank) -> Result<()> {
        let before = self.stages.clone();
        let count = if with.perceptrons { 4 } else { 2 };
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let mut names = Vec::new();
            for (place, module) in ADAPTED.iter().enumerate().take(count) {
                let adapter = Adapter::new(block.linear()[place].matrix(), with, (4 * index + place) as u64)?;
                for (name, var) in adapter.parameters(&format!("blocks.{index}.{module}")) {
                    names.push(name.clone());
                    self.weights.insert(name, var);
                }
                block.adapters[place] = Some(adapter);
            }
            self.stages[index + 1].parameters = names;
        }
        self.stages[0].parameters.clear();
        self.replaced = before;
        Ok(())
    }

    fn merge_adapters(&mut self) -> Result<()> {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            for (place, module) in ADAPTED.iter().enumerate() {
                let Some(adapter) = block.adapters[place].take() else { continue };
                let matrix = block.linear()[place].matrix().clone();
                matrix.set(&adapter.on(&matrix, false)?)?;
                for (name, _) in adapter.parameters(&format!("blocks.{index}.{module}")) {
                    self.weights.remove(&name);
                }
            }
        }
        if !self.replaced.is_empty() {
            self.stages = std::mem::take(&mut self.replaced);
        }
        Ok(())
    }

    #[cfg(test)]
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(stage..stage + 1, x, usize::MAX, 0, mode)
    }

    // The provided method would do; this spares the graph a tensor between stages.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        self.run(from..self.stages.len(), x, usize::MAX, frozen_stages, mode)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.narrow(1, 0, 1)?.squeeze(1)?)
    }

    /// The last block is worked out for the class token alone: no other token goes any further.
    fn pooled(&self, input: &Input, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        let x = input.tensor();
        self.pool(&self.run(0..self.stages.len(), x, 1, frozen_stages, mode)?)
    }
}
