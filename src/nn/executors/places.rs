//! A backbone that says something about every place of an image: a row for each cell of a grid, with what the maps of all scales say there,
//! one behind the other (hypercolumns, Hariharan et al. 2015). To a linear head on these rows its stages are constants; heads over maps take the
//! maps themselves, and stages may learn under them.

use candle_core::{D, DType, Device, Tensor};

use crate::domain::recipe::Precision;
use crate::nn::backbone::{Backbone, Mode, Patches, Scale, Stage, StageMap};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::weights::Weights;

/// Pixels of a cell's side, and the scales whose maps are looked at.
pub const CELL: usize = 4;
const SCALES: [usize; 4] = [4, 8, 16, 32];
/// Side of the image that tells which maps there are.
const PROBE: usize = 128;
/// A last stage that only widens its maps, for a classifier's sake, says nothing new of places.
const WIDENED: usize = 2;

pub struct Places {
    inner: Box<dyn Backbone>,
    /// Whose maps are looked at, rising.
    scales: Vec<Scale>,
    width: usize,
}

/// Cells along a side of so many pixels.
pub fn cells(side: usize) -> usize {
    side.div_ceil(CELL)
}

impl Places {
    /// # Errors
    /// The network makes no maps of several scales.
    pub fn on(inner: Box<dyn Backbone>) -> Result<Places> {
        if let Some(patches) = inner.patches() {
            let one = |(stage, stride): (usize, usize)| Scale { stage, stride, width: patches.width };
            let scales: Vec<Scale> = patches.stages.into_iter().zip(SCALES).map(one).collect();
            return Ok(Places { inner, width: patches.width * scales.len(), scales });
        }
        if !inner.scales().is_empty() {
            let scales = inner.scales().to_vec();
            return Ok(Places { inner, width: scales.iter().map(|scale| scale.width).sum(), scales });
        }
        let device = inner.weights().iter().next().map_or(Device::Cpu, |(_, var)| var.device().clone());
        let probe = Tensor::zeros((1, 3, PROBE, PROBE), DType::F32, &device)?;
        let no_maps = || {
            Error::Invalid(format!(
                "{} makes no maps of several scales, by which places are told apart; choose a network of convolutions or a transformer over patches",
                inner.architecture()
            ))
        };
        let maps = inner.maps(&Input::Pixels(probe), inner.stages().len(), Mode::Eval).map_err(|_| no_maps())?;
        let scales = chosen(&maps)?;
        if scales.len() < 2 {
            return Err(no_maps());
        }
        let width = scales.iter().map(|scale| scale.width).sum();
        Ok(Places { inner, scales, width })
    }
}

/// Of every scale the last stage that makes it.
fn chosen(maps: &[StageMap]) -> Result<Vec<Scale>> {
    let mut found = Vec::new();
    for stride in SCALES {
        let of_scale: Vec<usize> = (0..maps.len()).filter(|stage| maps[*stage].stride == Some(stride)).collect();
        let wide = |stage: usize| maps[stage].values.dim(1);
        let stage = match of_scale.as_slice() {
            [.., before, last] if wide(*last)? > WIDENED * wide(*before)? => Some(*before),
            all => all.last().copied(),
        };
        if let Some(stage) = stage {
            found.push(Scale { stage, stride, width: wide(stage)? });
        }
    }
    Ok(found)
}

/// Which share of each of `from` values each of `to` has: bilinear where there are more of them, means of areas where there are fewer.
/// `(from, to)`.
fn shares(from: usize, to: usize, device: &Device) -> candle_core::Result<Tensor> {
    let mut all = vec![0f32; from * to];
    let ratio = from as f64 / to as f64;
    for at in 0..to {
        if to >= from {
            let place = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
            let (low, part) = (place.floor() as usize, place.fract() as f32);
            all[low * to + at] += 1.0 - part;
            all[(low + 1).min(from - 1) * to + at] += part;
        } else {
            let (start, end) = (at as f64 * ratio, (at + 1) as f64 * ratio);
            for source in start.floor() as usize..(end.ceil() as usize).min(from) {
                let inside = end.min(source as f64 + 1.0) - start.max(source as f64);
                all[source * to + at] += (inside / ratio) as f32;
            }
        }
    }
    Tensor::from_vec(all, (from, to), device)
}

