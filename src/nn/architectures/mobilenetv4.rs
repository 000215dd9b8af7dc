//! MobileNetV4 of convolutions alone (Qin et al. 2024), under timm's names: inverted residuals that may filter before they widen, after,
//! both or not at all, and a last layer that works on the pooled pixel.
//!
//! ```text
//! stem            conv_stem 3x3/2, bn1
//! stages 1..5     blocks.0 .. blocks.4; the last of them is a 1x1 convolution
//! head            mean over all pixels, conv_head 1x1, norm_head
//! ```

use super::architecture::{Architecture, ImageInput, Member};
use super::convolutional::Planned;
use super::mobile::{architecture, chain, classifier_init, fused};
use super::plan::{Block, Part, Plan, Shortcut, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average};

/// The family.
pub(super) static MEMBERS: [Architecture; 3] = [
    member("mobilenetv4_conv_small", (224, 0.875), &MobileNetV4 { stem: 32, stages: &SMALL }),
    member("mobilenetv4_conv_medium", (256, 0.95), &MobileNetV4 { stem: 32, stages: &MEDIUM }),
    member("mobilenetv4_conv_large", (384, 0.95), &MobileNetV4 { stem: 24, stages: &LARGE }),
];

const fn member(name: &'static str, (size, crop_pct): (usize, f64), member: &'static dyn Member) -> Architecture {
    architecture(name, "mobilenetv4", FEATURES, member, ImageInput::imagenet(size, crop_pct, "bicubic"))
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct MobileNetV4 {
    /// Channels of the stem.
    stem: usize,
    stages: &'static [&'static [Row]; 4],
}

/// Channels of the last map, and of the pooled features.
const LAST: usize = 960;
const FEATURES: usize = 1280;
const RELU: Activation = Activation::Relu;

/// A block, or several alike.
#[derive(Debug, Clone, Copy)]
enum Row {
    /// One convolution: kernel, stride, channels.
    Plain(usize, usize, usize),
    /// Widens by a 3x3 convolution with a stride of 2: expansion, channels.
    Fused(usize, usize),
    /// Times; kernels before and after widening, 0 where nothing filters; stride, expansion, channels.
    Universal(usize, [usize; 2], usize, usize, usize),
}

use Row::{Fused, Plain, Universal};

#[rustfmt::skip]
const SMALL: [&[Row]; 4] = [
    &[Plain(3, 2, 32), Plain(1, 1, 32)],
    &[Plain(3, 2, 96), Plain(1, 1, 64)],
    &[Universal(1, [5, 5], 2, 3, 96), Universal(4, [0, 3], 1, 2, 96), Universal(1, [3, 0], 1, 4, 96)],
    &[
        Universal(1, [3, 3], 2, 6, 128), Universal(1, [5, 5], 1, 4, 128), Universal(1, [0, 5], 1, 4, 128), Universal(1, [0, 5], 1, 3, 128),
        Universal(2, [0, 3], 1, 4, 128),
    ],
];
#[rustfmt::skip]
const MEDIUM: [&[Row]; 4] = [
    &[Fused(4, 48)],
    &[Universal(1, [3, 5], 2, 4, 80), Universal(1, [3, 3], 1, 2, 80)],
    &[
        Universal(1, [3, 5], 2, 6, 160), Universal(2, [3, 3], 1, 4, 160), Universal(1, [3, 5], 1, 4, 160), Universal(1, [3, 3], 1, 4, 160),
        Universal(1, [3, 0], 1, 4, 160), Universal(1, [0, 0], 1, 2, 160), Universal(1, [3, 0], 1, 4, 160),
    ],
    &[
        Universal(1, [5, 5], 2, 6, 256), Universal(1, [5, 5], 1, 4, 256), Universal(2, [3, 5], 1, 4, 256), Universal(1, [0, 0], 1, 4, 256),
        Universal(1, [3, 0], 1, 4, 256), Universal(1, [3, 5], 1, 2, 256), Universal(1, [5, 5], 1, 4, 256), Universal(2, [0, 0], 1, 4, 256),
        Universal(1, [5, 0], 1, 2, 256),
    ],
];
#[rustfmt::skip]
const LARGE: [&[Row]; 4] = [
    &[Fused(4, 48)],
    &[Universal(1, [3, 5], 2, 4, 96), Universal(1, [3, 3], 1, 4, 96)],
    &[
        Universal(1, [3, 5], 2, 4, 192), Universal(3, [3, 3], 1, 4, 192), Universal(1, [3, 5], 1, 4, 192), Universal(5, [5, 3], 1, 4, 192),
        Universal(1, [3, 0], 1, 4, 192),
    ],
    &[
        Universal(1, [5, 5], 2, 4, 512), Universal(3, [5, 5], 1, 4, 512), Universal(1, [5, 0], 1, 4, 512), Universal(1, [5, 3], 1, 4, 512),
        Universal(2, [5, 0], 1, 4, 512), Universal(1, [5, 3], 1, 4, 512), Universal(1, [5, 5], 1, 4, 512), Universal(3, [5, 0], 1, 4, 512),
    ],
];

