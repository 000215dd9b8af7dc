//! The card of a repo, written on its page: as it will look beside it, and saved as the next version.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::card::href;
use super::form::{CSRF, CardForm};
use super::frame::{Frame, page_with, see_other};
use super::repo_head::{Head, urlencode};
use crate::domain::card::Card;
use crate::domain::digest::Digest;
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::repos::edit::{Edit, Operation};
use crate::service::work::Whose;
use crate::service::{Error, Service, card_html};

const CARD: &str = "README.md";
/// A longer one is not read, here as when it is published.
const MAX_CARD_BYTES: u64 = 512 << 10;

#[derive(Template)]
#[template(path = "card_edit.html")]
struct EditPage {
    frame: Frame,
    head: Head,
    csrf: String,
    text: String,
    message: String,
    /// The commit it was read at, or empty.
    parent: String,
    /// As it will look, where that was asked for.
    preview: String,
    /// What of the card would not be read.
    warnings: Vec<String>,
    problem: String,
}

/// What stands in the form.
struct Written {
    text: String,
    message: String,
    parent: String,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt) -> Answer {
    let actor = visitor.actor();
    if visitor.0.is_none() {
        let here = format!("{}/edit", href(at.kind, &at.id));
        return Ok(see_other(&format!("/login?next={}", urlencode(&here))));
    }
    service.may_commit(&actor, at.kind, &at.id).await?;
    let summary = service.get_repo(&actor, at.kind, &at.id).await?;
    let text = match &summary.head {
        Some(head) => stored(&service, &actor, &at, head.number).await?,
        None => None,
    };
    let parent = summary.head.as_ref().map(|head| head.commit.to_string()).unwrap_or_default();
    let text = text.unwrap_or_else(|| begun(&summary));
    edit_page(&visitor, &service, &at, (summary, Written { text, message: String::new(), parent }), None, false).await
}

/// The card as it is published; nothing where there is none.
async fn stored(service: &Service, actor: &Actor, at: &RepoAt, number: u32) -> Result<Option<String>, HttpError> {
    let path = RepoPath::parse(CARD).map_err(|e| HttpError::internal(e.to_string()))?;
    let file = match service.open_file(actor, at.kind, &at.id, &Revision::Number(number), &path).await {
        Err(Error::NotFound(_)) => return Ok(None),
        file => file?,
    };
    if file.entry.size_bytes > MAX_CARD_BYTES {
        let hint = "edit it in a folder and publish that";
        return Err(Error::too_large("card_too_large", "the card is too long for a page", hint).into());
    }
    let broken = |e: crate::service::Error| HttpError::from(e);
    let parts: Vec<Bytes> =
        file.reader.stream(0..file.entry.size_bytes).map_err(|e| broken(Error::Internal(e.to_string()))).try_collect().await?;
    Ok(Some(String::from_utf8_lossy(&parts.concat()).into_owned()))
}

/// What a card begins with that is not there yet.
fn begun(summary: &RepoSummary) -> String {
    let name = summary.repo.id.name();
    match summary.repo.kind {
        RepoKind::Dataset => format!(
            "---\nlicense: cc-by-4.0\ntags: []\n---\n# {name}\n\n{}\n\n## Where it comes from\n\n## What is in it\n\n## What it is good for\n",
            summary.repo.summary
        ),
        RepoKind::Model => {
            format!(
                "---\nlicense: apache-2.0\ntags: []\ndatasets: []\n---\n# {name}\n\n{}\n\n## Trained on\n\n## Use\n\n## Limits\n",
                summary.repo.summary
            )
        }
    }
}

pub async fn save(visitor: Visitor, service: Data<Service>, at: RepoAt, form: CardForm) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let actor = visitor.actor();
    service.may_commit(&actor, at.kind, &at.id).await?;
    // Browsers send the ends of lines as the form of mail has them.
    let text = form.0.text("text").replace("\r\n", "\n");
    let written = Written { text, message: form.0.text("message"), parent: form.0.text("parent") };
    let summary = service.get_repo(&actor, at.kind, &at.id).await?;
    if form.0.find("preview").is_some() {
        return edit_page(&visitor, &service, &at, (summary, written), None, true).await;
    }
    match publish(&service, &actor, &at, &written).await {
        Ok(()) => Ok(see_other(&href(at.kind, &at.id))),
        Err(refused) if refused.status.is_client_error() => {
            edit_page(&visitor, &service, &at, (summary, written), Some(&refused), false).await
        }
        Err(refused) => Err(refused),
    }
}

async fn publish(service: &Service, actor: &Actor, at: &RepoAt, written: &Written) -> Result<(), HttpError> {
    let path = RepoPath::parse(CARD).map_err(|e| HttpError::internal(e.to_string()))?;
    let bytes = Bytes::from(written.text.clone().into_bytes());
    let (digest, size_bytes) = (Digest::of(&bytes), bytes.len() as u64);
    if size_bytes > MAX_CARD_BYTES {
        return Err(Error::too_large("card_too_large", "a card has at most 512 KiB", "put the rest into files it links to").into());
    }
    service.store_blob(actor, digest, size_bytes, stream::iter([Ok(bytes)])).await?;
    let said = written.message.trim();
    let message = if said.is_empty() { "Edit the card".to_owned() } else { said.to_owned() };
    let parent = Some(written.parent.clone()).filter(|parent| !parent.is_empty());
    let operations = vec![Operation::Put { path, digest, size_bytes: Some(size_bytes) }];
    service.edit_repo(actor, at.kind, &at.id, Edit { message, parent, operations, ..Edit::default() }).await?;
    Ok(())
}

async fn edit_page(
    visitor: &Visitor,
    service: &Service,
    at: &RepoAt,
    (summary, written): (RepoSummary, Written),
    refused: Option<&HttpError>,
    preview: bool,
) -> Answer {
    let actor = visitor.actor();
    let role = service.role_on(&actor, at.kind, &at.id).await?;
    let (text, place) = (written.text.clone(), href(at.kind, &summary.repo.id));
    let whose = Whose::of(&actor);
    let shown = service.work().run(&whose, move || {
        let (card, problems) = Card::read(&text);
        let html = if preview { card_html::place(&card_html::render(&card.body), &place, "main") } else { String::new() };
        (html, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    });
    let (preview, warnings) = shown.await?;
    let page = EditPage {
        frame: Frame::of(visitor, if at.kind == RepoKind::Model { "models" } else { "datasets" }),
        head: Head::of(&summary, "settings", &Query::new("")).managed(role, "settings"),
        csrf: visitor.csrf().to_owned(),
        text: written.text,
        message: written.message,
        parent: written.parent,
        preview,
        warnings,
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}
