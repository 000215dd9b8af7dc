//! Labels and splits put right: a list of files with those they should have makes the next version of a data set. A file that lies in the
//! folder of its class goes to the folder of the other one, its bytes untouched; what is packed stays as it is, and a list beside it
//! (`corrections.csv`) says what it is from now on.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::stream;

use super::super::{Error, Result, Service};
use super::edit::{Edit, Operation};
use super::publish::Committed;
use crate::data::corrections::{self, CORRECTIONS, Correction, Corrections, MAX_CORRECTIONS_BYTES};
use crate::data::{Split, is_archive, is_table};
use crate::domain::dataset_report::DatasetReport;
use crate::domain::digest::Digest;
use crate::domain::manifest::Manifest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// What is asked for: a table with the columns `path` and `label`, `split` or both. Where it also has `given`, lines whose label is that one still ask
/// for nothing; with `accept`, such lines take what is `suggested` from that `score` on.
#[derive(Debug, Clone, PartialEq)]
pub struct Relabelling {
    pub table: String,
    pub accept: Option<f64>,
    pub message: String,
}

/// What was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Relabelled {
    pub committed: Committed,
    /// Files that went into the folder of another class.
    pub moved: usize,
    /// Lines of `corrections.csv` that are new or say something else.
    pub listed: usize,
}

/// The version these labels are put right in, as far as it matters.
struct Before<'a> {
    manifest: &'a Manifest,
    classes: BTreeSet<&'a str>,
    /// Whether a file's folder says its class: nothing is packed, and no table names the files.
    loose: bool,
}

impl Service {
    /// Makes a version with these labels upon the one that `main` names.
    pub async fn relabel(&self, actor: &Actor, id: &RepoId, asked: Relabelling) -> Result<Relabelled> {
        self.may_commit(actor, RepoKind::Dataset, id).await?;
        let wanted = wanted(&asked)?;
        let head = self.get_repo_at(actor, RepoKind::Dataset, id, &Revision::main()).await?;
        let (version, manifest) = self.manifest(actor, RepoKind::Dataset, id, &Revision::main()).await?;
        let Some(report) = DatasetReport::read(&head.facts.dataset_report).filter(|report| report.samples > 0) else {
            let message = format!("nothing was found in {id}@{} that has labels", version.number);
            return Err(Error::invalid("dataset_unusable", message, "publish images with their classes first"));
        };
        let before = Before::of(&manifest, &report);
        let mut listed = self.corrections_of(&manifest).await?;
        let (was, mut operations, mut moved) = (listed.clone(), Vec::new(), BTreeSet::new());
        for (path, Correction { label, split }) in wanted {
            let to = label.as_deref().map(|label| before.moved(&path, label, &moved)).transpose()?.flatten();
            let Some(to) = to else {
                let line = listed.entry(path).or_default();
                (line.label, line.split) = (label.or_else(|| line.label.take()), split.or(line.split));
                continue;
            };
            // What was said of it where it lay goes with it.
            let earlier = listed.remove(&path).and_then(|line| line.split);
            if let Some(split) = split.or(earlier) {
                listed.insert(to.to_string(), Correction { label: None, split: Some(split) });
            }
            operations.extend(before.move_file(&path, to.clone())?);
            moved.insert(to);
        }
        let changed = listed.iter().filter(|(path, line)| was.get(*path) != Some(*line)).count();
        if listed != was {
            operations.extend(self.keep_corrections(actor, &listed).await?);
        }
        if operations.is_empty() {
            let hint = "change the column `label`, or take suggestions with `accept`";
            return Err(Error::invalid("nothing_to_relabel", "the table changes no label", hint));
        }
        let count = moved.len() + changed;
        let message = if asked.message.trim().is_empty() { format!("{count} labels put right") } else { asked.message };
        let edit = Edit { message, parent: Some(version.commit.to_string()), operations, ..Edit::default() };
        let committed = self.edit_repo(actor, RepoKind::Dataset, id, edit).await?;
        Ok(Relabelled { committed, moved: moved.len(), listed: changed })
    }

