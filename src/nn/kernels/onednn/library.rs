//! oneDNN, found at run time, and handles that give back what they hold. Facts are from oneDNN's header `dnnl.h`;
//! every status is checked and named.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ops::Deref;
use std::ptr;
use std::sync::OnceLock;

use super::ffi::{Argument, Desc, Description, Functions, Handle};
pub(crate) use super::interface::{Failure, Kind, Order, Result, Role, Steps};
use super::interface::{Interface, Request, named};
use super::{v2, v3};

/// Version 3 as upstream and Ubuntu 24.04 name it, version 3 as Debian has since 13, version 2. The newer is first because
/// it is never slower: training steps of ResNet-18 and MobileNetV2 take it 5 to 10 % less, with bf16 as well.
pub(super) const NAMES: [&str; 3] = ["libdnnl.so.3", "libdnnl.so.3.6", "libdnnl.so.2"];
const MISSING: &str = "oneDNN is not installed; Debian, Ubuntu: apt-get install '^libdnnl[0-9.]+$'";

const USER_SCRATCHPAD: c_int = 1;
const CPU: c_int = 1;
const IN_ORDER: c_uint = 1;
const IMPLEMENTATION: c_int = 8;
const SEQUENTIAL: c_uint = 1;
const OPENMP: c_uint = 2;

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

/// What a primitive description can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Query {
    Weights = 131,
    DiffWeights = 132,
    Scratchpad = 136,
}

type SetThreads = unsafe extern "C" fn(c_int);

/// The library, loaded once and never unloaded.
pub(crate) struct Library {
    f: Functions,
    own: Box<dyn Interface>,
    engine: Handle,
    /// Absent where it has no threads of its own.
    set_threads: Option<SetThreads>,
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
    /// The first that is there and can be used; else why the last that is there cannot.
    fn load() -> std::result::Result<Library, String> {
        let mut reason = MISSING.to_owned();
        for name in NAMES {
            // SAFETY: oneDNN's initialisers only set up the library itself and its threads.
            let found = unsafe { libloading::Library::new(name) };
            match found.map(Library::of) {
                Ok(Ok(library)) => return Ok(library),
                Ok(Err(why)) => {
                    tracing::debug!(name, why, "oneDNN is passed over");
                    reason = format!("{name} cannot be used: {why}");
                }
                Err(error) => tracing::debug!(%error, "oneDNN is not loaded"),
            }
        }
        Err(reason)
    }

    fn of(library: libloading::Library) -> std::result::Result<Library, String> {
        // OpenMP's threads may live until the process ends, so their code must too.
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        let f = Functions::of(library)?;
        // SAFETY: the library answers a pointer to a constant of its own.
        let about = unsafe { &*(f.version)() };
        let version = (about.major, about.minor, about.patch);
        let own: Box<dyn Interface> = match about.major {
            2 => Box::new(v2::Functions::of(library)?),
            3 => Box::new(v3::Functions::of(library)?),
            _ => return Err(format!("the interface of oneDNN {}.{}.{} is not known", version.0, version.1, version.2)),
        };
        let set_threads = match about.cpu_runtime {
            SEQUENTIAL => None,
            // SAFETY: OpenMP, which the library itself has loaded, declares it so.
            OPENMP => Some(*unsafe { library.get::<SetThreads>(b"omp_set_num_threads\0") }.map_err(|e| e.to_string())?),
            // A pool that we cannot keep out of the way of ours.
            _ => return Err("it was built without OpenMP, so its threads cannot be counted".into()),
        };
        let mut engine = ptr::null_mut();
        // SAFETY: writes one handle.
        match unsafe { (f.engine_create)(&mut engine, CPU, 0) } {
            0 => Ok(Library { f, own, engine, set_threads, version }),
            status => Err(format!("it has no CPU engine (status {status})")),
        }
    }

    /// How many threads the primitives use that this thread makes and runs from now on.
    pub fn use_threads(&self, threads: usize) {
        thread_local! { static NOW: std::cell::Cell<usize> = const { std::cell::Cell::new(0) }; }
        if NOW.replace(threads) != threads
            && let Some(set_threads) = self.set_threads
        {
            // SAFETY: sets a variable of the calling thread.
            unsafe { set_threads(threads as c_int) };
        }
    }

    pub fn memory_desc(&'static self, dims: &[usize], kind: Kind, order: Order) -> Result<MemoryDesc> {
        Ok(MemoryDesc { library: self, handle: self.own.tensor(dims, kind, order)? })
    }

    /// Whether two tensors lie in memory alike.
    pub fn same(&self, a: &MemoryDesc, b: Desc) -> bool {
        // SAFETY: both point to descriptions the library made; `b`'s owner is alive as the caller holds it.
        unsafe { (self.f.desc_equal)(a.handle, b) != 0 }
    }

    /// Bytes a tensor takes.
    fn size(&self, desc: Desc) -> usize {
        // SAFETY: as above.
        if desc.is_null() { 0 } else { unsafe { (self.f.desc_size)(desc) } }
    }

    /// A primitive description of a convolution: `tensors` are input, weights and output by their roles, whichever of
    /// them is the result; `hint` is the forward one that gradients ask for.
    pub fn describe(
        &'static self,
        role: Role,
        [x, weights, y]: &[MemoryDesc; 3],
        steps: &Steps,
        hint: Option<&PrimitiveDesc>,
    ) -> Result<PrimitiveDesc> {
        let mut attributes = Attributes { library: self, handle: ptr::null_mut() };
        // SAFETY: writes one handle, which `Attributes` gives back.
        named("primitive_attr_create", unsafe { (self.f.attr_create)(&mut attributes.handle) })?;
        // SAFETY: the handle was made above.
        named("primitive_attr_set_scratchpad_mode", unsafe { (self.f.attr_scratchpad)(attributes.handle, USER_SCRATCHPAD) })?;
        let request = Request {
            role,
            tensors: [x.handle, weights.handle, y.handle],
            steps,
            engine: self.engine,
            attributes: attributes.handle,
            hint: hint.map_or(ptr::null_mut(), |hint| hint.handle),
        };
        // SAFETY: the engine lives as long as the process, all else is borrowed or held here.
        Ok(PrimitiveDesc { library: self, handle: unsafe { self.own.convolution(&request) }? })
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

/// A tensor's description.
pub(crate) struct MemoryDesc {
    library: &'static Library,
    handle: *mut Description,
}

// SAFETY: nothing writes a description between its making and its end.
unsafe impl Send for MemoryDesc {}
// SAFETY: as above.
unsafe impl Sync for MemoryDesc {}

impl Deref for MemoryDesc {
    type Target = Description;

    fn deref(&self) -> &Description {
        // SAFETY: the handle is alive and not null, and the type has no bytes that could be read or changed through it.
        unsafe { &*self.handle }
    }
}

impl Drop for MemoryDesc {
    fn drop(&mut self) {
        // SAFETY: made by the same interface and given back once.
        unsafe { self.library.own.forget(self.handle) };
    }
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
