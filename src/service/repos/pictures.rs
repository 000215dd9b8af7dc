//! Small pictures of the items of a data set, each at an address of its own, which names the version's commit and is good for ever.
//!
//! A page that shows some makes them ready first: those that lie about already (previews of the version, what an embedding has left) are
//! put on a shelf in memory, the others are made beside, many in one go, by the processes that check data sets. Whoever then asks for one
//! is shown the shelf's, or waits for it; what has left the shelf is made again. Rights are asked for before each look at it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::{Error, Result, Service};
use crate::catalog::facts;
use crate::checks::{Small, ToShow};
use crate::domain::digest::CommitId;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::work::Whose;

/// An item by its path, with its picture (media type and bytes) where that is at hand already.
pub type AtHand = (String, Option<(String, Vec<u8>)>);

/// On the shelf; one has a few kilobytes.
const MOST: usize = 4_000;
/// How long somebody who asks for one waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of files that are copied from a store elsewhere to be looked into, and of those of this machine that are unpacked from the
/// beginning. Zips are looked into where they lie, however large.
const MOST_COPIED: u64 = 256 << 20;
const MOST_UNPACKED: u64 = 2 << 30;

/// What came of one: none of what has no picture.
type Made = Option<Arc<Small>>;
type Key = (CommitId, String);

/// The shelf.
#[derive(Default)]
pub(in crate::service) struct Pictures(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    places: HashMap<Key, watch::Receiver<Option<Made>>>,
    /// The longest kept first.
    order: VecDeque<Key>,
}

/// A place on the shelf that is to be filled: its item, and where the picture goes.
type Place = (String, watch::Sender<Option<Made>>);

impl Pictures {
    /// The place of an item, if it is filled or will be.
    fn find(&self, key: &Key) -> Option<watch::Receiver<Option<Made>>> {
        let shelf = self.0.lock();
        shelf.places.get(key).filter(|place| !is_forsaken(place)).cloned()
    }

    /// New places for those that have none; whoever gets them fills them.
    fn places(&self, commit: &CommitId, paths: impl Iterator<Item = String>) -> Vec<Place> {
        let mut shelf = self.0.lock();
        let mut new = Vec::new();
        for path in paths {
            let key = (commit.clone(), path);
            if shelf.places.get(&key).is_some_and(|place| !is_forsaken(place)) {
                continue;
            }
            let (sender, receiver) = watch::channel(None);
            new.push((key.1.clone(), sender));
            if shelf.places.insert(key.clone(), receiver).is_none() {
                shelf.order.push_back(key);
            }
        }
        while shelf.order.len() > MOST {
            if let Some(oldest) = shelf.order.pop_front() {
                shelf.places.remove(&oldest);
            }
        }
        new
    }
}

/// Nobody fills it any more: the process that was to do so could not be started, or ended.
fn is_forsaken(place: &watch::Receiver<Option<Made>>) -> bool {
    place.has_changed().is_err() && place.borrow().is_none()
}

fn fill(place: &Place, small: Option<Small>) {
    drop(place.1.send_replace(Some(small.map(Arc::new))));
}

impl Service {
    /// Makes small pictures of these items of a data set's version ready, of some of which one is at hand (its media type and bytes); and the
    /// commit by which a page names their addresses. `None` where there is nothing to be seen for this caller.
    pub async fn ready_pictures(
        &self,
        actor: &Actor,
        (id, revision): (&RepoId, &Revision),
        items: Vec<AtHand>,
    ) -> Result<Option<CommitId>> {
        let commit = match self.pictured(actor, id, revision).await {
            Ok(Some(commit)) => commit,
            Ok(None) | Err(Error::NotFound(_)) => return Ok(None),
            Err(other) => return Err(other),
        };
        let (mut known, mut unknown) = (HashMap::new(), HashSet::new());
        for (path, picture) in items {
            match picture.and_then(|(media_type, bytes)| Small::of(&media_type, bytes)) {
                Some(small) => drop(known.insert(path, small)),
                None => drop(unknown.insert(path)),
            }
        }
        for place in self.pictures.places(&commit, known.keys().cloned()) {
            fill(&place, known.remove(&place.0));
        }
        self.begin_pictures(actor, (id, &commit), self.pictures.places(&commit, unknown.into_iter()));
        Ok(Some(commit))
    }

    /// The small picture of an item, and the commit of the version it is of.
    pub async fn picture(&self, actor: &Actor, (id, revision): (&RepoId, &Revision), path: &str) -> Result<(CommitId, Arc<Small>)> {
        let none = || Error::not_found("no_picture", "there is no picture of such an item", "look at the data set's files");
        let commit = self.pictured(actor, id, revision).await?.ok_or_else(none)?;
        let key = (commit.clone(), path.to_owned());
        let mut place = match self.pictures.find(&key) {
            Some(place) => place,
            None => {
                let places = self.pictures.places(&commit, std::iter::once(path.to_owned()));
                self.begin_pictures(actor, (id, &commit), places);
                self.pictures.find(&key).ok_or_else(busy)?
            }
        };
        let made = tokio::time::timeout(PATIENCE, place.wait_for(Option::is_some)).await;
        let made = made.ok().and_then(|made| made.ok()?.clone()).ok_or_else(busy)?;
        Ok((commit, made.ok_or_else(none)?))
    }

