//! Sums over rows as matrix products with ones: on a GPU candle's own reduction reads such columns one by one.

use candle_core::{Result, Tensor};

use super::op::op;

/// `(rows, C)` to `(C)`, in constants.
pub(super) fn sum_rows(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if super::cuda::takes(x) {
        return super::cuda::columns(x, None)?.sum(0);
    }
    let (rows, columns) = x.dims2()?;
    // Pieces that can be summed side by side, and whose sums lose few digits.
    let pieces = (0..8).map(|power| 1 << power).filter(|pieces| rows.is_multiple_of(*pieces)).max().unwrap_or(1);
    let ones = Tensor::ones((1, 1, rows / pieces), x.dtype(), x.device())?.broadcast_as((pieces, 1, rows / pieces))?;
    ones.matmul(&x.reshape((pieces, rows / pieces, columns))?)?.reshape((pieces, columns))?.sum(0)
}

/// [`sum_rows`] of `x * y`.
pub(super) fn sum_products(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if super::cuda::takes(x) {
        return super::cuda::columns(x, Some(y))?.sum(0);
    }
    sum_rows(&(x * y)?)
}

/// The sum over all pixels of each image: `(B, H, W, C)` to `(B, C)`, in constants.
pub(super) fn sum_pixels(x: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = x.dims4()?;
    let ones = Tensor::ones((1, 1, height * width), x.dtype(), x.device())?.broadcast_as((batch, 1, height * width))?;
    ones.matmul(&x.reshape((batch, height * width, channels))?)?.reshape((batch, channels))
}

/// `x * a + y * b + shift` over `(rows, C)`; a and b are 1 where they are not given, y is 0.
pub(super) fn scale_columns(x: &Tensor, a: Option<&Tensor>, y: Option<(&Tensor, Option<&Tensor>)>, shift: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if super::cuda::takes(x) {
        let (ones, zeros) = (shift.ones_like()?, shift.zeros_like()?);
        let (y, b) = y.map_or((x, &zeros), |(y, b)| (y, b.unwrap_or(&ones)));
        return super::cuda::blend(x, y, &Tensor::cat(&[a.unwrap_or(&ones), b, shift], 0)?);
    }
    let scale = |x: &Tensor, by: Option<&Tensor>| by.map_or(Ok(x.clone()), |by| x.broadcast_mul(by));
    let sum = match y {
        Some((y, b)) => (scale(x, a)? + scale(y, b)?)?,
        None => scale(x, a)?,
    };
    sum.broadcast_add(shift)
}

/// See [`crate::nn::kernels::ops::Road::global_average_pool`].
pub fn global_average_pool(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, height, width, channels) = x.dims4()?;
    let share = 1.0 / (height * width) as f64;
    let y = (sum_pixels(&x.detach())? * share)?;
    op("average", &[&x], y, move |dy| {
        let dy = (dy * share)?.reshape((batch, 1, 1, channels))?;
        Ok(vec![Some(dy.broadcast_as((batch, height, width, channels))?.contiguous()?)])
    })
}

/// `x (B, H, W, C)` times one factor per image and channel, `(B, C)`.
pub fn scale_channels(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let (x, factors) = (x.contiguous()?, factors.contiguous()?);
    let (values, wide) = (x.detach(), factors.detach().unsqueeze(1)?.unsqueeze(1)?);
    let y = values.broadcast_mul(&wide)?;
    op("scale", &[&x, &factors], y, move |dy| Ok(vec![Some(dy.broadcast_mul(&wide)?), Some(sum_pixels(&(dy * &values)?)?)]))
}

/// `x (rows, C)` plus one row.
pub(super) fn add_row(x: &Tensor, row: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let y = scale_columns(&x.detach(), None, None, &row.detach())?;
    op("add-row", &[&x, row], y, |dy| Ok(vec![Some(dy.clone()), Some(sum_rows(dy)?)]))
}
