//! The tensors of a version, read from the headers of its weights each time they are asked for: a header is part of
//! the file, and a copy of it in the catalog would outweigh what a fine-tune adds to its base.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Error, Result, Service};
use super::read_facts::SIDE_BY_SIDE;
use crate::domain::git_lfs;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::TensorEntry;
use crate::domain::revision::Revision;
use crate::domain::safetensors::{self, Header, TensorInfo};
use crate::domain::user::Actor;

impl Service {
    /// The tensors of all safetensors files of a version, file by file in the order of their bytes.
    pub async fn list_tensors(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Vec<TensorEntry>> {
        let (_, manifest) = self.manifest(actor, kind, id, revision).await?;
        let headers = self.read_headers(&manifest).await?;
        let listed = headers.into_iter().flat_map(|(entry, header)| header.tensors.into_iter().map(move |tensor| listed(&entry, tensor)));
        Ok(listed.collect())
    }

    /// The header of each safetensors file, in the order of the manifest. What stands there for a file that git-lfs keeps
    /// has none.
    pub(super) async fn read_headers(&self, manifest: &Manifest) -> Result<Vec<(ManifestEntry, Header)>> {
        let read = |entry: ManifestEntry| async move { Ok::<_, Error>((self.find_header(&entry).await?, entry)) };
        let read = stream::iter(weights(manifest).cloned().map(read)).buffered(SIDE_BY_SIDE).try_collect::<Vec<_>>().await?;
        Ok(read.into_iter().filter_map(|(header, entry)| Some((entry, header?))).collect())
    }

    async fn find_header(&self, entry: &ManifestEntry) -> Result<Option<Header>> {
        if self.find_pointer(entry).await?.is_some() { Ok(None) } else { self.read_header(entry).await.map(Some) }
    }

    /// The size that a git-lfs pointer states, where a file is one.
    pub(super) async fn find_pointer(&self, entry: &ManifestEntry) -> Result<Option<u64>> {
        if entry.size_bytes > git_lfs::LONGEST_POINTER {
            return Ok(None);
        }
        Ok(git_lfs::pointer(&self.blobs.read_all(&entry.digest, git_lfs::LONGEST_POINTER).await?))
    }

    /// The header of one file.
    pub(in crate::service) async fn read_header(&self, entry: &ManifestEntry) -> Result<Header> {
        let refused = |problem: safetensors::HeaderError| {
            let hint = "write the file again with a safetensors library, or convert it with 'hub import'";
            Error::invalid("safetensors_invalid", format!("{}: {problem}", entry.path), hint)
        };
        let first = self.blobs.read_range(&entry.digest, 0..8).await?;
        let length = safetensors::header_len(&first).map_err(refused)? as u64;
        let prefix = self.blobs.read_range(&entry.digest, 0..8 + length).await?;
        safetensors::parse_header(&prefix, entry.size_bytes).map_err(refused)
    }
}

fn weights(manifest: &Manifest) -> impl Iterator<Item = &ManifestEntry> {
    manifest.entries().iter().filter(|entry| entry.path.extension() == "safetensors")
}

fn listed(entry: &ManifestEntry, tensor: TensorInfo) -> TensorEntry {
    let shape = tensor.shape.iter().map(|side| *side as u64).collect();
    TensorEntry { file: entry.path.to_string(), name: tensor.name, dtype: tensor.dtype, shape, size_bytes: tensor.size_bytes }
}
