//! Comparing the catalog with the store, both ways, and with itself. Sizes and names only: whether the bytes are
//! the right ones is for scrub to say.
//!
//! It runs beside everything else, so what looks wrong is looked at once more before it is said: a blob may have
//! come or gone between two looks.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Error, Result, Service};
use super::expire::in_flight;
use super::scrub::NAMED;
use super::{Count, Event, Tell};
use crate::blob::{self, Lying};
use crate::catalog::fsck::{self, Claim};
use crate::catalog::gc::{self, Reach};
use crate::catalog::{blobs, segments, versions};
use crate::db::{self, Tx};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::path::RepoPath;
use crate::domain::repo::FileEntry;

const PAGE: usize = 1_000;
const VERSIONS_AT_ONCE: usize = 20;
const SIDE_BY_SIDE: usize = 16;

/// Something acknowledged that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// For programs: `blob_lost`, `blob_size`, `file_without_blob`, `file_size`, `manifest`, `ref`, `checkpoint`,
    /// `recipe`, `database`.
    pub code: &'static str,
    pub message: String,
    /// Files of versions that are hit.
    pub named_by: Vec<String>,
}

/// What was compared and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub blobs: Count,
    pub versions: u64,
    pub damaged: Vec<Finding>,
    /// What is only in the way, by kind: `orphan`, `condemned`, `in_flight`, `leftover`, `foreign`, `stray_upload`,
    /// `row_without_bytes`, `row_of_deleted_version`, `upload_to_send_again`.
    pub garbage: BTreeMap<&'static str, Count>,
}

impl Checked {
    fn damage(&mut self, code: &'static str, message: String, named_by: Vec<String>) {
        self.damaged.push(Finding { code, message, named_by });
    }

    fn waste(&mut self, kind: &'static str, bytes: u64) {
        self.garbage.entry(kind).or_default().add(bytes);
    }
}

impl Service {
    pub async fn fsck(&self, tell: &Tell) -> Result<Checked> {
        let mut checked = Checked::default();
        match self.db.check_all().await {
            Err(db::Error::Corrupt(problem)) => checked.damage("database", format!("the catalog's file: {problem}"), vec![]),
            other => other?,
        }
        let mut lying = self.lying(&mut checked).await?;
        self.check_blobs(&mut lying, &mut checked, tell).await?;
        self.check_unknown(lying, &mut checked).await?;
        self.check_versions(&mut checked).await?;
        self.check_recipes(&mut checked).await?;
        self.check_the_rest(&mut checked).await?;
        checked.damaged.sort();
        checked.damaged.dedup();
        Ok(checked)
    }

    /// All blobs that lie in the store, with their sizes.
    async fn lying(&self, checked: &mut Checked) -> Result<HashMap<Digest, u64>> {
        let (mut lying, now) = (HashMap::new(), self.now());
        let mut listing = self.blobs.list();
        while let Some(chunk) = listing.try_next().await? {
            for stored in chunk {
                match stored.lying {
                    Lying::Whole(digest) | Lying::Segments(digest) => drop(lying.insert(digest, stored.size_bytes)),
                    Lying::Leftover if in_flight(stored.modified, now) => checked.waste("in_flight", stored.size_bytes),
                    Lying::Leftover => checked.waste("leftover", stored.size_bytes),
                    Lying::Foreign => checked.waste("foreign", stored.size_bytes),
                }
            }
        }
        Ok(lying)
    }

    /// Every row has its bytes. What has a row is taken out of `lying`.
    async fn check_blobs(&self, lying: &mut HashMap<Digest, u64>, checked: &mut Checked, tell: &Tell) -> Result<()> {
        let (blobs, bytes) = self.db.read(blobs::count).await?;
        tell(Event::Begin { what: "comparing", items: blobs, bytes });
        let mut after = None;
        loop {
            let page = self.db.read(move |tx| Ok::<_, Error>(blobs::list(tx, after.as_ref(), PAGE)?)).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            page.iter().for_each(|(_, size)| checked.blobs.add(*size));
            tell(Event::Advance(page.iter().map(|(_, size)| size).sum()));
            let doubtful: Vec<_> = page.into_iter().filter(|(digest, size)| lying.remove(digest) != Some(*size)).collect();
            for (digest, size) in doubtful {
                self.look_again(digest, size, checked).await?;
            }
        }
        tell(Event::End);
        Ok(())
    }

