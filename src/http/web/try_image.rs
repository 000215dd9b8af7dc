//! A model of images tried by hand: a picture is chosen or dropped, and the classes come back as bars. It asks what the API's `predict` asks, changes
//! nothing, and needs no script.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;

use super::form::foreign;
use super::frame::{Frame, page_with};
use super::repo::look;
use super::repo_head::Head;
use crate::domain::modality::Modality;
use crate::domain::name::RepoKind;
use crate::domain::prediction::Answer as Judged;
use crate::domain::repo::RepoSummary;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::http::guard::comes_from_elsewhere;
use crate::service::Service;

/// Classes shown.
const CLASSES: usize = 8;
/// Room in the body beside the picture.
const FIELDS: usize = 16 << 10;
/// Larger pictures are not shown again beside the answer.
const SHOWN_BYTES: usize = 48 << 10;

#[derive(Template)]
#[template(path = "try_image.html")]
pub struct TryImage {
    frame: Frame,
    head: Head,
    action: String,
    problem: String,
    name: String,
    /// As a `data:` address.
    picture: Option<String>,
    classes: Vec<ClassBar>,
    values: Vec<(String, String)>,
    /// What was said of places, over the picture: SVG.
    drawn: String,
}

struct ClassBar {
    label: String,
    /// In thousandths.
    thousandths: u64,
    share: String,
}

/// Where the form goes, of a model that says something about images and runs here.
pub fn action(summary: &RepoSummary, rev_query: &str) -> Option<String> {
    let facts = &summary.facts;
    summary.head.as_ref().filter(|_| summary.repo.kind == RepoKind::Model && facts.can_be_run() && facts.num_classes > 0)?;
    let images = Modality::parse(&facts.modality).is_some_and(|modality| modality.items() == "images");
    images.then(|| format!("{}/try{rev_query}", super::card::href(RepoKind::Model, &summary.repo.id)))
}

/// The form alone.
pub fn show(visitor: &Visitor, summary: &RepoSummary, query: &Query, action: String) -> Answer {
    let head = Head::of(summary, "try", query);
    page_with(StatusCode::OK, &TryImage::empty(Frame::of(visitor, "models"), head, action))
}

/// A picture that is sent: `multipart/form-data` from our own page.
pub async fn ask(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let site = Site::of(&request)?;
    if comes_from_elsewhere(request.headers(), &site) {
        return Err(foreign());
    }
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, RepoKind::Model, &at.id, &query).await?;
    let head = Head::of(&summary, "try", &query);
    let Some(action) = action(&summary, &head.rev_query) else { return Err(HttpError::of_status(StatusCode::NOT_FOUND)) };
    let largest = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX).saturating_add(FIELDS);
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (name, bytes) = picture(&content_type, body.gather(largest).await?).await?;
    let mut page = TryImage::empty(Frame::of(&visitor, "models"), head, action);
    page.picture = shown(&bytes);
    page.name = name;
    match service.predict(&actor, &summary.repo.id, &revision, bytes.clone(), CLASSES).await.map_err(HttpError::from) {
        Ok((_, answered)) => {
            page.take(&answered.answer);
            page.drawn = service.drawn(bytes, answered).await.unwrap_or_default();
            page_with(StatusCode::OK, &page)
        }
        Err(refused) if refused.status.is_server_error() => Err(refused),
        Err(refused) => {
            page.problem = format!("{}; {}", refused.problem.message, refused.problem.hint);
            page_with(refused.status, &page)
        }
    }
}

impl TryImage {
    fn empty(frame: Frame, head: Head, action: String) -> TryImage {
        TryImage {
            frame,
            head,
            action,
            problem: String::new(),
            name: String::new(),
            picture: None,
            classes: Vec::new(),
            values: Vec::new(),
            drawn: String::new(),
        }
    }

    fn take(&mut self, answer: &Judged) {
        let bar = |label: &str, probability: f64| ClassBar {
            label: label.to_owned(),
            thousandths: (probability * 1e3).round() as u64,
            share: format!("{:.1} %", 100.0 * probability),
        };
        self.classes = answer.classes().iter().map(|class| bar(&class.label, f64::from(class.probability))).collect();
        self.values = answer.values().iter().map(|value| (value.name.clone(), value.value.to_string())).collect();
        if let Some(boxes) = answer.boxes() {
            self.values = boxes.counted().into_iter().map(|(label, count)| (label.to_owned(), count.to_string())).collect();
            if self.values.is_empty() {
                self.values.push(("Found".into(), "nothing".into()));
            }
        }
        let counted = |objects: Option<usize>| objects.map(|count| format!(", {count} objects")).unwrap_or_default();
        let areas = answer.mask().into_iter().flat_map(|mask| &mask.classes);
        self.values.extend(areas.map(|area| (area.label.clone(), format!("{:.1} %{}", 100.0 * area.share, counted(area.objects)))));
    }
}

/// The picture again, if it is one that a browser shows and small.
fn shown(bytes: &Bytes) -> Option<String> {
    let media_type = match bytes.get(..4)? {
        [0x89, b'P', b'N', b'G'] => "image/png",
        [0xff, 0xd8, 0xff, _] => "image/jpeg",
        b"GIF8" => "image/gif",
        _ => return None,
    };
    (bytes.len() <= SHOWN_BYTES).then(|| format!("data:{media_type};base64,{}", STANDARD.encode(bytes)))
}

async fn picture(content_type: &str, body: Bytes) -> Result<(String, Bytes), HttpError> {
    let wrong = |e: multer::Error| HttpError::bad_request("bad_form", format!("the body is no form: {e}"), "send the form from its page");
    let boundary = multer::parse_boundary(content_type).map_err(wrong)?;
    let mut form = multer::Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    while let Some(part) = form.next_field().await.map_err(wrong)? {
        if part.name() == Some("image") {
            let name = part.file_name().unwrap_or_default().to_owned();
            let bytes = part.bytes().await.map_err(wrong)?;
            if !bytes.is_empty() {
                return Ok((name, bytes));
            }
        }
    }
    Err(HttpError::bad_request("nothing_asked", "there is no picture", "choose one, or drop it on the field"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_are_shown_again() {
        assert!(shown(&Bytes::from_static(&[0x89, b'P', b'N', b'G', 1])).unwrap().starts_with("data:image/png;base64,"));
        assert_eq!(shown(&Bytes::from_static(b"<svg onload=x>")), None, "nothing that could hold a script");
        assert_eq!(shown(&Bytes::from([0xff, 0xd8, 0xff, 0].repeat(20_000))), None, "nor what is large");
        assert_eq!(shown(&Bytes::new()), None);
    }

    #[actix_web::test]
    async fn the_picture_is_found_in_the_form() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\nbytes\r\n--b--\r\n";
        let (name, bytes) = picture("multipart/form-data; boundary=b", Bytes::from(body)).await.unwrap();
        assert_eq!((name.as_str(), &bytes[..]), ("a.png", &b"bytes"[..]));
        assert_eq!(picture("multipart/form-data; boundary=b", Bytes::from("--b--\r\n")).await.unwrap_err().status, 400);
        assert_eq!(picture("text/plain", Bytes::new()).await.unwrap_err().status, 400);
    }
}
