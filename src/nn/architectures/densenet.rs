//! DenseNet (Huang et al. 2017), under timm's names: each layer sees what all layers of its block before it have made.
//!
//! ```text
//! stem            features.conv0 7x7/2, features.norm0, max pooling 3x3/2
//! denseblock1..4  features.denseblockN, before it (but for the first) features.transitionM, after the last features.norm5
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{BatchNorm, Part, Plan, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average, Window};

/// The family.
pub(super) static MEMBERS: [Architecture; 4] = [
    member("densenet121", 1024, &DenseNet { growth: 32, layers: [6, 12, 24, 16] }),
    member("densenet161", 2208, &DenseNet { growth: 48, layers: [6, 12, 36, 24] }),
    member("densenet169", 1664, &DenseNet { growth: 32, layers: [6, 12, 32, 32] }),
    member("densenet201", 1920, &DenseNet { growth: 32, layers: [6, 12, 48, 32] }),
];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bicubic"));
    Architecture { name, family: "densenet", num_features, first_conv: "features.conv0", classifier: "classifier", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct DenseNet {
    /// Channels that each layer adds.
    growth: usize,
    /// Of each block.
    layers: [usize; 4],
}

/// Channels inside a layer, in those that it adds.
const INSIDE: usize = 4;

/// By the values that each output gathers (He et al. 2015, fan-in).
fn init(inputs: usize, kernel: usize) -> Init {
    Init::Normal((2.0 / (inputs * kernel * kernel) as f64).sqrt())
}

fn norm(name: String, channels: usize) -> Part {
    Part::Norm(BatchNorm { name, channels, activation: Activation::Relu })
}

fn plain(conv: String, channels: (usize, usize), kernel: usize) -> Part {
    Part::chain([Unit::plain(conv, channels, kernel, 1, init(channels.0, kernel))])
}

impl DenseNet {
    /// Adds what it makes of the map to the map.
    fn layer(&self, prefix: &str, input: usize) -> Part {
        let inside = INSIDE * self.growth;
        let narrow = Unit::new(format!("{prefix}.conv1"), format!("{prefix}.norm2"), (input, inside), 1, 1).then(Activation::Relu);
        let made = vec![
            norm(format!("{prefix}.norm1"), input),
            Part::chain([Unit { init: init(input, 1), ..narrow }]),
            plain(format!("{prefix}.conv2"), (inside, self.growth), 3),
        ];
        Part::Branches(vec![Vec::new(), made])
    }
}

/// Halves channels and sides.
fn transition(prefix: &str, channels: usize) -> [Part; 3] {
    let halved = Part::AveragePool(Average::Windows(Window::new(2, 2, 0)));
    [norm(format!("{prefix}.norm"), channels), plain(format!("{prefix}.conv"), (channels, channels / 2), 1), halved]
}

impl Planned for DenseNet {
    fn plan(&self) -> Plan {
        let mut channels = 2 * self.growth;
        let stem = Unit { init: init(3, 7), ..Unit::new("features.conv0", "features.norm0", (3, channels), 7, 2).then(Activation::Relu) };
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain([stem]), Part::MaxPool(Window::new(3, 2, 1))] }];
        for (index, &layers) in self.layers.iter().enumerate() {
            let mut parts = Vec::new();
            if index > 0 {
                parts.extend(transition(&format!("features.transition{index}"), channels));
                channels /= 2;
            }
            let name = format!("denseblock{}", index + 1);
            for layer in 1..=layers {
                parts.push(self.layer(&format!("features.{name}.denselayer{layer}"), channels));
                channels += self.growth;
            }
            if index == self.layers.len() - 1 {
                parts.push(norm("features.norm5".into(), channels));
            }
            stages.push(StagePlan { name, parts });
        }
        Plan { stages, num_features: channels, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features), Init::ZEROS]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("stem_type", "\"\""),
            ("norm_layer", "\"batchnorm2d\""),
            ("bn_size", "4"),
            ("aa_stem_only", "true"),
            ("memory_efficient", "false"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_see_what_those_before_them_have_added() {
        let plan = DenseNet { growth: 32, layers: [6, 12, 24, 16] }.plan();
        let tensors = plan.stages[2].tensors();
        let shape = |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone());
        assert_eq!(shape("features.transition1.conv.weight"), Some(vec![128, 256, 1, 1]));
        assert_eq!(shape("features.denseblock2.denselayer3.conv1.weight"), Some(vec![128, 192, 1, 1]));
        assert_eq!(shape("features.denseblock2.denselayer12.norm1.bias"), Some(vec![480]));
    }
}
