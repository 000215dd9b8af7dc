//! MobileNetV3 (Howard et al. 2019), under timm's names: inverted residuals with hard-swish and squeeze-and-excite,
//! and a last layer that works on the pooled pixel.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..      blocks.0 ..; the last of them is a 1x1 convolution
//! head            mean over all pixels, conv_head 1x1 with bias
//! ```

use super::architecture::{Architecture, ImageInput, Member};
use super::convolutional::Planned;
use super::mobile::{Inverted, architecture, chain, classifier_init, eights, inverted_residual};
use super::plan::{Part, Plan, Squeeze, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average, Gate};

/// The family.
pub(super) static MEMBERS: [Architecture; 4] = [
    member("mobilenetv3_small_050", 1024, &MobileNetV3::small(0.5)),
    member("mobilenetv3_small_075", 1024, &MobileNetV3::small(0.75)),
    member("mobilenetv3_small_100", 1024, &MobileNetV3::small(1.0)),
    member("mobilenetv3_large_100", 1280, &MobileNetV3::large()),
];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member) -> Architecture {
    architecture(name, "mobilenetv3", num_features, member, ImageInput::imagenet(224, 0.875, "bicubic"))
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct MobileNetV3 {
    stages: &'static [&'static [Row]],
    /// Channels of the last map, and of the pooled features.
    ends: (usize, usize),
    width: f64,
}

/// Kernel, stride, expansion, channels, squeeze-and-excite, and ReLU instead of hard-swish.
type Row = (usize, usize, f64, usize, bool, bool);

const SMALL: &[&[Row]] = &[
    &[(3, 2, 1.0, 16, true, true)],
    &[(3, 2, 4.5, 24, false, true), (3, 1, 3.67, 24, false, true)],
    &[(5, 2, 4.0, 40, true, false), (5, 1, 6.0, 40, true, false), (5, 1, 6.0, 40, true, false)],
    &[(5, 1, 3.0, 48, true, false), (5, 1, 3.0, 48, true, false)],
    &[(5, 2, 6.0, 96, true, false), (5, 1, 6.0, 96, true, false), (5, 1, 6.0, 96, true, false)],
];
const LARGE: &[&[Row]] = &[
    &[(3, 1, 1.0, 16, false, true)],
    &[(3, 2, 4.0, 24, false, true), (3, 1, 3.0, 24, false, true)],
    &[(5, 2, 3.0, 40, true, true), (5, 1, 3.0, 40, true, true), (5, 1, 3.0, 40, true, true)],
    &[(3, 2, 6.0, 80, false, false), (3, 1, 2.5, 80, false, false), (3, 1, 2.3, 80, false, false), (3, 1, 2.3, 80, false, false)],
    &[(3, 1, 6.0, 112, true, false), (3, 1, 6.0, 112, true, false)],
    &[(5, 2, 6.0, 160, true, false), (5, 1, 6.0, 160, true, false), (5, 1, 6.0, 160, true, false)],
];
/// The stem keeps its width in all members here.
const STEM: usize = 16;

impl MobileNetV3 {
    /// The small one at a width multiplier.
    const fn small(width: f64) -> MobileNetV3 {
        MobileNetV3 { stages: SMALL, ends: (576, 1024), width }
    }

    /// The large one.
    const fn large() -> MobileNetV3 {
        MobileNetV3 { stages: LARGE, ends: (960, 1280), width: 1.0 }
    }
}

impl Planned for MobileNetV3 {
    fn plan(&self) -> Plan {
        let swish = Activation::HardSwish;
        let mut stages = vec![chain("stem", Unit::new("conv_stem", "bn1", (3, STEM), 3, 2).then(swish))];
        let mut channels = STEM;
        for (index, rows) in self.stages.iter().enumerate() {
            let mut blocks = Vec::new();
            for (block, row) in rows.iter().enumerate() {
                let prefix = format!("blocks.{index}.{block}");
                let output = eights(row.3 as f64 * self.width);
                blocks.push(inverted_residual(&prefix, shape(&prefix, row, channels, output)));
                channels = output;
            }
            stages.push(StagePlan::of_blocks(format!("blocks.{index}"), blocks));
        }
        let name = format!("blocks.{}", self.stages.len());
        let wide = eights(self.ends.0 as f64 * self.width);
        let last = Unit::new(format!("{name}.0.conv"), format!("{name}.0.bn1"), (channels, wide), 1, 1).then(swish);
        stages.push(chain(&name, last));
        let pixel = Unit::biased("conv_head", (wide, self.ends.1), 1, 1).then(swish);
        stages.push(StagePlan { name: "head".into(), parts: vec![Part::AveragePool(Average::All), Part::chain([pixel])] });
        Plan { stages, num_features: self.ends.1, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    fn classifier(&self, _num_features: usize, num_classes: usize) -> [Init; 2] {
        classifier_init(num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        &["hard_swish", "hardswish"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32"), ("pad_type", "\"\""), ("bn_eps", "1e-5"), ("head_bias", "true"), ("head_norm", "false")]
    }
}

fn shape(prefix: &str, &(kernel, stride, expansion, _, squeeze, relu): &Row, input: usize, output: usize) -> Inverted {
    let wide = if expansion == 1.0 { input } else { eights(input as f64 * expansion) };
    let squeeze = squeeze.then(|| Squeeze {
        name: format!("{prefix}.se"),
        layers: Squeeze::CONV,
        channels: wide,
        reduced: eights(wide as f64 * 0.25),
        clips: false,
        activation: Activation::Relu,
        gate: Gate::HardSigmoid,
    });
    let activation = if relu { Activation::Relu } else { Activation::HardSwish };
    Inverted { input, wide, output, kernel, stride, activation, squeeze }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squeezes_and_widths_are_rounded_as_the_paper_does() {
        let plan = MobileNetV3::small(1.0).plan();
        let squeeze = |stage: usize, block: usize, unit: usize| {
            plan.stages[stage].block(block).units[unit].squeeze.as_ref().map(|squeeze| (squeeze.channels, squeeze.reduced))
        };
        assert_eq!(squeeze(1, 0, 0), Some((16, 8)));
        assert_eq!(squeeze(3, 1, 1), Some((240, 64)));
        assert_eq!(squeeze(5, 2, 1), Some((576, 144)));
        assert_eq!(squeeze(2, 1, 1), None);
        assert_eq!(plan.stages[2].block(1).units[0].output, 88);
        assert_eq!(plan.stages.len(), 8);
    }
}
