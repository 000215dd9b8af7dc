//! What somebody lacks, as a pack: counted first, since its head says how many objects follow, then written version by version while
//! it is sent. In memory lie the names of the objects that are still to be written, one version's list, and one batch.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Semaphore, mpsc};

use super::super::super::{Error, Result, Service};
use super::trees::{Laid, off_thread, unreadable};
use super::{GitRepo, turn};
use crate::blob;
use crate::domain::digest::Digest;
use crate::domain::git::history::{Commit, Selection};
use crate::domain::git::layout::{Content, LARGEST_BLOB};
use crate::domain::git::pack::PackWriter;
use crate::domain::git::{ObjectId, ObjectKind};
use crate::domain::user::Actor;

/// Packs that are on their way; each holds some memory as long as its reader reads.
static PACKS: Semaphore = Semaphore::const_new(24);
/// Those that are working, not waiting for their reader.
static WORKS: Semaphore = Semaphore::const_new(3);
/// Files of all versions that are looked through for one pack, and objects in it.
const MOST_FILES: u64 = 2_000_000;
const MOST_OBJECTS: usize = 500_000;
/// Objects that are read and deflated together.
const BATCH_BYTES: u64 = 1 << 20;
const BATCH_OBJECTS: usize = 1_000;
const SIDE_BY_SIDE: usize = 8;

/// A part of an answer.
#[derive(Debug)]
pub enum Piece {
    /// For a person to read while they wait.
    Progress(String),
    Pack(Bytes),
}

/// An object before it is written.
struct Object {
    kind: ObjectKind,
    id: ObjectId,
    content: Source,
}

enum Source {
    Bytes(Vec<u8>),
    File(Content),
}

impl Service {
    /// The pack of what was selected. An error ends it early.
    pub async fn git_pack(&self, actor: &Actor, repo: GitRepo, selection: Selection) -> Result<mpsc::Receiver<Result<Piece>>> {
        let files = selection.commits.iter().filter_map(|place| repo.history.at(*place)).map(|commit| commit.files).sum::<u64>();
        if files > MOST_FILES {
            return Err(too_large(&repo));
        }
        let place = turn(&PACKS).await?;
        let (sender, receiver) = mpsc::channel(1);
        let (service, actor) = (self.clone(), actor.clone());
        tokio::spawn(async move {
            let _place = place;
            let writing = Writing { service, actor, repo: &repo, sender: sender.clone(), writer: PackWriter::new(0) };
            if let Err(Some(error)) = writing.run(&selection).await {
                // Nobody may be left to be told.
                let _ = sender.send(Err(error)).await;
            }
        });
        Ok(receiver)
    }
}

struct Writing<'a> {
    service: Service,
    actor: Actor,
    repo: &'a GitRepo,
    sender: mpsc::Sender<Result<Piece>>,
    writer: PackWriter,
}

/// `None`: whoever asked went away.
type Told<T> = std::result::Result<T, Option<Error>>;

