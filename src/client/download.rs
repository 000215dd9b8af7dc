//! Bytes into the cache. What arrives is written beside its final place, counted and hashed on the way,
//! resumed where it broke off, and named only if size and sha256 hold. A server that lies about ranges or
//! lengths, or sends other bytes, is asked once more from the start and then refused.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::error::at;
use super::retry::pause;
use super::send::{Call, PATIENCE, reason};
use super::{Client, Error, Event, Result};
use crate::cache::Cache;
use crate::domain::digest::Digest;

/// Cuts in a row without one new byte before a download is given up.
const CUTS: u32 = 8;

/// A blob that is wanted, and where it can be had.
pub(super) struct Want {
    pub url: Url,
    pub digest: Digest,
    pub size_bytes: u64,
    /// What people call it.
    pub name: String,
}

/// How a stretch of bytes ended.
enum Stretch {
    Whole,
    /// The line broke; what has arrived is good.
    Cut(String),
    /// The server said or sent something untrue; what has arrived cannot be trusted.
    Untrue(String),
}

impl Client {
    /// Afterwards the cache has the blob, proved. Answers the bytes this process fetched: none where another
    /// process was quicker.
    pub(super) async fn fetch(&self, cache: &Cache, want: &Want) -> Result<u64> {
        let lock = loop {
            if let Some(lock) = cache.try_lock(&want.digest)? {
                break lock;
            }
            (self.sink)(Event::Waiting { what: want.name.clone() });
            while cache.try_lock(&want.digest)?.is_none() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if cache.has_blob(&want.digest, want.size_bytes) {
            // The process that held the lock has fetched and proved it.
            (self.sink)(Event::Advance(want.size_bytes));
            lock.done();
            return Ok(0);
        }
        let part = cache.part_path(&want.digest);
        if let Some(first) = self.fill(&part, want).await? {
            (self.sink)(Event::Note(format!("{}: {first}; fetching it once more from the start", want.name)));
            if let Some(second) = self.fill(&part, want).await? {
                return Err(Error::Corrupt(format!("{}: {second}, also after a second try", want.name)));
            }
        }
        cache.adopt(&part, &want.digest)?;
        lock.done();
        Ok(want.size_bytes)
    }

    /// Brings the part to its full size and proves it. Some(why): the bytes were untrue and are gone.
    async fn fill(&self, path: &Path, want: &Want) -> Result<Option<String>> {
        let mut part = Part::open(path.to_path_buf(), want.size_bytes).await?;
        (self.sink)(Event::Advance(part.have));
        let mut cuts = 0;
        let untrue = loop {
            if part.have == want.size_bytes {
                let found = part.digest();
                break (found != want.digest).then(|| format!("its bytes have the sha256 {found}, not {}", want.digest));
            }
            let before = part.have;
            match self.stretch(&mut part, want).await? {
                Stretch::Whole => {}
                Stretch::Untrue(why) => break Some(why),
                Stretch::Cut(why) => {
                    cuts = if part.have > before { 1 } else { cuts + 1 };
                    if cuts > CUTS {
                        let why = format!("{} broke off at {} of {} bytes ({why})", want.name, part.have, want.size_bytes);
                        return Err(self.unreachable(format!("{why}; what has arrived is kept, run the command again")));
                    }
                    let after = pause(cuts + 1);
                    (self.sink)(Event::Repeat { reason: format!("{} broke off ({why})", want.name), after });
                    tokio::time::sleep(after).await;
                }
            }
        };
        if untrue.is_some() {
            (self.sink)(Event::Retreat(part.have));
            std::fs::remove_file(path).map_err(at("remove", path))?;
        } else {
            part.file.sync_data().map_err(at("write", path))?;
        }
        Ok(untrue)
    }

    /// One request from where the part ends.
    async fn stretch(&self, part: &mut Part, want: &Want) -> Result<Stretch> {
        let mut call = Call::get(want.url.clone()).accepting(416);
        if part.have > 0 {
            call = call.header(RANGE, &format!("bytes={}-", part.have)).header(IF_RANGE, &format!("\"{}\"", want.digest));
        }
        let response = self.send(call).await?;
        if response.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            return Ok(Stretch::Untrue("the server encodes its bytes although it was asked not to".into()));
        }
        let length = match response.status() {
            StatusCode::OK => {
                (self.sink)(Event::Retreat(part.have));
                part.restart()?;
                want.size_bytes
            }
            StatusCode::PARTIAL_CONTENT => match promised(&response, part.have, want) {
                Ok(length) => length,
                Err(why) => return Ok(Stretch::Untrue(why)),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Stretch::Untrue("the server's file ends before ours".into())),
            other => return Ok(Stretch::Untrue(format!("the server answered with status {}", other.as_u16()))),
        };
        if let Some(told) = response.content_length().filter(|told| *told != length) {
            return Ok(Stretch::Untrue(format!("the server sends {told} bytes where {length} are due")));
        }
        self.pour(response, part, length).await
    }

