//! What cached blobs share: of a blob that the server composes of others it is remembered where its bytes lie there,
//! so that not only a base helps to pull a fine-tune, but one fine-tune its siblings. These lists are a server's
//! word. What is copied by them is proved by the sha256 of the whole, and a list that misled is thrown away.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::error::at;
use super::link::write_whole;
use super::{Cache, Part, Result, VerifiedHashes};
use crate::domain::digest::Digest;
use crate::domain::segments::{Layout, MOST_TEXT_BYTES, Segment};

/// Lists looked through for one blob, those of blobs fetched last first.
const MOST_LISTS: usize = 2_000;
/// Shorter runs are fetched with what surrounds them: a request of their own costs more.
const LEAST_BYTES: u64 = 64 * 1024;

/// A run of a wanted blob that lies in a cached one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    offset: u64,
    size_bytes: u64,
    cached: Digest,
    cached_offset: u64,
}

/// What was copied, and out of which blobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reused {
    pub bytes: u64,
    pub blobs: Vec<Digest>,
}

impl Cache {
    /// Keeps a server's word on where a blob's bytes lie. What lies in itself needs no list.
    pub fn remember_segments(&self, digest: &Digest, layout: &Layout) -> Result<()> {
        let elsewhere: Vec<Segment> = layout.segments().iter().filter(|segment| segment.source != *digest).copied().collect();
        let Ok(layout) = Layout::new(layout.size_bytes(), elsewhere) else { return Ok(()) };
        if layout.segments().is_empty() {
            return Ok(());
        }
        let path = self.segments_path(digest);
        write_whole(&path, layout.encode(digest).as_bytes()).map_err(at("write", &path))
    }

    pub fn forget_segments(&self, digest: &Digest) {
        // What cannot be removed misleads again, and is found out again.
        let _ = std::fs::remove_file(self.segments_path(digest));
    }

    /// Copies into a part what cached blobs hold of it, by the server's `layout` and those remembered. Blobs that
    /// were damaged on this disk are left out.
    pub fn reuse(&self, part: &Part, layout: &Layout, verified: &VerifiedHashes) -> Result<Reused> {
        let mut reused = Reused::default();
        let mut proved: HashMap<Digest, Option<File>> = HashMap::new();
        for found in self.find_runs(part, layout) {
            if let Entry::Vacant(unknown) = proved.entry(found.cached) {
                unknown.insert(self.open_proved(&found.cached, verified)?);
            }
            let Some(Some(file)) = proved.get(&found.cached) else { continue };
            let mut bytes = file;
            let path = || self.blob_path(&found.cached);
            bytes.seek(SeekFrom::Start(found.cached_offset)).map_err(|e| at("read", &path())(e))?;
            reused.bytes += part.fill(found.offset, &mut bytes.take(found.size_bytes))?;
            if !reused.blobs.contains(&found.cached) {
                reused.blobs.push(found.cached);
            }
        }
        Ok(reused)
    }

    /// Runs that are missing in the part and that a cached blob is said to hold, long enough to be worth it.
    fn find_runs(&self, part: &Part, layout: &Layout) -> Vec<Found> {
        let mut have = part.arrived();
        let lists = self.lists();
        let mut runs = Vec::new();
        for segment in layout.segments() {
            let itself = Segment { offset: segment.source_offset, ..*segment };
            let direct = self.blob_path(&segment.source).is_file().then_some((segment.source, itself));
            let through = lists.iter().flat_map(|(cached, list)| list.segments().iter().map(|other| (*cached, *other)));
            for (cached, other) in direct.into_iter().chain(through.filter(|(_, other)| other.source == segment.source)) {
                let start = segment.source_offset.max(other.source_offset);
                let end = segment.source_range().end.min(other.source_range().end);
                let wanted = start.saturating_sub(segment.source_offset) + segment.offset;
                for gap in if start < end { have.gaps(wanted..wanted + (end - start)) } else { Vec::new() } {
                    if gap.end - gap.start >= LEAST_BYTES {
                        let cached_offset = other.offset + (start - other.source_offset) + (gap.start - wanted);
                        runs.push(Found { offset: gap.start, size_bytes: gap.end - gap.start, cached, cached_offset });
                        have.insert(gap);
                    }
                }
            }
        }
        runs
    }

