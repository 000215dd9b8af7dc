//! EfficientNetV2-S, M and L (Tan and Le 2021), under timm's names: its lower stages widen by a 3x3 convolution, its upper ones are EfficientNet's.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..      blocks.0 .. blocks.5, of the larger ones .. blocks.6
//! head            conv_head 1x1, bn2
//! ```

use super::architecture::{Architecture, ImageInput, Member};
use super::convolutional::Planned;
use super::mobile::{self, Inverted, architecture, chain, classifier_init, fused, inverted_residual};
use super::plan::{Block, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Gate};

/// As timm trained it and as TensorFlow did.
pub(super) static MEMBERS: [Architecture; 4] = [
    member("efficientnetv2_s", &V2 { stem: 24, stages: &SMALL, tensorflow: false }, ImageInput::imagenet(288, 1.0, "bicubic")),
    member("tf_efficientnetv2_s", &V2 { stem: 24, stages: &SMALL, tensorflow: true }, ImageInput::inception(300, 1.0, "bicubic")),
    member("tf_efficientnetv2_m", &V2 { stem: 24, stages: &MEDIUM, tensorflow: true }, ImageInput::inception(384, 1.0, "bicubic")),
    member("tf_efficientnetv2_l", &V2 { stem: 32, stages: &LARGE, tensorflow: true }, ImageInput::inception(384, 1.0, "bicubic")),
];

const fn member(name: &'static str, member: &'static dyn Member, input: ImageInput) -> Architecture {
    architecture(name, "efficientnet", FEATURES, member, input)
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct V2 {
    /// Channels of the stem.
    stem: usize,
    stages: &'static [Stage],
    /// Converted from TensorFlow: its padding and its batch norm epsilon.
    tensorflow: bool,
}

/// How the blocks of a stage widen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Not at all: one convolution.
    Plain,
    /// By a 3x3 convolution.
    Fused,
    /// By a 1x1 convolution, with depthwise filters after it.
    Inverted,
}

/// Kind, repeats, stride of the first block, expansion, channels. All kernels are 3x3.
type Stage = (Kind, usize, usize, usize, usize);

const FEATURES: usize = 1280;
const SMALL: [Stage; 6] = [
    (Kind::Plain, 2, 1, 1, 24),
    (Kind::Fused, 4, 2, 4, 48),
    (Kind::Fused, 4, 2, 4, 64),
    (Kind::Inverted, 6, 2, 4, 128),
    (Kind::Inverted, 9, 1, 6, 160),
    (Kind::Inverted, 15, 2, 6, 256),
];
const MEDIUM: [Stage; 7] = [
    (Kind::Plain, 3, 1, 1, 24),
    (Kind::Fused, 5, 2, 4, 48),
    (Kind::Fused, 5, 2, 4, 80),
    (Kind::Inverted, 7, 2, 4, 160),
    (Kind::Inverted, 14, 1, 6, 176),
    (Kind::Inverted, 18, 2, 6, 304),
    (Kind::Inverted, 5, 1, 6, 512),
];
const LARGE: [Stage; 7] = [
    (Kind::Plain, 4, 1, 1, 32),
    (Kind::Fused, 7, 2, 4, 64),
    (Kind::Fused, 7, 2, 4, 96),
    (Kind::Inverted, 10, 2, 4, 192),
    (Kind::Inverted, 19, 1, 6, 224),
    (Kind::Inverted, 25, 2, 6, 384),
    (Kind::Inverted, 7, 1, 6, 640),
];
const SILU: Activation = Activation::Silu;

fn block(prefix: &str, kind: Kind, (input, wide, output): (usize, usize, usize), stride: usize) -> Block {
    let name = |module: &str| format!("{prefix}.{module}");
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    match kind {
        // The shortcut joins after the activation.
        Kind::Plain => {
            let units = vec![Unit::new(name("conv"), name("bn1"), (input, output), 3, stride).then(SILU)];
            Block { units, shortcut, sum: Sum::After(Activation::None) }
        }
        Kind::Fused => fused(prefix, (input, wide, output), stride, SILU),
        Kind::Inverted => {
            let (channels, reduced) = (wide, input / 4);
            let squeeze =
                Squeeze { name: name("se"), layers: Squeeze::CONV, channels, reduced, clips: false, activation: SILU, gate: Gate::Sigmoid };
            inverted_residual(prefix, Inverted { input, wide, output, kernel: 3, stride, activation: SILU, squeeze: Some(squeeze) })
        }
    }
}

impl Planned for V2 {
    fn plan(&self) -> Plan {
        let mut stages = vec![chain("stem", Unit::new("conv_stem", "bn1", (3, self.stem), 3, 2).then(SILU))];
        let mut channels = self.stem;
        for (index, &(kind, repeats, stride, expansion, output)) in self.stages.iter().enumerate() {
            let mut blocks = Vec::new();
            for at in 0..repeats {
                let stride = if at == 0 { stride } else { 1 };
                blocks.push(block(&format!("blocks.{index}.{at}"), kind, (channels, channels * expansion, output), stride));
                channels = output;
            }
            stages.push(StagePlan::of_blocks(format!("blocks.{index}"), blocks));
        }
        stages.push(chain("head", Unit::new("conv_head", "bn2", (channels, FEATURES), 1, 1).then(SILU)));
        let norm_eps = if self.tensorflow { 1e-3 } else { 1e-5 };
        Plan { stages, num_features: FEATURES, same_padding: self.tensorflow, clips: false, norm_eps }
    }

    fn classifier(&self, _num_features: usize, num_classes: usize) -> [Init; 2] {
        classifier_init(num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        mobile::SILU
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        mobile::arguments(self.tensorflow)
    }
}
