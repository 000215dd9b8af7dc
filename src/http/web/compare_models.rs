//! Up to six models side by side: what is known of each, a line a fact, with the best of each line marked.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::card::{href, title};
use super::catalog::{MOST_COMPARED, Number, age};
use super::format;
use super::frame::{Frame, Html, page_told, render};
use super::repo_head::urlencode;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::RepoSummary;
use crate::domain::results::{GMACS, INPUT, ModelResult, SPEED, TOP1, best, best_on};
use crate::domain::task::Measure;
use crate::domain::time::Timestamp;
use crate::http::Site;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::{Error, Service};

/// Lines of measured numbers.
const MOST_MEASURES: usize = 24;

#[derive(Template)]
#[template(path = "compare_models.html")]
struct ComparePage {
    frame: Frame,
    models: Vec<Head>,
    lines: Vec<Line>,
    /// Models that were asked for and are not shown, each with the reason.
    problems: Vec<String>,
    /// Where two can be compared item by item.
    by_items: Option<String>,
    catalog: String,
}

struct Head {
    title: String,
    href: String,
    /// The comparison without it.
    without: String,
    pull: String,
    finetune: Option<String>,
}

struct Line {
    label: String,
    cells: Vec<Cell>,
    is_number: bool,
}

#[derive(Default)]
struct Cell {
    text: String,
    href: Option<String>,
    number: Option<Number>,
    is_best: bool,
}

/// A model with all its numbers.
type Known = (RepoSummary, Vec<ModelResult>);

/// Whether an address asks for models side by side.
pub fn is_asked(query: &Query) -> bool {
    query.find("m").is_some()
}

pub async fn show(visitor: Visitor, service: Data<Service>, query: Query, request: HttpRequest) -> Answer {
    let address = Site::of(&request)?.public_address(&request);
    let asked = service.get_ref().clone();
    page_told(&service, move || async move { compare(&visitor, &asked, &query, &address).await }).await
}

async fn compare(visitor: &Visitor, service: &Service, query: &Query, address: &str) -> Html {
    let (models, problems) = read(service, visitor, query).await?;
    let ids: Vec<String> = models.iter().map(|(model, _)| model.repo.id.to_string()).collect();
    let head = |(at, (model, _)): (usize, &Known)| {
        let others = ids.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, id)| format!("m={}", urlencode(id)));
        Head {
            title: title(&model.repo.id),
            href: href(RepoKind::Model, &model.repo.id),
            without: format!("/compare?{}", others.collect::<Vec<_>>().join("&")),
            pull: format!("hub pull {} --server {address}", title(&model.repo.id)),
            finetune: (model.head.is_some() && model.facts.can_be_run())
                .then(|| format!("/finetune?base={}", urlencode(&model.repo.id.to_string()))),
        }
    };
    let by_items = match ids.as_slice() {
        [a, b] => Some(format!("/compare?a={}&b={}", urlencode(a), urlencode(b))),
        _ => None,
    };
    let names = models.iter().map(|(model, _)| title(&model.repo.id)).collect::<Vec<_>>().join(", ");
    render(&ComparePage {
        frame: Frame::of(visitor, "models").about(&format!("Side by side: {names}")),
        lines: lines(&models, service.now()),
        models: models.iter().enumerate().map(head).collect(),
        problems,
        by_items,
        catalog: "/models".to_owned(),
    })
}

async fn read(service: &Service, visitor: &Visitor, query: &Query) -> Result<(Vec<Known>, Vec<String>), HttpError> {
    let (mut models, mut problems): (Vec<Known>, Vec<String>) = (Vec::new(), Vec::new());
    let asked: Vec<&str> = query.all("m").map(str::trim).filter(|name| !name.is_empty()).collect();
    for name in asked.iter().take(4 * MOST_COMPARED) {
        let Ok(id) = RepoId::parse(name) else {
            problems.push(format!("'{name}' is no name of a model"));
            continue;
        };
        if models.iter().any(|(model, _)| model.repo.id.folded() == id.folded()) {
            continue;
        }
        if models.len() == MOST_COMPARED {
            problems.push(format!("{name} is one more than {MOST_COMPARED}"));
            continue;
        }
        let actor = visitor.actor();
        match service.get_repo(&actor, RepoKind::Model, &id).await {
            Ok(model) => {
                let results = service.list_results(&actor, &id).await?;
                models.push((model, results));
            }
            Err(Error::NotFound(problem)) => problems.push(problem.message),
            Err(other) => return Err(other.into()),
        }
    }
    Ok((models, problems))
}

