//! A data set's page: what is in it, class by class, and which models were trained on it.

use std::collections::HashMap;

use actix_web::web::Data;
use askama::Template;

use super::card::{RepoCard, href};
use super::dataset_problems::problems;
use super::form::{CSRF, Form};
use super::format;
use super::frame::{Frame, Html, render, see_other};
use super::item_picture::Addresses;
use super::model_parts::{Pulls, pulls};
use super::repo_head::{Fact, Head, card_html, urlencode};
use super::snippets::{Snippet, snippets};
use crate::domain::dataset_report::{DatasetReport, HeadFacts, SplitCount};
use crate::domain::human;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::task::{Measure, capitalised, significant};
use crate::domain::user::{AccountKind, Role};
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::recommend::NewRecommendation;
use crate::service::repos::leaderboard::{Author, Claim, Leaderboard, Signed};
use crate::service::repos::relations::{Thumbnail, Wanted};

/// Previews looked through for the page.
const MOST_THUMBNAILS: usize = 200;
/// Lines of what cards claim.
const CLAIMS: usize = 50;
/// Models of each sort on the page, and more of them by name.
pub const MODELS: Wanted = Wanted { shown: 24, named: 200 };
/// Small pictures on the page.
const SHOWN: usize = 40;
/// Pictures of one class, while there is room for all classes.
const PER_CLASS: usize = 6;
/// More classes than this have no strips of their own.
const MOST_STRIPS: usize = 12;
/// Classes with bars, and as many more that are folded up.
const BARS: usize = 30;
const FOLDED: usize = 150;

#[derive(Template)]
#[template(path = "dataset.html")]
struct DatasetPage {
    frame: Frame,
    head: Head,
    card_html: String,
    facts: Vec<Fact>,
    thumbnails: Vec<Thumb>,
    /// The same class by class, where there are few classes.
    strips: Vec<Strip>,
    excerpts: Vec<Excerpt>,
    /// What its items are called, and at the beginning of a sentence.
    items: &'static str,
    title_items: String,
    /// Whether the targets are numbers.
    numbers: bool,
    histogram: Option<Histogram>,
    problems: Vec<(String, Vec<String>)>,
    warnings: Vec<String>,
    csrf: String,
    /// What the visitor may ask for or do.
    may_write: bool,
    may_ask: bool,
    pretrained: Vec<RepoCard>,
    fine_tuned: Vec<RepoCard>,
    /// Further ones of each by name.
    more_pretrained: Vec<Named>,
    more_fine_tuned: Vec<Named>,
    /// Where all of them are listed, page by page, with those that come from it through their bases.
    all_models: Option<String>,
    snippets: Vec<Snippet>,
    measured: Vec<Row>,
    claimed: Vec<Row>,
    pulls: Option<Pulls>,
}

/// A model by its name.
pub struct Named {
    pub name: String,
    pub href: String,
}

impl Named {
    pub fn of(id: &RepoId) -> Named {
        Named { name: id.to_string(), href: href(RepoKind::Model, id) }
    }
}

/// A line of the leaderboard.
struct Row {
    href: String,
    model: String,
    value: String,
    author: String,
    about: String,
}

struct Thumb {
    class: String,
    src: String,
}

/// How a text begins, or both of a pair.
struct Excerpt {
    class: String,
    lines: Vec<String>,
}

/// Pictures of one class.
struct Strip {
    class: String,
    thumbs: Vec<Thumb>,
}

/// How many items each class has, its splits over each other.
struct Histogram {
    /// Name, items, colour.
    splits: Vec<(String, usize, usize)>,
    /// The largest classes first.
    shown: Vec<Bars>,
    /// The others, folded up.
    folded: Vec<Bars>,
    /// Further classes that are only counted.
    more: usize,
}

struct Bars {
    class: String,
    /// Widths of 100, as they lie over each other, with their colour.
    widths: Vec<Bar>,
    counts: String,
}

