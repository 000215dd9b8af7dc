//! SqueezeNet (Iandola et al. 2016), under torchvision's names, since timm has none: fire modules narrow a map, then widen it by a 1x1
//! and a 3x3 convolution side by side.
//!
//! ```text
//! stem            features.0 without padding, max pooling 3x3/2
//! fires1..3       features.N: fire modules; each but the first begins with max pooling 3x3/2
//! ```
//!
//! torchvision names classes at each pixel, cuts what is below zero, and takes the mean. Here they are named from the mean, by a layer that
//! is fitted to the data set; torchvision's own (`classifier.1`) is left aside.

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Part, Plan, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Window};

/// The family.
pub(super) static MEMBERS: [Architecture; 2] = [
    member("squeezenet1_0", &SqueezeNet { stem: (96, 7), fires: [&[3, 4, 5], &[7, 8, 9, 10], &[12]] }),
    member("squeezenet1_1", &SqueezeNet { stem: (64, 3), fires: [&[3, 4], &[6, 7], &[9, 10, 11, 12]] }),
];

const fn member(name: &'static str, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bilinear"));
    Architecture { name, family: "squeezenet", num_features: 512, first_conv: "features.0", classifier: "classifier", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct SqueezeNet {
    /// Channels and kernel of the stem.
    stem: (usize, usize),
    /// Where in `features` the fire modules stand, stage by stage; all members have the same ones.
    fires: [&'static [usize]; 3],
}

/// Channels of each fire module: narrowed, and of each of the two convolutions that widen.
const FIRES: [(usize, usize); 8] = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)];
/// torchvision's poolings count the last window even where it reaches beyond the map.
const POOL: Part = Part::MaxPool(Window::new(3, 2, 0).overhanging());

fn fire(prefix: &str, input: usize, (narrow, wide): (usize, usize)) -> [Part; 2] {
    let unit = |name: &str, channels: (usize, usize), kernel: usize| {
        let init = Init::Uniform((6.0 / (channels.0 * kernel * kernel) as f64).sqrt());
        Part::chain([Unit { init, ..Unit::biased(format!("{prefix}.{name}"), channels, kernel, 1) }.then(Activation::Relu)])
    };
    let branches = [("expand1x1", 1), ("expand3x3", 3)].map(|(name, kernel)| vec![unit(name, (narrow, wide), kernel)]);
    [unit("squeeze", (input, narrow), 1), Part::Branches(branches.into())]
}

impl Planned for SqueezeNet {
    fn plan(&self) -> Plan {
        let (mut channels, kernel) = self.stem;
        let init = Init::Uniform((6.0 / (3 * kernel * kernel) as f64).sqrt());
        let stem = Unit { valid: true, init, ..Unit::biased("features.0", (3, channels), kernel, 2) }.then(Activation::Relu);
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain([stem]), POOL] }];
        let mut sizes = FIRES.iter();
        for (index, places) in self.fires.iter().enumerate() {
            let mut parts = if index > 0 { vec![POOL] } else { Vec::new() };
            for (place, &size) in places.iter().zip(&mut sizes) {
                parts.extend(fire(&format!("features.{place}"), channels, size));
                channels = 2 * size.1;
            }
            stages.push(StagePlan { name: format!("fires{}", index + 1), parts });
        }
        Plan { stages, num_features: channels, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    /// PyTorch's own linear layer.
    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features); 2]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn unused(&self) -> &'static [&'static str] {
        &["classifier.1"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_the_same_fire_modules_at_other_places() {
        let names = |index: usize, stage: usize| {
            MEMBERS[index].member.stages()[stage].1.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>()
        };
        assert!(names(0, 2).contains(&"features.10.expand3x3.bias".to_owned()));
        assert!(names(1, 3).contains(&"features.12.squeeze.weight".to_owned()));
        let count = |index: usize| MEMBERS[index].expected(0).iter().map(|tensor| tensor.count()).sum::<usize>();
        // torchvision's parameters without the 1000 classes.
        assert_eq!((count(0), count(1)), (1_248_424 - 513_000, 1_235_496 - 513_000));
    }
}
