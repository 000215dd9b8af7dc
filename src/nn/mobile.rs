//! MobileNetV2 (Sandler et al. 2018) and EfficientNet-Lite (Tan et al. 2019/2020, without squeeze-excite, ReLU6):
//! inverted residuals, under timm's names.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..7     blocks.0 .. blocks.6
//! head            conv_head 1x1, bn2
//! ```

use super::kernels::Activation;
use super::plan::{Block, Init, Plan, Shortcut, StagePlan, Unit};

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
        Mobile { stages: &MOBILENET_V2, width, depth: 1.0, fixed_ends: false, tensorflow: false }
    }

    /// EfficientNet-Lite at a width and depth multiplier; `tensorflow` for timm's `tf_` models.
    pub const fn lite(width: f64, depth: f64, tensorflow: bool) -> Mobile {
        Mobile { stages: &EFFICIENTNET_LITE, width, depth, fixed_ends: true, tensorflow }
    }

    /// Its description.
    pub fn plan(&self) -> Plan {
        let stem = if self.fixed_ends { 32 } else { self.channels(32) };
        let num_features = if self.fixed_ends { 1280 } else { self.channels(1280).max(1280) };
        let mut stages = vec![stage("stem", vec![Block::chain(vec![unit("conv_stem", "bn1", 3, stem, 3, 2, 1, Activation::Relu6)])])];
        let mut channels = stem;
        for (index, &(repeats, kernel, stride, expansion, width)) in self.stages.iter().enumerate() {
            let end = index == 0 || index == self.stages.len() - 1;
            let repeats = if self.fixed_ends && end { repeats } else { (repeats as f64 * self.depth).ceil() as usize };
            let output = self.channels(width);
            let mut blocks = Vec::new();
            for block in 0..repeats {
                let prefix = format!("blocks.{index}.{block}");
                let stride = if block == 0 { stride } else { 1 };
                blocks.push(inverted_residual(&prefix, channels, output, kernel, stride, expansion));
                channels = output;
            }
            stages.push(stage(&format!("blocks.{index}"), blocks));
        }
        let head = unit("conv_head", "bn2", channels, num_features, 1, 1, 1, Activation::Relu6);
        stages.push(stage("head", vec![Block::chain(vec![head])]));
        let norm_eps = if self.tensorflow { 1e-3 } else { 1e-5 };
        Plan { stages, num_features, same_padding: self.tensorflow, norm_eps, init: Init::Mobile }
    }

    /// Channels at this width: a multiple of 8, never more than a tenth below the exact number.
    fn channels(&self, base: usize) -> usize {
        let exact = base as f64 * self.width;
        let rounded = (((exact + 4.0) as usize) / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
    }
}

fn stage(name: &str, blocks: Vec<Block>) -> StagePlan {
    StagePlan { name: name.into(), blocks, max_pool: false }
}

/// Widen, filter each channel on its own, narrow; without expansion just the last two.
fn inverted_residual(prefix: &str, input: usize, output: usize, kernel: usize, stride: usize, expansion: usize) -> Block {
    let name = |module: &str| format!("{prefix}.{module}");
    let wide = input * expansion;
    let relu6 = Activation::Relu6;
    let units = if expansion == 1 {
        vec![
            unit(&name("conv_dw"), &name("bn1"), input, input, kernel, stride, input, relu6),
            unit(&name("conv_pw"), &name("bn2"), input, output, 1, 1, 1, Activation::None),
        ]
    } else {
        vec![
            unit(&name("conv_pw"), &name("bn1"), input, wide, 1, 1, 1, relu6),
            unit(&name("conv_dw"), &name("bn2"), wide, wide, kernel, stride, wide, relu6),
            unit(&name("conv_pwl"), &name("bn3"), wide, output, 1, 1, 1, Activation::None),
        ]
    };
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    Block { units, shortcut }
}

#[allow(clippy::too_many_arguments)] // One line per layer reads better than eight.
fn unit(conv: &str, norm: &str, input: usize, output: usize, kernel: usize, stride: usize, groups: usize, activation: Activation) -> Unit {
    Unit { conv: conv.into(), norm: norm.into(), input, output, kernel, stride, groups, activation }
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
