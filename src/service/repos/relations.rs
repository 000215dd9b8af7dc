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

/// The first of the models that hang together with a repo, most downloaded first; a search with the same filter pages through all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Relatives {
    pub models: Vec<RepoSummary>,
    /// The names of those that come next.
    pub others: Vec<RepoId>,
    /// There are more than these.
    pub more: bool,
}

/// How many relatives are wanted with all that lists show of them, and how many more by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub shown: usize,
    pub named: usize,
}

impl Wanted {
    fn all(self) -> usize {
        self.shown + self.named
    }
}

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

    /// The models trained on a data set, as many of each sort as are wanted: pretrained ones, and those fine-tuned from another model.
    pub async fn models_of(&self, actor: &Actor, id: &RepoId, wanted: Wanted) -> Result<(Relatives, Relatives)> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let dataset = access::see_repo(tx, &actor, RepoKind::Dataset, &id)?.id.folded();
                let visible = access::visible_to(tx, &actor)?;
                let pretrained = lineage::trained_on(tx, &dataset, TrainedAs::Pretrained, &visible, wanted.all())?;
                let fine_tuned = lineage::trained_on(tx, &dataset, TrainedAs::FineTuned, &visible, wanted.all())?;
                Ok((relatives(tx, pretrained, wanted)?, relatives(tx, fine_tuned, wanted)?))
            })
            .await
    }

    /// The models whose card names this one as their base.
    pub async fn children_of(&self, actor: &Actor, id: &RepoId, wanted: Wanted) -> Result<Relatives> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let base = access::see_repo(tx, &actor, RepoKind::Model, &id)?;
                let visible = access::visible_to(tx, &actor)?;
                let children = lineage::children(tx, &base.id.folded(), &visible, wanted.all())?;
                relatives(tx, children, wanted)
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
pub(super) fn see(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Option<crate::domain::repo::Repo>> {
    match access::see_repo(tx, actor, kind, id) {
        Ok(repo) => Ok(Some(repo)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn relatives(tx: &mut Tx<'_>, (keys, more): (Vec<RepoKey>, bool), wanted: Wanted) -> Result<Relatives> {
    let mut shown = repos::find_all(tx, &keys)?;
    let others = shown.split_off(wanted.shown.min(shown.len())).into_iter().map(|repo| repo.id).collect();
    Ok(Relatives { models: browse::summaries(tx, shown)?, others, more })
}
