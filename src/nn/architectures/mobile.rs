//! MobileNetV2 (Sandler et al. 2018), EfficientNet (Tan et al. 2019, SiLU and squeeze-excite) and EfficientNet-Lite
//! (2020, without squeeze-excite, ReLU6): inverted residuals, under timm's names.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..7     blocks.0 .. blocks.6
//! head            conv_head 1x1, bn2
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Block, Part, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Gate};

/// EfficientNet-Lite, as TensorFlow trained it and as timm did.
pub(super) static LITE: [Architecture; 10] = [
    lite("tf_efficientnet_lite0", &Mobile::lite(1.0, 1.0, true), ImageInput::inception(224, 0.875, "bicubic")),
    lite("tf_efficientnet_lite1", &Mobile::lite(1.0, 1.1, true), ImageInput::inception(240, 0.882, "bicubic")),
    lite("tf_efficientnet_lite2", &Mobile::lite(1.1, 1.2, true), ImageInput::inception(260, 0.890, "bicubic")),
    lite("tf_efficientnet_lite3", &Mobile::lite(1.2, 1.4, true), ImageInput::inception(300, 0.904, "bilinear")),
    lite("tf_efficientnet_lite4", &Mobile::lite(1.4, 1.8, true), ImageInput::inception(380, 0.920, "bilinear")),
    lite("efficientnet_lite0", &Mobile::lite(1.0, 1.0, false), ImageInput::imagenet(224, 0.875, "bicubic")),
    lite("efficientnet_lite1", &Mobile::lite(1.0, 1.1, false), ImageInput::imagenet(240, 0.882, "bicubic")),
    lite("efficientnet_lite2", &Mobile::lite(1.1, 1.2, false), ImageInput::imagenet(260, 0.890, "bicubic")),
    lite("efficientnet_lite3", &Mobile::lite(1.2, 1.4, false), ImageInput::imagenet(300, 0.904, "bicubic")),
    lite("efficientnet_lite4", &Mobile::lite(1.4, 1.8, false), ImageInput::imagenet(380, 0.922, "bicubic")),
];

/// MobileNetV2.
pub(super) static V2: [Architecture; 5] = [
    architecture("mobilenetv2_050", "mobilenetv2", 1280, &Mobile::v2(0.5), ImageInput::imagenet(224, 0.875, "bicubic")),
    architecture("mobilenetv2_100", "mobilenetv2", 1280, &Mobile::v2(1.0), ImageInput::imagenet(224, 0.875, "bicubic")),
    architecture("mobilenetv2_140", "mobilenetv2", 1792, &Mobile::v2(1.4), ImageInput::imagenet(224, 0.875, "bicubic")),
    architecture("mobilenetv2_110d", "mobilenetv2", 1280, &Mobile::deeper(1.1, 1.2), ImageInput::imagenet(224, 0.875, "bicubic")),
    architecture("mobilenetv2_120d", "mobilenetv2", 1280, &Mobile::deeper(1.2, 1.4), ImageInput::imagenet(224, 0.875, "bicubic")),
];

