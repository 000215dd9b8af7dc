//! Layers between [nodes](Node): convolution with batch norm, residual and activation; sums, squeezes, the mean of a map.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::norm::wide;
use super::{Gradient, Leave, Node, Step, step_link};
use crate::nn::kernels::activation::{Activation, add};
use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::conv;
use crate::nn::kernels::conv::geometry::{Geometry, Spec};
use crate::nn::kernels::conv::pool;
use crate::nn::kernels::conv::squeeze::SqueezeExcite;
use crate::nn::kernels::memory::{CHUNK, read, tensor};
use crate::nn::kernels::norm::BatchStatistics;
use crate::nn::kernels::norm::Norm;
use crate::nn::kernels::norm::normalise::{Fitted, Mask};
use crate::nn::kernels::norm::statistics::Gathering;

/// `norm(conv2d(x, weight)) + residual`, then the norm's activation, with the statistics of this batch. Gradients
/// flow to all of them. With `fixed`, a mean and a variance per channel, it normalises by these instead, as constants, and
/// answers no statistics.
///
/// Errors when shapes do not fit, or the batch has a single value per channel, which has no variance.
pub fn conv_norm(
    x: &Node,
    weight: &Tensor,
    spec: &Spec,
    norm: &Norm<'_>,
    residual: Option<&Node>,
    fixed: Option<(&Tensor, &Tensor)>,
) -> Result<(Node, Option<BatchStatistics>)> {
    let geometry = Geometry::of(&x.shape, weight.dims(), spec)?;
    let (shape, channels, count) = (geometry.output_shape(), geometry.out_c, geometry.rows());
    norm.check(channels)?;
    if residual.is_some_and(|residual| residual.shape != shape) {
        bail!("a residual does not fit an output of shape {shape:?}")
    }
    if fixed.is_none() {
        Norm::check_count(count)?;
    }
    if residual.is_some() && norm.activation.is_smooth() {
        bail!("{:?} after a residual sum cannot be learnt in place", norm.activation)
    }
    let mut z = Buffer::any(count * channels);
    let (fitted, batch) = normaliser(x, weight, &geometry, norm, fixed, &mut z)?;
    let gain = Tensor::cat(&[norm.gamma, norm.beta], 0)?;
    let mut y = Buffer::any(z.len());
    fitted.forward(&z, &read(&gain)?, residual.map(|residual| &residual.values[..]), &mut y);
    let (values, gradient) = (Arc::new(y), Arc::new(Gradient::default()));
    let below = match residual {
        Some(residual) => (&x.link + &residual.link)?,
        None => x.link.clone(),
    };
    let left = Left {
        geometry,
        fitted,
        z,
        x: x.values.clone(),
        x_gradient: x.is_tracked().then(|| x.gradient.clone()),
        residual: residual.map(|residual| (values.clone(), residual.is_tracked().then(|| residual.gradient.clone()))),
        gradient: gradient.clone(),
        arithmetic: x.arithmetic,
    };
    let link = below.apply_op3(weight, &gain, Step::new(move |weight: &Tensor, gain: &Tensor| left.backward(weight, gain)))?;
    Ok((Node { shape, values, link, gradient, arithmetic: x.arithmetic }, batch))
}

/// Convolves into `z`, and fits the norm to what came out, or to what is `fixed`.
fn normaliser(
    x: &Node,
    weight: &Tensor,
    geometry: &Geometry,
    norm: &Norm<'_>,
    fixed: Option<(&Tensor, &Tensor)>,
    z: &mut Buffer,
) -> Result<(Fitted, Option<BatchStatistics>)> {
    let weight = read(weight)?;
    if let Some((mean, variance)) = fixed {
        conv::forward(x.arithmetic, &x.values, &weight, geometry, &|_: &mut [f32], _| (), z)?;
        return Ok((Fitted::fixed(&wide(mean)?, &wide(variance)?, norm), None));
    }
    let gathering = Gathering::new(geometry.out_c);
    let note = |piece: &mut [f32], offset: usize| gathering.note(piece, offset);
    conv::forward(x.arithmetic, &x.values, &weight, geometry, &note, z)?;
    let (mean, variance) = gathering.moments();
    Ok((Fitted::new(&mean, &variance, norm), Some(BatchStatistics::of(&mean, &variance, geometry.rows())?)))
}

/// What a layer's forward pass leaves for its backward pass.
struct Left {
    geometry: Geometry,
    fitted: Fitted,
    /// The convolution's output.
    z: Buffer,
    x: Arc<Buffer>,
    x_gradient: Option<Arc<Gradient>>,
    /// The layer's output, which tells what the activation let through, and where the residual's gradient goes.
    residual: Option<(Arc<Buffer>, Option<Arc<Gradient>>)>,
    gradient: Arc<Gradient>,
    arithmetic: Arithmetic,
}