    /// A row whose bytes were not listed as they should be.
    async fn look_again(&self, digest: Digest, size: u64, checked: &mut Checked) -> Result<()> {
        let found = self.blobs.find_size(&digest).await?;
        if found == Some(size) {
            return Ok(());
        }
        let reach = Reach { now: self.now(), grace_ms: 0 };
        let look = move |tx: &mut Tx<'_>| {
            let row = blobs::find_size(tx, &digest)?;
            Ok::<_, Error>((row, gc::is_kept(tx, &reach, &digest)?, fsck::named_by(tx, &digest, NAMED)?))
        };
        let (row, kept, named_by) = self.db.read(look).await?;
        match found {
            _ if row.is_none() => {}
            _ if !kept => checked.waste("row_without_bytes", size),
            Some(bytes) => checked.damage("blob_size", format!("{digest} has {bytes} bytes instead of {size}"), named_by),
            None if self.blobs.is_quarantined(&digest).await? => {
                checked.damage("blob_lost", format!("{digest} was damaged and is in quarantine; nobody has sent it again"), named_by);
            }
            None => checked.damage("blob_lost", format!("the bytes of {digest} are gone"), named_by),
        }
        Ok(())
    }

    /// What lies in the store without a row: waiting for its end, on its way to a row, or left by a crash.
    async fn check_unknown(&self, lying: HashMap<Digest, u64>, checked: &mut Checked) -> Result<()> {
        let now = self.now();
        for chunk in lying.into_iter().collect::<Vec<_>>().chunks(PAGE).map(<[_]>::to_vec) {
            let kinds = self
                .db
                .read(move |tx| {
                    let kind = |(digest, size): (Digest, u64)| Ok::<_, Error>((gc::state(tx, &digest, now)?, size));
                    chunk.into_iter().map(kind).collect::<Result<Vec<_>>>()
                })
                .await?;
            for (state, size) in kinds {
                match state {
                    gc::State::Known => {}
                    gc::State::Marked => checked.waste("condemned", size),
                    gc::State::InFlight => checked.waste("in_flight", size),
                    gc::State::Unknown => checked.waste("orphan", size),
                }
            }
        }
        Ok(())
    }

    /// Every version has the files it was committed with, and every file its blob.
    async fn check_versions(&self, checked: &mut Checked) -> Result<()> {
        let mut after: Option<Claim> = None;
        loop {
            let from = after.clone();
            let page = move |tx: &mut Tx<'_>| {
                let claims = fsck::versions(tx, from.as_ref(), VERSIONS_AT_ONCE)?;
                let mut found = Vec::new();
                for claim in &claims {
                    found.extend(wrong_in(tx, claim)?);
                }
                Ok::<_, Error>((claims, found))
            };
            let (claims, found) = self.db.read(page).await?;
            checked.versions += claims.len() as u64;
            checked.damaged.extend(found);
            match claims.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(()),
            }
        }
    }

    /// What lies in pieces of others is known with them, as the store has it; else the collector takes its sources.
    async fn check_recipes(&self, checked: &mut Checked) -> Result<()> {
        let look = |tx: &mut Tx<'_>| {
            let mut strays = Vec::new();
            for (digest, source) in segments::without_source(tx)? {
                strays.push((digest, source, fsck::named_by(tx, &digest, NAMED)?));
            }
            Ok::<_, Error>((strays, segments::composed(tx)?))
        };
        let (strays, composed) = self.db.read(look).await?;
        for (digest, source, named_by) in strays {
            checked.damage("recipe", format!("{digest} lies in pieces of {source}, which has no row"), named_by);
        }
        for digest in composed {
            let stored = match self.blobs.find_layout(&digest).await {
                // Lost, damaged, or whole meanwhile: what was compared before says so.
                Ok(None) | Err(blob::Error::Corrupt { .. }) => continue,
                stored => stored?,
            };
            let look = move |tx: &mut Tx<'_>| Ok::<_, Error>((segments::find_layout(tx, &digest)?, fsck::named_by(tx, &digest, NAMED)?));
            let (known, named_by) = self.db.read(look).await?;
            if known.is_some() && known != stored {
                checked.damage("recipe", format!("the store has {digest} in other pieces than the catalog"), named_by);
            }
        }
        Ok(())
    }

    /// Of named blobs, the names of those that are not in the store.
    async fn gone(&self, named: Vec<(String, Digest)>) -> Result<Vec<String>> {
        let sizes = stream::iter(named).map(|(name, digest)| async move { Ok::<_, Error>((self.blobs.find_size(&digest).await?, name)) });
        let sizes: Vec<_> = sizes.buffered(SIDE_BY_SIDE).try_collect().await?;
        Ok(sizes.into_iter().filter(|(size, _)| size.is_none()).map(|(_, name)| name).collect())
    }

    async fn check_the_rest(&self, checked: &mut Checked) -> Result<()> {
        let now = self.now();
        let look = move |tx: &mut Tx<'_>| {
            let uploads = fsck::begun_uploads(tx, now)?;
            let files = (fsck::checkpoints(tx)?, fsck::job_files(tx)?);
            Ok::<_, Error>((fsck::lost_refs(tx)?, fsck::count_stray_files(tx)?, files, uploads))
        };
        let (refs, stray_rows, (checkpoints, job_files), uploads) = self.db.read(look).await?;
        refs.into_iter().for_each(|lost| checked.damage("ref", format!("there is no {lost}"), vec![]));
        (0..stray_rows).for_each(|_| checked.waste("row_of_deleted_version", 0));
        for job in self.gone(checkpoints).await? {
            checked.damage("checkpoint", format!("the checkpoint of job {job} is gone; it will fail"), vec![]);
        }
        for file in self.gone(job_files).await? {
            checked.damage("job_file", format!("the bytes of {file} are gone"), vec![]);
        }
        let staged = self.blobs.staged().await?;
        for stray in self.stray_files().await? {
            checked.waste("stray_upload", staged.iter().find(|file| file.name == stray).map_or(0, |file| file.size_bytes));
        }
        for upload in uploads {
            if staged.iter().all(|file| file.name != upload.as_str()) {
                checked.waste("upload_to_send_again", 0);
            }
        }
        Ok(())
    }
}

