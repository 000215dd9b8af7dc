//! Lists of models and data sets: words, facets, ranges, sorts, pages; as a table, as cards, or as a chart. Whatever is chosen stands
//! in the address, so that a list can be passed on, and each choice is a link or a form that needs no script.

mod columns;
mod links;
mod plot;
mod rows;

use actix_web::web::Data;
use askama::Template;

use self::columns::Column;
use self::links::{Choice, FacetView, Links};
use self::plot::Plot;
pub use self::rows::{Number, RowView, age, told};
use super::card::RepoCard;
use super::frame::{Frame, page};
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::results::dataset_name;
use crate::domain::search::{SearchQuery, Sort};
use crate::domain::time::Timestamp;
use crate::http::api::search::filters;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;
use crate::service::repos::browse::SearchHits;

/// Repos of a page: rows of a table are short, points of a chart shorter.
const ROWS: usize = 50;
const CARDS: usize = 24;
const POINTS: usize = 200;
/// Models that are compared at once.
pub const MOST_COMPARED: usize = 6;

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Table,
    Cards,
    Plot,
}

impl View {
    /// Models are chosen by numbers, which stand in a table; all else is read.
    fn of(query: &Query, kind: Option<RepoKind>) -> View {
        match (query.text("view").as_str(), kind) {
            ("table", _) => View::Table,
            ("cards", _) => View::Cards,
            ("plot", Some(RepoKind::Model)) => View::Plot,
            (_, Some(RepoKind::Model)) => View::Table,
            _ => View::Cards,
        }
    }

    fn most(self) -> usize {
        match self {
            View::Table => ROWS,
            View::Cards => CARDS,
            View::Plot => POINTS,
        }
    }
}

#[derive(Template)]
#[template(path = "catalog.html")]
struct Catalog {
    frame: Frame,
    heading: &'static str,
    path: &'static str,
    is_models: bool,
    query: String,
    total: u64,
    /// There may be more.
    at_least: bool,
    facets: Vec<FacetView>,
    /// Where the facets are not those of all hits: of how many.
    facets_of: Option<u64>,
    /// Words that may have been meant.
    meant: Option<Choice>,
    chosen: Vec<Choice>,
    /// What a form must say besides its own fields.
    hidden: Vec<(&'static str, String)>,
    sorts: Vec<Choice>,
    views: Vec<Choice>,
    /// Data sets whose share of right answers can stand in the table.
    measured_on: Vec<Choice>,
    sizes: [Vec<Choice>; 2],
    least_top1: Vec<Choice>,
    runs: bool,
    here: bool,
    columns: Vec<Column>,
    is_table: bool,
    rows: Vec<RowView>,
    repos: Vec<RepoCard>,
    plot: Option<Plot>,
    next: Option<String>,
}

pub async fn everything(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    let kind = query.find("kind").and_then(|text| RepoKind::parse(text).ok());
    list(&visitor, &service, &query, kind, ("/search", "Search")).await
}

pub async fn models(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    list(&visitor, &service, &query, Some(RepoKind::Model), ("/models", "Models")).await
}

pub async fn datasets(visitor: Visitor, service: Data<Service>, query: Query) -> Answer {
    list(&visitor, &service, &query, Some(RepoKind::Dataset), ("/datasets", "Data sets")).await
}

async fn list(
    visitor: &Visitor,
    service: &Service,
    query: &Query,
    kind: Option<RepoKind>,
    (path, heading): (&'static str, &'static str),
) -> Answer {
    let query = &query.filled();
    // A sort nobody knows is the usual one: an old link shall still show its page.
    let sort = Sort::parse(&query.text("sort")).unwrap_or_default();
    let asked = SearchQuery { sort, ..filters(query, kind)? };
    let view = View::of(query, kind);
    let request = PageRequest { limit: view.most(), ..query.page()? };
    let hits = service.search(&visitor.actor(), asked, request).await?;
    let frame = Frame::of(visitor, if path == "/search" { "" } else { &path[1..] });
    page(&catalog(frame, (query, kind, view), (hits, service.now()), (path, heading)))
}

fn catalog(
    frame: Frame,
    (query, kind, view): (&Query, Option<RepoKind>, View),
    (hits, now): (SearchHits, Timestamp),
    (path, heading): (&'static str, &'static str),
) -> Catalog {
    let links = Links { path, query };
    let on = Some(dataset_name(&query.text("on"))).filter(|on| !on.is_empty());
    let is_models = kind == Some(RepoKind::Model);
    let is_table = view != View::Cards;
    let plot = (view == View::Plot).then(|| Plot::of(&hits, &links, on.as_deref()));
    let (mut rows, mut repos) = (Vec::new(), Vec::new());
    let measured_on = links.measured_on(&hits.results, on.as_deref());
    let row = |at: usize| Some(RowView::of(hits.page.items.get(at)?, hits.results.get(at)?, on.as_deref(), now));
    match (&plot, is_table) {
        // Of what is drawn, those that nothing beats are listed; the view as a table has all.
        (Some(plot), _) => rows = plot.best.iter().filter_map(|at| row(*at)).collect(),
        (None, true) => rows = (0..hits.page.items.len()).filter_map(row).collect(),
        (None, false) => repos = hits.page.items.iter().cloned().map(RepoCard::from).collect(),
    }
    let meant = hits.did_you_mean.map(|words| Choice { href: links.with("q", Some(&words)), label: words, on: false });
    Catalog {
        frame: frame.searching(&query.text("q")).at(&links.with("cursor", None)),
        heading,
        path,
        is_models,
        query: query.text("q"),
        total: hits.total,
        at_least: hits.at_least,
        facets_of: hits.facets_of,
        meant,
        facets: hits.facets.iter().filter_map(|facet| links.facet(facet)).collect(),
        chosen: links.chosen(),
        hidden: links.hidden(),
        sorts: links.sorts(is_models),
        views: links.views(view, is_models),
        measured_on,
        sizes: [links.sizes("min_parameters"), links.sizes("max_parameters")],
        least_top1: links.least_top1(),
        runs: query.flag("runs").unwrap_or_default(),
        here: query.flag("here").unwrap_or_default(),
        columns: columns::of(&links, kind, on.as_deref()),
        is_table,
        rows,
        repos,
        plot,
        next: hits.page.next.map(|cursor| links.with("cursor", Some(&cursor))),
    }
}
