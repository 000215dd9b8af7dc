//! Global response norm with its gradient written out.

use candle_core::{Result, Tensor};

use super::op::op;
use super::sums::sum_pixels;

/// See [`crate::nn::kernels::Maps::response_norm`].
pub fn response_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, _, _, channels) = x.dims4()?;
    let (values, factors) = (x.detach(), weight.detach());
    // `(B, C)`: lengths of channels, and what they are beside the mean.
    let lengths = sum_pixels(&values.sqr()?)?.sqrt()?;
    let level = (lengths.mean_keepdim(1)? + eps)?;
    let shares = lengths.broadcast_div(&level)?;
    let wide = move |values: &Tensor| values.reshape((batch, 1, 1, channels));
    let scale = (shares.broadcast_mul(&factors)? + 1.0)?;
    let y = values.broadcast_mul(&wide(&scale)?)?.broadcast_add(&bias.detach())?;
    op("response-norm", &[&x, weight, bias], y, move |dy| {
        let along = sum_pixels(&(dy * &values)?)?;
        let dweight = (&along * &shares)?;
        let spread = dweight.broadcast_mul(&factors)?.mean_keepdim(1)?;
        let dlengths = along.broadcast_mul(&factors)?.broadcast_sub(&spread)?.broadcast_div(&level)?;
        // Nothing pulls at a channel that is zero everywhere.
        let safe = (&lengths + lengths.eq(0.0)?.to_dtype(lengths.dtype())?)?;
        let pull = (dlengths / safe)?;
        let dx = (dy.broadcast_mul(&wide(&scale)?)? + values.broadcast_mul(&wide(&pull)?)?)?;
        Ok(vec![Some(dx), Some(dweight.sum(0)?), Some(sum_pixels(dy)?.sum(0)?)])
    })
}
