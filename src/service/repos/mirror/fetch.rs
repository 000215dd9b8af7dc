//! One fetch from the other hub: what of a repo is taken, and what becomes of it here.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::super::super::{Error, Result, Service};
use super::super::publish::Also;
use super::super::publish_folder::FolderCommit;
use super::{Mirroring, Outcome, Wanted};
use crate::catalog::{mirrors, repos};
use crate::domain::mirror::{Mirror, Refusal};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::user::Actor;
use crate::import::mirror::{self, Naming, Snapshot, Tell};

/// Half-fetched repos nobody asked for any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Files of one reason that a warning names.
const MOST_NAMED: usize = 20;
/// Larger papers name no weights.
const LARGEST_PAPER: u64 = 16 << 20;
/// Endings of files that hold a model's weights.
const WEIGHTS: &[&str] = &["safetensors", "bin", "pt", "pth", "ckpt", "h5", "keras", "gguf", "onnx", "msgpack", "pb", "tflite", "npz"];

/// Whose fault it is.
enum Failure {
    Upstream(mirror::Error),
    Ours(Error),
    /// That commit is not taken, however often it is asked for.
    Refused(Refusal),
    /// The same, of a repo that not everybody sees there: strangers would hear that it exists, so it is not written down.
    RefusedInPrivate(String),
}

