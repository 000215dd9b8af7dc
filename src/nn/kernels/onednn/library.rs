//! oneDNN's C interface (version 2), found at run time: the functions we call, and handles that give back what they
//! hold. Facts are from oneDNN's header `dnnl.h`; every status is checked and named.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr;
use std::sync::OnceLock;

pub(crate) use super::ffi::MemoryDesc;
use super::ffi::{Argument, ConvolutionDesc, Desc, Dims, Functions, Handle};

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

/// Debian and Ubuntu name the library by the version of its interface.
const NAME: &str = "libdnnl.so.2";
const MAJOR: c_int = 2;

const FORWARD_TRAINING: c_int = 64;
const DIRECT: c_int = 1;
const USER_SCRATCHPAD: c_int = 1;
const CPU: c_int = 1;
const IN_ORDER: c_uint = 1;
const IMPLEMENTATION: c_int = 8;

/// Names of tensors among a primitive's arguments, and the queries for their descriptions.
pub(crate) mod tensor {
    use std::ffi::c_int;
    pub const SRC: c_int = 1;
    pub const DST: c_int = 17;
    pub const WEIGHTS: c_int = 33;
    pub const DIFF_SRC: c_int = 129;
    pub const DIFF_DST: c_int = 145;
    pub const DIFF_WEIGHTS: c_int = 161;
    pub const SCRATCHPAD: c_int = 80;
}

/// Orders in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// What the primitive likes best.
    Any = 1,
    /// Dimensions in their order: `(O, I, h, w)`.
    Plain4 = 5,
    /// The same with groups first.
    Plain5 = 7,
    /// Named `(B, C, H, W)`, stored channels last.
    ChannelsLast = 20,
}

/// Of the numbers in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bf16 = 2,
    F32 = 3,
}

/// What a primitive description can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Query {
    Weights = 131,
    DiffWeights = 132,
    Scratchpad = 136,
}

/// The library, loaded once and never unloaded.
pub(crate) struct Library {
    f: Functions,
    engine: Handle,
    pub version: (i32, i32, i32),
}

// SAFETY: the functions are thread-safe by oneDNN's documentation, and the engine is only read after its creation.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

/// The library, or why there is none.
pub(crate) fn library() -> std::result::Result<&'static Library, &'static str> {
    static LIBRARY: OnceLock<std::result::Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(Library::load).as_ref().map_err(String::as_str)
}

impl Library {
    fn load() -> std::result::Result<Library, String> {
        // SAFETY: oneDNN's initialisers only set up the library itself and its OpenMP.
        let library = unsafe { libloading::Library::new(NAME) };
        let missing = |_| format!("{NAME} is not installed; Debian, Ubuntu: apt-get install libdnnl2");
        let library = library.map_err(missing)?;
        // OpenMP's threads may live until the process ends, so their code must too.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        let f = Functions::of(library)?;
        // SAFETY: the library answers a pointer to a constant of its own.
        let version = unsafe { &*(f.version)() };
        let version = (version.major, version.minor, version.patch);
        if version.0 != MAJOR {
            return Err(format!("oneDNN {}.{}.{} has another interface than version {MAJOR}", version.0, version.1, version.2));
        }
        let mut engine = ptr::null_mut();
        // SAFETY: writes one handle.
        match unsafe { (f.engine_create)(&mut engine, CPU, 0) } {
            0 => Ok(Library { f, engine, version }),
            status => Err(format!("oneDNN has no CPU engine (status {status})")),
        }
    }

    /// How many threads the primitives use that this thread makes and runs from now on.
    pub fn use_threads(&self, threads: usize) {
        thread_local! { static NOW: std::cell::Cell<usize> = const { std::cell::Cell::new(0) }; }
        if NOW.replace(threads) != threads {
            // SAFETY: sets a variable of the calling thread.
            unsafe { (self.f.omp_set_num_threads)(threads as c_int) };
        }
    }

    pub fn memory_desc(&self, dims: &[usize], kind: Kind, order: Order) -> Result<Box<MemoryDesc>> {
        let (mut desc, sizes) = (Box::new(MemoryDesc::empty()), dims_of(dims));
        // SAFETY: `desc` is large enough for version 2's struct, and `sizes` holds twelve dimensions, the most there are.
        named("memory_desc_init_by_tag", unsafe {
            (self.f.desc_by_tag)(&mut *desc, dims.len() as c_int, sizes.as_ptr(), kind as c_int, order as c_int)
        })?;
        Ok(desc)
    }