fn lines(models: &[Known], now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        linked(models, "Pretrained on", |model| model.facts.source_datasets.join(", "), None),
        linked(models, "Made from", |model| model.facts.base_models.join(", "), None),
        linked(models, "Architecture", |model| model.facts.architecture.clone(), Some("architecture")),
        linked(models, "Task", |model| model.facts.task.clone(), Some("task")),
        numbers(models, "Parameters", false, |(model, _)| some(model.facts.parameters as f64, format::count(model.facts.parameters))),
        results(models, "GMACs", false, |known| best(known, GMACS)),
        results(models, "Items a second", true, |known| best(known, SPEED)),
        plain(
            models,
            "Input",
            |model| if model.facts.image_size > 0 { format!("{0} × {0} px", model.facts.image_size) } else { String::new() },
        ),
        plain(models, "Features", |model| if model.facts.num_features > 0 { model.facts.num_features.to_string() } else { String::new() }),
        plain(models, "Classes", |model| if model.facts.num_classes > 0 { model.facts.num_classes.to_string() } else { String::new() }),
        numbers(models, "Files", false, |(model, _)| {
            let bytes = model.head.as_ref().map_or(0, |head| head.total_bytes);
            some(bytes as f64, format::bytes(bytes))
        }),
    ];
    for (measure, dataset) in measured(models) {
        let on = if dataset.is_empty() { measure.clone() } else { format!("{measure} on {dataset}") };
        let rises = Measure::of_card(&measure).is_none_or(|known| known.rises);
        lines.push(results(models, &on, rises, |known| best_on(known, &measure, &dataset)));
    }
    lines.push(linked(models, "Licence", |model| model.facts.license.clone(), Some("license")));
    lines.push(numbers(models, "Downloads", true, |(model, _)| some(model.repo.downloads as f64, format::count(model.repo.downloads))));
    lines.push(plain(models, "Newest version", |model| {
        model.head.as_ref().map_or_else(
            || "nothing is here yet".to_owned(),
            |head| {
                let (age, day) = age(head.created, now);
                format!("{}, {day} ({age})", head.number)
            },
        )
    }));
    lines.retain(|line| line.cells.iter().any(|cell| !cell.text.is_empty() || cell.number.is_some()));
    lines
}

fn some(value: f64, text: String) -> Option<(f64, String)> {
    (value > 0.0).then_some((value, text))
}

/// The measures that any of the models has, top-1 first, then those that most have.
fn measured(models: &[Known]) -> Vec<(String, String)> {
    let mut all: Vec<((String, String), usize)> = Vec::new();
    for (_, known) in models {
        for result in known.iter().filter(|result| ![GMACS, SPEED, INPUT].contains(&result.measure.as_str())) {
            let key = (result.measure.clone(), result.dataset.clone());
            match all.iter_mut().find(|(known, _)| *known == key) {
                Some((_, count)) => *count += 1,
                None => all.push((key, 1)),
            }
        }
    }
    all.sort_by(|(a, n), (b, m)| (b.0 == TOP1).cmp(&(a.0 == TOP1)).then(m.cmp(n)).then(a.cmp(b)));
    all.into_iter().take(MOST_MEASURES).map(|(key, _)| key).collect()
}

fn plain(models: &[Known], label: &str, text: impl Fn(&RepoSummary) -> String) -> Line {
    linked(models, label, text, None)
}

/// A fact that is a word; `filter`: the list of those that share it.
fn linked(models: &[Known], label: &str, text: impl Fn(&RepoSummary) -> String, filter: Option<&str>) -> Line {
    let cell = |(model, _): &Known| {
        let text = text(model);
        let href = filter.filter(|_| !text.is_empty()).map(|name| format!("/models?{name}={}", urlencode(&text)));
        Cell { text, href, ..Cell::default() }
    };
    Line { label: label.to_owned(), cells: models.iter().map(cell).collect(), is_number: false }
}

fn numbers(models: &[Known], label: &str, rises: bool, of: impl Fn(&Known) -> Option<(f64, String)>) -> Line {
    let found: Vec<Option<(f64, String)>> = models.iter().map(of).collect();
    let best = best_of(found.iter().map(|found| found.as_ref().map(|(value, _)| *value)), rises);
    let cell = |(at, found): (usize, Option<(f64, String)>)| Cell {
        text: found.map(|(_, text)| text).unwrap_or_default(),
        is_best: best.contains(&at),
        ..Cell::default()
    };
    Line { label: label.to_owned(), cells: found.into_iter().enumerate().map(cell).collect(), is_number: true }
}

fn results(models: &[Known], label: &str, rises: bool, of: impl Fn(&[ModelResult]) -> Option<&ModelResult>) -> Line {
    let found: Vec<Option<&ModelResult>> = models.iter().map(|(_, known)| of(known)).collect();
    let best = best_of(found.iter().map(|found| found.map(|result| result.value)), rises);
    let cell = |(at, found): (usize, &Option<&ModelResult>)| Cell {
        number: found.map(|result| Number::of(result, Some(&result.dataset))),
        is_best: best.contains(&at),
        ..Cell::default()
    };
    Line { label: label.to_owned(), cells: found.iter().enumerate().map(cell).collect(), is_number: true }
}

/// Places of the best, where some are better than others.
fn best_of(values: impl Iterator<Item = Option<f64>>, rises: bool) -> Vec<usize> {
    let values: Vec<(usize, f64)> = values.enumerate().filter_map(|(at, value)| Some((at, value?))).collect();
    let better = |a: f64, b: f64| if rises { a > b } else { a < b };
    let Some(best) = values.iter().map(|(_, value)| *value).reduce(|a, b| if better(b, a) { b } else { a }) else { return Vec::new() };
    let first: Vec<usize> = values.iter().filter(|(_, value)| *value == best).map(|(at, _)| *at).collect();
    if first.len() == values.len() { Vec::new() } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_marked_where_there_is_one() {
        let values = [Some(0.8), None, Some(0.9), Some(0.9)];
        assert_eq!(best_of(values.into_iter(), true), [2, 3]);
        assert_eq!(best_of(values.into_iter(), false), [0]);
        assert_eq!(best_of([Some(1.0), None].into_iter(), true), Vec::<usize>::new(), "there is nothing it is better than");
    }
}
