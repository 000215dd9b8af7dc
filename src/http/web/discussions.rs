//! What is asked to be changed in a repo: its pull requests and discussions, and one of them with its buttons.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::card::href;
use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, page, page_with, see_other};
use super::repo_head::{Head, urlencode};
use crate::domain::discussion::{Discussion, DiscussionEvent, DiscussionFilter, DiscussionState, Happening};
use crate::domain::name::RepoKind;
use crate::domain::revision::Line;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{DiscussionAt, Query, RepoAt};
use crate::service::Service;
use crate::service::repos::discussions::DiscussionDetail;
use crate::service::repos::merge::Change;

/// Discussions of one page, and changed files and comments of one discussion; the API lists all.
const PAGE: usize = 50;
const MOST_SHOWN: usize = 500;

#[derive(Template)]
#[template(path = "discussions.html")]
struct Discussions {
    frame: Frame,
    head: Head,
    discussions: Vec<DiscussionLine>,
    next: Option<String>,
}

struct DiscussionLine {
    number: u32,
    title: String,
    author: String,
    created: String,
    state: &'static str,
    tone: &'static str,
    is_pull: bool,
}

#[derive(Template)]
#[template(path = "discussion.html")]
struct OneDiscussion {
    frame: Frame,
    head: Head,
    line: DiscussionLine,
    csrf: String,
    /// The branch it asks to change.
    target: Option<String>,
    revision: String,
    changes: Vec<ChangeLine>,
    more_changes: usize,
    conflicts: Vec<String>,
    happened: Vec<Happened>,
    may_merge: bool,
    may_change: bool,
    may_comment: bool,
    is_open: bool,
    error: Option<String>,
}

struct ChangeLine {
    path: String,
    what: &'static str,
    size: String,
}

struct Happened {
    author: String,
    created: String,
    said: String,
    /// Said by a person, in their own words.
    is_comment: bool,
}

pub async fn list(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let actor = visitor.actor();
    let summary = service.get_repo(&actor, at.kind, &at.id).await?;
    let skip = query.number::<u64>("from")?.unwrap_or(0);
    let found = service.list_discussions(&actor, at.kind, &at.id, DiscussionFilter::default(), (skip, PAGE)).await?;
    let (repo, found, count) = found;
    let end = skip + found.len() as u64;
    let next = (end < count).then(|| format!("{}/discussions?from={end}", href(repo.kind, &repo.id)));
    let frame = Frame::of(&visitor, section(at.kind));
    let head = Head::of(&summary, "discussions", &Query::new(""));
    page(&Discussions { frame, head, discussions: found.iter().map(DiscussionLine::from).collect(), next })
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: DiscussionAt) -> Answer {
    discussion_page(&visitor, &service, &at, StatusCode::OK, None).await
}

/// A button of the page: `merge`, `close`, `open` or `comment`.
pub async fn act(visitor: Visitor, service: Data<Service>, at: DiscussionAt, request: HttpRequest, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let (actor, said) = (visitor.actor(), form.0.find("comment").map(str::to_owned));
    let done = match request.match_info().query("act") {
        "merge" => service.merge_pull_request(&actor, at.kind, &at.id, at.number, said).await.map(drop),
        "comment" => service.comment(&actor, at.kind, &at.id, at.number, said.unwrap_or_default()).await.map(drop),
        word @ ("close" | "open") => {
            service.set_discussion_state(&actor, at.kind, &at.id, (at.number, word == "open"), said).await.map(drop)
        }
        _ => return Err(HttpError::of_status(StatusCode::NOT_FOUND)),
    };
    match done.map_err(HttpError::from) {
        Ok(()) => Ok(see_other(&format!("{}/discussions/{}", href(at.kind, &at.id), at.number))),
        Err(error) if error.status.is_client_error() && error.status != StatusCode::NOT_FOUND => {
            let text = format!("{}; {}", error.problem.message, error.problem.hint);
            discussion_page(&visitor, &service, &at, error.status, Some(text)).await
        }
        Err(error) => Err(error),
    }
}

async fn discussion_page(visitor: &Visitor, service: &Service, at: &DiscussionAt, status: StatusCode, error: Option<String>) -> Answer {
    let actor = visitor.actor();
    let summary = service.get_repo(&actor, at.kind, &at.id).await?;
    let found = service.get_discussion(&actor, at.kind, &at.id, at.number).await?;
    let frame = Frame::of(visitor, section(at.kind));
    let head = Head::of(&summary, "discussions", &Query::new(""));
    let csrf = visitor.csrf().to_owned();
    let DiscussionDetail { discussion, events, changes, conflicts, may_merge, may_change, .. } = found;
    let is_pull = discussion.pull.is_some();
    let page = OneDiscussion {
        frame,
        head,
        line: DiscussionLine::from(&discussion),
        csrf,
        target: discussion.pull.as_ref().map(|pull| pull.target.to_string()),
        revision: urlencode(&Line::PullRequest(discussion.number).to_string()),
        more_changes: changes.len().saturating_sub(MOST_SHOWN),
        may_merge: may_merge && is_pull && discussion.state.is_open() && conflicts.is_empty() && !changes.is_empty(),
        changes: changes.iter().take(MOST_SHOWN).map(ChangeLine::from).collect(),
        conflicts,
        happened: events.into_iter().take(MOST_SHOWN).map(Happened::from).collect(),
        may_change: may_change && discussion.state != DiscussionState::Merged,
        may_comment: visitor.0.is_some(),
        is_open: discussion.state.is_open(),
        error,
    };
    page_with(status, &page)
}

fn section(kind: RepoKind) -> &'static str {
    if kind == RepoKind::Model { "models" } else { "datasets" }
}

impl From<&Discussion> for DiscussionLine {
    fn from(found: &Discussion) -> DiscussionLine {
        let tone = match found.state {
            DiscussionState::Open => "good",
            DiscussionState::Draft => "warn",
            DiscussionState::Closed => "bad",
            DiscussionState::Merged => "on",
        };
        DiscussionLine {
            number: found.number,
            title: found.title.clone(),
            author: found.author.clone(),
            created: format::minute(found.created),
            state: found.state.as_str(),
            tone,
            is_pull: found.pull.is_some(),
        }
    }
}

impl From<&Change> for ChangeLine {
    fn from(change: &Change) -> ChangeLine {
        let (what, size) = match (&change.before, &change.after) {
            (None, Some(after)) => ("new", format::bytes(after.size_bytes)),
            (Some(before), None) => ("gone", format::bytes(before.size_bytes)),
            (_, after) => ("changed", after.as_ref().map_or_else(String::new, |file| format::bytes(file.size_bytes))),
        };
        ChangeLine { path: change.path.clone(), what, size }
    }
}

impl From<DiscussionEvent> for Happened {
    fn from(event: DiscussionEvent) -> Happened {
        let is_comment = matches!(event.what, Happening::Comment { hidden: false, .. });
        let said = match event.what {
            Happening::Comment { hidden: true, .. } => "said something that was hidden".into(),
            Happening::Comment { text, .. } => text,
            Happening::Commit { commit, subject } => format!("committed {}: {subject}", commit.get(..10).unwrap_or(&commit)),
            Happening::State(state) => format!("made it {state}"),
            Happening::Title { from, to } => format!("called it '{to}', which was '{from}'"),
        };
        Happened { author: event.author, created: format::minute(event.created), said, is_comment }
    }
}
