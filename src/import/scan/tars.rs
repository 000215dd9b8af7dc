//! What lies in tars, plain or as they come out of a packed stream.

use std::io::{self, Read as _};

use super::input::{Input, Slice};
use super::{Budget, DEEPEST, Findings, TOO_DEEP, in_bytes, spool};
use crate::archive::tar::{Next, Reader};

const BLOCK: u64 = 512;
/// An extension header of more bytes than this is not read.
const MOST_EXTENSION: u64 = 1 << 20;
const CHUNK: usize = 256 << 10;

/// Where the blocks come from.
pub(super) enum Source<'s, 'a> {
    Run(Slice<'a>),
    Stream(&'s mut Input<'a>),
}

impl Source<'_, '_> {
    /// The next so many bytes; fewer at the end.
    fn take(&mut self, most: usize, budget: &mut Budget) -> io::Result<Vec<u8>> {
        match self {
            Source::Run(run) => {
                let bytes = run.read(0, most)?;
                *run = run.part(bytes.len() as u64, u64::MAX);
                Ok(bytes)
            }
            Source::Stream(input) => {
                let mut bytes = Vec::new();
                input.by_ref().take(most as u64).read_to_end(&mut bytes)?;
                if budget.pay(input) { Ok(bytes) } else { Err(io::ErrorKind::FileTooLarge.into()) }
            }
        }
    }

    fn pass(&mut self, mut size: u64, budget: &mut Budget) -> io::Result<()> {
        if let Source::Run(run) = self {
            *run = run.part(size, u64::MAX);
            return Ok(());
        }
        while size > 0 {
            let passed = self.take(CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)), budget)?.len() as u64;
            if passed == 0 {
                return Ok(());
            }
            size -= passed;
        }
        Ok(())
    }

    /// Looks into a file, and passes over what fills its last block.
    fn content(&mut self, size: u64, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
        match self {
            Source::Run(run) => {
                in_bytes(run.part(0, size), depth, budget, findings)?;
                self.pass(size, budget)?;
            }
            Source::Stream(input) => spool::in_spooled(input, size, depth, budget, findings)?,
        }
        self.pass(padding(size), budget)
    }

    fn is_zero_to_the_end(&mut self, budget: &mut Budget) -> io::Result<bool> {
        loop {
            let bytes = self.take(CHUNK, budget)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

pub(super) fn look(mut source: Source, depth: usize, budget: &mut Budget, findings: &mut Findings) -> io::Result<()> {
    if depth >= DEEPEST {
        findings.pass_over(TOO_DEEP);
        return Ok(());
    }
    let mut reader = Reader::default();
    while !findings.is_decided() {
        let block = source.take(BLOCK as usize, budget)?;
        let Some(block) = block.first_chunk() else { return Ok(()) };
        let Some(left) = budget.entries.checked_sub(1) else {
            findings.pass_over("it has too many entries");
            return Ok(());
        };
        budget.entries = left;
        let next = match reader.header(block) {
            Ok(next) => next,
            Err(why) => return object(why, findings),
        };
        match next {
            Next::Content(size) => {
                if is_of_old_torch(block) {
                    findings.pass_over("PyTorch's form of before 2017 has pickles between its numbers");
                }
                source.content(size, depth + 1, budget, findings)?;
            }
            Next::Extension(size) if size > MOST_EXTENSION => {
                findings.pass_over("a header in it is too long");
                return Ok(());
            }
            Next::Extension(size) => {
                if let Err(why) = reader.extend(&source.take(size as usize, budget)?) {
                    return object(why, findings);
                }
                source.pass(padding(size), budget)?;
            }
            Next::Sparse(size) => {
                findings.pass_over("a file with holes in it is not looked into");
                source.pass(size.saturating_add(padding(size)), budget)?;
            }
            Next::Other(size) => source.pass(size.saturating_add(padding(size)), budget)?,
            Next::NoHeader => return object("other bytes follow its last entry", findings),
            Next::End => {
                return if source.is_zero_to_the_end(budget)? { Ok(()) } else { object("other bytes follow its end", findings) };
            }
        }
    }
    Ok(())
}

fn object(why: &str, findings: &mut Findings) -> io::Result<()> {
    findings.object(format!("as a tar {why}"));
    Ok(())
}

fn is_of_old_torch(block: &[u8]) -> bool {
    [&b"storages\0"[..], b"./storages\0", b"tensors\0", b"./tensors\0"].iter().any(|name| block.starts_with(name))
}
