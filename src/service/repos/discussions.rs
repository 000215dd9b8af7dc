//! Discussions about a repo, and the pull requests among them: opened by whoever may read it, decided by its author and by
//! whoever may write.

use super::super::{Error, Result, Service, access};
use super::lines::{head_of, pull_request};
use super::merge::{Change, changes, conflicts};
use crate::catalog::{discussions, versions};
use crate::db::Tx;
use crate::domain::digest::CommitId;
use crate::domain::discussion::{Discussion, DiscussionEvent, DiscussionFilter, DiscussionState, Happening, Pull};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Repo, Version};
use crate::domain::revision::{Line, RefName};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::service::webhooks::outbox;

const LONGEST_TITLE: usize = 250;
const LONGEST_COMMENT: usize = 64 << 10;
/// Of one account in one repo, still to be decided.
const MOST_OPEN: u64 = 100;
/// In one discussion.
const MOST_EVENTS: usize = 2_000;
/// Pull requests that a list of refs holds.
const MOST_LISTED: usize = 1_000;

/// What a new discussion begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Opening {
    pub title: String,
    pub description: String,
}

/// A discussion with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiscussionDetail {
    pub repo: Repo,
    pub discussion: Discussion,
    pub events: Vec<DiscussionEvent>,
    /// Of a pull request: what it changes, and which of it the target has changed since.
    pub changes: Vec<Change>,
    pub conflicts: Vec<String>,
    /// The version that took it in.
    pub merged: Option<Version>,
    /// May the caller merge it? May they close and rename it?
    pub may_merge: bool,
    pub may_change: bool,
}

