//! Reading a blob: any run of its bytes as a stream of blocks, with the next blocks read ahead.
//!
//! Local files are read here rather than through object_store, whose stream hands over 8 KiB at a time. A blob
//! that lies in pieces of other files is read in the same large blocks: each is filled from as many pieces as
//! it spans, so that its stream is as quick as that of a whole file.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Error, Result};
use crate::domain::digest::Digest;
use crate::domain::segments::Layout;

/// Large enough that the trip to a blocking thread costs little, small enough that 64 downloads stay in 100 MiB.
const BLOCK_BYTES: u64 = 512 * 1024;
/// The block being sent and two behind it.
const BLOCKS_IN_FLIGHT: usize = 3;

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

/// Bytes of this machine that can be read from any place, by several threads at once.
trait ReadAt: Debug + Send + Sync {
    fn fill(&self, block: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn fill(&self, block: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(block, offset)
    }
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
        use std::os::fd::AsRawFd as _;
        if let Source::File(file) = &self.source {
            // SAFETY: the descriptor belongs to `file`, which outlives the call; advice changes no data.
            // It may be ignored, and so is the answer.
            let _ = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }

    /// The bytes of `range`, in order. A range past the end is an error of the stream.
    pub fn stream(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        if range.is_empty() {
            return stream::empty().boxed();
        }
        match &self.source {
            Source::Local(file) => blocks_of(self.digest, file.clone(), range),
            Source::Object(store, key) => object_bytes(self.digest, store.clone(), key.clone(), range),
            Source::Parts(parts) => part_bytes(self.digest, parts, range),
        }
    }
}

fn blocks_of(digest: Digest, file: Arc<dyn ReadAt>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let starts = (range.start..range.end).step_by(BLOCK_BYTES as usize);
    let blocks = stream::iter(starts).map(move |start| {
        let (file, end) = (file.clone(), range.end.min(start + BLOCK_BYTES));
        async move { tokio::task::spawn_blocking(move || read_block(digest, &*file, start..end)).await? }
    });
    blocks.buffered(BLOCKS_IN_FLIGHT).boxed()
}

fn read_block(digest: Digest, file: &dyn ReadAt, range: Range<u64>) -> Result<Bytes> {
    let mut block = vec![0; (range.end - range.start) as usize];
    match file.fill(&mut block, range.start) {
        Ok(()) => Ok(block.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Corrupt { digest, problem: format!("it ends before byte {}", range.end) })
        }
        Err(error) => Err(error.into()),
    }
}

fn object_bytes(
    digest: Digest,
    store: Arc<dyn ObjectStore>,
    key: object_store::path::Path,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes>> {
    let opened = async move {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        match store.get_opts(&key, options).await {
            Ok(answer) => Ok(answer.into_stream().map_err(Error::from)),
            Err(object_store::Error::NotFound { .. }) => Err(Error::NotFound(digest)),
            Err(error) => Err(Error::from(error)),
        }
    };
    stream::once(opened).try_flatten().boxed()
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
