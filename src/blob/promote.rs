//! Proved bytes get their final name: a rename in the local store, a copy into any other. Called by
//! [`super::stage`] only, after size and sha256 matched and the file was synced.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use object_store::{ObjectStoreExt, WriteMultipart};

use super::{Inner, Result, key, object_key, sync_directory};
use crate::domain::digest::Digest;

/// One part of a copy into an object store.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Which folders of the local store are known to be on the disk under their names: `blobs/ab/cd` for each `abcd`.
/// Nobody removes such a folder, so what was synced once need not be synced again.
#[derive(Default)]
pub(super) struct Folders(Mutex<std::collections::HashSet<[u8; 2]>>);

impl Folders {
    fn known(&self, digest: &Digest) -> bool {
        self.lock().contains(&prefix(digest))
    }

    fn learn(&self, digest: &Digest) {
        self.lock().insert(prefix(digest));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<[u8; 2]>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn prefix(digest: &Digest) -> [u8; 2] {
    let bytes = digest.as_bytes();
    [bytes[0], bytes[1]]
}

/// A rename on the same file system: gigabytes are written once. Renaming over an equal blob repairs it.
pub(super) fn promote(root: &Path, known: &Folders, staged: &Path, file: File, digest: &Digest) -> Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    let target = root.join(key(digest));
    let folders: Vec<&Path> = target.ancestors().skip(1).take(3).collect();
    let is_known = known.known(digest);
    if let (Some(folder), false) = (folders.first(), is_known) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::rename(staged, &target)?;
    // All three for a folder this process has not seen synced: another may have made it and not be that far.
    sync_together(&folders[..if is_known { 1 } else { folders.len() }])?;
    known.learn(digest);
    Ok(())
}

/// Folders synced side by side cost one trip to the disk, since the kernel joins their journal entries and flushes.
fn sync_together(folders: &[&Path]) -> Result<()> {
    let Some((first, others)) = folders.split_first() else { return Ok(()) };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|folder| scope.spawn(|| sync_directory(folder))).collect();
        sync_directory(first)?;
        others.into_iter().try_for_each(|synced| synced.join().unwrap_or_else(|_| Err(std::io::Error::other("a sync stopped").into())))
    })
}

/// Other stores get a copy, in parts.
pub(super) async fn put(inner: &Inner, staged: &Path, file: File, digest: &Digest) -> Result<()> {
    let key = object_key(digest);
    if file.metadata()?.len() <= BLOCK_BYTES as u64 {
        let bytes = tokio::fs::read(staged).await?;
        inner.store.put(&key, bytes.into()).await?;
        return Ok(());
    }
    let mut upload = WriteMultipart::new(inner.store.put_multipart(&key).await?);
    let mut file = tokio::fs::File::open(staged).await?;
    loop {
        let mut block = bytes::BytesMut::with_capacity(BLOCK_BYTES);
        if tokio::io::AsyncReadExt::read_buf(&mut file, &mut block).await? == 0 {
            break;
        }
        upload.wait_for_capacity(4).await?;
        upload.put(block.freeze());
    }
    upload.finish().await?;
    Ok(())
}
