//! What only version 3 of oneDNN has (Debian 13, Ubuntu 24.04): a tensor's description is the library's own, and a
//! convolution is described in one step.

use std::ffi::c_int;
use std::ptr;

use super::ffi::{DIRECT, Desc, Description, Dims, FORWARD_TRAINING, Handle, functions};
use super::interface::{Interface, Kind, Order, Request, Result, Role, dims_of, named};

type D = *const i64;
type Forward = unsafe extern "C" fn(*mut Handle, Handle, c_int, c_int, Desc, Desc, Desc, Desc, D, D, D, D, Handle) -> c_int;
type Data = unsafe extern "C" fn(*mut Handle, Handle, c_int, Desc, Desc, Desc, D, D, D, D, Handle, Handle) -> c_int;
type Weights = unsafe extern "C" fn(*mut Handle, Handle, c_int, Desc, Desc, Desc, Desc, D, D, D, D, Handle, Handle) -> c_int;

functions! {
    desc_create: unsafe extern "C" fn(*mut *mut Description, c_int, D, c_int, c_int) -> c_int = b"dnnl_memory_desc_create_with_tag\0",
    desc_destroy: unsafe extern "C" fn(*mut Description) -> c_int = b"dnnl_memory_desc_destroy\0",
    forward: Forward = b"dnnl_convolution_forward_primitive_desc_create\0",
    data: Data = b"dnnl_convolution_backward_data_primitive_desc_create\0",
    weights: Weights = b"dnnl_convolution_backward_weights_primitive_desc_create\0",
}

/// For so many dimensions.
fn tag(order: Order, dims: usize) -> c_int {
    match (order, dims) {
        (Order::Any, _) => 1,
        (Order::Plain, ..=4) => 5,
        (Order::Plain, 5) => 6,
        (Order::Plain, _) => 7,
        (Order::ChannelsLast, ..=4) => 22,
        (Order::ChannelsLast, _) => 33,
    }
}

impl Interface for Functions {
    fn tensor(&self, dims: &[usize], kind: Kind, order: Order) -> Result<*mut Description> {
        let (mut desc, sizes) = (ptr::null_mut(), dims_of(dims));
        // SAFETY: writes one handle; `sizes` holds twelve dimensions, the most there are.
        named("memory_desc_create_with_tag", unsafe {
            (self.desc_create)(&mut desc, dims.len() as c_int, sizes.as_ptr(), kind as c_int, tag(order, dims.len()))
        })?;
        Ok(desc)
    }

    unsafe fn forget(&self, desc: *mut Description) {
        // SAFETY: `tensor` made it, and the caller uses it no more.
        unsafe { (self.desc_destroy)(desc) };
    }

    unsafe fn convolution(&self, request: &Request<'_>) -> Result<Handle> {
        let Request { role, tensors: [x, w, y], steps, engine, attributes, hint } = *request;
        let (strides, before, after) = (steps.strides.as_ptr(), steps.before.as_ptr(), steps.after.as_ptr());
        // Zeros say that the kernel has no gaps.
        let (gaps, none, mut pd): (Dims, _, _) = ([0; 12], ptr::null(), ptr::null_mut());
        let gaps = gaps.as_ptr();
        // SAFETY: writes one handle; the caller keeps all handles and dimensions alive, and a null description says that
        // there is no bias.
        let (call, status) = unsafe {
            match role {
                Role::Forward => (
                    "convolution_forward_primitive_desc_create",
                    (self.forward)(&mut pd, engine, FORWARD_TRAINING, DIRECT, x, w, none, y, strides, gaps, before, after, attributes),
                ),
                Role::InputGradient => (
                    "convolution_backward_data_primitive_desc_create",
                    (self.data)(&mut pd, engine, DIRECT, x, w, y, strides, gaps, before, after, hint, attributes),
                ),
                Role::WeightGradient => (
                    "convolution_backward_weights_primitive_desc_create",
                    (self.weights)(&mut pd, engine, DIRECT, x, w, none, y, strides, gaps, before, after, hint, attributes),
                ),
            }
        };
        named(call, status)?;
        Ok(pd)
    }
}
