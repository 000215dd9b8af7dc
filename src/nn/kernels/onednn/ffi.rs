//! oneDNN's C functions that versions 2 and 3 declare alike (`dnnl.h`), and how a table of functions is filled.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// A description of a tensor in memory, of which only the library knows what it holds.
#[repr(C)]
pub(crate) struct Description([u8; 0]);

#[repr(C)]
pub(super) struct Version {
    pub major: c_int,
    pub minor: c_int,
    pub patch: c_int,
    pub hash: *const c_char,
    /// Whose threads it runs on.
    pub cpu_runtime: c_uint,
    pub gpu_runtime: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Argument {
    pub name: c_int,
    pub memory: *mut c_void,
}

pub(super) type Dims = [i64; 12];
pub(super) type Handle = *mut c_void;
pub(crate) type Desc = *const Description;

pub(super) const FORWARD_TRAINING: c_int = 64;
pub(super) const DIRECT: c_int = 1;

/// Declares the table of functions and how it is filled.
macro_rules! functions {
    ($($name:ident: $kind:ty = $symbol:literal,)*) => {
        pub(super) struct Functions { $(pub $name: $kind,)* }

        impl Functions {
            /// Looks each function up; names the first that is not there.
            pub fn of(library: &libloading::Library) -> std::result::Result<Functions, String> {
                // SAFETY: the signatures are those of dnnl.h of the version that has these symbols.
                unsafe { Ok(Functions { $($name: *library.get::<$kind>($symbol).map_err(|e| e.to_string())?,)* }) }
            }
        }
    };
}
pub(super) use functions;

functions! {
    version: unsafe extern "C" fn() -> *const Version = b"dnnl_version\0",
    engine_create: unsafe extern "C" fn(*mut Handle, c_int, usize) -> c_int = b"dnnl_engine_create\0",
    stream_create: unsafe extern "C" fn(*mut Handle, Handle, c_uint) -> c_int = b"dnnl_stream_create\0",
    stream_wait: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_stream_wait\0",
    stream_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_stream_destroy\0",
    desc_size: unsafe extern "C" fn(Desc) -> usize = b"dnnl_memory_desc_get_size\0",
    desc_equal: unsafe extern "C" fn(Desc, Desc) -> c_int = b"dnnl_memory_desc_equal\0",
    memory_create: unsafe extern "C" fn(*mut Handle, Desc, Handle, Handle) -> c_int = b"dnnl_memory_create\0",
    memory_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_memory_destroy\0",
    attr_create: unsafe extern "C" fn(*mut Handle) -> c_int = b"dnnl_primitive_attr_create\0",
    attr_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_attr_destroy\0",
    attr_scratchpad: unsafe extern "C" fn(Handle, c_int) -> c_int = b"dnnl_primitive_attr_set_scratchpad_mode\0",
    reorder_create: unsafe extern "C" fn(*mut Handle, Desc, Handle, Desc, Handle, Handle) -> c_int = b"dnnl_reorder_primitive_desc_create\0",
    desc_query_md: unsafe extern "C" fn(Handle, c_int, c_int) -> Desc = b"dnnl_primitive_desc_query_md\0",
    desc_query: unsafe extern "C" fn(Handle, c_int, c_int, *mut c_void) -> c_int = b"dnnl_primitive_desc_query\0",
    desc_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_desc_destroy\0",
    primitive_create: unsafe extern "C" fn(*mut Handle, Handle) -> c_int = b"dnnl_primitive_create\0",
    primitive_execute: unsafe extern "C" fn(Handle, Handle, c_int, *const Argument) -> c_int = b"dnnl_primitive_execute\0",
    primitive_destroy: unsafe extern "C" fn(Handle) -> c_int = b"dnnl_primitive_destroy\0",
}
