//! A reader for the pickles PyTorch writes, which builds plain values and executes nothing.
//!
//! A pickle is a program for a stack machine, and Python runs it with every function it can import. Ours
//! (`machine`) knows the opcodes that build data, and a handful of names ([`Global`]) that PyTorch needs to say
//! "here is a tensor". Of the others (`globals`) those that could do harm end the reading; the rest are carried as
//! opaque values, and what Python would make by calling them is an opaque object here. Values live in an arena and
//! refer to each other by index, so that cycles and shared values cost nothing, and all work is bounded by the input's size.

use std::ops::Range;

use super::error::Result;
use super::machine::Machine;
use super::tensor::Dtype;

/// Index of a value in the arena.
pub type Id = usize;

/// What one pickle may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) bytes: usize,
    /// Values built, and of those the ones that are remembered.
    pub(super) values: usize,
}

impl Limits {
    /// PyTorch keeps the numbers outside of its pickles, so that real ones are a few hundred KiB.
    pub const WEIGHTS: Limits = Limits { bytes: 32 << 20, values: 1_000_000 };
    /// gensim's hold every word, and small matrices too.
    pub const WORDS: Limits = Limits { bytes: 4 << 30, values: 64_000_000 };
}

/// The names whose calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    /// Of PyTorch before 0.4.
    RebuildPlain,
    RebuildParameter,
    /// A tensor of a class of its own.
    RebuildOfType,
    Size,
    Storage(Dtype),
    Dtype(Dtype),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// Where they lie in the pickle; also a whole number of more than 128 bits.
    Bytes(Range<usize>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    /// A name that is never called, such as `argparse.Namespace`.
    Other(String),
    /// What Python would make of such a name.
    Object(Box<Object>),
    /// A run of `len` elements of the storage `key`, from element `start`.
    Storage(Box<Storage>),
    Tensor(Box<TensorRef>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    pub dtype: Dtype,
    pub key: String,
    /// Elements of the whole storage, as the pickle claims.
    pub len: u64,
    /// First element and number of elements of the part that is seen.
    pub view: (u64, u64),
}

/// An object of a class that nothing is known of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The name it was made of.
    pub class: Id,
    /// The tuple of what it was made with, where there was one.
    pub arguments: Option<Id>,
    /// What Python would set it to afterwards.
    pub state: Option<Id>,
    /// Of what behaves as a dict.
    pub items: Vec<(Id, Id)>,
}

/// A tensor as a window on a storage; nothing is checked against the storage's bytes yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRef {
    pub storage: Storage,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub stride: Vec<u64>,
}

/// What one pickle built.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    pub root: Id,
    /// Bytes read, up to and including STOP.
    pub length: usize,
}

impl Pickle {
    pub fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// All values, in the order they were built.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The class of an object of somebody's.
    pub fn class_of(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Object(object) => self.class_of(object.class),
            Value::Other(name) => Some(name),
            _ => None,
        }
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads one pickle from the beginning of `input`.
pub fn read(input: &[u8]) -> Result<Pickle> {
    read_within(input, Limits::WEIGHTS)
}

/// The same within other limits.
pub fn read_within(input: &[u8], limits: Limits) -> Result<Pickle> {
    let mut machine = Machine::new(input, limits);
    let root = machine.run()?;
    let (values, length) = machine.into_values();
    Ok(Pickle { values, root, length })
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
