//! The items behind a cell of a confusion matrix: what a class's items were taken for, each with its picture where one is at hand.

use std::collections::HashMap;

use actix_web::web::Data;
use askama::Template;
use futures_util::TryStreamExt as _;

use super::card::{href, title};
use super::frame::{Frame, page, see_other};
use super::item_picture::Addresses;
use super::repo_head::urlencode;
use super::report::{self, MistakeLine};
use super::{format, report::Report};
use crate::domain::findings::PREDICTIONS;
use crate::domain::job::Job;
use crate::domain::name::RepoKind;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{JobAt, Query};
use crate::service::Service;

/// A larger table is not read into a page.
const MAX_BYTES: u64 = 64 << 20;
/// Items on the page.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "job_items.html")]
struct ItemsPage {
    frame: Frame,
    job: String,
    name: String,
    truth: String,
    answer: String,
    items: Vec<ItemLine>,
    total: usize,
    /// The data set it was measured on, and its address.
    dataset: Option<(String, String)>,
    /// The other classes these items were taken for: each with how many, and its address.
    others: Vec<(String, usize, String)>,
}

pub struct ItemLine {
    pub path: String,
    pub split: String,
    pub confidence: String,
    pub picture: Option<String>,
}

/// A line of what was said about each item.
struct Said {
    path: String,
    split: String,
    truth: String,
    answer: String,
    confidence: Option<f64>,
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: JobAt, query: Query) -> Answer {
    if visitor.0.is_none() {
        return Ok(see_other(&format!("/login?next=/jobs/{}", at.0)));
    }
    let actor = visitor.actor();
    let job = service.get_job(&actor, &at.0).await?;
    let (truth, answer) = (query.text("truth"), query.text("answer"));
    let all = said(&service, &actor, &at).await?;
    let of_class: Vec<&Said> = all.iter().filter(|one| one.truth == truth).collect();
    let mut others = HashMap::<&str, usize>::new();
    for one in &of_class {
        *others.entry(&one.answer).or_default() += 1;
    }
    let mut others: Vec<(String, usize, String)> =
        others.into_iter().map(|(class, count)| (class.to_owned(), count, cell_href(&job.id.to_string(), &truth, class))).collect();
    others.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut wanted: Vec<&Said> = of_class.into_iter().filter(|one| one.answer == answer).collect();
    wanted.sort_by(|a, b| b.confidence.unwrap_or(0.0).total_cmp(&a.confidence.unwrap_or(0.0)));
    let total = wanted.len();
    wanted.truncate(MOST);
    let pictures = Pictures::of(&service, &actor, &job, &wanted).await;
    let items = wanted.into_iter().map(|one| ItemLine {
        picture: pictures.at(&one.path),
        path: one.path.clone(),
        split: one.split.clone(),
        confidence: one.confidence.map(format::percent).unwrap_or_default(),
    });
    let input = job.work.inputs().into_iter().find(|input| input.kind == RepoKind::Dataset);
    page(&ItemsPage {
        frame: Frame::of(&visitor, "jobs"),
        job: job.id.to_string(),
        name: job.work.publishes().map_or_else(|| job.work.title(), title),
        dataset: input.map(|input| (title(&input.id), format!("{}?rev={}", href(RepoKind::Dataset, &input.id), input.version))),
        truth,
        answer,
        items: items.collect(),
        total,
        others,
    })
}

/// The page of a cell.
pub fn cell_href(job: &str, truth: &str, answer: &str) -> String {
    format!("/jobs/{job}/items?truth={}&answer={}", urlencode(truth), urlencode(answer))
}

async fn said(service: &Service, actor: &Actor, at: &JobAt) -> Result<Vec<Said>, HttpError> {
    let (file, reader) = service.open_job_file(actor, &at.0, PREDICTIONS).await?;
    if file.size_bytes > MAX_BYTES {
        let hint = "fetch the table with `hub jobs get` instead";
        return Err(HttpError::bad_request("too_large", "the table of this job is too long for a page", hint));
    }
    let parts: Vec<_> = reader.stream(0..file.size_bytes).try_collect().await.map_err(crate::service::Error::from)?;
    read(&parts.concat()).ok_or_else(|| HttpError::internal(format!("a job left a {PREDICTIONS} that cannot be read")))
}

fn read(text: &[u8]) -> Option<Vec<Said>> {
    let mut reader = csv::Reader::from_reader(text);
    let head = reader.headers().ok()?.clone();
    let at = |name: &str| head.iter().position(|column| column == name);
    let (path, split, truth, answer, confidence) = (at("path")?, at("split")?, at("truth")?, at("answer")?, at("confidence"));
    let line = |record: csv::StringRecord| {
        let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
        let confidence = confidence.and_then(|at| record.get(at)?.parse().ok());
        Said { path: cell(path), split: cell(split), truth: cell(truth), answer: cell(answer), confidence }
    };
    reader.records().map(|record| record.ok().map(line)).collect()
}

/// Where pictures of items are: in the job's own report, and at the data set's items.
struct Pictures {
    of_report: HashMap<String, String>,
    of_items: Addresses,
}

impl Pictures {
    async fn of(service: &Service, actor: &Actor, job: &Job, items: &[&Said]) -> Pictures {
        let Report { mistakes, .. } = report::find(service, actor, &job.id, "", "").await.unwrap_or_default();
        let of_report: HashMap<String, String> =
            mistakes.into_iter().filter_map(|MistakeLine { path, picture, .. }| Some((path, picture?))).collect();
        let of_items = match job.work.inputs().into_iter().find(|input| input.kind == RepoKind::Dataset) {
            Some(input) => {
                let others = items.iter().filter(|one| !of_report.contains_key(&one.path)).map(|one| (one.path.clone(), None)).collect();
                Addresses::of(service, actor, (&input.id, &Revision::Number(input.version)), others).await
            }
            None => Addresses::NONE,
        };
        Pictures { of_report, of_items }
    }

    fn at(&self, path: &str) -> Option<String> {
        self.of_report.get(path).cloned().or_else(|| self.of_items.at(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_read_with_the_columns_in_any_order() {
        let all =
            read(b"path,split,truth,answer,confidence,score,loss\na.png,val,cat,dog,0.9,0,2\n\"b,c.png\",val,cat,cat,,1,0\n").unwrap();
        assert_eq!((all.len(), all[1].path.as_str(), all[0].confidence, all[1].confidence), (2, "b,c.png", Some(0.9), None));
        assert!(read(b"path\nx\n").is_none());
        assert_eq!(cell_href("j", "a&b", "c d"), "/jobs/j/items?truth=a%26b&answer=c+d");
    }
}
