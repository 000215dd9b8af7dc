//! Networks of clips: convolutions that see several frames at a time, under the names of those who published them. They are described as
//! convolutional families of images are, by a [`Plan`](super::plan::Plan) whose units have a kernel along the frames, and run by the same
//! executor.

mod i3d;
mod inception;
mod inflated;
mod r3d;
mod s3d;
mod slow;
mod transnet;
mod x3d;

use candle_core::Var;

pub(super) use self::inflated::find;
pub use self::inflated::{Inflation, inflate};
use super::architecture::{Architecture, ImageInput, UsualInput, VideoInput};
use crate::nn::weights::Weights;

/// The families.
#[rustfmt::skip]
pub(super) static FAMILIES: &[&[Architecture]] = &[
    &r3d::MEMBERS,
    &i3d::MEMBERS,
    &s3d::MEMBERS,
    &slow::MEMBERS,
    &x3d::MEMBERS,
    &transnet::MEMBERS,
];

/// So many frames, each so many after the one before, of pixels as torchvision normalises those of Kinetics.
const fn kinetics(frames: usize, every: usize, size: usize) -> UsualInput {
    let (mean, std) = ([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989]);
    let image = ImageInput { size, interpolation: "bilinear", crop_pct: 0.875, mean, std };
    UsualInput::Video(VideoInput { frames, every, image })
}

/// The same as pytorchvideo has them: grey in the middle.
const fn grey(frames: usize, every: usize, size: usize, crop_pct: f64) -> UsualInput {
    let image = ImageInput { size, interpolation: "bilinear", crop_pct, mean: [0.45; 3], std: [0.225; 3] };
    UsualInput::Video(VideoInput { frames, every, image })
}

/// The classifier of a file, which is there a convolution over one pixel, as the linear layer that it is. What has another shape stays as it
/// is, and is found out when the network is built.
fn flat(classifier: &str, weights: Weights) -> Weights {
    let name = format!("{classifier}.weight");
    let Some(var) = weights.get(&name).filter(|var| var.rank() == 5 && var.dims()[2..] == [1, 1, 1]) else { return weights };
    match var.as_tensor().detach().flatten_from(1).and_then(|matrix| Var::from_tensor(&matrix)) {
        Ok(matrix) => with(weights, name, matrix),
        Err(_) => weights,
    }
}

/// The way back from [`flat`].
fn pointwise(classifier: &str, weights: Weights) -> Weights {
    let name = format!("{classifier}.weight");
    let Some(var) = weights.get(&name).filter(|var| var.rank() == 2) else { return weights };
    let shape = [var.dims(), &[1, 1, 1]].concat();
    match var.as_tensor().detach().reshape(shape).and_then(|kernel| Var::from_tensor(&kernel)) {
        Ok(kernel) => with(weights, name, kernel),
        Err(_) => weights,
    }
}

fn with(mut weights: Weights, name: String, var: Var) -> Weights {
    weights.insert(name, var);
    weights
}

#[cfg(test)]
mod tests;
