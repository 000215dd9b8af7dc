//! Convolution as matrix products over gathered windows; depthwise as a weighted sum of taps.

use candle_core::{Result, Tensor};

use super::matmul::matmul;
use super::op::op;
use super::sums::sum_rows;
use super::windows::{Look, gather};
#[cfg(feature = "cuda")]
use super::{
    cuda,
    windows::{pixels, table},
};
use crate::domain::recipe::Precision;
use crate::nn::kernels::backend::FEW_CHANNELS;
use crate::nn::kernels::conv::geometry::{Geometry, Spec};

/// Floats of gathered windows at a time (1 GiB); beyond that a batch is taken in parts.
const LIMIT: usize = 1 << 28;

/// Convolves `x (B, H, W, C)` with `weight (O, C / groups, kh, kw)` to `(B, OH, OW, O)`; of clips the maps of all frames with
/// `(O, C / groups, kt, kh, kw)`.
///
/// Gradients flow to both. Errors when shapes do not fit or the image is smaller than the kernel.
pub fn conv2d(x: &Tensor, weight: &Tensor, spec: &Spec, precision: Precision) -> Result<Tensor> {
    conv2d_in_parts(x, weight, spec, precision, LIMIT)
}

/// The same with at most `limit` floats of gathered windows at a time, or those of one image.
pub fn conv2d_in_parts(x: &Tensor, weight: &Tensor, spec: &Spec, precision: Precision, limit: usize) -> Result<Tensor> {
    let g = Geometry::of(x.dims(), weight.dims(), spec)?;
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let (pixels, factors) = (x.detach(), weight.detach());
    // Few channels wait for memory, as on a CPU.
    let rounds = g.group_in().min(g.group_out()) >= FEW_CHANNELS;
    let precision = if rounds { precision } else { Precision::F32 };
    let y = join(&split(&pixels, &g, limit)?, |(part, g)| forward(part, &factors, g, precision))?;
    let (wants_x, wants_weight) = (x.track_op(), weight.track_op());
    let back = move |dy: &Tensor| {
        let gradients = split(dy, &g, limit)?;
        let dx = wants_x.then(|| join(&gradients, |(dy, g)| input_gradient(dy, &factors, g, precision))).transpose()?;
        let mut dweight: Option<Tensor> = None;
        for ((x, g), (dy, _)) in split(&pixels, &g, limit)?.iter().zip(&gradients).filter(|_| wants_weight) {
            let part = weight_gradient(x, dy, g, precision)?;
            dweight = Some(match dweight {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let dweight = dweight.map(|sum| sum.reshape(factors.shape())).transpose()?;
        Ok(vec![dx, dweight])
    };
    op("convolution", &[&x, &weight], y, back)
}

/// Images in parts whose windows do not take too much memory, each with its geometry.
fn split(x: &Tensor, g: &Geometry, limit: usize) -> Result<Vec<(Tensor, Geometry)>> {
    let image = g.taps() * (g.output_pixels() * g.in_c).max(g.input_pixels() * g.out_c);
    let images = if g.is_pointwise() { g.batch } else { (limit / image).max(1) };
    let maps = x.dim(0)? / g.batch;
    let part = |first: usize| {
        let batch = images.min(g.batch - first);
        Ok((x.narrow(0, first * maps, batch * maps)?.contiguous()?, Geometry { batch, ..*g }))
    };
    (0..g.batch).step_by(images).map(part).collect()
}

fn join<P>(parts: &[P], with: impl Fn(&P) -> Result<Tensor>) -> Result<Tensor> {
    match parts {
        [only] => with(only),
        many => Tensor::cat(&many.iter().map(with).collect::<Result<Vec<_>>>()?, 0),
    }
}

/// The parts of a grouped convolution: `with(group's geometry, first input, first output)`.
fn groups(g: &Geometry, with: impl Fn(&Geometry, usize, usize) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let one = Geometry { in_c: g.group_in(), out_c: g.group_out(), groups: 1, ..*g };
    (0..g.groups).map(|group| with(&one, group * one.in_c, group * one.out_c)).collect()
}

/// A run of channels.
fn channels(x: &Tensor, first: usize, count: usize) -> Result<Tensor> {
    x.narrow(3, first, count)?.contiguous()
}

/// `(O, I, ...)` with each tap's values in one row: `(taps * first, second)`.
fn taps_first(weight: &Tensor, g: &Geometry, inputs_first: bool) -> Result<Tensor> {
    let (inputs, outputs) = (g.group_in(), g.out_c);
    let weight = weight.reshape((outputs, inputs, g.taps()))?;
    match inputs_first {
        true => weight.permute((2, 1, 0))?.reshape((g.taps() * inputs, outputs)),
        false => weight.permute((2, 0, 1))?.reshape((g.taps() * outputs, inputs)),
    }
}

/// `(B, H, W, C)` and `(O, C / groups, kh, kw)` to `(B, OH, OW, O)`.
fn forward(x: &Tensor, weight: &Tensor, g: &Geometry, precision: Precision) -> Result<Tensor> {
    if g.is_depthwise() {
        return depthwise(x, weight, g, Look::Down)?.reshape(&g.output_shape()[..]);
    }
    if g.groups > 1 {
        let parts = groups(g, |one, input, output| {
            forward(&channels(x, input, one.in_c)?, &weight.narrow(0, output, one.out_c)?.contiguous()?, one, precision)
        });
        return Tensor::cat(&parts?, 3);
    }
    let y = match g.is_pointwise() {
        true => matmul(&x.reshape((g.rows(), g.in_c))?, &weight.reshape((g.out_c, g.in_c))?.t()?, precision)?,
        false => matmul(&gather(x, g, Look::Down)?, &taps_first(weight, g, true)?, precision)?,
    };
    y.reshape(&g.output_shape()[..])
}

fn input_gradient(dy: &Tensor, weight: &Tensor, g: &Geometry, precision: Precision) -> Result<Tensor> {
    if g.is_depthwise() {
        return depthwise(dy, weight, g, Look::Up)?.reshape(&g.input_shape()[..]);
    }
    if g.groups > 1 {
        let parts = groups(g, |one, _, output| {
            input_gradient(&channels(dy, output, one.out_c)?, &weight.narrow(0, output, one.out_c)?.contiguous()?, one, precision)
        });
        return Tensor::cat(&parts?, 3);
    }
    let dx = match g.is_pointwise() {
        true => matmul(&dy.reshape((g.rows(), g.out_c))?, &weight.reshape((g.out_c, g.in_c))?, precision)?,
        false => matmul(&gather(dy, g, Look::Up)?, &taps_first(weight, g, false)?, precision)?,
    };
    dx.reshape(&g.input_shape()[..])
}

fn weight_gradient(x: &Tensor, dy: &Tensor, g: &Geometry, precision: Precision) -> Result<Tensor> {
    if g.is_depthwise() {
        return sum_rows(&depthwise_products(x, dy, g)?)?.reshape((g.taps(), g.in_c))?.t()?.reshape(&g.weight_shape()[..]);
    }
    if g.groups > 1 {
        let parts = groups(g, |one, input, output| {
            weight_gradient(&channels(x, input, one.in_c)?, &channels(dy, output, one.out_c)?, one, precision)
        });
        return Tensor::cat(&parts?, 0);
    }
    let dy = dy.reshape((g.rows(), g.out_c))?;
    if g.is_pointwise() {
        return matmul(&dy.t()?, &x.reshape((g.rows(), g.in_c))?, precision)?.reshape(&g.weight_shape()[..]);
    }
    let sums = matmul(&gather(x, g, Look::Down)?.t()?, &dy, precision)?;
    sums.reshape((g.taps(), g.in_c, g.out_c))?.permute((2, 1, 0))?.reshape(&g.weight_shape()[..])
}

/// Each channel's windows times its own taps, added up: `(pixels, C)`.
fn depthwise(x: &Tensor, weight: &Tensor, g: &Geometry, look: Look) -> Result<Tensor> {
    let taps = weight.reshape((g.in_c, g.taps()))?.t()?.reshape(g.taps() * g.in_c)?;
    #[cfg(feature = "cuda")]
    if cuda::takes(x) {
        return cuda::weigh(&pixels(x, g)?, &table(g, look, x.device())?, &taps);
    }
    let weighted = gather(x, g, look)?.broadcast_mul(&taps)?;
    let rows = weighted.dim(0)?;
    weighted.reshape((rows, g.taps(), g.in_c))?.sum(1)
}

/// What each output's gradient tells each tap of its channel: rows `(.., taps * C)` that add up to the weight's gradient.
fn depthwise_products(x: &Tensor, dy: &Tensor, g: &Geometry) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::takes(x) {
        return cuda::correlate(&pixels(x, g)?, &table(g, Look::Down, x.device())?, dy, g.taps());
    }
    let windows = gather(x, g, Look::Down)?.reshape((g.rows(), g.taps(), g.in_c))?;
    windows.broadcast_mul(&dy.reshape((g.rows(), 1, g.in_c))?)?.reshape((g.rows(), g.taps() * g.in_c))
}
