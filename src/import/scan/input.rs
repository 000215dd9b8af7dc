//! Bytes to walk over: a run of a file, where passing over costs nothing, or what comes out of a compressed one.

use std::cell::RefCell;
use std::io::{self, Read};

use crate::archive::{self, ReadAt};

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

    pub fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        archive::read(self, offset, most)
    }

    pub fn peek(&self, most: usize) -> io::Result<Vec<u8>> {
        self.read(0, most)
    }
}

impl ReadAt for Slice<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let most = most.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        if most == 0 { Ok(Vec::new()) } else { self.bytes.read_at(self.start + offset, most) }
    }
}

/// A file of which small runs are read by whole blocks, the last two of which are kept; it remembers why reading failed, whatever
/// those in between made of that.
pub(super) struct Kept<'a> {
    bytes: &'a dyn ReadAt,
    /// Blocks with their numbers, the one used last in front.
    blocks: RefCell<Vec<(u64, Vec<u8>)>>,
    failed: RefCell<Option<io::Error>>,
}

const BLOCKS: usize = 2;

impl<'a> Kept<'a> {
    pub fn new(bytes: &'a dyn ReadAt) -> Kept<'a> {
        Kept { bytes, blocks: RefCell::new(Vec::new()), failed: RefCell::new(None) }
    }

    pub fn failure(&self) -> Option<io::Error> {
        self.failed.take()
    }

    /// What of a block lies from `from` on, at most `most` bytes.
    fn of_block(&self, number: u64, from: usize, most: usize) -> io::Result<Vec<u8>> {
        let mut blocks = self.blocks.borrow_mut();
        match blocks.iter().position(|block| block.0 == number) {
            Some(at) => blocks.swap(0, at),
            None => {
                let size = self.bytes.block_bytes();
                blocks.truncate(BLOCKS - 1);
                blocks.insert(0, (number, archive::read(self.bytes, number * size as u64, size)?));
            }
        }
        let block = &blocks[0].1;
        let from = from.min(block.len());
        Ok(block[from..block.len().min(from + most)].to_vec())
    }
}

impl ReadAt for Kept<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let size = self.bytes.block_bytes();
        let read = match most >= size {
            true => self.bytes.read_at(offset, most),
            false => self.of_block(offset / size as u64, (offset % size as u64) as usize, most),
        };
        read.map_err(|error| {
            let kind = error.kind();
            self.failed.borrow_mut().get_or_insert(error);
            kind.into()
        })
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
    /// Bytes that came out of a compressed stream since this was asked last, times what one costs.
    unpacked: u64,
    price: u64,
    /// Bytes that were passed.
    passed: u64,
    /// The stream ended with an error.
    broken: bool,
}

impl<'a> Input<'a> {
    pub fn of(run: Slice<'a>) -> Input<'a> {
        Input { source: Source::Run(run), window: Vec::new(), at: 0, next: FIRST, unpacked: 0, price: 0, passed: 0, broken: false }
    }

    pub fn unpacked(reader: Box<dyn Read + 'a>, price: u64) -> Input<'a> {
        Input { source: Source::Unpacked(reader), window: Vec::new(), at: 0, next: FIRST, unpacked: 0, price, passed: 0, broken: false }
    }

    /// Where in its bytes it stands.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether an error ended it, whoever met it.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn pass(&mut self, count: usize) {
        self.at += count;
        self.passed += count as u64;
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
                self.broken |= read.is_err();
                self.unpacked += read? as u64 * self.price;
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
        self.pass(1);
        Ok(self.window[self.at - 1])
    }

    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.peek(N)?.try_into().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.pass(N);
        Ok(bytes)
    }

    /// A short run.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.peek(length)?.to_vec();
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pass(length);
        Ok(bytes)
    }

    /// Passes over bytes that must be there.
    pub fn skip(&mut self, mut length: u64) -> io::Result<()> {
        loop {
            let here = length.min((self.window.len() - self.at) as u64);
            self.pass(here as usize);
            length -= here;
            if length == 0 {
                return Ok(());
            }
            match &mut self.source {
                Source::Run(run) if run.size < length => return Err(io::ErrorKind::UnexpectedEof.into()),
                Source::Run(run) => {
                    *run = run.part(length, u64::MAX);
                    self.passed += length;
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
        self.pass(length);
        Ok(length)
    }
}
