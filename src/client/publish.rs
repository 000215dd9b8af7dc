//! Publish: a folder becomes a version. Only what the server lacks is sent; the commit names the version
//! `main` was seen at, so two people publishing at once cannot overwrite each other unseen.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;

use super::error::at;
use super::{Client, Error, Folder, LocalFile, Result};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::{RefName, Revision};
use crate::wire::files::{CreateCommit, File};
use crate::wire::repos::{CreateRepo, RepoDetail, Version};

/// More files than this are listed in a file that is sent like any other, since their JSON would not go through every
/// proxy.
const LISTED_FILES: usize = 2_000;

/// What shall become of a folder.
#[derive(Debug, Clone)]
pub struct Publication {
    pub kind: RepoKind,
    pub id: RepoId,
    pub message: String,
    /// Another branch than `main`; made where there is none of that name.
    pub branch: Option<RefName>,
    pub tags: Vec<String>,
    /// Only for a repo that does not exist yet.
    pub private: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Published {
    /// As the server writes it.
    pub id: String,
    pub version: Version,
    /// False: the server had exactly these files at the branch.
    pub created: bool,
    pub sent_bytes: u64,
    pub warnings: Vec<String>,
    /// The page people look at.
    pub page: String,
}

/// What would become of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// There is no such repo yet, or none this caller may see.
    pub makes_repo: bool,
    /// False: the branch holds exactly these files.
    pub makes_version: bool,
    /// Where the branch stands, or would begin.
    pub head: Option<Version>,
    /// Blobs the server lacks: these would travel, each once.
    pub lacking: HashSet<Digest>,
}

impl Client {
    /// Makes the repo where there is none. `manifest` is what [`super::hash_files`] said of `folder`.
    /// Errors: refused (no right to write), conflict (the branch moved), invalid files (the message names one).
    pub async fn publish(&self, folder: &Folder, manifest: &Manifest, publication: &Publication) -> Result<Published> {
        let Publication { kind, id, .. } = publication;
        let repo = self.repo_for(publication).await?;
        let page = self.address.page(*kind, id);
        let (head, is_new) = self.line(&repo, publication).await?;
        let head = head.as_ref();
        // Also if the branch holds exactly these files: the server may have lost some of their bytes, and asks for them.
        let sent_bytes = self.send_missing(folder, manifest).await?;
        if let (Some(head), true) = (head, publication.tags.is_empty() && !is_new)
            && head.manifest == manifest.digest().to_hex()
        {
            return Ok(Published { id: repo.repo.id, version: head.clone(), created: false, sent_bytes, warnings: Vec::new(), page });
        }
        let file = |entry: &crate::domain::manifest::ManifestEntry| File {
            path: entry.path.to_string(),
            size_bytes: entry.size_bytes,
            sha256: entry.digest.to_hex(),
            mark: None,
        };
        let many = manifest.entries().len() > LISTED_FILES;
        let body = CreateCommit {
            message: publication.message.clone(),
            branch: publication.branch.as_ref().map(RefName::to_string),
            parent: head.map(|version| version.number),
            files: if many { Vec::new() } else { manifest.entries().iter().map(file).collect() },
            manifest: if many { Some(self.send_list(manifest).await?) } else { None },
            tags: publication.tags.clone(),
        };
        let done = self.commit(*kind, id, &body).await?;
        Ok(Published { id: repo.repo.id, version: done.version, created: done.created, sent_bytes, warnings: done.warnings, page })
    }

    /// Sends the list of files as a file, which may be as long as it wants; answers its sha256.
    async fn send_list(&self, manifest: &Manifest) -> Result<String> {
        let text = manifest.canonical();
        let name = "list-of-files";
        let written = tempfile::NamedTempFile::new().and_then(|mut list| list.write_all(text.as_bytes()).map(|()| list));
        let list = written.map_err(at("write", Path::new(name)))?;
        let odd = |problem: String| Error::Input { code: "path", message: problem, hint: "report this as a bug".into() };
        let path = RepoPath::parse(name).map_err(|e| odd(e.to_string()))?;
        let (digest, size_bytes) = (manifest.digest(), text.len() as u64);
        let file = LocalFile { path: path.clone(), source: list.path().to_owned(), size_bytes };
        let alone = Manifest::new(vec![ManifestEntry { path, size_bytes, digest }]).map_err(|e| odd(e.to_string()))?;
        self.send_missing(&Folder { files: vec![file], ignored: Vec::new() }, &alone).await?;
        Ok(digest.to_hex())
    }

    /// What [`Client::publish`] would do, without doing any of it.
    pub async fn plan(&self, manifest: &Manifest, publication: &Publication) -> Result<Plan> {
        let repo = self.find_repo(publication).await?;
        let head = match &repo {
            Some(repo) => self.line(repo, publication).await?.0,
            None => None,
        };
        let is_same = head.as_ref().is_some_and(|head| head.manifest == manifest.digest().to_hex());
        let lacking = self.lacking(manifest).await?;
        Ok(Plan { makes_repo: repo.is_none(), makes_version: !is_same, head, lacking })
    }

    /// Where the branch stands; a new one begins where `main` does.
    async fn line(&self, repo: &RepoDetail, publication: &Publication) -> Result<(Option<Version>, bool)> {
        let Some(branch) = publication.branch.as_ref().filter(|branch| !branch.is_main()) else {
            return Ok((repo.version.clone(), false));
        };
        let Publication { kind, id, .. } = publication;
        let refs = self.refs(*kind, id).await?.items;
        if !refs.iter().any(|found| found.name == branch.as_str() && found.kind == "branch") {
            return Ok((repo.version.clone(), true));
        }
        Ok((self.version(*kind, id, &Revision::Ref(branch.clone())).await?.version, false))
    }

    /// The repo, made if there is none.
    async fn repo_for(&self, publication: &Publication) -> Result<RepoDetail> {
        if let Some(found) = self.find_repo(publication).await? {
            return Ok(found);
        }
        let Publication { kind, id, private, .. } = publication;
        let body = CreateRepo { kind: kind.as_str().into(), id: id.to_string(), private: *private, summary: String::new() };
        self.create_repo(&body).await
    }

    async fn find_repo(&self, publication: &Publication) -> Result<Option<RepoDetail>> {
        let Publication { kind, id, private, .. } = publication;
        match self.repo(*kind, id).await {
            // What people publish stands before another name of an entry of the library.
            Ok(found) if found.repo.id != id.to_string() && self.is_alias(*kind, id, &found.repo.id).await => Ok(None),
            Ok(found) if *private && !found.repo.private => Err(Error::Input {
                code: "already_public",
                message: format!("{id} exists and is public, so its versions would be public too"),
                hint: "leave --private out, or choose another name".into(),
            }),
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }
}