struct Bar {
    width: String,
    y: usize,
    height: usize,
    colour: usize,
}

pub async fn show(visitor: &Visitor, service: &Service, summary: RepoSummary, revision: &Revision, query: &Query, address: &str) -> Html {
    let (actor, id) = (visitor.actor(), summary.repo.id.clone());
    let checked = !summary.facts.dataset_report.is_empty();
    let thumbnails = if checked { service.thumbnails(&actor, &id, revision, MOST_THUMBNAILS).await? } else { vec![] };
    let (pretrained, fine_tuned) = service.models_of(&actor, &id, MODELS).await?;
    let board = service.leaderboard(&actor, &id).await?;
    let report = DatasetReport::read(&summary.facts.dataset_report).unwrap_or_default();
    let role = service.role_on(&actor, RepoKind::Dataset, &id).await?;
    let head = Head::of(&summary, "card", query).with_versions(service, &actor, &summary).await?.managed(role, "card");
    let chosen = chosen(&thumbnails, report.values.is_some());
    let seen = chosen.iter().filter(|of| !of.is_text());
    let seen: Vec<_> = seen.map(|of| (of.path.clone(), Some((of.media_type.clone(), of.bytes.clone())))).collect();
    let pictures = if seen.is_empty() { Addresses::NONE } else { Addresses::of(service, &actor, (&id, revision), seen).await };
    render(&DatasetPage {
        frame: Frame::of(visitor, "datasets").at(&head.href).about(&summary.repo.summary),
        strips: strips(&chosen, &report, &pictures),
        thumbnails: chosen.iter().filter_map(|of| Thumb::of(of, &pictures)).collect(),
        excerpts: chosen.iter().filter(|of| of.is_text()).map(|of| Excerpt::of(of)).collect(),
        items: report.modality.items(),
        title_items: capitalised(report.modality.items()),
        numbers: report.values.is_some(),
        card_html: card_html(&summary).await?,
        facts: facts(&summary, &report),
        histogram: histogram(&report),
        problems: problems(&report),
        warnings: summary.facts.warnings.clone(),
        csrf: visitor.csrf().to_owned(),
        may_write: role >= Some(Role::Write),
        may_ask: visitor.0.is_some() && summary.head.is_some() && report.can_be_learned(),
        // The list has those, too, that have seen it through their bases.
        all_models: (!pretrained.models.is_empty() || !fine_tuned.models.is_empty())
            .then(|| format!("/models?source_dataset={}", urlencode(&id.to_string()))),
        more_pretrained: pretrained.others.iter().map(Named::of).collect(),
        more_fine_tuned: fine_tuned.others.iter().map(Named::of).collect(),
        pretrained: pretrained.models.into_iter().map(RepoCard::from).collect(),
        fine_tuned: fine_tuned.models.into_iter().map(RepoCard::from).collect(),
        snippets: if summary.head.is_some() { snippets(&summary, address) } else { vec![] },
        measured: board.measured.iter().map(|row| measured(row, &board)).collect(),
        claimed: board.claims.iter().take(CLAIMS).map(|claim| claimed(claim, &board)).collect(),
        pulls: match summary.is_newest {
            true => pulls(&service.downloads_of(&actor, RepoKind::Dataset, &id).await?, service.now()),
            false => None,
        },
        head,
    })
}

fn measured(row: &Signed, board: &Leaderboard) -> Row {
    let (said, findings) = (&row.measurement, &row.measurement.findings);
    let examples = said.support.as_ref().map(|support| format!("; by examples of {support}, without training")).unwrap_or_default();
    let named = said.names.as_ref().map(|text| format!("; by the names of the classes in “{text}”, without training"));
    let examples = named.unwrap_or(examples);
    Row {
        href: format!("/{}?rev={}", row.other, said.model_version),
        model: format!("{}@{}", row.other, said.model_version),
        value: findings.primary().map(|value| findings.task.primary().show(value, 3)).unwrap_or_default(),
        author: by(&board.author(&row.other)),
        about: format!(
            "{}{examples}; version {} of the data, {}",
            findings.sentence(),
            said.dataset_version,
            human::minute(&said.measured_at)
        ),
    }
}

