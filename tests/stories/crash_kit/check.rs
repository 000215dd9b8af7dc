//! All that must hold after a crash, in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::ledger::{self, Ledger, Place};
use crate::support::publishing::sha256;
use crate::support::{Api, Server, hub};

/// How much of what was whole before is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    All,
    /// So many versions, drawn at random.
    Some(usize),
}

/// What was acknowledged is there and whole, and whatever else is there is whole, too.
pub async fn everything_acknowledged_is_whole(server: &Server, ledger: &Ledger, again: Again, random: &mut ChaCha8Rng) {
    let api = server.admin();
    let repos: BTreeSet<String> = {
        let notes = ledger.notes();
        notes.versions.keys().map(|place| place.0.clone()).chain(notes.cut.iter().map(|cut| cut.0.clone())).collect()
    };
    for repo in repos {
        let listed = versions(&api, &repo).await;
        let numbers: Vec<u64> = listed.keys().copied().collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{repo}: numbers without holes");
        acknowledged_are_listed(ledger, &repo, &listed);
        let newest = listed.iter().filter(|(_, version)| version["state"] == "live").map(|(number, _)| *number).max();
        let shown = api.get(&format!("/api/v1/{repo}")).await.ok();
        assert_eq!(shown["version"]["number"].as_u64(), newest, "{repo}: main names the newest version");
        for (number, version) in &listed {
            let place = (repo.clone(), *number);
            if version["state"] != "deleted" && is_due(ledger, &place, again, random) {
                is_whole(&api, ledger, &place, version).await;
                ledger.notes().seen_whole.insert(place);
            }
        }
    }
    let received = ledger.notes().received.clone();
    // What is complete shows in the versions that name it.
    for (id, bytes) in received.into_iter().filter(|(_, bytes)| *bytes < u64::MAX) {
        let upload = api.get(&format!("/api/v1/uploads/{id}")).await.ok();
        let kept = upload["complete"] == true || ledger::received(&upload) >= bytes;
        assert!(kept, "{bytes} bytes were acknowledged: {upload}");
    }
}

fn is_due(ledger: &Ledger, place: &Place, again: Again, random: &mut ChaCha8Rng) -> bool {
    let notes = ledger.notes();
    match again {
        Again::All => true,
        Again::Some(_) if !notes.seen_whole.contains(place) => true,
        Again::Some(count) => random.random_ratio(count.min(notes.seen_whole.len()) as u32, notes.seen_whole.len() as u32),
    }
}

/// Every version of a repo by its number.
async fn versions(api: &Api, repo: &str) -> BTreeMap<u64, Value> {
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = api.get(&format!("/api/v1/{repo}/versions?limit=100&cursor={cursor}")).await.ok();
        for version in page["items"].as_array().unwrap() {
            found.insert(version["number"].as_u64().unwrap(), version.clone());
        }
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

fn acknowledged_are_listed(ledger: &Ledger, repo: &str, listed: &BTreeMap<u64, Value>) {
    let notes = ledger.notes();
    for (place, version) in notes.versions.iter().filter(|(place, _)| place.0 == repo) {
        let found = listed.get(&place.1).unwrap_or_else(|| panic!("{place:?} was acknowledged and is lost"));
        let is_deleted = found["state"] == "deleted";
        assert!(!is_deleted || notes.deleted.contains(place) || notes.doubtful.contains(place), "{place:?} is gone: {found}");
        assert!(is_deleted || !notes.deleted.contains(place), "{place:?} was deleted and is back");
        assert!(is_deleted || found["commit"] == version.commit.as_str(), "{place:?} is another version: {found}");
    }
}

/// Every file of a version has the bytes its manifest names; an acknowledged one names those that were published.
async fn is_whole(api: &Api, ledger: &Ledger, place: &Place, listed: &Value) {
    let (repo, number) = place;
    let manifest = api.get(&format!("/api/v1/{repo}/versions/{number}/manifest")).await.ok();
    assert_eq!(manifest["version"]["commit"], listed["commit"], "{place:?}");
    let mut files = BTreeMap::new();
    for file in manifest["files"].as_array().unwrap() {
        let (path, wanted) = (file["path"].as_str().unwrap(), file["sha256"].as_str().unwrap());
        let reply = api.get(&format!("/api/v1/{repo}/versions/{number}/files/{path}")).await;
        assert_eq!(reply.status, 200, "{place:?} {path}: {}", reply.text());
        assert_eq!(sha256(&reply.bytes), wanted, "{place:?} {path}");
        files.insert(path.to_owned(), wanted.to_owned());
    }
    if let Some(version) = ledger.notes().versions.get(place) {
        assert_eq!(files, version.files, "{place:?}");
    }
}

/// Once nobody sends anything, the collector leaves nothing that is not named, and catalog and store agree. What a worker was
/// storing when it was killed counts as on its way for an hour, since nobody can know that it will not come: so many blobs of
/// the dead may lie there.
pub async fn nothing_is_left_over(server: &Server, ledger: &Ledger, killed_workers: u64) {
    let api = server.admin();
    let open: Vec<String> = std::mem::take(&mut ledger.notes().received).into_keys().collect();
    for id in open {
        let gone = api.delete(&format!("/api/v1/uploads/{id}")).await.status;
        assert!([204, 404].contains(&gone.as_u16()), "{id}: {gone}");
    }
    for _ in 0..2 {
        admin(server.data(), &["gc", "--grace", "0s"]);
    }
    let checked = admin(server.data(), &["fsck"]);
    assert_eq!(checked["damaged"], serde_json::json!([]), "{checked:#}");
    let mut garbage = checked["garbage"].as_object().unwrap().clone();
    let on_its_way = garbage.remove("in_flight").map_or(0, |found| found["blobs"].as_u64().unwrap());
    assert!(garbage.is_empty() && on_its_way <= killed_workers, "{killed_workers} killed: {checked:#}");
}

/// `hub admin ... --json` on a data directory.
pub fn admin(data: &Path, args: &[&str]) -> Value {
    let done = hub(data).arg("admin").args(args).args(["--json", "--data"]).arg(data).assert().success();
    serde_json::from_slice(&done.get_output().stdout).unwrap()
}
