//! A reader for the pickles PyTorch writes, which builds plain values and executes nothing.
//!
//! A pickle is a program for a stack machine, and Python runs it with every function it can import. Ours
//! (`machine`) knows the opcodes that build data, and a handful of names ([`Global`]) that PyTorch needs to say
//! "here is a tensor". Of the others (`globals`) those that could do harm end the reading; the rest are carried as
//! opaque values, and what Python would make by calling them is an opaque object here. Values live in an arena and
//! refer to each other by index, so that cycles and shared values cost nothing, and all work is bounded by the input's size.

use super::error::Result;
use super::machine::Machine;
use super::tensor::Dtype;

/// Index of a value in the arena.
pub type Id = usize;

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
    Bytes,
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
    let mut machine = Machine::new(input);
    let root = machine.run()?;
    let (values, length) = machine.into_values();
    Ok(Pickle { values, root, length })
}

#[cfg(test)]
#[path = "pickle_tests.rs"]
mod tests;
