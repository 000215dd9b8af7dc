//! Convolution: a candle op that learns, and the slices beneath it, which the layers between maps share.

pub(crate) mod affine;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod finish;
pub(crate) mod folded;
pub(crate) mod geometry;
pub(crate) mod patches;
pub(crate) mod pool;
pub(crate) mod squeeze;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use tracing::trace_span;

use crate::domain::recipe::Precision;
use crate::nn::kernels::backend;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{floats, read, tensor};
use crate::nn::kernels::onednn;
use crate::nn::kernels::onednn::Role;
use crate::nn::kernels::portable;
use crate::nn::kernels::rounding::rounded;
use crate::nn::kernels::threads::Threads;
use dense::Weights;
use finish::Finish;
use geometry::{Geometry, Spec};

/// Convolves `x (B, H, W, C)` with `weight (O, C / groups, kh, kw)` to `(B, OH, OW, O)`.
///
/// Gradients flow to both. Errors when shapes do not fit or the image is smaller than the kernel.
pub fn conv2d(x: &Tensor, weight: &Tensor, spec: &Spec) -> Result<Tensor> {
    if portable::is_for(x) {
        return portable::conv2d(x, weight, spec);
    }
    let geometry = Geometry::of(x.dims(), weight.dims(), spec)?;
    x.contiguous()?.apply_op2(&weight.contiguous()?, Convolution(geometry))
}

/// A convolution whose weights are packed for the kernel that backend and shape ask for.
pub(crate) struct Prepared<'a> {
    geometry: Geometry,
    threads: Threads,
    packed: Packed<'a>,
}