impl From<mirror::Error> for Failure {
    fn from(error: mirror::Error) -> Failure {
        Failure::Upstream(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

impl Service {
    pub(super) async fn fetch_and_publish(&self, mirroring: &Mirroring, wanted: Wanted) -> Outcome {
        let Ok(_turn) = mirroring.turns.turn(&wanted.whose).await else { return Outcome::Crowded };
        let (outcome, refusal) = match self.mirror(mirroring, &wanted).await {
            // That commit was written down with the version.
            Ok(done @ Outcome::Here { .. }) => return done,
            Ok(other) => (other, None),
            Err(Failure::Upstream(mirror::Error::NotFound { .. })) => (Outcome::Absent, None),
            Err(Failure::Upstream(mirror::Error::Refused { .. })) => match self.hide(&wanted).await {
                Ok(()) => (Outcome::Absent, None),
                Err(error) => (failed(mirroring, &wanted, &error.to_string()), None),
            },
            // Another node was quicker.
            Err(Failure::Ours(Error::Conflict(_))) => return Outcome::Same,
            Err(Failure::Refused(refusal)) => (Outcome::Refused(refusal.reason.clone()), Some(refusal)),
            Err(Failure::RefusedInPrivate(reason)) => (Outcome::Refused(reason), None),
            Err(Failure::Upstream(error)) => (failed(mirroring, &wanted, &error.to_string()), None),
            Err(Failure::Ours(error)) => (failed(mirroring, &wanted, &error.to_string()), None),
        };
        if let Some(refusal) = &refusal {
            let (kind, id, upstream) = (wanted.kind, &wanted.there, mirroring.upstream.address());
            tracing::warn!(%kind, %id, upstream, problem = refusal.reason, "a repo is not mirrored");
        }
        if let Err(error) = self.write_down(mirroring, &wanted, refusal).await {
            tracing::warn!(%error, "what the other hub said was not written down");
        }
        outcome
    }

    async fn mirror(&self, mirroring: &Mirroring, wanted: &Wanted) -> std::result::Result<Outcome, Failure> {
        let (upstream, tell): (_, Tell) = (mirroring.upstream.clone(), Arc::new(|_| ()));
        let mut snapshot = upstream.snapshot(wanted.kind, &wanted.there.to_string(), "main", &tell).await.map_err(lasting)?;
        if snapshot.private {
            self.hide(wanted).await?;
        }
        let known = wanted.known.as_ref().filter(|known| known.upstream == upstream.address());
        if known.is_some_and(|known| known.repo.is_some() && known.commit == snapshot.commit) {
            return Ok(Outcome::Same);
        }
        if let Some(refusal) =
            known.and_then(|known| known.refused.clone()).filter(|refusal| refusal.commit == snapshot.commit && !wanted.anew)
        {
            return Err(Failure::Refused(refusal));
        }
        // Nobody else could see it: it is fetched when somebody asks who can.
        if snapshot.private && known.is_none_or(|known| known.repo.is_none()) && !wanted.sees_private {
            return Ok(Outcome::Absent);
        }
        self.leave_out(&mut snapshot);
        refuse_without_weights(&snapshot, &HashSet::new())?;
        let name = format!("{}-{}-{}", wanted.kind, wanted.there.folded().replace('/', "--"), snapshot.commit);
        let (folder, place) = (mirroring.folder.clone(), mirroring.folder.join(name));
        // Whether it goes well matters to nobody now.
        let _ = spawn_blocking(move || remove_abandoned(&folder)).await;
        let files = place.join("files");
        upstream.fetch(&snapshot, &files, Naming::Plain, &place.join("parts"), &tell).await?;
        let outcome = self.publish_snapshot(mirroring, wanted, &mut snapshot, &files).await;
        if outcome.is_err() {
            self.forget_empty(wanted.kind, &wanted.here).await?;
        }
        // What cannot be published now never can; what can is safe.
        let _ = tokio::fs::remove_dir_all(&place).await;
        outcome
    }

    /// Makes what is here private, because it is not for everybody there. Never the other way: whether a repo that is
    /// opened there is open here too, an administrator says.
    async fn hide(&self, wanted: &Wanted) -> Result<()> {
        let (kind, id) = (wanted.kind, &wanted.here);
        match self.get_repo(&Actor::System, kind, id).await {
            Ok(found) if !found.repo.private => {
                self.patch_repo(&Actor::System, kind, id, Some(true), None).await?;
                tracing::warn!(%kind, %id, "a mirrored repo is private from now on: the other hub does not show it to everybody");
                Ok(())
            }
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Leaves no repo behind in which nothing was ever published, nor a tombstone that would keep its name.
    async fn forget_empty(&self, kind: RepoKind, id: &RepoId) -> Result<()> {
        let id = id.clone();
        self.db
            .write(move |tx| {
                if let Some(repo) = repos::find(tx, kind, &id)? {
                    repos::erase_empty(tx, &repo.key)?;
                }
                Ok(())
            })
            .await
    }

    /// Leaves out what this server never takes, by its size.
    fn leave_out(&self, snapshot: &mut Snapshot) {
        let most = self.policy.max_file_bytes;
        snapshot.leave_out(|file| (file.size_bytes > most).then(|| format!("it has more than the {most} bytes a file may have here")));
    }

    /// Makes the version. A file that turns out to run code is left out.
    async fn publish_snapshot(
        &self,
        mirroring: &Mirroring,
        wanted: &Wanted,
        snapshot: &mut Snapshot,
        place: &Path,
    ) -> std::result::Result<Outcome, Failure> {
        let (read, at) = (snapshot.clone(), place.to_owned());
        let named = spawn_blocking(move || named_by_papers(&read, &at)).await.unwrap_or_default();
        loop {
            refuse_without_weights(snapshot, &named)?;
            let upstream = mirroring.upstream.address();
            let warnings = snapshot.said_of_left_out(MOST_NAMED);
            let message = format!("Mirror of {} at {upstream} ({})", wanted.there, snapshot.commit);
            let message = std::iter::once(message).chain(snapshot.said_of_left_out(3)).collect::<Vec<_>>().join("\n\n");
            let message = message.chars().filter(|c| !c.is_control() || *c == '\n').take(1_000).collect();
            let commit = FolderCommit { message, private: snapshot.private, warnings: warnings.clone(), ..FolderCommit::default() };
            let files = snapshot.files.iter().map(|file| (file.path.clone(), Naming::Plain.place(place, file))).collect();
            let also = self.stands_at(mirroring, wanted, snapshot);
            let published = self.publish_files_and(&Actor::System, wanted.kind, &wanted.here, files, commit, Some(also)).await;
            match published {
                Ok(done) => {
                    let (kind, id, bytes) = (wanted.kind, &wanted.there, snapshot.total_bytes());
                    tracing::info!(%kind, %id, commit = snapshot.commit, bytes, "mirrored a repo");
                    return Ok(Outcome::Here { created: done.created, warnings });
                }
                Err(Error::Invalid(problem)) if problem.code == "pickle_refused" => {
                    let before = snapshot.files.len();
                    snapshot.leave_out(|file| {
                        problem.message.starts_with(&format!("'{}' ", file.path)).then(|| "loading it can run code".to_owned())
                    });
                    if snapshot.files.len() == before {
                        return Err(refused(snapshot, problem.message));
                    }
                }
                Err(Error::Invalid(problem) | Error::TooLarge(problem)) => return Err(refused(snapshot, problem.message)),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Writes down, with the version, which commit it is.
    fn stands_at(&self, mirroring: &Mirroring, wanted: &Wanted, snapshot: &Snapshot) -> Also {
        let (kind, here, now) = (wanted.kind, wanted.here.clone(), self.now());
        let (id, upstream, commit) = (wanted.there.clone(), mirroring.upstream.address().to_owned(), snapshot.commit.clone());
        Arc::new(move |tx, _| {
            let repo = repos::find(tx, kind, &here)?.map(|repo| repo.key);
            let mirror =
                Mirror { kind, id: id.clone(), repo, upstream: upstream.clone(), commit: commit.clone(), refused: None, checked: now };
            Ok(mirrors::set(tx, &mirror)?)
        })
    }

    /// That it was asked, and what is not taken of it. Of what there is neither here nor there, nothing is kept.
    async fn write_down(&self, mirroring: &Mirroring, wanted: &Wanted, refusal: Option<Refusal>) -> Result<()> {
        if wanted.known.is_none() && refusal.is_none() {
            return Ok(());
        }
        let (upstream, now) = (mirroring.upstream.address().to_owned(), self.now());
        let new = Mirror {
            kind: wanted.kind,
            id: wanted.there.clone(),
            repo: None,
            upstream,
            commit: String::new(),
            refused: None,
            checked: now,
        };
        let known = wanted.known.clone().filter(|known| known.upstream == new.upstream).unwrap_or(new);
        let mirror = Mirror { checked: now, refused: refusal.or_else(|| known.refused.clone()), ..known };
        self.db.write(move |tx| Ok(mirrors::set(tx, &mirror)?)).await
    }
}

/// Troubles that pass are told to those who wait, but not what they say of this machine.
fn failed(mirroring: &Mirroring, wanted: &Wanted, problem: &str) -> Outcome {
    let (kind, id, upstream) = (wanted.kind, &wanted.there, mirroring.upstream.address());
    tracing::warn!(%kind, %id, upstream, problem, "a repo was not mirrored");
    Outcome::Failed("see its log".to_owned())
}

fn refused(snapshot: &Snapshot, reason: String) -> Failure {
    match snapshot.private {
        true => Failure::RefusedInPrivate(reason),
        false => Failure::Refused(Refusal { commit: snapshot.commit.clone(), reason }),
    }
}

/// A listing that no try makes better; it comes without a commit.
fn lasting(error: mirror::Error) -> Failure {
    match error {
        mirror::Error::Unfit(reason) => Failure::Refused(Refusal { commit: String::new(), reason }),
        other => other.into(),
    }
}

/// A model without its weights is none: what is left out must not be all of them, nor safetensors, nor a file that the
/// repo's own papers name.
fn refuse_without_weights(snapshot: &Snapshot, named: &HashSet<String>) -> std::result::Result<(), Failure> {
    if snapshot.files.is_empty() {
        return Err(refused(snapshot, "it holds no file that can be taken".to_owned()));
    }
    if snapshot.kind == RepoKind::Dataset {
        return Ok(());
    }
    let ending = |name: &str| name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase());
    let is_weights = |name: &str| WEIGHTS.contains(&ending(name).as_str());
    let others = snapshot.files.iter().any(|file| ending(file.path.as_str()) == "safetensors");
    let any = snapshot.files.iter().any(|file| is_weights(file.path.as_str()));
    let lost = snapshot.left_out.iter().find(|left| {
        let safetensors = ending(&left.name) == "safetensors";
        // Where the same weights are here as safetensors, the other form may stay out.
        safetensors || !others && named.contains(&left.name) || !any && is_weights(&left.name)
    });
    match lost {
        Some(left) => Err(refused(snapshot, format!("{:?}, which holds weights, cannot be taken: {}", left.name, left.why))),
        None => Ok(()),
    }
}

/// The files left out that an index or a config of the repo names, each by its whole path.
fn named_by_papers(snapshot: &Snapshot, place: &Path) -> HashSet<String> {
    let is_paper = |path: &RepoPath| {
        let name = path.file_name();
        name.ends_with("index.json") || matches!(name, "config.json" | "adapter_config.json")
    };
    let mut named = HashSet::new();
    for file in snapshot.files.iter().filter(|file| is_paper(&file.path) && file.size_bytes <= LARGEST_PAPER) {
        let read = std::fs::read(Naming::Plain.place(place, file)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let folder = file.path.as_str().rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let mut said = HashSet::new();
        texts(&read.unwrap_or_default(), &mut said);
        named.extend(
            snapshot
                .left_out
                .iter()
                .map(|left| &left.name)
                .filter(|name| said.contains(name.as_str()) || name.strip_prefix(&folder).is_some_and(|inside| said.contains(inside)))
                .cloned(),
        );
    }
    named
}

/// All texts in a document.
fn texts(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

/// What cannot be looked at or removed is looked at again by the next fetch.
pub(in crate::service) fn remove_abandoned(folder: &Path) {
    let old = |at: SystemTime| SystemTime::now().duration_since(at).is_ok_and(|age| age > ABANDONED_AFTER);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.metadata().and_then(|found| found.modified()).is_ok_and(old) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