/// EfficientNet, as timm trained it and as TensorFlow did.
pub(super) static EFFICIENTNET: [Architecture; 13] = [
    efficient("efficientnet_b0", 1280, &Mobile::efficientnet(1.0, 1.0, false), ImageInput::imagenet(224, 0.875, "bicubic")),
    efficient("efficientnet_b1", 1280, &Mobile::efficientnet(1.0, 1.1, false), ImageInput::imagenet(240, 0.882, "bicubic")),
    efficient("efficientnet_b2", 1408, &Mobile::efficientnet(1.1, 1.2, false), ImageInput::imagenet(256, 0.875, "bicubic")),
    efficient("efficientnet_b3", 1536, &Mobile::efficientnet(1.2, 1.4, false), ImageInput::imagenet(288, 0.875, "bicubic")),
    efficient("efficientnet_b4", 1792, &Mobile::efficientnet(1.4, 1.8, false), ImageInput::imagenet(320, 0.875, "bicubic")),
    efficient("tf_efficientnet_b0", 1280, &Mobile::efficientnet(1.0, 1.0, true), ImageInput::imagenet(224, 0.875, "bicubic")),
    efficient("tf_efficientnet_b1", 1280, &Mobile::efficientnet(1.0, 1.1, true), ImageInput::imagenet(240, 0.882, "bicubic")),
    efficient("tf_efficientnet_b2", 1408, &Mobile::efficientnet(1.1, 1.2, true), ImageInput::imagenet(260, 0.890, "bicubic")),
    efficient("tf_efficientnet_b3", 1536, &Mobile::efficientnet(1.2, 1.4, true), ImageInput::imagenet(300, 0.904, "bicubic")),
    efficient("tf_efficientnet_b4", 1792, &Mobile::efficientnet(1.4, 1.8, true), ImageInput::imagenet(380, 0.922, "bicubic")),
    efficient("tf_efficientnet_b5", 2048, &Mobile::efficientnet(1.6, 2.2, true), ImageInput::imagenet(456, 0.934, "bicubic")),
    efficient("tf_efficientnet_b6", 2304, &Mobile::efficientnet(1.8, 2.6, true), ImageInput::imagenet(528, 0.942, "bicubic")),
    efficient("tf_efficientnet_b7", 2560, &Mobile::efficientnet(2.0, 3.1, true), ImageInput::imagenet(600, 0.949, "bicubic")),
];

const fn efficient(name: &'static str, num_features: usize, member: &'static dyn Member, input: ImageInput) -> Architecture {
    architecture(name, "efficientnet", num_features, member, input)
}

const fn lite(name: &'static str, member: &'static dyn Member, input: ImageInput) -> Architecture {
    architecture(name, "efficientnet-lite", 1280, member, input)
}

/// An architecture whose ends are called as in all these families.
pub(super) const fn architecture(
    name: &'static str,
    family: &'static str,
    num_features: usize,
    member: &'static dyn Member,
    input: ImageInput,
) -> Architecture {
    Architecture { name, family, num_features, first_conv: "conv_stem", classifier: "classifier", input: UsualInput::Image(input), member }
}

/// One member of these families.
#[derive(Debug, Clone, Copy)]
struct Mobile {
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
    const fn v2(width: f64) -> Mobile {
        Mobile { stages: &MOBILENET_V2, width, depth: 1.0, fixed_ends: false, tensorflow: false, squeeze: false }
    }

    /// MobileNetV2 at a width and a depth multiplier, between ends that stay as they are.
    const fn deeper(width: f64, depth: f64) -> Mobile {
        Mobile { width, depth, fixed_ends: true, ..Mobile::v2(1.0) }
    }

    /// EfficientNet-Lite at a width and depth multiplier; `tensorflow` for timm's `tf_` models.
    const fn lite(width: f64, depth: f64, tensorflow: bool) -> Mobile {
        Mobile { stages: &EFFICIENTNET_LITE, width, depth, fixed_ends: true, tensorflow, squeeze: false }
    }

    /// EfficientNet at a width and depth multiplier; `tensorflow` for timm's `tf_` models.
    const fn efficientnet(width: f64, depth: f64, tensorflow: bool) -> Mobile {
        Mobile { stages: &EFFICIENTNET_LITE, width, depth, fixed_ends: false, tensorflow, squeeze: true }
    }

    /// Channels at this width: a multiple of 8, never more than a tenth below the exact number.
    fn channels(&self, base: usize) -> usize {
        eights(base as f64 * self.width)
    }
}

