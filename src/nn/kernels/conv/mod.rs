//! Convolutions and their gradients on slices, by the kernel that backend and shape ask for. A kernel as large as the image is a linear layer
//! over that, by our own product: it may be hundreds of megabytes (VGG's first wide layer), which no call should bring into another order.

pub(crate) mod affine;
pub(crate) mod average;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod dilated;
pub(crate) mod finish;
pub(crate) mod folded;
pub(crate) mod geometry;
pub(crate) mod join;
pub(crate) mod patches;
pub(crate) mod pool;
pub(crate) mod resize;
pub(crate) mod shift;
pub(crate) mod squeeze;
pub(crate) mod window;

use candle_core::Result;
use rayon::prelude::*;
use tracing::trace_span;

use crate::domain::recipe::Precision;
use crate::nn::kernels::backend::{self, Arithmetic};
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::onednn;
use crate::nn::kernels::onednn::Role;
use crate::nn::kernels::rounding::rounded;
use crate::nn::kernels::threads::Threads;
use dense::Weights;
use finish::Finish;
use geometry::Geometry;

/// A convolution whose weights are packed for the kernel that backend and shape ask for.
pub(crate) struct Prepared<'a> {
    geometry: Geometry,
    /// The maps of which the geometry's single pixels are all values, if it is [flattened](Geometry::flattened).
    maps: Option<Geometry>,
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
    pub fn new(arithmetic: Arithmetic, weight: &'a [f32], g: &Geometry, threads: Threads) -> Prepared<'a> {
        let _span = trace_span!("pack weights").entered();
        if let Some(flat) = g.flattened() {
            return Prepared { geometry: flat, maps: Some(*g), threads, packed: Packed::Pointwise(weight) };
        }
        let packed = match ready(Role::Forward, arithmetic, weight, g, threads) {
            Some(ready) => Packed::Library(Box::new(ready)),
            None if g.is_depthwise() => Packed::Depthwise(depthwise::pack(weight, g)),
            None if g.taps() == 1 => Packed::Pointwise(weight),
            None => Packed::Dense(patches::pack_outputs_last(weight, g)),
        };
        Prepared { geometry: *g, maps: None, threads, packed }
    }

    /// See [`forward`].
    pub fn forward(&self, x: &[f32], finish: &Finish<'_>, y: &mut [f32]) -> Result<()> {
        let _span = trace_span!("convolution").entered();
        let (g, threads) = (&self.geometry, self.threads);
        let planes = self.maps.as_ref().map(|maps| patches::channels_first(x, maps));
        let x = planes.as_deref().unwrap_or(x);
        match &self.packed {
            Packed::Library(ready) => ready.forward(x, y, finish)?,
            Packed::Depthwise(weight) => depthwise::forward(x, weight, g, threads, finish, y),
            Packed::Pointwise(weight) => dense::forward(x, Weights::OutputsFirst(weight), g, threads, finish, y),
            Packed::Dense(weight) => dense::forward(x, Weights::OutputsLast(weight), g, threads, finish, y),
        }
        Ok(())
    }
}

/// `y (B, OH, OW, O) = x (B, H, W, C) * weight (O, C / groups, kh, kw)`, of clips the maps of all frames and `(O, C / groups, kt, kh, kw)`, whatever `y` held before, each piece of it
/// finished once; picks the kernel by backend and shape. Errors only where the library fails; panics where a slice is
/// shorter than the geometry says.
pub fn forward(arithmetic: Arithmetic, x: &[f32], weight: &[f32], g: &Geometry, finish: &Finish<'_>, y: &mut [f32]) -> Result<()> {
    Prepared::new(arithmetic, weight, g, Threads::All).forward(x, finish, y)
}

/// The library's convolution. A shape that it refuses is ours to do.
fn ready<'a>(role: Role, arithmetic: Arithmetic, weight: &'a [f32], g: &Geometry, threads: Threads) -> Option<onednn::Ready<'a>> {
    if !library_knows(g) {
        return None;
    }
    onednn::Ready::new(arithmetic.library()?, role, arithmetic.precision_for(g), weight, g, threads).ok()
}

