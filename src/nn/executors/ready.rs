//! The steps of a stage in eval mode on a CPU, made ready for maps of one shape: weights packed, norms folded.

use std::sync::Arc;

use super::layer::{EvalLayer, Layer};
use super::normaliser::Normaliser;
use super::stage::Step;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::backend::Choice;
use crate::nn::kernels::{self, Activation, Affine, Average, AveragePool, Buffer, Join, MaxPool, Shift, Threads, Window};

type Shape = [usize; 4];

/// Maps between steps.
#[derive(Clone)]
pub(super) enum Values<'a> {
    /// Nothing: they were written where the stage's output goes.
    Written,
    Given(&'a [f32]),
    Made(Arc<Buffer>),
}

impl Values<'_> {
    pub fn floats(&self) -> &[f32] {
        match self {
            Values::Written => &[],
            Values::Given(values) => values,
            Values::Made(buffer) => buffer,
        }
    }
}

/// The shape of what a step makes.
pub(super) fn output(step: &Step<'_, '_, Shape>) -> Result<Shape> {
    Ok(match step {
        Step::Layer(layer, frames, shape, _) => layer.geometry(**shape, *frames)?.output_shape(),
        Step::Norm(_, shape) => **shape,
        Step::MaxPool(window, frames, shape) => window.geometry(*shape, *frames)?.output_shape(),
        Step::AveragePool(average, frames, shape) => AveragePool::new(*shape, *frames, *average)?.output_shape(),
        Step::Sum(shape, ..) => *shape,
        Step::Shift(frames, shape) => Shift::new(*shape, *frames).map(|_| **shape)?,
        Step::Join(shapes) => joined(shapes)?,
    })
}

fn joined(shapes: &[Shape]) -> Result<Shape> {
    let Some(&[batch, height, width, _]) = shapes.first() else { return Err(Error::Invalid("there are no maps to join".into())) };
    if let Some(other) = shapes.iter().find(|shape| shape[..3] != [batch, height, width]) {
        return Err(Error::Invalid(format!("maps of {:?} and {other:?} cannot be joined", shapes[0])));
    }
    Ok([batch, height, width, shapes.iter().map(|shape| shape[3]).sum()])
}

/// What is to be made ready, for which shapes, and where it matters for clips of how many frames.
pub(super) enum Sketch<'s, 'a> {
    Layer(&'s Layer, usize, Shape, &'a [f32]),
    Norm(&'s Normaliser, Shape),
    MaxPool(Window, usize, Shape),
    AveragePool(Average, usize, Shape),
    Sum(Activation, Shape),
    Shift(usize, Shape),
    Join(Vec<Shape>),
}

impl<'s, 'a> Sketch<'s, 'a> {
    /// Of a step; `weights` are those of the layers from here on.
    pub fn of(step: &Step<'s, '_, Shape>, weights: &mut std::slice::Iter<'_, &'a [f32]>) -> Sketch<'s, 'a> {
        match step {
            Step::Layer(layer, frames, shape, _) => Sketch::Layer(layer, *frames, **shape, weights.next().copied().unwrap_or_default()),
            Step::Norm(norm, shape) => Sketch::Norm(norm, **shape),
            Step::MaxPool(window, frames, shape) => Sketch::MaxPool(*window, *frames, **shape),
            Step::AveragePool(average, frames, shape) => Sketch::AveragePool(*average, *frames, **shape),
            Step::Sum(shape, _, activation) => Sketch::Sum(*activation, *shape),
            Step::Shift(frames, shape) => Sketch::Shift(*frames, **shape),
            Step::Join(shapes) => Sketch::Join(shapes.to_vec()),
        }
    }

