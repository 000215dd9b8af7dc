//! Layers of heads over maps: other sides as products with the shares of pixels, and taps that lie apart as maps that are moved.

use candle_core::{Device, Result, Tensor, bail};

use super::op::op;
use crate::nn::kernels::conv::resize::{Between, taps};

/// Maps `(B, H, W, C)` at these sides, `[height, width]`. The gradient flows to x.
pub fn resize(x: &Tensor, [out_h, out_w]: [usize; 2], between: Between) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, height, width, channels) = x.dims4()?;
    let down = shares(height, out_h, between, x.device())?;
    let across = shares(width, out_w, between, x.device())?;
    let values = x.detach().reshape((batch, height, width * channels))?;
    let narrow = spread(&down, &values)?.reshape((batch * out_h, width, channels))?;
    let y = spread(&across, &narrow)?.reshape((batch, out_h, out_w, channels))?;
    op("resize", &[&x], y, move |dy| {
        let dy = spread(&across.t()?, &dy.reshape((batch * out_h, out_w, channels))?)?;
        let dx = spread(&down.t()?, &dy.reshape((batch, out_h, width * channels))?)?;
        Ok(vec![Some(dx.reshape((batch, height, width, channels))?)])
    })
}

/// `(to, from)`.
fn shares(from: usize, to: usize, between: Between, device: &Device) -> Result<Tensor> {
    let mut all = vec![0f32; from * to];
    for (at, tap) in taps(from, to, between).iter().enumerate() {
        all[at * from + tap.low] += 1.0 - tap.part;
        all[at * from + tap.high] += tap.part;
    }
    Tensor::from_vec(all, (to, from), device)
}

/// One matrix `(O, I)` times each of `x (N, I, C)`.
fn spread(matrix: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = matrix.dims2()?;
    matrix.contiguous()?.broadcast_as((x.dim(0)?, outputs, inputs))?.contiguous()?.matmul(x)
}

/// Depthwise convolution over `x (B, H, W, C)` with `weight (C, 1, k, k)` whose taps are `rate` pixels apart; sides stay. Gradients flow
/// to both.
pub fn dilated(x: &Tensor, weight: &Tensor, rate: usize) -> Result<Tensor> {
    let (_, height, width, channels) = x.dims4()?;
    let (found, one, kernel, other) = weight.dims4()?;
    if found != channels || one != 1 || kernel != other || kernel % 2 == 0 || rate == 0 {
        bail!("a weight of {:?} at rate {rate} does not fit maps of {:?}", weight.dims(), x.dims())
    }
    let reach = rate * (kernel / 2);
    let wide = x.pad_with_zeros(1, reach, reach)?.pad_with_zeros(2, reach, reach)?;
    let rows = weight.reshape((channels, kernel * kernel))?.t()?.contiguous()?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..kernel * kernel {
        let moved = wide.narrow(1, tap / kernel * rate, height)?.narrow(2, tap % kernel * rate, width)?;
        let part = moved.broadcast_mul(&rows.narrow(0, tap, 1)?.reshape(channels)?)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    match sum {
        Some(sum) => Ok(sum),
        None => bail!("a kernel without taps"),
    }
}