/// A map `(B, C, h, w)` on a grid of so many cells: `(B x rows x columns, C)`.
fn on_grid(map: &Tensor, rows: usize, columns: usize) -> candle_core::Result<Tensor> {
    let (b, c, h, w) = map.dims4()?;
    let across = map.contiguous()?.reshape((b * c * h, w))?.matmul(&shares(w, columns, map.device())?)?;
    let down = across.reshape((b * c, h, columns))?.transpose(1, 2)?.contiguous()?.reshape((b * c * columns, h))?;
    let both = down.matmul(&shares(h, rows, map.device())?)?.reshape((b, c, columns, rows))?;
    both.permute((0, 3, 2, 1))?.contiguous()?.reshape((b * rows * columns, c))
}

impl Backbone for Places {
    fn architecture(&self) -> &str {
        self.inner.architecture()
    }

    fn num_features(&self) -> usize {
        self.width
    }

    fn stages(&self) -> &[Stage] {
        self.inner.stages()
    }

    fn weights(&self) -> &Weights {
        self.inner.weights()
    }

    fn forward_stage(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.inner.forward_stage(stage, x, mode)
    }

    fn pool(&self, _features: &Tensor) -> Result<Tensor> {
        Err(Error::Invalid(format!("{}: places are told by the maps of all stages, and not by the last alone", self.architecture())))
    }

    fn patches(&self) -> Option<Patches> {
        self.inner.patches()
    }

    fn scales(&self) -> &[Scale] {
        &self.scales
    }

    fn shown(&self, stage: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.inner.shown(stage, x, mode)
    }

    fn shows_all(&self) -> bool {
        self.inner.shows_all()
    }

    /// `(B x rows x columns, num_features)`, image by image and row by row.
    fn pooled(&self, input: &Input, _frozen_stages: usize, _mode: Mode) -> Result<Tensor> {
        let pixels = input.tensor();
        let (rows, columns) = (cells(pixels.dim(2)?), cells(pixels.dim(D::Minus1)?));
        let maps = self.inner.maps(input, self.inner.stages().len(), Mode::Eval)?;
        let sides = [pixels.dim(2)?, pixels.dim(D::Minus1)?];
        let part = |scale: &Scale| -> Result<Tensor> {
            let values = &maps[scale.stage].values;
            match self.patches() {
                None => Ok(on_grid(values, rows, columns)?),
                // At the sides that decoders take them at.
                Some(patches) => {
                    let [height, width] = sides.map(|side| side.div_ceil(scale.stride));
                    let (batch, channels) = (values.dim(0)?, scale.width);
                    let brought = on_grid(&patches.maps(values)?, height, width)?.reshape((batch, height, width, channels))?;
                    Ok(on_grid(&brought.permute((0, 3, 1, 2))?, rows, columns)?)
                }
            }
        };
        let parts: Vec<Tensor> = self.scales.iter().map(part).collect::<Result<_>>()?;
        Ok(Tensor::cat(&parts, 1)?)
    }

    fn set_norm_momentum(&self, momentum: f64) {
        self.inner.set_norm_momentum(momentum);
    }

    fn freeze_norms(&self) {
        self.inner.freeze_norms();
    }

    fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.inner.set_precision(precision)
    }

    fn settle(&mut self) {
        self.inner.settle();
    }

    fn unsettle(&mut self) {
        self.inner.unsettle();
    }

    #[cfg(test)]
    fn settings(&self) -> &crate::nn::kernels::ops::Settings {
        self.inner.settings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_brought_to_the_grid_bilinearly_or_by_means() {
        let rows = |from: usize, to: usize| shares(from, to, &Device::Cpu).unwrap().t().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows(2, 4), [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]);
        assert_eq!(rows(4, 2), [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]);
        assert_eq!(rows(3, 3), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        for (from, to) in [(7, 5), (5, 7), (3, 1)] {
            assert!(rows(from, to).iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6), "{from} {to}");
        }
        let map = Tensor::arange(0f32, 8.0, &Device::Cpu).unwrap().reshape((1, 2, 2, 2)).unwrap();
        let grid = on_grid(&map, 2, 2).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(grid, [[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]], "row by row, channels beside each other");
    }
}
