//! What versions 2 and 3 of oneDNN each say in their own way: the description of a tensor and of a convolution.

use std::ffi::c_int;

use super::ffi::{Desc, Description, Dims, Handle};

/// A status other than success, by the call that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub call: &'static str,
    pub status: c_int,
}

impl From<Failure> for candle_core::Error {
    fn from(Failure { call, status }: Failure) -> Self {
        candle_core::Error::Msg(format!("oneDNN's {call} failed with status {status}; set the backend to `rust` to do without it"))
    }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

pub(super) fn named(call: &'static str, status: c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Failure { call, status }) }
}

/// Orders in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// What the primitive likes best.
    Any,
    /// Dimensions in their order: `(O, I, h, w)`, with groups first or with frames before the lines or with both.
    Plain,
    /// Named `(B, C, H, W)` or `(B, C, T, H, W)`, stored channels last.
    ChannelsLast,
}

/// Of the numbers in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bf16 = 2,
    F32 = 3,
}

/// What a convolution computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Forward,
    InputGradient,
    WeightGradient,
}

/// How the kernel moves: strides, and the zeros before and after.
pub(crate) struct Steps {
    pub strides: Dims,
    pub before: Dims,
    pub after: Dims,
}

/// A convolution to describe.
pub(super) struct Request<'a> {
    pub role: Role,
    /// Input, weights and output by their roles, whichever of them is the result.
    pub tensors: [Desc; 3],
    pub steps: &'a Steps,
    pub engine: Handle,
    pub attributes: Handle,
    /// The forward primitive description, which gradients ask for; else null.
    pub hint: Handle,
}

pub(super) trait Interface: Send + Sync {
    /// Describes a tensor of at most twelve dimensions; [`forget`](Self::forget) takes the description back.
    fn tensor(&self, dims: &[usize], kind: Kind, order: Order) -> Result<*mut Description>;

    /// # Safety
    /// The description came from [`tensor`](Self::tensor) of the same interface, and this is its last use.
    unsafe fn forget(&self, desc: *mut Description);

    /// A primitive description, which the caller destroys.
    ///
    /// # Safety
    /// All that the request names is alive.
    unsafe fn convolution(&self, request: &Request<'_>) -> Result<Handle>;
}

/// Panics where there are more dimensions than the library has room for.
pub(super) fn dims_of(dims: &[usize]) -> Dims {
    let mut sizes = [0; 12];
    sizes[..dims.len()].iter_mut().zip(dims).for_each(|(size, &dim)| *size = dim as i64);
    sizes
}
