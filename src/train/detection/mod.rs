//! Objects in boxes by a network that answers about each place of several maps, without anchors (FCOS, Tian et al. 2019): which place is to
//! find which object, what is minimised, and how its answers become boxes.
//!
//! A place has a row: a logit for each class, the logarithms of the four distances to the sides of a box (in strides), and a logit of how
//! near it is to the middle.

mod assign;
mod centers;
mod decode;
mod form;
mod grid;
mod loss;
mod nms;

pub use assign::{Aim, assign};
pub use decode::{Found, decode};
pub use form::Form;
pub use grid::Grid;
pub use loss::{Losses, losses};
pub use nms::suppressed;

/// Numbers of a place's row beside those of the classes.
pub const BESIDE: usize = 5;

/// Logarithms of distances beyond this are cut: e^6 strides are more than any image.
const FARTHEST: f32 = 6.0;

/// The box (left, top, right, bottom) that a place answers: its middle, its stride, and the logarithms of the four distances.
fn corners([x, y]: [f32; 2], stride: f32, logs: &[f32]) -> [f32; 4] {
    let [left, top, right, bottom] = [0, 1, 2, 3].map(|side| stride * logs[side].clamp(-FARTHEST, FARTHEST).exp());
    [x - left, y - top, x + right, y + bottom]
}
