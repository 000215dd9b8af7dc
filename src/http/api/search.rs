//! `/search`, `/models`, `/datasets`: lists of repos, filtered.

use actix_web::{HttpResponse, web};

use super::users::word;
use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;
use crate::domain::results::{ModelResult, Origin};
use crate::domain::search::{Choice, ChoiceBy, SearchQuery, Sort};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;
use crate::wire::error::ProblemBody;
use crate::wire::repos::{RepoDetail, SearchAnswer, Suggestions};

/// Names and values that are suggested.
const SUGGESTED: u64 = 8;
const MOST_SUGGESTED: u64 = 20;
/// Characters of what was typed.
const LONGEST_TYPED: usize = 100;
/// Values of one filter.
const MOST_VALUES: usize = 20;
/// What stands before the name of a number that a list is sorted by.
pub const MEASURE: &str = "measure:";

const CHOICES: [ChoiceBy; 9] = [
    ChoiceBy::Task,
    ChoiceBy::Modality,
    ChoiceBy::Architecture,
    ChoiceBy::SourceDataset,
    ChoiceBy::BaseModel,
    ChoiceBy::License,
    ChoiceBy::Tag,
    ChoiceBy::Library,
    ChoiceBy::Author,
];

/// Searches the catalog. All given filters must hold; one that is given several times holds for each of its values. Facets count all hits, not only
/// this page, unless `facets_of` says otherwise; no search costs more than a bounded amount of work.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(
    ("q" = Option<String>, Query, description = "words; each matches the start of a word of name, summary, tags or card"),
    ("kind" = Option<String>, Query, description = "`model` or `dataset`"),
    ("task" = Option<String>, Query), ("modality" = Option<String>, Query), ("architecture" = Option<String>, Query),
    ("source_dataset" = Option<String>, Query, description = "a data set it comes from, through any number of bases"), ("base_model" = Option<String>, Query), ("license" = Option<String>, Query),
    ("tag" = Option<String>, Query), ("library" = Option<String>, Query),
    ("author" = Option<String>, Query, description = "namespace"),
    ("min_parameters" = Option<u64>, Query), ("max_parameters" = Option<u64>, Query),
    ("min_top1" = Option<f64>, Query, description = "0 to 1, as cards say it"), ("max_top1" = Option<f64>, Query),
    ("sort" = Option<String>, Query, description = "`relevance`, `downloads`, `newest`, `created`, `size`, `top1`, `name`, `license`, `dataset`, or `measure:NAME`: \
        by a number of cards, highest first, without what does not say it"),
    ("reversed" = Option<bool>, Query, description = "true: the other way round"),
    ("here" = Option<bool>, Query, description = "true: without what the library only lists"),
    ("runs" = Option<bool>, Query, description = "true: only what can be run and fine-tuned here"),
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
        items: hits.page.items.into_iter().zip(hits.results).map(detail).collect(),
        next: hits.page.next,
        total: hits.total,
        at_least: hits.at_least,
        facets: hits.facets.into_iter().map(Into::into).collect(),
        facets_of: hits.facets_of,
        did_you_mean: hits.did_you_mean,
    }))
}

fn detail((found, known): (RepoSummary, Vec<ModelResult>)) -> RepoDetail {
    // What the card says stands in its facts already.
    let besides = known.into_iter().filter(|result| result.origin != Origin::Claimed);
    RepoDetail { results: besides.map(Into::into).collect(), ..RepoDetail::from(found) }
}

/// Names of repos and values of facets that begin so, as somebody types.
#[utoipa::path(get, path = "/api/v1/suggest", tag = "search", params(
    ("q" = Option<String>, Query, description = "what was typed so far"),
    ("limit" = Option<u64>, Query, description = "names, and values, at most: 1 to 20"),
), responses((status = 200, body = Suggestions), (status = 400, body = ProblemBody)))]
pub async fn suggest(service: web::Data<Service>, caller: Caller, query: Query) -> Answer {
    let limit = query.number::<u64>("limit")?.unwrap_or(SUGGESTED).clamp(1, MOST_SUGGESTED);
    let text: String = query.text("q").chars().take(LONGEST_TYPED).collect();
    let found = service.suggest(&caller.0, &text, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    Ok(HttpResponse::Ok().json(Suggestions { items: found.into_iter().map(Into::into).collect() }))
}

fn read(query: &Query, kind: Option<RepoKind>) -> Result<SearchQuery, HttpError> {
    let asked = filters(query, kind)?;
    if !asked.measure.is_empty() {
        return Ok(asked);
    }
    let words = "relevance, downloads, newest, created, size, top1, name, license, dataset or measure:NAME";
    let sort = query.find("sort").map(|text| word(text, Sort::parse, "sort", words));
    Ok(SearchQuery { sort: sort.transpose()?.unwrap_or_default(), ..asked })
}

/// Words and filters as the query of an address says them; pages read theirs the same way.
pub fn filters(query: &Query, kind: Option<RepoKind>) -> Result<SearchQuery, HttpError> {
    Ok(SearchQuery {
        kind,
        text: query.text("q"),
        choices: choices(query)?,
        measure: query.text("sort").strip_prefix(MEASURE).unwrap_or_default().to_owned(),
        reversed: query.flag("reversed")?,
        min_top1: share(query, "min_top1")?,
        max_top1: share(query, "max_top1")?,
        here: query.flag("here")?,
        runs: query.flag("runs")?,
        min_parameters: query.number("min_parameters")?,
        max_parameters: query.number("max_parameters")?,
        ..SearchQuery::default()
    })
}

/// Values that are given of what a list is filtered by, in the order of the address.
pub fn given(query: &Query, by: ChoiceBy) -> Vec<&str> {
    let mut values: Vec<&str> = Vec::new();
    for value in query.all(by.as_str()).filter(|value| !value.is_empty()) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

fn choices(query: &Query) -> Result<Vec<Choice>, HttpError> {
    let mut choices = Vec::new();
    for by in CHOICES {
        let values = given(query, by);
        if values.len() > MOST_VALUES {
            let message = format!("a list takes at most {MOST_VALUES} values of '{by}'");
            return Err(HttpError::bad_request("bad_query", message, "give fewer"));
        }
        let lower = matches!(by, ChoiceBy::License | ChoiceBy::Tag);
        let values: Vec<String> = values.into_iter().map(|value| if lower { value.to_lowercase() } else { value.to_owned() }).collect();
        if !values.is_empty() {
            choices.push(Choice { by, values });
        }
    }
    Ok(choices)
}

fn share(query: &Query, key: &str) -> Result<Option<f64>, HttpError> {
    let wrong = || HttpError::bad_request("bad_query", format!("'{key}' in the query is no number"), "give a share, such as 0.75");
    let Some(text) = query.find(key) else { return Ok(None) };
    text.parse::<f64>().ok().filter(|share| share.is_finite()).map(Some).ok_or_else(wrong)
}

fn kind_of(text: &str) -> Result<RepoKind, HttpError> {
    RepoKind::parse(text).map_err(|e| HttpError::bad_request("bad_query", e.to_string(), "write 'model' or 'dataset'"))
}
