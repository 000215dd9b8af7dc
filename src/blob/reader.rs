//! Reading a blob: any run of its bytes as a stream of blocks, with the next blocks read ahead.
//!
//! Local files are read by `file.rs` rather than through object_store, whose stream hands over 8 KiB at a time. A blob
//! that lies in pieces of other files is read in the same large blocks: each is filled from as many pieces as
//! it spans, so that its stream is as quick as that of a whole file.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::ObjectStore;

use super::file::ReadAt;
use super::{Error, Result, file, object};
use crate::domain::digest::Digest;
use crate::domain::segments::Layout;

/// An open blob.
#[derive(Debug, Clone)]
pub struct Reader {
    digest: Digest,
    size: u64,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Local(Arc<dyn ReadAt>),
    Object(Arc<dyn ObjectStore>, object_store::path::Path),
    /// Pieces of objects, each read by a request of its own.
    Parts(Arc<Parts>),
}

/// A composed blob: where its bytes lie, and the blobs they lie in. Files stay open, so that a blob whose
/// sources are deleted meanwhile is read to its end all the same.
#[derive(Debug)]
struct Parts {
    layout: Layout,
    sources: HashMap<Digest, Reader>,
}

impl ReadAt for Parts {
    fn fill(&self, mut block: &mut [u8], offset: u64) -> io::Result<()> {
        for segment in self.layout.within(offset..offset + block.len() as u64) {
            let (piece, rest) = block.split_at_mut(segment.size_bytes as usize);
            match self.sources.get(&segment.source).map(|source| &source.source) {
                Some(Source::Local(file)) => file.fill(piece, segment.source_offset)?,
                _ => return Err(io::ErrorKind::NotFound.into()),
            }
            block = rest;
        }
        if block.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn append_cached(&self, block: &mut Vec<u8>, offset: u64, most: usize) {
        for segment in self.layout.within(offset..offset + most as u64) {
            let wanted = block.len() + segment.size_bytes as usize;
            if let Some(Source::Local(file)) = self.sources.get(&segment.source).map(|source| &source.source) {
                file.append_cached(block, segment.source_offset, segment.size_bytes as usize);
            }
            if block.len() < wanted {
                return;
            }
        }
    }

    fn drop_cached(&self) {
        self.sources.values().for_each(Reader::drop_cached);
    }
}

impl Reader {
    pub(super) fn of_file(digest: Digest, size: u64, file: File) -> Reader {
        Reader { digest, size, source: Source::Local(Arc::new(file)) }
    }

    pub(super) fn of_object(digest: Digest, size: u64, store: Arc<dyn ObjectStore>, key: object_store::path::Path) -> Reader {
        Reader { digest, size, source: Source::Object(store, key) }
    }

    /// A blob made of others, which are open. `sources` holds every one that `layout` names.
    pub(super) fn of_parts(digest: Digest, layout: Layout, sources: Vec<Reader>) -> Reader {
        let (size, local) = (layout.size_bytes(), sources.iter().all(|source| matches!(source.source, Source::Local(_))));
        let parts = Arc::new(Parts { layout, sources: sources.into_iter().map(|source| (source.digest, source)).collect() });
        Reader { digest, size, source: if local { Source::Local(parts) } else { Source::Parts(parts) } }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Lets the kernel forget what it has in memory of a local blob, so that the next reading asks the disk, and
    /// a long reading does not push out what others need.
    pub(super) fn drop_cached(&self) {
        match &self.source {
            Source::Local(file) => file.drop_cached(),
            Source::Object(..) | Source::Parts(_) => {}
        }
    }

    /// The key of the object that is this blob, where there is one.
    pub(super) fn object_key(&self) -> Option<&object_store::path::Path> {
        match &self.source {
            Source::Object(_, key) => Some(key),
            Source::Local(_) | Source::Parts(_) => None,
        }
    }

    /// The bytes of `range`, in order. A range past the end is an error of the stream.
    pub fn stream(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if range.is_empty() {
            return stream::empty().boxed();
        }
        match &self.source {
            Source::Local(file) => file::blocks(self.digest, file.clone(), range),
            Source::Object(store, key) => object::blocks(self.digest, store.clone(), key.clone(), range),
            Source::Parts(parts) => part_bytes(self.digest, parts, range),
        }
    }
}

/// One segment after the other.
fn part_bytes(digest: Digest, parts: &Parts, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let end = range.end;
    let mut streams: Vec<_> =
        parts.layout.within(range).filter_map(|segment| Some(parts.sources.get(&segment.source)?.stream(segment.source_range()))).collect();
    if end > parts.layout.size_bytes() {
        let problem = format!("it ends before byte {end}");
        streams.push(stream::once(async move { Err(Error::Corrupt { digest, problem }) }).boxed());
    }
    stream::iter(streams).flatten().boxed()
}
