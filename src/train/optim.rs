//! Optimisers over groups of parameters: SGD with Nesterov momentum and AdamW, both as PyTorch defines them.
//!
//! They write into the parameters' own memory (candle's in-place ops), so a step allocates nothing however
//! large the network is. The work is elementwise, so the thread count cannot change a result. On another device than
//! the CPU the same steps are composed of candle's ops (`optim_portable`).

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Tensor, Var, bail};
use rayon::prelude::*;

use super::error::{Error, Result};
use super::optim_portable;
use crate::domain::recipe::Optimizer as Kind;
use crate::nn::kernels::portable;
use crate::nn::weights::decays;

pub(super) const MOMENTUM: f32 = 0.9;
pub(super) const BETA1: f64 = 0.9;
pub(super) const BETA2: f64 = 0.999;
pub(super) const EPSILON: f64 = 1e-8;
/// Elements one thread takes at a time; shorter parameters stay on one thread.
const CHUNK: usize = 1 << 16;

/// Parameters that share a learning rate and a weight decay.
pub struct Group {
    /// Learning rate before the schedule's factor.
    pub rate: f64,
    pub decay: f64,
    pub parameters: Vec<(String, Var)>,
}

impl Group {
    /// Two groups at one rate: what decays, and what does not (see [`decays`]).
    pub fn split(rate: f64, decay: f64, parameters: Vec<(String, Var)>) -> [Group; 2] {
        let (decaying, others) = parameters.into_iter().partition(|(name, var)| decays(name, var.rank()));
        [Group { rate, decay, parameters: decaying }, Group { rate, decay: 0.0, parameters: others }]
    }
}

/// Steps all groups and keeps what it has to remember from step to step.
pub struct Optimizer {
    kind: Kind,
    groups: Vec<Group>,
    /// By parameter name: momentum (SGD), or first and second moment (AdamW).
    memory: HashMap<String, Vec<Tensor>>,
    steps: u64,
}

impl Optimizer {
    pub fn new(kind: Kind, groups: Vec<Group>) -> Result<Optimizer> {
        let slots = slots(kind).len();
        let mut memory = HashMap::new();
        for (name, var) in groups.iter().flat_map(|group| &group.parameters) {
            let zeros = (0..slots).map(|_| var.zeros_like()).collect::<candle_core::Result<Vec<_>>>()?;
            memory.insert(name.clone(), zeros);
        }
        Ok(Optimizer { kind, groups, memory, steps: 0 })
    }

    pub fn parameters(&self) -> impl Iterator<Item = &(String, Var)> {
        self.groups.iter().flat_map(|group| &group.parameters)
    }

    /// One step down the gradients; `factor` scales every group's rate.
    ///
    /// # Errors
    /// [`Error::NoGradient`] names a parameter the loss does not depend on; nothing has moved then.
    pub fn step(&mut self, gradients: &GradStore, factor: f64) -> Result<()> {
        if let Some((name, _)) = self.parameters().find(|(_, var)| gradients.get(var).is_none()) {
            return Err(Error::NoGradient { name: name.clone() });
        }
        self.steps += 1;
        for group in &self.groups {
            for (name, var) in &group.parameters {
                // Both are there: checked above, and `new` made memory for every parameter.
                let (Some(gradient), Some(memory)) = (gradients.get(var), self.memory.get_mut(name)) else { continue };
                let gradient = gradient.contiguous()?;
                let composed = portable::is_for(var);
                match self.kind {
                    Kind::Sgd if composed => optim_portable::sgd(var, &gradient, memory, group.rate * factor, group.decay)?,
                    Kind::Adamw if composed => optim_portable::adamw(var, &gradient, memory, group.rate * factor, group.decay, self.steps)?,
                    Kind::Sgd => sgd(var, &gradient, &memory[0], group.rate * factor, group.decay)?,
                    Kind::Adamw => adamw(var, &gradient, memory, group.rate * factor, group.decay, self.steps)?,
                }
            }
        }
        Ok(())
    }

    /// What a checkpoint must hold so that the next step is the one that would have come: tensors by
    /// `slot.parameter`, and the number of steps done.
    pub fn state(&self) -> (Vec<(String, Tensor)>, u64) {
        let named = |(name, memory): (&String, &Vec<Tensor>)| -> Vec<(String, Tensor)> {
            slots(self.kind).iter().zip(memory).map(|(slot, tensor)| (format!("{slot}.{name}"), tensor.clone())).collect()
        };
        let mut state: Vec<_> = self.memory.iter().flat_map(named).collect();
        state.sort_by(|a, b| a.0.cmp(&b.0));
        (state, self.steps)
    }

