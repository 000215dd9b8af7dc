//! Entries that come by hand, from a bundle: their bytes were sent like any others, and are held against the index like those of a fetch.

use std::collections::HashSet;

use super::super::repos::publish::{Commit, Committed};
use super::super::{Error, Result, Service};
use super::take::{also, wrong_digest};
use crate::domain::library::Pin;
use crate::domain::manifest::ManifestEntry;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::Actor;

/// Longest words about where files come from.
const LONGEST_ORIGIN: usize = 300;

impl Service {
    /// Publishes files that were sent as those of an entry. `origin` says in words where they come from.
    pub async fn adopt_entry(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        origin: &str,
        files: Vec<ManifestEntry>,
    ) -> Result<Committed> {
        self.may_commit(actor, kind, id).await?;
        let found = self.get_entry(actor, kind, id).await?;
        if origin.is_empty() || origin.len() > LONGEST_ORIGIN || origin.chars().any(char::is_control) {
            let problem = format!("'origin' is one line of 1 to {LONGEST_ORIGIN} bytes");
            return Err(Error::invalid("bad_origin", problem, "say where the files come from"));
        }
        let pins = [found.entry.pins(), &found.pins[..]].concat();
        for file in &files {
            if let Some(wrong) = Pin::problem(&pins, file.path.as_str(), &file.digest) {
                return Err(wrong_digest(found.entry.name(), &wrong));
            }
        }
        if let Some(absent) = found.entry.pins().iter().find(|pin| !files.iter().any(|file| file.path.as_str() == pin.path)) {
            return Err(wrong_digest(found.entry.name(), &format!("'{}' of the index is not among the files", absent.path)));
        }
        let kept = files.iter().filter(|file| file.path.as_str().ends_with(".safetensors"));
        let kept = kept.map(|file| Pin { path: file.path.to_string(), sha256: file.digest.to_hex(), size_bytes: Some(file.size_bytes) });
        let also = also(&found, origin.to_owned(), kept.collect());
        let message = format!("Library: {} from a bundle ({origin})", found.entry.name());
        let commit = Commit { message, parent: found.version, files, ..Commit::default() };
        self.commit_proved(actor, kind, &found.repo.id, commit, HashSet::new(), Some(also)).await
    }
}
