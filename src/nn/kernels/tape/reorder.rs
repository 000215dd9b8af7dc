//! The rows of each image in another order, between [nodes](Node).

use std::sync::Arc;

use candle_core::{Result, bail};
use rayon::prelude::*;
use tracing::trace_span;

use super::{Gradient, Node, step_link};
use crate::nn::kernels::buffer::Buffer;

/// An order of an image's rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Where each row comes from.
    from: Vec<u32>,
    /// Where each row goes.
    to: Vec<u32>,
}

impl Order {
    /// From rows that lie as `now` names them to rows that lie as `then` does. Both name each row once.
    pub fn between(now: &[u32], then: &[u32]) -> Order {
        let mut at = vec![0; now.len()];
        now.iter().zip(0..).for_each(|(row, place)| at[*row as usize] = place);
        let from: Vec<u32> = then.iter().map(|row| at[*row as usize]).collect();
        let mut to = vec![0; from.len()];
        from.iter().zip(0..).for_each(|(source, place)| to[*source as usize] = place);
        Order { from, to }
    }

    /// Whether it leaves everything where it is.
    pub fn is_same(&self) -> bool {
        self.from.iter().zip(0..).all(|(source, place): (&u32, u32)| *source == place)
    }

    pub fn from(&self) -> &[u32] {
        &self.from
    }

    pub fn to(&self) -> &[u32] {
        &self.to
    }
}

/// The rows of `x (B, N, 1, D)` in that order. Gradients flow. Errors when the order is not one of N rows.
pub(crate) fn reorder(x: &Node, order: &Arc<Order>) -> Result<Node> {
    let _span = trace_span!("reorder").entered();
    let [_, rows, between, width] = x.shape;
    if rows != order.from.len() || between != 1 || rows * width == 0 {
        bail!("an order of {} rows does not fit {:?}", order.from.len(), x.shape)
    }
    let mut y = Buffer::any(x.values.len());
    fetch(&mut y, &x.values, &order.from, width);
    let (gradient, length) = (Arc::new(Gradient::default()), y.len());
    let (from, to, order) = (gradient.clone(), x.is_tracked().then(|| x.gradient.clone()), order.clone());
    let link = step_link(&x.link, move || {
        let dy = from.take(length);
        if let Some(to) = to {
            let mut dx = Buffer::any(length);
            fetch(&mut dx, &dy, &order.to, width);
            to.add(dx);
        }
        Ok(())
    })?;
    Ok(Node { shape: x.shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
}

/// Image by image the rows from where they are to be fetched.
fn fetch(to: &mut [f32], from: &[f32], places: &[u32], width: usize) {
    let image = places.len() * width;
    to.par_chunks_mut(image).zip(from.par_chunks(image)).for_each(|(to, from)| {
        to.chunks_exact_mut(width).zip(places).for_each(|(row, &place)| row.copy_from_slice(&from[place as usize * width..][..width]));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_leads_there_and_back() {
        let (now, then) = ([2, 0, 1, 3], [3, 2, 1, 0]);
        let (there, back) = (Order::between(&now, &then), Order::between(&then, &now));
        assert_eq!(there.from(), [3, 0, 2, 1]);
        assert_eq!((there.from(), there.to()), (back.to(), back.from()));
        assert!(!there.is_same() && Order::between(&now, &now).is_same());
        let mut rows = [0.0; 8];
        fetch(&mut rows, &[20.0, 21.0, 0.0, 1.0, 10.0, 11.0, 30.0, 31.0], there.from(), 2);
        assert_eq!(rows, [30.0, 31.0, 20.0, 21.0, 10.0, 11.0, 0.0, 1.0]);
    }
}