    /// Takes back what [`Self::state`] gave. Answers the name of a tensor that is missing or misshaped.
    pub fn restore(&mut self, mut take: impl FnMut(&str) -> Option<Tensor>, steps: u64) -> std::result::Result<(), String> {
        for (name, memory) in &mut self.memory {
            for (slot, tensor) in slots(self.kind).iter().zip(memory.iter_mut()) {
                let key = format!("{slot}.{name}");
                match take(&key) {
                    Some(saved) if saved.shape() == tensor.shape() => *tensor = saved,
                    _ => return Err(key),
                }
            }
        }
        self.steps = steps;
        Ok(())
    }
}

fn slots(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sgd => &["momentum"],
        Kind::Adamw => &["first", "second"],
    }
}

/// `g += decay p; b = 0.9 b + g; p -= rate (g + 0.9 b)`.
fn sgd(parameter: &Var, gradient: &Tensor, momentum: &Tensor, rate: f64, decay: f64) -> candle_core::Result<()> {
    let decay = decay as f32;
    momentum.inplace_op3(gradient, parameter, &Blend(|b: &mut f32, g: f32, p: f32| *b = MOMENTUM * *b + (g + decay * p)))?;
    let rate = rate as f32;
    parameter.inplace_op3(gradient, momentum, &Blend(|p: &mut f32, g: f32, b: f32| *p -= rate * (g + decay * *p + MOMENTUM * b)))
}

/// Decoupled decay (Loshchilov and Hutter 2019): `p -= rate (decay p + m^ / (sqrt(v^) + eps))`.
fn adamw(parameter: &Var, gradient: &Tensor, memory: &[Tensor], rate: f64, decay: f64, step: u64) -> candle_core::Result<()> {
    let (b1, b2) = (BETA1 as f32, BETA2 as f32);
    memory[0].inplace_op2(gradient, &Mix(|m: &mut f32, g: f32| *m = b1 * *m + (1.0 - b1) * g))?;
    memory[1].inplace_op2(gradient, &Mix(|v: &mut f32, g: f32| *v = b2 * *v + (1.0 - b2) * g * g))?;
    let step = step.min(i32::MAX as u64) as i32;
    let stride = (rate / (1.0 - BETA1.powi(step))) as f32;
    let scale = (1.0 / (1.0 - BETA2.powi(step)).sqrt()) as f32;
    let (keep, epsilon) = ((1.0 - rate * decay) as f32, EPSILON as f32);
    let update = move |p: &mut f32, m: f32, v: f32| *p = keep * *p - stride * m / (v.sqrt() * scale + epsilon);
    parameter.inplace_op3(&memory[0], &memory[1], &Blend(update))
}

/// An elementwise update from one other tensor.
struct Mix<F>(F);
/// An elementwise update from two other tensors.
struct Blend<F>(F);

impl<F: Fn(&mut f32, f32) + Sync> InplaceOp2 for Mix<F> {
    fn name(&self) -> &'static str {
        "optimizer-mix"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> candle_core::Result<()> {
        let (target, other) = (writable(s1, l1)?, readable(s2, l2)?);
        target.par_chunks_mut(CHUNK).zip(other.par_chunks(CHUNK)).for_each(|(target, other)| {
            target.iter_mut().zip(other).for_each(|(t, o)| (self.0)(t, *o));
        });
        Ok(())
    }
}

impl<F: Fn(&mut f32, f32, f32) + Sync> InplaceOp3 for Blend<F> {
    fn name(&self) -> &'static str {
        "optimizer-blend"
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> candle_core::Result<()> {
        let (target, second, third) = (writable(s1, l1)?, readable(s2, l2)?, readable(s3, l3)?);
        target.par_chunks_mut(CHUNK).zip(second.par_chunks(CHUNK)).zip(third.par_chunks(CHUNK)).for_each(|((target, second), third)| {
            target.iter_mut().zip(second).zip(third).for_each(|((t, s), o)| (self.0)(t, *s, *o));
        });
        Ok(())
    }
}

fn writable<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("an optimiser works on contiguous f32 parameters"),
    }
}

