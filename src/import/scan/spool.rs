//! What comes out of a stream and must be read in any order: in memory, or in a file without a name where it is more.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use super::input::{Input, Slice};
use super::{Budget, Findings, in_bytes};
use crate::archive::{OpenFile, ReadAt};

const MOST_IN_MEMORY: u64 = 8 << 20;
const CHUNK: u64 = 64 << 10;

struct Spool {
    memory: Vec<u8>,
    file: Option<(File, u64)>,
    /// Why the stream ended before its end.
    broken: Option<io::Error>,
}

impl Spool {
    fn bytes(&self) -> Box<dyn ReadAt + '_> {
        match &self.file {
            Some((file, size)) => Box::new(OpenFile(file, *size)),
            None => Box::new(&self.memory[..]),
        }
    }

    /// `None` where there is no room for more.
    fn keep(&mut self, bytes: &[u8]) -> Option<()> {
        if let Some((file, size)) = &mut self.file {
            file.write_all(bytes).ok()?;
            *size += bytes.len() as u64;
            return Some(());
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() as u64 > MOST_IN_MEMORY {
            let mut file = tempfile::tempfile().ok()?;
            file.write_all(&self.memory).ok()?;
            self.file = Some((file, self.memory.len() as u64));
            self.memory = Vec::new();
        }
        Some(())
    }
}

/// Looks into the next `size` bytes of a stream as into a file of their own.
pub(super) fn in_spooled(input: &mut Input, size: u64, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    let Some(mut spool) = take(input, size, budget) else {
        findings.pass_over("what it unpacks to is too large to be looked into");
        return Err(io::ErrorKind::FileTooLarge.into());
    };
    let broken = spool.broken.take();
    let bytes = spool.bytes();
    in_bytes(Slice { bytes: &*bytes, start: 0, size: bytes.size() }, depth, budget, findings)?;
    broken.map_or(Ok(()), Err)
}

fn take(input: &mut Input, size: u64, budget: &mut Budget) -> Option<Spool> {
    let mut spool = Spool { memory: Vec::new(), file: None, broken: None };
    let mut left = size;
    let mut buffer = vec![0; CHUNK.min(size) as usize];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match input.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(read) => {
                left -= read as u64;
                spool.keep(&buffer[..read])?;
            }
            Err(error) => {
                spool.broken = Some(error);
                break;
            }
        }
        budget.pay(input).then_some(())?;
    }
    Some(spool)
}
