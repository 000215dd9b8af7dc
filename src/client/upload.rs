//! Bytes to the server: asked about, and only those sent that it lacks; small files in one request each, large ones
//! in parts, several at once. What has arrived is never sent again, whoever's line broke.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt, future, stream};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::error::at;
use super::parts::{FileRun, SMALLEST_PART, Shown, cut, part_bytes, smaller_part};
use super::retry::pause;
use super::reuse::may_share;
use super::tensors::pieces_of;
use super::{Client, Error, Event, Folder, Result};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::ranges::Ranges;
use crate::wire::files::Upload;

/// The width of the road: a part takes eight of its lanes, a small file one.
const LANES: usize = 32;
const LANES_OF_A_PART: u32 = 8;
/// Up to here a file takes one lane: what counts is the way there and back, not its bytes.
const SMALL: u64 = 1 << 20;
/// Failures in a row without one byte of progress before an upload is given up.
const FAILURES: u32 = 8;
/// Digests asked about in one request.
const ASKED: usize = 1_000;

/// The code of the error that a file's bytes were not those that were hashed.
pub const CHANGED: &str = "changed";

/// A file on its way.
struct Sending<'a> {
    entry: &'a ManifestEntry,
    file: Arc<File>,
    shown: Arc<Shown>,
    lanes: &'a Semaphore,
}

impl Client {
    /// Which of a manifest's blobs the server lacks, or may not show this caller.
    pub(super) async fn lacking(&self, manifest: &Manifest) -> Result<std::collections::HashSet<Digest>> {
        let mut digests: Vec<Digest> = manifest.entries().iter().map(|entry| entry.digest).collect();
        digests.sort();
        digests.dedup();
        let mut lacking = std::collections::HashSet::new();
        for some in digests.chunks(ASKED) {
            for text in self.missing_blobs(some).await?.missing {
                lacking.insert(Digest::parse(&text).map_err(|e| self.strange(format!("it misses '{text}': {e}")))?);
            }
        }
        Ok(lacking)
    }

