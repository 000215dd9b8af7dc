//! Runs transformers whose attention stays within windows of a map (Liu et al. 2021): a stem of patches, stages that begin by merging
//! neighbours, and blocks whose windows lie shifted in every second one. Between stages flow maps, inside a stage tokens, window after
//! window: a block's halves work on each token or each window alone, so that the order in which windows lie changes between blocks only.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::adapter::LowRank;
use super::block::Block;
use super::order::{channels_first, channels_last};
use super::parameter::{Pair, handle, parameter};
use super::windows::Windows;
use crate::domain::recipe::Precision;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::ops::Settings;
use crate::nn::kernels::{Activation, Maps, Order, Padding, Spec, WindowAttention, laid_out};
use crate::nn::weights::Weights;

/// What must be known of such a network to run it.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Channels, blocks and heads per stage.
    pub widths: [usize; 4],
    pub depths: [usize; 4],
    pub heads: [usize; 4],
    /// Sides of an image and of a patch in pixels, and of a window in patches.
    pub side: usize,
    pub patch: usize,
    pub window: usize,
    /// Added to variances in layer norm.
    pub eps: f64,
}

impl Sizes {
    /// Side of the maps of a stage, in tokens.
    pub fn grid(&self, stage: usize) -> usize {
        (self.side / self.patch) >> stage
    }
}

/// A backbone built from its sizes and tensors.
pub(crate) struct Windowed {
    architecture: String,
    sizes: Sizes,
    stages: Vec<Stage>,
    /// Of patches: their matrix and bias, and the norm.
    stem: (Pair, Pair),
    layers: Vec<Layer>,
    norm: Pair,
    weights: Weights,
    settings: Settings,
    /// What learned before adapters took its place.
    replaced: Vec<Stage>,
}

/// A stage above the stem.
struct Layer {
    /// Norm and matrix of its first step, where it has one, and the order in which neighbours lie together.
    merge: Option<(Pair, Var, Arc<Order>)>,
    blocks: Vec<(Block, Var)>,
    windows: Windows,
}

