//! Cross entropy with gradients (candle's fused softmax has none).

use candle_core::{DType, Device, Tensor};

use super::{Error, Result};

/// Mean cross entropy of `logits (B, classes)` against labels `(B)` (u32). `smoothing` spreads that share of each
/// target evenly over all classes (Szegedy et al. 2016), as PyTorch does.
///
/// Errors when a label is not below the number of classes or `smoothing` is not in `[0, 1)`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    soft_cross_entropy(logits, &targets(&labels.to_dtype(DType::U32)?.to_vec1::<u32>()?, logits.dim(1)?, smoothing)?)
}

/// Mean cross entropy of `logits (B, classes)` against target distributions `(B, classes)`.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if logits.rank() != 2 || logits.dims() != targets.dims() || logits.dims()[0] == 0 {
        return Err(Error::Invalid(format!("logits of shape {:?} do not fit targets of shape {:?}", logits.dims(), targets.dims())));
    }
    let targets = targets.to_device(logits.device())?;
    Ok((log_softmax(logits)? * targets)?.sum(1)?.mean(0)?.neg()?)
}

/// `log(softmax(x))` along the last dimension, with a gradient.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    // The largest logit cancels, so it is a constant to the gradient.
    let last = logits.rank().saturating_sub(1);
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(last)?)?;
    Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(last)?.log()?)?)
}

/// Probabilities along the last dimension.
pub fn softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(log_softmax(logits)?.exp()?)
}

/// One row per label: `1 - smoothing` on the label and `smoothing` spread over all classes.
pub fn targets(labels: &[u32], num_classes: usize, smoothing: f64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Error::Invalid(format!("label smoothing is a share from 0 up to but not 1, not {smoothing}")));
    }
    let mut rows = vec![(smoothing / num_classes as f64) as f32; labels.len() * num_classes];
    for (row, &label) in rows.chunks_exact_mut(num_classes.max(1)).zip(labels) {
        let Some(target) = row.get_mut(label as usize) else {
            return Err(Error::Invalid(format!("label {label} is not one of {num_classes} classes, which count from 0")));
        };
        *target += (1.0 - smoothing) as f32;
    }
    Ok(Tensor::from_vec(rows, (labels.len(), num_classes), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn loss_and_gradient_are_those_of_the_formula() {
        let logits = Var::new(&[[1f32, 2.0, 3.0], [1000.0, 0.0, -1000.0]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let loss = cross_entropy(&logits, &labels, 0.1).unwrap();
        // By hand: ln(e^1 + e^2 + e^3) = 3.407606; targets .0333, .0333, .9333.
        let first = 3.407_606 - (0.1 / 3.0 * (1.0 + 2.0) + (0.9 + 0.1 / 3.0) * 3.0);
        let second = 0.1 / 3.0 * (1000.0 + 2000.0);
        let expected = (first + second) / 2.0;
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-4 * expected);
        let gradient = loss.backward().unwrap().get(&logits).unwrap().to_vec2::<f32>().unwrap();
        let total: f32 = (1f32.exp()) + 2f32.exp() + 3f32.exp();
        let expected = (3f32.exp() / total - (0.9 + 0.1 / 3.0)) / 2.0;
        assert!((gradient[0][2] - expected).abs() < 1e-6, "{} {expected}", gradient[0][2]);
    }

    #[test]
    fn a_label_outside_the_classes_is_refused() {
        assert!(targets(&[3], 3, 0.0).is_err());
        assert!(targets(&[0], 3, 1.0).is_err());
    }
}
