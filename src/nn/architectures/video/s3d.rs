//! S3D (Xie et al. 2018): I3D with its cubes taken apart into a kernel over pixels and one over frames, under torchvision's names.
//!
//! ```text
//! stem        features.0 to 4: 1x7x7/2 and 7x1x1/2, max pooling, 1x1x1, 1x3x3 and 3x1x1, max pooling
//! mixed3-5    features.5, 6; 8 to 12; 14, 15: Inception modules; those of 4 and 5 begin with a max pooling
//! ```
//!
//! It ends in means of 2x7x7, or of all of a smaller clip; what the classifier (`classifier.1`) of a file says of each place is said here of
//! their mean, which is the same.

use super::super::architecture::Architecture;
use super::super::convolutional::Planned;
use super::super::plan::{Part, Plan, StagePlan, Unit};
use super::super::tensor::Init;
use super::inception::{FEATURES, MODULES, Widths, module};
use super::{flat, kinetics, pointwise};
use crate::nn::kernels::{Activation, Average, Window};
use crate::nn::weights::Weights;

/// The only member of the family.
pub(in super::super) static MEMBERS: [Architecture; 1] = [Architecture {
    name: "s3d",
    family: "s3d",
    num_features: FEATURES,
    first_conv: "features.0.0.0",
    classifier: CLASSIFIER,
    input: kinetics(64, 1, 224),
    member: &S3d,
}];

const CLASSIFIER: &str = "classifier.1";
/// Of one frame each, halving height and width.
const FLAT: Part = Part::MaxPool(Window::new(3, 2, 1));
const AROUND: Part = Part::MaxPool(Window::new(3, 1, 1).over(3, 1, 1));
/// Where modules 3b, 4b and 5b stand in `features`.
const PLACES: [usize; 3] = [5, 8, 14];

#[derive(Debug, Clone, Copy)]
struct S3d;

/// A convolution, its norm and its activation: of height and width, then of frames, each a kernel and a stride.
fn unit(module: &str, channels: (usize, usize), (kernel, stride): (usize, usize), (frames, step): (usize, usize)) -> Unit {
    let init = Init::fan_in(channels.0 * kernel * kernel * frames);
    let unit = Unit::new(format!("{module}.0"), format!("{module}.1"), channels, kernel, stride).then(Activation::Relu);
    Unit { init, ..unit }.over(frames, step)
}

fn one(module: &str, channels: (usize, usize)) -> Unit {
    unit(module, channels, (1, 1), (1, 1))
}

/// Over pixels, then over frames.
fn apart(module: &str, (input, output): (usize, usize), kernel: usize, stride: usize) -> [Unit; 2] {
    let pixels = unit(&format!("{module}.0"), (input, output), (kernel, stride), (1, 1));
    [pixels, unit(&format!("{module}.1"), (output, output), (1, 1), (kernel, stride))]
}

fn mixed(prefix: &str, widths: &Widths) -> Part {
    let input = widths.input;
    let narrowed = |branch: &str, (narrow, wide): (usize, usize)| {
        let module = format!("{prefix}.{branch}");
        let [pixels, frames] = apart(&format!("{module}.1"), (narrow, wide), 3, 1);
        vec![Part::chain([one(&format!("{module}.0"), (input, narrow)), pixels, frames])]
    };
    module(
        vec![Part::chain([one(&format!("{prefix}.branch0"), (input, widths.single))])],
        narrowed("branch1", widths.first),
        narrowed("branch2", widths.second),
        vec![AROUND, Part::chain([one(&format!("{prefix}.branch3.1"), (input, widths.pooled))])],
    )
}

impl Planned for S3d {
    fn plan(&self) -> Plan {
        let [pixels, frames] = apart("features.3", (64, 192), 3, 1);
        let wide = [one("features.2", (64, 64)), pixels, frames];
        let stem = vec![Part::chain(apart("features.0", (3, 64), 7, 2)), FLAT, Part::chain(wide), FLAT];
        let mut stages = vec![StagePlan { name: "stem".into(), parts: stem }];
        let before = [None, Some(Window::new(3, 2, 1).over(3, 2, 1)), Some(Window::new(2, 2, 0).over(2, 2, 0))];
        for (((number, modules), pool), place) in (3..).zip(MODULES).zip(before).zip(PLACES) {
            let mut parts: Vec<Part> = pool.map(Part::MaxPool).into_iter().collect();
            parts.extend((place..).zip(modules).map(|(place, widths)| mixed(&format!("features.{place}"), widths)));
            stages.push(StagePlan { name: format!("mixed{number}"), parts });
        }
        if let Some(last) = stages.last_mut() {
            last.parts.push(Part::AveragePool(Average::Sliding { frames: 2, side: 7 }));
        }
        Plan { stages, num_features: FEATURES, same_padding: false, clips: true, norm_eps: 1e-3 }
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
