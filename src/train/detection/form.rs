//! What the rows of a head that finds objects look like: a head's name tells.

use super::{Aim, BESIDE, Found, Grid, Losses, assign, centers, decode, losses};
use crate::data::Boxes;

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Those that are learned here: of three maps, as in FCOS.
    #[default]
    Places,
    /// Of one map whose peaks are objects, as in CenterNet.
    Peaks,
}

impl Form {
    /// Of the head of this name.
    pub fn of(decoder: Option<&str>) -> Form {
        if decoder == Some("centernet") { Form::Peaks } else { Form::Places }
    }

    /// Numbers of a row beside those of the classes.
    pub fn beside(self) -> usize {
        match self {
            Form::Places => BESIDE,
            Form::Peaks => centers::BESIDE,
        }
    }

    /// Rows of an image, by the width and height of its view.
    pub fn rows(self, view: [u32; 2]) -> usize {
        match self {
            Form::Places => Grid::of(view).len(),
            Form::Peaks => centers::places(view),
        }
    }

    /// The objects that an image's rows tell of, the surest first, in pixels of the image.
    pub fn decode(self, rows: &[f32], classes: usize, view: [u32; 2], image: ([u32; 2], [f32; 2])) -> Found {
        match self {
            Form::Places => decode(rows, classes, &Grid::of(view), image),
            Form::Peaks => centers::decode(rows, classes, view, image),
        }
    }

    /// The loss of a batch of views of one size, and its gradient.
    pub fn losses(self, rows: &[f32], classes: usize, boxes: &[&Boxes]) -> Losses {
        let view = boxes.first().map_or([0, 0], |first| first.view);
        match self {
            Form::Places => {
                let grid = Grid::of(view);
                let aims: Vec<Vec<Aim>> = boxes.iter().map(|boxes| assign(&boxes.list, &grid)).collect();
                losses(rows, classes, &grid, &aims)
            }
            Form::Peaks => centers::losses(rows, classes, view, &boxes.iter().map(|boxes| &boxes.list[..]).collect::<Vec<_>>()),
        }
    }
}
