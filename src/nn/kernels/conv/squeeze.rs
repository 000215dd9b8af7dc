//! Squeeze-and-excite (Hu et al. 2017) as one layer: the mean of each channel goes through two small layers, and what
//! comes out opens or shuts the channel. The map is read twice forward and twice backward, no more.

use candle_core::{Result, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;
use tracing::trace_span;

use crate::nn::kernels::activation::Activation;
use crate::nn::kernels::activation::Gate;
use crate::nn::kernels::matmul::{View, add_rows, affine, multiply, parts, parts_mut};
use crate::nn::kernels::memory::read;
use crate::nn::kernels::simd::vectorised;

/// The parameters, under timm's names `se.conv_reduce` and `se.conv_expand`.
#[derive(Clone, Copy)]
pub struct SqueezeExcite<'a> {
    /// `(R, C, 1, 1)` and `(R)`; of clips one axis more.
    pub reduce: (&'a Tensor, &'a Tensor),
    /// `(C, R, 1, 1)` and `(C)`; of clips one axis more.
    pub expand: (&'a Tensor, &'a Tensor),
    pub activation: Activation,
    pub gate: Gate,
}

/// `x * gate(expand(activation(reduce(mean of x over its pixels))))` for `x (B, H, W, C)`.
impl SqueezeExcite<'_> {
    /// For maps of this shape `(B, H, W, C)`, however many.
    pub fn gates(&self, shape: [usize; 4]) -> Result<Gates> {
        Ok(Gates { squeeze: self.sizes(shape)?, packed: self.packed()? })
    }

    /// Errors when shapes do not fit.
    pub fn sizes(&self, [batch, height, width, channels]: [usize; 4]) -> Result<Squeeze> {
        let reduced = self.reduce.1.elem_count();
        let is_matrix = |weight: &Tensor, rows: usize, columns: usize| {
            weight.dims().starts_with(&[rows, columns]) && weight.elem_count() == rows * columns && weight.rank() >= 4
        };
        let fits = is_matrix(self.reduce.0, reduced, channels)
            && is_matrix(self.expand.0, channels, reduced)
            && self.expand.1.dims() == [channels];
        if !fits || batch * height * width * reduced == 0 {
            bail!("a squeeze from {channels} to {reduced} channels does not fit {:?}", [batch, height, width, channels])
        }
        Ok(Squeeze { batch, pixels: height * width, channels, reduced, activation: self.activation, gate: self.gate })
    }

    /// In the order in which [`Squeeze`] takes them apart.
    pub fn packed(&self) -> Result<Tensor> {
        let packed = [self.reduce.0, self.reduce.1, self.expand.0, self.expand.1].map(Tensor::flatten_all);
        Tensor::cat(&packed.into_iter().collect::<Result<Vec<_>>>()?, 0)
    }
}

/// A squeeze for inference, which works in place.
pub struct Gates {
    squeeze: Squeeze,
    packed: Tensor,
}

impl Gates {
    /// Opens and shuts the channels of whole images `(B, H, W, C)`, as many as they are.
    pub fn apply(&self, images: &mut [f32]) -> Result<()> {
        let packed = read(&self.packed)?;
        let image = self.squeeze.pixels * self.squeeze.channels;
        let squeeze = Squeeze { batch: images.len() / image, ..self.squeeze };
        let gates = squeeze.excite(squeeze.means(images), &packed).expanded.1;
        for (image, gates) in images.chunks_exact_mut(image).zip(gates.chunks_exact(squeeze.channels)) {
            vectorised!({
                for pixel in image.chunks_exact_mut(squeeze.channels) {
                    pixel.iter_mut().zip(gates).for_each(|(value, gate)| *value *= gate);
                }
            });
        }
        Ok(())
    }
}

/// The sizes of one application.
#[derive(Clone, Copy)]
pub(crate) struct Squeeze {
    batch: usize,
    pixels: usize,
    channels: usize,
    reduced: usize,
    activation: Activation,
    gate: Gate,
}

/// Row by row for each image.
pub(crate) struct Saved {
    means: Vec<f32>,
    /// Before and after the activation.
    reduced: (Vec<f32>, Vec<f32>),
    /// Before and after the gate.
    expanded: (Vec<f32>, Vec<f32>),
}

impl Squeeze {
    fn lengths(&self) -> [usize; 4] {
        [self.reduced * self.channels, self.reduced, self.channels * self.reduced, self.channels]
    }

    fn means(&self, x: &[f32]) -> Vec<f32> {
        sums(x, x, self.batch, self.channels, 1.0 / self.pixels as f32, |x, _| x)
    }

