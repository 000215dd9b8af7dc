//! What a folder holds: the sha256 of each file, several at once, read only where it is not remembered.

use futures_util::{StreamExt, stream};

use super::{Error, Event, Folder, LocalFile, Result, Sink};
use crate::cache::{Cache, Hashes};
use crate::domain::manifest::{Manifest, ManifestEntry};

/// Hashes all files, as many at once as there are cores, and answers their manifest. With a cache, files that have
/// not changed since they were hashed last are not read again.
pub async fn hash_files(folder: &Folder, cache: Option<&Cache>, sink: &Sink) -> Result<Manifest> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    sink(Event::Begin { what: "hashing", files: folder.files.len() as u64, bytes: folder.total_bytes() });
    let hashes = std::sync::Arc::new(cache.map(Cache::hashes).unwrap_or_default());
    let entries: Vec<_> = stream::iter(folder.files.iter().cloned())
        .map(|file| {
            let (hashes, sink) = (hashes.clone(), sink.clone());
            tokio::task::spawn_blocking(move || hash_entry(&file, &hashes, &sink))
        })
        .buffered(threads)
        .collect()
        .await;
    sink(Event::End);
    if let Some(Err(error)) = std::sync::Arc::into_inner(hashes).map(Hashes::save) {
        sink(Event::Note(format!("the digests of these files are not remembered: {error}")));
    }
    let lost = |e: tokio::task::JoinError| Error::Input { code: "internal", message: e.to_string(), hint: "run the command again".into() };
    let entries = entries.into_iter().map(|entry| entry.map_err(lost)?).collect::<Result<Vec<_>>>()?;
    Manifest::new(entries).map_err(|e| Error::Input {
        code: "manifest",
        message: e.to_string(),
        hint: "change the folder, then publish again".into(),
    })
}

fn hash_entry(file: &LocalFile, hashes: &Hashes, sink: &Sink) -> Result<ManifestEntry> {
    let (digest, size_bytes) = hashes.hash(&file.source, &mut |count| sink(Event::Advance(count)))?;
    Ok(ManifestEntry { path: file.path.clone(), size_bytes, digest })
}
