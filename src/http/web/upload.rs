//! Data sets from the browser: a new one, or the next version of one that is there. The page's script sends what is chosen in parts
//! that can be taken up again; without a script it is a plain form, whose files come in one request.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::card::{href, title};
use super::form::foreign;
use super::format;
use super::frame::{Frame, page_with, see_other};
use super::repo_head::urlencode;
use super::sent_form::{self, SentForm};
use super::upload_wire::{message, place};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::user::{Role, Scope};
use crate::http::Site;
use crate::http::assets;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::http::guard::comes_from_elsewhere;
use crate::service::Service;
use crate::service::repos::sent::Sent;

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    frame: Frame,
    script: String,
    worker: String,
    csrf: String,
    /// Where the form goes.
    action: String,
    /// The data set that gets another version; empty for a new one.
    repo: String,
    repo_title: String,
    repo_href: String,
    fields: Fields,
    /// Namespaces the visitor may publish in, and which is chosen.
    owners: Vec<Owner>,
    problem: String,
    largest: u64,
    largest_said: String,
}

struct Owner {
    name: String,
    chosen: bool,
}

/// What stands in the form.
#[derive(Default)]
struct Fields {
    name: String,
    private: bool,
    summary: String,
    message: String,
}

pub async fn show_new(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/new/dataset"));
    }
    let fields = Fields { name: query.text("name"), ..Fields::default() };
    upload_page(&visitor, &service, None, &query.text("owner"), fields, None).await
}

pub async fn show_more(visitor: Visitor, service: Data<Service>, at: RepoAt) -> Answer {
    if visitor.0.is_none() {
        let here = format!("{}/upload", href(at.kind, &at.id));
        return Ok(see_other(&format!("/login?next={}", urlencode(&here))));
    }
    service.may_commit(&visitor.actor(), at.kind, &at.id).await?;
    let found = service.get_repo(&visitor.actor(), at.kind, &at.id).await?;
    upload_page(&visitor, &service, Some(&found.repo.id), "", Fields::default(), None).await
}

async fn upload_page(
    visitor: &Visitor,
    service: &Service,
    repo: Option<&RepoId>,
    owner: &str,
    fields: Fields,
    refused: Option<&HttpError>,
) -> Answer {
    let me = service.whoami(&visitor.actor()).await?;
    let spaces = me.namespaces.iter().filter(|(_, role)| *role >= Role::Write && me.scope >= Scope::Write);
    let owners = spaces.map(|(name, _)| Owner { name: name.to_string(), chosen: name.as_str() == owner }).collect();
    let page = UploadPage {
        frame: Frame::of(visitor, "datasets"),
        script: assets::url("upload.js"),
        worker: assets::url("upload-worker.js"),
        csrf: visitor.csrf().to_owned(),
        action: repo.map_or_else(|| "/new/dataset".into(), |id| format!("{}/upload", href(RepoKind::Dataset, id))),
        repo: repo.map(ToString::to_string).unwrap_or_default(),
        repo_title: repo.map(title).unwrap_or_default(),
        repo_href: repo.map(|id| href(RepoKind::Dataset, id)).unwrap_or_default(),
        fields,
        owners,
        problem: refused.map(|refused| format!("{}; {}", refused.problem.message, refused.problem.hint)).unwrap_or_default(),
        largest: service.policy().max_file_bytes,
        largest_said: format::bytes(service.policy().max_file_bytes),
    };
    page_with(refused.map_or(StatusCode::OK, |refused| refused.status), &page)
}

/// A new data set, sent by the plain form.
pub async fn send_new(request: HttpRequest, visitor: Visitor, service: Data<Service>, body: Body) -> Answer {
    let form = received(&request, &visitor, &service, body).await?;
    let id = RepoId::from_parts(&form.text("owner"), form.text("name").trim());
    let id = id.map_err(|e| HttpError::bad_request("bad_name", e.to_string(), "go back and choose another name"));
    let new = Some((form.has("private"), form.text("summary").trim().to_owned()));
    let done = match id {
        Ok(id) => publish(&visitor, &service, &id, &form, new).await,
        Err(refused) => Err(refused),
    };
    match done {
        Err(refused) if !refused.status.is_server_error() => {
            let fields = Fields {
                name: form.text("name"),
                private: form.has("private"),
                summary: form.text("summary"),
                message: form.text("message"),
            };
            upload_page(&visitor, &service, None, &form.text("owner"), fields, Some(&refused)).await
        }
        done => done,
    }
}

/// The next version of a data set, sent by the plain form.
pub async fn send_more(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, body: Body) -> Answer {
    service.may_commit(&visitor.actor(), at.kind, &at.id).await?;
    let form = received(&request, &visitor, &service, body).await?;
    match publish(&visitor, &service, &at.id, &form, None).await {
        Err(refused) if !refused.status.is_server_error() => {
            let fields = Fields { message: form.text("message"), ..Fields::default() };
            upload_page(&visitor, &service, Some(&at.id), "", fields, Some(&refused)).await
        }
        done => done,
    }
}

/// A form from one of our own pages; its files are stored already.
async fn received(request: &HttpRequest, visitor: &Visitor, service: &Service, body: Body) -> Result<SentForm, HttpError> {
    let site = Site::of(request)?;
    if comes_from_elsewhere(request.headers(), &site) {
        return Err(foreign());
    }
    service.may_upload(&visitor.actor())?;
    sent_form::receive(request, visitor, service, body).await
}

async fn publish(visitor: &Visitor, service: &Service, id: &RepoId, form: &SentForm, new: Option<(bool, String)>) -> Answer {
    if form.files.is_empty() {
        return Err(HttpError::bad_request("nothing_sent", "no file was chosen", "choose a zip, a Parquet file, or pictures"));
    }
    let sent = Sent { message: message(&form.text("message")), place: place(&form.text("place")), files: form.files.clone(), new };
    service.publish_sent(&visitor.actor(), RepoKind::Dataset, id, sent).await?;
    Ok(see_other(&href(RepoKind::Dataset, id)))
}