    /// Sends what the server lacks of `manifest`, whose files lie where `folder` says. Answers the bytes that
    /// travelled: of an upload that goes on, only the rest.
    pub(super) async fn send_missing(&self, folder: &Folder, manifest: &Manifest) -> Result<u64> {
        let mut lacking = self.lacking(manifest).await?;
        // One file for each missing digest: two equal files are sent once.
        let mut todo = Vec::new();
        for file in &folder.files {
            let Some(entry) = manifest.find(file.path.as_str()) else { continue };
            if lacking.remove(&entry.digest) {
                todo.push((file, entry));
            }
        }
        if todo.is_empty() {
            return Ok(0);
        }
        // The largest first, so that none is left to travel alone at the end.
        todo.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.size_bytes));
        let bytes = todo.iter().map(|(_, entry)| entry.size_bytes).sum();
        (self.sink)(Event::Begin { what: "sending", files: todo.len() as u64, bytes });
        let lanes = Semaphore::new(LANES);
        let sent = stream::iter(todo)
            .map(|(file, entry)| self.send_file(&lanes, &file.source, entry))
            .buffer_unordered(LANES)
            .try_fold(0, |sum, sent| future::ok(sum + sent))
            .await;
        (self.sink)(Event::End);
        sent
    }

    async fn send_file(&self, lanes: &Semaphore, source: &Path, entry: &ManifestEntry) -> Result<u64> {
        let file = File::open(source).map_err(at("open", source))?;
        let sending = Sending { entry, file: Arc::new(file), shown: Shown::new(self.sink.clone()), lanes };
        let in_parts = entry.size_bytes > SMALLEST_PART.min(self.most_sent()) || may_share(entry.path.as_str(), entry.size_bytes);
        let sent = match if in_parts { self.send_in_parts(&sending).await } else { self.send_whole(&sending).await } {
            // A proxy takes no body of this size: then in parts.
            Err(error) if !in_parts && self.sends_less(&error, entry.size_bytes) => self.send_in_parts(&sending).await,
            sent => sent,
        };
        sending.shown.set(if sent.is_ok() { entry.size_bytes } else { 0 });
        sent.map_err(|error| changed_meanwhile(error, &sending))
    }

    async fn send_whole(&self, sending: &Sending<'_>) -> Result<u64> {
        let entry = sending.entry;
        let mut failures = 0;
        loop {
            let _lane = lanes(sending.lanes, if entry.size_bytes <= SMALL { 1 } else { LANES_OF_A_PART }).await;
            match self.put_blob(&entry.digest, self.run_of(sending, 0..entry.size_bytes)).await {
                Ok(upload) if upload.complete => return Ok(entry.size_bytes),
                Ok(_) => return Err(self.strange("it took a file's last byte and does not have it whole")),
                Err(error) => self.after(&mut failures, error, entry).await?,
            }
            sending.shown.set(0);
        }
    }

    /// Announces a file. Of large weights the tensors are offered: those the server has it need not be sent.
    async fn announce(&self, sending: &Sending<'_>) -> Result<Upload> {
        let entry = sending.entry;
        if !may_share(entry.path.as_str(), entry.size_bytes) {
            return self.create_upload(&entry.digest, entry.size_bytes).await;
        }
        let (file, size_bytes) = (sending.file.clone(), entry.size_bytes);
        let pieces = tokio::task::spawn_blocking(move || pieces_of(&file, size_bytes)).await;
        // A file that cannot be read to its end fails again, and better told, when it is sent.
        let pieces = pieces.ok().and_then(std::result::Result::ok).unwrap_or_default();
        match self.create_upload_of(&entry.digest, entry.size_bytes, &pieces).await {
            // The list of tensors does not get through; the bytes will, in parts.
            Err(error) if error.is_body_limit() => self.create_upload(&entry.digest, entry.size_bytes).await,
            other => other,
        }
    }

    /// The most one request may carry.
    fn most_sent(&self) -> u64 {
        self.most_sent.load(Ordering::Relaxed)
    }

    /// After a body of `sent` bytes failed: is it worth trying smaller ones? Remembered for all files, and told once.
    fn sends_less(&self, error: &Error, sent: u64) -> bool {
        if !error.is_body_limit() {
            return false;
        }
        let Some(smaller) = smaller_part(sent) else { return false };
        if self.most_sent.fetch_min(smaller, Ordering::Relaxed) == u64::MAX {
            let note = "a proxy on the way refuses bodies of this size (status 413); smaller parts are tried, which takes longer \
                        (its limit: nginx's client_max_body_size, for one)";
            (self.sink)(Event::Note(note.into()));
        }
        true
    }

    async fn send_in_parts(&self, sending: &Sending<'_>) -> Result<u64> {
        let entry = sending.entry;
        let mut upload = self.announce(sending).await?;
        let before = self.received(&upload)?.total();
        let (mut best, mut failures) = (before, 0);
        while !upload.complete {
            let received = self.received(&upload)?;
            sending.shown.set(received.total());
            if received.total() > best {
                (best, failures) = (received.total(), 0);
            }
            let part = part_bytes(entry.size_bytes).min(self.most_sent());
            let parts = cut(&received.gaps(0..entry.size_bytes), part);
            let next = match self.send_parts(sending, &upload.id, parts).await {
                Ok(Some(done)) => Ok(done),
                // All has arrived and it is not complete: announcing it again completes it.
                Ok(None) => self.create_upload(&entry.digest, entry.size_bytes).await,
                Err(error) => Err(error),
            };
            upload = match next {
                // One that is not complete has lost what it took; that can happen once, not for ever.
                Ok(next) if next.complete || failures < FAILURES => {
                    failures += 1;
                    next
                }
                Ok(_) => return Err(self.strange("it takes all parts and has none of them")),
                Err(error) if self.sends_less(&error, part.min(entry.size_bytes)) => {
                    self.where_to_go_on(&mut failures, upload, entry).await?
                }
                Err(error) => {
                    self.after(&mut failures, error, entry).await?;
                    self.where_to_go_on(&mut failures, upload, entry).await?
                }
            };
        }
        Ok(entry.size_bytes - before)
    }

    /// Sends parts side by side. After a failure no new one begins, and those under way come to their end. The answer
    /// that says that the upload is complete, if one does.
    async fn send_parts(&self, sending: &Sending<'_>, id: &str, parts: Vec<Range<u64>>) -> Result<Option<Upload>> {
        let waiting = Mutex::new(VecDeque::from(parts));
        let next = || waiting.lock().pop_front();
        let worker = || async {
            let mut complete = None;
            while let Some(part) = next() {
                let _lanes = lanes(sending.lanes, LANES_OF_A_PART).await;
                match self.put_part(id, self.run_of(sending, part), sending.entry.size_bytes).await {
                    Ok(upload) => complete = complete.or(upload.complete.then_some(upload)),
                    Err(error) => {
                        waiting.lock().clear();
                        return Err(error);
                    }
                }
            }
            Ok(complete)
        };
        let ended = future::join_all((0..LANES / LANES_OF_A_PART as usize).map(|_| worker())).await;
        let ended = ended.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(ended.into_iter().flatten().next())
    }

    fn run_of(&self, sending: &Sending<'_>, run: Range<u64>) -> FileRun {
        FileRun::new(sending.file.clone(), run, sending.shown.clone())
    }

    /// Only the server knows what has arrived; an upload it has forgotten begins anew.
    async fn where_to_go_on(&self, failures: &mut u32, upload: Upload, entry: &ManifestEntry) -> Result<Upload> {
        loop {
            let asked = match self.upload(&upload.id).await {
                Err(error) if error.is_not_found() => self.create_upload(&entry.digest, entry.size_bytes).await,
                other => other,
            };
            match asked {
                Ok(upload) => return Ok(upload),
                Err(error) => self.after(failures, error, entry).await?,
            }
        }
    }

    /// Waits before another try; an error that will not go away by itself, or comes too often, is returned.
    async fn after(&self, failures: &mut u32, error: Error, entry: &ManifestEntry) -> Result<()> {
        *failures += 1;
        if *failures > FAILURES || !may_go_on(&error) {
            return Err(error);
        }
        let after = pause(*failures + 1);
        (self.sink)(Event::Repeat { reason: format!("{} broke off ({error})", entry.path), after });
        tokio::time::sleep(after).await;
        Ok(())
    }

    /// What the server says it has, if that can be.
    fn received(&self, upload: &Upload) -> Result<Ranges> {
        let mut received = Ranges::default();
        for [start, end] in &upload.received {
            if start >= end || *end > upload.size_bytes {
                return Err(self.strange(format!("it has received bytes {start} to {end} of {}", upload.size_bytes)));
            }
            received.insert(*start..*end);
        }
        Ok(received)
    }
}

/// Waits for free lanes. The road is never closed.
async fn lanes(road: &Semaphore, count: u32) -> Option<tokio::sync::SemaphorePermit<'_>> {
    road.acquire_many(count).await.ok()
}

/// The line broke, or the server has other bytes in mind, or forgot the upload, or does not come to its end.
fn may_go_on(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. }) || error.has_code("body_broke_off") || error.is_not_found() || error.is_server_trouble()
}

/// Bytes that are not those that were hashed, or fewer: somebody writes to the file.
fn changed_meanwhile(error: Error, sending: &Sending<'_>) -> Error {
    let entry = sending.entry;
    let is_shorter = || sending.file.metadata().is_ok_and(|facts| facts.len() != entry.size_bytes);
    if error.has_code("digest_mismatch") || (may_go_on(&error) && is_shorter()) {
        let message = format!("{} changed while it was being sent", entry.path);
        return Error::Input { code: CHANGED, message, hint: "publish again when nothing writes to it any more".into() };
    }
    error
}
