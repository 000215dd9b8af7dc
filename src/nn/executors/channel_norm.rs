//! Runs networks that normalise each pixel over its channels: a stem of patches, stages of depthwise filters with a
//! perceptron over channels, and the norm of the mean at the end. Inside, maps are channels last.

use std::ops::Range;

use candle_core::{Tensor, Var};

use super::order::{channels_first, channels_last};
use super::parameter::{Pair, handle, parameter};
use crate::domain::recipe::Precision;
use crate::nn::architectures::tensor::Expected;
use crate::nn::backbone::{Backbone, Mode, Stage};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::ops::Settings;
use crate::nn::kernels::{Activation, Maps, Padding, Spec};
use crate::nn::weights::Weights;

/// Added to variances in layer norm, and to the mean length of channels in a global response norm.
const EPS: f64 = 1e-6;

/// What must be known of such a network to run it.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Channels after the last.
    pub num_features: usize,
    /// Sides, and strides, of the stem's patches and of those between stages.
    pub stem: usize,
    pub between: usize,
    /// Whether perceptrons have a global response norm, and then no layer scale.
    pub responds: bool,
}

/// A backbone built from its sizes and tensors.
pub(crate) struct ChannelNorm {
    architecture: String,
    sizes: Sizes,
    stages: Vec<Stage>,
    stem: (Pair, Pair),
    body: Vec<Body>,
    norm: Pair,
    weights: Weights,
    settings: Settings,
}

/// A stage: its first step, where it has one, and its blocks.
struct Body {
    downsample: Option<(Pair, Pair)>,
    blocks: Vec<Block>,
}

/// `x + gamma * fc2(grn(gelu(fc1(norm(filters(x))))))`, with either gamma or grn.
struct Block {
    filters: Pair,
    norm: Pair,
    expand: Pair,
    contract: Pair,
    gamma: Option<Var>,
    response: Option<Pair>,
}

impl ChannelNorm {
    /// Takes the handles it needs from `weights`, which `architectures` has checked.
    pub fn build(architecture: &str, sizes: Sizes, stages: Vec<(String, Vec<Expected>)>, weights: Weights) -> Result<ChannelNorm> {
        let pair = |module: &str| Pair::of(module, &weights, architecture);
        let block = |prefix: &str| -> Result<Block> {
            Ok(Block {
                filters: pair(&format!("{prefix}.conv_dw"))?,
                norm: pair(&format!("{prefix}.norm"))?,
                expand: pair(&format!("{prefix}.mlp.fc1"))?,
                contract: pair(&format!("{prefix}.mlp.fc2"))?,
                gamma: if sizes.responds { None } else { Some(handle(&format!("{prefix}.gamma"), &weights, architecture)?) },
                response: if sizes.responds { Some(pair(&format!("{prefix}.mlp.grn"))?) } else { None },
            })
        };
        let body = |(stage, &depth): (usize, &usize)| -> Result<Body> {
            let step = |index: usize| pair(&format!("stages.{stage}.downsample.{index}"));
            let downsample = if stage > 0 { Some((step(0)?, step(1)?)) } else { None };
            let blocks = (0..depth).map(|index| block(&format!("stages.{stage}.blocks.{index}")));
            Ok(Body { downsample, blocks: blocks.collect::<Result<_>>()? })
        };
        Ok(ChannelNorm {
            architecture: architecture.into(),
            stages: Stage::list(stages),
            stem: (pair("stem.0")?, pair("stem.1")?),
            body: sizes.depths.iter().enumerate().map(body).collect::<Result<_>>()?,
            norm: pair("head.norm")?,
            sizes,
            weights,
            settings: Settings::new(),
        })
    }

    /// The stages of this range over maps `(B, H, W, C)`, the first `frozen_stages` of all as constants.
    fn run(&self, stages: Range<usize>, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        if stages.is_empty() {
            return Ok(x.clone());
        }
        if stages.end > self.stages.len() {
            let (count, stage) = (self.stages.len(), stages.end - 1);
            return Err(Error::Invalid(format!("{} has {count} stages, there is no stage {stage}", self.architecture)));
        }
        let mode = |stage: usize| if stage < frozen_stages { Mode::Eval } else { mode };
        let learning = self.settings.pass(x, mode(stages.end - 1) == Mode::Train);
        let pass = |stage: usize| if mode(stage) == Mode::Train { learning } else { learning.frozen() };
        let mut maps = Maps::enter(x, &pass(stages.start))?;
        let head = self.body.len() + 1;
        for stage in stages.start..stages.end.min(head) {
            maps = self.stage(stage, &maps.at(&pass(stage)), mode(stage))?;
            maps = if stage < frozen_stages { maps.detach() } else { maps };
        }
        if stages.end <= head {
            return Ok(maps.leave()?);
        }
        let (gamma, beta) = self.norm.tensors(mode(head));
        let pixel = learning.road.layer_norm(&maps.average()?, &gamma, &beta, EPS)?;
        let pixel = if head < frozen_stages { pixel.detach() } else { pixel };
        Ok(pixel.unsqueeze(1)?.unsqueeze(1)?)
    }

