//! A walk over the opcodes of pickles, one after the other, as Python's `Unpickler` takes them, with nothing on the stack but
//! which texts could be names and which values are names. Where Python would end with an error, what follows is no
//! pickle; where ours could differ from Python's, it goes on rather than ends.

mod registers;

use std::collections::HashMap;
use std::io;

use super::input::Input;
use super::{Budget, Findings};
use crate::import::globals::is_harmless;

const MOST_VALUES: usize = 2_000_000;

/// What a value on the stack is to us.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    Other,
    /// A text, by its place among those kept.
    Text(u32),
    /// A text that is not read, or what a call or a loader answers: it may be any.
    Unread,
    /// What a name stands for: a function or a class.
    Named,
}

enum End {
    /// The pickle is whole.
    Stop,
    /// Python would go no further: there is no pickle here, or none from here on.
    Error,
    /// Nothing more needs to be known.
    Unsafe,
}

/// Why a step ends a walk.
enum Halt {
    NoPickle,
    Unsafe,
    TooLarge,
    Io(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Halt {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Halt::NoPickle,
            _ => Halt::Io(error),
        }
    }
}

type Step<T = ()> = Result<T, Halt>;

/// Walks over the pickles that begin here, until something else does. Answers where the last whole one ends.
pub(super) fn pickles(input: &mut Input, budget: &mut Budget, findings: &mut Findings) -> io::Result<u64> {
    let mut whole = input.passed();
    loop {
        let mut walk = Walk::new(input, budget);
        let end = walk.run();
        let (proto, names, calls, refused) = (walk.proto, walk.names, walk.calls, walk.refused.take());
        match end {
            // Without a protocol a text is a pickle only where it calls something: a list of words may look like imports.
            Ok(End::Stop) => {
                findings.pickle |= proto || calls > 0;
                whole = input.passed();
            }
            Ok(End::Error) | Err(Halt::NoPickle) => {
                findings.pickle |= proto && names > 0;
                return Ok(whole);
            }
            Ok(End::Unsafe) | Err(Halt::Unsafe) => {
                findings.pickle = true;
                findings.refuse(refused.unwrap_or_default());
                return Ok(whole);
            }
            Err(Halt::TooLarge) => {
                findings.pickle |= proto;
                if proto || names > 0 {
                    findings.refuse("a pickle too large to be looked through".into());
                } else {
                    findings.pass_over("it is too large to be looked through");
                }
                return Ok(whole);
            }
            Err(Halt::Io(error)) => return Err(error),
        }
    }
}

/// The first name that is not harmless in the one pickle that begins here, if one does.
pub(super) fn find_harm(input: &mut Input, budget: &mut Budget) -> io::Result<Option<String>> {
    let mut walk = Walk::new(input, budget);
    match walk.run() {
        // Random bytes do not import a name.
        Ok(End::Unsafe) | Err(Halt::Unsafe) if walk.names > 0 => Ok(walk.refused.take()),
        Err(Halt::Io(error)) => Err(error),
        _ => Ok(None),
    }
}

struct Walk<'w, 'a> {
    input: &'w mut Input<'a>,
    budget: &'w mut Budget,
    /// Names imported so far, and calls.
    names: usize,
    calls: usize,
    kept: usize,
    texts: Vec<Box<str>>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    /// It says that it is a pickle.
    proto: bool,
    /// The first name that is not on the list.
    refused: Option<String>,
}

impl<'w, 'a> Walk<'w, 'a> {
    fn new(input: &'w mut Input<'a>, budget: &'w mut Budget) -> Walk<'w, 'a> {
        Walk {
            input,
            budget,
            names: 0,
            calls: 0,
            kept: 0,
            texts: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            proto: false,
            refused: None,
        }
    }

    fn run(&mut self) -> Step<End> {
        loop {
            self.budget.opcodes = self.budget.opcodes.checked_sub(1).ok_or(Halt::TooLarge)?;
            self.budget.unpacked_bytes = self.budget.unpacked_bytes.checked_sub(self.input.take_unpacked()).ok_or(Halt::TooLarge)?;
            let opcode = self.input.byte()?;
            if opcode == b'.' {
                self.pop()?;
                return Ok(End::Stop);
            }
            if !(self.scalar(opcode)? || self.container(opcode)? || self.memory(opcode)? || self.naming(opcode)?) {
                return Ok(End::Error);
            }
            if self.proto && self.refused.is_some() {
                return Ok(End::Unsafe);
            }
        }
    }

    /// Opcodes that push one plain value.
    fn scalar(&mut self, opcode: u8) -> Step<bool> {
        let value = match opcode {
            b'N' | 0x88 | 0x89 => Value::Other,
            b'J' => self.pass(4)?,
            b'K' => self.pass(1)?,
            b'M' => self.pass(2)?,
            b'G' => self.pass(8)?,
            0x8a => {
                let length = self.input.byte()?;
                self.pass(length.into())?
            }
            0x8b | b'B' => {
                let length = u32::from_le_bytes(self.input.array()?);
                self.pass(length.into())?
            }
            b'C' => {
                let length = self.input.byte()?;
                self.pass(length.into())?
            }
            0x8e | 0x96 => {
                let length = u64::from_le_bytes(self.input.array()?);
                self.pass(length)?
            }
            b'X' | b'T' => {
                let length = u32::from_le_bytes(self.input.array()?);
                self.text(length.into())?
            }
            0x8c | b'U' => {
                let length = self.input.byte()?;
                self.text(length.into())?
            }
            0x8d => {
                let length = u64::from_le_bytes(self.input.array()?);
                self.text(length)?
            }
            b'I' | b'L' | b'F' | b'S' | b'V' | b'P' => {
                let line = self.line()?;
                self.written(opcode, &line)?
            }
            0x97 => Value::Other,
            _ => return Ok(false),
        };
        self.push(value)?;
        Ok(true)
    }

