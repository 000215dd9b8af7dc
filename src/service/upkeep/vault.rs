//! A backup's directory: catalogs of several moments, and the blobs they name.
//!
//! ```text
//! DIR/catalogs/20261125T204401123Z.db   a catalog as of that moment; it has this name once all its blobs are here
//! DIR/catalogs/....part                 one under way; a crash leaves it for the next backup to remove
//! DIR/blobs/ab/cd/<64 hex>              as in a hub's own directory
//! DIR/backup.lock                       held while a backup writes here
//! ```

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Error, Result};
use super::scrub::NAMED;
use super::{Count, Event, Tell};
use crate::blob::{self, Blobs, Pace, Verdict};
use crate::catalog::{blobs, fsck, segments};
use crate::db::{Db, Haste};
use crate::domain::digest::Digest;
use crate::domain::id::UploadId;
use crate::domain::ranges::Ranges;
use crate::domain::segments::Layout;
use crate::domain::time::Timestamp;
use crate::file_lock::FileLock;

const PAGE: usize = 1_000;
/// Blobs copied side by side.
const SIDE_BY_SIDE: usize = 4;
const ENDING: &str = ".db";
const CATALOGS: &str = "catalogs";

/// A backup's directory, opened.
pub(super) struct Vault {
    dir: PathBuf,
    pub blobs: Blobs,
}

/// Held while a backup writes.
pub(super) struct Writing {
    _lock: FileLock,
}

/// All blobs of a catalog, and what became of them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    pub blobs: Count,
    pub copied: Count,
    /// In the order of their digests.
    pub lost: Vec<Lost>,
}

/// A blob that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub digest: Digest,
    pub problem: String,
    /// The files of versions it is.
    pub named_by: Vec<String>,
}

/// What became of a blob that was to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Copied {
    /// It was there already.
    Had,
    Now,
    /// The source does not have its bytes: why.
    Damaged(String),
}

impl Vault {
    /// Opens a directory that holds a backup.
    pub fn open(dir: &Path) -> Result<Vault> {
        if !dir.join(CATALOGS).is_dir() {
            let message = format!("{} holds no backup", dir.display());
            return Err(Error::not_found("no_backup", message, "name the directory that 'hub admin backup DIR' wrote to"));
        }
        Ok(Vault { dir: dir.to_owned(), blobs: Blobs::open_local(dir)? })
    }

    /// Opens a directory to write a backup to: a new or empty one, or one that holds a backup.
    pub fn create(dir: &Path) -> Result<(Vault, Writing)> {
        std::fs::create_dir_all(dir).map_err(|e| unusable(dir, &e))?;
        let mut entries = std::fs::read_dir(dir).map_err(|e| unusable(dir, &e))?;
        if entries.next().is_some() && !dir.join(CATALOGS).is_dir() {
            let message = format!("{} is neither empty nor a backup", dir.display());
            return Err(Error::invalid("not_a_backup", message, "name an empty directory, or one that holds an earlier backup"));
        }
        std::fs::create_dir_all(dir.join(CATALOGS)).map_err(|e| unusable(dir, &e))?;
        match FileLock::try_take(&dir.join("backup.lock")).map_err(|e| unusable(dir, &e))? {
            Some(lock) => Ok((Vault::open(dir)?, Writing { _lock: lock })),
            None => {
                let message = format!("another backup is writing to {}", dir.display());
                Err(Error::busy("backup_in_use", message, "wait until it has ended"))
            }
        }
    }

    pub fn path(&self, generation: &str) -> PathBuf {
        self.dir.join(CATALOGS).join(format!("{generation}{ENDING}"))
    }

    /// Where a catalog stays until its blobs are here.
    pub fn part(&self, generation: &str) -> PathBuf {
        self.dir.join(CATALOGS).join(format!("{generation}.part"))
    }