    pub fn ready(&self, threads: Threads, backend: Choice) -> Result<ReadyStep<'a>> {
        let floats = |shape: Shape| shape.iter().product();
        let (kind, floats) = match self {
            Sketch::Layer(layer, frames, shape, weight) => {
                let output = floats(layer.geometry(*shape, *frames)?.output_shape());
                (Kind::Layer(layer.eval((*shape, *frames), weight, threads, backend)?), output)
            }
            Sketch::Norm(norm, shape) => {
                let (scale, shift) = norm.folded()?;
                (Kind::Norm(Affine::new(&scale, &shift), norm.activation, shape[3]), floats(*shape))
            }
            Sketch::MaxPool(window, frames, shape) => {
                let pool = MaxPool::new(shape, *frames, *window)?;
                let output = floats(pool.geometry.output_shape());
                (Kind::MaxPool(pool), output)
            }
            Sketch::AveragePool(average, frames, shape) => {
                let pool = AveragePool::new(shape, *frames, *average)?;
                let output = floats(pool.output_shape());
                (Kind::AveragePool(pool), output)
            }
            Sketch::Sum(activation, shape) => (Kind::Sum(*activation), floats(*shape)),
            Sketch::Shift(frames, shape) => (Kind::Shift(Shift::new(shape, *frames)?), floats(*shape)),
            Sketch::Join(shapes) => (Kind::Join(Join::new(shapes.iter().map(|shape| shape[3]).collect())), floats(joined(shapes)?)),
        };
        Ok(ReadyStep { kind, floats, threads })
    }
}

/// A step that is ready to run.
pub(super) struct ReadyStep<'a> {
    kind: Kind<'a>,
    /// That it makes.
    pub floats: usize,
    threads: Threads,
}

#[expect(clippy::large_enum_variant, reason = "one for each layer, and most are the largest")]
enum Kind<'a> {
    Layer(EvalLayer<'a>),
    /// And the channels.
    Norm(Affine, Activation, usize),
    MaxPool(MaxPool),
    AveragePool(AveragePool),
    Sum(Activation),
    Shift(Shift),
    Join(Join),
}

impl ReadyStep<'_> {
    /// Writes all of `y`. Errors when the step is not the one that was made ready.
    pub fn run(&self, step: &Step<'_, '_, Values<'_>>, y: &mut [f32]) -> Result<()> {
        match (&self.kind, step) {
            (Kind::Layer(layer), Step::Layer(_, _, x, residual)) => layer.forward(x.floats(), residual.map(Values::floats), y)?,
            (Kind::Norm(affine, activation, channels), Step::Norm(_, x)) => {
                kernels::normalise(affine, *activation, *channels, self.threads, x.floats(), y);
            }
            (Kind::MaxPool(pool), Step::MaxPool(_, _, x)) => pool.largest(x.floats(), self.threads, y),
            (Kind::AveragePool(pool), Step::AveragePool(_, _, x)) => pool.forward(x.floats(), self.threads, y),
            (Kind::Sum(activation), Step::Sum(made, shortcut, _)) => {
                y.copy_from_slice(made.floats());
                kernels::add(y, shortcut.floats(), *activation);
            }
            (Kind::Shift(shift), Step::Shift(_, x)) => shift.forward(x.floats(), self.threads, y),
            (Kind::Join(join), Step::Join(maps)) => {
                let maps: Vec<&[f32]> = maps.iter().map(Values::floats).collect();
                join.forward(&maps, self.threads, y);
            }
            _ => return Err(Error::Invalid("a stage took another way than the one it was made ready for".into())),
        }
        Ok(())
    }
}

/// `activation(made + shortcut)`, in the place of what was made where nobody else needs that.
pub(super) fn added<'a>(made: Arc<Buffer>, shortcut: &[f32], activation: Activation) -> Values<'a> {
    let mut sum = Arc::try_unwrap(made).unwrap_or_else(|made| {
        let mut copy = Buffer::any(made.len());
        copy.copy_from_slice(&made);
        copy
    });
    kernels::add(&mut sum, shortcut, activation);
    Values::Made(Arc::new(sum))
}