impl Writing<'_> {
    async fn run(mut self, selection: &Selection) -> Told<()> {
        let commits: Vec<&Commit> = selection.commits.iter().filter_map(|place| self.repo.history.at(*place)).collect();
        let mut needed = self.count(&commits, selection).await?;
        let objects = needed.len() + commits.len();
        self.send(Piece::Progress(format!("Sending {objects} objects of {} versions.\n", commits.len()))).await?;
        self.writer = PackWriter::new(u32::try_from(objects).unwrap_or(u32::MAX));
        let texts = commits.iter().map(|commit| bytes(ObjectKind::Commit, commit.id, commit.text.clone().into_bytes()));
        self.write(texts.collect()).await?;
        for commit in &commits {
            if needed.contains(&commit.tree) {
                let laid = self.version(commit).await?;
                self.write(take_needed(laid, &mut needed)).await?;
            }
        }
        if !needed.is_empty() {
            return Err(Some(Error::Internal(format!("{} objects of '{}' were counted and not found", needed.len(), self.repo.id))));
        }
        self.send(Piece::Pack(self.writer.clone().finish())).await
    }

    /// Trees and blobs of these versions that the asker lacks.
    async fn count(&self, commits: &[&Commit], selection: &Selection) -> Told<HashSet<ObjectId>> {
        let (mut held, mut needed) = (HashSet::new(), HashSet::new());
        for commit in selection.held.iter().filter_map(|place| self.repo.history.at(*place)) {
            if held.len() < MOST_OBJECTS && !held.contains(&commit.tree) {
                let laid = self.version(commit).await?;
                held.extend(laid.trees.iter().map(|(id, _)| *id).chain(laid.files.iter().map(|file| file.id)));
            }
        }
        for commit in commits {
            if needed.contains(&commit.tree) || held.contains(&commit.tree) {
                continue;
            }
            let laid = self.version(commit).await?;
            let ids = laid.trees.iter().map(|(id, _)| *id).chain(laid.files.iter().map(|file| file.id));
            needed.extend(ids.filter(|id| !held.contains(id)));
            if needed.len() > MOST_OBJECTS {
                return Err(Some(too_large(self.repo)));
            }
        }
        Ok(needed)
    }

    async fn version(&self, commit: &Commit) -> Told<Laid> {
        if self.sender.is_closed() {
            return Err(None);
        }
        let _turn = turn(&WORKS).await?;
        Ok(self.service.git_version(&self.actor, self.repo, commit).await?)
    }

    async fn write(&mut self, objects: Vec<Object>) -> Told<()> {
        let mut objects = objects.into_iter().peekable();
        while objects.peek().is_some() {
            let (mut batch, mut size) = (Vec::new(), 0);
            while let Some(object) = objects.next_if(|object| batch.is_empty() || size + object.size() <= BATCH_BYTES) {
                size += object.size();
                batch.push(object);
                if batch.len() == BATCH_OBJECTS {
                    break;
                }
            }
            let turn = turn(&WORKS).await?;
            let batch = stream::iter(batch).map(|object| self.read(object)).buffered(SIDE_BY_SIDE).try_collect::<Vec<_>>().await?;
            let writer = std::mem::replace(&mut self.writer, PackWriter::new(0));
            let (writer, written) = off_thread(move || deflate(writer, batch)).await??;
            self.writer = writer;
            drop(turn);
            self.send(Piece::Pack(written)).await?;
        }
        Ok(())
    }

    async fn read(&self, object: Object) -> Result<Read> {
        let Object { kind, id, content } = object;
        let (bytes, stored) = match content {
            Source::Bytes(bytes) => (bytes.into(), None),
            Source::File(content) => match (content.text(), content) {
                (None, Content::Stored { digest, .. }) => {
                    (self.service.blobs.read_all(&digest, LARGEST_BLOB).await.map_err(unreadable)?, Some(digest))
                }
                (text, _) => (text.unwrap_or_default().into(), None),
            },
        };
        Ok(Read { kind, id, bytes, stored })
    }

    async fn send(&self, piece: Piece) -> Told<()> {
        self.sender.send(Ok(piece)).await.map_err(|_| None)
    }
}

/// An object whose bytes are here.
struct Read {
    kind: ObjectKind,
    id: ObjectId,
    bytes: Bytes,
    /// What it is stored as.
    stored: Option<Digest>,
}

/// Every object is proved: a pack whose objects are not what they are called is worse than none.
fn deflate(mut writer: PackWriter, batch: Vec<Read>) -> Result<(PackWriter, Bytes)> {
    for Read { kind, id, bytes, stored } in batch {
        if ObjectId::of(kind, &bytes) != id {
            return Err(match stored {
                Some(digest) => blob::Error::Corrupt { digest, problem: "they are not what they were".into() }.into(),
                None => Error::Internal(format!("the object {id} was written otherwise than it was counted")),
            });
        }
        writer.add(kind, &bytes).map_err(|e| Error::Internal(format!("deflating an object: {e}")))?;
    }
    let written = writer.take();
    Ok((writer, written))
}

impl Object {
    fn size(&self) -> u64 {
        match &self.content {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(Content::Stored { size_bytes, .. }) => *size_bytes,
            Source::File(Content::Written(text)) => text.len() as u64,
            // Some lines.
            Source::File(Content::Pointer { .. }) => 200,
        }
    }
}

fn bytes(kind: ObjectKind, id: ObjectId, bytes: Vec<u8>) -> Object {
    Object { kind, id, content: Source::Bytes(bytes) }
}

/// Each object is taken where it is met first.
fn take_needed(laid: Laid, needed: &mut HashSet<ObjectId>) -> Vec<Object> {
    let mut objects: Vec<Object> =
        laid.trees.into_iter().filter(|(id, _)| needed.remove(id)).map(|(id, tree)| bytes(ObjectKind::Tree, id, tree)).collect();
    for (file, content) in laid.files.into_iter().zip(laid.contents) {
        if needed.remove(&file.id) {
            objects.push(Object { kind: ObjectKind::Blob, id: file.id, content: Source::File(content) });
        }
    }
    objects
}

fn too_large(repo: &GitRepo) -> Error {
    let message = format!("the history of '{}' is too long for one clone", repo.id);
    Error::too_large("too_large", message, "give git --depth 1, or use 'hub pull' or 'hf download'")
}
