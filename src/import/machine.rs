//! The stack machine that reads a pickle: the opcodes PyTorch writes, and no others.

use std::collections::HashMap;

use super::error::{Error, Result, corrupt};
use super::input::Input;
use super::pickle::{Id, Limits, Value};
use super::torch_calls;

const MAX_MARKS: usize = 1_000;

/// The state of a reading.
pub(super) struct Machine<'a> {
    input: Input<'a>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where MARK was called.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// One value per imported name.
    globals: HashMap<(String, String), Id>,
    /// Items that calls have copied: a shared list may be copied often, each time for a few bytes of input.
    copied: usize,
    limits: Limits,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], limits: Limits) -> Self {
        let (stack, marks, memo, globals) = (Vec::new(), Vec::new(), HashMap::new(), HashMap::new());
        Machine { input: Input { bytes: input, at: 0 }, values: Vec::new(), stack, marks, memo, globals, copied: 0, limits }
    }

    /// All values built, and the number of bytes read.
    pub(super) fn into_values(self) -> (Vec<Value>, usize) {
        (self.values, self.input.at)
    }

    /// Runs to STOP and gives the value it leaves.
    pub(super) fn run(&mut self) -> Result<Id> {
        loop {
            if self.input.at > self.limits.bytes {
                return Err(Error::TooLarge(format!("its pickle is longer than {} bytes", self.limits.bytes)));
            }
            let start = self.input.at;
            let opcode = self.input.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            let known = self.scalar(opcode)? || self.container(opcode)? || self.bookkeeping(opcode)? || self.name_or_call(opcode)?;
            if !(known || self.object(opcode)?) {
                return Err(refused_opcode(opcode, start));
            }
        }
    }

    /// Opcodes that push one plain value.
    fn scalar(&mut self, opcode: u8) -> Result<bool> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            b'K' => Value::Int(self.input.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            0x8a | 0x8b => {
                let length = if opcode == 0x8a { self.input.byte()?.into() } else { u32::from_le_bytes(self.input.array()?) };
                let start = self.input.at;
                self.input.long(length as usize)?.map_or(Value::Bytes(start..self.input.at), Value::Int)
            }
            b'G' => Value::Float(f64::from_be_bytes(self.input.array()?)),
            b'X' => {
                let length = u32::from_le_bytes(self.input.array()?) as usize;
                Value::Text(self.input.utf8(length)?)
            }
            0x8c => {
                let length = self.input.byte()? as usize;
                Value::Text(self.input.utf8(length)?)
            }
            b'U' | b'T' => {
                let length = if opcode == b'U' { self.input.byte()?.into() } else { u32::from_le_bytes(self.input.array()?) };
                let start = self.input.at;
                bytes_or_text(self.input.take(length as usize)?, start)
            }
            b'C' | b'B' => {
                let length = if opcode == b'C' { self.input.byte()?.into() } else { u32::from_le_bytes(self.input.array()?) };
                self.bytes(length as usize)?
            }
            0x8d => {
                let length = self.input.length()?;
                Value::Text(self.input.utf8(length)?)
            }
            0x8e | 0x96 => {
                let length = self.input.length()?;
                self.bytes(length)?
            }
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// Bytes stay where they are.
    fn bytes(&mut self, length: usize) -> Result<Value> {
        let start = self.input.at;
        self.input.take(length)?;
        Ok(Value::Bytes(start..self.input.at))
    }

    /// Opcodes that make or fill tuples, lists and dicts.
    fn container(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            // What lies in a set is no weight, so that it may be a list.
            b']' | 0x8f => self.push(Value::List(Vec::new()))?,
            0x85..=0x87 => {
                let length = (opcode - 0x84) as usize;
                let from = self.floor().checked_add(length).filter(|need| *need <= self.stack.len());
                let from = from.map(|_| self.stack.len() - length).ok_or_else(underflow)?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))?;
            }
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))?;
            }
            b'd' => {
                let items = pairs(self.pop_mark()?)?;
                self.push(Value::Dict(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let items = pairs(self.pop_mark()?)?;
                self.extend_dict(items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that move values about.
    fn bookkeeping(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            0x80 => {
                let protocol = self.input.byte()?;
                if !(2..=5).contains(&protocol) {
                    return Err(corrupt(format!("pickle protocol {protocol} is not one PyTorch writes")));
                }
            }
            0x95 => {
                let length = u64::from_le_bytes(self.input.array()?);
                if length > self.input.left() as u64 {
                    return Err(corrupt("a pickle frame is longer than the file"));
                }
            }
            b'(' => {
                if self.marks.len() == MAX_MARKS {
                    return Err(corrupt("its pickle is nested too deeply"));
                }
                self.marks.push(self.stack.len());
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => {
                let slot = self.input.byte()?.into();
                self.remember(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.remember(slot)?;
            }
            0x94 => {
                let slot = self.memo.len() as u32;
                self.remember(slot)?;
            }
            b'h' => {
                let slot = self.input.byte()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.recall(slot)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that import a name or apply one; here is where a pickle would run code.
    fn name_or_call(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'c' => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.import(module, name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                    return Err(corrupt("it imports a name that is not text"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.import(module, name)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let value = torch_calls::apply(&self.values, callable, arguments)?;
                if let Value::Dict(items) = &value {
                    self.copied += items.len();
                }
                if self.copied > self.limits.values {
                    return Err(Error::TooLarge("its pickle copies too many values".into()));
                }
                self.push(value)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let value = torch_calls::storage(&self.values, id)?;
                self.push(value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that make an object of a class or set its state.
    fn object(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'i' => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.pop_mark()?;
                self.import(module, name)?;
                let class = self.pop()?;
                self.instance(class, None, "INST")?;
            }
            b'o' => {
                let class = self.pop_mark()?.first().copied().ok_or_else(underflow)?;
                self.instance(class, None, "OBJ")?;
            }
            0x81 | 0x92 => {
                // What is given by name comes last, and nothing that is read here is made so.
                if opcode == 0x92 {
                    self.pop()?;
                }
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.instance(class, Some(arguments), "NEWOBJ")?;
            }
            b'b' => {
                // State of an OrderedDict is its `_metadata`, which nothing needs; a list or tuple has none.
                let state = self.pop()?;
                let object = self.top()?;
                match &mut self.values[object] {
                    Value::Object(object) => object.state = Some(state),
                    Value::Dict(_) | Value::Tensor(_) => {}
                    _ => return Err(Error::RefusedGlobal { global: "__setstate__".into(), why: "it sets the state of an object".into() }),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn import(&mut self, module: String, name: String) -> Result<()> {
        let key = (module, name);
        if let Some(&id) = self.globals.get(&key) {
            self.stack.push(id);
            return Ok(());
        }
        let value = torch_calls::named(&key.0, &key.1)?;
        self.push(value)?;
        let id = self.top()?;
        self.globals.insert(key, id);
        Ok(())
    }

    fn instance(&mut self, class: Id, arguments: Option<Id>, opcode: &str) -> Result<()> {
        let value = torch_calls::instance(&self.values, class, arguments, opcode)?;
        self.push(value)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        if self.values.len() >= self.limits.values {
            return Err(Error::TooLarge(format!("its pickle holds more than {} values", self.limits.values)));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    /// Height below which values belong to an open MARK.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&self) -> Result<Id> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.copied().ok_or_else(underflow)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            Value::Object(_) => {}
            _ => return Err(corrupt("it appends to something that is not a list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: Vec<(Id, Id)>) -> Result<()> {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(dict) => dict.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err(corrupt("it sets an item of something that is not a dict")),
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
        let id = self.top()?;
        if self.memo.len() >= self.limits.values {
            return Err(Error::TooLarge("its pickle remembers too many values".into()));
        }
        self.memo.insert(slot, id);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let id = *self.memo.get(&slot).ok_or_else(|| corrupt("it recalls a value it never remembered"))?;
        self.stack.push(id);
        Ok(())
    }
}

/// Python 2 had one kind of string for both; names of tensors are ASCII in all its files.
fn bytes_or_text(bytes: &[u8], start: usize) -> Value {
    std::str::from_utf8(bytes).map_or(Value::Bytes(start..start + bytes.len()), |text| Value::Text(text.to_owned()))
}

fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        return Err(corrupt("a dict has a key without a value"));
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn underflow() -> Error {
    corrupt("its pickle takes values that are not there")
}

fn refused_opcode(opcode: u8, at: usize) -> Error {
    let name = match opcode {
        0x82..=0x84 => "EXT",
        b'P' => "PERSID",
        0x97 | 0x98 => "an out-of-band buffer",
        _ => return corrupt(format!("opcode 0x{opcode:02x} at byte {at} of its pickle is not one PyTorch writes")),
    };
    Error::RefusedGlobal { global: name.into(), why: "this opcode makes objects of a class the file names".into() }
}
