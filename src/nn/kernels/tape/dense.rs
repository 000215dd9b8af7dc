//! Layers of heads over maps between [nodes](Node): maps brought to other sides, taps that lie apart, and channels that are opened and
//! shut from outside.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::{Gradient, Node, Step, step_link};
use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::conv::dilated::Dilated;
use crate::nn::kernels::conv::resize::{Between, Resize};
use crate::nn::kernels::memory::{CHUNK, read, tensor};
use crate::nn::kernels::simd::vectorised;

/// Maps of these sides, `[height, width]`. The gradient flows to x.
pub fn resize(x: &Node, sides: [usize; 2], between: Between) -> Result<Node> {
    let resize = Resize::new(x.shape, sides, between)?;
    let shape = resize.output_shape();
    let mut y = Buffer::any(shape.iter().product());
    resize.forward(&x.values, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to, length) = (gradient.clone(), x.gradient.clone(), x.values.len());
    let link = step_link(&x.link, move || {
        let mut dx = Buffer::any(length);
        resize.gradient(&from.take(shape.iter().product()), &mut dx);
        to.add(dx);
        Ok(())
    })?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// Depthwise convolution with `weight (C, 1, k, k)` whose taps are `rate` pixels apart; sides stay. Gradients flow to both.
pub fn dilated(x: &Node, weight: &Tensor, rate: usize) -> Result<Node> {
    let layer = Dilated::new(x.shape, weight.dims(), rate)?;
    let mut y = Buffer::any(x.values.len());
    layer.forward(&x.values, &read(weight)?, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |weight: &Tensor, _: &Tensor| {
        let dy = from.take(values.len());
        if let Some(to) = to {
            let mut dx = Buffer::any(values.len());
            layer.input_gradient(&dy, &read(weight)?, &mut dx);
            to.add(dx);
        }
        let wanted = weight.track_op().then(|| tensor(layer.weight_gradient(&values, &dy), weight.dims()));
        Ok((wanted.transpose()?, None))
    };
    let link = x.link.apply_op3(weight, &weight.detach(), Step::new(back))?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// Each channel of each image times its gate `(B, C)`. Gradients flow to both.
pub fn gated(x: &Node, gates: &Tensor) -> Result<Node> {
    let [batch, height, width, channels] = x.shape;
    let image = height * width * channels;
    if gates.dims() != [batch, channels] || image == 0 {
        bail!("gates of {:?} do not fit maps of {:?}", gates.dims(), x.shape)
    }
    let factors = gates.detach().contiguous()?;
    let mut y = Buffer::any(x.values.len());
    y.copy_from_slice(&x.values);
    multiply(&mut y, image, channels, &read(&factors)?);
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |gates: &Tensor, _: &Tensor| {
        let mut dy = from.take(values.len());
        let wanted = match gates.track_op() {
            true => {
                let images = values.par_chunks(image).zip(dy.par_chunks(image));
                let sums: Vec<Vec<f32>> = images.map(|(x, dy)| products(x, dy, channels)).collect();
                Some(tensor(sums.concat(), &[batch, channels])?)
            }
            false => None,
        };
        if let Some(to) = to {
            multiply(&mut dy, image, channels, &read(&factors)?);
            to.add(dy);
        }
        Ok((wanted, None))
    };
    let link = x.link.apply_op3(gates, &gates.detach(), Step::new(back))?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// What is above zero. The gradient flows to x.
pub fn clamped(x: &Node) -> Result<Node> {
    let relu = Activation::Relu;
    let mut y = Buffer::any(x.values.len());
    y.par_chunks_mut(CHUNK).zip(x.values.par_chunks(CHUNK)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x.max(0.0));
    });
    let (values, gradient) = (Arc::new(y), Arc::new(Gradient::default()));
    let (from, to, made) = (gradient.clone(), x.gradient.clone(), values.clone());
    let link = step_link(&x.link, move || {
        let mut dy = from.take(made.len());
        dy.par_chunks_mut(CHUNK).zip(made.par_chunks(CHUNK)).for_each(|(dy, y)| relu.backward(dy, y));
        to.add(dy);
        Ok(())
    })?;
    Ok(Node { shape: x.shape, values, link, gradient, arithmetic: x.arithmetic })
}

/// Each pixel times the factors of its image.
fn multiply(maps: &mut [f32], image: usize, channels: usize, factors: &[f32]) {
    maps.par_chunks_mut(image).zip(factors.par_chunks(channels)).for_each(|(pixels, factors)| {
        vectorised!({
            for pixel in pixels.chunks_exact_mut(channels) {
                pixel.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
            }
        });
    });
}

/// Of each channel the sum of `x * dy` over an image's pixels.
fn products(x: &[f32], dy: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0f32; channels];
    vectorised!({
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            sums.iter_mut().zip(x).zip(dy).for_each(|((sum, x), dy)| *sum += x * dy);
        }
    });
    sums
}
