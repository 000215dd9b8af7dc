//! A moving average of weights (Polyak and Juditsky 1992; its form as in TensorFlow's `ExponentialMovingAverage`).

use candle_core::{Tensor, Var};

use super::Update;
use crate::train::error::Result;

/// `a += (1 - d) (w - a)` after each step, with `d = min(decay, (1 + n) / (10 + n))` at the n-th: the first steps, far from where
/// the run will end, are forgotten sooner.
pub struct Average {
    decay: f64,
    steps: u64,
    averaged: Vec<(String, Var)>,
}

impl Average {
    /// Of these tensors, from what they are now.
    pub fn new(decay: f64, of: &[(String, Var)]) -> Result<Average> {
        let copy = |(name, var): &(String, Var)| Ok((name.clone(), Var::from_tensor(&var.as_tensor().detach().copy()?)?));
        Ok(Average { decay, steps: 0, averaged: of.iter().map(copy).collect::<Result<_>>()? })
    }

    /// Takes in what the tensors, in the order they were given in, are after a step.
    pub fn follow(&mut self, of: &[(String, Var)]) -> Result<()> {
        self.steps += 1;
        let n = self.steps as f64;
        let share = 1.0 - self.decay.min((1.0 + n) / (10.0 + n));
        for ((_, average), (_, now)) in self.averaged.iter().zip(of) {
            let now = now.as_tensor().detach();
            if !now.device().is_cpu() {
                let old = average.as_tensor().detach();
                average.set(&(&old + ((now - &old)? * share)?)?)?;
                continue;
            }
            let share = share as f32;
            average.inplace_op2(&now.contiguous()?, &Update::new(&mut [], |a: &mut f32, w, []: [&mut f32; 0]| *a += share * (w - *a))?)?;
        }
        Ok(())
    }

    /// The averages by name.
    pub fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        self.averaged.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?))).collect()
    }

    /// Takes back what [`Self::tensors`] gave after so many steps. Answers the name of a tensor that is missing or misshaped.
    pub fn restore(&mut self, mut take: impl FnMut(&str) -> Option<Tensor>, steps: u64) -> std::result::Result<(), String> {
        for (name, var) in &self.averaged {
            take(name).and_then(|tensor| var.set(&tensor).ok()).ok_or_else(|| name.clone())?;
        }
        self.steps = steps;
        Ok(())
    }
}
