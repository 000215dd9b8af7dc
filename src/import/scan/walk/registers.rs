//! What a walk holds: the stack with its marks, the memo, and the texts that could be names; and how its input is read.

use super::{Halt, MOST_VALUES, Step, Value, Walk};

/// Longest text that is kept as a possible name, and bytes of all of them.
const LONGEST_NAME: usize = 512;
const MOST_NAME_BYTES: usize = 16 << 20;
const LONGEST_LINE: usize = 1 << 20;

impl Walk<'_, '_> {
    pub(super) fn push(&mut self, value: Value) -> Step {
        if self.stack.len() >= MOST_VALUES {
            return Err(Halt::TooLarge);
        }
        self.stack.push(value);
        Ok(())
    }

    /// Height below which values belong to an open MARK.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Step<Value> {
        self.stack.last().copied().filter(|_| self.stack.len() > self.floor()).ok_or(Halt::NoPickle)
    }

    pub(super) fn pop(&mut self) -> Step<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn pop_mark(&mut self) -> Step {
        let mark = self.marks.pop().ok_or(Halt::NoPickle)?;
        self.stack.truncate(mark);
        Ok(())
    }

    pub(super) fn remember(&mut self, slot: u64) -> Step {
        let top = self.top()?;
        if self.memo.len() >= MOST_VALUES {
            return Err(Halt::TooLarge);
        }
        self.memo.insert(slot, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, slot: u64) -> Step {
        let value = *self.memo.get(&slot).ok_or(Halt::NoPickle)?;
        self.push(value)
    }

    pub(super) fn pass(&mut self, length: u64) -> Step<Value> {
        self.input.skip(length)?;
        Ok(Value::Other)
    }

    pub(super) fn text(&mut self, length: u64) -> Step<Value> {
        if length > LONGEST_NAME as u64 {
            self.pass(length)?;
            return Ok(Value::Unread);
        }
        let text = self.input.take(length as usize)?;
        Ok(self.keep(&text))
    }

    /// A text that could be a name; one that is too long, or no UTF-8, is not read.
    pub(super) fn keep(&mut self, text: &[u8]) -> Value {
        match std::str::from_utf8(text) {
            Ok(text) if text.len() <= LONGEST_NAME && self.kept + text.len() <= MOST_NAME_BYTES => {
                self.kept += text.len().max(16);
                self.texts.push(text.into());
                Value::Text(self.texts.len() as u32 - 1)
            }
            _ => Value::Unread,
        }
    }

    /// A name by its number. Python knows no such number unless a program has registered it, and ends; so begins one file of
    /// random bytes in eighty.
    pub(super) fn registered(&mut self, length: u64) -> Step {
        self.pass(length)?;
        if !self.proto && self.names == 0 {
            return Err(Halt::NoPickle);
        }
        self.refuse("a name by its number in a registry".into());
        Err(Halt::Unsafe)
    }

    /// The result of a call. Only names are called; what they answer is no function.
    pub(super) fn call(&mut self, called: Value) -> Step {
        // While nothing was imported nothing can be called, and Python ends here.
        if called != Value::Named && self.names == 0 {
            return Err(Halt::NoPickle);
        }
        if called != Value::Named {
            self.refuse("a call of something that is no name".into());
        }
        if self.refused.is_some() {
            return Err(Halt::Unsafe);
        }
        self.calls += 1;
        self.push(Value::Unread)
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> Step<Vec<u8>> {
        let mut most = 256;
        loop {
            let seen = self.input.peek(most)?;
            if let Some(end) = seen.iter().position(|byte| *byte == b'\n') {
                let line = self.input.take(end + 1)?;
                return Ok(line[..end].to_vec());
            }
            if seen.len() < most {
                return Err(Halt::NoPickle);
            }
            if most >= LONGEST_LINE {
                return Err(if self.proto { Halt::TooLarge } else { Halt::NoPickle });
            }
            most *= 4;
        }
    }

    pub(super) fn slot(&mut self) -> Step<u64> {
        let line = self.line()?;
        std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse().ok()).ok_or(Halt::NoPickle)
    }
}
