//! Composed blobs: stored as a list of where their bytes lie in other blobs, and read as if they were whole.
//!
//! ```text
//! blobs/ab/cd/<64 hex>              a whole blob
//! blobs/ab/cd/<64 hex>.segments     a composed one: the text `domain::segments` draws. Its sources are whole
//! ```
//!
//! A whole file wins over a list of the same name. A list gets its name only when every byte it leads to was
//! compared with staged bytes that have the blob's sha256: sharing proves as much as storing does. What may be
//! shared with what is decided above; here it only has to be true.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use sha2::{Digest as _, Sha256};

use super::proved::Proved;
use super::reader::Reader;
use super::{Blobs, Error, Result, key, sync_above};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::segments::{Layout, MOST_TEXT_BYTES};

/// Sources looked for at the same time.
const AT_ONCE: usize = 8;

/// What came of composing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Composed {
    /// The list has its name and is on the disk.
    Stored,
    /// This source is gone, or its bytes are not those of the blob: nothing was stored.
    Differs(Digest),
}

impl Blobs {
    /// Where the bytes of a composed blob lie; `None` where there is no list. A list that cannot be believed is
    /// [`Error::Corrupt`].
    pub async fn find_layout(&self, digest: &Digest) -> Result<Option<Layout>> {
        let damaged = |problem: String| Error::Corrupt { digest: *digest, problem };
        let list = match self.inner.store.get(&segments_key(digest)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        if list.meta.size > MOST_TEXT_BYTES {
            return Err(damaged(format!("its list of segments has {} bytes", list.meta.size)));
        }
        let text = String::from_utf8(list.bytes().await?.into()).map_err(|e| damaged(format!("its list of segments: {e}")))?;
        let layout = Layout::parse(&text, digest).map_err(|e| damaged(format!("its list of segments: {e}")))?;
        match layout.gaps().first() {
            Some(gap) => Err(damaged(format!("its bytes {} to {} lie in no segment", gap.start, gap.end))),
            None => Ok(Some(layout)),
        }
    }

    /// The size of a composed blob that can be read. One whose list or sources are lost is as good as lost:
    /// whoever asks is told to send it again, which repairs it.
    pub(super) async fn find_composed_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let layout = match self.find_layout(digest).await {
            Ok(Some(layout)) => layout,
            Ok(None) => return Ok(None),
            Err(Error::Corrupt { problem, .. }) => {
                tracing::error!(%digest, problem, "a composed blob is damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let sizes =
            stream::iter(layout.sources()).map(|source| async move { Ok::<_, Error>((source, self.find_whole_size(&source).await?)) });
        let sizes: Vec<_> = sizes.buffered(AT_ONCE).try_collect().await?;
        let lost = sizes.iter().find(|(source, size)| size.unwrap_or(0) < needed(&layout, source));
        if let Some((source, _)) = lost {
            tracing::error!(%digest, %source, "a composed blob has lost a source");
        }
        Ok(lost.is_none().then_some(layout.size_bytes()))
    }

    /// Opens a composed blob and all it is made of.
    pub(super) async fn open_composed(&self, digest: &Digest, checked: bool) -> Result<Reader> {
        let layout = self.find_layout(digest).await?.ok_or(Error::NotFound(*digest))?;
        self.open_layout(digest, layout, checked).await
    }

    async fn open_layout(&self, digest: &Digest, layout: Layout, checked: bool) -> Result<Reader> {
        let opened = stream::iter(layout.sources()).map(|source| async move {
            let lost = |problem: String| Error::Corrupt { digest: *digest, problem };
            match self.open_whole(&source, checked).await {
                Ok(reader) => Ok(reader),
                Err(Error::NotFound(_)) => Err(lost(format!("some of them lie in {source}, which is gone"))),
                Err(error) => Err(error),
            }
        });
        let sources: Vec<Reader> = opened.buffered(AT_ONCE).try_collect().await?;
        if let Some(short) = sources.iter().find(|source| source.size() < needed(&layout, source.digest())) {
            let problem = format!("some of them lie in {}, which has only {} bytes", short.digest(), short.size());
            return Err(Error::Corrupt { digest: *digest, problem });
        }
        Ok(Reader::of_parts(*digest, layout, sources))
    }

    /// Stores proved bytes as `layout`, which must cover them, after each of its segments was compared with
    /// them. The staged bytes stay where they are: the caller removes them once the catalog knows the blob.
    pub async fn compose(&self, proved: &Proved, layout: &Layout) -> Result<Composed> {
        let digest = *proved.digest();
        let odd = |problem: String| Error::Store(format!("a list of segments for {digest} is refused: {problem}"));
        if layout.size_bytes() != proved.size_bytes() {
            return Err(odd(format!("it is for {} bytes", layout.size_bytes())));
        }
        if let Some(gap) = layout.gaps().first() {
            return Err(odd(format!("bytes {} to {} lie in no segment", gap.start, gap.end)));
        }
        if layout.sources().contains(&digest) {
            return Err(odd("the blob is made of itself".into()));
        }
        for source in layout.sources() {
            let Some(reader) = self.find_source(&source).await? else { return Ok(Composed::Differs(source)) };
            for segment in layout.segments().iter().filter(|segment| segment.source == source) {
                if !proved.equals(segment.offset, &reader, segment.source_range()).await? {
                    return Ok(Composed::Differs(source));
                }
            }
        }
        self.write_list(&digest, proved.path().with_extension("segments"), layout.encode(&digest)).await?;
        Ok(Composed::Stored)
    }

    /// Stores a blob as `layout`, whose sources lie here, after hashing all it leads to. `staging` names a file of the
    /// staging directory that is free.
    pub async fn adopt_layout(&self, digest: &Digest, layout: &Layout, staging: &UploadId) -> Result<()> {
        let reader = self.open_layout(digest, layout.clone(), true).await?;
        let (mut hash, mut bytes) = (Sha256::new(), reader.stream(0..reader.size()));
        while let Some(block) = bytes.try_next().await? {
            hash.update(&block);
        }
        let got = Digest::from_bytes(hash.finalize().into());
        if got != *digest {
            return Err(Error::Mismatch { expected: *digest, got });
        }
        self.write_list(digest, self.inner.staging_path(staging), layout.encode(digest)).await
    }

    /// Takes a list away: the blob is whole now.
    pub async fn forget_layout(&self, digest: &Digest) -> Result<()> {
        match self.inner.store.delete(&segments_key(digest)).await {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A whole blob, open; `None` where there is none.
    pub async fn find_source(&self, digest: &Digest) -> Result<Option<Reader>> {
        match self.open_whole(digest, true).await {
            Ok(reader) => Ok(Some(reader)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write_list(&self, digest: &Digest, temporary: PathBuf, text: String) -> Result<()> {
        let Some(root) = self.inner.root.clone() else {
            self.inner.store.put(&segments_key(digest), text.into()).await?;
            return Ok(());
        };
        let target = root.join(format!("{}.segments", key(digest)));
        tokio::task::spawn_blocking(move || write_durably(&temporary, &target, text.as_bytes())).await?
    }
}

/// Bytes a source must have for what lies in it.
fn needed(layout: &Layout, source: &Digest) -> u64 {
    let ends = layout.segments().iter().filter(|segment| segment.source == *source).map(|segment| segment.source_range().end);
    ends.max().unwrap_or(0)
}

fn segments_key(digest: &Digest) -> object_store::path::Path {
    format!("{}.segments", key(digest)).into()
}

/// Written beside, synced, renamed, and the folders above synced: after this it survives a power cut.
fn write_durably(temporary: &Path, target: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(temporary)?;
    file.write_all(bytes)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    file.sync_all()?;
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::rename(temporary, target)?;
    sync_above(target)
}
