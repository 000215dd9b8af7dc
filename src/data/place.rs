//! Where the bytes of one entry lie, and how to get them: a file of its own, or a run inside an open file (an archive or the
//! spool of a compressed one), packed or not. Reads are positional, so that many threads share one open file without a lock.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::archive;
use super::error::{Error, Result};
use super::limits::Limits;
use super::video;

/// A run of bytes in an open file.
#[derive(Debug, Clone)]
pub struct Run {
    pub file: Arc<File>,
    pub start: u64,
    pub len: u64,
}

#[derive(Debug, Clone)]
pub enum Place {
    Path(PathBuf),
    Plain(Run),
    /// `len` and `crc` are what the archive promises about the unpacked bytes; both are held against it.
    Deflated {
        run: Run,
        len: u64,
        crc: u32,
    },
    Stored {
        run: Run,
        crc: u32,
    },
    /// Frames of a video, one behind the other.
    Frames(Arc<[Entry]>),
    /// What of a video lies between these seconds.
    Piece(Arc<Entry>, f64, f64),
    /// What was made here.
    Memory(Bytes),
}

/// One file of a data set before it has a meaning.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: String,
    pub size: u64,
    pub place: Place,
}

impl Entry {
    /// The whole content. At most `limits.entry_bytes`, and never more than the entry declared.
    pub fn read(&self, limits: &Limits) -> Result<Bytes> {
        let too_large = || Error::TooLarge { entry: self.path.clone(), limit_bytes: limits.entry_bytes };
        if self.size > limits.entry_bytes {
            return Err(too_large());
        }
        let bytes = match &self.place {
            Place::Path(path) => {
                let file = File::open(path).map_err(Error::io(path))?;
                let mut bytes = Vec::with_capacity(self.size as usize);
                file.take(limits.entry_bytes + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
                if bytes.len() as u64 > limits.entry_bytes {
                    return Err(too_large());
                }
                bytes
            }
            Place::Plain(run) => self.fill(Reader::new(run), run.len)?,
            Place::Stored { run, crc } => self.verified(self.fill(Reader::new(run), run.len)?, *crc)?,
            Place::Deflated { run, len, crc } => {
                let unpacked = flate2::read::DeflateDecoder::new(Reader::new(run));
                self.verified(self.fill(unpacked, *len)?, *crc)?
            }
            Place::Frames(frames) => {
                let files: Vec<Bytes> = frames.iter().map(|frame| frame.read(limits)).collect::<Result<_>>()?;
                video::of_frames(files.iter().map(|file| &file[..]))
            }
            Place::Piece(film, start, end) => video::of_piece(*start, *end, &film.read(limits)?),
            Place::Memory(bytes) => return Ok(bytes.clone()),
        };
        Ok(bytes.into())
    }

    /// The content from its beginning, as it comes: for what is too large to be held. What an archive promised of it is held against
    /// it at its end. At most `limits.total_bytes`.
    ///
    /// # Errors
    /// The file cannot be opened. What goes wrong later comes with the bytes; [`Entry::broken`] words it.
    pub fn stream(&self, limits: &Limits) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.place {
            Place::Path(path) => Box::new(File::open(path).map_err(Error::io(path))?.take(limits.total_bytes)),
            Place::Plain(run) => Box::new(Reader::new(run)),
            Place::Frames(_) | Place::Piece(..) | Place::Memory(_) => Box::new(io::Cursor::new(self.read(limits)?)),
            Place::Stored { run, crc } => Box::new(Held::new(Reader::new(run), run.len, *crc)),
            Place::Deflated { run, len, crc } => {
                Box::new(Held::new(flate2::read::DeflateDecoder::new(io::BufReader::new(Reader::new(run))), *len, *crc))
            }
        })
    }

    /// What an error of [`Entry::stream`] means.
    pub fn broken(&self, error: &io::Error) -> Error {
        archive::error_at(&self.path, error)
    }

    /// Exactly `len` bytes: fewer means a damaged archive, more means one that lies about its sizes.
    fn fill(&self, reader: impl Read, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len as usize);
        let broken = |e: io::Error| Error::ArchiveBroken { entry: self.path.clone(), reason: e.to_string() };
        reader.take(len + 1).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != len {
            let reason = match bytes.len() as u64 > len {
                true => format!("it holds more than the {len} bytes it declares"),
                false => format!("it holds {} bytes and declares {len}", bytes.len()),
            };
            return Err(Error::ArchiveInconsistent { entry: self.path.clone(), reason });
        }
        Ok(bytes)
    }

    fn verified(&self, bytes: Vec<u8>, crc: u32) -> Result<Vec<u8>> {
        if crc32fast::hash(&bytes) != crc {
            return Err(Error::ArchiveBroken { entry: self.path.clone(), reason: "its checksum does not match".into() });
        }
        Ok(bytes)
    }
}

/// Holds what comes against the length and the checksum that were promised.
struct Held<R> {
    inner: R,
    left: u64,
    crc: u32,
    found: crc32fast::Hasher,
}

impl<R> Held<R> {
    fn new(inner: R, len: u64, crc: u32) -> Held<R> {
        Held { inner, left: len, crc, found: crc32fast::Hasher::new() }
    }
}

impl<R: Read> Read for Held<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wrong = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        let got = self.inner.read(buffer)?;
        if got == 0 && !buffer.is_empty() {
            return match (self.left, self.found.clone().finalize() == self.crc) {
                (0, true) => Ok(0),
                (0, false) => wrong("its checksum does not match"),
                _ => wrong("it holds fewer bytes than it declares"),
            };
        }
        self.left = match self.left.checked_sub(got as u64) {
            Some(left) => left,
            None => return wrong("it holds more bytes than it declares"),
        };
        self.found.update(&buffer[..got]);
        Ok(got)
    }
}

/// Reads a run by position.
struct Reader<'a> {
    run: &'a Run,
    at: u64,
}

impl<'a> Reader<'a> {
    fn new(run: &'a Run) -> Self {
        Reader { run, at: 0 }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.run.len - self.at;
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = self.run.file.read_at(&mut buffer[..want], self.run.start + self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
