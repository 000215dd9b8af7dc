//! Gradients by the name of their parameter: of one batch, or the mean over the items of several.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Storage, Tensor};
use rayon::prelude::*;

use super::{CHUNK, Optimizer};
use crate::train::error::{Error, Result};

/// What is added to a norm before it divides, as PyTorch does.
const NORM_EPSILON: f64 = 1e-6;

/// Gradients of a mean over so many items.
pub struct Gradients {
    by_name: HashMap<String, Tensor>,
    items: usize,
}

impl Gradients {
    /// Those of a loss that is a mean over `items`.
    ///
    /// # Errors
    /// [`Error::NoGradient`] names a parameter that the loss does not depend on.
    pub fn gather(optimizer: &Optimizer, store: &GradStore, items: usize) -> Result<Gradients> {
        let gradient = |(name, var): &(String, candle_core::Var)| match store.get(var) {
            Some(gradient) => Ok((name.clone(), gradient.clone())),
            None => Err(Error::NoGradient { name: name.clone() }),
        };
        Ok(Gradients { by_name: optimizer.parameters().map(gradient).collect::<Result<_>>()?, items })
    }

    /// Becomes the gradients of the mean over the items of both.
    pub fn add(&mut self, other: &Gradients) -> Result<()> {
        let items = self.items + other.items;
        let [own, others] = [self.items, other.items].map(|count| count as f64 / items.max(1) as f64);
        for (name, sum) in &mut self.by_name {
            if let Some(gradient) = other.get(name) {
                *sum = ((&*sum * own)? + (gradient * others)?)?;
            }
        }
        self.items = items;
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name)
    }

    /// The length of all of them as one vector. The order of the sum does not depend on threads.
    pub fn norm(&self) -> Result<f64> {
        let mut names: Vec<&String> = self.by_name.keys().collect();
        names.sort();
        let mut sum = 0.0;
        for name in names {
            sum += sum_of_squares(&self.by_name[name])?;
        }
        Ok(sum.sqrt())
    }

    /// What to multiply by so that the norm is `longest` at most; 1 where it is, and where `longest` is 0.
    pub fn clip(&self, longest: f64) -> Result<f64> {
        if longest == 0.0 {
            return Ok(1.0);
        }
        Ok((longest / (self.norm()? + NORM_EPSILON)).min(1.0))
    }
}

fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
            let square = |value: &f32| f64::from(*value) * f64::from(*value);
            let parts: Vec<f64> = values[start..end].par_chunks(CHUNK).map(|chunk| chunk.iter().map(square).sum()).collect();
            return Ok(parts.iter().sum());
        }
    }
    Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?))
}
