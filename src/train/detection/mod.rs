//! Objects in boxes by a network that answers about each place of several maps: which of its rows is to find which object, what is minimised, and how
//! its answers become boxes. Without anchors (`fcos`), with them (`anchors`) or by peaks of one map (`centers`), by the head that makes the rows.
//!
//! To add one: a file or folder here that implements [`Finder`], its head in `nn/heads/dense/`, and a line in `FINDERS`.

mod anchors;
mod assign;
mod centers;
mod decode;
mod fcos;
mod grid;
mod loss;
mod nms;

use crate::data::targets::Boxed;
use crate::train::measures::detection::Detection;

pub use loss::Losses;
pub use nms::suppressed;

/// Numbers of a row beside those of the classes, where a reader names no others.
const BESIDE: usize = 5;

/// A logit of what is never so.
const NEVER: f32 = -30.0;

/// Logarithms of distances beyond this are cut: e^6 strides are more than any image.
const FARTHEST: f32 = 6.0;

/// What is found in an image, the surest first.
pub type Found = Vec<Detection>;

/// What the rows of a head mean. Views are told by their width and height, in pixels; a row holds a logit for each class, and what is beside them.
pub trait Finder: Send + Sync {
    /// Numbers of a row beside those of the classes.
    fn beside(&self) -> usize {
        BESIDE
    }

    /// Rows of a view.
    fn rows(&self, view: [u32; 2]) -> usize;

    /// Losses of a batch of views of one size, `rows (images x rows, classes + beside)`, with the objects of each; and their gradient.
    fn losses(&self, rows: &[f32], classes: usize, view: [u32; 2], objects: &[&[Boxed]]) -> Losses;

    /// The objects that a view's rows `(rows, classes + beside)` tell of: in pixels of the image that it shows (its width and height), so many of which
    /// are one of the view along each side. What is less sure than .05 is none.
    fn found(&self, rows: &[f32], classes: usize, view: [u32; 2], image: ([u32; 2], [f32; 2])) -> Found;

    /// A row that finds nothing.
    fn nothing(&self, classes: usize) -> Vec<f32>;
}

/// Each by the name of its head.
static FINDERS: [(&str, &dyn Finder); 3] = [("fcos", &fcos::Fcos), ("ssdlite", &anchors::Anchors), ("centernet", &centers::Centers)];

/// Who reads the rows of the head of this name; of the first where there is none of it.
pub fn finder(head: Option<&str>) -> &'static dyn Finder {
    FINDERS.iter().find(|(name, _)| Some(*name) == head).map_or(FINDERS[0].1, |(_, finder)| *finder)
}

/// The box (left, top, right, bottom) that a place answers: its middle, its stride, and the logarithms of the four distances.
fn corners([x, y]: [f32; 2], stride: f32, logs: &[f32]) -> [f32; 4] {
    let [left, top, right, bottom] = [0, 1, 2, 3].map(|side| stride * logs[side].clamp(-FARTHEST, FARTHEST).exp());
    [x - left, y - top, x + right, y + bottom]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::heads::dense;

    #[test]
    fn every_reader_has_its_head_and_finds_nothing_in_rows_that_say_so() {
        for (name, finder) in FINDERS {
            assert!(dense::names().any(|known| known == name), "{name}");
            let row = finder.nothing(3);
            assert_eq!(row.len(), 3 + finder.beside());
            let rows = row.repeat(finder.rows([64, 32]));
            assert!(finder.found(&rows, 3, [64, 32], ([128, 64], [2.0, 2.0])).is_empty(), "{name}");
            let losses = finder.losses(&rows, 3, [64, 32], &[&[]]);
            assert!(losses.sum() < 1e-6 && losses.gradient.len() == rows.len(), "{name}: {losses:?}");
        }
        assert_eq!(finder(Some("fcos")).rows([64, 64]), finder(None).rows([64, 64]));
        assert_ne!(finder(Some("ssdlite")).rows([64, 64]), finder(None).rows([64, 64]));
    }
}
