//! The confined process that checks: it reads its order, gives up all but the files in it, and answers.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use parking_lot::Mutex;
use rayon::prelude::*;

use super::order::{Order, Said, Sent, ToScan, Work};
use super::{Small, ToShow, importing, pictures};
use crate::archive::ReadAt;
use crate::confine::{self, last_word, speech::Speech};
use crate::import::scan;

/// Standard error, which the server listens to.
const LAST_WORDS: i32 = 2;
const FEW: usize = 8;
/// Files looked into before what was found is told.
const TOLD_AT_ONCE: usize = 64;

/// Checks as the order on standard input says. To be called before there is a second thread.
///
/// # Errors
/// The server is gone, or this process could not be confined as asked.
pub fn run() -> io::Result<()> {
    let mut speech = Speech::default();
    let order: Order = speech.hear()?;
    confine::restrict(&order.grant)?;
    last_word::register(LAST_WORDS);
    match order.work {
        Work::Dataset { files, limits } => speech.say(&Said::Checked(Box::new(super::check(files, &limits)))),
        Work::Scan(files) => scan_all(&files, speech),
        Work::Import(what) => speech.say(&Said::Imported(importing::import(&what))),
        Work::Pictures(what) => show_all(&what, speech),
    }
}

fn show_all(what: &ToShow, mut speech: Speech) -> io::Result<()> {
    let mut said = Ok(());
    pictures::make(what, &mut |at, small| {
        if said.is_ok() {
            said = speech.say(&Said::Picture { at, picture: small.as_ref().map(Small::written) });
        }
    });
    said?;
    speech.say(&Said::Done)
}

fn scan_all(files: &[ToScan], speech: Speech) -> io::Result<()> {
    let speech = Mutex::new(speech);
    for (part, chunk) in files.chunks(TOLD_AT_ONCE).enumerate() {
        let look = |(number, to_scan): (usize, &ToScan)| {
            let ToScan { size, path, block } = to_scan;
            let file = part * TOLD_AT_ONCE + number;
            match path {
                Some(path) => File::open(path).and_then(|open| scan::scan(&Here { open, size: *size })),
                None => scan::scan(&Asked { file, size: *size, block: *block, speech: &speech }),
            }
        };
        // Threads are not worth their start for a handful.
        let found: Vec<_> = match files.len() {
            ..FEW => chunk.iter().enumerate().map(look).collect(),
            _ => chunk.par_iter().enumerate().map(look).collect(),
        };
        for (number, found) in found.into_iter().enumerate() {
            let unread = |problem: io::Error| Said::Unread { file: part * TOLD_AT_ONCE + number, problem: problem.to_string() };
            speech.lock().say(&found.map_or_else(unread, Said::Found))?;
        }
    }
    speech.into_inner().say(&Said::Done)
}

/// A file of this machine.
struct Here {
    open: File,
    size: u64,
}

impl ReadAt for Here {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(left)];
        let read = self.open.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// One whose bytes the server has.
struct Asked<'a> {
    file: usize,
    size: u64,
    block: usize,
    speech: &'a Mutex<Speech>,
}

impl ReadAt for Asked<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut speech = self.speech.lock();
        speech.say(&Said::Read { file: self.file, offset, most })?;
        match speech.hear()? {
            Sent(Some(length)) => speech.hear_bytes(length),
            Sent(None) => Err(io::Error::other("the server could not read it")),
        }
    }

    /// Each question costs a turn, and the server's store may be far away.
    fn block_bytes(&self) -> usize {
        self.block
    }
}