    /// What an earlier relabelling left beside the data.
    async fn corrections_of(&self, manifest: &Manifest) -> Result<Corrections> {
        let Some(entry) = manifest.find(CORRECTIONS) else { return Ok(Corrections::new()) };
        let bytes = self.blobs.read_all(&entry.digest, MAX_CORRECTIONS_BYTES).await?;
        let text = String::from_utf8(bytes.to_vec()).map_err(|_| bad_table(format!("`{CORRECTIONS}` of the data set is not UTF-8")))?;
        corrections::read(&text).map_err(|e| bad_table(e.to_string()))
    }

    async fn keep_corrections(&self, actor: &Actor, labels: &Corrections) -> Result<Option<Operation>> {
        let path = RepoPath::parse(CORRECTIONS).map_err(|e| Error::Internal(e.to_string()))?;
        if labels.is_empty() {
            return Ok(Some(Operation::Delete(path)));
        }
        let bytes = Bytes::from(corrections::write(labels));
        let size_bytes = bytes.len() as u64;
        if size_bytes > MAX_CORRECTIONS_BYTES {
            let message = format!("`{CORRECTIONS}` would have {size_bytes} bytes, and {MAX_CORRECTIONS_BYTES} are read");
            return Err(Error::too_large("too_many_corrections", message, "pack the data set anew with its labels put right"));
        }
        let digest = Digest::of(&bytes);
        self.store_blob(actor, digest, size_bytes, stream::iter([Ok(bytes)])).await?;
        Ok(Some(Operation::Put { path, digest, size_bytes: Some(size_bytes) }))
    }
}

impl<'a> Before<'a> {
    fn of(manifest: &'a Manifest, report: &'a DatasetReport) -> Before<'a> {
        let names_files = |path: &str| {
            let file = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            matches!(file.as_str(), "metadata.csv" | "metadata.jsonl")
        };
        let loose = !manifest.entries().iter().map(|entry| entry.path.as_str()).any(|p| is_archive(p) || is_table(p) || names_files(p));
        // What the card says of splits may name single folders.
        let loose = loose && report.declared.is_empty();
        Before { manifest, classes: report.classes.iter().map(String::as_str).collect(), loose }
    }

    /// Where the file goes, if it lies in the folder of its class and in no other folder of that kind of name; `taken` are the
    /// places where others went.
    fn moved(&self, path: &str, label: &str, taken: &BTreeSet<RepoPath>) -> Result<Option<RepoPath>> {
        if !self.loose || self.manifest.find(path).is_none() {
            return Ok(None);
        }
        let mut parts: Vec<&str> = path.split('/').collect();
        let folders = parts.len() - 1;
        let of_classes: Vec<usize> = (0..folders).filter(|at| self.classes.contains(parts[*at])).collect();
        let [at] = of_classes.as_slice() else { return Ok(None) };
        parts[*at] = label;
        if label.contains('/') {
            return Err(bad_table(format!("`{label}` cannot be the folder of a class")));
        }
        let free = |path: &RepoPath| self.manifest.find(path.as_str()).is_none() && !taken.contains(path);
        let file = parts[folders].to_owned();
        let (stem, ending) =
            file.rsplit_once('.').map_or((file.clone(), String::new()), |(stem, end)| (stem.to_owned(), format!(".{end}")));
        // Another file may have this name there.
        for number in 1..=99 {
            let name = if number == 1 { file.clone() } else { format!("{stem}-{number}{ending}") };
            let whole = [&parts[..folders].join("/"), &name].map(String::as_str).join("/");
            let to = RepoPath::parse(&whole).map_err(|e| bad_table(format!("the label `{label}`: {e}")))?;
            if free(&to) {
                return Ok(Some(to));
            }
        }
        Err(bad_table(format!("a hundred files called like `{path}` lie in the folder `{label}`")))
    }

    fn move_file(&self, path: &str, to: RepoPath) -> Result<Vec<Operation>> {
        let from = RepoPath::parse(path).map_err(|e| bad_table(e.to_string()))?;
        let Some(entry) = self.manifest.find(path) else { return Ok(Vec::new()) };
        Ok(vec![Operation::Put { path: to, digest: entry.digest, size_bytes: None }, Operation::Delete(from)])
    }
}