    /// Whether two tensors lie in memory alike.
    pub fn same(&self, a: &MemoryDesc, b: Desc) -> bool {
        // SAFETY: both point to descriptions the library made; `b`'s owner is alive as the caller holds it.
        unsafe { (self.f.desc_equal)(a, b) != 0 }
    }

    /// Bytes a tensor takes.
    fn size(&self, desc: Desc) -> usize {
        // SAFETY: as above.
        if desc.is_null() { 0 } else { unsafe { (self.f.desc_size)(desc) } }
    }

    /// Describes a convolution: `x`, `weights`, `y` by their roles, whichever of them is the result.
    pub fn convolution(&self, role: Role, [x, weights, y]: [&MemoryDesc; 3], steps: &Steps) -> Result<Box<ConvolutionDesc>> {
        let mut desc = ConvolutionDesc::empty();
        let (strides, before, after) = (steps.strides.as_ptr(), steps.before.as_ptr(), steps.after.as_ptr());
        let none: Desc = ptr::null();
        // SAFETY: `desc` is large enough for version 2's struct; all descriptions and dimensions outlive the call, and
        // a null description says that there is no bias.
        let status = unsafe {
            match role {
                Role::Forward => (self.f.forward_init)(&mut *desc, FORWARD_TRAINING, DIRECT, x, weights, none, y, strides, before, after),
                Role::InputGradient => (self.f.data_init)(&mut *desc, DIRECT, x, weights, y, strides, before, after),
                Role::WeightGradient => (self.f.weights_init)(&mut *desc, DIRECT, x, weights, none, y, strides, before, after),
            }
        };
        named("convolution_desc_init", status)?;
        Ok(desc)
    }

    /// A primitive description; `hint` is the forward one that gradients ask for.
    pub fn describe(&'static self, desc: &ConvolutionDesc, hint: Option<&PrimitiveDesc>) -> Result<PrimitiveDesc> {
        let mut attributes = Attributes { library: self, handle: ptr::null_mut() };
        // SAFETY: writes one handle, which `Attributes` gives back.
        named("primitive_attr_create", unsafe { (self.f.attr_create)(&mut attributes.handle) })?;
        // SAFETY: the handle was made above.
        named("primitive_attr_set_scratchpad_mode", unsafe { (self.f.attr_scratchpad)(attributes.handle, USER_SCRATCHPAD) })?;
        let mut handle = ptr::null_mut();
        let hint = hint.map_or(ptr::null_mut(), |hint| hint.handle);
        // SAFETY: all handles are alive; the description was written by the library.
        named("primitive_desc_create", unsafe {
            (self.f.desc_create)(&mut handle, ptr::from_ref(desc).cast(), attributes.handle, self.engine, hint)
        })?;
        Ok(PrimitiveDesc { library: self, handle })
    }

    /// Describes a change of memory order.
    pub fn describe_reorder(&'static self, from: Desc, to: Desc) -> Result<PrimitiveDesc> {
        let mut handle = ptr::null_mut();
        // SAFETY: both descriptions are the library's own and alive; no attributes are needed.
        named("reorder_primitive_desc_create", unsafe {
            (self.f.reorder_create)(&mut handle, from, self.engine, to, self.engine, ptr::null_mut())
        })?;
        Ok(PrimitiveDesc { library: self, handle })
    }
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

struct Attributes {
    library: &'static Library,
    handle: Handle,
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: made by `attr_create` (or null, which the library refuses) and given back once.
        unsafe { (self.library.f.attr_destroy)(self.handle) };
    }
}

/// A primitive that could be made: it knows the memory orders it wants.
pub(crate) struct PrimitiveDesc {
    library: &'static Library,
    handle: Handle,
}

impl PrimitiveDesc {
    /// The description of one of its tensors, alive as long as this.
    pub fn tensor(&self, which: Query) -> Desc {
        // SAFETY: the handle is alive.
        unsafe { (self.library.f.desc_query_md)(self.handle, which as c_int, 0) }
    }

    /// Bytes one of its tensors takes; 0 where it has none.
    pub fn size(&self, which: Query) -> usize {
        self.library.size(self.tensor(which))
    }