    /// The commit of a version whose items can be seen as pictures.
    async fn pictured(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<Option<CommitId>> {
        self.at(actor, RepoKind::Dataset, id, revision, |tx, repo, version| {
            let modality = facts::find(tx, &repo.key, version.number)?.and_then(|facts| Modality::parse(&facts.modality));
            Ok(modality.filter(|modality| modality.has_thumbnails()).map(|_| version.commit))
        })
        .await
    }

    /// Has them made beside; places that are left behind empty are forsaken, and asked for anew.
    fn begin_pictures(&self, actor: &Actor, (id, commit): (&RepoId, &CommitId), places: Vec<Place>) {
        if places.is_empty() {
            return;
        }
        let (service, actor, id, revision) = (self.clone(), actor.clone(), id.clone(), Revision::Commit(commit.to_string()));
        tokio::spawn(async move {
            if let Err(error) = service.make_pictures(&actor, (&id, &revision), places).await {
                tracing::warn!(dataset = %id, %error, "small pictures could not be made");
            }
        });
    }

    async fn make_pictures(&self, actor: &Actor, (id, revision): (&RepoId, &Revision), places: Vec<Place>) -> Result<()> {
        let previews = self.thumbnails(actor, id, revision, usize::MAX).await?;
        let mut previews: HashMap<String, Small> =
            previews.into_iter().filter_map(|one| Some((one.path, Small::of(&one.media_type, one.bytes)?))).collect();
        let mut left = Vec::new();
        for place in places {
            match previews.remove(&place.0) {
                Some(small) => fill(&place, Some(small)),
                None => left.push(place),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let (_, manifest) = self.manifest(actor, RepoKind::Dataset, id, revision).await?;
        let of_files: HashMap<&str, &ManifestEntry> = manifest.entries().iter().map(|entry| (entry.path.as_str(), entry)).collect();
        let (alone, packed): (Vec<Place>, Vec<Place>) = left.into_iter().partition(|(path, _)| of_files.contains_key(path.as_str()));
        if !alone.is_empty() {
            let files = alone.iter().filter_map(|(path, _)| of_files.get(path.as_str()).map(|entry| (*entry).clone())).collect();
            self.show(actor, files, alone).await?;
        }
        if packed.is_empty() {
            return Ok(());
        }
        if self.may_be_unpacked(&manifest).await? {
            return self.show(actor, manifest.entries().to_vec(), packed).await;
        }
        packed.iter().for_each(|place| fill(place, None));
        Ok(())
    }

    /// Whether the files of a version may be looked into for a few pictures.
    async fn may_be_unpacked(&self, manifest: &Manifest) -> Result<bool> {
        let Some(largest) = manifest.entries().iter().max_by_key(|entry| entry.size_bytes) else { return Ok(false) };
        let bytes: u64 = manifest.entries().iter().map(|entry| entry.size_bytes).sum();
        let is_zip = largest.path.extension() == "zip";
        Ok(bytes <= MOST_COPIED || (is_zip || bytes <= MOST_UNPACKED) && self.blobs.proved_path(&largest.digest).await?.is_some())
    }

    /// Makes pictures of these files, or of what is in them; an item that is not there has none.
    async fn show(&self, actor: &Actor, files: Vec<ManifestEntry>, places: Vec<Place>) -> Result<()> {
        let (files, copies) = self.local_files(&files).await?;
        let (checks, paths) = (self.checks.clone(), places.iter().map(|(path, _)| path.clone()).collect());
        let what = ToShow { files, paths, limits: self.policy().data_limits };
        let whose = Whose::of(actor);
        let made = self.work().run(&whose, move || {
            let told = checks.pictures(what, &mut |at, small| {
                if let Some(place) = places.get(at) {
                    fill(place, small);
                }
            });
            drop(copies);
            // A process that ended before its last word met what it could not stand; nobody is to send it there again and again.
            let ended = matches!(told, Ok(()) | Err(crate::checks::Error::Ended(_)));
            places.iter().filter(|(_, place)| ended && place.borrow().is_none()).for_each(|place| fill(place, None));
            told
        });
        made.await?.map_err(super::check_dataset::not_checked)
    }
}

fn busy() -> Error {
    Error::busy("busy", "the picture is not ready", "ask for it again in a moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(byte: u8) -> Small {
        Small { media_type: "image/png", bytes: vec![byte] }
    }

    #[tokio::test]
    async fn a_place_is_filled_once_and_given_anew_where_it_was_forsaken() {
        let (shelf, commit) = (Pictures::default(), CommitId::parse(&"a".repeat(40)).unwrap());
        let key = |path: &str| (commit.clone(), path.to_owned());
        let places = shelf.places(&commit, ["a", "b"].map(String::from).into_iter());
        assert!(shelf.places(&commit, ["a", "b"].map(String::from).into_iter()).is_empty(), "somebody is at it");
        let mut waiting = shelf.find(&key("a")).unwrap();
        fill(&places[0], Some(small(1)));
        drop(places);
        assert_eq!(waiting.wait_for(Option::is_some).await.unwrap().clone().flatten().unwrap().bytes, [1], "also when nobody is left");
        assert!(shelf.find(&key("a")).is_some() && shelf.find(&key("b")).is_none());
        let again = shelf.places(&commit, ["a", "b"].map(String::from).into_iter());
        assert_eq!(again.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(shelf.0.lock().order.len(), 2, "a place given anew has one line in the order");
    }

    #[test]
    fn the_shelf_ends_somewhere() {
        let (shelf, commit) = (Pictures::default(), CommitId::parse(&"b".repeat(40)).unwrap());
        let places = shelf.places(&commit, (0..MOST + 5).map(|at| at.to_string()));
        places.iter().for_each(|place| fill(place, None));
        assert!(shelf.find(&(commit.clone(), "4".into())).is_none() && shelf.find(&(commit, "5".into())).is_some());
    }
}
