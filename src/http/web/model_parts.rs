//! Parts of a model's own page: the strip of its first numbers, its results with their sources, the ribbon from its data sets to what was made from it,
//! and its pulls over time.

use super::card::{RepoCard, href, title};
use super::catalog::{Number, told};
use super::format;
use super::repo_head::urlencode;
use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;
use crate::domain::results::{GMACS, INPUT, ModelResult, SPEED, TOP1, best};
use crate::domain::task::Measure;
use crate::domain::time::Timestamp;
use crate::service::repos::ancestry::{Ancestor, Ancestry};
use crate::service::repos::leaderboard::Signed;

/// Links in a step of the ribbon, lines of results, and weeks of pulls.
const LINKS: usize = 3;
const RESULTS: usize = 60;
const WEEKS: usize = 26;
const DAYS_OF_WEEK: i64 = 7;

/// One of the first numbers.
pub struct StripFact {
    pub label: &'static str,
    pub text: String,
    pub number: Option<Number>,
}

pub fn strip(summary: &RepoSummary, known: &[ModelResult]) -> Vec<StripFact> {
    let facts = &summary.facts;
    let said = |label, text: String| (!text.is_empty()).then_some(StripFact { label, text, number: None });
    let counted = |label, measure| {
        best(known, measure).map(|result| StripFact { label, text: String::new(), number: Some(Number::of(result, None)) })
    };
    let some = |number: u64, text: String| if number > 0 { text } else { String::new() };
    [
        counted("Top-1", TOP1),
        said("Parameters", some(facts.parameters, format::count(facts.parameters))),
        counted("GMACs", GMACS),
        counted("Items/s", SPEED),
        said("Input", some(facts.image_size, format!("{0} × {0}", facts.image_size))),
        said("Features", some(facts.num_features, facts.num_features.to_string())),
        summary.head.as_ref().and_then(|head| said("Files", format::bytes(head.total_bytes))),
        said("Downloads", format::count(summary.repo.downloads)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub struct ResultLine {
    pub measure: String,
    pub on: String,
    pub href: Option<String>,
    pub value: String,
    pub source: String,
}

/// What was measured here first, then tables', then the card's.
pub fn results(known: &[ModelResult], measured: &[Signed]) -> Vec<ResultLine> {
    let signed = measured.iter().map(|signed| {
        let (said, findings) = (&signed.measurement, &signed.measurement.findings);
        ResultLine {
            measure: findings.task.primary().label(),
            on: format!("{}@{}, {}", said.dataset, said.dataset_version, findings.split),
            href: Some(format!("{}?rev={}", href(RepoKind::Dataset, &signed.other), said.dataset_version)),
            value: findings.primary().map(|value| findings.task.primary().show(value, 3)).unwrap_or_default(),
            source: format!("measured here, {} items, version {}", findings.items, said.model_version),
        }
    });
    let mut others: Vec<&ModelResult> = known.iter().filter(|result| result.measure != INPUT).collect();
    others.sort_by_key(|result| std::cmp::Reverse(result.origin));
    let other = |result: &ModelResult| ResultLine {
        measure: label(&result.measure),
        on: result.dataset.clone(),
        href: Some(format!("/datasets?q={}", urlencode(&result.dataset))).filter(|_| !result.dataset.is_empty()),
        value: Number::of(result, Some(&result.dataset)).text,
        source: told(result).1,
    };
    signed.chain(others.into_iter().map(other)).take(RESULTS).collect()
}

fn label(measure: &str) -> String {
    match measure {
        TOP1 => "Top-1".to_owned(),
        GMACS => "GMACs".to_owned(),
        SPEED => "Items a second".to_owned(),
        other => Measure::of_card(other).map_or_else(|| other.to_owned(), Measure::label),
    }
}

pub struct Step {
    pub links: Vec<Link>,
    pub this: bool,
}

pub struct Link {
    pub text: String,
    pub href: Option<String>,
}

/// A data set that was seen by a base.
pub struct Inherited {
    pub text: String,
    pub href: Option<String>,
    pub via: String,
    pub via_href: Option<String>,
}

/// Data sets, then bases from the farthest to the nearest, then the model, then what was made from it.
pub fn ribbon(summary: &RepoSummary, ancestry: &Ancestry, children: &[RepoCard], more: bool) -> Vec<Step> {
    let deepest = ancestry.models.iter().map(|model| model.depth).max().unwrap_or(0);
    let mut steps: Vec<Step> = Vec::new();
    let mut datasets: Vec<Link> = Vec::new();
    for model in ancestry.models.iter().rev() {
        for seen in &model.datasets {
            if !datasets.iter().any(|link| link.text == seen.written) {
                datasets.push(Link { text: seen.written.clone(), href: seen.repo.as_ref().map(|id| href(RepoKind::Dataset, id)) });
            }
        }
    }
    steps.push(Step { links: shortened(datasets), this: false });
    for depth in (1..=deepest).rev() {
        let links = ancestry.models.iter().filter(|model| model.depth == depth).map(link_of).collect();
        steps.push(Step { links: shortened(links), this: false });
    }
    steps.push(Step { links: vec![Link { text: title(&summary.repo.id), href: None }], this: true });
    let mut made: Vec<Link> = children.iter().map(|child| Link { text: child.title.clone(), href: Some(child.href.clone()) }).collect();
    let all = made.len();
    made.truncate(LINKS);
    if all > LINKS || more {
        let text = if more { "and more".to_owned() } else { format!("and {} more", all - LINKS) };
        made.push(Link { text, href: Some("#children".to_owned()) });
    }
    steps.push(Step { links: made, this: false });
    steps.retain(|step| !step.links.is_empty());
    if steps.len() > 1 { steps } else { Vec::new() }
}

fn shortened(mut links: Vec<Link>) -> Vec<Link> {
    let all = links.len();
    links.truncate(LINKS);
    if all > LINKS {
        links.push(Link { text: format!("and {} more", all - LINKS), href: None });
    }
    links
}

fn link_of(model: &Ancestor) -> Link {
    Link { text: model.name(), href: address(model) }
}

/// Where a model is, at the version it was taken at.
pub fn address(model: &Ancestor) -> Option<String> {
    let id = model.repo.as_ref()?;
    let rev = model.number.map(|number| format!("?rev={number}")).unwrap_or_default();
    Some(format!("{}{rev}", href(RepoKind::Model, id)))
}

pub fn inherited(ancestry: &Ancestry) -> Vec<Inherited> {
    let line = |(seen, base): (&crate::service::repos::ancestry::Seen, &Ancestor)| Inherited {
        text: seen.written.clone(),
        href: seen.repo.as_ref().map(|id| href(RepoKind::Dataset, id)),
        via: base.name(),
        via_href: address(base),
    };
    ancestry.inherited().into_iter().map(line).collect()
}

/// Pulls of each week, the oldest first.
pub struct Pulls {
    pub width: usize,
    pub bars: Vec<Bar>,
    pub about: String,
}

pub struct Bar {
    pub x: usize,
    pub y: String,
    pub height: String,
    pub about: String,
}

/// `days`: day since 1970, and downloads; days without any are left out.
pub fn pulls(days: &[(i64, u64)], now: Timestamp) -> Option<Pulls> {
    const DAY_MS: i64 = 86_400_000;
    const HEIGHT: f64 = 40.0;
    let today = now.unix_ms().div_euclid(DAY_MS);
    let mut weeks = [0_u64; WEEKS];
    for (day, downloads) in days {
        let ago = usize::try_from((today - day).max(0) / DAYS_OF_WEEK).unwrap_or(WEEKS);
        if let Some(week) = WEEKS.checked_sub(ago + 1).and_then(|at| weeks.get_mut(at)) {
            *week += downloads;
        }
    }
    let most = *weeks.iter().max()?;
    if most == 0 {
        return None;
    }
    let bar = |(at, downloads): (usize, &u64)| {
        let height = HEIGHT * *downloads as f64 / most as f64;
        let begin = Timestamp::from_unix_ms((today - DAYS_OF_WEEK * (WEEKS - at) as i64 + 1) * DAY_MS);
        Bar {
            x: at * 5,
            y: format!("{:.1}", HEIGHT - height),
            height: format!("{height:.1}"),
            about: format!("{downloads} in the week from {}", format::day(begin)),
        }
    };
    let about = format!("{} in the last {WEEKS} weeks, {} in this one", weeks.iter().sum::<u64>(), weeks[WEEKS - 1]);
    Some(Pulls { width: WEEKS * 5, bars: weeks.iter().enumerate().map(bar).collect(), about })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_are_of_weeks() {
        let now = Timestamp::from_unix_ms(1_000 * 86_400_000);
        let found = pulls(&[(1_000, 3), (994, 1), (993, 2), (10, 99)], now).unwrap();
        assert_eq!(found.about, "6 in the last 26 weeks, 4 in this one");
        assert_eq!((found.bars.len(), found.bars[25].height.as_str(), found.bars[24].height.as_str()), (26, "40.0", "20.0"));
        assert!(pulls(&[], now).is_none() && pulls(&[(10, 1)], now).is_none());
    }
}