impl Left {
    fn backward(mut self, weight: &Tensor, gain: &Tensor) -> Result<super::Pair> {
        let g = &self.geometry;
        let mut dy = self.gradient.take(self.z.len());
        let mask = match &self.residual {
            Some((y, _)) => Mask::Output(y),
            None => Mask::Recompute,
        };
        let (spread, gain_gradient) = self.fitted.sums(&self.z, &read(gain)?, mask, &mut dy);
        // `z` becomes the gradient to the convolution's output, and that to its input is worked out meanwhile.
        let dx = match &self.x_gradient {
            Some(_) => {
                let mut dx = Buffer::any(g.batch * g.input_pixels() * g.in_c);
                let prepare = |piece: &mut [f32], offset: usize| spread.apply(piece, &dy[offset..offset + piece.len()]);
                conv::input_gradient(self.arithmetic, &mut self.z, &prepare, &read(weight)?, g, &mut dx)?;
                Some(dx)
            }
            None => {
                spread.apply_all(&mut self.z, &dy);
                None
            }
        };
        match self.residual.take() {
            Some((_, Some(residual))) => residual.add(dy),
            _ => drop(dy),
        }
        let weight_gradient = match weight.track_op() {
            true => Some(tensor(conv::weight_gradient(self.arithmetic, &self.x, &self.z, g), weight.dims())?),
            false => None,
        };
        drop(self.x);
        if let (Some(gradient), Some(dx)) = (self.x_gradient, dx) {
            gradient.add(dx);
        }
        let gain_gradient = if gain.track_op() { Some(tensor(gain_gradient, gain.dims())?) } else { None };
        Ok((weight_gradient, gain_gradient))
    }
}

/// `activation(x + other)`. Gradients flow to both. Errors when shapes differ, and where the activation's slope does not show in
/// its output.
pub fn sum(x: &Node, other: &Node, activation: Activation) -> Result<Node> {
    if x.shape != other.shape || activation.is_smooth() {
        bail!("{:?} and {:?} cannot be added under {activation:?}", x.shape, other.shape)
    }
    let mut y = Buffer::any(x.values.len());
    let chunks = x.values.par_chunks(CHUNK).zip(other.values.par_chunks(CHUNK));
    y.par_chunks_mut(CHUNK).zip(chunks).for_each(|(y, (x, other))| {
        y.copy_from_slice(x);
        add(y, other, activation);
    });
    let (values, gradient) = (Arc::new(y), Arc::new(Gradient::default()));
    let to = |node: &Node| node.is_tracked().then(|| node.gradient.clone());
    let (from, made, to) = (gradient.clone(), values.clone(), (to(x), to(other)));
    let link = step_link(&(&x.link + &other.link)?, move || {
        let mut dy = from.take(made.len());
        dy.par_chunks_mut(CHUNK).zip(made.par_chunks(CHUNK)).for_each(|(dy, y)| activation.backward(dy, y));
        if let Some(other) = to.1 {
            let mut copy = Buffer::any(dy.len());
            copy.copy_from_slice(&dy);
            other.add(copy);
        }
        if let Some(x) = to.0 {
            x.add(dy);
        }
        Ok(())
    })?;
    Ok(Node { shape: x.shape, values, link, gradient, arithmetic: x.arithmetic })
}

/// The mean over all pixels: `(B, H, W, C)` to a tensor `(B, C)`.
pub fn average(x: &Node) -> Result<Tensor> {
    let [batch, height, width, channels] = x.shape;
    let pixels = height * width;
    if pixels == 0 {
        bail!("cannot pool an empty image of shape {:?}", x.shape)
    }
    let mut y = vec![0.0; batch * channels];
    pool::average(&x.values, pixels, channels, &mut y);
    let gradient = x.gradient.clone();
    let back = move |dy: &Tensor| {
        let mut dx = Buffer::any(batch * pixels * channels);
        pool::average_gradient(&read(&dy.contiguous()?)?, pixels, channels, &mut dx);
        gradient.add(dx);
        Ok(())
    };
    x.link.apply_op1(Leave::new(y, &[batch, channels], back))
}

/// Opens and shuts the channels of each image, see [`SqueezeExcite`]. Gradients flow to x and every parameter.
pub fn squeeze_excite(x: &Node, parameters: &SqueezeExcite<'_>) -> Result<Node> {
    let (squeeze, packed) = (parameters.sizes(x.shape)?, parameters.packed()?);
    let mut y = Buffer::any(x.values.len());
    let saved = squeeze.forward(&x.values, &read(&packed)?, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |packed: &Tensor, _: &Tensor| {
        let mut dy = from.take(values.len());
        let dpacked = squeeze.backward(&values, &read(packed)?, &saved, &mut dy);
        if let Some(to) = to {
            to.add(dy);
        }
        Ok((Some(tensor(dpacked, packed.dims())?), None))
    };
    let link = x.link.apply_op3(&packed, &packed.detach(), Step::new(back))?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}
