//! Two versions of a repo side by side: files that came, went and changed, the card and the configuration line by line, numbers of the card before and
//! after.

use std::collections::BTreeMap;

use askama::Template;

use super::card::href;
use super::format;
use super::frame::{Frame, page};
use super::repo_head::Head;
use super::repo_tabs::encode_path;
use crate::domain::line_diff::{Line, Sign, diff};
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;
use crate::domain::repo::{FileEntry, RepoSummary};
use crate::domain::revision::Revision;
use crate::domain::task::Measure;
use crate::domain::user::Actor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Query;
use crate::service::Service;

/// Files that are compared, and those that are listed.
const COMPARED: usize = 5_000;
const LISTED: usize = 200;
/// Bytes of a text that is compared, and lines that are shown of a difference.
const TEXT_BYTES: u64 = 64 << 10;
const LINES: usize = 400;
/// Texts that are compared line by line.
const TEXTS: [&str; 2] = ["README.md", "config.json"];

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    frame: Frame,
    head: Head,
    from: u32,
    to: u32,
    files: Vec<FileLine>,
    more_files: usize,
    numbers: Vec<NumberLine>,
    texts: Vec<TextChange>,
    form: String,
}

struct FileLine {
    what: &'static str,
    path: String,
    href: Option<String>,
    before: String,
    after: String,
}

struct NumberLine {
    label: String,
    before: String,
    after: String,
}

struct TextChange {
    path: &'static str,
    lines: Vec<DiffLine>,
    more: usize,
}

struct DiffLine {
    class: &'static str,
    sign: &'static str,
    text: String,
}

/// `from`: the version before; else the one this was made upon.
pub async fn show(
    service: &Service,
    actor: &Actor,
    (summary, revision): (&RepoSummary, &Revision),
    query: &Query,
    frame: Frame,
    head: Head,
) -> Answer {
    let (kind, id) = (summary.repo.kind, &summary.repo.id);
    let nothing =
        |message: &str| HttpError::new(actix_web::http::StatusCode::NOT_FOUND, "nothing_to_compare", message, "choose two of its versions");
    let Some(to) = &summary.head else { return Err(nothing("nothing is published yet")) };
    let wrong = |e| HttpError::bad_request("bad_query", format!("from: {e}"), "give a version, such as from=1");
    let asked = query.find("from").map(Revision::parse).transpose().map_err(wrong)?;
    let Some(before) = asked.or_else(|| to.parent.map(Revision::Number)) else { return Err(nothing("this is the first version")) };
    let old = service.get_repo_at(actor, kind, id, &before).await?;
    let Some(from) = &old.head else { return Err(nothing("nothing is published yet")) };
    let (_, files_before) = service.list_files_from(actor, (kind, id), &before, String::new(), COMPARED).await?;
    let (_, files_after) = service.list_files_from(actor, (kind, id), revision, String::new(), COMPARED).await?;
    let mut texts = Vec::new();
    for path in TEXTS {
        let [a, b] =
            [(&files_before, &before), (&files_after, revision)].map(|(files, at)| (files.iter().find(|file| file.path == path), at));
        if a.0.map(|file| file.digest) == b.0.map(|file| file.digest) {
            continue;
        }
        let (a, b) = (text(service, actor, (kind, id), a).await?, text(service, actor, (kind, id), b).await?);
        texts.extend(TextChange::of(path, diff(&a, &b)));
    }
    let mut files = changed(&files_before, &files_after, &format!("{}/view/{}", href(kind, id), to.number));
    let more_files = files.len().saturating_sub(LISTED);
    files.truncate(LISTED);
    page(&ChangesPage {
        from: from.number,
        to: to.number,
        more_files,
        files,
        numbers: numbers(&old, summary),
        texts,
        form: format!("{}/changes", href(kind, id)),
        frame,
        head,
    })
}

