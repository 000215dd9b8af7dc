//! A data set's health: what the doctor found, class by class, bar by bar, and the labels it suspects.

use askama::Template;

use super::frame::{Frame, page};
use super::item_picture::{Addresses, of_data};
use super::repo_head::Head;
use crate::domain::dataset_health::{Balance, Histogram};
use crate::domain::examination::{Examination, Outlier, Suspect};
use crate::domain::name::RepoId;
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::task::significant;
use crate::domain::user::Actor;
use crate::http::error::Answer;
use crate::service::{Error, Service};

/// Classes, pairs and suspects on the page; the API has more.
const CLASSES: usize = 40;
const PAIRS: usize = 20;
const SUSPECTS: usize = 60;

#[derive(Template)]
#[template(path = "doctor.html")]
struct DoctorPage {
    frame: Frame,
    head: Head,
    findings: Vec<String>,
    balance: Option<Balance>,
    most: usize,
    classes: Vec<(String, usize)>,
    pairs: Vec<(String, String)>,
    odd: Vec<(String, String)>,
    histograms: Vec<HistogramView>,
    examined: Option<Examined>,
}

struct HistogramView {
    name: String,
    low: String,
    high: String,
    most: u64,
    bars: Vec<(String, u64)>,
}

struct Examined {
    base: String,
    items: usize,
    wrong: usize,
    suspects: Vec<Suspect>,
    outliers: Vec<Outlier>,
}

pub async fn show(service: &Service, actor: &Actor, summary: &RepoSummary, revision: &Revision, frame: Frame, head: Head) -> Answer {
    let found = match service.checkup(actor, &summary.repo.id, revision).await {
        Err(Error::Invalid(problem)) => {
            let findings = vec![format!("{}: {}", problem.message, problem.hint)];
            return page(&DoctorPage { findings, ..DoctorPage::empty(frame, head) });
        }
        found => found?,
    };
    let findings = found.sentences();
    let examined = match found.examination.clone() {
        Some(examination) => Some(examined(service, actor, (&summary.repo.id, revision), examination).await),
        None => None,
    };
    let report = found.report;
    let near = report.copies.pairs.iter().chain(&report.duplicates_across_splits).chain(&report.duplicates_within_split);
    let elsewhere =
        found.elsewhere.iter().flat_map(|set| set.pairs.iter().map(|(own, other)| (own.clone(), format!("{}: {other}", set.dataset))));
    let train = report.splits.first().map(|split| split.per_class.clone()).unwrap_or_default();
    page(&DoctorPage {
        findings,
        most: train.iter().copied().max().unwrap_or(0).max(1),
        classes: report.classes.iter().cloned().zip(train).take(CLASSES).collect(),
        pairs: near.cloned().chain(elsewhere).take(PAIRS).collect(),
        odd: report.health.blank.first.iter().chain(&report.health.odd.first).take(PAIRS).cloned().collect(),
        histograms: report.health.histograms.iter().map(histogram).collect(),
        balance: report.health.balance,
        examined,
        ..DoctorPage::empty(frame, head)
    })
}

/// The first of what an examination found; a suspect's small picture stands at the address of its item.
async fn examined(service: &Service, actor: &Actor, dataset: (&RepoId, &Revision), found: Examination) -> Examined {
    let mut suspects: Vec<Suspect> = found.suspects.into_iter().take(SUSPECTS).collect();
    let seen = suspects.iter().filter(|suspect| !suspect.preview.is_empty());
    let seen: Vec<_> = seen.map(|suspect| (suspect.path.clone(), of_data(&suspect.preview))).collect();
    let pictures = if seen.is_empty() { Addresses::NONE } else { Addresses::of(service, actor, dataset, seen).await };
    for suspect in &mut suspects {
        suspect.preview = pictures.at(&suspect.path).filter(|_| !suspect.preview.is_empty()).unwrap_or_default();
    }
    Examined {
        base: found.base,
        items: found.items,
        wrong: found.wrong,
        suspects,
        outliers: found.outliers.into_iter().take(PAIRS).collect(),
    }
}

impl DoctorPage {
    fn empty(frame: Frame, head: Head) -> DoctorPage {
        DoctorPage {
            frame,
            head,
            findings: vec![],
            balance: None,
            most: 1,
            classes: vec![],
            pairs: vec![],
            odd: vec![],
            histograms: vec![],
            examined: None,
        }
    }
}

fn histogram(of: &Histogram) -> HistogramView {
    let edge = |at: usize| of.edges.get(at).copied().map(significant).unwrap_or_default();
    HistogramView {
        name: of.name.clone(),
        low: edge(0),
        high: edge(of.counts.len()),
        most: of.counts.iter().copied().max().unwrap_or(0).max(1),
        bars: of.counts.iter().enumerate().map(|(at, count)| (format!("{} to {}", edge(at), edge(at + 1)), *count)).collect(),
    }
}
