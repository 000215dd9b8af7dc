//! `hub pull`: a version into the cache, or copies of its files into a folder. The last line on stdout is
//! where they are.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target, or_say_dataset};
use super::table::{bytes, plural};
use crate::cache::{Cache, HuggingFaceCache, unwritten};
use crate::client::{Client, Error, Pulled};
use crate::domain::path::RepoPath;
use crate::domain::portable::named;
use crate::domain::selection::Selection;

/// Fetch a model or data set, every byte proved by its sha256
///
/// Only what the cache does not have is transferred; a download that broke off goes on where it stopped.
/// Prints the folder that holds the files: treat it as read-only, or copy the files with --to. `hub cache` lists,
/// verifies and prunes what was pulled.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub pull resnet50                       library/resnet50, its newest version
  hub pull acme/flowers-net@3 --to model  version 3, copied to ./model
  hub pull dataset:flowers                a data set
  hub pull acme/net --include '*.json' --include onnx/     some of its files
  hub pull acme/net --hf-cache            timm.create_model('hf-hub:acme/net') then works offline
  cd $(hub pull resnet50 --quiet)         for scripts")]
pub struct Pull {
    /// NAME[@REVISION]; a revision is main, a tag, a version number or a commit
    #[arg(value_name = "NAME[@REVISION]")]
    name: String,
    /// The name is a data set's (also: dataset:NAME)
    #[arg(long)]
    dataset: bool,
    /// Only the files that fit a pattern (may be repeated): '*' and '?' match '/' too, FOLDER/ all in a folder
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Without the files that fit a pattern (may be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Also the files that are or hold Python pickles, which are left out otherwise: loading one may run code
    #[arg(long)]
    allow_pickle: bool,
    /// Copy the files to this folder, where they may be edited
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// With --to: overwrite files that differ
    #[arg(long, requires = "to")]
    force: bool,
    /// Put it into huggingface_hub's cache too, where timm and transformers find it without this server; what lies there is not fetched
    #[arg(long, conflicts_with = "to")]
    hf_cache: bool,
    /// Take it from the cache without asking the server
    #[arg(long)]
    offline: bool,
}

impl Pull {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = Target::parse(&self.name, self.dataset)?;
        let theirs = if self.hf_cache { Some(remote.hugging_face_cache()?) } else { None };
        let client = remote.client()?;
        let client = if let Some(theirs) = &theirs { client.beside(theirs.clone()) } else { client };
        remote.on_interrupt("what has arrived is kept; run the command again to go on");
        let selection = Selection::parse(&self.include, &self.exclude);
        let selection = selection.map_err(|e| CliError::usage(e.to_string(), "write it as '*.json', 'model-*' or 'folder/', in quotes"))?;
        let selection = selection.with_pickles(self.allow_pickle);
        let pulled = pull_some(&client, remote, &target, &selection, self.offline).await?;
        let path = match (self.to.clone(), theirs) {
            (None, Some(theirs)) => fill(remote, theirs, &pulled, &target).await?,
            (None, None) => pulled.path.clone(),
            (Some(folder), _) => self.export(remote, &pulled, folder).await?,
        };
        let absent = unwritten(&path, &pulled.files);
        if !absent.is_empty() {
            let names: Vec<&str> = absent.iter().map(RepoPath::as_str).collect();
            let what = "this file system has no such names, or takes them for those of other files";
            remote.reporter.note(&format!("warning: not written: {}: {what}", named(&names)));
        }
        let path = path.display().to_string();
        let json = json!({
            "unwritten": absent.iter().map(RepoPath::as_str).collect::<Vec<_>>(),
            "repo": pulled.id.to_string(), "kind": pulled.kind.as_str(), "version": pulled.number,
            "commit": pulled.manifest.commit_id().as_str(), "manifest": pulled.manifest.digest().to_hex(),
            "files": pulled.files.entries().len(), "total_bytes": pulled.files.total_bytes(), "whole": pulled.is_whole(),
            "left_out": pulled.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(), "fetched_files": pulled.fetched_files, "fetched_bytes": pulled.fetched_bytes, "path": path,
        });
        Ok(Output::new(path.clone(), json, path))
    }