    /// A stage below the head.
    fn stage(&self, stage: usize, x: &Maps, mode: Mode) -> Result<Maps> {
        let Some(body) = stage.checked_sub(1).and_then(|index| self.body.get(index)) else {
            return Ok(patches(x, &self.stem.0, self.sizes.stem, mode)?.layer_norm(borrowed(&self.stem.1.tensors(mode)), EPS)?);
        };
        let mut maps = x.clone();
        if let Some((norm, convolution)) = &body.downsample {
            maps = patches(&maps.layer_norm(borrowed(&norm.tensors(mode)), EPS)?, convolution, self.sizes.between, mode)?;
        }
        for block in &body.blocks {
            maps = block.forward(&maps, mode)?;
        }
        Ok(maps)
    }
}

/// Patches that do not overlap, each times one matrix; what is left over at the edges is not looked at.
fn patches(x: &Maps, convolution: &Pair, side: usize, mode: Mode) -> Result<Maps> {
    let spec = Spec { stride: side, padding: Padding::Symmetric(0), groups: 1, ..Spec::POINTWISE };
    Ok(x.conv_bias(borrowed(&convolution.tensors(mode)), &spec, Activation::None)?)
}

fn borrowed((first, second): &(Tensor, Tensor)) -> (&Tensor, &Tensor) {
    (first, second)
}

impl Block {
    fn forward(&self, x: &Maps, mode: Mode) -> Result<Maps> {
        let [filters, norm, expand] = [&self.filters, &self.norm, &self.expand].map(|pair| pair.tensors(mode));
        let expand = (pointwise(&expand.0)?, expand.1);
        let (outputs, _, side, _) = filters.0.dims4()?;
        let spec = Spec { stride: 1, padding: Padding::Symmetric(side / 2), groups: outputs, ..Spec::POINTWISE };
        let y = x.conv_bias(borrowed(&filters), &spec, Activation::None)?.layer_norm(borrowed(&norm), EPS)?;
        let mut wide = y.conv_bias(borrowed(&expand), &Spec::POINTWISE, Activation::Gelu)?;
        if let Some(response) = &self.response {
            wide = wide.response_norm(borrowed(&response.tensors(mode)), EPS)?;
        }
        Ok(wide.conv_bias_onto(borrowed(&self.scaled(mode)?), &Spec::POINTWISE, x)?)
    }

    /// The layer scale taken into the last convolution: a few numbers instead of a pass over the maps.
    fn scaled(&self, mode: Mode) -> Result<(Tensor, Tensor)> {
        let (weight, bias) = self.contract.tensors(mode);
        let Some(gamma) = &self.gamma else { return Ok((pointwise(&weight)?, bias)) };
        let gamma = parameter(gamma, mode);
        Ok((pointwise(&weight)?.broadcast_mul(&gamma.reshape(((), 1, 1, 1))?)?, (bias * gamma)?))
    }
}

/// A linear layer's matrix as the kernel of a 1x1 convolution; a kernel as it is.
fn pointwise(weight: &Tensor) -> Result<Tensor> {
    match weight.dims() {
        &[outputs, inputs] => Ok(weight.reshape((outputs, inputs, 1, 1))?),
        _ => Ok(weight.clone()),
    }
}

impl Backbone for ChannelNorm {
    fields!();

    fn num_features(&self) -> usize {
        self.sizes.num_features
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        channels_first(&self.run(stage..stage + 1, &channels_last(x)?, 0, mode)?)
    }

    // The provided method would do; this spares the graph a tensor between stages.
    fn features_from(&self, from: usize, x: &Tensor, frozen_stages: usize, mode: Mode) -> Result<Tensor> {
        channels_first(&self.run(from..self.stages.len(), &channels_last(x)?, frozen_stages, mode)?)
    }

    /// The last stage leaves a single pixel.
    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.flatten_from(2)?.mean(2)?)
    }
}
