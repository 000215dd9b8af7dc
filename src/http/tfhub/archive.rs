//! A SavedModel as a tar.gz (stored, not deflated), written while it is sent: one block of a file in memory at a time,
//! nothing on the disk.
//!
//! Every folder has an entry of its own before its files, since the client makes none by itself; there are only
//! folders and plain files, and no wrapping folder.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write as _};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use tar::{EntryType, Header};

use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::Service;
use crate::service::repos::saved_model::SavedModelFiles;

/// Written bytes that are sent together.
const BLOCK: usize = 256 << 10;
/// Bytes of the tar that are packed together, always as many: where they are cut is where blocks of the packed form end.
const CUT: usize = 256 << 10;
/// Tar's unit: headers are one, files are filled up to whole ones.
const TAR_BLOCK: u64 = 512;

/// The archive. An error breaks it off, so that what arrived reads as damaged and not as whole.
pub fn stream(service: Service, actor: Actor, model: SavedModelFiles) -> impl Stream<Item = io::Result<Bytes>> + 'static {
    let writing = Writing {
        entries: entries(&model),
        file: None,
        ended: false,
        uncut: BytesMut::new(),
        // Weights do not get smaller: quick compression made 400 MB of them 422, and took 20 s.
        encoder: Some(GzEncoder::new(Vec::new(), Compression::none())),
        service,
        actor,
        model,
    };
    stream::try_unfold(writing, |mut writing| async move {
        let next = writing.next().await.inspect_err(|error| tracing::error!(%error, "a SavedModel broke off while it was sent"))?;
        Ok(next.map(|bytes| (bytes, writing)))
    })
}

enum Entry {
    Folder(String),
    /// Its path in the archive and in the version.
    File(String, RepoPath),
}

/// Folders before what is in them.
fn entries(model: &SavedModelFiles) -> VecDeque<Entry> {
    let (mut made, mut entries) = (BTreeSet::new(), VecDeque::new());
    for (name, path) in &model.files {
        for (at, _) in name.match_indices('/') {
            if made.insert(&name[..at]) {
                entries.push_back(Entry::Folder(format!("{}/", &name[..at])));
            }
        }
        entries.push_back(Entry::File(name.clone(), path.clone()));
    }
    entries
}

struct Writing {
    service: Service,
    actor: Actor,
    model: SavedModelFiles,
    entries: VecDeque<Entry>,
    /// The file that is being sent, and the bytes that fill up its last block.
    file: Option<(BoxStream<'static, io::Result<Bytes>>, Bytes)>,
    ended: bool,
    /// Bytes of the tar that are not packed yet.
    uncut: BytesMut,
    /// Gone when all is written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Writing {
    /// The next bytes of the answer.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(None) };
        while let Some(raw) = self.cut().await? {
            encoder = compress(encoder, raw).await?;
            if encoder.get_ref().len() >= BLOCK {
                let bytes = std::mem::take(encoder.get_mut());
                self.encoder = Some(encoder);
                return Ok(Some(bytes.into()));
            }
        }
        Ok(Some(encoder.finish()?.into()))
    }

    /// The next bytes of the tar, cut at the same places however they come from the store.
    async fn cut(&mut self) -> io::Result<Option<Bytes>> {
        while self.uncut.len() < CUT {
            let Some(raw) = self.raw().await? else { break };
            self.uncut.extend_from_slice(&raw);
        }
        let len = self.uncut.len().min(CUT);
        Ok((len > 0).then(|| self.uncut.split_to(len).freeze()))
    }

    /// The next bytes of the tar.
    async fn raw(&mut self) -> io::Result<Option<Bytes>> {
        if let Some((bytes, padding)) = &mut self.file {
            match bytes.next().await {
                Some(block) => return block.map(Some),
                None => {
                    let padding = std::mem::take(padding);
                    self.file = None;
                    return Ok(Some(padding));
                }
            }
        }
        match self.entries.pop_front() {
            Some(Entry::Folder(name)) => head(&name, EntryType::Directory, 0).map(Some),
            Some(Entry::File(name, path)) => self.open(&name, &path).await.map(Some),
            None if self.ended => Ok(None),
            None => {
                self.ended = true;
                Ok(Some(zeros(2 * TAR_BLOCK)))
            }
        }
    }

    /// A file's header; its bytes come next.
    async fn open(&mut self, name: &str, path: &RepoPath) -> io::Result<Bytes> {
        let revision = Revision::Manifest(self.model.version.manifest);
        let opened = self.service.open_file(&self.actor, RepoKind::Model, &self.model.id, &revision, path).await;
        let file = opened.map_err(io::Error::other)?;
        let size = file.entry.size_bytes;
        let bytes = file.reader.stream(0..size).map(|block| block.map_err(io::Error::other));
        self.file = Some((bytes.boxed(), zeros(size.next_multiple_of(TAR_BLOCK) - size)));
        head(name, EntryType::Regular, size)
    }
}

/// On a thread that may take its time.
async fn compress(mut encoder: GzEncoder<Vec<u8>>, raw: Bytes) -> io::Result<GzEncoder<Vec<u8>>> {
    let written = tokio::task::spawn_blocking(move || encoder.write_all(&raw).map(|()| encoder));
    written.await.map_err(io::Error::other)?
}

fn zeros(count: u64) -> Bytes {
    Bytes::from(vec![0; count as usize])
}

/// The header of an entry. A name of more than 100 bytes comes before it as a file of its own, as GNU tar writes it.
fn head(name: &str, kind: EntryType, size: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let mut header = new_header(kind, size);
    if header.set_path(name).is_err() {
        let mut long = new_header(EntryType::GNULongName, name.len() as u64 + 1);
        long.set_path("././@LongLink")?;
        long.set_cksum();
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize((bytes.len() + 1).next_multiple_of(TAR_BLOCK as usize), 0);
        header.set_path("long")?;
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    Ok(bytes.into())
}

/// Of no time and nobody, so that a version is always written the same.
fn new_header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn long_names_and_large_files_are_read_back() {
        let long = format!("variables/{}/x", "y".repeat(200));
        let mut bytes = Vec::new();
        for (name, kind, data) in
            [("variables/", EntryType::Directory, ""), (&long, EntryType::Regular, "abc"), ("b", EntryType::Regular, "")]
        {
            bytes.extend(head(name, kind, data.len() as u64).unwrap());
            bytes.extend(data.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.extend(zeros(1024));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (path, mut text) = (entry.path().unwrap().to_string_lossy().into_owned(), String::new());
            entry.read_to_string(&mut text).unwrap();
            found.push((path, text));
        }
        assert_eq!(found, [("variables/".into(), String::new()), (long, "abc".into()), ("b".into(), String::new())]);
        let huge = 20 << 30;
        let header = head("x", EntryType::Regular, huge).unwrap();
        assert_eq!(Header::from_byte_slice(&header).entry_size().unwrap(), huge);
    }
}