    async fn export(&self, remote: &Remote, pulled: &Pulled, folder: PathBuf) -> Result<PathBuf> {
        let (cache, files, force, to) = (remote.cache()?, pulled.files.clone(), self.force, folder.clone());
        let copied = tokio::task::spawn_blocking(move || cache.export(&cache.verified_hashes(), &files, &to, force)).await;
        let copied = copied.map_err(|e| CliError::new(1, "internal", format!("copying failed: {e}"), "report this as a bug"))??;
        remote.reporter.note(&format!("{} written, {} unchanged", plural(copied.written as u64, "file"), copied.unchanged));
        Ok(folder.canonicalize().unwrap_or(folder))
    }
}

/// Puts what was pulled into the other cache.
async fn fill(remote: &Remote, theirs: HuggingFaceCache, pulled: &Pulled, target: &Target) -> Result<PathBuf> {
    let (cache, pulled, revision) = (remote.cache()?, pulled.clone(), target.revision.clone());
    let put = move || {
        let Pulled { kind, id, manifest, files, .. } = &pulled;
        theirs.fill(&cache, &cache.verified_hashes(), (*kind, id), &revision, manifest, files)
    };
    let path = tokio::task::spawn_blocking(put).await;
    Ok(path.map_err(|e| CliError::new(1, "internal", format!("linking failed: {e}"), "report this as a bug"))??)
}

/// Brings a version into the cache and says so on stderr.
pub async fn pull(client: &Client, remote: &Remote, target: &Target, offline: bool) -> Result<Pulled> {
    pull_some(client, remote, target, &Selection::everything(), offline).await
}

async fn pull_some(client: &Client, remote: &Remote, target: &Target, selection: &Selection, offline: bool) -> Result<Pulled> {
    let cache = remote.cache()?;
    let begun = std::time::Instant::now();
    let pulled = match offline {
        true => client.recall(&cache, target.kind, &target.id, &target.revision, selection).await,
        false => client.pull_some(&cache, target.kind, &target.id, &target.revision, selection).await,
    };
    let pulled = match pulled {
        // The server knows it and has it not: it fetches it first.
        Err(error) if error.code() == "not_fetched" => {
            super::library::ensure(client, remote, target.kind, &target.id, false).await?;
            client.pull_some(&cache, target.kind, &target.id, &target.revision, selection).await
        }
        other => other,
    };
    if let Err(error @ Error::Unreachable { .. }) = pulled {
        return Err(with_offline_hint(error, &cache, client, target));
    }
    let pulled = or_say_dataset(client, target, pulled).await?;
    let (files, all) = (&pulled.files, pulled.manifest.entries().len());
    let count = if pulled.is_whole() { plural(all as u64, "file") } else { format!("{} of {all} files", files.entries().len()) };
    let how = match pulled.fetched_files {
        0 => "already here".to_owned(),
        _ => format!("fetched {} in {:.1} s", bytes(pulled.fetched_bytes), begun.elapsed().as_secs_f64()),
    };
    let version = format!("{} version {} ({})", pulled.id, pulled.number, pulled.manifest.commit_id().short());
    remote.reporter.note(&format!("{version}: {count}, {}, {how}, every sha256 proved", bytes(files.total_bytes())));
    match &pulled.left_out[..] {
        [] => {}
        [one] => remote.reporter.note(&format!("{one} is a pickle and was left out; --allow-pickle takes it")),
        [first, others @ ..] => {
            let all = others.len() + 1;
            remote.reporter.note(&format!("{all} files, such as {first}, are pickles and were left out; --allow-pickle takes them"));
        }
    }
    Ok(pulled)
}

/// What was pulled before can still be used.
fn with_offline_hint(error: Error, cache: &Cache, client: &Client, target: &Target) -> CliError {
    let mut failure = CliError::from(error);
    if client.remembers(cache, target.kind, &target.id, &target.revision) {
        failure.hint = format!("{}; or use what was pulled before with --offline", failure.hint);
    }
    failure
}
