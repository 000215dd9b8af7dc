//! The two files that describe a version, as data; and since when its files are what they are.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::{Error, Result, Service, access};
use crate::catalog::versions;
use crate::domain::card::{Card, MAX_CARD_BYTES};
use crate::domain::config::MAX_CONFIG_BYTES;
use crate::domain::json;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::Version;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

const CARD: &str = "README.md";

/// What card and configuration of a version say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Papers {
    /// The front matter of README.md; empty where there is none.
    pub card: Map<String, Value>,
    /// `config.json`, whichever tool's it is.
    pub config: Option<Map<String, Value>>,
}

impl Service {
    pub async fn papers(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Papers> {
        let mut texts = [(CARD, MAX_CARD_BYTES), ("config.json", MAX_CONFIG_BYTES)].map(|(path, max)| (path, max, String::new()));
        for (path, max, text) in &mut texts {
            let found = self.find_file(actor, (kind, id), revision, path).await?;
            if let Some(file) = found.filter(|file| *path == CARD || file.size_bytes <= *max as u64) {
                let bytes = self.blobs.read_range(&file.digest, 0..*max as u64).await?;
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let [(_, _, card), (_, _, config)] = texts;
        let read = move || {
            let config = json::read(&config).ok().and_then(|config| config.as_object().cloned());
            Papers { card: Card::read(&card).0.front_matter(), config }
        };
        tokio::task::spawn_blocking(read).await.map_err(|e| Error::Internal(format!("reading a card was stopped: {e}")))
    }

    /// For each of these paths of a version, the version that gave it its present bytes. Paths of no file are left out.
    pub async fn last_changes(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        number: u32,
        paths: Vec<String>,
    ) -> Result<HashMap<String, Version>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let mut changes = HashMap::new();
                for path in paths {
                    let Some(file) = versions::find_file(tx, &repo.key, number, &path)? else { continue };
                    if let Some(version) = versions::find_change(tx, &repo.key, number, &file)? {
                        changes.insert(path, version);
                    }
                }
                Ok(changes)
            })
            .await
    }
}