/// What is wrong with one version's rows.
fn wrong_in(tx: &mut Tx<'_>, claim: &Claim) -> Result<Vec<Finding>> {
    let files = versions::files(tx, &claim.repo, claim.number)?;
    let mut found = Vec::new();
    let mut damage = |code, message| found.push(Finding { code, message, named_by: vec![claim.name.clone()] });
    if manifest_of(&files).is_none_or(|manifest| manifest.digest() != claim.manifest) {
        damage("manifest", format!("the files of {} are not those that were committed", claim.name));
    }
    for file in files {
        match blobs::find_size(tx, &file.digest)? {
            Some(size) if size == file.size_bytes => {}
            Some(size) => damage("file_size", format!("'{}' of {} has {size} bytes, not {}", file.path, claim.name, file.size_bytes)),
            None => damage("file_without_blob", format!("'{}' of {} has no blob ({})", file.path, claim.name, file.digest)),
        }
    }
    Ok(found)
}

fn manifest_of(files: &[FileEntry]) -> Option<Manifest> {
    let entry = |file: &FileEntry| {
        let path = RepoPath::parse(&file.path).ok()?;
        Some(ManifestEntry { path, size_bytes: file.size_bytes, digest: file.digest })
    };
    Manifest::new(files.iter().map(entry).collect::<Option<_>>()?).ok()
}