impl Windowed {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, sizes: Sizes, stages: Vec<(String, Vec<Expected>)>, weights: Weights) -> Result<Windowed> {
        let pair = |module: &str| Pair::of(module, &weights, architecture);
        let layer = |stage: usize| -> Result<Layer> {
            let matrix = || handle(&format!("layers.{stage}.downsample.reduction.weight"), &weights, architecture);
            let merge = match stage.checked_sub(1) {
                Some(below) => Some((pair(&format!("layers.{stage}.downsample.norm"))?, matrix()?, Windows::neighbours(sizes.grid(below)))),
                None => None,
            };
            let block = |index: usize| -> Result<(Block, Var)> {
                let prefix = prefix_of(stage, index);
                let table = handle(&format!("{prefix}.attn.relative_position_bias_table"), &weights, architecture)?;
                Ok((Block::of(&prefix, Activation::Gelu, &weights, architecture)?, table))
            };
            let blocks = (0..sizes.depths[stage]).map(block).collect::<Result<_>>()?;
            Ok(Layer { merge, blocks, windows: Windows::new(sizes.grid(stage), sizes.window, sizes.depths[stage]) })
        };
        Ok(Windowed {
            architecture: architecture.into(),
            stages: Stage::list(stages),
            stem: (pair("patch_embed.proj")?, pair("patch_embed.norm")?),
            layers: (0..4).map(layer).collect::<Result<_>>()?,
            norm: pair("norm")?,
            sizes,
            weights,
            settings: Settings::new(),
            replaced: Vec::new(),
        })
    }

    /// The stages of this range over maps `(B, H, W, C)`, the first `frozen_stages` of all as constants.
    fn run(&self, stages: Range<usize>, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.is_empty() {
            return Ok(x.clone());
        }
        self.check(&stages, x)?;
        let mode = |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode };
        let learning = self.settings.pass(x, mode(stages.end - 1) == Mode::Train);
        let pass = |stage: usize| if mode(stage) == Mode::Train { learning } else { learning.frozen() };
        let (last, mut maps) = (stages.end, Maps::enter(x, &pass(stages.start))?);
        for stage in stages {
            maps = self.stage(stage, maps.at(&pass(stage)), mode(stage))?;
            maps = if stage < frozen_stages { maps.detach() } else { maps };
        }
        if last == self.stages.len() {
            let (gamma, beta) = self.norm.tensors(self.of_base(mode(last - 1)));
            maps = maps.layer_norm((&gamma, &beta), self.sizes.eps)?;
        }
        Ok(maps.leave()?)
    }

    /// Errors unless those stages exist and the first takes `x`.
    fn check(&self, stages: &Range<usize>, x: &Tensor) -> Result<()> {
        if stages.end > self.stages.len() {
            let (count, stage) = (self.stages.len(), stages.end - 1);
            return Err(Error::Invalid(format!("{} has {count} stages, there is no stage {stage}", self.architecture)));
        }
        let (side, channels) = match stages.start {
            0 => (self.sizes.side, 3),
            // What the stage below leaves.
            stage => (self.sizes.grid(stage.saturating_sub(2)), self.sizes.widths[stage.saturating_sub(2)]),
        };
        match x.dims() {
            [_, height, width, depth] if [*height, *width, *depth] == [side, side, channels] => Ok(()),
            _ => {
                let (stage, found) = (stages.start, x.permute((0, 3, 1, 2))?);
                let wanted = format!("(batch, {channels}, {side}, {side})");
                Err(Error::Invalid(format!("stage {stage} of {} takes {wanted}, not {:?}", self.architecture, found.dims())))
            }
        }
    }

    /// One stage: maps to maps.
    fn stage(&self, stage: usize, x: Maps, mode: Mode) -> Result<Maps> {
        let base = self.of_base(mode);
        let Some((at, layer)) = stage.checked_sub(1).and_then(|at| Some((at, self.layers.get(at)?))) else {
            let (patches, norm) = (self.stem.0.tensors(base), self.stem.1.tensors(base));
            let spec = Spec { stride: self.sizes.patch, padding: Padding::Symmetric(0), groups: 1, ..Spec::POINTWISE };
            let maps = x.conv_bias((&patches.0, &patches.1), &spec, Activation::None)?;
            return Ok(maps.layer_norm((&norm.0, &norm.1), self.sizes.eps)?);
        };
        let (grid, width) = (self.sizes.grid(at), self.sizes.widths[at]);
        let batch = x.shape()[0];
        let tokens = match &layer.merge {
            Some((norm, matrix, neighbours)) => {
                let below = self.sizes.grid(at - 1);
                let apart = x.seen_as([batch, below * below, 1, self.sizes.widths[at - 1]])?;
                let together = apart.reorder(neighbours)?.seen_as([batch, grid * grid, 1, 4 * self.sizes.widths[at - 1]])?;
                let (gamma, beta) = norm.tensors(base);
                let matrix = parameter(matrix, base).reshape((width, (), 1, 1))?;
                let none = Tensor::zeros(width, matrix.dtype(), matrix.device())?;
                together.layer_norm((&gamma, &beta), self.sizes.eps)?.conv_bias((&matrix, &none), &Spec::POINTWISE, Activation::None)?
            }
            None => x.seen_as([batch, grid * grid, 1, width])?,
        };
        let windows = &layer.windows;
        let mut maps = tokens;
        for (index, (block, table)) in layer.blocks.iter().enumerate() {
            maps = windows.enter(maps, index)?;
            let bias = windows.bias(&parameter(table, base))?;
            let (seen, before) = (windows.apart(maps)?, [batch, grid * grid, 1, width]);
            let after = block.halves((self.sizes.heads[at], self.sizes.eps), (mode, base), |attention, mlp| {
                let attention = WindowAttention { block: *attention, bias: &bias, masks: windows.masks(index) };
                seen.window_block(&attention, mlp)
            })?;
            maps = after.seen_as(before)?;
        }
        Ok(windows.enter(maps, layer.blocks.len())?.seen_as([batch, grid, grid, width])?)
    }

    /// How the base's own parameters are run: where adapters learn, they do not.
    fn of_base(&self, mode: Mode) -> Mode {
        if self.replaced.is_empty() { mode } else { Mode::Eval }
    }
}

fn prefix_of(stage: usize, block: usize) -> String {
    format!("layers.{stage}.blocks.{block}")
}

impl Backbone for Windowed {
    fields!();

    fn num_features(&self) -> usize {
        self.sizes.widths[3]
    }

    fn adapt(&mut self, with: &LowRank) -> Result<()> {
        let (before, mut stream) = (self.stages.clone(), 0);
        for (stage, layer) in self.layers.iter_mut().enumerate() {
            let mut names = Vec::new();
            for (index, (block, _)) in layer.blocks.iter_mut().enumerate() {
                names.extend(block.adapt(&prefix_of(stage, index), stream, with, &mut self.weights)?);
                stream += 1;
            }
            self.stages[stage + 1].parameters = names;
        }
        self.stages[0].parameters.clear();
        self.replaced = before;
        Ok(())
    }

    fn merge_adapters(&mut self) -> Result<()> {
        for (stage, layer) in self.layers.iter_mut().enumerate() {
            for (index, (block, _)) in layer.blocks.iter_mut().enumerate() {
                block.merge_adapters(&prefix_of(stage, index), &mut self.weights)?;
            }
        }
        if !self.replaced.is_empty() {
            self.stages = std::mem::take(&mut self.replaced);
        }
        Ok(())
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        channels_first(&self.run(stage..stage + 1, &channels_last(x)?, 0, mode)?)
    }

    // The provided method would do; this spares the graph a tensor between stages.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        channels_first(&self.run(from..self.stages.len(), &channels_last(x)?, frozen_stages, mode)?)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        let road = self.settings.pass(features, features.track_op()).road;
        Ok(road.global_average_pool(&laid_out(&channels_last(features)?)?)?)
    }
}
