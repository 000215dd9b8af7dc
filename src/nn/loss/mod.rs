//! Cross entropy with gradients (candle's fused softmax has none).

pub mod pixels;

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

/// Cross entropy of each output `(B, n)` with its target in `[0, 1]`, `(B, n)`, one by one and without overflow:
/// `max(x, 0) - x y + log(1 + exp(-|x|))`.
pub fn binary_cross_entropy(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if outputs.dims() != targets.dims() {
        return Err(Error::Invalid(format!("outputs of shape {:?} do not fit targets of shape {:?}", outputs.dims(), targets.dims())));
    }
    let targets = targets.to_device(outputs.device())?;
    let soft = (outputs.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok(((outputs.relu()? - (outputs * targets)?)? + soft)?)
}

/// Mean cross entropy of "higher than this class?" over the classes but the last, from logits `(B, classes)` whose order is
/// that of the classes, against labels: the probability of being above is the sum of those of the classes above.
pub fn cumulative(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    const LEAST: f64 = 1e-6;
    let (items, classes) = logits.dims2()?;
    if classes < 2 || labels.len() != items || labels.iter().any(|label| *label as usize >= classes) {
        return Err(Error::Invalid(format!("{} labels do not fit logits of shape {:?}", labels.len(), logits.dims())));
    }
    let above: Vec<f32> = (0..classes).flat_map(|class| (0..classes - 1).map(move |step| f32::from(u8::from(class > step)))).collect();
    let above = Tensor::from_vec(above, (classes, classes - 1), &Device::Cpu)?.to_device(logits.device())?;
    let wanted: Vec<f32> =
        labels.iter().flat_map(|label| (0..classes - 1).map(move |step| f32::from(u8::from(*label as usize > step)))).collect();
    let wanted = Tensor::from_vec(wanted, (items, classes - 1), &Device::Cpu)?.to_device(logits.device())?;
    let chance = (softmax(logits)?.matmul(&above)? * (1.0 - 2.0 * LEAST))?;
    let chance = (chance + LEAST)?;
    let (yes, no) = ((chance.log()? * &wanted)?, (chance.affine(-1.0, 1.0)?.log()? * wanted.affine(-1.0, 1.0)?)?);
    Ok((yes + no)?.mean_all()?.neg()?)
}

/// A loss that was worked out elsewhere with its gradient to `outputs`, number by number in their order: this value, through which that
/// gradient flows.
///
/// # Errors
/// There are others than outputs.
pub fn given(outputs: &Tensor, value: f64, gradient: Vec<f32>) -> Result<Tensor> {
    if gradient.len() != outputs.elem_count() {
        return Err(Error::Invalid(format!("a gradient of {} numbers does not fit outputs of shape {:?}", gradient.len(), outputs.dims())));
    }
    let gradient = Tensor::from_vec(gradient, outputs.shape(), &Device::Cpu)?.to_device(outputs.device())?;
    // Zeros, whose slope is one.
    let moved = (outputs - outputs.detach())?;
    Ok(((moved * gradient)?.sum_all()? + value)?)
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
    fn binary_cross_entropy_is_that_of_pytorch_and_does_not_overflow() {
        let outputs = Var::new(&[[0.5f32, -2.0, 1000.0, -1000.0]], &Device::Cpu).unwrap();
        let targets = Tensor::new(&[[1f32, 0.0, 1.0, 1.0]], &Device::Cpu).unwrap();
        let loss = binary_cross_entropy(&outputs, &targets).unwrap();
        let found = loss.to_vec2::<f32>().unwrap().remove(0);
        for (found, wanted) in found.iter().zip([0.474_077, 0.126_928, 0.0, 1000.0]) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
        let gradients = loss.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&outputs).unwrap().to_vec2::<f32>().unwrap().remove(0);
        for (found, wanted) in gradient.iter().zip([0.622_459 - 1.0, 0.119_203, 0.0, -1.0]) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }

    #[test]
    fn a_class_farther_off_costs_more_in_the_cumulative_loss() {
        let logits = Tensor::new(&[[4f32, 0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let loss = |label: u32| f64::from(cumulative(&logits, &[label]).unwrap().to_scalar::<f32>().unwrap());
        assert!(loss(0) < loss(1) && loss(1) < loss(2) && loss(2) < loss(3));
        // Two classes: the usual cross entropy.
        let two = Tensor::new(&[[0.3f32, 1.1]], &Device::Cpu).unwrap();
        let plain = cross_entropy(&two, &Tensor::new(&[1u32], &Device::Cpu).unwrap(), 0.0).unwrap().to_scalar::<f32>().unwrap();
        assert!((cumulative(&two, &[1]).unwrap().to_scalar::<f32>().unwrap() - plain).abs() < 1e-5);
        assert!(cumulative(&two, &[2]).is_err());
    }

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
