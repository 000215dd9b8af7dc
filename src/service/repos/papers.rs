//! The two files that describe a version, as data; and since when its files are what they are.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::{Result, Service, access};
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
        let (_, files) = self.list_files(actor, kind, id, revision).await?;
        let mut texts = [(CARD, MAX_CARD_BYTES), ("config.json", MAX_CONFIG_BYTES)].map(|(path, max)| {
            let entry = files.iter().find(|file| file.path == path && (path == CARD || file.size_bytes <= max as u64));
            (entry.map(|entry| entry.digest), max, String::new())
        });
        for (digest, max, text) in &mut texts {
            if let Some(digest) = digest {
                let bytes = self.blobs.read_range(digest, 0..*max as u64).await?;
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        let [(_, _, card), (_, _, config)] = texts;
        let (card, _) = Card::read(&card);
        let config = json::read(&config).ok().and_then(|config| config.as_object().cloned());
        Ok(Papers { card: card.front_matter(), config })
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