/// Whether the library has more than its reference loops for such shapes: of depthwise kernels only for images.
fn library_knows(g: &Geometry) -> bool {
    g.is_still() || !g.is_depthwise()
}

/// Gradient to the input `(B, H, W, C)`, whatever `dx` held before. `prepare` gets each piece of `dy` once, before it is
/// used. Errors and panics as [`forward`] does.
pub fn input_gradient(
    arithmetic: Arithmetic,
    dy: &mut [f32],
    prepare: &Finish<'_>,
    weight: &[f32],
    g: &Geometry,
    dx: &mut [f32],
) -> Result<()> {
    let _span = trace_span!("input gradient").entered();
    if let Some(flat) = g.flattened() {
        prepare_all(dy, prepare, g);
        let mut planes = Buffer::any(dx.len());
        dense::forward(dy, Weights::OutputsLast(weight), &flat.transposed(), Threads::All, &|_, _| {}, &mut planes);
        patches::channels_last(&planes, g, dx);
        return Ok(());
    }
    if arithmetic.precision_for(g) == Precision::Bf16 && !backend::has_right_bf16_input_gradient(g) {
        // Our own product of bf16 numbers: their sums are f32 on any road.
        prepare_all(dy, prepare, g);
        return input_gradient(
            Arithmetic { precision: Precision::F32, ..arithmetic },
            &mut rounded(dy),
            &|_, _| {},
            &rounded(weight),
            g,
            dx,
        );
    }
    if let Some(ready) = ready(Role::InputGradient, arithmetic, weight, g, Threads::All) {
        return Ok(ready.input_gradient(dy, prepare, dx)?);
    }
    prepare_all(dy, prepare, g);
    match g.moves_by_one() {
        _ if g.is_depthwise() => depthwise::input_gradient(dy, &depthwise::pack(weight, g), g, dx),
        true => {
            let packed = patches::pack_transposed(weight, g);
            dense::forward(dy, Weights::OutputsLast(&packed), &g.transposed(), Threads::All, &|_, _| {}, dx);
        }
        false if g.taps() == 1 => dense::input_gradient_strided(dy, weight, g, dx),
        false => dense::input_gradient_strided(dy, &patches::pack_outputs_first(weight, g), g, dx),
    }
    Ok(())
}

/// Prepares gradients that no input wants.
fn prepare_all(dy: &mut [f32], prepare: &Finish<'_>, g: &Geometry) {
    let image = g.output_pixels() * g.out_c;
    dy.par_chunks_mut(image).enumerate().for_each(|(index, dy)| prepare(dy, index * image));
}

/// Gradient to the weight, in PyTorch's order `(O, C / groups, kh, kw)`, of clips `(O, C / groups, kt, kh, kw)`.
pub fn weight_gradient(arithmetic: Arithmetic, x: &[f32], dy: &[f32], g: &Geometry) -> Vec<f32> {
    let _span = trace_span!("weight gradient").entered();
    if let Some(flat) = g.flattened() {
        return dense::weight_gradient(&patches::channels_first(x, g), dy, &flat).to_vec();
    }
    // oneDNN 2.6 has only its reference loops for these: 28 ms against 5 for 240 channels at 5x5 stride 2.
    let is_slow = g.is_depthwise() && g.taps() > 9 || !library_knows(g);
    // Of kernels that reach over whole clips it gives wrong sums (2.6: 7 frames, 7 taps, three frames of zeros at both ends).
    let is_wrong = !g.is_still() && g.in_t <= g.kernel_t;
    if !is_slow
        && !is_wrong
        && let Some(library) = arithmetic.library()
        && let Ok(dw) = onednn::weight_gradient(library, arithmetic.precision_for(g), x, dy, g)
    {
        return dw;
    }
    if g.is_depthwise() {
        return depthwise::weight_gradient(x, dy, g);
    }
    patches::unpack_outputs_first(&dense::weight_gradient(x, dy, g), g)
}
