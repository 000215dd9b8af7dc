//! `/search`, `/models`, `/datasets`: lists of repos, filtered.

use actix_web::{HttpResponse, web};

use super::users::word;
use crate::domain::name::RepoKind;
use crate::domain::search::{SearchQuery, Sort};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::wire::error::ProblemBody;
use crate::wire::repos::{RepoDetail, SearchAnswer};

/// Searches the catalog. All given filters must hold; facets count all hits, not only this page.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(
    ("q" = Option<String>, Query, description = "words; each matches the start of a word of name, summary, tags or card"),
    ("kind" = Option<String>, Query, description = "`model` or `dataset`"),
    ("task" = Option<String>, Query), ("modality" = Option<String>, Query), ("architecture" = Option<String>, Query),
    ("source_dataset" = Option<String>, Query), ("base_model" = Option<String>, Query), ("license" = Option<String>, Query),
    ("tag" = Option<String>, Query), ("library" = Option<String>, Query),
    ("author" = Option<String>, Query, description = "namespace"),
    ("min_parameters" = Option<u64>, Query), ("max_parameters" = Option<u64>, Query),
    ("sort" = Option<String>, Query, description = "`relevance`, `downloads`, `newest`, `created`, `size`, `top1` or `name`"),
    ("here" = Option<bool>, Query, description = "true: without what the library only lists"),
    ("limit" = Option<u64>, Query, description = "1 to 100"),
    ("cursor" = Option<String>, Query, description = "`next` of the page before"),
), responses((status = 200, body = SearchAnswer), (status = 400, body = ProblemBody)))]
pub async fn search(service: web::Data<Service>, caller: Caller, query: Query) -> Answer {
    let kind = query.find("kind").map(kind_of).transpose()?;
    find(&service, &caller, &query, kind).await
}

/// Models or data sets; takes the same filters as `/search`.
#[utoipa::path(get, path = "/api/v1/{kind}", tag = "search", responses(
    (status = 200, body = SearchAnswer),
    (status = 400, body = ProblemBody),
))]
pub async fn list(service: web::Data<Service>, caller: Caller, kind: web::Path<String>, query: Query) -> Answer {
    find(&service, &caller, &query, Some(kind_of(&kind)?)).await
}

async fn find(service: &Service, caller: &Caller, query: &Query, kind: Option<RepoKind>) -> Answer {
    let hits = service.search(&caller.0, read(query, kind)?, query.page()?).await?;
    Ok(HttpResponse::Ok().json(SearchAnswer {
        items: hits.page.items.into_iter().map(RepoDetail::from).collect(),
        next: hits.page.next,
        total: hits.total,
        facets: hits.facets.into_iter().map(Into::into).collect(),
    }))
}

fn read(query: &Query, kind: Option<RepoKind>) -> Result<SearchQuery, HttpError> {
    let sort = query.find("sort").map(|text| word(text, Sort::parse, "sort", "relevance, downloads, newest, created, size, top1, name"));
    Ok(SearchQuery { sort: sort.transpose()?.unwrap_or_default(), ..filters(query, kind)? })
}

/// Words and filters as the query of an address says them; pages read theirs the same way.
pub fn filters(query: &Query, kind: Option<RepoKind>) -> Result<SearchQuery, HttpError> {
    Ok(SearchQuery {
        kind,
        text: query.text("q"),
        task: query.text("task"),
        modality: query.text("modality"),
        architecture: query.text("architecture"),
        source_dataset: query.text("source_dataset"),
        base_model: query.text("base_model"),
        license: query.text("license").to_lowercase(),
        tag: query.text("tag").to_lowercase(),
        library: query.text("library"),
        author: query.text("author"),
        here: query.flag("here")?,
        min_parameters: query.number("min_parameters")?,
        max_parameters: query.number("max_parameters")?,
        ..SearchQuery::default()
    })
}

fn kind_of(text: &str) -> Result<RepoKind, HttpError> {
    RepoKind::parse(text).map_err(|e| HttpError::bad_request("bad_query", e.to_string(), "write 'model' or 'dataset'"))
}
