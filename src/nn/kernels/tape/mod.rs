//! Feature maps on their way through a network that learns, with the memory of a step in our hands.
//!
//! candle adds each gradient to zeros it makes first, and keeps every tensor until the whole graph goes: three more
//! passes over memory, and all of it at once. So candle's graph gets a *token* for each map, one number, which orders
//! the backward pass; the values and the gradient lie beside it. A layer's backward pass takes what its forward pass
//! left, works in place, and drops it, so memory falls while the pass goes down. It can therefore run only once.

pub(crate) mod backward;
pub(crate) mod layers;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use tracing::trace_span;

use crate::domain::recipe::Precision;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{CHUNK, tensor, write_channels_last};
use crate::nn::kernels::simd::vectorised;

/// Maps `(batch, height, width, channels)` on the CPU, and their place in the graph.
#[derive(Clone)]
pub struct Map {
    pub(super) shape: [usize; 4],
    pub(super) values: Arc<Buffer>,
    pub(super) token: Tensor,
    pub(super) gradient: Arc<Gradient>,
    /// Of the products of the layers that it goes through.
    pub(super) precision: Precision,
}

/// Where the layers above leave the gradient to a map.
#[derive(Default)]
pub(super) struct Gradient(Mutex<Option<Buffer>>);

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

impl Map {
    /// Takes in `(B, H, W, C)`, in whatever order it lies in memory.
    pub fn enter(x: &Tensor, precision: Precision) -> Result<Map> {
        let (shape, gradient) = (x.dims4()?, Arc::new(Gradient::default()));
        let mut values = Buffer::any(x.elem_count());
        write_channels_last(x, &mut values)?;
        let enter = Enter { gradient: gradient.clone(), shape: x.dims().to_vec() };
        let token = x.apply_op1(enter)?;
        Ok(Map { shape: shape.into(), values: Arc::new(values), token, gradient, precision })
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
        self.token.apply_op1(Leave::new(self.values.to_vec(), &self.shape, back))
    }

    /// Whether a gradient to it is wanted.
    pub(super) fn is_tracked(&self) -> bool {
        self.token.track_op()
    }
}

/// A token's value: nobody reads it.
fn token() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), Shape::from(1))
}

/// From a tensor to a map: hands the gradient on to candle.
struct Enter {
    gradient: Arc<Gradient>,
    shape: Vec<usize>,
}

impl CustomOp1 for Enter {
    fn name(&self) -> &'static str {
        "map-enter"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    fn bwd(&self, _x: &Tensor, _token: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.gradient.take(self.shape.iter().product());
        Ok(Some(tensor(gradient.to_vec(), &self.shape)?))
    }
}

/// From a map to a tensor that was worked out already: hands candle's gradient on to the map.
pub(super) struct Leave<F> {
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
        "map-leave"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((CpuStorage::F32(values), self.shape.clone()))
    }

    fn bwd(&self, token: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        once(&self.back)?(dy)?;
        token.zeros_like().map(Some)
    }
}

/// A layer between maps: its backward pass gets the layer's weight and gain and answers their gradients.
pub(super) struct Step<F>(Mutex<Option<F>>);

/// Gradients to a layer's two parameters.
pub(super) type Pair = (Option<Tensor>, Option<Tensor>);

impl<F: FnOnce(&Tensor, &Tensor) -> Result<Pair> + Send> Step<F> {
    pub fn new(back: F) -> Step<F> {
        Step(Mutex::new(Some(back)))
    }
}

impl<F: FnOnce(&Tensor, &Tensor) -> Result<Pair> + Send> CustomOp3 for Step<F> {
    fn name(&self) -> &'static str {
        "map-step"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(token())
    }

    fn bwd(
        &self,
        below: &Tensor,
        weight: &Tensor,
        gain: &Tensor,
        _token: &Tensor,
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

/// A token for a layer without parameters.
pub(super) fn step_token<F>(below: &Tensor, back: F) -> Result<Tensor>
where
    F: FnOnce() -> Result<()> + Send + 'static,
{
    let none = Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?;
    below.apply_op3(&none, &none, Step::new(move |_: &Tensor, _: &Tensor| back().map(|()| (None, None))))
}
