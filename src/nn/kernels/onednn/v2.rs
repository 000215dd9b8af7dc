//! What only version 2 of oneDNN has (Debian 12, Ubuntu 22.04): a tensor's description is a struct of the caller's,
//! and a convolution is described in two steps.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::ffi::{DIRECT, Desc, Description, FORWARD_TRAINING, Handle, functions};
use super::interface::{Interface, Kind, Order, Request, Result, Role, dims_of, named};

/// 2.6 needs 696 bytes, and only `init` functions write here.
#[repr(C, align(8))]
pub(super) struct MemoryDesc([u8; 1024]);

/// 2.6 needs 5976 bytes.
#[repr(C, align(8))]
pub(super) struct ConvolutionDesc([u8; 8192]);

type Init4 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;
type Init5 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, Desc, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;
type Init6 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, c_int, Desc, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;

functions! {
    desc_by_tag: unsafe extern "C" fn(*mut MemoryDesc, c_int, *const i64, c_int, c_int) -> c_int = b"dnnl_memory_desc_init_by_tag\0",
    forward_init: Init6 = b"dnnl_convolution_forward_desc_init\0",
    data_init: Init4 = b"dnnl_convolution_backward_data_desc_init\0",
    weights_init: Init5 = b"dnnl_convolution_backward_weights_desc_init\0",
    desc_create: unsafe extern "C" fn(*mut Handle, *const c_void, Handle, Handle, Handle) -> c_int = b"dnnl_primitive_desc_create\0",
}

/// For so many dimensions.
fn tag(order: Order, dims: usize) -> c_int {
    match (order, dims) {
        (Order::Any, _) => 1,
        (Order::Plain, ..=4) => 5,
        (Order::Plain, 5) => 7,
        (Order::Plain, _) => 8,
        (Order::ChannelsLast, ..=4) => 20,
        (Order::ChannelsLast, _) => 21,
    }
}

impl Interface for Functions {
    fn tensor(&self, dims: &[usize], kind: Kind, order: Order) -> Result<*mut Description> {
        let (mut desc, sizes) = (Box::new(MemoryDesc([0; 1024])), dims_of(dims));
        // SAFETY: `desc` is large enough for version 2's struct, and `sizes` holds twelve dimensions, the most there are.
        named("memory_desc_init_by_tag", unsafe {
            (self.desc_by_tag)(&mut *desc, dims.len() as c_int, sizes.as_ptr(), kind as c_int, tag(order, dims.len()))
        })?;
        Ok(Box::into_raw(desc).cast())
    }

    unsafe fn forget(&self, desc: *mut Description) {
        // SAFETY: `tensor` made it from a box of this type, and the caller uses it no more.
        drop(unsafe { Box::from_raw(desc.cast::<MemoryDesc>()) });
    }

    unsafe fn convolution(&self, request: &Request<'_>) -> Result<Handle> {
        let Request { role, tensors: [x, weights, y], steps, .. } = *request;
        let (strides, before, after) = (steps.strides.as_ptr(), steps.before.as_ptr(), steps.after.as_ptr());
        let (mut desc, none, mut handle) = (Box::new(ConvolutionDesc([0; 8192])), ptr::null(), ptr::null_mut());
        // SAFETY: `desc` is large enough for version 2's struct; the caller keeps all descriptions and dimensions alive,
        // and a null description says that there is no bias.
        named("convolution_desc_init", unsafe {
            match role {
                Role::Forward => (self.forward_init)(&mut *desc, FORWARD_TRAINING, DIRECT, x, weights, none, y, strides, before, after),
                Role::InputGradient => (self.data_init)(&mut *desc, DIRECT, x, weights, y, strides, before, after),
                Role::WeightGradient => (self.weights_init)(&mut *desc, DIRECT, x, weights, none, y, strides, before, after),
            }
        })?;
        // SAFETY: the caller keeps all handles alive; the description was written above, and one handle is written.
        named("primitive_desc_create", unsafe {
            (self.desc_create)(&mut handle, ptr::from_ref(&*desc).cast(), request.attributes, request.engine, request.hint)
        })?;
        Ok(handle)
    }
}
