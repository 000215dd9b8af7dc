//! The check of a data set when it is published: every image or text is read and decoded once, and what was found is
//! kept beside the version. A data set may also be only a card, or hold files this check does not know.

use std::path::PathBuf;

use futures_util::TryStreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::super::{Error, Result, Service};
use super::read_facts::Kept;
use crate::checks::{self, Kind, Refused};
use crate::data;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::path::RepoPath;
use crate::domain::repo::Facts;

/// Checks running at a time in this process; each uses all cores for its images.
static CHECKS: Semaphore = Semaphore::const_new(2);

/// What a check found, ready to be stored.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub classes: u64,
    pub samples: u64,
    /// Hugging Face's name of what its targets are for, and what its items are; empty where nothing was found.
    pub task: String,
    pub modality: String,
    pub labels: Vec<String>,
    /// The report without its pictures, as JSON.
    pub report: String,
    /// What is kept of its items.
    pub kept: Kept,
    pub warnings: Vec<String>,
}

impl Found {
    /// The same files were checked for an earlier version.
    pub(super) fn of_earlier(facts: Facts, kept: Kept) -> Found {
        let report = DatasetReport::read(&facts.dataset_report);
        let told = report.as_ref().filter(|report| report.samples > 0);
        let task = told.map(|report| report.task.pipeline_tag(report.modality)).unwrap_or_default();
        let modality = told.map(|report| report.modality.to_string()).unwrap_or_default();
        let warnings = report.map(|report| report.warnings).unwrap_or_default();
        let Facts { classes, samples, labels, dataset_report: report, .. } = facts;
        Found { classes, samples, task, modality, labels, report, kept, warnings }
    }

    fn of_report(mut report: DatasetReport) -> Found {
        let (previews, prints) = (std::mem::take(&mut report.previews), std::mem::take(&mut report.prints));
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        let warnings = report.warnings.clone();
        Found {
            classes: report.classes.len() as u64,
            samples: report.samples as u64,
            task: report.task.pipeline_tag(report.modality),
            modality: report.modality.to_string(),
            labels: report.classes.clone(),
            report: json(serde_json::to_string(&report)),
            kept: Kept { previews: json(serde_json::to_string(&previews)), prints },
            warnings,
        }
    }
}

/// Files that stand beside the data and say nothing about the samples.
pub(super) fn is_paper(path: &RepoPath) -> bool {
    matches!(path.as_str(), "README.md" | "LICENSE" | "LICENSE.txt" | "LICENSE.md" | ".gitattributes" | ".gitignore" | "CITATION.cff")
}

/// Of a data set whose files are none that the check knows.
const UNKNOWN: &str = "no images or archives were found in it, so its files were not checked";

/// Of a data set whose card says so.
const KEPT: &str = "its card says `layout: none`: the files are kept as they are, were not checked, and cannot be trained on";

fn unchecked(why: &str) -> Found {
    Found { warnings: vec![why.into()], ..Found::default() }
}

/// What the names of a data set's files promise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    /// Nothing that the check knows.
    Nothing,
    /// Writing, which may be texts with something to be said about them, or anything else that is written.
    Writing,
    /// Files that may be items or anything else: without an ending, or with that of a format we do not read.
    Perhaps,
    /// Items or archives of formats that we read.
    Items,
}

fn promise(manifest: &Manifest) -> Promise {
    let data = manifest.entries().iter().filter(|entry| !is_paper(&entry.path)).map(|entry| entry.path.as_str());
    let of = |path: &str| match () {
        () if data::is_archive(path) || data::is_table(path) || data::modalities::is_media(path) => Promise::Items,
        () if data::modalities::may_be_media(path) => Promise::Perhaps,
        // Texts lie in folders of their classes; a note at the top is one like others.
        () if data::may_hold_texts(path) || path.contains('/') && data::modalities::is_item(path) => Promise::Writing,
        () => Promise::Nothing,
    };
    let all: Vec<Promise> = data.map(of).collect();
    let items = all.iter().filter(|promise| **promise == Promise::Items).count();
    let packed = |path: &str| data::is_archive(path) || data::is_table(path);
    let archives = manifest.entries().iter().any(|entry| packed(entry.path.as_str()));
    match all.into_iter().max().unwrap_or(Promise::Nothing) {
        // A few pictures beside many other files are no promise that all of it is a set of them.
        Promise::Items if !archives && 4 * items < manifest.entries().len() => Promise::Perhaps,
        promise => promise,
    }
}

