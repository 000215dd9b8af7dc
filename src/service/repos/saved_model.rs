//! TensorFlow's SavedModels: the files of one, and what its protobuf says, read on publish.

use super::super::{Error, Result, Service};
use crate::blob::Blobs;
use crate::catalog::versions;
use crate::domain::digest::Digest;
use crate::domain::id::RepoKey;
use crate::domain::manifest::Manifest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::saved_model::{self, Field, Graph, MOST, SavedModel, SavedModelError};
use crate::domain::user::Actor;

/// Bytes of the protobuf that are read at once.
const WINDOW: u64 = 64 << 10;
/// Fields that are looked at; TensorFlow writes some hundred.
const MOST_FIELDS: usize = 10_000;
/// Bytes of tags and signatures, all together, that are looked into.
const MOST_BYTES: u64 = 64 << 10;

/// The SavedModel of a version.
#[derive(Debug, Clone)]
pub struct SavedModelFiles {
    pub repo: RepoKey,
    pub id: RepoId,
    pub version: Version,
    /// Names from the model's folder on, and the paths they have in the version.
    pub files: Vec<(String, RepoPath)>,
}

impl Service {
    pub async fn get_saved_model(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<SavedModelFiles> {
        self.at(actor, RepoKind::Model, id, revision, |tx, repo, version| {
            let files = versions::files(tx, &repo.key, version.number)?;
            let folder = saved_model::folder(files.iter().map(|file| file.path.as_str())).map(str::to_owned);
            let folder = folder.ok_or_else(|| {
                let message = format!("version {} of '{}' has no SavedModel", version.number, repo.id);
                Error::not_found("saved_model_not_found", message, "publish a folder that tf.saved_model.save has written")
            })?;
            let named = files.iter().filter_map(|file| file.path.strip_prefix(&folder)).filter(|name| saved_model::belongs(name));
            let parsed = named.map(|name| RepoPath::parse(&format!("{folder}{name}")).map(|path| (name.to_owned(), path)));
            let files = parsed.collect::<std::result::Result<_, _>>().map_err(|e| Error::Internal(e.to_string()))?;
            Ok(SavedModelFiles { repo: repo.key, id: repo.id, version, files })
        })
        .await
    }

    /// What the SavedModel among these files says of itself. Bytes that are no SavedModel stop the publish.
    pub(super) async fn read_saved_model(&self, manifest: &Manifest) -> Result<Option<SavedModel>> {
        let Some(folder) = saved_model::folder(manifest.entries().iter().map(|entry| entry.path.as_str())) else { return Ok(None) };
        let path = format!("{folder}{}", saved_model::FILE);
        let Some(entry) = manifest.entries().iter().find(|entry| entry.path.as_str() == path) else { return Ok(None) };
        let walk = Walk {
            blobs: &self.blobs,
            digest: entry.digest,
            window: (0, bytes::Bytes::new()),
            fields_left: MOST_FIELDS,
            bytes_left: MOST_BYTES,
            found: SavedModel { folder: folder.to_owned(), ..SavedModel::default() },
        };
        walk.read(entry.size_bytes).await.map(Some)
    }
}

/// The way through a protobuf, from field to field.
struct Walk<'a> {
    blobs: &'a Blobs,
    digest: Digest,
    /// Bytes in memory, and where they begin.
    window: (u64, bytes::Bytes),
    fields_left: usize,
    bytes_left: u64,
    found: SavedModel,
}

impl Walk<'_> {
    async fn read(mut self, size_bytes: u64) -> Result<SavedModel> {
        let mut at = 0;
        while at < size_bytes {
            let (field, content, end) = self.field(at, size_bytes).await?;
            if field.number == 2 && field.counted {
                self.graph(content, end).await?;
            }
            at = end;
        }
        if self.found.graphs.is_empty() {
            return Err(refused(SavedModelError("it holds no graph".into())));
        }
        Ok(self.found)
    }

    async fn graph(&mut self, mut at: u64, end: u64) -> Result<()> {
        let mut graph = Graph::default();
        while at < end {
            let (field, content, next) = self.field(at, end).await?;
            match field.number {
                1 if field.counted => self.info(&mut graph, content, next).await?,
                5 if field.counted && graph.signatures.len() < MOST => {
                    if let Some(bytes) = self.content(content, next).await? {
                        graph.signatures.push(saved_model::read_signature(&bytes).map_err(refused)?);
                    }
                }
                _ => {}
            }
            at = next;
        }
        graph.signatures.sort_by(|a, b| a.name.cmp(&b.name));
        if self.found.graphs.len() < MOST {
            self.found.graphs.push(graph);
        }
        Ok(())
    }

    async fn info(&mut self, graph: &mut Graph, mut at: u64, end: u64) -> Result<()> {
        while at < end {
            let (field, content, next) = self.field(at, end).await?;
            if field.counted
                && [4, 5].contains(&field.number)
                && let Some(bytes) = self.content(content, next).await?
            {
                let text = saved_model::read_text(&bytes).map_err(refused)?;
                match field.number {
                    4 if graph.tags.len() < MOST => graph.tags.push(text),
                    5 => self.found.tensorflow = text,
                    _ => {}
                }
            }
            at = next;
        }
        Ok(())
    }

    /// The field at `at`, and where its content begins and ends.
    async fn field(&mut self, at: u64, end: u64) -> Result<(Field, u64, u64)> {
        self.fields_left = self.fields_left.checked_sub(1).ok_or_else(|| refused(SavedModelError("it has too many fields".into())))?;
        let head = self.bytes(at, end.min(at + Field::LONGEST_HEAD as u64)).await?;
        let field = Field::read(&head).map_err(refused)?;
        let content = at + field.head;
        match content.checked_add(field.content) {
            Some(next) if next <= end => Ok((field, content, next)),
            _ => Err(refused(SavedModelError(format!("the field at byte {at} is longer than what it is in")))),
        }
    }

    /// What a field holds; `None` when enough was looked into.
    async fn content(&mut self, from: u64, to: u64) -> Result<Option<bytes::Bytes>> {
        match self.bytes_left.checked_sub(to - from) {
            None => Ok(None),
            Some(left) => {
                self.bytes_left = left;
                self.bytes(from, to).await.map(Some)
            }
        }
    }

    /// At most [`MOST_BYTES`].
    async fn bytes(&mut self, from: u64, to: u64) -> Result<bytes::Bytes> {
        let (start, window) = &self.window;
        if from < *start || to > *start + window.len() as u64 {
            let wanted = from..to.max(from + WINDOW);
            self.window = (from, self.blobs.read_range(&self.digest, wanted).await?);
        }
        let (start, window) = &self.window;
        let (from, to) = ((from - start) as usize, (to - start) as usize);
        window.get(from..to).map(|_| window.slice(from..to)).ok_or_else(|| Error::Internal("a blob ends before its size".into()))
    }
}

fn refused(problem: SavedModelError) -> Error {
    Error::invalid("saved_model_invalid", problem.to_string(), "write it again with tf.saved_model.save, or give the file another name")
}