    /// A value written as a line of text.
    fn written(&mut self, opcode: u8, line: &[u8]) -> Step<Value> {
        let number = |also: &[u8]| line.iter().all(|byte| byte.is_ascii_hexdigit() || b"_+- \t\r".contains(byte) || also.contains(byte));
        match opcode {
            b'I' | b'L' if !number(b"xXoOlL") || line.is_empty() => Err(Halt::NoPickle),
            b'F' if !number(b".infatyINFATY") || line.is_empty() => Err(Halt::NoPickle),
            b'S' => {
                let text = line.trim_ascii();
                let inside = match text {
                    [open @ (b'\'' | b'"'), inside @ .., close] if open == close => inside,
                    _ => return Err(Halt::NoPickle),
                };
                Ok(if inside.contains(&b'\\') { Value::Unread } else { self.keep(inside) })
            }
            b'V' => Ok(if line.contains(&b'\\') { Value::Unread } else { self.keep(line) }),
            // What a persistent id stands for is the loader's to say.
            b'P' => Ok(Value::Unread),
            _ => Ok(Value::Other),
        }
    }

    /// Opcodes that make or fill tuples, lists, dicts and sets.
    fn container(&mut self, opcode: u8) -> Step<bool> {
        match opcode {
            b')' | b'}' | b']' | 0x8f => self.push(Value::Other)?,
            0x85..=0x87 => {
                for _ in 0x84..opcode {
                    self.pop()?;
                }
                self.push(Value::Other)?;
            }
            b't' | b'l' | b'd' | 0x91 => {
                self.pop_mark()?;
                self.push(Value::Other)?;
            }
            b'a' => {
                self.pop()?;
                self.top()?;
            }
            b's' => {
                self.pop()?;
                self.pop()?;
                self.top()?;
            }
            b'e' | b'u' | 0x90 => {
                self.pop_mark()?;
                self.top()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that move values about.
    fn memory(&mut self, opcode: u8) -> Step<bool> {
        match opcode {
            0x80 => {
                if self.input.byte()? > 5 {
                    return Err(Halt::NoPickle);
                }
                self.proto = true;
            }
            0x95 => drop(self.input.array::<8>()?),
            b'(' => {
                if self.marks.len() >= MOST_VALUES {
                    return Err(Halt::TooLarge);
                }
                self.marks.push(self.stack.len());
            }
            b'0' if self.stack.len() == self.floor() && !self.marks.is_empty() => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => self.pop_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'q' => {
                let slot = self.input.byte()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.remember(slot.into())?;
            }
            b'p' => {
                let slot = self.slot()?;
                self.remember(slot)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'h' => {
                let slot = self.input.byte()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.input.array()?);
                self.recall(slot.into())?;
            }
            b'g' => {
                let slot = self.slot()?;
                self.recall(slot)?;
            }
            b'Q' => {
                self.pop()?;
                self.push(Value::Unread)?;
            }
            0x98 => drop(self.top()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opcodes that import a name, call one, or change what it stands for.
    fn naming(&mut self, opcode: u8) -> Step<bool> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.import(&module, &name)?;
                self.push(Value::Named)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                if module == Value::Other || name == Value::Other {
                    return Err(Halt::NoPickle);
                }
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    self.refuse("a name that the pickle puts together".into());
                    return self.call(Value::Named).map(|()| true);
                };
                let (module, name) = (self.texts[module as usize].clone(), self.texts[name as usize].clone());
                self.import(module.as_bytes(), name.as_bytes())?;
                self.push(Value::Named)?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.pop_mark()?;
                self.import(&module, &name)?;
                self.call(Value::Named)?;
            }
            b'o' => {
                let mark = *self.marks.last().ok_or(Halt::NoPickle)?;
                let class = *self.stack.get(mark).ok_or(Halt::NoPickle)?;
                self.pop_mark()?;
                self.call(class)?;
            }
            b'R' | 0x81 => {
                self.pop()?;
                let called = self.pop()?;
                self.call(called)?;
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                let called = self.pop()?;
                self.call(called)?;
            }
            b'b' => {
                self.pop()?;
                if self.top()? == Value::Named {
                    self.refuse("a change to a function or class".into());
                }
                if self.refused.is_some() {
                    return Err(Halt::Unsafe);
                }
            }
            0x82..=0x84 => self.registered([1, 2, 4][usize::from(opcode - 0x82)])?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn import(&mut self, module: &[u8], name: &[u8]) -> Step {
        let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        let (module, name) = (module.trim_end_matches('\r'), name.trim_end_matches('\r'));
        // Python finds nothing that is spelt otherwise, and stops.
        let spelt = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '<' | '>') || !c.is_ascii())
        };
        if !spelt(module) || !spelt(name) || module.split('.').any(str::is_empty) {
            return Err(Halt::NoPickle);
        }
        self.names += 1;
        if !is_harmless(module, name) {
            self.refuse(format!("{module}.{name}").chars().take(120).collect());
        }
        Ok(())
    }

    fn refuse(&mut self, name: String) {
        self.refused.get_or_insert(name);
    }
}