    /// The moments there is a catalog of, newest first.
    pub fn generations(&self) -> Result<Vec<String>> {
        let folder = self.dir.join(CATALOGS);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|e| unusable(&folder, &e))? {
            let name = entry.map_err(|e| unusable(&folder, &e))?.file_name().to_string_lossy().into_owned();
            found.extend(name.strip_suffix(ENDING).map(str::to_owned));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Removes what backups that died left half-written. For the holder of the lock.
    pub async fn clear(&self, _writing: &Writing) -> Result<()> {
        let folder = self.dir.join(CATALOGS);
        for entry in std::fs::read_dir(&folder).map_err(|e| unusable(&folder, &e))?.flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "part") {
                std::fs::remove_file(entry.path()).map_err(|e| unusable(&entry.path(), &e))?;
            }
        }
        for file in self.blobs.staged().await? {
            self.blobs.discard_stray(&file.name, Timestamp::from_unix_ms(i64::MAX)).await?;
        }
        Ok(())
    }

    /// Gives a catalog its name: from now on there is a backup of this moment.
    pub fn name(&self, generation: &str, _writing: &Writing) -> Result<()> {
        let path = self.path(generation);
        let named = std::fs::rename(self.part(generation), &path).and_then(|()| File::open(self.dir.join(CATALOGS))?.sync_all());
        named.map_err(|e| unusable(&path, &e))
    }

    /// Removes all but the newest `keep` catalogs, and then the blobs no catalog names any more.
    pub async fn prune(&self, keep: usize, writing: &Writing) -> Result<Count> {
        let mut kept = self.generations()?;
        let old = kept.split_off(keep.max(1).min(kept.len()));
        if old.is_empty() {
            return Ok(Count::default());
        }
        for generation in old {
            let path = self.path(&generation);
            std::fs::remove_file(&path).map_err(|e| unusable(&path, &e))?;
        }
        let mut named = HashSet::new();
        for generation in kept {
            each_blob(&self.catalog(&generation).await?, |digest, _| {
                named.insert(digest);
            })
            .await?;
        }
        self.clear(writing).await?;
        let (mut removed, mut listing) = (Count::default(), self.blobs.list());
        while let Some(chunk) = listing.try_next().await? {
            for digest in chunk.into_iter().filter_map(|stored| stored.lying.digest()).filter(|digest| !named.contains(digest)) {
                removed.add(self.blobs.delete(&digest).await?);
            }
        }
        Ok(removed)
    }

    /// A catalog of this backup, for reading.
    pub async fn catalog(&self, generation: &str) -> Result<Db> {
        open_copy(&self.path(generation)).await
    }
}

/// Opens a copied catalog and reads all of it once.
pub(super) async fn open_copy(path: &Path) -> Result<Db> {
    let opened = Db::open_copy(path).await?;
    opened.check(Haste::Full).await.map_err(|error| {
        let message = format!("the catalog {}: {error}", path.display());
        Error::corrupt("backup_damaged", message, "use an earlier one with --generation, or another backup")
    })?;
    Ok(opened)
}

/// Shows `each` every blob a catalog has a row of.
async fn each_blob(catalog: &Db, mut each: impl FnMut(Digest, u64)) -> Result<()> {
    let mut after = None;
    loop {
        let page = catalog.read(move |tx| Ok::<_, Error>(blobs::list(tx, after.as_ref(), PAGE)?)).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        page.into_iter().for_each(|(digest, size)| each(digest, size));
    }
}

