//! Optimisers over groups of parameters: SGD with Nesterov momentum and AdamW, both as PyTorch defines them.
//!
//! They write into the parameters' own memory (a candle in-place op) in one pass, so a step allocates nothing however
//! large the network is. The work is elementwise, so the thread count cannot change a result. On another device than
//! the CPU the same steps are composed of candle's ops (`portable`).

mod portable;

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var, bail};
use parking_lot::Mutex;
use rayon::prelude::*;
use tracing::trace_span;

use super::error::{Error, Result};
use crate::domain::recipe::Optimizer as Kind;

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
    /// Two groups at one rate: what decays, told by name and number of axes, and what does not.
    pub fn split(rate: f64, decay: f64, parameters: Vec<(String, Var)>, decays: impl Fn(&str, usize) -> bool) -> [Group; 2] {
        let (decaying, others) = parameters.into_iter().partition(|(name, var)| decays(name, var.rank()));
        [Group { rate, decay, parameters: decaying }, Group { rate, decay: 0.0, parameters: others }]
    }
}

/// Steps all groups and keeps what it has to remember from step to step.
pub struct Optimizer {
    kind: Kind,
    groups: Vec<Group>,
    /// By parameter name.
    memory: HashMap<String, Memory>,
    steps: u64,
}

/// Momentum (SGD), or first and second moment (AdamW) of a parameter.
enum Memory {
    Floats(Vec<Vec<f32>>),
    /// On another device than the CPU.
    Tensors(Vec<Tensor>),
}

impl Memory {
    fn zeros(var: &Var, slots: usize) -> candle_core::Result<Memory> {
        Ok(match var.device().is_cpu() {
            true => Memory::Floats(vec![vec![0.0; var.elem_count()]; slots]),
            false => Memory::Tensors((0..slots).map(|_| var.zeros_like()).collect::<candle_core::Result<_>>()?),
        })
    }

    fn tensors(&self, var: &Var) -> candle_core::Result<Vec<Tensor>> {
        match self {
            Memory::Tensors(tensors) => Ok(tensors.clone()),
            Memory::Floats(slots) => slots.iter().map(|floats| Tensor::from_slice(floats, var.shape(), var.device())).collect(),
        }
    }

    fn restore(&mut self, slot: usize, saved: Tensor) -> candle_core::Result<()> {
        match self {
            Memory::Tensors(tensors) => tensors[slot] = saved,
            Memory::Floats(slots) => slots[slot] = saved.flatten_all()?.to_vec1()?,
        }
        Ok(())
    }
}

