//! The code oneDNN wrote for each shape, kept so that it is written once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::{Failure, Kind, Library, MemoryDesc, Order, Primitive, Query, Result, Role, Steps};
use crate::domain::recipe::Precision;
use crate::nn::kernels::conv::geometry::Geometry;

/// Shapes kept. A network has under a hundred; whoever sends images of every size must not fill the memory.
const CAPACITY: usize = 1024;

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
    let plain = library.memory_desc(weight_shape(g, &mut [0; 5]), Kind::F32, if g.groups == 1 { Order::Plain4 } else { Order::Plain5 })?;
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
    Ok([
        library.memory_desc(&[g.batch, g.in_c, g.in_h, g.in_w], x, Order::ChannelsLast)?,
        library.memory_desc(weight_shape(g, &mut [0; 5]), weights, Order::Any)?,
        library.memory_desc(&[g.batch, g.out_c, g.out_h, g.out_w], y, Order::ChannelsLast)?,
    ])
}

/// With the groups first, if there are any.
fn weight_shape<'a>(g: &Geometry, shape: &'a mut [usize; 5]) -> &'a [usize] {
    *shape = [g.groups, g.group_out(), g.group_in(), g.kernel_h, g.kernel_w];
    if g.groups == 1 { &shape[1..] } else { &shape[..] }
}

fn steps(g: &Geometry) -> Steps {
    let pair = |vertical: usize, horizontal: usize| {
        let mut both = [0; 12];
        (both[0], both[1]) = (vertical as i64, horizontal as i64);
        both
    };
    // Zeros after the last pixel; a stride may leave pixels unseen instead, which rounds to the same size.
    let after = |output: usize, kernel: usize, before: isize, input: usize| {
        usize::try_from(((output - 1) * g.stride + kernel) as isize - before - input as isize).unwrap_or(0)
    };
    Steps {
        strides: pair(g.stride, g.stride),
        before: pair(g.pad_top.max(0) as usize, g.pad_left.max(0) as usize),
        after: pair(after(g.out_h, g.kernel_h, g.pad_top, g.in_h), after(g.out_w, g.kernel_w, g.pad_left, g.in_w)),
    }
}