/// The labels that the table asks for, by path.
fn wanted(asked: &Relabelling) -> Result<Corrections> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(asked.table.as_bytes());
    let unread = |e: csv::Error| bad_table(e.to_string());
    let header = reader.headers().map_err(unread)?.clone();
    let place = |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let (Some(path), label, split) = (place("path"), place("label"), place("split")) else {
        return Err(bad_table("it needs the columns `path` and `label`".into()));
    };
    if label.is_none() && split.is_none() {
        return Err(bad_table("it needs the columns `path` and `label`, or `path` and `split`".into()));
    }
    let (given, suggested, score) = (place("given"), place("suggested"), place("score"));
    let mut corrections = Corrections::new();
    for record in reader.records() {
        let record = record.map_err(unread)?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let said = |at: Option<usize>| at.map(field).filter(|text| !text.is_empty());
        let mut new = said(label);
        if given.is_some() && said(given) == new {
            let sure = said(score).and_then(|score| score.parse::<f64>().ok()).unwrap_or(0.0);
            new = said(suggested).filter(|_| asked.accept.is_some_and(|least| sure >= least));
        }
        let no_split = |word: &str| bad_table(format!("`{word}` is no split; write train, val or test"));
        let split = said(split).map(|word| Split::parse(word).ok_or_else(|| no_split(word))).transpose()?;
        if field(path).is_empty() {
            return Err(bad_table("a line does not say which file it is about".into()));
        }
        if new.is_some() || split.is_some() {
            corrections.insert(field(path).to_owned(), Correction { label: new.map(str::to_owned), split });
        }
    }
    Ok(corrections)
}

fn bad_table(problem: String) -> Error {
    Error::invalid("bad_table", problem, "send a table in CSV with the columns `path` and `label`, as suspects.csv has them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(table: &str, accept: Option<f64>) -> Vec<(String, String)> {
        wanted(&Relabelling { table: table.into(), accept, message: String::new() })
            .unwrap()
            .into_iter()
            .map(|(path, line)| (path, line.label.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn only_what_somebody_changed_or_accepts_is_asked_for() {
        let table = "path,label,given,suggested,score\na.png,cat,cat,dog,0.97\nb.png,bird,cat,dog,0.6\nc.png,cat,cat,dog,0.7\n";
        let pair = |path: &str, label: &str| (path.to_owned(), label.to_owned());
        assert_eq!(labels(table, None), [pair("b.png", "bird")]);
        assert_eq!(labels(table, Some(0.9)), [pair("a.png", "dog"), pair("b.png", "bird")]);
        assert_eq!(labels("label,path\ndog,x.png\n", Some(0.0)), [pair("x.png", "dog")]);
        let refused = wanted(&Relabelling { table: "path,label\n,x\n".into(), accept: None, message: String::new() });
        assert!(refused.is_err());
    }

    #[test]
    fn a_file_goes_to_the_folder_of_its_new_class_unless_that_is_not_clear() {
        use crate::domain::manifest::ManifestEntry;
        let entry = |path: &str| ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes: 1, digest: Digest::of(path.as_bytes()) };
        let paths = ["train/cat/1.png", "train/dog/1.png", "train/cat/dog/2.png"];
        let manifest = Manifest::new(paths.map(entry).to_vec()).unwrap();
        let report = DatasetReport { classes: vec!["cat".into(), "dog".into()], ..DatasetReport::default() };
        let before = Before::of(&manifest, &report);
        let to = |path: &str, label: &str| before.moved(path, label, &BTreeSet::new()).unwrap().map(|path| path.to_string());
        assert_eq!(to("train/cat/1.png", "bird").as_deref(), Some("train/bird/1.png"));
        assert_eq!(to("train/cat/1.png", "dog").as_deref(), Some("train/dog/1-2.png"), "that name is taken");
        assert_eq!(to("train/cat/dog/2.png", "bird"), None, "either folder could be the class");
        assert_eq!(to("train/cat/9.png", "bird"), None, "it is inside something");
        assert!(before.moved("train/cat/1.png", "a/b", &BTreeSet::new()).is_err());
        let packed = Manifest::new(vec![entry("data.zip"), entry("cat/1.png")]).unwrap();
        assert_eq!(Before::of(&packed, &report).moved("cat/1.png", "dog", &BTreeSet::new()).unwrap(), None);
    }
}
