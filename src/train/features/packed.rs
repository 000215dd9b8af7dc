//! Maps of all scales in one row of the feature store, as heads over maps take them: what they are stands before them, so that a row is
//! read without knowing the network that made it.
//!
//! ```text
//! row  = maps | maps x (height | width | channels / 1024 | channels % 1024) | maps x values, channels last
//! ```
//!
//! Whole numbers of up to 2,048 stay what they are as f16.

use candle_core::{Device, Tensor};

use crate::nn::Backbone;
use crate::nn::heads::dense::{Below, top};
use crate::train::error::{Error, Result};

/// Channels are written as two numbers.
const BASE: usize = 1_024;

/// More than any row holds.
const MOST_MAPS: usize = 16;

/// What the stages below `below.from` made of a batch, as rows `(B, 1, numbers)`: maps of all scales among them, and, where stages that maps are
/// looked at lie above, that of the last of them.
///
/// # Errors
/// It is no batch of maps.
pub fn packed(below: &Below, backbone: &dyn Backbone) -> Result<Tensor> {
    let mut all = below.maps.clone();
    if needs_last(below.from, backbone) {
        // Tokens lie in one line.
        all.push(if below.x.rank() == 3 { below.x.transpose(1, 2)?.unsqueeze(2)? } else { below.x.clone() });
    }
    let Some(first) = all.first() else { return Err(Error::Unsupported("no stage below makes maps to be kept".into())) };
    let batch = first.dim(0)?;
    let mut head = vec![all.len() as f32];
    for maps in &all {
        let (_, channels, height, width) = maps.dims4()?;
        head.extend([height, width, channels / BASE, channels % BASE].map(|size| size as f32));
    }
    let values: Vec<Vec<f32>> = all
        .iter()
        .map(|maps| maps.permute((0, 2, 3, 1))?.contiguous()?.flatten_all()?.to_vec1::<f32>())
        .collect::<candle_core::Result<_>>()?;
    let width = head.len() + values.iter().map(|values| values.len() / batch.max(1)).sum::<usize>();
    let mut rows: Vec<f32> = Vec::with_capacity(batch * width);
    for image in 0..batch {
        rows.extend_from_slice(&head);
        for values in &values {
            let each = values.len() / batch;
            rows.extend_from_slice(&values[image * each..(image + 1) * each]);
        }
    }
    Ok(Tensor::from_vec(rows, (batch, 1, width), &Device::Cpu)?)
}

/// Whether what lies below the boundary is looked at by nobody but the stages above it, or is more than the maps that heads look at: tokens of
/// no patch.
fn needs_last(from: usize, backbone: &dyn Backbone) -> bool {
    from < top(backbone) && (!backbone.shows_all() || !backbone.scales().iter().any(|scale| scale.stage + 1 == from))
}

/// The maps in rows that so many stages made, on a device.
///
/// # Errors
/// Rows that are none of these.
pub fn unpacked(rows: &Tensor, passed: usize, backbone: &dyn Backbone, device: &Device) -> Result<Below> {
    let broken = || Error::Unsupported("kept maps are not whole; remove the feature cache and start again".into());
    let (batch, _, width) = rows.dims3()?;
    let values = rows.flatten_all()?.to_vec1::<f32>()?;
    let count = values.first().map_or(0, |count| *count as usize).min(MOST_MAPS);
    let head = values.get(1..1 + 4 * count).ok_or_else(broken)?;
    let sizes: Vec<[usize; 3]> =
        head.chunks_exact(4).map(|sizes| [sizes[0] as usize, sizes[1] as usize, sizes[2] as usize * BASE + sizes[3] as usize]).collect();
    let (mut at, mut all): (usize, Vec<Tensor>) = (1 + 4 * count, Vec::with_capacity(count));
    if at + sizes.iter().map(|sizes| sizes.iter().product::<usize>()).sum::<usize>() != width || count == 0 {
        return Err(broken());
    }
    for [height, across, channels] in sizes {
        let each = height * across * channels;
        let mut maps: Vec<f32> = Vec::with_capacity(batch * each);
        values.chunks_exact(width).for_each(|row| maps.extend_from_slice(&row[at..at + each]));
        at += each;
        let maps = Tensor::from_vec(maps, (batch, height, across, channels), &Device::Cpu)?.to_device(device)?;
        all.push(maps.permute((0, 3, 1, 2))?);
    }
    let mut x = all.last().cloned().ok_or_else(broken)?;
    if needs_last(passed, backbone) {
        all.pop();
        if backbone.patches().is_some() {
            x = x.squeeze(2)?.transpose(1, 2)?.contiguous()?;
        }
    }
    Ok(Below { from: passed, maps: all, x, view: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::architectures::{self, Pool};
    use crate::nn::{Input, Mode, Weights};

    #[test]
    fn maps_come_back_as_they_were_wherever_the_boundary_is() {
        for architecture in ["mobilenetv3_small_050", "vit_tiny_patch16_224"] {
            come_back(architecture);
        }
    }

    fn come_back(architecture: &str) {
        let weights = Weights::random_at(architecture, 64, 3).unwrap();
        let backbone = architectures::build_pooled(architecture, Pool::Places, &weights).unwrap();
        let images: Vec<f32> = (0..2 * 3 * 64 * 64).map(|at| (at % 251) as f32 / 125.0 - 1.0).collect();
        let input = Input::Pixels(Tensor::from_vec(images, (2, 3, 64, 64), &Device::Cpu).unwrap());
        let run = |below: Below| below.up_to(&*backbone, usize::MAX, usize::MAX, Mode::Eval).unwrap().maps;
        let whole = run(Below::nothing(&input));
        assert_eq!(whole.len(), backbone.scales().len());
        for boundary in 1..=top(&*backbone) {
            let below = Below::nothing(&input).up_to(&*backbone, boundary, boundary, Mode::Eval).unwrap();
            let rows = packed(&below, &*backbone).unwrap();
            let again = run(unpacked(&rows, boundary, &*backbone, &Device::Cpu).unwrap());
            assert_eq!(again.len(), whole.len(), "boundary {boundary}");
            for (again, whole) in again.iter().zip(&whole) {
                let (a, b) =
                    (again.flatten_all().unwrap().to_vec1::<f32>().unwrap(), whole.flatten_all().unwrap().to_vec1::<f32>().unwrap());
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0)), "boundary {boundary}");
            }
        }
        let nonsense = Tensor::zeros((1, 1, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(unpacked(&nonsense, 2, &*backbone, &Device::Cpu).is_err());
    }
}
