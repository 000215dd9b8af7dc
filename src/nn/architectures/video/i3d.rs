//! I3D (Carreira & Zisserman 2017): Inception-v1 with kernels of as many frames as they have lines, under the names of its common PyTorch
//! version (piergiaj/pytorch-i3d).
//!
//! ```text
//! stem      Conv3d_1a_7x7/2, max pooling 1x3x3/1x2x2, Conv3d_2b_1x1, Conv3d_2c_3x3, max pooling
//! Mixed_3   the modules of that number; those of 4 and 5 begin with a max pooling over frames, too
//! Mixed_4
//! Mixed_5   ends in means of 2x7x7, or of all of a smaller clip
//! ```
//!
//! All of it is padded as TensorFlow does. What the classifier (`logits.conv3d`) of a file says of each place is said here of their mean,
//! which is the same.

use super::super::architecture::Architecture;
use super::super::convolutional::Planned;
use super::super::plan::{Part, Plan, StagePlan, Unit};
use super::super::tensor::Init;
use super::inception::{FEATURES, MODULES, Widths, module};
use super::{ImageInput, UsualInput, VideoInput, flat, pointwise};
use crate::nn::kernels::{Activation, Average, Window};
use crate::nn::weights::Weights;

/// The only member of the family.
pub(in super::super) static MEMBERS: [Architecture; 1] = [Architecture {
    name: "i3d",
    family: "i3d",
    num_features: FEATURES,
    first_conv: "Conv3d_1a_7x7.conv3d",
    classifier: CLASSIFIER,
    input: UsualInput::Video(VideoInput { frames: 64, every: 1, image: ImageInput::inception(224, 0.875, "bilinear") }),
    member: &I3d,
}];

const CLASSIFIER: &str = "logits.conv3d";
/// Of one frame each, halving height and width.
const FLAT: Part = Part::MaxPool(Window::new(3, 2, 0).same());
const AROUND: Part = Part::MaxPool(Window::new(3, 1, 0).over(3, 1, 0).same());

#[derive(Debug, Clone, Copy)]
struct I3d;

/// A cube of a kernel, its norm and its activation.
fn unit(module: &str, channels: (usize, usize), kernel: usize, stride: usize) -> Unit {
    let init = Init::fan_in(channels.0 * kernel * kernel * kernel);
    let unit = Unit::new(format!("{module}.conv3d"), format!("{module}.bn"), channels, kernel, stride).then(Activation::Relu);
    Unit { init, ..unit }.over(kernel, stride)
}

fn mixed(prefix: &str, widths: &Widths) -> Part {
    let input = widths.input;
    let one = |name: &str, output: usize| unit(&format!("{prefix}.{name}"), (input, output), 1, 1);
    let narrowed = |from: &str, to: &str, (narrow, wide): (usize, usize)| {
        vec![Part::chain([one(from, narrow), unit(&format!("{prefix}.{to}"), (narrow, wide), 3, 1)])]
    };
    module(
        vec![Part::chain([one("b0", widths.single)])],
        narrowed("b1a", "b1b", widths.first),
        narrowed("b2a", "b2b", widths.second),
        vec![AROUND, Part::chain([one("b3b", widths.pooled)])],
    )
}

impl Planned for I3d {
    fn plan(&self) -> Plan {
        let seen = [unit("Conv3d_1a_7x7", (3, 64), 7, 2)];
        let wide = [unit("Conv3d_2b_1x1", (64, 64), 1, 1), unit("Conv3d_2c_3x3", (64, 192), 3, 1)];
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain(seen), FLAT, Part::chain(wide), FLAT] }];
        let before = [None, Some(Window::new(3, 2, 0).over(3, 2, 0).same()), Some(Window::new(2, 2, 0).over(2, 2, 0).same())];
        for ((number, modules), pool) in (3..).zip(MODULES).zip(before) {
            let mut parts: Vec<Part> = pool.map(Part::MaxPool).into_iter().collect();
            parts.extend(('b'..).zip(modules).map(|(letter, widths)| mixed(&format!("Mixed_{number}{letter}"), widths)));
            stages.push(StagePlan { name: format!("Mixed_{number}"), parts });
        }
        if let Some(last) = stages.last_mut() {
            last.parts.push(Part::AveragePool(Average::Sliding { frames: 2, side: 7 }));
        }
        Plan { stages, num_features: FEATURES, same_padding: true, clips: true, norm_eps: 1e-3 }
    }

    /// PyTorch's own.
    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features); 2]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn adopt(&self, weights: Weights) -> Weights {
        flat(CLASSIFIER, weights)
    }

    fn published(&self, weights: Weights) -> Weights {
        pointwise(CLASSIFIER, weights)
    }
}
