//! `/api/models` and `/api/datasets`: the catalog's search, asked in the dialect's words.

use actix_web::{HttpRequest, HttpResponse, web};

use super::describe::{Asker, Wanted, describe_all};
use super::{TOTAL_COUNT, next_page};
use crate::domain::name::RepoKind;
use crate::domain::page::PageRequest;
use crate::domain::search::{Label, SearchQuery, Sort};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::http::rates::share;
use crate::http::rows;
use crate::service::Service;

/// Repos of a page where each costs a look into its files.
const FEW: u64 = 20;

/// More filters than this are a mistake.
const MOST_LABELS: usize = 20;

pub async fn list(request: HttpRequest, service: web::Data<Service>, caller: Caller, kind: web::Path<String>, query: Query) -> Answer {
    let wrong = |e| HttpError::bad_request("bad_path", format!("{e}"), "ask for models or datasets");
    let asked = read(&query, RepoKind::parse(&kind).map_err(wrong)?)?;
    let Some(asked) = asked else { return Ok(HttpResponse::Ok().json(Vec::<()>::new())) };
    let wanted = Wanted::of_many(&query);
    let most = if wanted.looks_into_files() { FEW } else { PageRequest::MAX_LIMIT as u64 };
    let limit = query.number::<u64>("limit")?.unwrap_or(most).min(most);
    let page = PageRequest::new(Some(limit), query.find("cursor").map(String::from));
    let asker = Asker { actor: &caller.0, whose: share(&request, &caller.0)? };
    let turn = service.work().turn(&asker.whose).await?;
    let hits = service.search(&caller.0, asked, page).await?;
    let (found, mut response) = (hits.page, rows::ok_json());
    response.insert_header((TOTAL_COUNT, hits.total));
    if let Some(cursor) = &found.next {
        response.insert_header(next_page(&request, cursor)?);
    }
    drop(turn);
    let described = describe_all(&service, &asker, found.items, &wanted).await?;
    Ok(rows::answer(response, described).await?)
}

/// `None` where nothing here can fit: no repo is gated, and none runs at an inference provider.
fn read(query: &Query, kind: RepoKind) -> Result<Option<SearchQuery>, HttpError> {
    let absent = ["inference", "inference_provider", "apps"].iter().any(|key| query.find(key).is_some());
    if absent || query.find("gated").is_some_and(super::truth) {
        return Ok(None);
    }
    let split = |text: &str| text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let tags: Vec<String> = ["filter", "tags", "trained_dataset"].iter().flat_map(|key| query.all(key)).flat_map(split).collect();
    if tags.len() > MOST_LABELS {
        return Err(HttpError::bad_request("bad_query", format!("a list takes at most {MOST_LABELS} filters"), "give fewer"));
    }
    let (min_parameters, max_parameters) = parameters(query)?;
    let sort = sort(query)?;
    let text = query.all("search").collect::<Vec<_>>().join(" ");
    Ok(Some(SearchQuery {
        kind: Some(kind),
        text,
        task: query.text("pipeline_tag"),
        library: query.text("library"),
        author: query.text("author"),
        labels: tags.iter().map(|tag| label(tag)).collect(),
        min_parameters,
        max_parameters,
        sort,
        here: true,
        plain: true,
        reversed: query.find("direction") == Some("1"),
        ..SearchQuery::default()
    }))
}

/// A filter is a tag as an answer lists them.
fn label(tag: &str) -> Label {
    let (prefix, value) = tag.split_once(':').unwrap_or(("", tag));
    match prefix {
        "license" => Label::License(value.to_lowercase()),
        "dataset" => Label::SourceDataset(value.to_owned()),
        // `base_model:finetune:acme/net` says how; a repo has no colon in its name.
        "base_model" => Label::BaseModel(value.rsplit(':').next().unwrap_or(value).to_owned()),
        "library" | "pipeline_tag" | "task_categories" => Label::Word(value.to_owned()),
        _ => Label::Word(tag.to_owned()),
    }
}

fn sort(query: &Query) -> Result<Sort, HttpError> {
    Ok(match query.find("sort") {
        None => Sort::Relevance,
        // Nobody likes or trends here.
        Some("downloads" | "likes" | "trendingScore" | "trending_score" | "likes7d") => Sort::Downloads,
        Some("lastModified" | "last_modified") => Sort::Newest,
        Some("createdAt" | "created_at") => Sort::Created,
        Some("num_parameters" | "mainSize") => Sort::Size,
        Some(other) => {
            let hint = "sort by downloads, likes, trendingScore, lastModified, createdAt or num_parameters";
            return Err(HttpError::bad_request("bad_query", format!("there is no order '{other}'"), hint));
        }
    })
}

/// `min:3B,max:24B`, either or both.
fn parameters(query: &Query) -> Result<(Option<u64>, Option<u64>), HttpError> {
    let (mut least, mut most) = (None, None);
    for part in query.find("num_parameters").into_iter().flat_map(|text| text.split(',')) {
        let wrong = || HttpError::bad_request("bad_query", format!("'{part}' is no number of parameters"), "write min:6B or max:500M");
        let (bound, text) = part.trim().split_once(':').ok_or_else(wrong)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" => 1.0,
            "K" => 1e3,
            "M" => 1e6,
            "B" => 1e9,
            "T" => 1e12,
            _ => return Err(wrong()),
        };
        let number = digits.parse::<f64>().ok().filter(|number| (0.0..1e15).contains(number)).ok_or_else(wrong)? * unit;
        match bound {
            "min" => least = Some(number as u64),
            "max" => most = Some(number as u64),
            _ => return Err(wrong()),
        }
    }
    Ok((least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> SearchQuery {
        read(&Query::new(query), RepoKind::Model).unwrap().unwrap()
    }

    #[test]
    fn filters_are_tags() {
        let query = asked("filter=timm&filter=license:MIT,dataset:imagenet-1k&search=a&search=b&author=ada&base=1");
        let labels = [Label::Word("timm".into()), Label::License("mit".into()), Label::SourceDataset("imagenet-1k".into())];
        assert_eq!((query.labels.as_slice(), query.text.as_str(), query.author.as_str()), (labels.as_slice(), "a b", "ada"));
        assert_eq!(asked("filter=base_model:finetune:acme/net").labels, [Label::BaseModel("acme/net".into())]);
        assert_eq!(asked("filter=arxiv:1512.03385").labels, [Label::Word("arxiv:1512.03385".into())]);
        assert!(read(&Query::new("gated=True"), RepoKind::Model).unwrap().is_none());
        assert!(read(&Query::new("gated=false"), RepoKind::Model).unwrap().is_some());
    }

    #[test]
    fn orders_and_bounds_are_read_or_refused() {
        assert_eq!((asked("sort=lastModified&direction=-1").sort, asked("sort=createdAt").reversed), (Sort::Newest, false));
        assert!(asked("sort=downloads&direction=1").reversed);
        let query = asked("num_parameters=min:1.5M,max:2B");
        assert_eq!((query.min_parameters, query.max_parameters), (Some(1_500_000), Some(2_000_000_000)));
        for bad in ["sort=beauty", "num_parameters=6B", "num_parameters=min:x", "num_parameters=min:1Q", "num_parameters=min:-1"] {
            assert!(read(&Query::new(bad), RepoKind::Model).is_err(), "{bad}");
        }
    }
}
