//! Optimisers over groups of parameters: SGD with Nesterov momentum and AdamW, both as PyTorch defines them.
//!
//! They write into the parameters' own memory (a candle in-place op) in one pass, so a step allocates nothing however
//! large the network is. The work is elementwise, so the thread count cannot change a result. On another device than
//! the CPU the same steps are composed of candle's ops (`portable`).

mod average;
mod gradients;
mod portable;

use std::collections::HashMap;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var, bail};
use parking_lot::Mutex;
use rayon::prelude::*;
use tracing::trace_span;

pub use average::Average;
pub use gradients::Gradients;

use super::error::Result;
use crate::domain::recipe::{Optimizer as Kind, Recipe};

const EPSILON: f64 = 1e-8;
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

/// The numbers of a step that stay the same over a run.
#[derive(Debug, Clone, Copy)]
struct Rule {
    kind: Kind,
    momentum: f64,
    betas: [f64; 2],
    /// 0 for none.
    clip_norm: f64,
}

/// Steps all groups and keeps what it has to remember from step to step.
pub struct Optimizer {
    rule: Rule,
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
    /// As the recipe says; rates and decays are those of the groups.
    pub fn new(recipe: &Recipe, groups: Vec<Group>) -> Result<Optimizer> {
        let rule = Rule { kind: recipe.optimizer, momentum: recipe.momentum, betas: recipe.betas, clip_norm: recipe.clip_norm };
        let slots = slots(rule.kind).len();
        let mut memory = HashMap::new();
        for (name, var) in groups.iter().flat_map(|group| &group.parameters) {
            memory.insert(name.clone(), Memory::zeros(var, slots)?);
        }
        Ok(Optimizer { rule, groups, memory, steps: 0 })
    }

    pub fn parameters(&self) -> impl Iterator<Item = &(String, Var)> {
        self.groups.iter().flat_map(|group| &group.parameters)
    }

    /// One step down the gradients, shortened where the recipe clips them; `factor` scales every group's rate.
    pub fn step(&mut self, gradients: &Gradients, factor: f64) -> Result<()> {
        let _span = trace_span!("optimiser").entered();
        let clip = gradients.clip(self.rule.clip_norm)?;
        self.steps += 1;
        for group in &self.groups {
            for (name, var) in &group.parameters {
                // Both are there: gathering checked the one, and `new` made memory for every parameter.
                let (Some(gradient), Some(memory)) = (gradients.get(name), self.memory.get_mut(name)) else { continue };
                let gradient = if clip < 1.0 { (gradient * clip)? } else { gradient.contiguous()? };
                let rate = group.rate * factor;
                match (self.rule.kind, memory) {
                    (Kind::Sgd, Memory::Tensors(memory)) => portable::sgd(var, &gradient, memory, rate, group.decay, &self.rule)?,
                    (Kind::Adamw, Memory::Tensors(memory)) => {
                        portable::adamw(var, &gradient, memory, rate, group.decay, (&self.rule, self.steps))?;
                    }
                    (Kind::Sgd, Memory::Floats(memory)) => sgd(var, &gradient, memory, rate, group.decay, &self.rule)?,
                    (Kind::Adamw, Memory::Floats(memory)) => adamw(var, &gradient, memory, rate, group.decay, (&self.rule, self.steps))?,
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
            state.extend(slots(self.rule.kind).iter().zip(tensors).map(|(slot, tensor)| (format!("{slot}.{name}"), tensor)));
        }
        state.sort_by(|a, b| a.0.cmp(&b.0));
        Ok((state, self.steps))
    }

    /// Takes back what [`Self::state`] gave. Answers the name of a tensor that is missing or misshaped.
    pub fn restore(&mut self, mut take: impl FnMut(&str) -> Option<Tensor>, steps: u64) -> std::result::Result<(), String> {
        for (name, var) in self.groups.iter().flat_map(|group| &group.parameters) {
            let Some(memory) = self.memory.get_mut(name) else { continue };
            for (index, slot) in slots(self.rule.kind).iter().enumerate() {
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

/// `g += decay p; b = m b + g; p -= rate (g + m b)`.
fn sgd(parameter: &Var, gradient: &Tensor, memory: &mut [Vec<f32>], rate: f64, decay: f64, rule: &Rule) -> candle_core::Result<()> {
    let (rate, decay, momentum) = (rate as f32, decay as f32, rule.momentum as f32);
    let update = |p: &mut f32, g: f32, [b]: [&mut f32; 1]| {
        let gradient = g + decay * *p;
        *b = momentum * *b + gradient;
        *p -= rate * (gradient + momentum * *b);
    };
    parameter.inplace_op2(gradient, &Update::new(memory, update)?)
}

/// Decoupled decay (Loshchilov and Hutter 2019): `p -= rate (decay p + m^ / (sqrt(v^) + eps))`.
fn adamw(
    parameter: &Var,
    gradient: &Tensor,
    memory: &mut [Vec<f32>],
    rate: f64,
    decay: f64,
    (rule, step): (&Rule, u64),
) -> candle_core::Result<()> {
    let [beta1, beta2] = rule.betas;
    let (b1, b2) = (beta1 as f32, beta2 as f32);
    let step = step.min(i32::MAX as u64) as i32;
    let stride = (rate / (1.0 - beta1.powi(step))) as f32;
    let scale = (1.0 / (1.0 - beta2.powi(step)).sqrt()) as f32;
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
#[path = "tests.rs"]
mod tests;
