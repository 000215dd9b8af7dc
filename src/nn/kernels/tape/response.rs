//! Global response norm between [nodes](Node).

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::{Gradient, Node, Pair, Step};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{read, tensor};
use crate::nn::kernels::norm::response::Response;

/// See [`crate::nn::kernels::Maps::response_norm`].
pub fn response_norm(x: &Node, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Node> {
    let _span = trace_span!("response norm").entered();
    let [_, height, width, channels] = x.shape;
    let image = height * width * channels;
    if weight.dims() != [channels] || bias.dims() != [channels] || x.values.is_empty() {
        bail!("a response norm of {:?} and {:?} does not fit maps of {:?}", weight.dims(), bias.dims(), x.shape)
    }
    let mut y = Buffer::any(x.values.len());
    let responses: Vec<Response> = {
        let (weight, bias) = (read(weight)?, read(bias)?);
        let images = y.par_chunks_mut(image).zip(x.values.par_chunks(image));
        let respond = |(y, x): (&mut [f32], &[f32])| {
            let response = Response::of(x, channels, eps);
            response.forward(x, (&weight, &bias), y);
            response
        };
        images.map(respond).collect()
    };
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |weight: &Tensor, bias: &Tensor| -> Result<Pair> {
        let _span = trace_span!("response norm gradient").entered();
        let (dy, mut dx) = (from.take(values.len()), Buffer::any(values.len()));
        let factors = read(weight)?;
        let images = dx.par_chunks_mut(image).zip(values.par_chunks(image)).zip(dy.par_chunks(image)).zip(&responses);
        let parts: Vec<_> = images.map(|(((dx, x), dy), response)| response.backward(x, dy, &factors, dx)).collect();
        if let Some(to) = to {
            to.add(dx);
        }
        // In the order of the images.
        let sum = |which: usize| (0..channels).map(|channel| parts.iter().map(|part| part[which][channel]).sum::<f64>() as f32).collect();
        let wanted = |of: &Tensor, which: usize| of.track_op().then(|| tensor(sum(which), &[channels])).transpose();
        Ok((wanted(weight, 0)?, wanted(bias, 1)?))
    };
    let link = x.link.apply_op3(weight, bias, Step::new(back))?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}
