//! `hub import hf://NAMESPACE/NAME`: a repo of a Hugging Face Hub, or of any hub that speaks its dialect, fetched,
//! proved and published here, or kept in a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::output::{CliError, Output, Result};
use super::publish::{self, How};
use super::remote::{Remote, Target};
use crate::client::{Event as Shown, Folder, LocalFile, Sink, hash_files};
use crate::domain::digest::Digest;
use crate::domain::name::RepoKind;
use crate::import::mirror::{self, Event, HUGGING_FACE, Naming, RemoteFile, Snapshot, Tell, Upstream};

const SCHEME: &str = "hf://";
const USAGE: &str = "write hf://NAMESPACE/NAME, hf://NAMESPACE/NAME@REVISION or hf://datasets/NAMESPACE/NAME";

/// Files of one reason that are named where they are left out.
const MOST_NAMED: usize = 20;

/// A repo of another hub, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    kind: RepoKind,
    id: String,
    revision: String,
}

impl Source {
    /// `None`: it is no address of this kind.
    pub fn parse(source: &Path) -> Option<Result<Source>> {
        let text = source.to_str()?.strip_prefix(SCHEME)?;
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (kind, id) = match (name.strip_prefix("datasets/"), name.strip_prefix("models/")) {
            (Some(id), _) => (RepoKind::Dataset, id),
            (None, id) => (RepoKind::Model, id.unwrap_or(name)),
        };
        let good = |part: &str| {
            !part.is_empty() && part.len() <= 96 && part != ".." && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let parts: Vec<&str> = id.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|part| good(part)) || revision.is_empty() {
            return Some(Err(CliError::usage(format!("'{SCHEME}{text}' names no repo"), USAGE)));
        }
        Some(Ok(Source { kind, id: id.to_owned(), revision: revision.to_owned() }))
    }
}

/// What of the command's line counts here.
pub(super) struct Wanted<'a> {
    pub source: Source,
    pub name: &'a Option<String>,
    pub to: &'a Option<PathBuf>,
    pub endpoint: &'a Option<String>,
    pub how: &'a How,
}

pub(super) async fn run(wanted: Wanted<'_>, remote: &Remote) -> Result<Output> {
    let Wanted { source, name, to, endpoint, how } = wanted;
    let target = match name {
        Some(name) => Some(Target::parse_repo(name, source.kind == RepoKind::Dataset)?),
        None if to.is_some() => None,
        None => Some(Target::parse_repo(&source.id, source.kind == RepoKind::Dataset)?),
    };
    let set = &remote.config.hugging_face;
    let endpoint = endpoint.as_ref().or(set.endpoint.as_ref()).map_or(HUGGING_FACE, String::as_str);
    let upstream = Upstream::new(endpoint, set.token.as_deref(), &remote.config.proxies)?;
    let tell = tell(remote.reporter.sink());
    remote.reporter.step(&format!("asking {} for {} '{}'", upstream.address(), source.kind, source.id));
    let snapshot = upstream.snapshot(source.kind, &source.id, &source.revision, &tell).await?;
    let place = place(remote, &upstream, &snapshot);
    remote.on_interrupt("what has arrived is kept; the same command goes on from there");
    let files = to.clone().unwrap_or_else(|| place.join("files"));
    refuse_full(&files, to.is_some() && !place.exists())?;
    let naming = if to.is_some() { Naming::Theirs } else { Naming::Plain };
    upstream.fetch(&snapshot, &files, naming, &place.join("parts"), &tell).await?;
    (remote.reporter.sink())(Shown::End);
    let said = snapshot.said_of_left_out(MOST_NAMED);
    said.iter().for_each(|line| remote.reporter.note(&format!("warning: {line}")));
    let output = match target.filter(|_| to.is_none()) {
        None => kept(&snapshot, &files),
        Some(target) => {
            // All of it: what a person keeps to themselves was not sent there.
            let file =
                |file: &RemoteFile| LocalFile { path: file.path.clone(), source: naming.place(&files, file), size_bytes: file.size_bytes };
            let mut listed: Vec<LocalFile> = snapshot.files.iter().map(file).collect();
            listed.sort_by(|a, b| a.path.cmp(&b.path));
            let folder = Folder { files: listed, ignored: Vec::new() };
            let manifest = hash_files(&folder, None, &remote.reporter.sink()).await?;
            let mut publication = how.publication(&target)?;
            if snapshot.private && !publication.private {
                remote.reporter.note("it is not for everybody there, so it is private here");
                publication.private = true;
            }
            if publication.message.is_empty() {
                let first = format!("Import {} from {} at {}", snapshot.id, upstream.address(), snapshot.commit);
                publication.message = std::iter::once(first).chain(snapshot.said_of_left_out(3)).collect::<Vec<_>>().join("\n\n");
            }
            publish::send(remote, &folder, &manifest, &publication).await?
        }
    };
    // What is left there is only looked for by another import of the same commit.
    let _ = tokio::fs::remove_dir_all(&place).await;
    Ok(output)
}