/// The stride is where maps are filtered last before they are narrowed.
fn universal(prefix: &str, (input, wide, output): (usize, usize, usize), kernels: [usize; 2], stride: usize) -> Block {
    let layer = |module: &str, channels: (usize, usize), kernel: usize, stride: usize| {
        Unit::new(format!("{prefix}.{module}.conv"), format!("{prefix}.{module}.bn"), channels, kernel, stride)
    };
    let [start, middle] = kernels;
    let mut units = Vec::new();
    if start > 0 {
        units.push(layer("dw_start", (input, input), start, if middle == 0 { stride } else { 1 }).grouped(input));
    }
    units.push(layer("pw_exp", (input, wide), 1, 1).then(RELU));
    if middle > 0 {
        units.push(layer("dw_mid", (wide, wide), middle, stride).grouped(wide).then(RELU));
    }
    units.push(layer("pw_proj", (wide, output), 1, 1));
    let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
    Block { units, shortcut, sum: Sum::Inside }
}

/// The blocks of a stage, from `channels` on, which become those it ends with.
fn blocks(name: &str, rows: &[Row], channels: &mut usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for row in rows {
        let times = if let Universal(times, ..) = row { *times } else { 1 };
        for _ in 0..times {
            let (prefix, input) = (format!("{name}.{}", blocks.len()), *channels);
            blocks.push(match *row {
                Plain(kernel, stride, output) => {
                    *channels = output;
                    let unit = Unit::new(format!("{prefix}.conv"), format!("{prefix}.bn1"), (input, output), kernel, stride).then(RELU);
                    Block { units: vec![unit], shortcut: Shortcut::None, sum: Sum::Inside }
                }
                Fused(expansion, output) => {
                    *channels = output;
                    fused(&prefix, (input, input * expansion, output), 2, RELU)
                }
                Universal(_, kernels, stride, expansion, output) => {
                    *channels = output;
                    universal(&prefix, (input, input * expansion, output), kernels, stride)
                }
            });
        }
    }
    blocks
}

impl Planned for MobileNetV4 {
    fn plan(&self) -> Plan {
        let mut stages = vec![chain("stem", Unit::new("conv_stem", "bn1", (3, self.stem), 3, 2).then(RELU))];
        let mut channels = self.stem;
        for (index, rows) in self.stages.iter().enumerate() {
            let name = format!("blocks.{index}");
            stages.push(StagePlan::of_blocks(name.clone(), blocks(&name, rows, &mut channels)));
        }
        let name = format!("blocks.{}", self.stages.len());
        stages.push(StagePlan::of_blocks(name.clone(), blocks(&name, &[Plain(1, 1, LAST)], &mut channels)));
        let pixel = Unit::new("conv_head", "norm_head", (channels, FEATURES), 1, 1).then(RELU);
        stages.push(StagePlan { name: "head".into(), parts: vec![Part::AveragePool(Average::All), Part::chain([pixel])] });
        Plan { stages, num_features: FEATURES, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    fn classifier(&self, _num_features: usize, num_classes: usize) -> [Init; 2] {
        classifier_init(num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32"), ("pad_type", "\"\""), ("bn_eps", "1e-5"), ("head_bias", "false"), ("head_norm", "true")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_filter_where_their_kernels_say() {
        let plan = MobileNetV4 { stem: 32, stages: &SMALL }.plan();
        let kernels = |stage: usize, block: usize| {
            plan.stages[stage].block(block).units.iter().map(|unit| (unit.kernel[0], unit.stride)).collect::<Vec<_>>()
        };
        assert_eq!(kernels(3, 0), [(5, 1), (1, 1), (5, 2), (1, 1)]);
        assert_eq!(kernels(3, 4), [(1, 1), (3, 1), (1, 1)]);
        assert_eq!(kernels(3, 5), [(3, 1), (1, 1), (1, 1)]);
        assert_eq!(plan.stages.len(), 7);
    }
}
