//! VGG (Simonyan and Zisserman 2014), with and without batch norm, under timm's names: 3x3 convolutions, halvings between them, and two
//! wide layers before the classifier, kept as convolutions so that images of any size go through them.
//!
//! ```text
//! block1..5       features.N: convolutions with a bias (each followed by its norm, where there are norms), then max pooling 2x2/2
//! pre_logits      maps of less than 7x7 brought to that; pre_logits.fc1 7x7, pre_logits.fc2 1x1
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Part, Plan, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average, Window};

/// The family.
pub(super) static MEMBERS: [Architecture; 8] = [
    member("vgg11", &Vgg { depths: [1, 1, 2, 2, 2], norms: false }),
    member("vgg13", &Vgg { depths: [2, 2, 2, 2, 2], norms: false }),
    member("vgg16", &Vgg { depths: [2, 2, 3, 3, 3], norms: false }),
    member("vgg19", &Vgg { depths: [2, 2, 4, 4, 4], norms: false }),
    member("vgg11_bn", &Vgg { depths: [1, 1, 2, 2, 2], norms: true }),
    member("vgg13_bn", &Vgg { depths: [2, 2, 2, 2, 2], norms: true }),
    member("vgg16_bn", &Vgg { depths: [2, 2, 3, 3, 3], norms: true }),
    member("vgg19_bn", &Vgg { depths: [2, 2, 4, 4, 4], norms: true }),
];

const fn member(name: &'static str, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bilinear"));
    Architecture { name, family: "vgg", num_features: FEATURES, first_conv: "features.0", classifier: "head.fc", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct Vgg {
    /// Convolutions in each block.
    depths: [usize; 5],
    norms: bool,
}

/// Channels of each block.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];
/// Of the two wide layers, which is what the classifier sees.
const FEATURES: usize = 4096;
/// The side of the first one's kernel.
const WIDE: usize = 7;

impl Planned for Vgg {
    fn plan(&self) -> Plan {
        // timm counts convolutions, norms, activations and poolings alike.
        let (mut stages, mut channels, mut at) = (Vec::new(), 3, 0);
        for (index, (&depth, &width)) in self.depths.iter().zip(&WIDTHS).enumerate() {
            let mut units = Vec::new();
            for _ in 0..depth {
                let conv = Unit::biased(format!("features.{at}"), (channels, width), 3, 1).then(Activation::Relu);
                let norm = self.norms.then(|| format!("features.{}", at + 1));
                units.push(Unit { norm, ..conv });
                at += if self.norms { 3 } else { 2 };
                channels = width;
            }
            at += 1;
            stages.push(StagePlan {
                name: format!("block{}", index + 1),
                parts: vec![Part::chain(units), Part::MaxPool(Window::new(2, 2, 0))],
            });
        }
        let first = Unit { valid: true, ..Unit::biased("pre_logits.fc1", (channels, FEATURES), WIDE, 1) };
        let second = Unit::biased("pre_logits.fc2", (FEATURES, FEATURES), 1, 1);
        let units = [first, second].map(|unit| unit.then(Activation::Relu));
        stages.push(StagePlan { name: "pre_logits".into(), parts: vec![Part::AveragePool(Average::AtLeast(WIDE)), Part::chain(units)] });
        Plan { stages, num_features: FEATURES, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::Normal(0.01), Init::ZEROS]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32"), ("mlp_ratio", "1.0")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_as_timm_counts_them() {
        let convolutions = |vgg: Vgg| {
            let plan = vgg.plan();
            plan.stages.iter().map(|stage| stage.tensors().first().map(|tensor| tensor.name.clone()).unwrap()).collect::<Vec<_>>()
        };
        let plain = ["features.0.weight", "features.3.weight", "features.6.weight", "features.11.weight", "features.16.weight"];
        assert_eq!(convolutions(Vgg { depths: [1, 1, 2, 2, 2], norms: false })[..5], plain);
        let normed = ["features.0.weight", "features.7.weight", "features.14.weight", "features.24.weight", "features.34.weight"];
        assert_eq!(convolutions(Vgg { depths: [2, 2, 3, 3, 3], norms: true })[..5], normed);
    }

    #[test]
    fn only_those_with_norms_need_two_items() {
        let fewest = |name: &str| MEMBERS.iter().find(|member| member.name == name).unwrap().fewest_items();
        assert_eq!((fewest("vgg16"), fewest("vgg16_bn")), (1, 2));
    }
}