/// Copies every blob a catalog has a row of from store to store: first those that lie whole, then those that lie in
/// pieces of them. With `prove`, also what is there already is read.
pub(super) async fn copy_all(
    what: &'static str,
    catalog: &Db,
    (source, target): (&Blobs, &Blobs),
    prove: bool,
    tell: &Tell,
) -> Result<Copies> {
    let composed = catalog.read(|tx| Ok::<_, Error>(segments::composed(tx)?)).await?;
    let composed: HashSet<Digest> = composed.into_iter().collect();
    let (mut whole, mut pieces, mut copies) = (Vec::new(), Vec::new(), Copies::default());
    each_blob(catalog, |digest, size| {
        copies.blobs.add(size);
        if composed.contains(&digest) { pieces.push((digest, size)) } else { whole.push((digest, size)) }
    })
    .await?;
    tell(Event::Begin { what, items: copies.blobs.blobs, bytes: copies.blobs.bytes });
    for group in [whole, pieces] {
        let mut copying = stream::iter(group)
            .map(|blob| async move { (blob, copy(catalog, (source, target), blob, prove).await) })
            .buffer_unordered(SIDE_BY_SIDE);
        while let Some(((digest, size), copied)) = copying.next().await {
            tell(Event::Advance(size));
            match copied? {
                Copied::Had => {}
                Copied::Now => copies.copied.add(size),
                Copied::Damaged(problem) => {
                    let named_by = catalog.read(move |tx| Ok::<_, Error>(fsck::named_by(tx, &digest, NAMED)?)).await?;
                    copies.lost.push(Lost { digest, problem, named_by });
                }
            }
        }
    }
    tell(Event::End);
    copies.lost.sort_by_key(|lost| lost.digest);
    Ok(copies)
}

/// Copies a blob from store to store, proved on the way, and linked where they share a disk. With `prove`, also
/// what is there already is read; and always where the source has lost the blob, since what was linked is damaged
/// together. Trouble of the target is an error, trouble of the source an answer.
async fn copy(catalog: &Db, (source, target): (&Blobs, &Blobs), (digest, size): (Digest, u64), prove: bool) -> Result<Copied> {
    if target.find_size(&digest).await? == Some(size) {
        let doubtful = prove || source.find_size(&digest).await? != Some(size);
        if !doubtful || target.verify(&digest, size, &mut Pace::free(), |_| {}).await? == Verdict::Good {
            return Ok(Copied::Had);
        }
    }
    let staging = staging_id()?;
    let layout: Option<Layout> = catalog.read(move |tx| Ok::<_, Error>(segments::find_layout(tx, &digest)?)).await?;
    let copied = match (source.local_path(&digest), layout) {
        (Some(path), _) => target.adopt(&path, &digest, &staging).await,
        (None, Some(layout)) => target.adopt_layout(&digest, &layout, &staging).await,
        (None, None) => stream_over(source, target, &digest, size, &staging).await,
    };
    match copied {
        Ok(()) => Ok(Copied::Now),
        Err(blob::Error::NotFound(_)) => Ok(Copied::Damaged("its bytes are gone".into())),
        Err(error @ (blob::Error::Mismatch { .. } | blob::Error::Unreadable(_) | blob::Error::Corrupt { .. })) => {
            Ok(Copied::Damaged(error.to_string()))
        }
        Err(blob::Error::Short { .. } | blob::Error::TooLong { .. }) => Ok(Copied::Damaged(format!("it does not have {size} bytes"))),
        Err(error) => Err(error.into()),
    }
}

async fn stream_over(source: &Blobs, target: &Blobs, digest: &Digest, size: u64, staging: &UploadId) -> blob::Result<()> {
    let reader = source.open(digest).await?;
    let mut part = target.part(staging, size, &Ranges::default()).await?;
    let mut bytes = reader.stream(0..reader.size());
    while let Some(block) = bytes.try_next().await? {
        part.write(block).await?;
    }
    part.settle().await?;
    if part.offset() != size {
        return Err(blob::Error::Short { received: part.offset(), announced: size });
    }
    drop(part);
    target.finish(staging, size, digest).await
}

/// A name for a staging file that nobody else has.
fn staging_id() -> Result<UploadId> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|e| Error::Internal(format!("the system gave no randomness: {e}")))?;
    Ok(UploadId::new(Timestamp::from_unix_ms(0), random))
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> Error {
    let full = crate::domain::disk::is_full(error);
    let hint =
        if full { "the disk is full: make room on it, or choose a directory elsewhere" } else { "choose a directory you may write to" };
    Error::invalid("directory_unusable", format!("{}: {error}", path.display()), hint)
}
