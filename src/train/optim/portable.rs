//! The optimisers' steps composed of candle's own ops: the road of every device that is not the CPU.

use candle_core::{Result, Tensor, Var};

use super::{EPSILON, Rule};

/// See [`super`]; `memory` is the momentum.
pub(super) fn sgd(parameter: &Var, gradient: &Tensor, memory: &mut [Tensor], rate: f64, decay: f64, rule: &Rule) -> Result<()> {
    let [momentum] = memory else { candle_core::bail!("SGD remembers one tensor, not {}", memory.len()) };
    let value = parameter.as_tensor().detach();
    let gradient = if decay == 0.0 { gradient.detach() } else { (gradient.detach() + (&value * decay)?)? };
    *momentum = ((&*momentum * rule.momentum)? + &gradient)?;
    let step = (gradient + (&*momentum * rule.momentum)?)?;
    parameter.set(&(value - (step * rate)?)?)
}

/// See [`super`]; `memory` is the first and the second moment.
pub(super) fn adamw(
    parameter: &Var,
    gradient: &Tensor,
    memory: &mut [Tensor],
    rate: f64,
    decay: f64,
    (rule, step): (&Rule, u64),
) -> Result<()> {
    let [beta1, beta2] = rule.betas;
    let [first, second] = memory else { candle_core::bail!("AdamW remembers two tensors, not {}", memory.len()) };
    let (value, gradient) = (parameter.as_tensor().detach(), gradient.detach());
    *first = ((&*first * beta1)? + (&gradient * (1.0 - beta1))?)?;
    *second = ((&*second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
    let step = step.min(i32::MAX as u64) as i32;
    let stride = rate / (1.0 - beta1.powi(step));
    let scale = 1.0 / (1.0 - beta2.powi(step)).sqrt();
    let root = ((second.sqrt()? * scale)? + EPSILON)?;
    parameter.set(&((value * (1.0 - rate * decay))? - (first.div(&root)? * stride)?)?)
}
