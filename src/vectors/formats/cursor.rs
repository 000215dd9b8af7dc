//! Little-endian values taken from the front of a file; what is not there is an error that names the byte.

use super::Reading;
use crate::vectors::error::Result;

pub struct Cursor<'a> {
    reading: &'a Reading<'a>,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(reading: &'a Reading<'a>) -> Cursor<'a> {
        Cursor { reading, at: 0 }
    }

    /// The next bytes; `what` is said where the file ends before.
    pub fn take(&mut self, length: usize, what: &str) -> Result<&'a [u8]> {
        let bytes = self.at.checked_add(length).and_then(|end| self.reading.bytes.get(self.at..end));
        let left = self.reading.bytes.len() - self.at;
        let cut = || self.reading.corrupt(self.at, format!("the file ends inside {what}: {length} bytes are wanted and {left} are left"));
        let bytes = bytes.ok_or_else(cut)?;
        self.at += length;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    pub fn byte(&mut self, what: &str) -> Result<u8> {
        Ok(self.array::<1>(what)?[0])
    }

    pub fn i32(&mut self, what: &str) -> Result<i32> {
        Ok(i32::from_le_bytes(self.array(what)?))
    }

    pub fn i64(&mut self, what: &str) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    pub fn f64(&mut self, what: &str) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array(what)?))
    }

    /// A flag; any other byte than 0 or 1 is damage.
    pub fn flag(&mut self, what: &str) -> Result<bool> {
        let at = self.at;
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.reading.corrupt(at, format!("{what} is {other}, which is neither 0 nor 1"))),
        }
    }

    /// A number of things, not below 0 and at most `most`.
    pub fn count(&mut self, value: impl Into<i64>, most: usize, what: &str) -> Result<usize> {
        let value = value.into();
        let count = usize::try_from(value).ok().filter(|count| *count <= most);
        count.ok_or_else(|| self.reading.corrupt(self.at, format!("{what} is {value}, which is not between 0 and {most}")))
    }

    /// Bytes up to a NUL, which is taken too.
    pub fn until_nul(&mut self, most: usize, what: &str) -> Result<&'a [u8]> {
        let rest = &self.reading.bytes[self.at..];
        let length = rest.iter().take(most + 1).position(|byte| *byte == 0);
        let length = length.ok_or_else(|| self.reading.corrupt(self.at, format!("{what} does not end within {most} bytes")))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }
}
