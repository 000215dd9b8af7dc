//! A data set's page: what is in it, class by class, and which models were trained on it.

use std::collections::HashMap;

use askama::Template;

use super::card::{RepoCard, href};
use super::format;
use super::frame::{Frame, page};
use super::repo_head::{Fact, Head, card_html, urlencode};
use super::snippets::{Snippet, snippets};
use crate::domain::annotation_facts::Fault;
use crate::domain::dataset_report::{DatasetReport, HeadFacts, SplitCount};
use crate::domain::human;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::task::{Measure, capitalised, significant};
use crate::domain::user::AccountKind;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;
use crate::service::repos::leaderboard::{Author, Claim, Leaderboard, Signed};
use crate::service::repos::relations::{Thumbnail, Wanted};

/// Previews looked through for the page.
pub const MOST_THUMBNAILS: usize = 200;
/// Lines of what cards claim.
const CLAIMS: usize = 50;
/// Models of each sort on the page, and more of them by name.
pub const MODELS: Wanted = Wanted { shown: 24, named: 200 };
/// Small pictures on the page.
const SHOWN: usize = 40;
/// Pictures of one class, while there is room for all classes.
const PER_CLASS: usize = 3;

#[derive(Template)]
#[template(path = "dataset.html")]
struct DatasetPage {
    frame: Frame,
    head: Head,
    card_html: String,
    facts: Vec<Fact>,
    thumbnails: Vec<Thumb>,
    excerpts: Vec<Excerpt>,
    /// What its items are called, and at the beginning of a sentence.
    items: &'static str,
    title_items: String,
    /// Whether the targets are numbers.
    numbers: bool,
    splits: Vec<SplitView>,
    problems: Vec<String>,
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

struct SplitView {
    name: String,
    images: usize,
    most: usize,
    classes: Vec<(String, usize)>,
}

pub async fn show(visitor: &Visitor, service: &Service, summary: RepoSummary, revision: &Revision, query: &Query, address: &str) -> Answer {
    let (actor, id) = (visitor.actor(), summary.repo.id.clone());
    let checked = !summary.facts.dataset_report.is_empty();
    let thumbnails = if checked { service.thumbnails(&actor, &id, revision, MOST_THUMBNAILS).await? } else { vec![] };
    let (pretrained, fine_tuned) = service.models_of(&actor, &id, MODELS).await?;
    let board = service.leaderboard(&actor, &id).await?;
    let report = DatasetReport::read(&summary.facts.dataset_report).unwrap_or_default();
    let head = Head::of(&summary, "card", query);
    let chosen = chosen(&thumbnails, report.values.is_some());
    page(&DatasetPage {
        frame: Frame::of(visitor, "datasets"),
        thumbnails: chosen.iter().filter(|(_, of)| !of.is_text()).map(|(at, of)| Thumb::of(*at, of, &head)).collect(),
        excerpts: chosen.iter().filter(|(_, of)| of.is_text()).map(|(_, of)| Excerpt::of(of)).collect(),
        items: report.modality.items(),
        title_items: capitalised(report.modality.items()),
        numbers: report.values.is_some(),
        card_html: card_html(&summary).await?,
        facts: facts(&summary, &report),
        splits: splits(&report),
        problems: problems(&report),
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

/// As many of each class as there is room for, with their places among all previews, by which pictures are asked for.
fn chosen(all: &[Thumbnail], numbers: bool) -> Vec<(usize, &Thumbnail)> {
    let mut shown: HashMap<&str, usize> = all.iter().map(|one| (one.class.as_str(), 0)).collect();
    let each = if numbers { SHOWN } else { (SHOWN / shown.len().max(1)).clamp(1, PER_CLASS) };
    let mut chosen = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let count = shown.entry(&one.class).or_default();
        *count += 1;
        if *count <= each && chosen.len() < SHOWN {
            chosen.push((at, one));
        }
    }
    chosen
}

impl Thumb {
    fn of(at: usize, one: &Thumbnail, head: &Head) -> Thumb {
        // Browsers keep a picture by its address, which names the version: the next one has others in its place.
        let rev = head.version.as_ref().map_or(head.rev_query.clone(), |version| format!("?rev={}", version.number));
        Thumb { class: one.class.clone(), src: format!("{}/thumbnails/{at}{rev}", head.href) }
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
            None => format!("{} classes", head.classes.len()),
        };
        format!("{} ({what}, of {} {})", head.name, head.known, report.modality.items())
    };
    let more = if report.heads.len() > SHOWN { " ..." } else { "" };
    report.heads.iter().take(SHOWN).map(of).collect::<Vec<_>>().join(", ") + more
}

fn splits(report: &DatasetReport) -> Vec<SplitView> {
    let view = |split: &SplitCount| SplitView {
        name: split.name.clone(),
        images: split.samples,
        most: split.per_class.iter().copied().max().unwrap_or(0).max(1),
        classes: report.classes.iter().cloned().zip(split.per_class.iter().copied()).take(200).collect(),
    };
    report.splits.iter().map(view).collect()
}

/// The images behind the warnings, which the head of the page has.
fn problems(report: &DatasetReport) -> Vec<String> {
    let unreadable = report.unreadable.iter().take(20).map(|p| format!("{} cannot be read: {}", p.path, p.reason));
    let item = report.modality.item();
    let same = |(a, b): &(String, String)| format!("{a} and {b} are the same {item} in two splits");
    let duplicates = report.duplicates_across_splits.iter().take(20).map(same);
    let near = report.copies.pairs.iter().take(20).map(|(a, b)| format!("{b} looks the same as {a}"));
    let faults = report.annotations.iter().flat_map(|facts| &facts.faults).take(20);
    let fault = |fault: &Fault| match fault.detail.as_str() {
        "" => format!("{}: {}", fault.path, fault.problem),
        detail => format!("{}: {} ({detail})", fault.path, fault.problem),
    };
    unreadable.chain(faults.map(fault)).chain(duplicates).chain(near).collect()
}
