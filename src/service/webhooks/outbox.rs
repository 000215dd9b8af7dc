//! What webhooks are to be told, written in the transaction of what it tells: an event that is written down is told, and one that was
//! rolled back never is. Whether its owner may still know it is asked when it is sent.

use serde_json::{Value, json};

use super::super::Result;
use crate::catalog::{jobs, repos, webhooks};
use crate::db::Tx;
use crate::domain::discussion::Discussion;
use crate::domain::id::{JobId, RepoKey};
use crate::domain::job::{Job, JobState};
use crate::domain::repo::{Repo, Version};
use crate::domain::revision::Line;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Webhook, WebhookEvent};

/// Longest text of an event, such as an error or a message.
const LONGEST: usize = 1_000;

/// A job has changed its state: its owner's webhooks are told.
pub(in crate::service) fn job_changed(tx: &mut Tx<'_>, id: &JobId, state: JobState, now: Timestamp) -> Result<()> {
    let event = match state {
        JobState::Queued => return Ok(()),
        JobState::Running => WebhookEvent::JobStarted,
        JobState::Succeeded => WebhookEvent::JobSucceeded,
        JobState::Failed => WebhookEvent::JobFailed,
        JobState::Cancelled => WebhookEvent::JobCancelled,
    };
    let Some(job) = jobs::find(tx, id)? else { return Ok(()) };
    // It starts once, however often it is taken up again; and a sweep tells of itself, not of each trial.
    let again = job.attempt > 1 || job.started.is_some_and(|at| at < now);
    if event == WebhookEvent::JobStarted && again || job.parent.is_some() {
        return Ok(());
    }
    for webhook in webhooks::on_of_owner(tx, &job.owner)? {
        let concerns = match &webhook.repo {
            None => true,
            Some(repo) => is_about(tx, &job, repo)?,
        };
        if concerns && webhook.events.contains(&event) {
            let repo = webhook.repo.clone();
            tell(tx, &webhook, (event, repo.as_ref()), json!({ "job": about_job(&job) }), now)?;
        }
    }
    Ok(())
}

/// Does a job read or publish this repo?
fn is_about(tx: &mut Tx<'_>, job: &Job, key: &RepoKey) -> Result<bool> {
    let Some(repo) = repos::find_by_key(tx, key)? else { return Ok(false) };
    let named = |kind, id: &crate::domain::name::RepoId| kind == repo.kind && id.folded() == repo.id.folded();
    let reads = job.work.inputs().iter().any(|input| named(input.kind, &input.id));
    Ok(reads || job.work.publishes().is_some_and(|id| named(crate::domain::name::RepoKind::Model, id)))
}

fn about_job(job: &Job) -> Value {
    let inputs: Vec<Value> = job
        .work
        .inputs()
        .iter()
        .map(|input| json!({ "role": input.role, "kind": input.kind.as_str(), "name": input.id.to_string(), "version": input.version }))
        .collect();
    let result = job.work.publishes().zip(job.result_version);
    json!({
        "id": job.id.as_str(),
        "kind": job.work.write().0,
        "title": job.work.title(),
        "state": job.state.as_str(),
        "error": job.error.as_deref().map(short),
        "inputs": inputs,
        "result": result.map(|(name, version)| json!({ "name": name.to_string(), "version": version })),
        "created": job.created.to_string(),
        "started": job.started.map(|time| time.to_string()),
        "finished": job.finished.map(|time| time.to_string()),
    })
}

/// A version was made upon a branch; what lies on a pull request is not the repo's own yet.
pub(in crate::service) fn version_published(tx: &mut Tx<'_>, repo: &Repo, version: &Version, now: Timestamp) -> Result<()> {
    let Line::Branch(branch) = &version.line else { return Ok(()) };
    let data = json!({
        "repo": about_repo(repo),
        "version": version.number,
        "commit": version.commit.to_string(),
        "branch": branch.to_string(),
        "author": version.author,
        "message": short(&version.message),
    });
    tell_of_repo(tx, repo, WebhookEvent::VersionPublished, data, now)
}

pub(in crate::service) fn discussion_opened(tx: &mut Tx<'_>, repo: &Repo, discussion: &Discussion, now: Timestamp) -> Result<()> {
    let data = json!({
        "repo": about_repo(repo),
        "number": discussion.number,
        "title": short(&discussion.title),
        "author": discussion.author,
        "is_pull_request": discussion.pull.is_some(),
    });
    tell_of_repo(tx, repo, WebhookEvent::DiscussionOpened, data, now)
}

fn about_repo(repo: &Repo) -> Value {
    json!({ "kind": repo.kind.as_str(), "name": repo.id.to_string(), "private": repo.private })
}

fn tell_of_repo(tx: &mut Tx<'_>, repo: &Repo, event: WebhookEvent, data: Value, now: Timestamp) -> Result<()> {
    for webhook in webhooks::on_of_repo(tx, &repo.key, &repo.id.namespace().folded())? {
        if webhook.events.contains(&event) {
            tell(tx, &webhook, (event, Some(&repo.key)), data.clone(), now)?;
        }
    }
    Ok(())
}

/// The number of the delivery.
pub(super) fn test(tx: &mut Tx<'_>, webhook: &Webhook, now: Timestamp) -> Result<u64> {
    tell(tx, webhook, (WebhookEvent::Test, None), json!({ "webhook": webhook.id.as_str() }), now)
}

fn tell(tx: &mut Tx<'_>, webhook: &Webhook, what: (WebhookEvent, Option<&RepoKey>), data: Value, now: Timestamp) -> Result<u64> {
    let body = json!({ "type": what.0.as_str(), "timestamp": now.to_string(), "data": data });
    Ok(webhooks::tell(tx, &webhook.id, what, &body.to_string(), now)?)
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