    /// The implementation's name.
    pub fn implementation(&self) -> String {
        let mut text: *const c_char = ptr::null();
        // SAFETY: the query writes one pointer to a string that lives as long as the description.
        unsafe {
            let status = (self.library.f.desc_query)(self.handle, IMPLEMENTATION, 0, ptr::from_mut(&mut text).cast());
            if status != 0 || text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }

    pub fn build(self) -> Result<Primitive> {
        let mut handle = ptr::null_mut();
        // SAFETY: writes one handle.
        named("primitive_create", unsafe { (self.library.f.primitive_create)(&mut handle, self.handle) })?;
        Ok(Primitive { desc: self, handle })
    }
}

impl Drop for PrimitiveDesc {
    fn drop(&mut self) {
        // SAFETY: made by the library and given back once.
        unsafe { (self.library.f.desc_destroy)(self.handle) };
    }
}

/// Code for one shape. Several threads may run it at once, because each brings its own scratchpad.
pub(crate) struct Primitive {
    pub desc: PrimitiveDesc,
    handle: Handle,
}

// SAFETY: a primitive in user scratchpad mode has no state that running it changes (oneDNN, "Primitive attributes:
// scratchpad").
unsafe impl Send for Primitive {}
// SAFETY: as above.
unsafe impl Sync for Primitive {}

impl Drop for Primitive {
    fn drop(&mut self) {
        // SAFETY: made by the library and given back once; its description goes after it.
        unsafe { (self.desc.library.f.primitive_destroy)(self.handle) };
    }
}

/// A tensor handed to a primitive: which it is, how it lies, where.
pub(crate) struct Bound<'a> {
    pub name: c_int,
    pub desc: Desc,
    pub values: Values<'a>,
}

pub(crate) enum Values<'a> {
    Read(&'a [f32]),
    Write(&'a mut [f32]),
}

impl Primitive {
    /// Runs on this thread and waits.
    pub fn run<const N: usize>(&self, mut tensors: [Bound<'_>; N]) -> Result<()> {
        let library = self.desc.library;
        let mut stream = Stream { library, handle: ptr::null_mut() };
        // SAFETY: writes one handle, which `Stream` gives back.
        named("stream_create", unsafe { (library.f.stream_create)(&mut stream.handle, library.engine, IN_ORDER) })?;
        let mut memories = Vec::with_capacity(N);
        for tensor in &mut tensors {
            memories.push(Memory::around(library, tensor)?);
        }
        let arguments: Vec<Argument> =
            tensors.iter().zip(&memories).map(|(tensor, memory)| Argument { name: tensor.name, memory: memory.handle }).collect();
        // SAFETY: every tensor's slice was checked to be as large as its description says, what is written is
        // borrowed mutably, and all of it outlives the wait below.
        named("primitive_execute", unsafe {
            (library.f.primitive_execute)(self.handle, stream.handle, arguments.len() as c_int, arguments.as_ptr())
        })?;
        // SAFETY: the stream is alive.
        named("stream_wait", unsafe { (library.f.stream_wait)(stream.handle) })
    }
}

struct Stream {
    library: &'static Library,
    handle: Handle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by the library (or null, which it refuses) and given back once.
        unsafe { (self.library.f.stream_destroy)(self.handle) };
    }
}

struct Memory {
    library: &'static Library,
    handle: Handle,
}

impl Memory {
    fn around(library: &'static Library, tensor: &mut Bound<'_>) -> Result<Memory> {
        let (pointer, bytes) = match &mut tensor.values {
            Values::Read(values) => (values.as_ptr().cast_mut(), size_of_val(*values)),
            Values::Write(values) => (values.as_mut_ptr(), size_of_val(&**values)),
        };
        assert!(bytes >= library.size(tensor.desc), "a tensor is shorter than oneDNN was told");
        let mut handle = ptr::null_mut();
        // SAFETY: the memory is borrowed for longer than the handle lives, and large enough.
        named("memory_create", unsafe { (library.f.memory_create)(&mut handle, tensor.desc, library.engine, pointer.cast()) })?;
        Ok(Memory { library, handle })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by the library and given back once; the values are not its own.
        unsafe { (self.library.f.memory_destroy)(self.handle) };
    }
}

fn named(call: &'static str, status: c_int) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Failure { call, status }) }
}

fn dims_of(dims: &[usize]) -> Dims {
    let mut sizes = [0; 12];
    sizes.iter_mut().zip(dims).for_each(|(size, &dim)| *size = dim as i64);
    sizes
}