/// Where a repo arrives, the same for every try of one commit.
fn place(remote: &Remote, upstream: &Upstream, snapshot: &Snapshot) -> PathBuf {
    let name = format!("{}\n{}\n{}\n{}", upstream.address(), snapshot.kind, snapshot.id, snapshot.commit);
    remote.config.cache.join("imports").join(&Digest::of(name.as_bytes()).to_hex()[..16])
}

/// A folder that holds something else would be mixed with what arrives.
fn refuse_full(folder: &Path, fresh: bool) -> Result<()> {
    let full = fresh && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    match full {
        true => Err(CliError::usage(format!("{} is not empty", folder.display()), "name another folder with --to")),
        false => Ok(()),
    }
}

fn kept(snapshot: &Snapshot, folder: &Path) -> Output {
    let (path, files) = (folder.display().to_string(), snapshot.files.len());
    let json = json!({
        "path": path, "kind": snapshot.kind.as_str(), "name": snapshot.id, "commit": snapshot.commit,
        "files": files, "size_bytes": snapshot.total_bytes(), "left_out": snapshot.left_out.iter().map(|left| &left.name).collect::<Vec<_>>(),
    });
    Output::new(path.clone(), json, path)
}

fn tell(sink: Sink) -> Tell {
    Arc::new(move |event| {
        sink(match event {
            Event::Begin { files, bytes } => Shown::Begin { what: "downloading", files, bytes },
            Event::Advance(bytes) => Shown::Advance(bytes),
            Event::Retreat(bytes) => Shown::Retreat(bytes),
            Event::Repeat { reason, after } => Shown::Repeat { reason, after },
        });
    })
}

impl From<mirror::Error> for CliError {
    fn from(error: mirror::Error) -> CliError {
        use mirror::Error;
        let (exit_code, code) = match &error {
            Error::NotFound { .. } => (3, "not_found"),
            Error::Refused { .. } => (4, "refused"),
            Error::Damaged { .. } => (5, "corrupt"),
            Error::Endpoint { .. } => (2, "endpoint"),
            Error::Unreachable { .. } => (1, "unreachable"),
            Error::Redirect(_) => (4, "redirect_refused"),
            Error::Odd { .. } => (1, "upstream"),
            Error::Unfit(_) => (1, "unfit"),
            Error::Io { .. } => (1, "io"),
        };
        CliError::new(exit_code, code, error.to_string(), error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repos_of_other_hubs_as_people_write_them() {
        let read = |text: &str| {
            let Source { kind, id, revision } = Source::parse(Path::new(text)).unwrap().unwrap();
            format!("{kind} {id} {revision}")
        };
        assert_eq!(read("hf://timm/resnet18.a1_in1k"), "model timm/resnet18.a1_in1k main");
        assert_eq!(read("hf://gpt2@refs/pr/1"), "model gpt2 refs/pr/1");
        assert_eq!(read("hf://datasets/ada/set@v1"), "dataset ada/set v1");
        assert_eq!(read("hf://models/ada/net"), "model ada/net main");
        for bad in ["hf://", "hf://a/b/c", "hf://../x", "hf://a/..", "hf://a b", "hf://a@", "hf://a/b?x"] {
            assert!(Source::parse(Path::new(bad)).unwrap().is_err(), "{bad}");
        }
        assert!(Source::parse(Path::new("./hf/weights.pth")).is_none());
    }
}
