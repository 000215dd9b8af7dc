//! The first page: what this hub holds, and how to use it.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::RepoCard;
use super::format;
use super::frame::{Frame, page};
use crate::domain::name::{LIBRARY, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::repo::RepoSummary;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::user::Actor;
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::service::Service;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    counts: Counts,
    newest: Vec<RepoCard>,
    favourites: Vec<RepoCard>,
    datasets: Vec<RepoCard>,
    pull_command: String,
    /// Models the library lists, here or not.
    listed: String,
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
    let newest = six(&service, &actor, RepoKind::Model, Sort::Newest).await?;
    let mut favourites = six(&service, &actor, RepoKind::Model, Sort::Downloads).await?;
    favourites.retain(|summary| summary.repo.downloads > 0);
    let datasets = six(&service, &actor, RepoKind::Dataset, Sort::Newest).await?;
    let all = SearchQuery { kind: Some(RepoKind::Model), author: LIBRARY.to_owned(), plain: true, ..SearchQuery::default() };
    let listed = service.search(&actor, all, PageRequest::new(Some(1), None)).await?.total;
    let newest = cards(newest);
    let name = newest.first().map_or("resnet50", |card| card.title.as_str());
    let address = Site::of(&request)?.public_address(&request);
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
        favourites: cards(favourites),
        datasets: cards(datasets),
        pull_command,
        listed: if listed > 0 { format::count(listed) } else { String::new() },
    })
}

async fn six(service: &Service, actor: &Actor, kind: RepoKind, sort: Sort) -> Result<Vec<RepoSummary>, HttpError> {
    let query = SearchQuery { kind: Some(kind), sort, here: true, plain: true, ..SearchQuery::default() };
    Ok(service.search(actor, query, PageRequest::new(Some(6), None)).await?.page.items)
}

fn cards(list: Vec<RepoSummary>) -> Vec<RepoCard> {
    list.into_iter().map(RepoCard::from).collect()
}
