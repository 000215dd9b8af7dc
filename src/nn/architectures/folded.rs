//! MobileNetV3 (Howard et al. 2019) as two graphs of TensorFlow hold it that were published for browsers: batch norms are folded into the
//! convolutions, and the layers that only a classifier needs are gone. They are found by their names and are in no list: nobody starts from
//! random ones. Heads over maps look where the published ones do.
//!
//! ```text
//! stem            conv_stem 3x3/2
//! stages 1..      blocks.0 ..; of the large one the last block of blocks.2 is a stage of its own
//! ```

use super::architecture::{Architecture, ImageInput, Member};
use super::convolutional::Planned;
use super::mobile::{architecture, chain, classifier_init};
use super::plan::{Block, Part, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::backbone::Scale;
use crate::nn::executors::tapped::Tap;
use crate::nn::kernels::{Activation, Gate};

/// Pixels from 0 to 255, as they are.
const BYTES: ImageInput = ImageInput { size: 512, interpolation: "bilinear", crop_pct: 1.0, mean: [0.0; 3], std: [1.0 / 255.0; 3] };
/// Pixels from 0 to 1.
const SHARES: ImageInput = ImageInput { size: 256, std: [1.0; 3], ..BYTES };

/// TF-Slim's large network at three quarters of its width, under CenterNet; and a small one of MediaPipe's, under its segmentation of people.
pub(super) static MEMBERS: [Architecture; 2] = [
    member("tf_mobilenetv3_large_075_folded", 120, &Folded { stages: LARGE, gate: Gate::HardSigmoid, taps: LARGE_TAPS }, BYTES),
    member("tf_mobilenetv3_selfie_folded", 32, &Folded { stages: SELFIE, gate: Gate::Sigmoid, taps: SELFIE_TAPS }, SHARES),
];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member, input: ImageInput) -> Architecture {
    architecture(name, "mobilenetv3-folded", num_features, member, input)
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Folded {
    stages: &'static [(&'static str, usize, &'static [Row])],
    gate: Gate,
    taps: &'static [Look],
}

/// Kernel, stride, channels within (0 where nothing widens) and behind, channels within the squeeze (0 without one), and ReLU instead of
/// hard-swish.
type Row = (usize, usize, usize, usize, usize, bool);

/// Stage, stride and width of maps that are looked at, and the name of the layer that they are seen through.
type Look = (usize, usize, usize, Option<&'static str>);

/// Channels behind the stem, in both.
const STEM: usize = 16;

/// Name, number of its first block, and blocks.
const LARGE: &[(&str, usize, &[Row])] = &[
    ("blocks.0", 0, &[(3, 1, 0, 16, 0, true)]),
    ("blocks.1", 0, &[(3, 2, 64, 24, 0, true), (3, 1, 72, 24, 0, true)]),
    ("blocks.2", 0, &[(5, 2, 72, 32, 24, true), (5, 1, 96, 32, 24, true)]),
    ("blocks.2", 2, &[(5, 1, 96, 32, 24, true)]),
    ("blocks.3", 0, &[(3, 2, 192, 64, 0, false), (3, 1, 160, 64, 0, false), (3, 1, 144, 64, 0, false), (3, 1, 144, 64, 0, false)]),
    ("blocks.4", 0, &[(3, 1, 384, 88, 96, false), (3, 1, 528, 88, 136, false)]),
    ("blocks.5", 0, &[(5, 2, 528, 120, 136, false), (5, 1, 720, 120, 184, false), (5, 1, 720, 120, 184, false)]),
];
const LARGE_TAPS: &[Look] =
    &[(2, 4, 72, Some("blocks.2.0.conv_pw")), (3, 8, 96, Some("blocks.2.2.conv_pw")), (6, 16, 88, None), (7, 32, 120, None)];

const SELFIE: &[(&str, usize, &[Row])] = &[
    ("blocks.0", 0, &[(3, 2, 16, 16, 8, true)]),
    ("blocks.1", 0, &[(3, 2, 72, 24, 0, true), (3, 1, 88, 24, 0, true)]),
    ("blocks.2", 0, &[(5, 2, 96, 32, 24, false), (5, 1, 128, 32, 32, false), (5, 1, 128, 32, 32, false)]),
    ("blocks.3", 0, &[(5, 1, 96, 32, 24, false), (5, 1, 96, 32, 24, false)]),
];
const SELFIE_TAPS: &[Look] = &[(0, 2, 16, None), (1, 4, 16, None), (2, 8, 24, None), (4, 16, 32, None)];

impl Folded {
    fn block(&self, prefix: &str, &(kernel, stride, wide, output, reduced, relu): &Row, input: usize) -> Block {
        let activation = if relu { Activation::Relu } else { Activation::HardSwish };
        let name = |module: &str| format!("{prefix}.{module}");
        let inside = if wide == 0 { input } else { wide };
        let squeeze = (reduced > 0).then(|| Squeeze {
            name: name("se"),
            layers: Squeeze::CONV,
            channels: inside,
            reduced,
            clips: false,
            activation: Activation::Relu,
            gate: self.gate,
        });
        let widen = (wide > 0).then(|| Unit::biased(name("conv_pw"), (input, wide), 1, 1).then(activation));
        let filter = Unit::biased(name("conv_dw"), (inside, inside), kernel, stride).grouped(inside).then(activation);
        let narrow = Unit::biased(name(if wide > 0 { "conv_pwl" } else { "conv_pw" }), (inside, output), 1, 1);
        let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { Shortcut::None };
        let units = widen.into_iter().chain([Unit { squeeze, ..filter }, narrow]).collect();
        Block { units, shortcut, sum: Sum::Inside }
    }
}

impl Planned for Folded {
    fn plan(&self) -> Plan {
        let mut stages = vec![chain("stem", Unit::biased("conv_stem", (3, STEM), 3, 2).then(Activation::HardSwish))];
        let mut channels = STEM;
        for (name, first, rows) in self.stages {
            let mut blocks = Vec::new();
            for (at, row) in rows.iter().enumerate() {
                blocks.push(self.block(&format!("{name}.{}", first + at), row, channels));
                channels = row.3;
            }
            let stage = if *first == 0 { (*name).to_owned() } else { format!("{name}.{first}") };
            stages.push(StagePlan::of_blocks(stage, blocks));
        }
        Plan { stages, num_features: channels, same_padding: true, clips: false, norm_eps: 1e-3 }
    }

    fn taps(&self) -> Vec<Tap> {
        let plan = self.plan();
        let blocks = plan.stages.iter().flat_map(|stage| &stage.parts).filter_map(|part| match part {
            Part::Block(block) => Some(block),
            _ => None,
        });
        let units: Vec<&Unit> = blocks.flat_map(Block::units).collect();
        let tap = |(stage, stride, width, through): &Look| Tap {
            scale: Scale { stage: *stage, stride: *stride, width: *width },
            through: through.and_then(|name| units.iter().find(|unit| unit.conv == name).map(|unit| (*unit).clone())),
        };
        self.taps.iter().map(tap).collect()
    }

    fn classifier(&self, _num_features: usize, num_classes: usize) -> [Init; 2] {
        classifier_init(num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        &["hard_swish", "hardswish"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32"), ("pad_type", "\"same\"")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_shown_the_maps_that_the_graphs_name() {
        for known in &MEMBERS {
            let weights = crate::nn::Weights::random(known.name, 0, 1).unwrap();
            let backbone = crate::nn::architectures::build(known.name, &weights).unwrap();
            assert_eq!(backbone.num_features(), known.num_features, "{}", known.name);
            let probe = candle_core::Tensor::zeros((1, 3, 64, 96), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
            let maps = backbone.maps(&(&probe).into(), backbone.stages().len(), crate::nn::Mode::Eval).unwrap();
            assert_eq!(known.costs(&[3, 64, 96]).len(), maps.len());
            for scale in backbone.scales() {
                let map = &maps[scale.stage];
                let wanted = [1, scale.width, 64 / scale.stride, 96 / scale.stride];
                assert_eq!((map.stride, map.values.dims()), (Some(scale.stride), &wanted[..]), "{}", known.name);
            }
            assert_eq!(backbone.shows_all(), known.name.contains("selfie"));
        }
    }
}
