//! The bytes of a pickle, taken from the front.

use super::error::{Result, corrupt};

pub(super) struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Input<'a> {
    /// Bytes that were not taken yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| ended())
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let bytes = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end)).ok_or_else(ended)?;
        self.at += length;
        Ok(bytes)
    }

    pub fn length(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| ended())
    }

    pub fn utf8(&mut self, length: usize) -> Result<String> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| corrupt("it holds text that is not UTF-8"))
    }

    /// A name ended by a line feed, as GLOBAL carries it.
    pub fn line(&mut self) -> Result<String> {
        const LONGEST: usize = 512;
        let rest = &self.bytes[self.at..self.bytes.len().min(self.at + LONGEST)];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| corrupt("it imports a name that never ends"))?;
        let text = self.utf8(length)?;
        self.at += 1;
        Ok(text)
    }

    /// A whole number of so many bytes; `None` where it does not fit.
    pub fn long(&mut self, length: usize) -> Result<Option<i128>> {
        let bytes = self.take(length)?;
        if length > 16 {
            return Ok(None);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        wide[..length].copy_from_slice(bytes);
        Ok(Some(i128::from_le_bytes(wide)))
    }
}

fn ended() -> super::error::Error {
    corrupt("its pickle ends too early")
}
