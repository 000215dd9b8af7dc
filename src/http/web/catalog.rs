//! Lists of models and data sets: words, facets, sorts, pages. A facet is a link that adds or removes its filter.

use actix_web::web::Data;
use askama::Template;
use url::form_urlencoded::Serializer;

use super::card::RepoCard;
use super::frame::{Frame, page};
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::search::{ChoiceBy, Facet, SearchQuery, Sort};
use crate::http::api::search::{filters, given};
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;

struct FacetView {
    label: &'static str,
    values: Vec<FacetValue>,
    /// Facets in use, and the first ones, stand open.
    open: bool,
}

struct FacetValue {
    value: String,
    count: u64,
    href: String,
    on: bool,
}

/// A link with a text, one of several.
struct Choice {
    label: String,
    href: String,
    on: bool,
}

#[derive(Template)]
#[template(path = "catalog.html")]
struct Catalog {
    frame: Frame,
    heading: &'static str,
    path: &'static str,
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
    hidden: Vec<(&'static str, String)>,
    sorts: Vec<Choice>,
    repos: Vec<RepoCard>,
    next: Option<String>,
}

/// Facet names as they stand in addresses, and as people read them.
const FACETS: &[(&str, &str)] = &[
    ("task", "Task"),
    ("source_dataset", "Trained on"),
    ("architecture", "Architecture"),
    ("modality", "Modality"),
    ("license", "Licence"),
    ("author", "Namespace"),
];

/// Filters that are no facets, but may stand in an address.
const MORE_FILTERS: &[(&str, &str)] = &[
    ("base_model", "Base model"),
    ("tag", "Tag"),
    ("library", "Library"),
    ("min_parameters", "At least (parameters)"),
    ("max_parameters", "At most (parameters)"),
    ("min_top1", "At least (top-1)"),
    ("max_top1", "At most (top-1)"),
];

const SORTS: &[(&str, &str)] =
    &[("relevance", "Best match"), ("downloads", "Downloads"), ("newest", "Newest"), ("size", "Size"), ("top1", "Top-1"), ("name", "Name")];

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
    // A sort nobody knows is the usual one: an old link shall still show its page.
    let sort = Sort::parse(&query.text("sort")).unwrap_or_default();
    let asked = SearchQuery { sort, ..filters(query, kind)? };
    let request = PageRequest { limit: 24, ..query.page()? };
    let hits = service.search(&visitor.actor(), asked, request).await?;
    let links = Links { path, query };
    let section = if path == "/search" { "" } else { &path[1..] };
    let hidden =
        FACETS.iter().chain(MORE_FILTERS).flat_map(|(name, _)| links.present(name).into_iter().map(move |value| (*name, value.to_owned())));
    let meant = hits.did_you_mean.map(|words| Choice { href: links.with("q", Some(&words)), label: words, on: false });
    page(&Catalog {
        frame: Frame::of(visitor, section).searching(&query.text("q")),
        heading,
        path,
        query: query.text("q"),
        total: hits.total,
        at_least: hits.at_least,
        facets_of: hits.facets_of,
        meant,
        facets: hits.facets.iter().filter_map(|facet| links.facet(facet)).collect(),
        chosen: links.chosen(),
        hidden: hidden.collect(),
        sorts: links.sorts(),
        repos: hits.page.items.into_iter().map(RepoCard::from).collect(),
        next: hits.page.next.map(|cursor| links.with("cursor", Some(&cursor))),
    })
}

/// Makes addresses that differ from the present one in one filter.
struct Links<'a> {
    path: &'static str,
    query: &'a Query,
}

impl Links<'_> {
    /// The present address with `key` set or removed, and back on the first page.
    fn with(&self, key: &str, value: Option<&str>) -> String {
        self.with_values(key, value.as_slice())
    }

    fn with_values(&self, key: &str, values: &[&str]) -> String {
        let names = ["q", "kind", "sort"].into_iter().chain(FACETS.iter().chain(MORE_FILTERS).map(|(name, _)| *name));
        let mut text = Serializer::new(String::new());
        for name in names.filter(|name| *name != key) {
            self.present(name).into_iter().for_each(|present| _ = text.append_pair(name, present));
        }
        values.iter().for_each(|value| _ = text.append_pair(key, value));
        let text = text.finish();
        if text.is_empty() { self.path.to_owned() } else { format!("{}?{text}", self.path) }
    }

    /// What stands in the present address: several values of what a list is filtered by, one of all else.
    fn present(&self, name: &str) -> Vec<&str> {
        match ChoiceBy::parse(name) {
            Some(by) => given(self.query, by),
            None => self.query.find(name).into_iter().collect(),
        }
    }

    fn facet(&self, facet: &Facet) -> Option<FacetView> {
        let at = FACETS.iter().position(|(name, _)| *name == facet.name)?;
        let (name, label) = FACETS[at];
        let present = self.present(name);
        let value = |(value, count): &(String, u64)| {
            let on = present.contains(&value.as_str());
            let others = present.iter().copied().filter(|other| other != value);
            let values: Vec<&str> = others.chain((!on).then_some(value.as_str())).collect();
            FacetValue { value: value.clone(), count: *count, href: self.with_values(name, &values), on }
        };
        let values: Vec<_> = facet.values.iter().map(value).collect();
        (!values.is_empty()).then_some(FacetView { label, values, open: at < 4 || !present.is_empty() })
    }

    fn chosen(&self) -> Vec<Choice> {
        let chips = |(name, label): &(&str, &str)| {
            let present = self.present(name);
            let chip = |value: &&str| {
                let others: Vec<&str> = present.iter().copied().filter(|other| other != value).collect();
                Choice { label: format!("{label}: {value}"), href: self.with_values(name, &others), on: true }
            };
            present.iter().map(chip).collect::<Vec<_>>()
        };
        FACETS.iter().chain(MORE_FILTERS).flat_map(chips).collect()
    }

    fn sorts(&self) -> Vec<Choice> {
        let present = Sort::parse(&self.query.text("sort")).unwrap_or_default().as_str();
        let choice = |(sort, label): &(&str, &str)| Choice {
            label: (*label).to_owned(),
            href: self.with("sort", (*sort != "relevance").then_some(sort)),
            on: *sort == present,
        };
        SORTS.iter().map(choice).collect()
    }
}