enum Packed<'a> {
    Library(Box<onednn::Ready<'a>>),
    Depthwise(Buffer),
    /// PyTorch's own order does.
    Pointwise(&'a [f32]),
    Dense(Buffer),
}

impl<'a> Prepared<'a> {
    pub fn new(precision: Precision, weight: &'a [f32], g: &Geometry, threads: Threads) -> Prepared<'a> {
        let _span = trace_span!("pack weights").entered();
        let packed = match ready(Role::Forward, precision, weight, g, threads) {
            Some(ready) => Packed::Library(Box::new(ready)),
            None if g.is_depthwise() => Packed::Depthwise(depthwise::pack(weight, g)),
            None if g.kernel_h * g.kernel_w == 1 => Packed::Pointwise(weight),
            None => Packed::Dense(patches::pack_outputs_last(weight, g)),
        };
        Prepared { geometry: *g, threads, packed }
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// See [`forward`].
    pub fn forward(&self, x: &[f32], finish: &Finish<'_>, y: &mut [f32]) -> Result<()> {
        let _span = trace_span!("convolution").entered();
        let (g, threads) = (&self.geometry, self.threads);
        match &self.packed {
            Packed::Library(ready) => ready.forward(x, y, finish)?,
            Packed::Depthwise(weight) => depthwise::forward(x, weight, g, threads, finish, y),
            Packed::Pointwise(weight) => dense::forward(x, Weights::OutputsFirst(weight), g, threads, finish, y),
            Packed::Dense(weight) => dense::forward(x, Weights::OutputsLast(weight), g, threads, finish, y),
        }
        Ok(())
    }
}

/// `y (B, OH, OW, O) = x (B, H, W, C) * weight (O, C / groups, kh, kw)`, whatever `y` held before, each piece of it
/// finished once; picks the kernel by backend and shape. Errors only where the library fails; panics where a slice is
/// shorter than the geometry says.
pub fn forward(precision: Precision, x: &[f32], weight: &[f32], g: &Geometry, finish: &Finish<'_>, y: &mut [f32]) -> Result<()> {
    Prepared::new(precision, weight, g, Threads::All).forward(x, finish, y)
}

/// The library's convolution. A shape that it refuses is ours to do.
fn ready<'a>(role: Role, precision: Precision, weight: &'a [f32], g: &Geometry, threads: Threads) -> Option<onednn::Ready<'a>> {
    onednn::Ready::new(backend::library()?, role, backend::usable(precision, g), weight, g, threads).ok()
}

/// Gradient to the input `(B, H, W, C)`, whatever `dx` held before. `prepare` gets each piece of `dy` once, before it is
/// used. Errors and panics as [`forward`] does.
pub fn input_gradient(
    precision: Precision,
    dy: &mut [f32],
    prepare: &Finish<'_>,
    weight: &[f32],
    g: &Geometry,
    dx: &mut [f32],
) -> Result<()> {
    let _span = trace_span!("input gradient").entered();
    if backend::usable(precision, g) == Precision::Bf16 && !backend::has_right_bf16_input_gradient(g) {
        // Our own product of bf16 numbers: their sums are f32 on any road.
        prepare_all(dy, prepare, g);
        return input_gradient(Precision::F32, &mut rounded(dy), &|_, _| {}, &rounded(weight), g, dx);
    }
    if let Some(ready) = ready(Role::InputGradient, precision, weight, g, Threads::All) {
        return Ok(ready.input_gradient(dy, prepare, dx)?);
    }
    prepare_all(dy, prepare, g);
    match g.stride {
        _ if g.is_depthwise() => depthwise::input_gradient(dy, &depthwise::pack(weight, g), g, dx),
        1 => {
            let packed = patches::pack_turned(weight, g);
            dense::forward(dy, Weights::OutputsLast(&packed), &g.turned(), Threads::All, &|_, _| {}, dx);
        }
        _ if g.kernel_h * g.kernel_w == 1 => dense::input_gradient_strided(dy, weight, g, dx),
        _ => dense::input_gradient_strided(dy, &patches::pack_outputs_first(weight, g), g, dx),
    }
    Ok(())
}

/// Prepares gradients that no input wants.
fn prepare_all(dy: &mut [f32], prepare: &Finish<'_>, g: &Geometry) {
    let image = g.out_h * g.out_w * g.out_c;
    dy.par_chunks_mut(image).enumerate().for_each(|(index, dy)| prepare(dy, index * image));
}

/// Gradient to the weight, in PyTorch's order `(O, C / groups, kh, kw)`.
pub fn weight_gradient(precision: Precision, x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let _span = trace_span!("weight gradient").entered();
    // oneDNN 2.6 has only its reference loops for these: 28 ms against 5 for 240 channels at 5x5 stride 2.
    let is_slow = g.is_depthwise() && g.kernel_h * g.kernel_w > 9;
    if !is_slow
        && let Some(library) = backend::library()
        && let Ok(dw) = onednn::weight_gradient(library, backend::usable(precision, g), x, dy, g)
    {
        return dw;
    }
    if g.is_depthwise() {
        return depthwise::weight_gradient(x, dy, g);
    }
    patches::unpack_outputs_first(&dense::weight_gradient(x, dy, g), g)
}

struct Convolution(Geometry);

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = vec![0.0; self.0.rows() * self.0.out_c];
        forward(Precision::F32, floats(x, xl)?, floats(w, wl)?, &self.0, &|_, _| {}, &mut y)?;
        Ok((CpuStorage::F32(y), Shape::from(&self.0.output_shape()[..])))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (g, dy) = (&self.0, dy.contiguous()?);
        let mut dy = read(&dy)?.to_vec();
        // The image itself wants no gradient, and neither does a frozen weight.
        let dx = match x.track_op() {
            true => {
                let mut dx = vec![0.0; x.elem_count()];
                input_gradient(Precision::F32, &mut dy, &|_, _| {}, &read(weight)?, g, &mut dx)?;
                Some(tensor(dx, &g.input_shape())?)
            }
            false => None,
        };
        let dw = match weight.track_op() {
            true => Some(tensor(weight_gradient(Precision::F32, &read(x)?, &dy, g), &g.weight_shape())?),
            false => None,
        };
        Ok((dx, dw))
    }
}
