//! `hub publish`: a folder becomes a version of a repo.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::meaning::Meaning;
use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::table::{bytes, plural, table};
use crate::client::{self, Folder, FolderRules, Plan, Publication, Published, hash_files, pack_files, packable};
use crate::data::modalities::is_media;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::RepoKind;
use crate::domain::revision::RefName;
use crate::domain::selection::Selection;

/// More files than this in a data set travel as one archive.
const LOOSE_FILES: usize = 100;

/// Publish a folder as a new version of a model or data set
///
/// The repo is made if there is none. Only what the server does not have is sent; the same files again make
/// no new version. Dot files and what .gitignore names stay home.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub publish ./net acme/flowers-net --message \"Trained longer\" --tag v2
  hub publish ./net acme/flowers-net --branch dev
  hub publish flowers.zip acme/flowers --dataset
  hub publish ./net acme/flowers-net --dry-run")]
pub struct Publish {
    /// A folder; with --dataset also one archive (zip, tar, tar.gz, tar.zst)
    path: PathBuf,
    /// Where to publish: namespace/name
    name: String,
    /// It is a data set
    #[arg(long)]
    dataset: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    choice: Choice,
    /// With one archive: the README.md to publish beside it
    #[arg(long, value_name = "README")]
    card: Option<PathBuf>,
    #[command(flatten)]
    meaning: Meaning,
    /// With --dataset: send every file by itself, however many there are
    #[arg(long)]
    loose: bool,
    /// Say what would be sent and made, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which files of the folder are published.
#[derive(Debug, Args)]
struct Choice {
    /// Only the files that fit a pattern (may be repeated), as for `hub pull`; dot files too, where the pattern names them
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Without the files that fit a pattern (may be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Publish what links lead to that leave the folder
    #[arg(long)]
    follow_links: bool,
    /// Also the files that the folder's .gitignore names
    #[arg(long)]
    no_gitignore: bool,
}

impl Choice {
    fn wanted(&self) -> Result<FolderRules> {
        let wrong = |e: crate::domain::selection::SelectionError| {
            CliError::usage(e.to_string(), "write it as '*.json', 'model-*' or 'folder/', in quotes")
        };
        let named: Vec<String> =
            self.include.iter().filter(|pattern| pattern.split('/').any(|part| part.starts_with('.'))).cloned().collect();
        let hidden = if named.is_empty() { None } else { Some(Selection::parse(&named, &[]).map_err(wrong)?) };
        let selection = Selection::parse(&self.include, &self.exclude).map_err(wrong)?;
        Ok(FolderRules { selection, hidden, follow_links: self.follow_links, gitignore: !self.no_gitignore })
    }
}

/// What `publish` and `import` have in common.
#[derive(Debug, Args)]
pub struct How {
    /// What changed
    #[arg(long, short, default_value = "")]
    message: String,
    /// Publish to this branch instead of main; it is made where there is none
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Also name the new version so (may be repeated)
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A new repo is only visible to its namespace
    #[arg(long)]
    pub(super) private: bool,
}

impl How {
    pub fn publication(&self, target: &Target) -> Result<Publication> {
        for tag in &self.tags {
            RefName::parse(tag)
                .map_err(|e| CliError::usage(format!("the tag '{tag}' is refused: {e}"), "choose another tag, such as v1.0"))?;
        }
        let branch = self.branch.as_ref().map(|text| RefName::parse(text).map_err(|e| (text, e))).transpose();
        let branch =
            branch.map_err(|(text, e)| CliError::usage(format!("the branch '{text}' is refused: {e}"), "choose another, such as dev"))?;
        let (kind, id) = (target.kind, target.id.clone());
        Ok(Publication { kind, id, branch, message: self.message.clone(), tags: self.tags.clone(), private: self.private })
    }
}

impl Publish {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = Target::parse_repo(&self.name, self.dataset)?;
        let publication = self.how.publication(&target)?;
        let folder = read(&self.path, target.kind, self.card.as_deref(), &self.choice.wanted()?, remote)?;
        if target.kind == RepoKind::Model && holds_images_alone(&folder) {
            let message = format!("{} holds images and no model", self.path.display());
            let hint = "publish it as a data set: `hub publish --dataset`; a model is a folder with config.json and weights";
            return Err(CliError::usage(message, hint));
        }
        let (folder, _card) = self.meaning.write_into(folder, target.kind, remote)?;
        let (folder, _archive) = pack_if_many(folder, target.kind, self.loose, remote).await?;
        // Without a cache every file is read, which is only slower.
        let manifest = hash_files(&folder, remote.cache().ok().as_ref(), &remote.reporter.sink()).await?;
        if self.dry_run {
            let plan = remote.client()?.plan(&manifest, &publication).await?;
            return Ok(dry_run(&target, &manifest, &folder, &plan));
        }
        send(remote, &folder, &manifest, &publication).await
    }
}

/// Whether most of a folder's files are pictures and the like, and none is what a model has.
fn holds_images_alone(folder: &Folder) -> bool {
    const WEIGHTS: [&str; 11] = ["safetensors", "bin", "pt", "pth", "ckpt", "onnx", "h5", "keras", "pb", "msgpack", "npz"];
    let is_of_model = |file: &client::LocalFile| {
        let name = file.path.as_str().rsplit('/').next().unwrap_or_default();
        name == "config.json" || WEIGHTS.contains(&file.path.extension().as_str())
    };
    let media = folder.files.iter().filter(|file| is_media(file.path.as_str())).count();
    media > 0 && 2 * media >= folder.files.len() && !folder.files.iter().any(is_of_model)
}

/// Sends it, and words the answer.
pub async fn send(remote: &Remote, folder: &Folder, manifest: &Manifest, publication: &Publication) -> Result<Output> {
    remote.on_interrupt("no version was made; what was sent is kept, so run the command again to go on");
    let published = remote.client()?.publish(folder, manifest, publication).await.inspect_err(|error| {
        if let (client::CHANGED, Ok(cache)) = (error.code(), remote.cache()) {
            cache.forget_hashes();
        }
    })?;
    for warning in &published.warnings {
        remote.reporter.note(&format!("warning: {warning}"));
    }
    Ok(answer(&published, publication.kind))
}

fn answer(published: &Published, kind: RepoKind) -> Output {
    let version = &published.version;
    let short = version.commit.get(..10).unwrap_or(&version.commit);
    let what = format!("{} version {} ({short})", published.id, version.number);
    let human = match published.created {
        true => {
            let size = format!("{}, {}", plural(version.files, "file"), bytes(version.total_bytes));
            format!("Published {what}: {size}, {} sent\n{}", bytes(published.sent_bytes), published.page)
        }
        false => format!("Already up to date: {what} holds exactly these files\n{}", published.page),
    };
    let json = json!({
        "repo": published.id, "kind": kind.as_str(), "version": version, "created": published.created,
        "sent_bytes": published.sent_bytes, "warnings": published.warnings, "page": published.page,
    });
    Output::new(human, json, format!("{}@{}", published.id, version.number))
}

/// What lies at `path`, with the paths it will have in the repo.
pub fn read(path: &Path, kind: RepoKind, card: Option<&Path>, wanted: &FolderRules, remote: &Remote) -> Result<Folder> {
    if !path.exists() {
        return Err(CliError::usage(format!("{} does not exist", path.display()), "name a folder, or an archive of a data set"));
    }
    if path.is_dir() {
        let folder = Folder::read(path, wanted)?;
        if !folder.ignored.is_empty() {
            remote.reporter.note(&format!("left out: {}", shortened(&folder.ignored)));
        }
        return Ok(folder);
    }
    if kind == RepoKind::Model {
        let hint = "put it into a folder with config.json and README.md, or turn a weights file into one with `hub import`";
        return Err(CliError::usage(format!("{} is a file; a model is a folder", path.display()), hint));
    }
    let mut folder = Folder::of_file(path)?;
    let beside = path.with_file_name("README.md");
    match card {
        Some(card) => add_card(&mut folder, card)?,
        // Any project has a README.md; only one with a card's front matter is meant for the repo.
        None if std::fs::read_to_string(&beside).is_ok_and(|text| text.starts_with("---\n")) => {
            remote.reporter.note(&format!("{} goes with it", beside.display()));
            add_card(&mut folder, &beside)?;
        }
        None => {}
    }
    Ok(folder)
}

fn add_card(folder: &mut Folder, card: &Path) -> Result<()> {
    let mut file = Folder::of_file(card)?.files;
    for file in &mut file {
        file.path = crate::domain::path::RepoPath::parse("README.md").map_err(|e| CliError::usage(e.to_string(), "choose another card"))?;
    }
    folder.files.append(&mut file);
    folder.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// A data set of many files becomes one archive, which lives as long as the second value.
pub async fn pack_if_many(folder: Folder, kind: RepoKind, loose: bool, remote: &Remote) -> Result<(Folder, Option<tempfile::TempDir>)> {
    let files = packable(&folder);
    if kind == RepoKind::Model || loose || files <= LOOSE_FILES {
        return Ok((folder, None));
    }
    remote.reporter.note(&format!("{files} files are packed into one data.zip (--loose sends them one by one)"));
    // Where pulled files have room there is room for these; a cache that may only be read is no place.
    let make = || tempfile::Builder::new().prefix("pack-").tempdir_in(remote.cache().ok()?.root()).ok();
    let place = make().map_or_else(tempfile::tempdir, Ok).map_err(|e| {
        CliError::new(1, "cache", format!("there is no place for data.zip: {e}"), "set HUB_CACHE to a folder you may write to")
    })?;
    let (to, sink) = (place.path().join("data.zip"), remote.reporter.sink());
    let packed = tokio::task::spawn_blocking(move || pack_files(&folder, &to, &sink)).await;
    let packed = packed.map_err(|e| CliError::new(1, "internal", format!("packing failed: {e}"), "run the command again"))??;
    Ok((packed, Some(place)))
}

/// What would travel, and what would be made of it.
fn dry_run(target: &Target, manifest: &Manifest, folder: &Folder, plan: &Plan) -> Output {
    // Of several files with the same bytes the first brings them.
    let mut lacking = plan.lacking.clone();
    let files: Vec<_> = manifest.entries().iter().map(|entry| (entry, lacking.remove(&entry.digest))).collect();
    let new_bytes: u64 = files.iter().filter(|(_, new)| *new).map(|(entry, _)| entry.size_bytes).sum();
    let state = |new: bool| if new { "new" } else { "held" };
    let row = |(e, new): &(&ManifestEntry, bool)| {
        vec![e.path.to_string(), bytes(e.size_bytes), e.digest.to_hex()[..12].to_owned(), state(*new).into()]
    };
    let rows: Vec<Vec<String>> = files.iter().map(row).collect();
    let new_files = files.iter().filter(|(_, new)| *new).count() as u64;
    let travels = format!(
        "{} of {} would be sent: {} of {}",
        new_files,
        plural(rows.len() as u64, "file"),
        bytes(new_bytes),
        bytes(manifest.total_bytes())
    );
    let makes = match (&plan.head, plan.makes_version) {
        (Some(head), false) => format!("no version would be made: {} version {} holds exactly these files", target.id, head.number),
        (Some(head), true) => format!("{} would get a new version upon version {}", target.id, head.number),
        (None, _) if plan.makes_repo => format!("{} would be made, with this as version 1", target.id),
        (None, _) => format!("{} would get its first version", target.id),
    };
    let human = format!("{}\n\n{travels}\n{makes}; nothing was changed", table(&["path", ">size", "sha256", "state"], &rows));
    let files: Vec<_> = files
        .iter()
        .map(|(e, new)| json!({"path": e.path.as_str(), "size_bytes": e.size_bytes, "sha256": e.digest.to_hex(), "state": state(*new)}))
        .collect();
    let json = json!({
        "repo": target.id.to_string(), "kind": target.kind.as_str(), "commit": manifest.commit_id().as_str(), "makes_repo": plan.makes_repo,
        "makes_version": plan.makes_version, "main": plan.head.as_ref().map(|head| head.number), "new_files": new_files, "new_bytes": new_bytes,
        "total_bytes": manifest.total_bytes(), "files": files, "left_out": folder.ignored, "dry_run": true,
    });
    Output::new(human, json, manifest.commit_id().as_str())
}

fn shortened(names: &[String]) -> String {
    let some: Vec<_> = names.iter().take(5).cloned().collect();
    let more = names.len() - some.len();
    if more == 0 { some.join(", ") } else { format!("{} and {more} more", some.join(", ")) }
}
