//! What a job found out about backbones for a data set: a table on its page, and what speaks for the first ones in the form of a fine-tune.

use futures_util::TryStreamExt as _;

use super::card::{href, title};
use super::format;
use super::repo_head::urlencode;
use crate::domain::id::JobId;
use crate::domain::job::{Family, Job, JobState};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::recommendation::{Backbone, FILE, Recommendation};
use crate::domain::repo_ref::RepoRef;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::domain::work::Work;
use crate::service::Service;

/// A longer answer is not read into a page.
const MAX_BYTES: u64 = 8 << 20;
/// Jobs that are looked through for one about a data set.
const LOOKED_THROUGH: u64 = 50;

/// The answer of a job as its page shows it.
pub struct Backbones {
    pub said: String,
    pub notes: Vec<String>,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub place: String,
    pub name: String,
    pub href: String,
    /// Of the form that fine-tunes it on these data; empty where it could not be tried.
    pub tune: String,
    pub ridge: String,
    pub knn: String,
    pub parameters: String,
    pub pace: String,
    pub top1: String,
    /// How it stands beside the first, or why it was not tried.
    pub about: String,
}

/// What a job has left of this kind.
pub async fn find(service: &Service, actor: &Actor, job: &Job) -> Option<Backbones> {
    if !matches!(job.work, Work::Recommend(_)) || job.state != JobState::Succeeded {
        return None;
    }
    let found = read(service, actor, &job.id).await?;
    let lines = found.backbones.iter().map(|one| Line::of(one, &found.dataset)).collect();
    let said =
        format!("{} of {} items of {} were looked at, in {}.", found.items, found.of_items, found.dataset, format::duration(found.seconds));
    Some(Backbones { said, notes: found.notes, lines })
}

/// What the newest job about a data set found, if there is one that the visitor may see.
pub async fn newest(service: &Service, actor: &Actor, dataset: &RepoId) -> Option<Recommendation> {
    let narrow = (Some("recommend"), Some(JobState::Succeeded), Family::All);
    let jobs = service.list_jobs(actor, narrow, PageRequest::new(Some(LOOKED_THROUGH), None)).await.ok()?;
    let about = |job: &&Job| matches!(&job.work, Work::Recommend(work) if work.dataset.folded() == dataset.folded());
    read(service, actor, &jobs.items.iter().find(about)?.id).await
}

async fn read(service: &Service, actor: &Actor, job: &JobId) -> Option<Recommendation> {
    let (file, reader) = service.open_job_file(actor, job, FILE).await.ok()?;
    if file.size_bytes > MAX_BYTES {
        return None;
    }
    let parts: Vec<_> = reader.stream(0..file.size_bytes).try_collect().await.ok()?;
    serde_json::from_slice(&parts.concat()).ok()
}

/// What speaks for one that was tried, in a line.
pub fn evidence(one: &Backbone) -> String {
    let mut said = vec![format!("place {} on these data", one.place.unwrap_or_default())];
    if let Some(scores) = &one.scores {
        said.push(format!("a linear head on its features: {:.3}", scores.ridge));
    }
    said.extend(one.auroc.map(|auroc| format!("AUROC {auroc:.3}")));
    said.extend(one.milliseconds_per_item.map(|ms| format!("{ms:.1} ms an item here")));
    if one.known.parameters > 0 {
        said.push(format!("{} parameters", format::count(one.known.parameters)));
    }
    said.join(", ")
}

impl Line {
    fn of(one: &Backbone, dataset: &str) -> Line {
        let known = &one.known;
        // What a job wrote is a name, or is shown as it is.
        let named = RepoRef::parse(&known.model).ok();
        let tried = one.place.is_some();
        let about = match (&one.reason, &one.standing) {
            (Some(reason), _) => reason.clone(),
            (None, Some(standing)) if one.place == Some(1) => format!("mean rank {:.1}", standing.mean_rank),
            (None, Some(standing)) if standing.tied => "these items do not tell it from the first".into(),
            (None, Some(standing)) => format!("{:.3} ± {:.3} behind the first", standing.behind, standing.behind_error),
            (None, None) => String::new(),
        };
        Line {
            place: one.place.map(|place| place.to_string()).unwrap_or_default(),
            name: named.as_ref().map_or_else(|| known.model.clone(), |named| title(&named.id)),
            href: named.as_ref().map(page_of).unwrap_or_default(),
            tune: if tried { format!("/finetune?base={}&dataset={}", urlencode(&known.model), urlencode(dataset)) } else { String::new() },
            ridge: one
                .scores
                .map(|scores| format!("{:.3}", scores.ridge))
                .or(one.auroc.map(|auroc| format!("{auroc:.3}")))
                .unwrap_or_default(),
            knn: one.scores.map(|scores| format!("{:.3}", scores.knn)).unwrap_or_default(),
            parameters: if known.parameters > 0 { format::count(known.parameters) } else { String::new() },
            pace: one.milliseconds_per_item.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
            top1: known.accuracy.map(|accuracy| format::percent(accuracy.top1)).unwrap_or_default(),
            about,
        }
    }
}

fn page_of(named: &RepoRef) -> String {
    let page = href(RepoKind::Model, &named.id);
    if named.revision == Revision::main() { page } else { format!("{page}?rev={}", urlencode(&named.revision.to_string())) }
}
