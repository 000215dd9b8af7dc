//! Reading a blob: any run of its bytes as a stream of blocks, with the next blocks read ahead.
//!
//! Local files are read here rather than through object_store, whose stream hands over 8 KiB at a time.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Error, Result};
use crate::domain::digest::Digest;

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
    File(Arc<File>),
    Object(Arc<dyn ObjectStore>, object_store::path::Path),
}

impl Reader {
    pub(super) fn of_file(digest: Digest, size: u64, file: File) -> Reader {
        Reader { digest, size, source: Source::File(Arc::new(file)) }
    }

    pub(super) fn of_object(digest: Digest, size: u64, store: Arc<dyn ObjectStore>, key: object_store::path::Path) -> Reader {
        Reader { digest, size, source: Source::Object(store, key) }
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
            Source::File(file) => blocks_of(self.digest, file.clone(), range),
            Source::Object(store, key) => object_bytes(self.digest, store.clone(), key.clone(), range),
        }
    }
}

fn blocks_of(digest: Digest, file: Arc<File>, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let starts = (range.start..range.end).step_by(BLOCK_BYTES as usize);
    let blocks = stream::iter(starts).map(move |start| {
        let (file, end) = (file.clone(), range.end.min(start + BLOCK_BYTES));
        async move { tokio::task::spawn_blocking(move || read_block(digest, &file, start..end)).await? }
    });
    blocks.buffered(BLOCKS_IN_FLIGHT).boxed()
}

fn read_block(digest: Digest, file: &File, range: Range<u64>) -> Result<Bytes> {
    let mut block = vec![0; (range.end - range.start) as usize];
    match file.read_exact_at(&mut block, range.start) {
        Ok(()) => Ok(block.into()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
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
