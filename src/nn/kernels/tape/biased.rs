//! Layers between [nodes](Node) that normalise no batch: convolution with a bias, and layer norm over channels.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::{Gradient, Node, Pair, Step, step_link};
use crate::nn::kernels::activation::{Activation, Function, with_function};
use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::conv;
use crate::nn::kernels::conv::affine::Affine;
use crate::nn::kernels::conv::geometry::{Geometry, Spec};
use crate::nn::kernels::matmul::{add_rows, parts_mut, sum_over_spans};
use crate::nn::kernels::memory::{CHUNK, read, tensor};
use crate::nn::kernels::norm::layer_norm as rows;
use crate::nn::kernels::simd::vectorised;

/// Pixels a thread takes at a time.
const PIXELS: usize = 128;

/// `activation(conv2d(x, weight) + bias)`, or without an activation `conv2d(x, weight) + bias + residual`. Gradients flow
/// to all of them; where nobody wants any, nothing is kept. Errors when shapes do not fit.
pub fn conv_bias(
    x: &Node,
    (weight, bias): (&Tensor, &Tensor),
    spec: &Spec,
    activation: Activation,
    residual: Option<&Node>,
) -> Result<Node> {
    let _span = trace_span!("biased convolution").entered();
    let geometry = Geometry::of(&x.shape, weight.dims(), spec)?;
    let shape = geometry.output_shape();
    check(&geometry, bias, activation, residual.map(|residual| residual.shape))?;
    let below = match residual {
        Some(residual) => (&x.link + &residual.link)?,
        None => x.link.clone(),
    };
    let keeps = activation != Activation::None && (below.track_op() || weight.track_op() || bias.track_op());
    let affine = Affine::new(&vec![1.0; geometry.out_c], &read(bias)?);
    let at_once = if keeps { Activation::None } else { activation };
    let finish = |piece: &mut [f32], offset: usize| {
        let residual = residual.map(|residual| &residual.values[offset..offset + piece.len()]);
        affine.apply_in_place(at_once, residual, piece);
    };
    let mut y = Buffer::any(geometry.rows() * geometry.out_c);
    conv::forward(x.arithmetic, &x.values, &read(weight)?, &geometry, &finish, &mut y)?;
    let before = keeps.then(|| {
        let mut after = Buffer::any(y.len());
        with_function!(activation, F => values::<F>(&y, &mut after));
        std::mem::replace(&mut y, after)
    });
    let gradient = Arc::new(Gradient::default());
    let left = Left {
        geometry,
        activation,
        before,
        x: x.values.clone(),
        x_gradient: x.is_tracked().then(|| x.gradient.clone()),
        residual_gradient: residual.filter(|residual| residual.is_tracked()).map(|residual| residual.gradient.clone()),
        gradient: gradient.clone(),
        arithmetic: x.arithmetic,
    };
    let link = below.apply_op3(weight, bias, Step::new(move |weight: &Tensor, bias: &Tensor| left.backward(weight, bias)))?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

fn check(g: &Geometry, bias: &Tensor, activation: Activation, residual: Option<[usize; 4]>) -> Result<()> {
    if bias.dims() != [g.out_c] {
        bail!("a bias of shape {:?} does not fit {} channels", bias.dims(), g.out_c)
    }
    if residual.is_some_and(|residual| residual != g.output_shape() || activation != Activation::None) {
        bail!("a residual of shape {residual:?} does not fit an output of {:?} and {activation:?}", g.output_shape())
    }
    Ok(())
}

fn values<F: Function>(x: &[f32], y: &mut [f32]) {
    x.par_chunks(CHUNK).zip(y.par_chunks_mut(CHUNK)).for_each(|(x, y)| {
        vectorised!(x.iter().zip(y.iter_mut()).for_each(|(&x, y)| *y = F::value(x)));
    });
}

fn slopes<F: Function>(x: &[f32], gradient: &mut [f32]) {
    x.par_chunks(CHUNK).zip(gradient.par_chunks_mut(CHUNK)).for_each(|(x, gradient)| {
        vectorised!(x.iter().zip(gradient.iter_mut()).for_each(|(&x, gradient)| *gradient *= F::slope(x)));
    });
}

/// `activation(x)`. The gradient flows to x.
pub fn activate(x: Node, activation: Activation) -> Result<Node> {
    if activation == Activation::None {
        return Ok(x);
    }
    let mut y = Buffer::any(x.values.len());
    with_function!(activation, F => values::<F>(&x.values, &mut y));
    let gradient = Arc::new(Gradient::default());
    let (from, to, before) = (gradient.clone(), x.gradient.clone(), x.values.clone());
    let link = step_link(&x.link, move || {
        let mut dy = from.take(before.len());
        with_function!(activation, F => slopes::<F>(&before, &mut dy));
        to.add(dy);
        Ok(())
    })?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// What a convolution's forward pass leaves for its backward pass.
struct Left {
    geometry: Geometry,
    activation: Activation,
    /// What went into the activation.
    before: Option<Buffer>,
    x: Arc<Buffer>,
    x_gradient: Option<Arc<Gradient>>,
    residual_gradient: Option<Arc<Gradient>>,
    gradient: Arc<Gradient>,
    arithmetic: Arithmetic,
}

impl Left {
    fn backward(self, weight: &Tensor, bias: &Tensor) -> Result<Pair> {
        let _span = trace_span!("biased convolution gradient").entered();
        let g = &self.geometry;
        let mut dy = self.gradient.take(g.rows() * g.out_c);
        if let Some(before) = self.before {
            with_function!(self.activation, F => slopes::<F>(&before, &mut dy));
        }
        let bias_gradient = match bias.track_op() {
            true => Some(tensor(column_sums(&mut dy, g.out_c), &[g.out_c])?),
            false => None,
        };
        let weight_gradient = match weight.track_op() {
            true => Some(tensor(conv::weight_gradient(self.arithmetic, &self.x, &dy, g), weight.dims())?),
            false => None,
        };
        drop(self.x);
        if let Some(gradient) = self.x_gradient {
            let mut dx = Buffer::any(g.input_shape().iter().product());
            conv::input_gradient(self.arithmetic, &mut dy, &|_, _| {}, &read(weight)?, g, &mut dx)?;
            gradient.add(dx);
        }
        if let Some(residual) = self.residual_gradient {
            residual.add(dy);
        }
        Ok((weight_gradient, bias_gradient))
    }
}

/// The sum of all pixels, channel by channel; the pixels stay as they are.
fn column_sums(pixels: &mut [f32], channels: usize) -> Vec<f32> {
    let block = PIXELS * channels;
    let sums = sum_over_spans(pixels.len().div_ceil(block), pixels, block, channels, |_, pixels, sums| add_rows(sums, pixels));
    let [sums] = sums.parts([channels]);
    sums
}

/// Layer norm of each pixel over its channels. Gradients flow to x, gamma and beta. Errors when shapes do not fit.
pub fn layer_norm(x: &Node, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Node> {
    let _span = trace_span!("layer norm").entered();
    let channels = x.shape[3];
    if gamma.dims() != [channels] || beta.dims() != [channels] || x.values.is_empty() {
        bail!("layer norm over {:?} and {:?} does not fit maps of {:?}", gamma.dims(), beta.dims(), x.shape)
    }
    let block = PIXELS * channels;
    let (mut y, mut statistics) = (Buffer::any(x.values.len()), Buffer::any(2 * x.values.len() / channels));
    {
        let (gamma, beta) = (read(gamma)?, read(beta)?);
        let pieces = y.par_chunks_mut(block).zip(x.values.par_chunks(block)).zip(statistics.par_chunks_mut(2 * PIXELS));
        pieces.for_each(|((y, x), statistics)| rows::normalise(y, x, &gamma, &beta, eps, statistics));
    }
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |gamma: &Tensor, beta: &Tensor| {
        let _span = trace_span!("layer norm gradient").entered();
        let (dy, mut dx) = (from.take(values.len()), Buffer::zeros(values.len()));
        let factors = read(gamma)?;
        let pieces = values.len().div_ceil(block);
        let sums = sum_over_spans(pieces, &mut dx, block, 2 * channels, |piece, dx, sums| {
            let range = piece * block..piece * block + dx.len();
            let [dgamma, dbeta] = parts_mut(sums, [channels, channels]);
            let statistics = &statistics[2 * piece * PIXELS..];
            rows::backward(dx, &dy[range.clone()], &values[range], &factors, statistics, dgamma, dbeta);
        });
        let [dgamma, dbeta] = sums.parts([channels, channels]);
        if let Some(to) = to {
            to.add(dx);
        }
        let wanted = |of: &Tensor, gradient: Vec<f32>| of.track_op().then(|| tensor(gradient, &[channels])).transpose();
        Ok((wanted(gamma, dgamma)?, wanted(beta, dbeta)?))
    };
    let link = x.link.apply_op3(gamma, beta, Step::new(back))?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}
