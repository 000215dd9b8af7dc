//! Sliding windows as tables of positions: one `index_select` lays out what every window sees, whatever its stride,
//! and one lays out which windows see a pixel, so that gradients are gathered too and nothing is added at random.
//!
//! candle's `index_select` answers zero for the largest index, which stands for what lies outside.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{Device, Result, Tensor};

use crate::nn::kernels::conv::geometry::Geometry;

/// Outside the image, or no window.
pub(super) const NONE: u32 = u32::MAX;

/// Tables kept for later; a network needs a few dozen.
const KEPT: usize = 512;

/// Which way a table looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// From each output to the pixels its window sees.
    Down,
    /// From each pixel to the outputs whose windows see it.
    Up,
}

/// `(pixels, taps)`, tap by tap in the kernel's order.
pub(super) fn positions(g: &Geometry, look: Look) -> Vec<u32> {
    let ([frames, height, width], [_, down, across]) = match look {
        Look::Down => ([g.out_t, g.out_h, g.out_w], [g.in_t, g.in_h, g.in_w]),
        Look::Up => ([g.in_t, g.in_h, g.in_w], [g.out_t, g.out_h, g.out_w]),
    };
    let mut table = Vec::with_capacity(frames * height * width * g.taps());
    for at in 0..frames * height * width {
        let (t, y, x) = (at / width / height, at / width % height, at % width);
        for tap in 0..g.taps() {
            let (kt, ky, kx) = (tap / g.kernel_w / g.kernel_h, tap / g.kernel_w % g.kernel_h, tap % g.kernel_w);
            let seen = match look {
                Look::Down => pixel(t, kt, g.stride_t, g.pad_front, g.in_t)
                    .zip(pixel(y, ky, g.stride, g.pad_top, g.in_h))
                    .zip(pixel(x, kx, g.stride, g.pad_left, g.in_w)),
                Look::Up => window(t, kt, g.stride_t, g.pad_front, g.out_t)
                    .zip(window(y, ky, g.stride, g.pad_top, g.out_h))
                    .zip(window(x, kx, g.stride, g.pad_left, g.out_w)),
            };
            table.push(seen.map_or(NONE, |((t, y), x)| ((t * down + y) * across + x) as u32));
        }
    }
    table
}

/// The input position under tap `tap` of window `at`.
fn pixel(at: usize, tap: usize, stride: usize, pad: isize, size: usize) -> Option<usize> {
    let position = (at * stride + tap) as isize - pad;
    (position >= 0 && (position as usize) < size).then_some(position as usize)
}

/// The window whose tap `tap` lies on input position `at`.
fn window(at: usize, tap: usize, stride: usize, pad: isize, size: usize) -> Option<usize> {
    let shifted = at as isize + pad - tap as isize;
    let whole = shifted >= 0 && (shifted as usize).is_multiple_of(stride) && (shifted as usize / stride) < size;
    whole.then_some(shifted as usize / stride)
}

type Tables = Mutex<HashMap<(Geometry, Look), Tensor>>;

/// The table as a tensor on that device, made once.
pub(super) fn table(g: &Geometry, look: Look, device: &Device) -> Result<Tensor> {
    static TABLES: LazyLock<Tables> = LazyLock::new(Tables::default);
    // Channels and images do not matter to it.
    let key = (Geometry { batch: 0, in_c: 0, out_c: 0, groups: 0, ..*g }, look);
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(table) = tables.get(&key)
        && table.device().same_device(device)
    {
        return Ok(table.clone());
    }
    let positions = positions(g, look);
    let table = Tensor::from_vec(positions.clone(), positions.len(), device)?;
    if tables.len() >= KEPT {
        tables.clear();
    }
    tables.insert(key, table.clone());
    Ok(table)
}

/// `(B, H, W, C)`, of clips the maps of all frames, to `(B * pixels, taps * C)`: what each window sees, or what each pixel is seen by.
pub(super) fn gather(x: &Tensor, g: &Geometry, look: Look) -> Result<Tensor> {
    let channels = x.dim(3)?;
    let table = table(g, look, x.device())?;
    #[cfg(feature = "cuda")]
    if super::cuda::takes(x) && channels.is_multiple_of(4) && x.layout().start_offset() == 0 {
        return super::cuda::gather(&pixels(x, g)?, &table, g.taps());
    }
    let rows = g.batch * table.elem_count() / g.taps();
    pixels(x, g)?.index_select(&table, 1)?.reshape((rows, g.taps() * channels))
}

/// Maps `(B, H, W, C)` as `(B, pixels, C)`, those of all frames of a clip behind each other.
pub(super) fn pixels(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    let channels = x.dim(3)?;
    x.reshape((g.batch, x.elem_count() / (g.batch * channels), channels))
}