impl Service {
    /// What is found in a data set. Of files that nobody chose to publish here (a mirrored repo) nothing is asked: what they mean
    /// may stay unclear.
    pub(super) async fn check_dataset(&self, manifest: &Manifest, may_ask: bool) -> Result<Found> {
        let promise = promise(manifest);
        if promise == Promise::Nothing {
            let only_papers = manifest.entries().iter().all(|entry| is_paper(&entry.path));
            return Ok(if only_papers { Found::default() } else { unchecked(UNKNOWN) });
        }
        let _turn = CHECKS.acquire().await.map_err(|_| Error::Internal("the checks were closed".into()))?;
        let (files, copies) = self.local_files(manifest.entries()).await?;
        let (checks, limits) = (self.checks.clone(), self.policy().data_limits);
        let checked = tokio::task::spawn_blocking(move || {
            let result = checks.dataset(files, &limits);
            drop(copies);
            result
        });
        let checked = checked.await.map_err(|stopped| Error::Internal(format!("the check of a data set was stopped: {stopped}")))?;
        let problem = match checked {
            Ok(Ok(report)) => return Ok(Found::of_report(report)),
            Ok(Err(problem)) => problem,
            // Whether the files or our reader are at fault, nothing is known of them.
            Err(ended @ checks::Error::Ended(_)) => {
                return Ok(unchecked(&format!("the check of its files {ended}; they are kept as they are, and cannot be trained on")));
            }
            Err(other) => return Err(not_checked(other)),
        };
        match problem.kind {
            Kind::NoItems => {
                let problem = problem.message;
                Ok(unchecked(&format!("{problem}: they are kept as they are, and nothing can be fine-tuned on them here")))
            }
            Kind::Closed => Ok(unchecked(&format!("{}, so the files were not checked", problem.message))),
            Kind::KeptAsIs => Ok(unchecked(KEPT)),
            Kind::Meaning | Kind::Other if promise == Promise::Writing => {
                Ok(unchecked(&format!("{}, so the files were not checked: {}", problem.message, problem.hint)))
            }
            Kind::Meaning if !may_ask => {
                Ok(unchecked(&format!("its images were not checked and cannot be trained on: {}", problem.message)))
            }
            // Nobody said that these are images: then they are other data, which is kept as it is.
            kind if promise == Promise::Perhaps && kind != Kind::Io => Ok(unchecked(UNKNOWN)),
            _ => Err(refused(problem)),
        }
    }

    /// Each of these files of a version as a file of this machine; of stores elsewhere, a copy that goes with the directory.
    pub(super) async fn local_files(&self, entries: &[ManifestEntry]) -> Result<(Vec<(String, PathBuf)>, Option<tempfile::TempDir>)> {
        let failed = |e: std::io::Error| Error::of_file("a data set could not be copied for its check", &e);
        let mut copies = None;
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let local = match self.blobs.proved_path(&entry.digest).await? {
                Some(local) => local,
                None => {
                    if copies.is_none() {
                        copies = Some(tempfile::tempdir().map_err(failed)?);
                    }
                    let dir = copies.as_ref().map(|dir| dir.path().to_owned()).unwrap_or_default();
                    let copy = dir.join(entry.digest.to_hex());
                    let reader = self.blobs.open(&entry.digest).await?;
                    let mut file = tokio::fs::File::create(&copy).await.map_err(failed)?;
                    let mut bytes = reader.stream(0..reader.size());
                    while let Some(block) = bytes.try_next().await? {
                        file.write_all(&block).await.map_err(failed)?;
                    }
                    file.flush().await.map_err(failed)?;
                    copy
                }
            };
            files.push((entry.path.as_str().to_owned(), local));
        }
        Ok((files, copies))
    }
}

fn refused(problem: Refused) -> Error {
    match problem.kind {
        Kind::Io => Error::of_file(&problem.message, &problem.source()),
        Kind::TooLarge => Error::too_large(problem.code(), problem.message, problem.hint),
        _ => Error::invalid(problem.code(), problem.message, problem.hint),
    }
}

/// A check that could not be made at all.
pub(super) fn not_checked(error: checks::Error) -> Error {
    match error {
        checks::Error::Unread(source) => match source.downcast::<crate::blob::Error>() {
            Ok(store) => store.into(),
            Err(source) => Error::of_file("a file could not be read for its check", &source),
        },
        checks::Error::NotStarted(source) => {
            tracing::error!(%source, "a process for a check cannot be started");
            Error::busy("busy", "the server cannot start a check of these files", "try again in a moment")
        }
        ended @ checks::Error::Ended(_) => Error::Internal(format!("a check {ended}")),
    }
}
