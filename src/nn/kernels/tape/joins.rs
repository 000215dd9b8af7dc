//! Layers without parameters between [nodes](Node): poolings, shifts along time, and maps joined by their channels.

use std::sync::Arc;

use candle_core::{Result, bail};

use super::{Gradient, Node, step_link};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::conv::average::AveragePool;
use crate::nn::kernels::conv::join::Join;
use crate::nn::kernels::conv::pool::MaxPool;
use crate::nn::kernels::conv::shift::Shift;
use crate::nn::kernels::conv::window::{Average, Window};
use crate::nn::kernels::threads::Threads;

/// The largest value of each window, of clips of so many frames over the maps of all of them; what lies outside never wins. The gradient
/// goes to the first largest, as in PyTorch.
pub fn max_pool(x: &Node, frames: usize, window: Window) -> Result<Node> {
    let pool = MaxPool::new(&x.shape, frames, window)?;
    let mut y = Buffer::any(pool.geometry.rows() * pool.geometry.out_c);
    let winners = pool.forward(&x.values, &mut y);
    let (shape, gradient) = (pool.geometry.output_shape(), Arc::new(Gradient::default()));
    let (from, to) = (gradient.clone(), x.gradient.clone());
    let link = step_link(&x.link, move || {
        let dy = from.take(winners.len());
        let mut dx = Buffer::any(pool.geometry.input_shape().iter().product());
        pool.gradient(&dy, &winners, &mut dx);
        to.add(dx);
        Ok(())
    })?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// The mean of the pixels under each span, of clips of so many frames over the maps of all of them. The gradient flows to x.
pub fn average_pool(x: &Node, frames: usize, average: Average) -> Result<Node> {
    let pool = AveragePool::new(&x.shape, frames, average)?;
    let shape = pool.output_shape();
    let mut y = Buffer::any(shape.iter().product());
    pool.forward(&x.values, Threads::All, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to, length) = (gradient.clone(), x.gradient.clone(), x.values.len());
    let link = step_link(&x.link, move || {
        let mut dx = Buffer::any(length);
        pool.gradient(&from.take(shape.iter().product()), &mut dx);
        to.add(dx);
        Ok(())
    })?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// Channels moved along the frames of clips of so many frames ([`Shift`]). The gradient flows to x.
pub fn shift(x: &Node, frames: usize) -> Result<Node> {
    let (shift, shape, length) = (Shift::new(&x.shape, frames)?, x.shape, x.values.len());
    let mut y = Buffer::any(length);
    shift.forward(&x.values, Threads::All, &mut y);
    let gradient = Arc::new(Gradient::default());
    let (from, to) = (gradient.clone(), x.gradient.clone());
    let link = step_link(&x.link, move || {
        let mut dx = Buffer::any(length);
        shift.gradient(&from.take(length), &mut dx);
        to.add(dx);
        Ok(())
    })?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// Maps of the same sides, their channels one behind the other. Gradients flow to each. Errors when there are none, or their sides
/// differ.
pub fn join(maps: &[Node]) -> Result<Node> {
    let Some((first, rest)) = maps.split_first() else { bail!("there are no maps to join") };
    let [batch, height, width, _] = first.shape;
    if let Some(other) = rest.iter().find(|other| other.shape[..3] != first.shape[..3]) {
        bail!("maps of {:?} and {:?} cannot be joined", first.shape, other.shape)
    }
    let join = Join::new(maps.iter().map(|map| map.shape[3]).collect());
    let shape = [batch, height, width, join.width()];
    let mut y = Buffer::any(shape.iter().product());
    join.forward(&maps.iter().map(|map| &map.values[..]).collect::<Vec<_>>(), Threads::All, &mut y);
    let mut below = first.link.clone();
    for other in rest {
        below = (below + &other.link)?;
    }
    let gradient = Arc::new(Gradient::default());
    let from = gradient.clone();
    let to: Vec<_> = maps.iter().map(|map| (map.is_tracked().then(|| map.gradient.clone()), map.values.len())).collect();
    let link = step_link(&below, move || {
        let dy = from.take(shape.iter().product());
        for (index, (to, length)) in to.into_iter().enumerate() {
            if let Some(to) = to {
                let mut part = Buffer::any(length);
                join.part(&dy, index, &mut part);
                to.add(part);
            }
        }
        Ok(())
    })?;
    Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: first.arithmetic })
}
