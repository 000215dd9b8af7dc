//! Small pictures of items, each at an address of its own: those of a data set's version by its commit, those that a job's report has by
//! their number. Neither ever changes, so a browser keeps them; whoever asks must be one who may see the data set, or the job.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::card::href;
use super::repo_tabs::encode_path;
use super::report;
use crate::domain::digest::CommitId;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{FileAt, JobAt};
use crate::service::Service;
use crate::service::repos::pictures::AtHand;

/// Of what never changes at its address, and is not everybody's.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

/// Where the pictures of a data set's items are.
pub struct Addresses(Option<(RepoId, CommitId)>);

impl Addresses {
    /// Of no items.
    pub const NONE: Addresses = Addresses(None);

    /// Makes the pictures of these items ready, some of which are at hand; without them a page has fewer, and is no less right.
    pub async fn of(service: &Service, actor: &Actor, (id, revision): (&RepoId, &Revision), items: Vec<AtHand>) -> Addresses {
        match service.ready_pictures(actor, (id, revision), items).await {
            Ok(commit) => Addresses(commit.map(|commit| (id.clone(), commit))),
            Err(error) => {
                tracing::warn!(%error, "a page has no pictures of its items");
                Addresses::NONE
            }
        }
    }

    /// `/datasets/ada/flowers/items/COMMIT/daisy/1.jpg`
    pub fn at(&self, path: &str) -> Option<String> {
        let (id, commit) = self.0.as_ref()?;
        Some(format!("{}/items/{commit}/{}", href(RepoKind::Dataset, id), encode_path(path)))
    }
}

/// A picture in a `data:` address as a training wrote it: its media type and bytes.
pub fn of_data(address: &str) -> Option<(String, Vec<u8>)> {
    let (media_type, base64) = address.strip_prefix("data:")?.split_once(";base64,")?;
    let known = ["image/png", "image/jpeg"].contains(&media_type);
    Some((media_type.to_owned(), STANDARD.decode(base64).ok().filter(|_| known)?))
}

/// One of a data set's items.
pub async fn show(visitor: Visitor, service: Data<Service>, at: FileAt) -> Answer {
    let (commit, small) = service.picture(&visitor.actor(), (&at.id, &at.revision), at.path.as_str()).await?;
    // By another name than its commit's the version may be another one tomorrow.
    let pinned = matches!(&at.revision, Revision::Commit(text) if *text == commit.to_string());
    let kept = if pinned { FOR_EVER } else { "private, no-cache" };
    Ok(HttpResponse::Ok().content_type(small.media_type).insert_header((CACHE_CONTROL, kept)).body(small.bytes.clone()))
}

/// One of those in a job's report.
pub async fn of_job(visitor: Visitor, service: Data<Service>, at: JobAt, number: Number) -> Answer {
    let found = report::picture(&service, &visitor.actor(), &at.0, number.0).await?;
    let (media_type, bytes) = found.ok_or_else(|| HttpError::of_status(StatusCode::NOT_FOUND))?;
    Ok(HttpResponse::Ok().content_type(media_type).insert_header((CACHE_CONTROL, FOR_EVER)).body(bytes))
}

/// `.../{number}`
pub struct Number(usize);

impl FromRequest for Number {
    type Error = HttpError;
    type Future = Ready<Result<Number, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let number = request.match_info().query("number").parse();
        ready(number.map(Number).map_err(|_| HttpError::of_status(StatusCode::NOT_FOUND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_version_and_the_item() {
        let commit = CommitId::parse(&"c".repeat(40)).unwrap();
        let addresses = Addresses(Some((RepoId::parse("ada/flowers").unwrap(), commit)));
        let expected = format!("/datasets/ada/flowers/items/{}/a%20b/%3F%231%2Epng", "c".repeat(40));
        assert_eq!(addresses.at("a b/?#1.png").unwrap(), expected);
        assert_eq!(Addresses::NONE.at("a.png"), None);
    }

    #[test]
    fn only_pictures_are_taken_from_data() {
        assert_eq!(of_data("data:image/png;base64,AAEC"), Some(("image/png".into(), vec![0, 1, 2])));
        for other in ["data:image/svg+xml;base64,AAEC", "data:text/html;base64,AAEC", "https://example.org/x", "data:image/png;base64,<"] {
            assert_eq!(of_data(other), None, "{other}");
        }
    }
}
