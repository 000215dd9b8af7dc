//! The stages of a [plan](crate::nn::architectures::plan), holding the tensors they run with. Whoever runs them, learning,
//! answering or counting, sends his values through a stage in the same way.

use super::layer::Layer;
use super::normaliser::Normaliser;
use crate::nn::architectures::plan::{Block, Part, Plan, Shortcut, StagePlan, Sum, Unit};
use crate::nn::error::Result;
use crate::nn::kernels::{Activation, Average, Window};
use crate::nn::weights::Weights;

pub(super) struct RunningStage {
    parts: Vec<RunningPart>,
    /// Frames of the clips whose channels are shifted along time; 0 where they are not.
    shift: usize,
}

enum RunningPart {
    Block(RunningBlock),
    Norm(Normaliser),
    MaxPool(Window),
    AveragePool(Average),
    Branches(Vec<Vec<RunningPart>>),
}

struct RunningBlock {
    layers: Vec<Layer>,
    shortcut: RunningShortcut,
    sum: Sum,
}

enum RunningShortcut {
    None,
    Identity,
    Projection(Option<Average>, Box<Layer>),
}

/// What a stage does with a value, one after the other; `'s` is the stage's life, `'v` the values'. Where it matters how many frames the
/// clips of a value have, their number comes along: of images 1.
pub(super) enum Step<'s, 'v, T> {
    /// Sends it through a layer, with what is added before that layer's activation.
    Layer(&'s Layer, usize, &'v T, Option<&'v T>),
    Norm(&'s Normaliser, &'v T),
    MaxPool(Window, usize, &'v T),
    AveragePool(Average, usize, &'v T),
    /// Adds the shortcut to what the block has made, then the activation.
    Sum(T, &'v T, Activation),
    /// Moves channels along clips of so many frames.
    Shift(usize, &'v T),
    /// Puts the channels of all behind each other.
    Join(&'v [T]),
}

/// What is done at each step.
pub(super) type Apply<'s, 'f, T> = dyn FnMut(Step<'s, '_, T>) -> Result<T> + 'f;

impl RunningStage {
    pub fn build(architecture: &str, stage: &StagePlan, plan: &Plan, weights: &Weights) -> Result<RunningStage> {
        Ok(RunningStage { parts: built(architecture, &stage.parts, plan, weights)?, shift: 0 })
    }

    /// From now on maps are those of clips of so many frames, and an eighth of the channels comes from the frame after and from the one before
    /// (Lin et al. 2019): where blocks have a shortcut, at the input of what the shortcut goes around; where none has, at that of the stage.
    pub fn shift(&mut self, frames: usize) {
        self.shift = frames;
    }

    /// Maps that are never looked at apart, where each is that of a frame: 1 where they may be.
    pub fn together(&self) -> usize {
        self.shift.max(1)
    }

    /// Whether a block in it has a shortcut.
    pub fn has_shortcuts(&self) -> bool {
        any_shortcut(&self.parts)
    }

    /// Sends `x`, of clips of so many frames, through the stage, step by step; answers how many frames are left.
    pub fn forward<'s, T: Clone>(&'s self, x: &T, frames: usize, apply: &mut Apply<'s, '_, T>) -> Result<(T, usize)> {
        if self.shift > 0 && !self.has_shortcuts() {
            let x = apply(Step::Shift(self.shift, x))?;
            return through(&self.parts, &x, (frames, 0), apply);
        }
        through(&self.parts, x, (frames, self.shift), apply)
    }
}

fn any_shortcut(parts: &[RunningPart]) -> bool {
    parts.iter().any(|part| match part {
        RunningPart::Block(block) => !matches!(block.shortcut, RunningShortcut::None),
        RunningPart::Branches(branches) => branches.iter().any(|parts| any_shortcut(parts)),
        RunningPart::Norm(_) | RunningPart::MaxPool(_) | RunningPart::AveragePool(_) => false,
    })
}

fn built(architecture: &str, parts: &[Part], plan: &Plan, weights: &Weights) -> Result<Vec<RunningPart>> {
    let layer = |unit: &Unit| Layer::build(architecture, unit, plan, weights);
    let block = |block: &Block| -> Result<RunningBlock> {
        let layers = block.units.iter().map(layer).collect::<Result<_>>()?;
        let shortcut = match &block.shortcut {
            Shortcut::None => RunningShortcut::None,
            Shortcut::Identity => RunningShortcut::Identity,
            Shortcut::Projection(pool, unit) => RunningShortcut::Projection(*pool, Box::new(layer(unit)?)),
        };
        Ok(RunningBlock { layers, shortcut, sum: block.sum })
    };
    let part = |part: &Part| {
        Ok(match part {
            Part::Block(plan) => RunningPart::Block(block(plan)?),
            Part::Norm(norm) => RunningPart::Norm(Normaliser::build(architecture, &norm.name, plan.norm_eps, norm.activation, weights)?),
            Part::MaxPool(window) => RunningPart::MaxPool(*window),
            Part::AveragePool(average) => RunningPart::AveragePool(*average),
            Part::Branches(branches) => {
                let branches = branches.iter().map(|parts| built(architecture, parts, plan, weights));
                RunningPart::Branches(branches.collect::<Result<_>>()?)
            }
        })
    };
    parts.iter().map(part).collect()
}

/// `shift` is that of the stage, where its blocks shift.
fn through<'s, T: Clone>(
    parts: &'s [RunningPart],
    x: &T,
    (mut frames, shift): (usize, usize),
    apply: &mut Apply<'s, '_, T>,
) -> Result<(T, usize)> {
    let mut x = x.clone();
    for part in parts {
        (x, frames) = match part {
            RunningPart::Block(block) => block.forward(&x, (frames, shift), apply)?,
            RunningPart::Norm(norm) => (apply(Step::Norm(norm, &x))?, frames),
            RunningPart::MaxPool(window) => (apply(Step::MaxPool(*window, frames, &x))?, window.frames(frames)),
            RunningPart::AveragePool(average) => (apply(Step::AveragePool(*average, frames, &x))?, average.frames(frames)),
            RunningPart::Branches(branches) => {
                let (mut made, mut left) = (Vec::with_capacity(branches.len()), frames);
                for branch in branches {
                    let (y, frames) = through(branch, &x, (frames, shift), apply)?;
                    made.push(y);
                    left = frames;
                }
                (apply(Step::Join(&made))?, left)
            }
        };
    }
    Ok((x, frames))
}

impl RunningBlock {
    fn forward<'s, T: Clone>(&'s self, x: &T, (frames, shift): (usize, usize), apply: &mut Apply<'s, '_, T>) -> Result<(T, usize)> {
        let residual = match &self.shortcut {
            RunningShortcut::None => None,
            RunningShortcut::Identity => Some(x.clone()),
            RunningShortcut::Projection(None, layer) => Some(apply(Step::Layer(layer, frames, x, None))?),
            RunningShortcut::Projection(Some(pool), layer) => {
                let pooled = apply(Step::AveragePool(*pool, frames, x))?;
                Some(apply(Step::Layer(layer, pool.frames(frames), &pooled, None))?)
            }
        };
        let Some((last, first)) = self.layers.split_last() else { return Ok((x.clone(), frames)) };
        let shifts = shift > 0 && residual.is_some();
        let (mut y, mut frames) = (if shifts { apply(Step::Shift(shift, x))? } else { x.clone() }, frames);
        for layer in first {
            y = apply(Step::Layer(layer, frames, &y, None))?;
            frames = layer.frames(frames);
        }
        let y = match (self.sum, &residual) {
            (Sum::After(activation), Some(residual)) => {
                let y = apply(Step::Layer(last, frames, &y, None))?;
                apply(Step::Sum(y, residual, activation))?
            }
            (_, residual) => apply(Step::Layer(last, frames, &y, residual.as_ref()))?,
        };
        Ok((y, last.frames(frames)))
    }
}
