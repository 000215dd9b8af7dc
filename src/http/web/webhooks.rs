//! A person's webhooks: listed, made (the secret is shown once), tested, switched on, removed; and what each was told.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::card::title;
use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, page, page_with, see_other};
use super::once;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::webhook::{Delivery, DeliveryState, WebhookEvent};
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::WebhookAt;
use crate::service::Service;
use crate::service::webhooks::{NewWebhook, ShownWebhook};

const HERE: &str = "/settings/webhooks";

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    csrf: String,
    webhooks: Vec<WebhookView>,
    /// A secret that was just made.
    secret: Option<String>,
    error: Option<String>,
    url: String,
    repo: String,
    is_dataset: bool,
    events: Vec<EventView>,
}

struct EventView {
    word: &'static str,
    ticked: bool,
}

struct WebhookView {
    id: String,
    url: String,
    about: String,
    events: String,
    disabled: Option<String>,
}

impl From<ShownWebhook> for WebhookView {
    fn from(shown: ShownWebhook) -> WebhookView {
        let events: Vec<&str> = shown.webhook.events.iter().map(|event| event.as_str()).collect();
        let about = match (&shown.repo, &shown.webhook.repo) {
            (Some((_, id)), _) => title(id),
            (None, Some(_)) => "a repo that you do not see any more".into(),
            (None, None) => "your jobs, and the repos of your namespaces".into(),
        };
        let all = events.len() == WebhookEvent::ALL.len();
        WebhookView {
            id: shown.webhook.id.to_string(),
            url: shown.webhook.url,
            about,
            events: if all { "all events".into() } else { events.join(", ") },
            disabled: shown.webhook.disabled,
        }
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage {
    frame: Frame,
    csrf: String,
    webhook: WebhookView,
    deliveries: Vec<DeliveryView>,
}

struct DeliveryView {
    event: &'static str,
    at: String,
    state: &'static str,
    tone: &'static str,
    attempts: u64,
    answer: String,
    next: String,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> DeliveryView {
        let tone = match delivery.state {
            DeliveryState::Waiting => "on",
            DeliveryState::Delivered => "good",
            DeliveryState::Failed => "bad",
            DeliveryState::Dropped => "warn",
        };
        let waits = delivery.state == DeliveryState::Waiting && delivery.attempts > 0;
        let status = delivery.status.map(|status| format!("{status} ")).unwrap_or_default();
        DeliveryView {
            event: delivery.event.as_str(),
            at: format::minute(delivery.created),
            state: delivery.state.as_str(),
            tone,
            attempts: delivery.attempts,
            answer: format!("{status}{}", delivery.answer),
            next: if waits { format!("again at {}", format::minute(delivery.next_attempt)) } else { String::new() },
        }
    }
}

pub async fn list(request: HttpRequest, visitor: Visitor, service: Data<Service>) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/settings/webhooks"));
    }
    let mut page = list_page(&visitor, &service, StatusCode::OK, once::shown(&request), None).await?;
    once::forget(&request, &mut page, HERE)?;
    Ok(page)
}

async fn list_page(
    visitor: &Visitor,
    service: &Service,
    status: StatusCode,
    secret: Option<String>,
    refused: Option<(String, NewWebhook)>,
) -> Answer {
    let webhooks = service.list_webhooks(&visitor.actor()).await?.into_iter().map(WebhookView::from).collect();
    let (error, asked) = refused.unzip();
    let ticked = |event: &WebhookEvent| asked.as_ref().is_none_or(|asked| asked.events.iter().any(|word| word == event.as_str()));
    let events = WebhookEvent::ALL.iter().map(|event| EventView { word: event.as_str(), ticked: ticked(event) }).collect();
    let frame = Frame::of(visitor, "settings");
    let repo = asked.as_ref().and_then(|asked| asked.repo.as_ref());
    let (is_dataset, repo) = repo.map_or((false, String::new()), |(kind, id)| (*kind == RepoKind::Dataset, id.to_string()));
    let url = asked.as_ref().map(|asked| asked.url.clone()).unwrap_or_default();
    page_with(status, &WebhooksPage { frame, csrf: visitor.csrf().to_owned(), webhooks, secret, error, url, repo, is_dataset, events })
}

pub async fn create(request: HttpRequest, visitor: Visitor, service: Data<Service>, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let kind = if form.0.find("dataset").is_some() { RepoKind::Dataset } else { RepoKind::Model };
    let repo = form.0.find("repo").map(str::trim).filter(|name| !name.is_empty());
    let wrong = |e| HttpError::bad_request("bad_name", format!("{e}"), "go back and write namespace/name");
    let repo = repo.map(|name| RepoId::parse(name).map(|id| (kind, id)).map_err(wrong)).transpose()?;
    let asked = NewWebhook { url: form.0.text("url"), events: form.0.all("events").map(str::to_owned).collect(), repo };
    match service.create_webhook(&visitor.actor(), asked.clone()).await {
        Ok((_, secret)) => once::lead(&request, HERE, &secret),
        Err(error) => {
            let refused = HttpError::from(error);
            let text = format!("{}; {}", refused.problem.message, refused.problem.hint);
            list_page(&visitor, &service, refused.status, None, Some((text, asked))).await
        }
    }
}

/// What one was told.
pub async fn show(visitor: Visitor, service: Data<Service>, at: WebhookAt) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/settings/webhooks"));
    }
    let actor = visitor.actor();
    let deliveries = service.webhook_deliveries(&actor, &at.0).await?.into_iter().map(DeliveryView::from).collect();
    let found = service.list_webhooks(&actor).await?.into_iter().find(|shown| shown.webhook.id == at.0);
    let webhook = found.ok_or_else(|| HttpError::of_status(StatusCode::NOT_FOUND))?.into();
    page(&WebhookPage { frame: Frame::of(&visitor, "settings"), csrf: visitor.csrf().to_owned(), webhook, deliveries })
}

pub async fn remove(visitor: Visitor, service: Data<Service>, at: WebhookAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.remove_webhook(&visitor.actor(), &at.0).await?;
    Ok(see_other(HERE))
}

pub async fn test(visitor: Visitor, service: Data<Service>, at: WebhookAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.test_webhook(&visitor.actor(), &at.0).await?;
    Ok(see_other(&format!("{HERE}/{}", at.0)))
}

pub async fn enable(visitor: Visitor, service: Data<Service>, at: WebhookAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.enable_webhook(&visitor.actor(), &at.0).await?;
    Ok(see_other(&format!("{HERE}/{}", at.0)))
}

pub async fn rotate(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: WebhookAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let secret = service.rotate_webhook(&visitor.actor(), &at.0).await?;
    once::lead(&request, HERE, &secret)
}