impl Optimizer {
    pub fn new(kind: Kind, groups: Vec<Group>) -> Result<Optimizer> {
        let slots = slots(kind).len();
        let mut memory = HashMap::new();
        for (name, var) in groups.iter().flat_map(|group| &group.parameters) {
            memory.insert(name.clone(), Memory::zeros(var, slots)?);
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
        let _span = trace_span!("optimiser").entered();
        self.steps += 1;
        for group in &self.groups {
            for (name, var) in &group.parameters {
                // Both are there: checked above, and `new` made memory for every parameter.
                let (Some(gradient), Some(memory)) = (gradients.get(var), self.memory.get_mut(name)) else { continue };
                let gradient = gradient.contiguous()?;
                let rate = group.rate * factor;
                match (self.kind, memory) {
                    (Kind::Sgd, Memory::Tensors(memory)) => portable::sgd(var, &gradient, memory, rate, group.decay)?,
                    (Kind::Adamw, Memory::Tensors(memory)) => portable::adamw(var, &gradient, memory, rate, group.decay, self.steps)?,
                    (Kind::Sgd, Memory::Floats(memory)) => sgd(var, &gradient, memory, rate, group.decay)?,
                    (Kind::Adamw, Memory::Floats(memory)) => adamw(var, &gradient, memory, rate, group.decay, self.steps)?,
                }
            }
        }
        Ok(())
    }

    /// What a checkpoint must hold so that the next step is the one that would have come: tensors by
    /// `slot.parameter`, and the number of steps done.
    pub fn state(&self) -> Result<(Vec<(String, Tensor)>, u64)> {
        let mut state = Vec::new();
        for (name, var) in self.parameters() {
            let Some(memory) = self.memory.get(name) else { continue };
            let tensors = memory.tensors(var)?;
            state.extend(slots(self.kind).iter().zip(tensors).map(|(slot, tensor)| (format!("{slot}.{name}"), tensor)));
        }
        state.sort_by(|a, b| a.0.cmp(&b.0));
        Ok((state, self.steps))
    }

    /// Takes back what [`Self::state`] gave. Answers the name of a tensor that is missing or misshaped.
    pub fn restore(&mut self, mut take: impl FnMut(&str) -> Option<Tensor>, steps: u64) -> std::result::Result<(), String> {
        for (name, var) in self.groups.iter().flat_map(|group| &group.parameters) {
            let Some(memory) = self.memory.get_mut(name) else { continue };
            for (index, slot) in slots(self.kind).iter().enumerate() {
                let key = format!("{slot}.{name}");
                let saved = take(&key).filter(|saved| saved.shape() == var.shape());
                saved.and_then(|saved| memory.restore(index, saved).ok()).ok_or(key)?;
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
fn sgd(parameter: &Var, gradient: &Tensor, memory: &mut [Vec<f32>], rate: f64, decay: f64) -> candle_core::Result<()> {
    let (rate, decay) = (rate as f32, decay as f32);
    let update = |p: &mut f32, g: f32, [b]: [&mut f32; 1]| {
        let gradient = g + decay * *p;
        *b = MOMENTUM * *b + gradient;
        *p -= rate * (gradient + MOMENTUM * *b);
    };
    parameter.inplace_op2(gradient, &Update::new(memory, update)?)
}

/// Decoupled decay (Loshchilov and Hutter 2019): `p -= rate (decay p + m^ / (sqrt(v^) + eps))`.
fn adamw(parameter: &Var, gradient: &Tensor, memory: &mut [Vec<f32>], rate: f64, decay: f64, step: u64) -> candle_core::Result<()> {
    let (b1, b2) = (BETA1 as f32, BETA2 as f32);
    let step = step.min(i32::MAX as u64) as i32;
    let stride = (rate / (1.0 - BETA1.powi(step))) as f32;
    let scale = (1.0 / (1.0 - BETA2.powi(step)).sqrt()) as f32;
    let (keep, epsilon) = ((1.0 - rate * decay) as f32, EPSILON as f32);
    let update = move |p: &mut f32, g: f32, [m, v]: [&mut f32; 2]| {
        *m = b1 * *m + (1.0 - b1) * g;
        *v = b2 * *v + (1.0 - b2) * g * g;
        *p = keep * *p - stride * *m / (v.sqrt() * scale + epsilon);
    };
    parameter.inplace_op2(gradient, &Update::new(memory, update)?)
}

/// An elementwise update of a parameter from its gradient and what is remembered of it, in one pass.
struct Update<'a, const N: usize, F> {
    memory: Mutex<[&'a mut [f32]; N]>,
    update: F,
}

impl<'a, const N: usize, F: Fn(&mut f32, f32, [&mut f32; N]) + Sync> Update<'a, N, F> {
    fn new(memory: &'a mut [Vec<f32>], update: F) -> candle_core::Result<Update<'a, N, F>> {
        let slots: Vec<&mut [f32]> = memory.iter_mut().map(Vec::as_mut_slice).collect();
        match slots.try_into() {
            Ok(slots) => Ok(Update { memory: Mutex::new(slots), update }),
            Err(slots) => bail!("an optimiser that remembers {N} values for each parameter found {}", slots.len()),
        }
    }
}

impl<const N: usize, F: Fn(&mut f32, f32, [&mut f32; N]) + Sync> InplaceOp2 for Update<'_, N, F> {
    fn name(&self) -> &'static str {
        "optimizer-update"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> candle_core::Result<()> {
        let (target, gradient) = (writable(s1, l1)?, readable(s2, l2)?);
        let mut memory = self.memory.lock();
        if gradient.len() != target.len() || memory.iter().any(|slot| slot.len() != target.len()) {
            bail!("a gradient of {} values, or what is remembered, does not fit a parameter of {}", gradient.len(), target.len())
        }
        let mut slots = memory.each_mut().map(|slot| slot.chunks_mut(CHUNK));
        let parts = target.chunks_mut(CHUNK).zip(gradient.chunks(CHUNK));
        let parts: Vec<_> = parts.map(|(target, gradient)| (target, gradient, slots.each_mut().map(|slot| slot.next()))).collect();
        parts.into_par_iter().for_each(|(target, gradient, slots)| {
            // All of one length, as checked above.
            let length = target.len();
            let mut slots = slots.map(|slot| &mut slot.unwrap_or_default()[..length]);
            for (index, (target, gradient)) in target.iter_mut().zip(gradient).enumerate() {
                (self.update)(target, *gradient, slots.each_mut().map(|slot| &mut slot[index]));
            }
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

    /// By our own kernels, or by candle's ops as on other devices.
    fn two_steps(kind: Kind, composed: bool) -> Vec<f32> {
        let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
        let group = Group { rate: 0.1, decay: 0.01, parameters: vec![("p".into(), var.clone())] };
        let mut optimizer = Optimizer::new(kind, vec![group]).unwrap();
        for memory in optimizer.memory.values_mut().filter(|_| composed) {
            *memory = Memory::Tensors(memory.tensors(&var).unwrap());
        }
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
        close(&two_steps(Kind::Sgd, false), &[0.976_587_06, -2.122_323_5]);
        close(&two_steps(Kind::Sgd, true), &[0.976_587_06, -2.122_323_5]);
    }

    #[test]
    fn adamw_steps_as_pytorch_does() {
        close(&two_steps(Kind::Adamw, false), &[0.916_855_7, -2.142_840_1]);
        close(&two_steps(Kind::Adamw, true), &[0.916_855_7, -2.142_840_1]);
    }

    #[test]
    fn a_parameter_without_gradient_is_named_and_nothing_moves() {
        let used = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
        let unused = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
        let parameters = vec![("used".to_owned(), used.clone()), ("layer4.1.bn2.weight".to_owned(), unused)];
        let mut optimizer = Optimizer::new(Kind::Sgd, Group::split(0.1, 0.0, parameters, |_, _| true).into()).unwrap();
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
        let known = crate::nn::architectures::get("vit_tiny_patch16_224").unwrap();
        let [with, without] = Group::split(0.1, 0.5, parameters, |name, rank| known.decays(name, rank));
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
            let (saved, steps) = first.state().unwrap();
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
