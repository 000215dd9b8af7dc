//! The first page: what this hub holds, and how to use it.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::RepoCard;
use super::format;
use super::frame::{Frame, page};
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::search::{SearchQuery, Sort};
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::service::Service;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    counts: Counts,
    newest: Vec<RepoCard>,
    datasets: Vec<RepoCard>,
    pull_command: String,
}

struct Counts {
    models: String,
    datasets: String,
    size: String,
    jobs: String,
}

pub async fn show(visitor: Visitor, service: Data<Service>, request: HttpRequest) -> Answer {
    let actor = visitor.actor();
    let site = service.site_counts(&actor).await?;
    let of = |kind| SearchQuery { kind: Some(kind), sort: Sort::Newest, ..SearchQuery::default() };
    let six = PageRequest::new(Some(6), None);
    let models = service.search(&actor, of(RepoKind::Model), six.clone()).await?;
    let datasets = service.search(&actor, of(RepoKind::Dataset), six).await?;
    let newest: Vec<RepoCard> = models.page.items.into_iter().map(RepoCard::from).collect();
    let name = newest.first().map_or("resnet50", |card| card.title.as_str());
    let address = Site::of(&request)?.address(&request);
    let pull_command = format!("export HUB_SERVER={address}\nhub pull {name}");
    page(&Home {
        frame: Frame::of(&visitor, ""),
        counts: Counts {
            models: format::count(site.models),
            datasets: format::count(site.datasets),
            size: format::bytes(site.bytes),
            jobs: format::count(site.jobs),
        },
        newest,
        datasets: datasets.page.items.into_iter().map(RepoCard::from).collect(),
        pull_command,
    })
}