/// A text of a version; empty where it has none or it is no text.
async fn text(
    service: &Service,
    actor: &Actor,
    repo: (RepoKind, &crate::domain::name::RepoId),
    (file, revision): (Option<&FileEntry>, &Revision),
) -> Result<String, HttpError> {
    let Some(path) = file.and_then(|file| RepoPath::parse(&file.path).ok()) else { return Ok(String::new()) };
    let (_, bytes) = service.peek(actor, repo, revision, &path, TEXT_BYTES).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let laid_out = || serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&text).ok()?).ok();
    Ok(if path.extension() == "json" { laid_out().unwrap_or(text) } else { text })
}

impl TextChange {
    fn of(path: &'static str, lines: Vec<Line>) -> Option<TextChange> {
        let more = lines.len().saturating_sub(LINES);
        let line = |line: Line| {
            let (class, sign) = match line.sign {
                Sign::Gone => ("minus", "−"),
                Sign::Come => ("plus", "+"),
                Sign::Stayed => ("", ""),
                Sign::Gap => ("gap", "⋯"),
            };
            DiffLine { class, sign, text: line.text }
        };
        (!lines.is_empty()).then(|| TextChange { path, lines: lines.into_iter().take(LINES).map(line).collect(), more })
    }
}

fn changed(before: &[FileEntry], after: &[FileEntry], view: &str) -> Vec<FileLine> {
    let mut all: BTreeMap<&str, (Option<&FileEntry>, Option<&FileEntry>)> = BTreeMap::new();
    before.iter().for_each(|file| all.entry(&file.path).or_default().0 = Some(file));
    after.iter().for_each(|file| all.entry(&file.path).or_default().1 = Some(file));
    let line = |(path, (old, new)): (&str, (Option<&FileEntry>, Option<&FileEntry>))| {
        let what = match (old, new) {
            (None, _) => "came",
            (_, None) => "went",
            (Some(old), Some(new)) if old.digest != new.digest => "changed",
            _ => return None,
        };
        let size = |file: Option<&FileEntry>| file.map_or(String::new(), |file| format::bytes(file.size_bytes));
        let href = new.map(|_| format!("{view}/{}", encode_path(path)));
        Some(FileLine { what, path: path.to_owned(), href, before: size(old), after: size(new) })
    };
    all.into_iter().filter_map(line).collect()
}

/// What changed of the facts that are numbers.
fn numbers(old: &RepoSummary, new: &RepoSummary) -> Vec<NumberLine> {
    let (a, b) = (&old.facts, &new.facts);
    let some = |number: u64| if number > 0 { format::count(number) } else { String::new() };
    let facts = [
        ("Parameters", some(a.parameters), some(b.parameters)),
        ("Classes", some(a.num_classes.max(a.classes)), some(b.num_classes.max(b.classes))),
        ("Samples", some(a.samples), some(b.samples)),
        ("Architecture", a.architecture.clone(), b.architecture.clone()),
        ("Licence", a.license.clone(), b.license.clone()),
        ("Trained on", a.source_datasets.join(", "), b.source_datasets.join(", ")),
        ("Base model", a.base_models.join(", "), b.base_models.join(", ")),
    ];
    let mut lines: Vec<NumberLine> =
        facts.into_iter().map(|(label, before, after)| NumberLine { label: label.to_owned(), before, after }).collect();
    let mut measures: Vec<(&str, &str)> = a.metrics.iter().chain(&b.metrics).map(|m| (m.name.as_str(), m.dataset.as_str())).collect();
    measures.sort_unstable();
    measures.dedup();
    for (name, dataset) in measures {
        let of = |metrics: &[crate::domain::repo::Metric]| {
            let found = metrics.iter().find(|metric| metric.name == name && metric.dataset == dataset);
            found.map_or(String::new(), |metric| Measure::of_card_shown(name, metric.value))
        };
        let label = if dataset.is_empty() { name.to_owned() } else { format!("{name} on {dataset}") };
        lines.push(NumberLine { label, before: of(&a.metrics), after: of(&b.metrics) });
    }
    lines.retain(|line| line.before != line.after);
    lines
}