    /// The lists of blobs that are here, newest first.
    fn lists(&self) -> Vec<(Digest, Layout)> {
        let entries = std::fs::read_dir(self.root.join("segments")).into_iter().flatten().flatten();
        let mut known: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, Digest::parse(entry.file_name().to_str()?).ok()?)))
            .filter(|(_, digest)| self.blob_path(digest).is_file())
            .collect();
        known.sort_by_key(|(written, digest)| (std::cmp::Reverse(*written), *digest));
        known.into_iter().take(MOST_LISTS).filter_map(|(_, digest)| Some((digest, self.recall_segments(&digest)?))).collect()
    }

    fn recall_segments(&self, digest: &Digest) -> Option<Layout> {
        let mut text = String::new();
        let file = File::open(self.segments_path(digest)).ok()?;
        file.take(MOST_TEXT_BYTES).read_to_string(&mut text).ok()?;
        Layout::parse(&text, digest).ok()
    }

    fn open_proved(&self, digest: &Digest, verified: &VerifiedHashes) -> Result<Option<File>> {
        let path = self.blob_path(digest);
        let Ok(file) = File::open(&path) else { return Ok(None) };
        let size_bytes = file.metadata().map_err(at("look at", &path))?.len();
        Ok(verified.prove(&path, digest, size_bytes)?.then_some(file))
    }

    /// Forgets the lists of blobs that are not here any more.
    pub(super) fn prune_segments(&self) {
        let entries = std::fs::read_dir(self.root.join("segments")).into_iter().flatten().flatten();
        for digest in entries.filter_map(|entry| Digest::parse(entry.file_name().to_str()?).ok()) {
            if !self.blob_path(&digest).exists() {
                self.forget_segments(&digest);
            }
        }
    }

    fn segments_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("segments").join(digest.to_hex())
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // a list of one range is meant
mod tests {
    use bytes::Bytes;

    use super::*;

    fn bytes_of(seed: usize, len: usize) -> Vec<u8> {
        (0..len).map(|at| ((at + seed) * 31 % 251) as u8).collect()
    }

    fn keep(cache: &Cache, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let part = Part::open(cache, &digest, bytes.len() as u64).unwrap();
        part.write(0, &[Bytes::copy_from_slice(bytes)]).unwrap();
        cache.adopt(&cache.verified_hashes(), &part, &digest).unwrap();
        digest
    }

    fn segment(offset: usize, size: usize, source: &Digest, source_offset: usize) -> Segment {
        Segment { offset: offset as u64, size_bytes: size as u64, source: *source, source_offset: source_offset as u64 }
    }

    /// A base of 600,000 bytes, and two fine-tunes: 1,000 bytes of their own before the base's from 100,000 on.
    fn family() -> (Vec<u8>, Vec<u8>, Vec<u8>, impl Fn(&Digest) -> Layout) {
        let base = bytes_of(1, 600_000);
        let tune = |seed| [bytes_of(seed, 1_000), base[100_000..].to_vec()].concat();
        let layout = |source: &Digest| Layout::new(501_000, vec![segment(1_000, 500_000, source, 100_000)]).unwrap();
        (base.clone(), tune(7), tune(50), layout)
    }

    #[test]
    fn a_base_helps_its_fine_tune_and_fine_tunes_each_other() {
        let (base, one, two, layout) = family();
        let source = Digest::of(&base);
        for (kept, list) in [(&base, None), (&one, Some(layout(&source)))] {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::open(folder.path()).unwrap();
            let cached = keep(&cache, kept);
            if let Some(list) = list {
                cache.remember_segments(&cached, &list).unwrap();
            }
            let part = Part::open(&cache, &Digest::of(&two), 501_000).unwrap();
            let reused = cache.reuse(&part, &layout(&source), &cache.verified_hashes()).unwrap();
            assert_eq!(reused, Reused { bytes: 500_000, blobs: vec![cached] });
            assert_eq!(part.missing(), [0..1_000]);
            assert_eq!(std::fs::read(part.path()).unwrap()[1_000..], two[1_000..]);
            assert_eq!(cache.reuse(&part, &layout(&source), &cache.verified_hashes()).unwrap(), Reused::default(), "it is here already");
        }
    }

    #[test]
    fn a_fine_tune_helps_to_pull_its_base() {
        let (base, one, _, layout) = family();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let source = Digest::of(&base);
        let cached = keep(&cache, &one);
        cache.remember_segments(&cached, &layout(&source)).unwrap();
        let part = Part::open(&cache, &source, 600_000).unwrap();
        let whole = Layout::covering(600_000, vec![segment(0, 600_000, &source, 0)]).unwrap();
        assert_eq!(cache.reuse(&part, &whole, &cache.verified_hashes()).unwrap().bytes, 500_000);
        assert_eq!(part.missing(), [0..100_000]);
        assert_eq!(std::fs::read(part.path()).unwrap()[100_000..], base[100_000..]);
    }

    #[test]
    fn what_is_gone_or_damaged_is_not_copied() {
        let (base, one, two, layout) = family();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let (source, cached) = (keep(&cache, &base), keep(&cache, &one));
        cache.remember_segments(&cached, &layout(&source)).unwrap();
        std::fs::remove_file(cache.blob_path(&source)).unwrap();
        std::fs::remove_file(cache.blob_path(&cached)).unwrap();
        std::fs::write(cache.blob_path(&source), bytes_of(3, 600_000)).unwrap();
        let part = Part::open(&cache, &Digest::of(&two), 501_000).unwrap();
        assert_eq!(cache.reuse(&part, &layout(&source), &cache.verified_hashes()).unwrap(), Reused::default());
        cache.prune_segments();
        assert_eq!(std::fs::read_dir(folder.path().join("segments")).unwrap().count(), 0);
    }
}
