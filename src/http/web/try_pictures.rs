//! Pictures tried by hand: which of some classes each shows, by the names of the classes alone. They are sent from the model's page.

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::stream;

use super::form::{CSRF, foreign};
use super::repo::look;
use super::try_page::{Found, TryForm, shown};
use crate::domain::name::RepoKind;
use crate::http::Site;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::http::guard::comes_from_elsewhere;
use crate::service::Service;
use crate::service::jobs::predict::Item;

/// Pictures that are tried at once.
const MOST_PICTURES: usize = 16;
/// Of a form, beside its files.
const FIELDS: usize = 16 << 10;
/// Likeliest classes that are shown.
const CLASSES: usize = 5;

/// What a form brings.
#[derive(Default)]
struct Sent {
    pictures: Vec<Item>,
    names: String,
    prompt: String,
    csrf: String,
}

/// `multipart/form-data` from our own page.
pub async fn ask(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let site = Site::of(&request)?;
    if comes_from_elsewhere(request.headers(), &site) {
        return Err(foreign());
    }
    let largest = usize::try_from(service.policy().data_limits.item_bytes).unwrap_or(usize::MAX).saturating_add(FIELDS);
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let sent = read(&content_type, body.gather(largest).await?).await?;
    visitor.check_csrf(&sent.csrf)?;
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, RepoKind::Model, &at.id, &query).await?;
    let form = TryForm::of(&summary, &query, visitor.csrf());
    let form = form.map(|form| TryForm { names: sent.names.clone(), prompt: sent.prompt.clone(), ..form });
    let names = sent.names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let prompt = Some(sent.prompt.trim()).filter(|prompt| !prompt.is_empty());
    let found = match sent.pictures.is_empty() {
        true => Err(HttpError::bad_request("nothing_asked", "no picture was sent", "choose one")),
        false => {
            let asked = service.ask_by_names(&actor, (&summary.repo.id, &revision), (names, prompt), sent.pictures, CLASSES).await;
            asked.map(|answers| Found::of_pictures(&answers)).map_err(HttpError::from)
        }
    };
    shown(&visitor, &summary, &query, (form, found))
}

async fn read(content_type: &str, body: Bytes) -> Result<Sent, HttpError> {
    let wrong = |e: multer::Error| HttpError::bad_request("bad_form", format!("the body is no form: {e}"), "send the form from its page");
    let boundary = multer::parse_boundary(content_type).map_err(wrong)?;
    let mut form = multer::Multipart::new(stream::iter([Ok::<_, std::io::Error>(body)]), boundary);
    let mut sent = Sent::default();
    while let Some(part) = form.next_field().await.map_err(wrong)? {
        let (field, file) = (part.name().unwrap_or_default().to_owned(), part.file_name().unwrap_or_default().to_owned());
        let bytes = part.bytes().await.map_err(wrong)?;
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        match field.as_str() {
            CSRF => sent.csrf = text(),
            "names" => sent.names = text(),
            "prompt" => sent.prompt = text(),
            // A browser sends a part without bytes where nothing was chosen.
            "image" if !bytes.is_empty() && sent.pictures.len() < MOST_PICTURES => {
                sent.pictures.push(Item { name: file, bytes: Ok(bytes) })
            }
            _ => {}
        }
    }
    Ok(sent)
}
