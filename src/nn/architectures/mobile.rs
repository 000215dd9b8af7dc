//! MobileNetV2 (Sandler et al. 2018), EfficientNet (Tan et al. 2019, SiLU and squeeze-excite) and EfficientNet-Lite
//! (2020, without squeeze-excite, ReLU6): inverted residuals, under timm's names.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..7     blocks.0 .. blocks.6
//! head            conv_head 1x1, bn2
//! ```

use super::plan::{Block, Init, Plan, Shortcut, Squeeze, StagePlan, Unit};
use crate::nn::kernels::{Activation, Gate};

/// One member of the family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mobile {
    stages: &'static [Stage; 7],
    width: f64,
    depth: f64,
    /// Whether stem and head keep their width (and first and last stage their depth) whatever the multipliers.
    fixed_ends: bool,
    /// Converted from TensorFlow: its padding and its batch norm epsilon.
    tensorflow: bool,
    /// EfficientNet proper: SiLU, and a squeeze-and-excite in each block to a quarter of the block's input.
    squeeze: bool,
}

/// Repeats, kernel, stride of the first block, expansion, channels.
type Stage = (usize, usize, usize, usize, usize);

const MOBILENET_V2: [Stage; 7] =
    [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (3, 3, 2, 6, 32), (4, 3, 2, 6, 64), (3, 3, 1, 6, 96), (3, 3, 2, 6, 160), (1, 3, 1, 6, 320)];
const EFFICIENTNET_LITE: [Stage; 7] =
    [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)];

impl Mobile {
    /// MobileNetV2 at a width multiplier.
    pub const fn v2(width: f64) -> Mobile {
        Mobile { stages: &MOBILENET_V2, width, depth: 1.0, fixed_ends: false, tensorflow: false, squeeze: false }
    }

    /// EfficientNet-Lite at a width and depth multiplier; `tensorflow` for timm's `tf_` models.
    pub const fn lite(width: f64, depth: f64, tensorflow: bool) -> Mobile {
        Mobile { stages: &EFFICIENTNET_LITE, width, depth, fixed_ends: true, tensorflow, squeeze: false }
    }

    /// EfficientNet-B0.
    pub const fn efficientnet() -> Mobile {
        Mobile { stages: &EFFICIENTNET_LITE, width: 1.0, depth: 1.0, fixed_ends: false, tensorflow: false, squeeze: true }
    }

    /// Its description.
    pub fn plan(&self) -> Plan {
        let stem = if self.fixed_ends { 32 } else { self.channels(32) };
        let num_features = if self.fixed_ends { 1280 } else { self.channels(1280).max(1280) };
        let activation = if self.squeeze { Activation::Silu } else { Activation::Relu6 };
        let mut stages = vec![stage("stem", vec![Block::chain(vec![unit("conv_stem", "bn1", 3, stem, 3, 2, 1, activation)])])];
        let mut channels = stem;
        for (index, &(repeats, kernel, stride, expansion, width)) in self.stages.iter().enumerate() {
            let end = index == 0 || index == self.stages.len() - 1;
            let repeats = if self.fixed_ends && end { repeats } else { (repeats as f64 * self.depth).ceil() as usize };
            let output = self.channels(width);
            let mut blocks = Vec::new();
            for block in 0..repeats {
                let prefix = format!("blocks.{index}.{block}");
                let stride = if block == 0 { stride } else { 1 };
                let squeeze = self.squeeze.then(|| Squeeze {
                    name: format!("{prefix}.se"),
                    channels: channels * expansion,
                    reduced: channels / 4,
                    activation,
                    gate: Gate::Sigmoid,
                });
                let shape = Inverted { input: channels, wide: channels * expansion, output, kernel, stride, activation, squeeze };
                blocks.push(inverted_residual(&prefix, shape));
                channels = output;
            }
            stages.push(stage(&format!("blocks.{index}"), blocks));
        }
        let head = unit("conv_head", "bn2", channels, num_features, 1, 1, 1, activation);
        stages.push(stage("head", vec![Block::chain(vec![head])]));
        let norm_eps = if self.tensorflow { 1e-3 } else { 1e-5 };
        Plan { stages, num_features, same_padding: self.tensorflow, norm_eps, init: Init::Mobile }
    }

    /// Channels at this width: a multiple of 8, never more than a tenth below the exact number.
    fn channels(&self, base: usize) -> usize {
        eights(base as f64 * self.width)
    }
}

/// The nearest multiple of 8, but never more than a tenth below the exact number.
pub(super) fn eights(exact: f64) -> usize {
    let rounded = (((exact + 4.0) as usize) / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
}

pub(super) fn stage(name: &str, blocks: Vec<Block>) -> StagePlan {
    StagePlan { name: name.into(), blocks, max_pool: false, pooled: None }
}

/// The sizes of an inverted residual.
pub(super) struct Inverted {
    pub input: usize,
    /// Channels in between; as many as `input` means that nothing widens.
    pub wide: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub activation: Activation,
    /// After the filters.
    pub squeeze: Option<Squeeze>,
}

/// Widen, filter each channel on its own, narrow; without expansion just the last two.
pub(super) fn inverted_residual(prefix: &str, shape: Inverted) -> Block {
    let Inverted { input, wide, output, kernel, stride, activation, squeeze } = shape;
    let name = |module: &str| format!("{prefix}.{module}");
    let narrow = |conv: &str, norm: &str| unit(&name(conv), &name(norm), wide, output, 1, 1, 1, Activation::None);
    let filter = |norm: &str| unit(&name("conv_dw"), &name(norm), wide, wide, kernel, stride, wide, activation);
    let units = if wide == input {
        vec![Unit { squeeze, ..filter("bn1") }, narrow("conv_pw", "bn2")]
    } else {
        let widen = unit(&name("conv_pw"), &name("bn1"), input, wide, 1, 1, 1, activation);
        vec![widen, Unit { squeeze, ..filter("bn2") }, narrow("conv_pwl", "bn3")]
    };
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    Block { units, shortcut }
}

#[allow(clippy::too_many_arguments)] // One line per layer reads better than eight.
pub(super) fn unit(
    conv: &str,
    norm: &str,
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    activation: Activation,
) -> Unit {
    Unit { conv: conv.into(), norm: norm.into(), input, output, kernel, stride, groups, activation, squeeze: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_depths_follow_the_papers() {
        let lite4 = Mobile::lite(1.4, 1.8, true).plan();
        let repeats: Vec<usize> = lite4.stages[1..8].iter().map(|stage| stage.blocks.len()).collect();
        assert_eq!(repeats, [1, 4, 4, 6, 6, 8, 1]);
        assert_eq!(lite4.num_features, 1280);
        let wide = Mobile::v2(1.4).plan();
        assert_eq!(wide.num_features, 1792);
        assert_eq!(wide.stages[0].blocks[0].units[0].output, 48);
    }
}