fn readable<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("an optimiser works on contiguous f32 gradients"),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Loss sum(c * p), so that the gradient of p is c.
    fn gradients(vars: &[(&Var, [f32; 2])]) -> GradStore {
        let terms = vars.iter().map(|(var, c)| (var.as_tensor() * Tensor::new(c, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap());
        terms.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap()
    }

    fn two_steps(kind: Kind) -> Vec<f32> {
        let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
        let group = Group { rate: 0.1, decay: 0.01, parameters: vec![("p".into(), var.clone())] };
        let mut optimizer = Optimizer::new(kind, vec![group]).unwrap();
        optimizer.step(&gradients(&[(&var, [0.5, 0.25])]), 1.0).unwrap();
        optimizer.step(&gradients(&[(&var, [-1.0, 0.75])]), 0.5).unwrap();
        var.to_vec1().unwrap()
    }

    fn close(found: &[f32], wanted: &[f32]) {
        assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 2e-6), "{found:?} is not {wanted:?}");
    }

    // The numbers come from torch.optim with the same two steps (second at half the rate).
    #[test]
    fn sgd_steps_as_pytorch_does() {
        close(&two_steps(Kind::Sgd), &[0.976_587_06, -2.122_323_5]);
        close(&portable::forced(|| two_steps(Kind::Sgd)), &[0.976_587_06, -2.122_323_5]);
    }

    #[test]
    fn adamw_steps_as_pytorch_does() {
        close(&two_steps(Kind::Adamw), &[0.916_855_7, -2.142_840_1]);
        close(&portable::forced(|| two_steps(Kind::Adamw)), &[0.916_855_7, -2.142_840_1]);
    }

    #[test]
    fn a_parameter_without_gradient_is_named_and_nothing_moves() {
        let used = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
        let unused = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
        let parameters = vec![("used".to_owned(), used.clone()), ("layer4.1.bn2.weight".to_owned(), unused)];
        let mut optimizer = Optimizer::new(Kind::Sgd, Group::split(0.1, 0.0, parameters).into()).unwrap();
        match optimizer.step(&gradients(&[(&used, [1.0, 1.0])]), 1.0) {
            Err(Error::NoGradient { name }) => assert_eq!(name, "layer4.1.bn2.weight"),
            other => panic!("{other:?}"),
        }
        assert_eq!(used.to_vec1::<f32>().unwrap(), [1.0, 1.0]);
    }

    #[test]
    fn vectors_and_embeddings_do_not_decay() {
        let matrix = Var::zeros((2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let vector = Var::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let position = Var::zeros((1, 4, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let parameters = vec![("m".into(), matrix), ("v".into(), vector), ("pos_embed".into(), position)];
        let [with, without] = Group::split(0.1, 0.5, parameters);
        let names = |group: &Group| group.parameters.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((with.decay, names(&with)), (0.5, vec!["m".to_owned()]));
        assert_eq!((without.decay, names(&without)), (0.0, vec!["v".to_owned(), "pos_embed".to_owned()]));
    }

    #[test]
    fn a_restored_optimiser_takes_the_step_that_would_have_come() {
        for kind in [Kind::Sgd, Kind::Adamw] {
            let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
            let group = |var: &Var| vec![Group { rate: 0.1, decay: 0.01, parameters: vec![("p".into(), var.clone())] }];
            let mut first = Optimizer::new(kind, group(&var)).unwrap();
            first.step(&gradients(&[(&var, [0.5, 0.25])]), 1.0).unwrap();
            let (saved, steps) = first.state();
            let saved: HashMap<String, Tensor> = saved.into_iter().map(|(name, t)| (name, t.copy().unwrap())).collect();
            let twin = Var::from_tensor(&var.as_tensor().copy().unwrap()).unwrap();
            let mut second = Optimizer::new(kind, group(&twin)).unwrap();
            second.restore(|name| saved.get(name).cloned(), steps).unwrap();
            first.step(&gradients(&[(&var, [-1.0, 0.75])]), 0.5).unwrap();
            second.step(&gradients(&[(&twin, [-1.0, 0.75])]), 0.5).unwrap();
            assert_eq!(var.to_vec1::<f32>().unwrap(), twin.to_vec1::<f32>().unwrap());
            assert!(second.restore(|_| None, 0).is_err());
        }
    }
}
