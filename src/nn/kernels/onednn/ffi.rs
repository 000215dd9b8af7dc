//! oneDNN's C functions as `dnnl.h` of version 2 declares them.

use std::ffi::{c_int, c_uint, c_void};

/// A description of a tensor in memory. The library writes and reads it; 2.6 needs 696 bytes, and only `init`
/// functions write here.
#[repr(C, align(8))]
pub(crate) struct MemoryDesc([u8; 1024]);

/// A description of one convolution; 2.6 needs 5976 bytes.
#[repr(C, align(8))]
pub(crate) struct ConvolutionDesc([u8; 8192]);

impl MemoryDesc {
    pub fn empty() -> MemoryDesc {
        MemoryDesc([0; 1024])
    }
}

impl ConvolutionDesc {
    pub fn empty() -> Box<ConvolutionDesc> {
        Box::new(ConvolutionDesc([0; 8192]))
    }
}

#[repr(C)]
pub(crate) struct Version {
    pub major: c_int,
    pub minor: c_int,
    pub patch: c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Argument {
    pub name: c_int,
    pub memory: *mut c_void,
}

pub(crate) type Dims = [i64; 12];
pub(crate) type Handle = *mut c_void;
pub(crate) type Desc = *const MemoryDesc;
type Init4 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;
type Init5 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, Desc, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;
type Init6 = unsafe extern "C" fn(*mut ConvolutionDesc, c_int, c_int, Desc, Desc, Desc, Desc, *const i64, *const i64, *const i64) -> c_int;

/// Declares the table of functions and how it is filled.
macro_rules! functions {
    ($($name:ident: $kind:ty = $symbol:literal,)*) => {
        pub(crate) struct Functions { $(pub $name: $kind,)* }

        impl Functions {
            /// Looks each function up; names the first that is not there.
            pub fn of(library: &libloading::Library) -> std::result::Result<Functions, String> {
                // SAFETY: the signatures are those of dnnl.h of version 2, whose symbols these are.
                unsafe { Ok(Functions { $($name: *library.get::<$kind>($symbol).map_err(|e| e.to_string())?,)* }) }
            }
        }
    };
}

functions! {
    version: unsafe extern "C" fn() -> *const Version = b"dnnl_version\0",
    engine_create: unsafe extern "C" fn(*mut Handle, c_int, usize) -> c_int = b"dnnl_engine_create\0",
    stream_create: unsafe extern "C" fn(*mut Handle, Handle, c_uint) -> c_int = b"dnnl_stream_create\0",
    stream_wait: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_stream_wait\0",
    stream_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_stream_destroy\0",
    desc_by_tag: unsafe extern "C" fn(*mut MemoryDesc, c_int, *const i64, c_int, c_int) -> c_int = b"dnnl_memory_desc_init_by_tag\0",
    desc_size: unsafe extern "C" fn(Desc) -> usize = b"dnnl_memory_desc_get_size\0",
    desc_equal: unsafe extern "C" fn(Desc, Desc) -> c_int = b"dnnl_memory_desc_equal\0",
    memory_create: unsafe extern "C" fn(*mut Handle, Desc, Handle, Handle) -> c_int = b"dnnl_memory_create\0",
    memory_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_memory_destroy\0",
    attr_create: unsafe extern "C" fn(*mut Handle) -> c_int = b"dnnl_primitive_attr_create\0",
    attr_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_attr_destroy\0",
    attr_scratchpad: unsafe extern "C" fn(Handle, c_int) -> c_int = b"dnnl_primitive_attr_set_scratchpad_mode\0",
    forward_init: Init6 = b"dnnl_convolution_forward_desc_init\0",
    data_init: Init4 = b"dnnl_convolution_backward_data_desc_init\0",
    weights_init: Init5 = b"dnnl_convolution_backward_weights_desc_init\0",
    desc_create: unsafe extern "C" fn(*mut Handle, *const c_void, Handle, Handle, Handle) -> c_int = b"dnnl_primitive_desc_create\0",
    reorder_create: unsafe extern "C" fn(*mut Handle, Desc, Handle, Desc, Handle, Handle) -> c_int = b"dnnl_reorder_primitive_desc_create\0",
    desc_query_md: unsafe extern "C" fn(Handle, c_int, c_int) -> Desc = b"dnnl_primitive_desc_query_md\0",
    desc_query: unsafe extern "C" fn(Handle, c_int, c_int, *mut c_void) -> c_int = b"dnnl_primitive_desc_query\0",
    desc_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_desc_destroy\0",
    primitive_create: unsafe extern "C" fn(*mut Handle, Handle) -> c_int = b"dnnl_primitive_create\0",
    primitive_execute: unsafe extern "C" fn(Handle, Handle, c_int, *const Argument) -> c_int = b"dnnl_primitive_execute\0",
    primitive_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_destroy\0",
    omp_set_num_threads: unsafe extern "C" fn(c_int) = b"omp_set_num_threads\0",
}
