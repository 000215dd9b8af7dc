//! Reading a blob: any run of its bytes as a stream of blocks, with the next blocks read ahead, and each compared with
//! what was stored before it is handed over (`checked`, `object`).
//!
//! Local files are read by `file.rs` rather than through object_store, whose stream hands over 8 KiB at a time. A blob
//! that lies in pieces of other files is read in the same large blocks: each is filled from as many pieces as
//! it spans, so that its stream is as quick as that of a whole file.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use futures_util::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};

use super::checked::Checked;
use super::file::ReadAt;
use super::object::Object;
use super::{Error, Result, file};
use crate::domain::digest::Digest;
use crate::domain::segments::Layout;

/// An open blob.
#[derive(Debug, Clone)]
pub struct Reader {
    digest: Digest,
    size: u64,
    source: Source,
    is_composed: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Local(Arc<dyn ReadAt>),
    Object(Arc<Object>),
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

    fn get_ready(self: Arc<Self>) -> Option<BoxFuture<'static, Result<()>>> {
        let of = |source: &Reader| match &source.source {
            Source::Local(file) => file.clone().get_ready(),
            Source::Object(_) | Source::Parts(_) => None,
        };
        let waited_for: Vec<_> = self.sources.values().filter_map(of).collect();
        if waited_for.is_empty() {
            return None;
        }
        let ready = async move {
            for source in waited_for {
                source.await?;
            }
            Ok(())
        };
        Some(ready.boxed())
    }
}

impl Reader {
    pub(super) fn of_file(digest: Digest, file: Checked) -> Reader {
        Reader { digest, size: file.size_bytes(), source: Source::Local(Arc::new(file)), is_composed: false }
    }

    pub(super) fn of_object(digest: Digest, size: u64, object: Object) -> Reader {
        Reader { digest, size, source: Source::Object(Arc::new(object)), is_composed: false }
    }

    /// A blob made of others, which are open. `sources` holds every one that `layout` names.
    pub(super) fn of_parts(digest: Digest, layout: Layout, sources: Vec<Reader>) -> Reader {
        let (size, local) = (layout.size_bytes(), sources.iter().all(|source| matches!(source.source, Source::Local(_))));
        let parts = Arc::new(Parts { layout, sources: sources.into_iter().map(|source| (source.digest, source)).collect() });
        Reader { digest, size, source: if local { Source::Local(parts) } else { Source::Parts(parts) }, is_composed: true }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its bytes lie in other blobs.
    pub(super) fn is_composed(&self) -> bool {
        self.is_composed
    }

    /// Lets the kernel forget what it has in memory of a local blob, so that the next reading asks the disk, and
    /// a long reading does not push out what others need.
    pub(super) fn drop_cached(&self) {
        match &self.source {
            Source::Local(file) => file.drop_cached(),
            Source::Object(_) | Source::Parts(_) => {}
        }
    }

    /// The key of the object that is this blob, where there is one.
    pub(super) fn object_key(&self) -> Option<&object_store::path::Path> {
        match &self.source {
            Source::Object(object) => Some(object.key()),
            Source::Local(_) | Source::Parts(_) => None,
        }
    }

    /// The bytes of `range`, in order. A range past the end is an error of the stream.
    pub fn stream(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if range.is_empty() {
            return stream::empty().boxed();
        }
        match &self.source {
            Source::Local(file) => match file.clone().get_ready() {
                None => file::blocks(self.digest, file.clone(), range),
                Some(ready) => {
                    let (digest, file) = (self.digest, file.clone());
                    stream::once(ready.map_ok(move |()| file::blocks(digest, file, range))).try_flatten().boxed()
                }
            },
            Source::Object(object) => object.clone().blocks(range),
            Source::Parts(parts) => part_bytes(self.digest, parts, range),
        }
    }

    /// As [`Reader::stream`], after its first block was read: what is wrong with that is an error before anything
    /// was promised.
    pub async fn begin(&self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut bytes = self.stream(range);
        match bytes.next().await {
            None => Ok(bytes),
            Some(first) => {
                let first = first?;
                Ok(stream::once(async { Ok(first) }).chain(bytes).boxed())
            }
        }
    }

    /// This blob for a thread that may wait, where it lies on this machine: [`Local::read_at`].
    pub async fn local(&self) -> Result<Option<Local>> {
        let Source::Local(file) = &self.source else { return Ok(None) };
        if let Some(ready) = file.clone().get_ready() {
            ready.await?;
        }
        Ok(Some(Local { digest: self.digest, size: self.size, file: file.clone() }))
    }

    /// Reads what nobody has found good yet.
    pub(super) async fn prove(&self) -> Result<()> {
        if let Source::Local(file) = &self.source
            && file.all_proved()
        {
            return Ok(());
        }
        self.stream(0..self.size).try_for_each(|_| async { Ok(()) }).await
    }
}

/// A blob on this machine, checked as every other.
pub struct Local {
    digest: Digest,
    size: u64,
    file: Arc<dyn ReadAt>,
}

impl Local {
    /// Up to `most` bytes from `offset` on, fewer at the end of the blob.
    pub fn read_at(&self, offset: u64, most: usize) -> Result<Bytes> {
        let end = self.size.min(offset.saturating_add(most as u64));
        file::read_block(self.digest, &*self.file, offset.min(end)..end)
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