    fn excite(&self, means: Vec<f32>, packed: &[f32]) -> Saved {
        let (channels, reduced) = (self.channels, self.reduced);
        let [reduce, reduce_bias, expand, expand_bias] = parts(packed, self.lengths());
        let mut small = vec![0.0; self.batch * reduced];
        let size = [self.batch, reduced, channels];
        let weight = View::rows(reduce, channels).transposed();
        affine(&mut small, size, View::rows(&means, channels), weight, reduce_bias, None, Parallelism::None);
        let mut activated = small.clone();
        self.activation.apply(&mut activated);
        let mut wide = vec![0.0; self.batch * channels];
        let size = [self.batch, channels, reduced];
        let weight = View::rows(expand, reduced).transposed();
        affine(&mut wide, size, View::rows(&activated, reduced), weight, expand_bias, None, Parallelism::None);
        let mut gates = wide.clone();
        self.gate.apply(&mut gates);
        Saved { means, reduced: (small, activated), expanded: (wide, gates) }
    }

    /// From the gradient to the gates to the gradient to the means, and the gradient to the parameters.
    fn backward_gates(&self, mut gates: Vec<f32>, packed: &[f32], saved: &Saved) -> (Vec<f32>, Vec<f32>) {
        let (batch, channels, reduced) = (self.batch, self.channels, self.reduced);
        let [reduce, _, expand, _] = parts(packed, self.lengths());
        let mut sums = vec![0.0; packed.len()];
        let [dreduce, dreduce_bias, dexpand, dexpand_bias] = parts_mut(&mut sums, self.lengths());
        let serial = Parallelism::None;
        self.gate.backward(&mut gates, &saved.expanded.0);
        add_rows(dexpand_bias, &gates);
        let gradient = View::rows(&gates, channels);
        let size = [channels, reduced, batch];
        multiply(dexpand, reduced, size, gradient.transposed(), View::rows(&saved.reduced.1, reduced), false, serial);
        let mut small = vec![0.0; batch * reduced];
        multiply(&mut small, reduced, [batch, reduced, channels], gradient, View::rows(expand, reduced), false, serial);
        self.activation.backward(&mut small, &saved.reduced.0);
        add_rows(dreduce_bias, &small);
        let gradient = View::rows(&small, reduced);
        let size = [reduced, channels, batch];
        multiply(dreduce, channels, size, gradient.transposed(), View::rows(&saved.means, channels), false, serial);
        let mut means = vec![0.0; batch * channels];
        multiply(&mut means, channels, [batch, channels, reduced], gradient, View::rows(reduce, channels), false, serial);
        (means, sums)
    }
}

impl Squeeze {
    /// Writes all of `y`.
    pub fn forward(&self, x: &[f32], packed: &[f32], y: &mut [f32]) -> Saved {
        let _span = trace_span!("squeeze").entered();
        let saved = self.excite(self.means(x), packed);
        let image = self.pixels * self.channels;
        let per_image = saved.expanded.1.par_chunks(self.channels);
        y.par_chunks_mut(image).zip(x.par_chunks(image)).zip(per_image).for_each(|((y, x), gates)| {
            vectorised!({
                for (y, x) in y.chunks_exact_mut(gates.len()).zip(x.chunks_exact(gates.len())) {
                    y.iter_mut().zip(x).zip(gates).for_each(|((y, x), gate)| *y = x * gate);
                }
            });
        });
        saved
    }

    /// The gradient to the parameters; `dy` becomes the one to `x`.
    pub fn backward(&self, x: &[f32], packed: &[f32], saved: &Saved, dy: &mut [f32]) -> Vec<f32> {
        let _span = trace_span!("squeeze gradient").entered();
        let gates = sums(x, dy, self.batch, self.channels, 1.0, |x, dy| x * dy);
        let (mut means, dpacked) = self.backward_gates(gates, packed, saved);
        means.iter_mut().for_each(|value| *value /= self.pixels as f32);
        let per_image = saved.expanded.1.par_chunks(self.channels).zip(means.par_chunks(self.channels));
        dy.par_chunks_mut(self.pixels * self.channels).zip(per_image).for_each(|(dy, (gates, means))| {
            vectorised!({
                for dy in dy.chunks_exact_mut(gates.len()) {
                    dy.iter_mut().zip(gates).zip(means).for_each(|((dy, gate), mean)| *dy = *dy * gate + mean);
                }
            });
        });
        dpacked
    }
}

/// For each image the sum over its pixels of `term`, channel by channel, times `factor`.
fn sums(x: &[f32], y: &[f32], batch: usize, channels: usize, factor: f32, term: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let image = x.len() / batch;
    let mut sums = vec![0.0f32; batch * channels];
    sums.par_chunks_mut(channels).zip(x.par_chunks(image)).zip(y.par_chunks(image)).for_each(|((sums, x), y)| {
        vectorised!({
            for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
                for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                    *sum += term(x, y);
                }
            }
            sums.iter_mut().for_each(|sum| *sum *= factor);
        });
    });
    sums
}
