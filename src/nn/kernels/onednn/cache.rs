//! The code oneDNN wrote for each shape, kept so that it is written once.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::{Failure, Kind, Library, MemoryDesc, Order, Primitive, Query, Result, Role, Steps};
use crate::domain::recipe::Precision;
use crate::nn::kernels::conv::geometry::Geometry;

/// Shapes kept. A network has under a hundred; whoever sends images of every size must not fill the memory.
const CAPACITY: usize = 1024;

/// The library's status for what it has no code for.
const UNIMPLEMENTED: c_int = 3;

/// What a primitive is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub role: Role,
    /// Of the two factors.
    pub precision: Precision,
    /// Of the images one call gets.
    pub geometry: Geometry,
    pub threads: usize,
}

/// A convolution ready to run, with the way from our weights to its own order (or back, for their gradient).
pub(crate) struct Convolution {
    pub main: Primitive,
    /// `None` where ours is what it wants.
    pub reorder: Option<Primitive>,
    pub x: MemoryDesc,
    pub y: MemoryDesc,
    pub plain: MemoryDesc,
    /// Floats of the weights in its own order.
    pub packed: usize,
    /// Floats it needs to work in.
    pub scratch: usize,
}

/// The convolution for a key, made now if need be. A shape that the library refused is not tried again.
pub(crate) fn get(library: &'static Library, key: Key) -> Result<Arc<Convolution>> {
    static CACHE: Mutex<Option<HashMap<Key, Result<Arc<Convolution>>>>> = Mutex::new(None);
    let mut guard = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = guard.get_or_insert_default();
    if let Some(found) = cache.get(&key) {
        return found.clone();
    }
    if cache.len() >= CAPACITY {
        cache.clear();
    }
    let made = make(library, &key).map(Arc::new);
    if let Err(Failure { call, status }) = &made {
        tracing::debug!(call, status, ?key, "oneDNN refuses a convolution, which our own kernels then do");
    }
    cache.insert(key, made.clone());
    made
}

fn make(library: &'static Library, key: &Key) -> Result<Convolution> {
    library.use_threads(key.threads);
    let (g, steps) = (&key.geometry, steps(&key.geometry));
    let forward = library.describe(Role::Forward, &tensors(library, key, Role::Forward)?, &steps, None)?;
    let tensors = tensors(library, key, key.role)?;
    let desc = match key.role {
        Role::Forward => forward,
        role => library.describe(role, &tensors, &steps, Some(&forward))?,
    };
    if !g.is_still() && desc.implementation().starts_with("ref") {
        // Loops that nobody should wait for: our own products are quicker.
        return Err(Failure { call: "convolution_primitive_desc_create", status: UNIMPLEMENTED });
    }
    let plain = library.memory_desc(&weight_shape(g), Kind::F32, Order::Plain)?;
    let [x, _, y] = tensors;
    let which = if key.role == Role::WeightGradient { Query::DiffWeights } else { Query::Weights };
    let own = desc.tensor(which);
    let reorder = match (library.same(&plain, own), key.role) {
        (true, _) => None,
        (false, Role::WeightGradient) => Some(library.describe_reorder(own, &*plain)?.build()?),
        (false, _) => Some(library.describe_reorder(&*plain, own)?.build()?),
    };
    let (packed, scratch) = (desc.size(which).div_ceil(4), desc.size(Query::Scratchpad).div_ceil(4));
    tracing::debug!(role = ?key.role, geometry = ?g, implementation = desc.implementation(), "oneDNN convolution");
    Ok(Convolution { main: desc.build()?, reorder, x, y, plain, packed, scratch })
}

/// Input, weights in any order, and output. Of the three two are multiplied, and the one that is their sum is f32.
fn tensors(library: &'static Library, key: &Key, role: Role) -> Result<[MemoryDesc; 3]> {
    let g = &key.geometry;
    let factor = if key.precision == Precision::Bf16 { Kind::Bf16 } else { Kind::F32 };
    let [x, weights, y] = match role {
        Role::Forward => [factor, factor, Kind::F32],
        Role::InputGradient => [Kind::F32, factor, factor],
        Role::WeightGradient => [factor, Kind::F32, factor],
    };
    let axes = axes(g);
    let sides =
        |channels: usize, side: fn(&Axis) -> usize| [g.batch, channels].into_iter().chain(axes.iter().map(side)).collect::<Vec<_>>();
    Ok([
        library.memory_desc(&sides(g.in_c, |axis| axis.input), x, Order::ChannelsLast)?,
        library.memory_desc(&weight_shape(g), weights, Order::Any)?,
        library.memory_desc(&sides(g.out_c, |axis| axis.output), y, Order::ChannelsLast)?,
    ])
}

/// One of the directions in which a kernel moves.
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    before: isize,
}

/// Height and width of images; of clips frames before them. A kernel that sees a single pixel of several frames moves over frames, and over
/// the pixels of a frame as over one line: the library knows two directions best.
fn axes(g: &Geometry) -> Vec<Axis> {
    let axis = |input, output, kernel, stride, before| Axis { input, output, kernel, stride, before };
    let frames = axis(g.in_t, g.out_t, g.kernel_t, g.stride_t, g.pad_front);
    let is_temporal = g.kernel_h * g.kernel_w * g.stride == 1 && (g.pad_top, g.pad_left) == (0, 0);
    if is_temporal && !g.is_still() {
        return vec![frames, axis(g.in_h * g.in_w, g.out_h * g.out_w, 1, 1, 0)];
    }
    let lines = axis(g.in_h, g.out_h, g.kernel_h, g.stride, g.pad_top);
    let columns = axis(g.in_w, g.out_w, g.kernel_w, g.stride, g.pad_left);
    if g.is_still() { vec![lines, columns] } else { vec![frames, lines, columns] }
}

/// With the groups first, if there are any.
fn weight_shape(g: &Geometry) -> Vec<usize> {
    let channels = [g.groups, g.group_out(), g.group_in()];
    let kernel = axes(g).into_iter().map(|axis| axis.kernel);
    channels[usize::from(g.groups == 1)..].iter().copied().chain(kernel).collect()
}

fn steps(g: &Geometry) -> Steps {
    let axes = axes(g);
    let each = |step: fn(&Axis) -> usize| {
        let mut all = [0; 12];
        all.iter_mut().zip(&axes).for_each(|(all, axis)| *all = step(axis) as i64);
        all
    };
    Steps {
        strides: each(|axis| axis.stride),
        before: each(|axis| axis.before.max(0) as usize),
        // Zeros after the last pixel; a stride may leave pixels unseen instead, which rounds to the same size.
        after: each(|axis| {
            usize::try_from(((axis.output - 1) * axis.stride + axis.kernel) as isize - axis.before - axis.input as isize).unwrap_or(0)
        }),
    }
}