impl Service {
    pub async fn list_discussions(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        filter: DiscussionFilter,
        (skip, limit): (u64, usize),
    ) -> Result<(Repo, Vec<Discussion>, u64)> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let (found, count) = discussions::list(tx, &repo.key, &filter, skip, limit)?;
                Ok((repo, found, count))
            })
            .await
    }

    pub async fn get_discussion(&self, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32) -> Result<DiscussionDetail> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let discussion = find(tx, &repo, number)?;
                let events = discussions::events(tx, &repo.key, number)?;
                let (changes, conflicts, merged) = match &discussion.pull {
                    Some(pull) => {
                        let changes = changes(tx, &repo, pull)?;
                        let conflicts = if discussion.state.is_open() { conflicts(tx, &repo, pull, &changes)? } else { Vec::new() };
                        (changes, conflicts, pull.merged.map_or(Ok(None), |number| versions::find(tx, &repo.key, number))?)
                    }
                    None => Default::default(),
                };
                let may_merge = access::write_repo(tx, &actor, kind, &id).is_ok();
                let may_change = access::change_what_was_begun(tx, &actor, kind, &id, &discussion.author).is_ok();
                Ok(DiscussionDetail { repo, discussion, events, changes, conflicts, merged, may_merge, may_change })
            })
            .await
    }

    /// Opens a discussion; with `pulls` a pull request upon `main`, which is a draft until something is in it.
    pub async fn open_discussion(&self, actor: &Actor, kind: RepoKind, id: &RepoId, opening: Opening, pulls: bool) -> Result<u32> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = access::propose_to_repo(tx, &actor, kind, &id)?;
                let author = name_of(&actor);
                let head = head_of(tx, &repo, &Line::main())?.map(|head| head.number);
                let pull = pulls.then(|| Pull { target: RefName::main(), base: head, head: None, merged: None });
                let state = if pulls { DiscussionState::Draft } else { DiscussionState::Open };
                begin(tx, &repo, &opening, (pull, state), &author, now)
            })
            .await
    }

    /// Says something in a discussion.
    pub async fn comment(&self, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32, text: String) -> Result<DiscussionEvent> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = access::propose_to_repo(tx, &actor, kind, &id)?;
                find(tx, &repo, number)?;
                add(tx, &repo, number, &name_of(&actor), Happening::Comment { text: check_comment(&text)?, hidden: false }, now)
            })
            .await
    }

    /// Gives one's own comment another text, or hides one: one's own, or any where one may write.
    pub async fn edit_comment(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        (number, position): (u32, u32),
        text: Option<String>,
    ) -> Result<DiscussionEvent> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let repo = access::propose_to_repo(tx, &actor, kind, &id)?;
                let found = discussions::events(tx, &repo.key, number)?.into_iter().find(|event| event.position == position);
                let mut event =
                    found.filter(|event| matches!(event.what, Happening::Comment { .. })).ok_or_else(|| no_comment(&repo, number))?;
                let hidden = text.is_none();
                if !hidden && event.author != name_of(&actor) {
                    return Err(Error::forbidden("not_yours", "only its author edits a comment", "answer it with a comment of your own"));
                }
                access::change_what_was_begun(tx, &actor, kind, &id, &event.author)?;
                let text = text.map_or(Ok(String::new()), |text| check_comment(&text))?;
                (event.what, event.edited) = (Happening::Comment { text, hidden }, Some(now));
                discussions::edit_event(tx, &repo.key, number, &event)?;
                Ok(event)
            })
            .await
    }

    pub async fn rename_discussion(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        number: u32,
        title: String,
    ) -> Result<DiscussionEvent> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let (repo, mut discussion) = begun(tx, &actor, kind, &id, number)?;
                let to = check_title(&title)?;
                let from = std::mem::replace(&mut discussion.title, to.clone());
                discussions::update(tx, &repo.key, &discussion)?;
                add(tx, &repo, number, &name_of(&actor), Happening::Title { from, to }, now)
            })
            .await
    }

    /// Closes a discussion or opens it again, and says why.
    pub async fn set_discussion_state(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        (number, opens): (u32, bool),
        why: Option<String>,
    ) -> Result<DiscussionEvent> {
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let (repo, mut discussion) = begun(tx, &actor, kind, &id, number)?;
                if discussion.state == DiscussionState::Merged {
                    let message = format!("pull request {number} of '{}' is merged", repo.id);
                    return Err(Error::conflict("not_open", message, "open another"));
                }
                let author = name_of(&actor);
                if let Some(why) = why.filter(|text| !text.trim().is_empty()) {
                    add(tx, &repo, number, &author, Happening::Comment { text: check_comment(&why)?, hidden: false }, now)?;
                }
                discussion.state = if opens { DiscussionState::Open } else { DiscussionState::Closed };
                discussions::update(tx, &repo.key, &discussion)?;
                add(tx, &repo, number, &author, Happening::State(discussion.state), now)
            })
            .await
    }

    /// Pull requests that something is in, with the commit each stands at.
    pub async fn list_pull_heads(&self, actor: &Actor, kind: RepoKind, id: &RepoId) -> Result<Vec<(u32, CommitId)>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, kind, &id)?;
                let mut heads = Vec::new();
                for discussion in discussions::pulls(tx, &repo.key, MOST_LISTED)? {
                    let head = head_of(tx, &repo, &Line::PullRequest(discussion.number))?;
                    heads.extend(head.map(|head| (discussion.number, head.commit)));
                }
                Ok(heads)
            })
            .await
    }
}

/// A pull request with its first commit on its way; its number.
pub(super) fn open(
    tx: &mut Tx<'_>,
    repo: &Repo,
    opening: &Opening,
    target: &RefName,
    head: Option<&Version>,
    author: &str,
    now: Timestamp,
) -> Result<u32> {
    let pull = Pull { target: target.clone(), base: head.map(|head| head.number), head: None, merged: None };
    begin(tx, repo, opening, (Some(pull), DiscussionState::Open), author, now)
}

