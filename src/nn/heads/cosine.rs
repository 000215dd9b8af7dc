//! How alike two items are: the cosine between their features. Nothing in it learns; what is under it does.

use candle_core::Tensor;

use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};

/// Keeps features of no length from being divided by it.
const LEAST: f64 = 1e-12;

/// Features `(2 B, num_features)`, two rows for each pair, to `(B, 1)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosine {
    pub width: usize,
    /// Whether learning is by all pairs of a step at once: then the first of each is held against the second of all, `(B, B)`.
    pub crosses: bool,
}

impl Cosine {
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        if !rows.is_multiple_of(2) {
            return Err(Error::Invalid(format!("{rows} rows of features are not two for each pair; ask about pairs")));
        }
        let pairs = x.reshape((rows / 2, 2, width))?;
        let unit = pairs.broadcast_div(&(pairs.sqr()?.sum_keepdim(2)? + LEAST)?.sqrt()?)?;
        let side = |at: usize| -> Result<Tensor> { Ok(unit.narrow(1, at, 1)?.squeeze(1)?.contiguous()?) };
        let (first, second) = (side(0)?, side(1)?);
        if self.crosses && mode == Mode::Train {
            return Ok(first.matmul(&second.t()?.contiguous()?)?);
        }
        Ok((first * second)?.sum_keepdim(1)?)
    }

    /// The same of two items' features, one by one.
    pub fn of(first: &[f32], second: &[f32]) -> f32 {
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let lengths = (product(first, first) + LEAST).sqrt() * (product(second, second) + LEAST).sqrt();
        (product(first, second) / lengths) as f32
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn pairs_are_held_against_each_other_and_in_training_against_all() {
        let rows = Tensor::new(&[[3f32, 0.0], [5.0, 0.0], [0.0, 2.0], [1.0, 1.0]], &Device::Cpu).unwrap();
        let head = Cosine { width: 2, crosses: true };
        let plain = head.forward(&rows, Mode::Eval).unwrap().to_vec2::<f32>().unwrap();
        let half = 0.5f32.sqrt();
        assert!((plain[0][0] - 1.0).abs() < 1e-6 && (plain[1][0] - half).abs() < 1e-6 && plain[0].len() == 1);
        let all = head.forward(&rows, Mode::Train).unwrap().to_vec2::<f32>().unwrap();
        for (found, wanted) in all.concat().iter().zip([1.0, half, 0.0, half]) {
            assert!((found - wanted).abs() < 1e-6, "{all:?}");
        }
        assert!((Cosine::of(&[0.0, 2.0], &[1.0, 1.0]) - half).abs() < 1e-6 && Cosine::of(&[0.0, 0.0], &[1.0, 1.0]) == 0.0);
        assert!(head.forward(&rows.narrow(0, 0, 3).unwrap(), Mode::Eval).is_err());
    }

    #[test]
    fn its_gradient_turns_features_towards_each_other() {
        let rows = Var::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let head = Cosine { width: 2, crosses: false };
        let gradients = head.forward(&rows, Mode::Train).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&rows).unwrap().to_vec2::<f32>().unwrap();
        for (found, wanted) in gradient.concat().iter().zip([0.0, 1.0, 1.0, 0.0]) {
            assert!((found - wanted).abs() < 1e-5, "{gradient:?}");
        }
    }
}
