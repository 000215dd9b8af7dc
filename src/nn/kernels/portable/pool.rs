//! Max pooling: the largest of as many gathered views as the window has taps.

use candle_core::{DType, Result, Tensor, bail};

use super::op::op;
use super::windows::{Look, NONE, positions};
use crate::nn::kernels::conv::geometry::Geometry;
use crate::nn::kernels::conv::pool::MaxPool;
use crate::nn::kernels::conv::window::Window;

/// The largest value of each window of `x (B, H, W, C)`, of clips of so many frames the maps of all of them; what lies outside the image never wins. The gradient goes to the
/// first largest, as in PyTorch.
pub fn max_pool(x: &Tensor, frames: usize, window: Window) -> Result<Tensor> {
    let x = x.contiguous()?;
    let g = MaxPool::new(x.dims(), frames, window)?.geometry;
    let image = with_lowest(&x.detach(), &g)?;
    let down = tap_tables(&image, &g, Look::Down, g.input_pixels() as u32)?;
    let mut best: Option<Tensor> = None;
    for table in &down {
        let view = image.index_select(table, 1)?;
        best = Some(match best {
            Some(best) => best.maximum(&view)?,
            None => view,
        });
    }
    let Some(best) = best else { bail!("a pooling window needs at least one pixel") };
    let largest = best.clone();
    let back = move |dy: &Tensor| {
        let dy = dy.reshape(largest.shape())?;
        let up = tap_tables(&image, &g, Look::Up, NONE)?;
        // What is left of each output's gradient: the first tap that holds the largest takes it all.
        let (mut left, mut dx) = (dy, None);
        for (down, up) in down.iter().zip(&up) {
            let won = (image.index_select(down, 1)?.eq(&largest)?.to_dtype(DType::F32)? * &left)?;
            left = (left - &won)?;
            let share = won.index_select(up, 1)?;
            dx = Some(match dx {
                Some(sum) => (sum + share)?,
                None => share,
            });
        }
        Ok(vec![dx.map(|dx: Tensor| dx.reshape(&g.input_shape()[..])).transpose()?])
    };
    op("max-pool", &[&x], best.reshape(&g.output_shape()[..])?, back)
}

/// `(B, pixels + 1, C)`: the pixels, and the lowest number for what lies outside.
fn with_lowest(x: &Tensor, g: &Geometry) -> Result<Tensor> {
    let lowest = Tensor::full(f32::MIN, (g.batch, 1, g.in_c), x.device())?;
    Tensor::cat(&[&x.reshape((g.batch, g.input_pixels(), g.in_c))?, &lowest], 1)
}

/// For each tap where every output (or pixel) looks; `outside` stands for nowhere.
fn tap_tables(like: &Tensor, g: &Geometry, look: Look, outside: u32) -> Result<Vec<Tensor>> {
    let (all, taps) = (positions(g, look), g.taps());
    let tap = |tap: usize| {
        let column: Vec<u32> = all.iter().skip(tap).step_by(taps).map(|&at| if at == NONE { outside } else { at }).collect();
        let length = column.len();
        Tensor::from_vec(column, length, like.device())
    };
    (0..taps).map(tap).collect()
}