fn claimed(claim: &Claim, board: &Leaderboard) -> Row {
    let (model, metric) = (&claim.model.repo.id, &claim.metric);
    let value = Measure::of_card_shown(&metric.name, metric.value);
    let author = by(&board.author(model));
    Row { href: format!("/{model}"), model: model.to_string(), value, author, about: format!("{}, says its card", metric.name) }
}

/// `by ada`, `by acme, an organisation`
fn by(author: &Author) -> String {
    let kind = if author.kind == AccountKind::Organisation { ", an organisation" } else { "" };
    format!("by {}{kind}", author.name)
}

/// As many of each class as there is room for.
fn chosen(all: &[Thumbnail], numbers: bool) -> Vec<&Thumbnail> {
    let mut shown: HashMap<&str, usize> = all.iter().map(|one| (one.class.as_str(), 0)).collect();
    let each = if numbers { SHOWN } else { (SHOWN / shown.len().max(1)).clamp(1, PER_CLASS) };
    let mut chosen = Vec::new();
    for one in all {
        let count = shown.entry(&one.class).or_default();
        *count += 1;
        if *count <= each && chosen.len() < SHOWN {
            chosen.push(one);
        }
    }
    chosen
}

impl Thumb {
    fn of(one: &Thumbnail, pictures: &Addresses) -> Option<Thumb> {
        let src = pictures.at(&one.path).filter(|_| !one.is_text())?;
        Some(Thumb { class: one.class.clone(), src })
    }
}

impl Excerpt {
    fn of(one: &Thumbnail) -> Excerpt {
        Excerpt { class: one.class.clone(), lines: one.text().unwrap_or_default().lines().map(str::to_owned).collect() }
    }
}

fn facts(summary: &RepoSummary, report: &DatasetReport) -> Vec<Fact> {
    let facts = &summary.facts;
    let some = |number: u64| if number > 0 { format::count(number) } else { String::new() };
    let lines = [
        ("Samples", some(facts.samples)),
        ("Classes", some(facts.classes)),
        ("Targets", report.values.map_or(String::new(), |v| format!("{} to {}", significant(v.min), significant(v.max)))),
        ("Targets", heads(report)),
        ("Without a class", some(report.unlabelled as u64)),
        ("Objects", report.annotations.as_ref().map_or(String::new(), |facts| some(facts.objects as u64))),
        ("Objects an image", per_image(report)),
        ("Language", report.language()),
        ("Mean target", report.values.map_or(String::new(), |v| format!("{} ± {}", significant(v.mean), significant(v.deviation)))),
        ("Task", facts.task.clone()),
        ("Modality", facts.modality.clone()),
        ("Licence", facts.license.clone()),
        ("Downloads", format::count(summary.repo.downloads)),
    ];
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(label, value)| Fact { label, value, href: None }).collect()
}

/// How many objects images have: `2 to 31, usually 12`.
fn per_image(report: &DatasetReport) -> String {
    let spread = report.annotations.as_ref().and_then(|facts| facts.per_image);
    spread.map_or(String::new(), |spread| format!("{} to {}, usually {}", spread.min, spread.max, spread.median))
}

/// What several things that are to be said about each image are: `colour (2 classes, of 72 images), size (1.500 to 8.500, of 68 images)`.
fn heads(report: &DatasetReport) -> String {
    const SHOWN: usize = 12;
    let of = |head: &HeadFacts| {
        let what = match &head.values {
            Some(values) => format!("{} to {}", significant(values.min), significant(values.max)),
            None => human::plural(head.classes.len() as u64, "class"),
        };
        format!("{} ({what}, of {} {})", head.name, head.known, report.modality.items())
    };
    let more = if report.heads.len() > SHOWN { " ..." } else { "" };
    report.heads.iter().take(SHOWN).map(of).collect::<Vec<_>>().join(", ") + more
}

