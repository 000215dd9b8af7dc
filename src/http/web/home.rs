//! The first page: what this hub holds, and how to use it.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::RepoCard;
use super::catalog::RowView;
use super::format;
use super::frame::{Frame, page};
use crate::domain::name::{LIBRARY, RepoKind};
use crate::domain::page::PageRequest;
use crate::domain::repo::RepoSummary;
use crate::domain::results::ModelResult;
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
    /// How to begin, where nothing is here.
    steps: Vec<Step>,
    /// The models that are most often right, in a line each.
    best: Vec<BestLine>,
}

struct Step {
    title: &'static str,
    about: &'static str,
    command: String,
}

struct BestLine {
    href: String,
    title: String,
    /// The data sets it has seen.
    seen: String,
    facts: Vec<String>,
}

/// Lines of the best.
const BEST: u64 = 6;

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
    let best = best(&service, &actor).await?;
    let name = newest.first().map_or("resnet50", |card| card.title.as_str());
    let address = Site::of(&request)?.public_address(&request);
    let pull_command = format!("export HUB_SERVER={address}\nhub pull {name}");
    page(&Home {
        frame: Frame::of(&visitor, "").at("/").about("Pretrained models with the data sets they were trained on, and fine-tuning"),
        steps: if newest.is_empty() { steps(&address, listed > 0) } else { Vec::new() },
        best,
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

/// What can be done right now on a hub that holds nothing.
fn steps(address: &str, lists: bool) -> Vec<Step> {
    let login = format!("hub login --server {address}");
    let library = lists.then(|| Step {
        title: "Have a known model fetched",
        about: "The server brings it from its upstream, and proves each file.",
        command: format!("{login}\nhub library add resnet18"),
    });
    let others = [
        Step {
            title: "Import weights you have",
            about: "PyTorch and safetensors files are read without running anything in them; the architecture is found by its tensors.",
            command: format!("{login}\nhub import weights.pth my-model"),
        },
        Step {
            title: "Publish a folder",
            about: "Models as timm and huggingface_hub write them, with config.json, model.safetensors and README.md.",
            command: format!("{login}\nhub publish ./my-model my-model"),
        },
    ];
    library.into_iter().chain(others).collect()
}

/// The models that are most often right, as far as cards and tables say.
async fn best(service: &Service, actor: &Actor) -> Result<Vec<BestLine>, HttpError> {
    let query = SearchQuery { kind: Some(RepoKind::Model), sort: Sort::Top1, min_top1: Some(0.0), plain: true, ..SearchQuery::default() };
    let hits = service.search(actor, query, PageRequest::new(Some(BEST), None)).await?;
    let line = |(model, known): (&RepoSummary, &Vec<ModelResult>)| {
        let row = RowView::of(model, known, None, service.now());
        let top1 = row.top1.map(|top1| format!("top-1 {}", top1.text));
        let gmacs = row.gmacs.map(|gmacs| format!("{} GMACs", gmacs.text));
        let parameters = Some(format!("{} parameters", row.parameters)).filter(|_| !row.parameters.is_empty());
        let facts = top1.into_iter().chain(parameters).chain(gmacs).chain([row.license].into_iter().filter(|text| !text.is_empty()));
        let seen = row.sources.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ");
        BestLine { href: row.href, title: row.title, seen, facts: facts.collect() }
    };
    Ok(hits.page.items.iter().zip(&hits.results).map(line).collect())
}

async fn six(service: &Service, actor: &Actor, kind: RepoKind, sort: Sort) -> Result<Vec<RepoSummary>, HttpError> {
    let query = SearchQuery { kind: Some(kind), sort, here: true, plain: true, ..SearchQuery::default() };
    let mut found = service.search(actor, query, PageRequest::new(Some(6), None)).await?.page.items;
    // A repo into which nothing was published yet is nothing to look at.
    found.retain(|summary| summary.head.is_some());
    Ok(found)
}

fn cards(list: Vec<RepoSummary>) -> Vec<RepoCard> {
    list.into_iter().map(RepoCard::from).collect()
}
