//! Bytes to walk over: a run of a file, where passing over costs nothing, or what comes out of a compressed one.

use std::io::{self, Read};

use super::ReadAt;

/// Bytes read at first, and at most at once when reading goes on.
const FIRST: usize = 4 << 10;
const MOST: usize = 256 << 10;

/// A run of a file.
#[derive(Clone, Copy)]
pub(super) struct Slice<'a> {
    pub bytes: &'a dyn ReadAt,
    pub start: u64,
    pub size: u64,
}

impl<'a> Slice<'a> {
    /// The part of it from `offset` on, at most `size` bytes.
    pub fn part(&self, offset: u64, size: u64) -> Slice<'a> {
        let offset = offset.min(self.size);
        Slice { bytes: self.bytes, start: self.start + offset, size: size.min(self.size - offset) }
    }

    /// Exactly as many bytes as there are from `offset` on, up to `most`.
    pub fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let wanted = most.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut read = Vec::with_capacity(wanted);
        while read.len() < wanted {
            let more = self.bytes.read_at(self.start + offset + read.len() as u64, wanted - read.len())?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read.extend_from_slice(&more);
        }
        Ok(read)
    }

    pub fn peek(&self, most: usize) -> io::Result<Vec<u8>> {
        self.read(0, most)
    }
}

enum Source<'a> {
    /// What is left of a run.
    Run(Slice<'a>),
    Unpacked(Box<dyn Read + 'a>),
}

/// A way through bytes, from the first to the last.
pub(super) struct Input<'a> {
    source: Source<'a>,
    window: Vec<u8>,
    at: usize,
    next: usize,
    /// Bytes that came out of a compressed stream since this was asked last.
    unpacked: u64,
}

impl<'a> Input<'a> {
    pub fn of(run: Slice<'a>) -> Input<'a> {
        Input { source: Source::Run(run), window: Vec::new(), at: 0, next: FIRST, unpacked: 0 }
    }

    pub fn unpacked(reader: Box<dyn Read + 'a>) -> Input<'a> {
        Input { source: Source::Unpacked(reader), window: Vec::new(), at: 0, next: FIRST, unpacked: 0 }
    }

    pub fn take_unpacked(&mut self) -> u64 {
        std::mem::take(&mut self.unpacked)
    }

    /// False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.window.drain(..self.at);
        self.at = 0;
        let before = self.window.len();
        match &mut self.source {
            Source::Run(run) => {
                let more = run.read(0, self.next)?;
                *run = run.part(more.len() as u64, u64::MAX);
                self.window.extend_from_slice(&more);
            }
            Source::Unpacked(reader) => {
                self.window.resize(before + self.next, 0);
                let read = reader.read(&mut self.window[before..]);
                self.window.truncate(before + *read.as_ref().unwrap_or(&0));
                self.unpacked += read? as u64;
            }
        }
        self.next = (self.next * 4).min(MOST);
        Ok(self.window.len() > before)
    }

    /// The next bytes without passing them; fewer at the end.
    pub fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        while self.window.len() - self.at < most && self.fill()? {}
        Ok(&self.window[self.at..self.window.len().min(self.at + most)])
    }

    pub fn byte(&mut self) -> io::Result<u8> {
        if self.at == self.window.len() && !self.fill()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += 1;
        Ok(self.window[self.at - 1])
    }

    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.peek(N)?.try_into().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.at += N;
        Ok(bytes)
    }

    /// A short run.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.peek(length)?.to_vec();
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length;
        Ok(bytes)
    }

    /// Passes over bytes that must be there.
    pub fn skip(&mut self, mut length: u64) -> io::Result<()> {
        loop {
            let here = length.min((self.window.len() - self.at) as u64);
            self.at += here as usize;
            length -= here;
            if length == 0 {
                return Ok(());
            }
            match &mut self.source {
                Source::Run(run) if run.size < length => return Err(io::ErrorKind::UnexpectedEof.into()),
                Source::Run(run) => {
                    *run = run.part(length, u64::MAX);
                    self.next = FIRST;
                    return Ok(());
                }
                Source::Unpacked(_) => {
                    if !self.fill()? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// All that follows; `None` where it is more than `most`.
    pub fn rest(&mut self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let rest = self.peek(most + 1)?.to_vec();
        Ok((rest.len() <= most).then_some(rest))
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.window.len() && !self.fill()? {
            return Ok(0);
        }
        let length = buffer.len().min(self.window.len() - self.at);
        buffer[..length].copy_from_slice(&self.window[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
