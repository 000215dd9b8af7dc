//! A version as a tree: what lies in a folder, page by page, and what some paths are.
//!
//! Entries come in the order of git's trees: a folder stands where its files do. So a page is read from where the one before
//! ended, and what lies behind it is not looked at.

use std::collections::{HashMap, HashSet};

use super::super::{Error, Result, Service};
use crate::catalog::versions;
use crate::db::Tx;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::composed;
use crate::domain::repo::{FileEntry, Repo, Version};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;

/// Files that are read together where a page is of one folder: what lies in its folders is passed over.
const FEW: usize = 64;

/// A file or a folder of a version.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    File(FileEntry),
    /// Without a slash at its end.
    Folder(String),
}

/// What of a tree is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The folder; empty for the whole.
    pub below: String,
    /// With all that lies in its folders.
    pub recursive: bool,
    /// The place the page before ended at.
    pub after: Option<String>,
    pub limit: usize,
}

#[derive(Debug, Clone)]
pub struct Page {
    pub version: Version,
    pub nodes: Vec<Node>,
    /// The place of the last, where more follow.
    pub next: Option<String>,
}

impl Node {
    pub fn path(&self) -> &str {
        match self {
            Node::File(file) => &file.path,
            Node::Folder(path) => path,
        }
    }

    fn place(&self) -> String {
        match self {
            Node::File(file) => file.path.clone(),
            Node::Folder(path) => format!("{path}/"),
        }
    }
}

impl Service {
    /// A page of what lies in a folder of a version.
    pub async fn list_tree(&self, actor: &Actor, kind: RepoKind, id: &RepoId, revision: &Revision, wanted: Wanted) -> Result<Page> {
        self.at(actor, kind, id, revision, move |tx, repo, version| {
            let below = match wanted.below.as_str() {
                "" => String::new(),
                folder => find_folder(tx, &repo, &version, folder)?.ok_or_else(|| no_folder(&repo, &version, folder))?,
            };
            let mut nodes = walk(tx, (&repo, &version), &below, &wanted)?;
            let more = nodes.len() > wanted.limit;
            nodes.truncate(wanted.limit);
            let next = nodes.last().filter(|_| more).map(Node::place);
            Ok(Page { version, nodes, next })
        })
        .await
    }

    /// What these paths of a version are; those that are nothing are left out.
    pub async fn find_nodes(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        revision: &Revision,
        paths: Vec<String>,
    ) -> Result<(Version, Vec<Node>)> {
        self.at(actor, kind, id, revision, move |tx, repo, version| {
            let paths: Vec<&str> = paths.iter().map(|path| path.trim_end_matches('/')).collect();
            let mut found = Vec::with_capacity(paths.len());
            for path in &paths {
                found.push(find_exact(tx, &repo, &version, path)?);
            }
            let looked_for =
                |(path, found): (&&str, &Option<Node>)| (found.is_none() && !path.is_ascii()).then(|| composed(path).into_owned());
            let lacking: HashSet<String> = paths.iter().zip(&found).filter_map(looked_for).collect();
            let alike = find_alike(tx, &repo, &version, lacking)?;
            let nodes = paths.iter().zip(found).filter_map(|(path, found)| found.or_else(|| alike.get(composed(path).as_ref()).cloned()));
            Ok((version, nodes.collect()))
        })
        .await
    }
}

fn no_folder(repo: &Repo, version: &Version, folder: &str) -> Error {
    let message = format!("version {} of '{}' has no folder '{folder}'", version.number, repo.id);
    Error::not_found("file_not_found", message, "list the whole tree")
}

/// A folder as its files write it, with `/` at its end; the letters of its name may be composed in another way.
fn find_folder(tx: &mut Tx<'_>, repo: &Repo, version: &Version, folder: &str) -> Result<Option<String>> {
    match find_exact(tx, repo, version, folder)? {
        Some(Node::Folder(path)) => Ok(Some(format!("{path}/"))),
        None if !folder.is_ascii() => {
            let alike = find_alike(tx, repo, version, HashSet::from([composed(folder).into_owned()]))?;
            Ok(alike.into_values().find_map(|node| matches!(node, Node::Folder(_)).then(|| node.place())))
        }
        _ => Ok(None),
    }
}

fn find_exact(tx: &mut Tx<'_>, repo: &Repo, version: &Version, path: &str) -> Result<Option<Node>> {
    if let Some(file) = versions::find_exact(tx, &repo.key, version.number, path)? {
        return Ok(Some(Node::File(file)));
    }
    let folder = format!("{path}/");
    let first = versions::files_from(tx, &repo.key, version.number, &folder, 1)?;
    Ok(first.first().filter(|file| file.path.starts_with(&folder)).map(|_| Node::Folder(path.to_owned())))
}

/// The files and folders that look like these, by what they look like: one walk for all of them.
fn find_alike(tx: &mut Tx<'_>, repo: &Repo, version: &Version, wanted: HashSet<String>) -> Result<HashMap<String, Node>> {
    let mut found = HashMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    versions::find_among(tx, &repo.key, version.number, |file| {
        let ends = file.path.match_indices('/').map(|(at, _)| at).chain([file.path.len()]);
        for end in ends {
            let looks = composed(&file.path[..end]);
            if wanted.contains(looks.as_ref()) && !found.contains_key(looks.as_ref()) {
                let whole = end == file.path.len();
                let node = if whole { Node::File(file.clone()) } else { Node::Folder(file.path[..end].to_owned()) };
                found.insert(looks.into_owned(), node);
            }
        }
        (found.len() == wanted.len()).then_some(())
    })?;
    Ok(found)
}

/// One node more than is wanted, where there is one. `below` is empty or ends with `/`.
fn walk(tx: &mut Tx<'_>, (repo, version): (&Repo, &Version), below: &str, wanted: &Wanted) -> Result<Vec<Node>> {
    let mut last = wanted.after.clone().filter(|after| after.as_str() > below).unwrap_or_else(|| below.to_owned());
    let mut from = behind(&last, wanted.recursive || last == below);
    let (mut nodes, at_once) = (Vec::new(), if wanted.recursive { wanted.limit + 1 } else { FEW });
    loop {
        let files = versions::files_from(tx, &repo.key, version.number, &from, at_once)?;
        let is_last = files.len() < at_once;
        for file in files {
            if file.path < from {
                continue;
            }
            let Some(rest) = file.path.strip_prefix(below) else { return Ok(nodes) };
            let folders = rest.match_indices('/').map(|(at, _)| &file.path[..below.len() + at + 1]);
            let folders: Vec<String> = folders.take(if wanted.recursive { usize::MAX } else { 1 }).map(str::to_owned).collect();
            let hidden = !wanted.recursive && !folders.is_empty();
            for folder in folders.into_iter().filter(|folder| *folder > last).collect::<Vec<_>>() {
                last.clone_from(&folder);
                nodes.push(Node::Folder(folder.trim_end_matches('/').to_owned()));
            }
            if !hidden {
                last.clone_from(&file.path);
                nodes.push(Node::File(file));
            }
            from = behind(&last, wanted.recursive);
            if nodes.len() > wanted.limit {
                return Ok(nodes);
            }
        }
        if is_last {
            return Ok(nodes);
        }
    }
}

/// Where what follows a place begins: behind a file; at a folder's first file, or behind its last one.
fn behind(place: &str, into: bool) -> String {
    match place.strip_suffix('/') {
        // `0` is the character after the slash.
        Some(folder) if !into => format!("{folder}0"),
        Some(_) => place.to_owned(),
        None if place.is_empty() => String::new(),
        None => versions::behind(place),
    }
}
