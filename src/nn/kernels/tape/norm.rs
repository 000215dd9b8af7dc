//! Batch norm by itself between [nodes](Node): of maps that no convolution has just made, or one with a bias has.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Gradient, Node, Pair, Step};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{CHUNK, read, tensor};
use crate::nn::kernels::norm::normalise::{Fitted, Mask};
use crate::nn::kernels::norm::statistics::{Gathering, block_rows};
use crate::nn::kernels::norm::{BatchStatistics, Norm};

/// `activation(norm(x))` with the statistics of this batch, or with `fixed`, a mean and a variance per channel, as constants (then it
/// answers no statistics). Gradients flow to x, gamma and beta.
///
/// Errors when shapes do not fit, or the batch has a single value per channel, which has no variance.
pub fn batch_norm(x: &Node, norm: &Norm<'_>, fixed: Option<(&Tensor, &Tensor)>) -> Result<(Node, Option<BatchStatistics>)> {
    let channels = x.shape[3];
    norm.check(channels)?;
    let count = x.values.len() / channels.max(1);
    let (fitted, batch) = match fixed {
        Some((mean, variance)) => (Fitted::fixed(&wide(mean)?, &wide(variance)?, norm), None),
        None => {
            Norm::check_count(count)?;
            let gathering = Gathering::new(channels);
            let block = block_rows(channels) * channels;
            x.values.par_chunks(block).enumerate().for_each(|(index, piece)| gathering.note(piece, index * block));
            let (mean, variance) = gathering.moments();
            (Fitted::new(&mean, &variance, norm), Some(BatchStatistics::of(&mean, &variance, count)?))
        }
    };
    let gain = Tensor::cat(&[norm.gamma, norm.beta], 0)?;
    let mut y = Buffer::any(x.values.len());
    fitted.forward(&x.values, &read(&gain)?, None, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to, values) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), x.values.clone());
    let back = move |gain: &Tensor, _: &Tensor| -> Result<Pair> {
        let mut dy = from.take(values.len());
        let (spread, gain_gradient) = fitted.sums(&values, &read(gain)?, Mask::Recompute, &mut dy);
        if let Some(to) = to {
            let mut dx = Buffer::any(values.len());
            dx.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(dx, x)| dx.copy_from_slice(x));
            spread.apply_all(&mut dx, &dy);
            to.add(dx);
        }
        Ok((if gain.track_op() { Some(tensor(gain_gradient, gain.dims())?) } else { None }, None))
    };
    let link = x.link.apply_op3(&gain, &gain.detach(), Step::new(back))?;
    Ok((Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic }, batch))
}

/// One number per channel, as f64.
pub(super) fn wide(values: &Tensor) -> Result<Vec<f64>> {
    Ok(values.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}
