//! RegNetX and RegNetY (Radosavovic et al. 2020), under timm's names: bottlenecks as wide as their stage, whose 3x3 convolutions have
//! groups; Y adds a squeeze-and-excite after them.
//!
//! ```text
//! stem            stem.conv 3x3/2, stem.bn
//! stages 1..4     s1 .. s4
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Block, Part, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Gate};

/// The family. What the paper's linear rule comes to: blocks and channels of each stage, and channels of a group.
pub(super) static MEMBERS: [Architecture; 24] = [
    member("regnetx_002", 368, 0.875, &RegNet::x([1, 1, 4, 7], [24, 56, 152, 368], 8)),
    member("regnetx_004", 384, 0.875, &RegNet::x([1, 2, 7, 12], [32, 64, 160, 384], 16)),
    member("regnetx_006", 528, 0.875, &RegNet::x([1, 3, 5, 7], [48, 96, 240, 528], 24)),
    member("regnetx_008", 672, 0.965, &RegNet::x([1, 3, 7, 5], [64, 128, 288, 672], 16)),
    member("regnetx_016", 912, 0.965, &RegNet::x([2, 4, 10, 2], [72, 168, 408, 912], 24)),
    member("regnetx_032", 1008, 0.965, &RegNet::x([2, 6, 15, 2], [96, 192, 432, 1008], 48)),
    member("regnetx_040", 1360, 0.875, &RegNet::x([2, 5, 14, 2], [80, 240, 560, 1360], 40)),
    member("regnetx_064", 1624, 0.875, &RegNet::x([2, 4, 10, 1], [168, 392, 784, 1624], 56)),
    member("regnetx_080", 1920, 0.965, &RegNet::x([2, 5, 15, 1], [80, 240, 720, 1920], 120)),
    member("regnetx_120", 2240, 0.875, &RegNet::x([2, 5, 11, 1], [224, 448, 896, 2240], 112)),
    member("regnetx_160", 2048, 0.965, &RegNet::x([2, 6, 13, 1], [256, 512, 896, 2048], 128)),
    member("regnetx_320", 2520, 0.965, &RegNet::x([2, 7, 13, 1], [336, 672, 1344, 2520], 168)),
    member("regnety_002", 368, 0.875, &RegNet::y([1, 1, 4, 7], [24, 56, 152, 368], 8)),
    member("regnety_004", 440, 0.965, &RegNet::y([1, 3, 6, 6], [48, 104, 208, 440], 8)),
    member("regnety_006", 608, 0.875, &RegNet::y([1, 3, 7, 4], [48, 112, 256, 608], 16)),
    member("regnety_008", 768, 0.875, &RegNet::y([1, 3, 8, 2], [64, 128, 320, 768], 16)),
    member("regnety_016", 888, 0.965, &RegNet::y([2, 6, 17, 2], [48, 120, 336, 888], 24)),
    member("regnety_032", 1512, 0.95, &RegNet::y([2, 5, 13, 1], [72, 216, 576, 1512], 24)),
    member("regnety_040", 1088, 0.95, &RegNet::y([2, 6, 12, 2], [128, 192, 512, 1088], 64)),
    member("regnety_064", 1296, 0.95, &RegNet::y([2, 7, 14, 2], [144, 288, 576, 1296], 72)),
    member("regnety_080", 2016, 0.95, &RegNet::y([2, 4, 10, 1], [168, 448, 896, 2016], 56)),
    member("regnety_120", 2240, 0.95, &RegNet::y([2, 5, 11, 1], [224, 448, 896, 2240], 112)),
    member("regnety_160", 3024, 0.95, &RegNet::y([2, 4, 11, 1], [224, 448, 1232, 3024], 112)),
    member("regnety_320", 3712, 0.965, &RegNet::y([2, 5, 12, 1], [232, 696, 1392, 3712], 232)),
];

const fn member(name: &'static str, num_features: usize, crop_pct: f64, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, crop_pct, "bicubic"));
    Architecture { name, family: "regnet", num_features, first_conv: "stem.conv", classifier: "head.fc", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct RegNet {
    depths: [usize; 4],
    widths: [usize; 4],
    group_width: usize,
    /// Y: a squeeze-and-excite to a quarter of the block's input.
    squeeze: bool,
}

/// Channels of the stem.
const STEM: usize = 32;

impl RegNet {
    const fn x(depths: [usize; 4], widths: [usize; 4], group_width: usize) -> RegNet {
        RegNet { depths, widths, group_width, squeeze: false }
    }

    const fn y(depths: [usize; 4], widths: [usize; 4], group_width: usize) -> RegNet {
        RegNet { squeeze: true, ..RegNet::x(depths, widths, group_width) }
    }

    fn block(&self, prefix: &str, input: usize, width: usize, stride: usize) -> Block {
        let layer = |name: &str, channels: (usize, usize)| unit(&format!("{prefix}.{name}"), channels, 1, 1).then(Activation::Relu);
        let groups = width / self.group_width.min(width);
        let squeeze = self.squeeze.then(|| Squeeze {
            name: format!("{prefix}.se"),
            layers: Squeeze::FC,
            channels: width,
            // As Python rounds: halves to the even number.
            reduced: (input as f64 / 4.0).round_ties_even() as usize,
            clips: false,
            activation: Activation::Relu,
            gate: Gate::Sigmoid,
        });
        let middle = unit(&format!("{prefix}.conv2"), (width, width), 3, stride).grouped(groups).then(Activation::Relu);
        let last = Unit { silent: true, ..layer("conv3", (width, width)) };
        let units = vec![layer("conv1", (input, width)), Unit { squeeze, ..middle }, last];
        let shortcut = if input == width && stride == 1 {
            Shortcut::Identity
        } else {
            Shortcut::Projection(None, Box::new(unit(&format!("{prefix}.downsample"), (input, width), 1, stride)))
        };
        Block { units, shortcut, sum: Sum::Inside }
    }
}

impl Planned for RegNet {
    fn plan(&self) -> Plan {
        let stem = unit("stem", (3, STEM), 3, 2).then(Activation::Relu);
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain([stem])] }];
        let mut channels = STEM;
        for (index, (&depth, &width)) in self.depths.iter().zip(&self.widths).enumerate() {
            let name = format!("s{}", index + 1);
            let mut blocks = Vec::new();
            for block in 1..=depth {
                blocks.push(self.block(&format!("{name}.b{block}"), channels, width, if block == 1 { 2 } else { 1 }));
                channels = width;
            }
            stages.push(StagePlan::of_blocks(name, blocks));
        }
        Plan { stages, num_features: channels, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::Normal(0.01), Init::ZEROS]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32")]
    }
}

/// Convolution and norm, both under one module.
fn unit(module: &str, channels: (usize, usize), kernel: usize, stride: usize) -> Unit {
    Unit::new(format!("{module}.conv"), format!("{module}.bn"), channels, kernel, stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_as_wide_as_said_but_not_wider_than_the_stage() {
        let plan = RegNet::y([2, 5, 15, 1], [80, 240, 720, 1920], 120).plan();
        let middle = |stage: usize, block: usize| &plan.stages[stage].block(block).units[1];
        assert_eq!((middle(1, 0).groups, middle(2, 0).groups, middle(4, 0).groups), (1, 2, 16));
        let reduced = |stage: usize, block: usize| middle(stage, block).squeeze.as_ref().map(|squeeze| squeeze.reduced);
        assert_eq!((reduced(1, 0), reduced(1, 1), reduced(2, 0)), (Some(8), Some(20), Some(20)));
    }
}
