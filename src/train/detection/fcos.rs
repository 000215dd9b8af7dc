//! Objects by places: which place is to find which object, and what places say (FCOS, Tian et al. 2019). A place has a row: a logit for each class,
//! the logarithms of the four distances to the sides of a box (in strides), and a logit of how near it is to the middle.

use super::assign::{Aim, assign};
use super::grid::Grid;
use super::loss::{Losses, losses};
use super::{BESIDE, Finder, Found, NEVER, decode};
use crate::data::targets::Boxed;

pub(super) struct Fcos;

impl Finder for Fcos {
    fn rows(&self, view: [u32; 2]) -> usize {
        Grid::of(view).len()
    }

    fn losses(&self, rows: &[f32], classes: usize, view: [u32; 2], objects: &[&[Boxed]]) -> Losses {
        let grid = Grid::of(view);
        let aims: Vec<Vec<Aim>> = objects.iter().map(|objects| assign(objects, &grid)).collect();
        losses(rows, classes, &grid, &aims)
    }

    fn found(&self, rows: &[f32], classes: usize, view: [u32; 2], image: ([u32; 2], [f32; 2])) -> Found {
        decode::decode(rows, classes, &Grid::of(view), image)
    }

    fn nothing(&self, classes: usize) -> Vec<f32> {
        [vec![NEVER; classes], vec![0.0; BESIDE]].concat()
    }
}
