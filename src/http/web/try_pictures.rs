//! Pictures tried by hand: which of some classes each shows, by the names of the classes alone. They are sent from the model's page.

use actix_web::HttpRequest;
use actix_web::web::Data;

use super::repo::look;
use super::small_form::SmallForm;
use super::try_page::{Found, TryForm, shown};
use crate::domain::name::RepoKind;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::predict::Item;

/// Pictures that are tried at once.
const MOST_PICTURES: usize = 16;
/// Likeliest classes that are shown.
const CLASSES: usize = 5;

/// `multipart/form-data` from our own page.
pub async fn ask(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let sent = SmallForm::receive(&request, &service, body).await?;
    sent.check(&visitor)?;
    let pictures: Vec<Item> = sent.files("image").take(MOST_PICTURES).map(|(name, bytes)| Item::new(name, bytes)).collect();
    let (names, prompt) = (sent.text("names"), sent.text("prompt"));
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, RepoKind::Model, &at.id, &query).await?;
    let form = TryForm::of(&summary, &query, visitor.csrf());
    let form = form.map(|form| TryForm { names: names.clone(), prompt: prompt.clone(), ..form });
    let names = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    let prompt = Some(prompt.trim()).filter(|prompt| !prompt.is_empty());
    let found = match pictures.is_empty() {
        true => Err(HttpError::bad_request("nothing_asked", "no picture was sent", "choose one")),
        false => {
            let asked = service.ask_by_names(&actor, (&summary.repo.id, &revision), (names, prompt), pictures, CLASSES).await;
            asked.map(|answers| Found::of_pictures(&answers)).map_err(HttpError::from)
        }
    };
    shown(&visitor, &summary, &query, (form, found))
}