/// Of few classes, and where a class is what is to be said, each has its strip.
fn strips(chosen: &[&Thumbnail], report: &DatasetReport, pictures: &Addresses) -> Vec<Strip> {
    if report.values.is_some() || report.classes.is_empty() || report.classes.len() > MOST_STRIPS {
        return Vec::new();
    }
    let mut strips: Vec<Strip> = Vec::new();
    for one in chosen {
        let Some(thumb) = Thumb::of(one, pictures) else { continue };
        match strips.iter_mut().find(|strip| strip.class == one.class) {
            Some(strip) => strip.thumbs.push(thumb),
            None => strips.push(Strip { class: one.class.clone(), thumbs: vec![thumb] }),
        }
    }
    strips
}

/// The classes of all splits in one chart: each split a bar, one over the other, all to one scale.
fn histogram(report: &DatasetReport) -> Option<Histogram> {
    // Of the height of a row: the first split lies behind all others.
    const PLACES: [(usize, usize); 4] = [(0, 20), (4, 12), (7, 6), (9, 2)];
    let splits: Vec<&SplitCount> = report.splits.iter().take(PLACES.len()).filter(|split| !split.per_class.is_empty()).collect();
    let most = splits.iter().flat_map(|split| split.per_class.iter().copied()).max().filter(|most| *most > 0)?;
    let of = |class: usize| splits.iter().map(move |split| split.per_class.get(class).copied().unwrap_or(0));
    let mut order: Vec<usize> = (0..report.classes.len()).collect();
    order.sort_by_key(|class| std::cmp::Reverse(of(*class).sum::<usize>()));
    let bars = |class: &usize| Bars {
        class: report.classes[*class].clone(),
        widths: of(*class)
            .zip(PLACES)
            .enumerate()
            .map(|(at, (count, (y, height)))| {
                let width = format!("{:.2}", 100.0 * count as f64 / most as f64);
                Bar { width, y, height, colour: at + 1 }
            })
            .collect(),
        counts: of(*class).map(|count| format::count(count as u64)).collect::<Vec<_>>().join(" · "),
    };
    Some(Histogram {
        splits: splits.iter().enumerate().map(|(at, split)| (split.name.clone(), split.samples, at + 1)).collect(),
        shown: order.iter().take(BARS).map(bars).collect(),
        folded: order.iter().skip(BARS).take(FOLDED).map(bars).collect(),
        more: order.len().saturating_sub(BARS + FOLDED),
    })
}

/// Asks which backbones suit the data set, as a job.
pub async fn recommend(visitor: Visitor, service: Data<Service>, at: RepoAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let dataset = (at.id.clone(), Revision::main());
    let job = service.create_recommendation(&visitor.actor(), dataset, NewRecommendation::default()).await?;
    Ok(see_other(&format!("/jobs/{}", job.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_classes_are_folded_up_and_splits_lie_over_each_other() {
        let count = |name: &str, of: fn(usize) -> usize| SplitCount {
            name: name.into(),
            samples: (0..300).map(of).sum(),
            per_class: (0..300).map(of).collect(),
        };
        let report = DatasetReport {
            classes: (0..300).map(|n| format!("class {n}")).collect(),
            splits: vec![count("train", |n| n + 1), count("val", |_| 3)],
            ..DatasetReport::default()
        };
        let found = histogram(&report).unwrap();
        assert_eq!((found.shown.len(), found.folded.len(), found.more), (BARS, FOLDED, 300 - BARS - FOLDED));
        assert_eq!((found.shown[0].class.as_str(), found.shown[0].counts.as_str()), ("class 299", "300 · 3"));
        assert_eq!((found.shown[0].widths[0].width.as_str(), found.shown[0].widths[1].width.as_str()), ("100.00", "1.00"));
        assert!(histogram(&DatasetReport::default()).is_none());
    }
}
