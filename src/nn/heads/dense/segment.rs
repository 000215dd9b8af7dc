//! What the decoders of pixels have in common: a last layer that says the classes of each cell of the grid, beside it what a linear head on
//! the maps of all scales says, and how answers are turned around.
//!
//! The linear part is a head on hypercolumns taken apart: a product with each scale's maps, brought to the grid bilinearly, and summed. Products
//! and bilinear means may change places, so it says exactly what the head says that is found on rows of all scales, as far as those are
//! brought to the grid by the same means. With it a decoder starts at the best linear head there is, and learns what is to be added.

use candle_core::Tensor;

use super::{Conv, Dense, Design, MODULE, Parts, Running, Scale, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Pixels of a cell's side.
const CELL: usize = crate::nn::architectures::CELL;

/// The name of the linear part among a head's tensors.
const SHORTCUT: &str = "shortcut";

/// Makes the linear part of a new decoder that of a head on rows of all scales: `weight (classes, widths together)`, `bias (classes)`.
///
/// # Errors
/// Sizes differ, or the decoder has no linear part.
pub fn start_from(head: &Dense, scales: &[Scale], weight: &Tensor, bias: &Tensor) -> Result<()> {
    let mut at = 0;
    for (place, scale) in scales.iter().enumerate() {
        let name = format!("{MODULE}.{SHORTCUT}.{place}");
        let missing = || Error::Invalid(format!("a head `{}` has no linear part to start from", head.name()));
        let own = head.weights().get(&format!("{name}.weight")).ok_or_else(missing)?;
        own.set(&weight.detach().narrow(1, at, scale.width)?.contiguous()?.reshape(own.shape())?)?;
        if place == 0 {
            head.weights().get(&format!("{name}.bias")).ok_or_else(missing)?.set(&bias.detach())?;
        }
        at += scale.width;
    }
    Ok(())
}

/// The last layers of a decoder.
pub(crate) struct Classes {
    last: Conv,
    shortcut: Option<Vec<Conv>>,
    grid: [usize; 2],
}

impl Classes {
    /// On maps of this width.
    ///
    /// # Errors
    /// Tensors are missing.
    pub fn build(parts: &mut Parts<'_>, design: &Design<'_>, width: usize) -> Result<Classes> {
        // What starts from a linear head says nothing itself at first.
        let init = if design.shortcut { Init::ZEROS } else { Init::Normal(0.01) };
        let last = parts.conv_drawn("last", Shape::new(width, design.outputs, 1), Activation::None, (init, 0.0))?;
        let shortcut = if design.shortcut || parts.has(&format!("{SHORTCUT}.0.weight")) {
            let one = |(at, scale): (usize, &Scale)| {
                let shape = Shape::new(scale.width, design.outputs, 1);
                parts.conv_drawn(&format!("{SHORTCUT}.{at}"), shape, Activation::None, (Init::ZEROS, 0.0))
            };
            Some(design.scales.iter().enumerate().map(one).collect::<Result<Vec<_>>>()?)
        } else {
            None
        };
        let (height, width) = design.view;
        Ok(Classes { last, shortcut, grid: [height.div_ceil(CELL), width.div_ceil(CELL)] })
    }

    /// Whether maps of all scales are looked at here.
    pub fn look_at_all(&self) -> bool {
        self.shortcut.is_some()
    }

    /// `(B, rows x columns, classes)` of what the decoder made, whatever its sides, and of the backbone's maps.
    ///
    /// # Errors
    /// Shapes do not fit.
    pub fn forward(&self, x: &Maps, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let mut sum = self.last.forward(x, run)?.resized(self.grid, Between::Bilinear)?;
        for (layer, maps) in self.shortcut.iter().flatten().zip(maps) {
            let part = layer.forward(maps, run)?.resized(self.grid, Between::Bilinear)?;
            sum = sum.plus(&part, Activation::None)?;
        }
        let [batch, rows, columns, classes] = sum.shape();
        Ok(sum.leave()?.reshape((batch, rows * columns, classes))?)
    }

    /// Answers `(B, rows x columns, classes)` with left and right exchanged.
    ///
    /// # Errors
    /// They are of another grid.
    pub fn mirrored(&self, answers: &Tensor) -> Result<Tensor> {
        let (batch, places, classes) = answers.dims3()?;
        let [rows, columns] = self.grid;
        if rows * columns != places {
            return Err(Error::Invalid(format!("answers about {places} places are not those of a grid of {rows} x {columns}")));
        }
        let order: Vec<u32> = (0..columns as u32).rev().collect();
        let order = Tensor::new(order, answers.device())?;
        let turned = answers.reshape((batch, rows, columns, classes))?.contiguous()?.index_select(&order, 2)?;
        Ok(turned.reshape((batch, places, classes))?)
    }
}