fn begin(
    tx: &mut Tx<'_>,
    repo: &Repo,
    opening: &Opening,
    (pull, state): (Option<Pull>, DiscussionState),
    author: &str,
    created: Timestamp,
) -> Result<u32> {
    let title = check_title(&opening.title)?;
    if discussions::count_open_of(tx, &repo.key, author)? >= MOST_OPEN {
        let message = format!("you have {MOST_OPEN} open pull requests and discussions in '{}'", repo.id);
        return Err(Error::busy("too_many_open", message, "close some, or wait until they are decided"));
    }
    let number = discussions::next_number(tx, &repo.key)?;
    let discussion = Discussion { number, title, author: author.to_owned(), state, pull, created };
    discussions::insert(tx, &repo.key, &discussion)?;
    if !opening.description.trim().is_empty() {
        let text = check_comment(&opening.description)?;
        add(tx, repo, number, author, Happening::Comment { text, hidden: false }, created)?;
    }
    outbox::discussion_opened(tx, repo, &discussion, created)?;
    Ok(number)
}

/// Notes a commit made upon a pull request.
pub(super) fn note_commit(tx: &mut Tx<'_>, repo: &Repo, number: u32, version: &Version) -> Result<()> {
    let subject = version.message.lines().next().unwrap_or_default().to_owned();
    let what = Happening::Commit { commit: version.commit.to_string(), subject };
    add(tx, repo, number, &version.author, what, version.created).map(drop)
}

/// Notes that a pull request was taken in.
pub(super) fn note_merged(tx: &mut Tx<'_>, repo: &Repo, number: u32, version: &Version) -> Result<()> {
    let (mut discussion, pull) = pull_request(tx, repo, number)?;
    discussion.pull = Some(Pull { merged: Some(version.number), ..pull });
    discussion.state = DiscussionState::Merged;
    discussions::update(tx, &repo.key, &discussion)?;
    add(tx, repo, number, &version.author, Happening::State(DiscussionState::Merged), version.created).map(drop)
}

pub(super) fn add(tx: &mut Tx<'_>, repo: &Repo, number: u32, author: &str, what: Happening, now: Timestamp) -> Result<DiscussionEvent> {
    let event = discussions::add_event(tx, &repo.key, number, author, &what, now)?;
    if event.position as usize >= MOST_EVENTS {
        let message = format!("a discussion holds at most {MOST_EVENTS} comments and commits");
        return Err(Error::invalid("too_many_events", message, "go on in another one"));
    }
    Ok(event)
}

fn find(tx: &mut Tx<'_>, repo: &Repo, number: u32) -> Result<Discussion> {
    let missing = || {
        let message = format!("'{}' has no discussion {number}", repo.id);
        Error::not_found("discussion_not_found", message, "list its discussions to see what there is")
    };
    discussions::find(tx, &repo.key, number)?.ok_or_else(missing)
}

/// A discussion the caller may rename, close and open again.
fn begun(tx: &mut Tx<'_>, actor: &Actor, kind: RepoKind, id: &RepoId, number: u32) -> Result<(Repo, Discussion)> {
    let repo = access::propose_to_repo(tx, actor, kind, id)?;
    let discussion = find(tx, &repo, number)?;
    let repo = access::change_what_was_begun(tx, actor, kind, id, &discussion.author)?;
    Ok((repo, discussion))
}

pub(super) fn name_of(actor: &Actor) -> String {
    actor.name().map_or_else(|| "hub".to_owned(), ToString::to_string)
}

fn check_title(title: &str) -> Result<String> {
    let title = title.trim();
    let first = title.lines().next().unwrap_or_default().trim_end();
    if first.is_empty() || title.len() > LONGEST_TITLE || first.chars().any(crate::domain::path::invisible) {
        let message = format!("a title is a line of 1 to {LONGEST_TITLE} bytes without control characters");
        return Err(Error::invalid("bad_title", message, "shorten it, and say the rest in the description"));
    }
    Ok(first.to_owned())
}

pub(super) fn check_comment(text: &str) -> Result<String> {
    let text = text.trim().replace("\r\n", "\n");
    if text.is_empty() || text.len() > LONGEST_COMMENT || text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        let message = format!("a comment has 1 to {LONGEST_COMMENT} bytes and no control characters");
        return Err(Error::invalid("bad_comment", message, "shorten it"));
    }
    Ok(text)
}

fn no_comment(repo: &Repo, number: u32) -> Error {
    let message = format!("discussion {number} of '{}' has no such comment", repo.id);
    Error::not_found("comment_not_found", message, "list what was said in it")
}