impl Planned for Mobile {
    fn plan(&self) -> Plan {
        let stem = if self.fixed_ends { 32 } else { self.channels(32) };
        let num_features = if self.fixed_ends { 1280 } else { self.channels(1280).max(1280) };
        let activation = if self.squeeze { Activation::Silu } else { Activation::Relu6 };
        let mut stages = vec![chain("stem", Unit::new("conv_stem", "bn1", (3, stem), 3, 2).then(activation))];
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
                    layers: Squeeze::CONV,
                    channels: channels * expansion,
                    reduced: channels / 4,
                    clips: false,
                    activation,
                    gate: Gate::Sigmoid,
                });
                let shape = Inverted { input: channels, wide: channels * expansion, output, kernel, stride, activation, squeeze };
                blocks.push(inverted_residual(&prefix, shape));
                channels = output;
            }
            stages.push(StagePlan::of_blocks(format!("blocks.{index}"), blocks));
        }
        stages.push(chain("head", Unit::new("conv_head", "bn2", (channels, num_features), 1, 1).then(activation)));
        let norm_eps = if self.tensorflow { 1e-3 } else { 1e-5 };
        Plan { stages, num_features, same_padding: self.tensorflow, clips: false, norm_eps }
    }

    fn classifier(&self, _num_features: usize, num_classes: usize) -> [Init; 2] {
        classifier_init(num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        if self.squeeze { SILU } else { &["relu6"] }
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        arguments(self.tensorflow)
    }
}

/// timm's words for SiLU.
pub(super) const SILU: &[&str] = &["silu", "swish"];

/// Arguments of networks that were converted from TensorFlow, and of those that were not.
pub(super) fn arguments(tensorflow: bool) -> &'static [(&'static str, &'static str)] {
    if tensorflow {
        &[("output_stride", "32"), ("pad_type", "\"same\""), ("bn_eps", "0.001")]
    } else {
        &[("output_stride", "32"), ("pad_type", "\"\""), ("bn_eps", "1e-5")]
    }
}

/// Uniform by fan-out, zero bias.
pub(super) fn classifier_init(num_classes: usize) -> [Init; 2] {
    [Init::Uniform(1.0 / (num_classes as f64).sqrt()), Init::ZEROS]
}

/// The nearest multiple of 8, but never more than a tenth below the exact number.
pub(super) fn eights(exact: f64) -> usize {
    let rounded = (((exact + 4.0) as usize) / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
}

/// A stage of one unit.
pub(super) fn chain(name: &str, unit: Unit) -> StagePlan {
    StagePlan { name: name.into(), parts: vec![Part::chain([unit])] }
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

/// Widen by a 3x3 convolution, narrow: the channels on the way.
pub(super) fn fused(prefix: &str, (input, wide, output): (usize, usize, usize), stride: usize, activation: Activation) -> Block {
    let name = |module: &str| format!("{prefix}.{module}");
    let widen = Unit::new(name("conv_exp"), name("bn1"), (input, wide), 3, stride).then(activation);
    let narrow = Unit::new(name("conv_pwl"), name("bn2"), (wide, output), 1, 1);
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    Block { units: vec![widen, narrow], shortcut, sum: Sum::Inside }
}

/// Widen, filter each channel on its own, narrow; without expansion just the last two.
pub(super) fn inverted_residual(prefix: &str, shape: Inverted) -> Block {
    let Inverted { input, wide, output, kernel, stride, activation, squeeze } = shape;
    let name = |module: &str| format!("{prefix}.{module}");
    let narrow = |conv: &str, norm: &str| Unit::new(name(conv), name(norm), (wide, output), 1, 1);
    let filter = |norm: &str| Unit::new(name("conv_dw"), name(norm), (wide, wide), kernel, stride).grouped(wide).then(activation);
    let units = if wide == input {
        vec![Unit { squeeze, ..filter("bn1") }, narrow("conv_pw", "bn2")]
    } else {
        let widen = Unit::new(name("conv_pw"), name("bn1"), (input, wide), 1, 1).then(activation);
        vec![widen, Unit { squeeze, ..filter("bn2") }, narrow("conv_pwl", "bn3")]
    };
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    Block { units, shortcut, sum: Sum::Inside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_depths_follow_the_papers() {
        let lite4 = Mobile::lite(1.4, 1.8, true).plan();
        let repeats: Vec<usize> = lite4.stages[1..8].iter().map(|stage| stage.parts.len()).collect();
        assert_eq!(repeats, [1, 4, 4, 6, 6, 8, 1]);
        assert_eq!(lite4.num_features, 1280);
        let wide = Mobile::v2(1.4).plan();
        assert_eq!(wide.num_features, 1792);
        assert_eq!(wide.stages[0].block(0).units[0].output, 48);
    }
}
