//! A feature pyramid (Lin et al. 2017): maps of all scales brought to one width, each with what the coarser ones say added to it.
//!
//! `1x1` beside each scale, from the coarsest down the nearest pixel of the one above is added, and `3x3` smooths the sums. Coarser scales
//! than the backbone has (P6, P7) are made by `3x3` at stride 2, as in FCOS (Tian et al. 2019), from the last of the smoothed ones.

use super::dense::{Conv, Parts, Running, Scale, Shape};
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Between, Maps};

/// Of some scales, from fine to coarse.
pub(crate) struct Fpn {
    laterals: Vec<Conv>,
    smooths: Vec<Conv>,
    coarser: Vec<Conv>,
    width: usize,
}

impl Fpn {
    /// Over these scales, `width` channels on each, with so many coarser ones behind.
    ///
    /// # Errors
    /// There is no scale, or tensors are missing.
    pub fn build(parts: &mut Parts<'_>, scales: &[Scale], width: usize, coarser: usize) -> Result<Fpn> {
        if scales.is_empty() {
            return Err(Error::Invalid("a pyramid needs maps of one scale at least".into()));
        }
        let mut fpn = Fpn { laterals: Vec::new(), smooths: Vec::new(), coarser: Vec::new(), width };
        for (at, scale) in scales.iter().enumerate() {
            fpn.laterals.push(parts.conv_bias(&format!("fpn.lateral.{at}"), Shape::new(scale.width, width, 1), Activation::None)?);
            fpn.smooths.push(parts.conv_bias(&format!("fpn.smooth.{at}"), Shape::new(width, width, 3), Activation::None)?);
        }
        for at in 0..coarser {
            fpn.coarser.push(parts.conv_bias(&format!("fpn.coarser.{at}"), Shape::new(width, width, 3).strided(2), Activation::None)?);
        }
        Ok(fpn)
    }

    /// Channels of each of its maps.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Maps of the scales it was built over, from fine to coarse; as many and the coarser ones come out.
    ///
    /// # Errors
    /// They are others.
    pub fn forward(&self, maps: &[Maps], run: &Running) -> Result<Vec<Maps>> {
        if maps.len() != self.laterals.len() {
            return Err(Error::Invalid(format!("a pyramid over {} scales was given {}", self.laterals.len(), maps.len())));
        }
        let mut sums: Vec<Maps> = Vec::with_capacity(maps.len());
        for (maps, lateral) in maps.iter().zip(&self.laterals).rev() {
            let own = lateral.forward(maps, run)?;
            sums.push(match sums.last() {
                None => own,
                Some(above) => {
                    let [_, height, width, _] = own.shape();
                    own.plus(&above.resized([height, width], Between::Nearest)?, Activation::None)?
                }
            });
        }
        sums.reverse();
        let mut made: Vec<Maps> = sums.iter().zip(&self.smooths).map(|(sum, smooth)| smooth.forward(sum, run)).collect::<Result<_>>()?;
        for (at, coarser) in self.coarser.iter().enumerate() {
            let Some(last) = made.last() else { break };
            // P7 is made of what P6 lets through.
            let last = if at > 0 { last.clamped()? } else { last.clone() };
            made.push(coarser.forward(&last, run)?);
        }
        Ok(made)
    }
}
