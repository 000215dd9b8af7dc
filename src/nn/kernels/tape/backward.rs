//! Gradients to weights, handed past candle's graph: it would add each to zeros it makes first, which for the weights
//! of a large network costs as much as some of its layers.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};

thread_local! {
    /// What the backward pass that runs on this thread has found, if somebody collects it.
    static FOUND: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// `loss.backward()`, quicker where layers work between nodes. Errors as candle does.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    FOUND.set(Some(Vec::new()));
    let gradients = loss.backward();
    let found = FOUND.take().unwrap_or_default();
    let mut gradients = gradients?;
    for (weight, gradient) in found {
        let sum = match gradients.remove(&weight) {
            Some(other) => (other + gradient)?,
            None => gradient,
        };
        gradients.insert(&weight, sum);
    }
    Ok(gradients)
}

/// Keeps a weight's gradient for [`backward`]; gives it back for candle where nobody collects, or where the weight is
/// itself the result of something.
pub(super) fn keep(weight: &Tensor, gradient: Tensor) -> Option<Tensor> {
    if !weight.is_variable() {
        return Some(gradient);
    }
    FOUND.with_borrow_mut(|found| match found {
        None => Some(gradient),
        Some(found) => {
            found.push((weight.clone(), gradient));
            None
        }
    })
}
