//! How repos hang together: the data sets of a model, the models of a data set, what was made from a base.

use base64::Engine as _;

use super::super::{Error, Result, Service, access};
use super::browse;
use crate::catalog::{facts, lineage, repos};
use crate::db::Tx;
use crate::domain::dataset_report::Preview;
use crate::domain::id::RepoKey;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{RepoSummary, SourceDataset, TrainedAs};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// More relatives than this no page lists; a search with the same filter pages through all.
const MOST: usize = 500;

/// A small picture of an item of a data set, or the beginning of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    pub class: String,
    /// The item it was made from.
    pub path: String,
    /// `image/png`, `image/jpeg` or `text/plain`.
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Thumbnail {
    /// Of a text how it begins.
    pub fn text(&self) -> Option<String> {
        self.is_text().then(|| String::from_utf8_lossy(&self.bytes).into_owned())
    }

    pub fn is_text(&self) -> bool {
        self.media_type == "text/plain"
    }
}

impl Service {
    /// The data sets a version's card names, with the repo each is here, if it is one.
    pub async fn datasets_of(&self, actor: &Actor, id: &RepoId, revision: &Revision) -> Result<Vec<SourceDataset>> {
        let asker = actor.clone();
        self.at(actor, RepoKind::Model, id, revision, move |tx, repo, version| {
            let mut all = Vec::new();
            for (written, folded, trained_as) in lineage::sources(tx, &repo.key, version.number)? {
                let named = repos::find_folded(tx, RepoKind::Dataset, &folded)?;
                let repo = match named {
                    Some(named) => see(tx, &asker, RepoKind::Dataset, &named.id)?.map(|seen| seen.id),
                    None => None,
                };
                all.push(SourceDataset { written, repo, trained_as });
            }
            Ok(all)
        })
        .await
    }

    /// The models trained on a data set: pretrained ones, and those fine-tuned from another model.
    pub async fn models_of(&self, actor: &Actor, id: &RepoId) -> Result<(Vec<RepoSummary>, Vec<RepoSummary>)> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let dataset = access::see_repo(tx, &actor, RepoKind::Dataset, &id)?;
                let (mut pretrained, mut fine_tuned) = (Vec::new(), Vec::new());
                for (key, trained_as) in lineage::trained_on(tx, &dataset.id.folded(), MOST)? {
                    let Some(model) = summary(tx, &actor, &key)? else { continue };
                    match trained_as {
                        TrainedAs::Pretrained => pretrained.push(model),
                        TrainedAs::FineTuned => fine_tuned.push(model),
                    }
                }
                Ok((pretrained, fine_tuned))
            })
            .await
    }

    /// The models whose card names this one as their base.
    pub async fn children_of(&self, actor: &Actor, id: &RepoId) -> Result<Vec<RepoSummary>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let base = access::see_repo(tx, &actor, RepoKind::Model, &id)?;
                let keys = lineage::children(tx, &base.id.folded(), MOST)?;
                keys.iter().filter_map(|key| summary(tx, &actor, key).transpose()).collect()
            })
            .await
    }

    /// Small pictures of a data set's version, made when it was published; at most `limit`.
    pub async fn thumbnails(&self, actor: &Actor, id: &RepoId, revision: &Revision, limit: usize) -> Result<Vec<Thumbnail>> {
        let json = self
            .at(actor, RepoKind::Dataset, id, revision, |tx, repo, version| Ok(facts::previews(tx, &repo.key, version.number)?))
            .await?;
        if json.is_empty() {
            return Ok(Vec::new());
        }
        let damaged = |problem: &dyn std::fmt::Display| Error::Internal(format!("the stored previews of '{id}' cannot be read: {problem}"));
        let previews: Vec<Preview> = serde_json::from_str(&json).map_err(|e| damaged(&e))?;
        let thumbnail = |preview: Preview| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(preview.base64).map_err(|e| damaged(&e))?;
            Ok(Thumbnail { class: preview.class, path: preview.path, media_type: preview.media_type, bytes })
        };
        previews.into_iter().take(limit).map(thumbnail).collect()
    }
}

/// The repo, or nothing where the actor may not know of it.
fn see(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Option<crate::domain::repo::Repo>> {
    match access::see_repo(tx, actor, kind, id) {
        Ok(repo) => Ok(Some(repo)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn summary(tx: &mut Tx<'_>, actor: &Actor, key: &RepoKey) -> Result<Option<RepoSummary>> {
    let Some(repo) = repos::find_by_key(tx, key)? else { return Ok(None) };
    match see(tx, actor, repo.kind, &repo.id)? {
        Some(repo) => browse::summary(tx, repo).map(Some),
        None => Ok(None),
    }
}
