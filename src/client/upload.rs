//! Bytes to the server: hashed side by side, asked about, and sent in pieces from the offset the server has,
//! so that a broken line costs at most one piece.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::at;
use super::retry::pause;
use super::{Client, Error, Event, Folder, LocalFile, Result, Sink};
use crate::cache::hash_file;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::wire::files::Upload;

/// One request's worth of bytes.
const PIECE: u64 = 8 << 20;
/// Files sent at the same time.
const AT_ONCE: usize = 3;
/// Failures in a row without one byte of progress before an upload is given up.
const FAILURES: u32 = 8;
/// Digests asked about in one request.
const ASKED: usize = 1_000;

/// Hashes all files, as many at once as there are cores, and answers their manifest.
pub async fn hash_files(folder: &Folder, sink: &Sink) -> Result<Manifest> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    sink(Event::Begin { what: "hashing", files: folder.files.len() as u64, bytes: folder.total_bytes() });
    let entries: Vec<_> = stream::iter(folder.files.iter().cloned())
        .map(|file| {
            let sink = sink.clone();
            tokio::task::spawn_blocking(move || hash_entry(&file, &sink))
        })
        .buffered(threads)
        .collect()
        .await;
    sink(Event::End);
    let lost = |e: tokio::task::JoinError| Error::Input { code: "internal", message: e.to_string(), hint: "run the command again".into() };
    let entries = entries.into_iter().map(|entry| entry.map_err(lost)?).collect::<Result<Vec<_>>>()?;
    Manifest::new(entries).map_err(|e| Error::Input {
        code: "manifest",
        message: e.to_string(),
        hint: "change the folder, then publish again".into(),
    })
}

fn hash_entry(file: &LocalFile, sink: &Sink) -> Result<ManifestEntry> {
    let (digest, size_bytes) = hash_file(&file.source, &mut |count| sink(Event::Advance(count)))?;
    Ok(ManifestEntry { path: file.path.clone(), size_bytes, digest })
}

impl Client {
    /// Sends what the server lacks of `manifest`, whose files lie where `folder` says. Answers bytes sent.
    pub(super) async fn send_missing(&self, folder: &Folder, manifest: &Manifest) -> Result<u64> {
        let mut digests: Vec<Digest> = manifest.entries().iter().map(|entry| entry.digest).collect();
        digests.sort();
        digests.dedup();
        let mut missing = std::collections::HashSet::new();
        for some in digests.chunks(ASKED) {
            missing.extend(self.missing_blobs(some).await?.missing);
        }
        // One file for each missing digest: two equal files are sent once.
        let mut todo = Vec::new();
        for file in &folder.files {
            let Some(entry) = manifest.find(file.path.as_str()) else { continue };
            if missing.remove(&entry.digest.to_hex()) {
                todo.push((file, entry));
            }
        }
        let bytes = todo.iter().map(|(_, entry)| entry.size_bytes).sum();
        if todo.is_empty() {
            return Ok(0);
        }
        (self.sink)(Event::Begin { what: "sending", files: todo.len() as u64, bytes });
        let sent = stream::iter(todo)
            .map(|(file, entry)| self.send_file(&file.source, entry))
            .buffer_unordered(AT_ONCE)
            .try_for_each(|()| async { Ok(()) })
            .await;
        (self.sink)(Event::End);
        sent.map(|()| bytes)
    }

    async fn send_file(&self, source: &Path, entry: &ManifestEntry) -> Result<()> {
        let file = File::open(source).map_err(at("open", source))?;
        let mut upload = self.create_upload(&entry.digest, entry.size_bytes).await?;
        let mut told = 0;
        let mut failures = 0;
        loop {
            self.tell(&mut told, upload.offset);
            if upload.complete {
                self.tell(&mut told, entry.size_bytes);
                return Ok(());
            }
            let piece = read_piece(&file, source, upload.offset, entry.size_bytes)?;
            let before = upload.offset;
            upload = match self.append_upload(&upload.id, before, piece).await {
                Ok(next) => next,
                Err(error) => {
                    failures += 1;
                    if failures > FAILURES || !may_go_on(&error) {
                        return Err(changed_meanwhile(error, entry));
                    }
                    let after = pause(failures + 1);
                    (self.sink)(Event::Repeat { reason: format!("{} broke off ({error})", entry.path), after });
                    tokio::time::sleep(after).await;
                    self.where_to_go_on(&upload, entry).await?
                }
            };
            if upload.offset > before {
                failures = 0;
            }
        }
    }

    /// Only the server knows what has arrived; an upload it has forgotten begins anew.
    async fn where_to_go_on(&self, upload: &Upload, entry: &ManifestEntry) -> Result<Upload> {
        match self.upload(&upload.id).await {
            Err(error) if error.is_not_found() => self.create_upload(&entry.digest, entry.size_bytes).await,
            other => other,
        }
    }

    fn tell(&self, told: &mut u64, now: u64) {
        if now >= *told {
            (self.sink)(Event::Advance(now - *told));
        } else {
            (self.sink)(Event::Retreat(*told - now));
        }
        *told = now;
    }
}

/// The line broke, or the server has another offset in mind, or forgot the upload.
fn may_go_on(error: &Error) -> bool {
    matches!(error, Error::Unreachable { .. }) || error.has_code("wrong_offset") || error.is_not_found() || error.is_server_trouble()
}

fn changed_meanwhile(error: Error, entry: &ManifestEntry) -> Error {
    if error.has_code("digest_mismatch") {
        let message = format!("{} changed while it was being sent", entry.path);
        return Error::Input { code: "changed", message, hint: "publish again when nothing writes to it any more".into() };
    }
    error
}

fn read_piece(file: &File, source: &Path, offset: u64, size_bytes: u64) -> Result<Bytes> {
    let length = PIECE.min(size_bytes.saturating_sub(offset)) as usize;
    let mut piece = vec![0; length];
    file.read_exact_at(&mut piece, offset).map_err(at("read (it became shorter)", source))?;
    Ok(piece.into())
}
