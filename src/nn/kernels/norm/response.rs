//! Global response norm (Woo et al. 2023) on slices: how long each channel of an image is, beside the mean length of its channels.

use crate::nn::kernels::simd::vectorised;

/// What one image's channels respond with.
pub(crate) struct Response {
    /// The length of each channel over all pixels.
    lengths: Vec<f32>,
    /// Mean length and epsilon.
    level: f64,
}

impl Response {
    /// Of one image.
    pub fn of(x: &[f32], channels: usize, eps: f64) -> Response {
        let squares = products(x, x, channels);
        let lengths: Vec<f32> = squares.iter().map(|square| square.sqrt() as f32).collect();
        let level = lengths.iter().copied().map(f64::from).sum::<f64>() / channels as f64 + eps;
        Response { lengths, level }
    }

    /// Each channel's length beside the mean.
    fn shares(&self) -> impl Iterator<Item = f64> {
        self.lengths.iter().map(|&length| f64::from(length) / self.level)
    }

    /// `y = x * (1 + weight * share) + bias`; writes all of `y`.
    pub fn forward(&self, x: &[f32], (weight, bias): (&[f32], &[f32]), y: &mut [f32]) {
        let scale: Vec<f32> = weight.iter().zip(self.shares()).map(|(&weight, share)| (1.0 + f64::from(weight) * share) as f32).collect();
        vectorised!(scaled(x, &scale, bias, y));
    }

    /// Writes all of `dx`; answers the gradients to weight and bias.
    pub fn backward(&self, x: &[f32], dy: &[f32], weight: &[f32], dx: &mut [f32]) -> [Vec<f64>; 2] {
        let channels = weight.len();
        let along = products(x, dy, channels);
        let shares: Vec<f64> = self.shares().collect();
        let dweight: Vec<f64> = along.iter().zip(&shares).map(|(along, share)| along * share).collect();
        // Of a share the gradient is weight * along; through the mean each length meets all shares.
        let spread: f64 = dweight.iter().zip(weight).map(|(dweight, &weight)| dweight * f64::from(weight)).sum::<f64>() / channels as f64;
        let (mut scale, mut pull) = (Vec::with_capacity(channels), Vec::with_capacity(channels));
        for channel in 0..channels {
            let (weight, length) = (f64::from(weight[channel]), f64::from(self.lengths[channel]));
            let dlength = (weight * along[channel] - spread) / self.level;
            scale.push((1.0 + weight * shares[channel]) as f32);
            pull.push(if length > 0.0 { (dlength / length) as f32 } else { 0.0 });
        }
        vectorised!(pulled(x, dy, &scale, &pull, dx));
        [dweight, products(dy, &vec![1.0; dy.len()], channels)]
    }
}

/// Pixels whose products are added in f32 before they join the sum.
const PIXELS: usize = 64;

/// The sum of products over all pixels, channel by channel.
fn products(a: &[f32], b: &[f32], channels: usize) -> Vec<f64> {
    let (mut total, mut sum) = (vec![0.0f64; channels], vec![0.0f32; channels]);
    for (a, b) in a.chunks(PIXELS * channels).zip(b.chunks(PIXELS * channels)) {
        sum.fill(0.0);
        vectorised!(add_products(a, b, &mut sum));
        total.iter_mut().zip(&sum).for_each(|(total, &sum)| *total += f64::from(sum));
    }
    total
}

#[inline(always)]
fn add_products(a: &[f32], b: &[f32], sum: &mut [f32]) {
    for (a, b) in a.chunks_exact(sum.len()).zip(b.chunks_exact(sum.len())) {
        sum.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
    }
}

#[inline(always)]
fn scaled(x: &[f32], scale: &[f32], bias: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(scale.len()).zip(y.chunks_exact_mut(scale.len())) {
        y.iter_mut().zip(x).zip(scale).zip(bias).for_each(|(((y, x), scale), bias)| *y = x * scale + bias);
    }
}

#[inline(always)]
fn pulled(x: &[f32], dy: &[f32], scale: &[f32], pull: &[f32], dx: &mut [f32]) {
    for ((x, dy), dx) in x.chunks_exact(scale.len()).zip(dy.chunks_exact(scale.len())).zip(dx.chunks_exact_mut(scale.len())) {
        dx.iter_mut().zip(x).zip(dy).zip(scale).zip(pull).for_each(|((((dx, x), dy), scale), pull)| *dx = dy * scale + x * pull);
    }
}
