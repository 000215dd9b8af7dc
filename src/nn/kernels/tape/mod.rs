//! A tape: what layers that learn on a CPU leave for their backward pass, with the memory of a step in our hands.
//!
//! candle adds each gradient to zeros it makes first, and keeps every tensor until the whole graph goes: three more
//! passes over memory, and all of it at once. So candle's graph gets a *link* for each node, one number, which orders
//! the backward pass; the values and the gradient lie beside it. A layer's backward pass takes what its forward pass
//! left, works in place, and drops it, so memory falls while the pass goes down. It can therefore run only once.

pub(crate) mod backward;
pub(crate) mod biased;
pub(crate) mod dense;
pub(crate) mod joins;
pub(crate) mod layers;
pub(crate) mod norm;
pub(crate) mod packed;
pub(crate) mod reorder;
pub(crate) mod response;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{CHUNK, tensor, write_channels_last};
use crate::nn::kernels::simd::vectorised;

/// Feature maps `(batch, height, width, channels)` on the CPU, and their place in the graph.
#[derive(Clone)]
pub struct Node {
    pub(crate) shape: [usize; 4],
    pub(crate) values: Arc<Buffer>,
    pub(crate) link: Tensor,
    pub(crate) gradient: Arc<Gradient>,
    /// Of the layers that it goes through.
    pub(crate) arithmetic: Arithmetic,
}

/// Where the layers above leave the gradient to a map.
#[derive(Default)]
pub(crate) struct Gradient(Mutex<Option<Buffer>>);

impl Gradient {
    /// Adds to what is there.
    pub fn add(&self, more: Buffer) {
        let _span = trace_span!("add gradients").entered();
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sum.as_mut() {
            None => *sum = Some(more),
            Some(sum) => sum.par_chunks_mut(CHUNK).zip(more.par_chunks(CHUNK)).for_each(|(sum, more)| {
                vectorised!(sum.iter_mut().zip(more).for_each(|(sum, value)| *sum += value));
            }),
        }
    }

    /// What was left; zeros of that length if nothing was.
    pub fn take(&self, length: usize) -> Buffer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(|| Buffer::zeros(length))
    }
}

impl Node {
    /// Takes in `(B, H, W, C)`, in whatever order it lies in memory.
    pub fn enter(x: &Tensor, arithmetic: Arithmetic) -> Result<Node> {
        let (shape, gradient) = (x.dims4()?, Arc::new(Gradient::default()));
        let mut values = Buffer::any(x.elem_count());
        write_channels_last(x, &mut values)?;
        let enter = Enter { gradient: gradient.clone(), shape: x.dims().to_vec() };
        let link = x.apply_op1(enter)?;
        Ok(Node { shape: shape.into(), values: Arc::new(values), link, gradient, arithmetic })
    }

    /// The tensor of the same values, channels last; gradients flow back.
    pub fn leave(&self) -> Result<Tensor> {
        let gradient = self.gradient.clone();
        let back = move |dy: &Tensor| {
            let mut copy = Buffer::any(dy.elem_count());
            write_channels_last(dy, &mut copy)?;
            gradient.add(copy);
            Ok(())
        };
        self.link.apply_op1(Leave::new(self.values.to_vec(), &self.shape, back))
    }

    /// The same values in another shape.
    pub fn seen_as(self, shape: [usize; 4]) -> Result<Node> {
        if shape.iter().product::<usize>() != self.values.len() {
            bail!("{:?} cannot be seen as {shape:?}", self.shape)
        }
        Ok(Node { shape, ..self })
    }

    /// Whether a gradient to it is wanted.
    pub(crate) fn is_tracked(&self) -> bool {
        self.link.track_op()
    }
}

/// A link's value: nobody reads it.
fn link() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// From a tensor to a node: hands the gradient on to candle.
struct Enter {
    gradient: Arc<Gradient>,
    shape: Vec<usize>,
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "tape-enter"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(link())
    }

    fn bwd(&self, _x: &Tensor, _link: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.gradient.take(self.shape.iter().product());
        Ok(Some(tensor(gradient.to_vec(), &self.shape)?))
    }
}

/// From a node to a tensor that was worked out already: hands candle's gradient on to the node.
pub(crate) struct Leave<F> {
    values: Mutex<Vec<f32>>,
    shape: Shape,
    back: Mutex<Option<F>>,
}

impl<F: FnOnce(&Tensor) -> Result<()> + Send> Leave<F> {
    pub fn new(values: Vec<f32>, shape: &[usize], back: F) -> Leave<F> {
        Leave { values: Mutex::new(values), shape: Shape::from(shape), back: Mutex::new(Some(back)) }
    }
}

impl<F: FnOnce(&Tensor) -> Result<()> + Send> CustomOp1 for Leave<F> {
    fn name(&self) -> &'static str {
        "tape-leave"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((CpuStorage::F32(values), self.shape.clone()))
    }

    fn bwd(&self, link: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        once(&self.back)?(dy)?;
        link.zeros_like().map(Some)
    }
}

/// A layer between nodes: its backward pass gets the layer's weight and gain and answers their gradients.
pub(crate) struct Step<F>(Mutex<Option<F>>);

/// Gradients to a layer's two parameters.
pub(crate) type Pair = (Option<Tensor>, Option<Tensor>);

impl<F: FnOnce(&Tensor, &Tensor) -> Result<Pair> + Send> Step<F> {
    pub fn new(back: F) -> Step<F> {
        Step(Mutex::new(Some(back)))
    }
}

impl<F: FnOnce(&Tensor, &Tensor) -> Result<Pair> + Send> CustomOp3 for Step<F> {
    fn name(&self) -> &'static str {
        "tape-step"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(link())
    }

    fn bwd(
        &self,
        below: &Tensor,
        weight: &Tensor,
        gain: &Tensor,
        _link: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (weight_gradient, gain) = once(&self.0)?(weight, gain)?;
        let weight = weight_gradient.and_then(|gradient| backward::keep(weight, gradient));
        let below = if below.track_op() { Some(below.zeros_like()?) } else { None };
        Ok((below, weight, gain))
    }
}

fn once<F>(back: &Mutex<Option<F>>) -> Result<F> {
    match back.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(back) => Ok(back),
        None => bail!("a backward pass uses up what the forward pass left: run the forward pass again first"),
    }
}

/// The link of a layer without parameters.
pub(crate) fn step_link<F>(below: &Tensor, back: F) -> Result<Tensor>
where
    F: FnOnce() -> Result<()> + Send + 'static,
{
    let none = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?;
    below.apply_op3(&none, &none, Step::new(move |_: &Tensor, _: &Tensor| back().map(|()| (None, None))))
}