    /// Writes the body, never more than `length` bytes of it.
    async fn pour(&self, response: Response, part: &mut Part, mut length: u64) -> Result<Stretch> {
        let mut body = response.bytes_stream();
        loop {
            match tokio::time::timeout(PATIENCE, body.next()).await {
                Err(_) => return Ok(Stretch::Cut(format!("nothing for {} s", PATIENCE.as_secs()))),
                Ok(Some(Err(error))) => return Ok(Stretch::Cut(reason(&error))),
                Ok(None) if length > 0 => return Ok(Stretch::Cut("the answer ended early".into())),
                Ok(None) => return Ok(Stretch::Whole),
                Ok(Some(Ok(chunk))) if chunk.len() as u64 > length => {
                    return Ok(Stretch::Untrue("the server sends more bytes than the file has".into()));
                }
                Ok(Some(Ok(chunk))) => {
                    length -= chunk.len() as u64;
                    part.write(&chunk)?;
                    (self.sink)(Event::Advance(chunk.len() as u64));
                }
            }
        }
    }
}

/// How many bytes a 206 promises; it must go on exactly where we are, in the same file.
fn promised(response: &Response, have: u64, want: &Want) -> std::result::Result<u64, String> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(etag) = header(ETAG)
        && etag.trim_start_matches("W/").trim_matches('"') != want.digest.to_hex()
    {
        return Err("the server's file changed between two requests".into());
    }
    let text = header(CONTENT_RANGE).unwrap_or_default();
    let range = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).and_then(|(range, size)| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    });
    match range {
        Some((first, last, size)) if first == have && size == want.size_bytes && (first..size).contains(&last) => Ok(last - first + 1),
        _ => Err(format!("asked from byte {have}, the server answered with the range '{text}'")),
    }
}

/// Bytes that have arrived, and their hash so far.
struct Part {
    file: File,
    path: PathBuf,
    hasher: Sha256,
    have: u64,
}

impl Part {
    /// Reads again what an earlier run left; more than the file's size is not a beginning of it.
    async fn open(path: PathBuf, size_bytes: u64) -> Result<Part> {
        let opened = tokio::task::spawn_blocking(move || {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(false).read(true).write(true).open(&path).map_err(at("open", &path))?;
            let mut part = Part { file: file.try_clone().map_err(at("open", &path))?, path, hasher: Sha256::new(), have: 0 };
            let mut buffer = vec![0; 1 << 20];
            loop {
                let count = file.read(&mut buffer).map_err(at("read", &part.path))?;
                if count == 0 {
                    break;
                }
                part.hasher.update(&buffer[..count]);
                part.have += count as u64;
            }
            if part.have > size_bytes {
                part.restart()?;
            }
            Ok(part)
        });
        opened
            .await
            .unwrap_or_else(|e| Err(Error::Input { code: "internal", message: e.to_string(), hint: "run the command again".into() }))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| crate::cache::Error::Io { action: "write", path: self.path.clone(), source })?;
        self.hasher.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        use std::io::Seek;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(at("empty", &self.path))?;
        self.hasher = Sha256::new();
        self.have = 0;
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hasher.clone().finalize().into())
    }
}
