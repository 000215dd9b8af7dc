//! The files of a version, a page at a time: a version may have a hundred thousand, and many may ask for them at once. What one
//! request holds of them in memory is a page, and each page is read in its caller's turn.

use super::super::work::Whose;
use super::super::{Error, Result, Service};
use super::lines::{enter, head_of};
use crate::catalog::versions;
use crate::domain::manifest::ManifestHash;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{FileEntry, Repo, Version};
use crate::domain::revision::{Line, Revision};
use crate::domain::user::Actor;

/// Files of a page.
const PAGE: usize = 1_000;

/// The files of a version, by path, proved against the digest its manifest was given.
pub struct Listing {
    service: Service,
    whose: Whose,
    repo: Repo,
    version: Version,
    /// Where the next page begins, and what was read before it; none behind the last.
    rest: Option<Rest>,
}

struct Rest {
    from: String,
    hash: ManifestHash,
}

/// What a line holds of some files, for somebody about to change them.
#[derive(Debug, Default)]
pub struct Held {
    pub head: Option<Version>,
    /// Those of the paths asked about that are files.
    pub files: Vec<FileEntry>,
    /// The line's `.gitignore` and `.gitattributes`.
    pub ignore: Option<FileEntry>,
    pub attributes: Option<FileEntry>,
}

impl Listing {
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The next page, as `shape` makes it on the thread that reads it; none behind the last. What was read is proved with the
    /// last page: an answer that fails there must not look complete.
    pub async fn next<T: Send + 'static>(&mut self, shape: impl FnOnce(&[FileEntry]) -> T + Send + 'static) -> Result<Option<T>> {
        let Some(Rest { from, mut hash }) = self.rest.take() else { return Ok(None) };
        let _turn = self.service.work.next_turn(&self.whose).await?;
        let (key, number) = (self.repo.key.clone(), self.version.number);
        let (shaped, last, hash) = self
            .service
            .db
            .read(move |tx| {
                let files = versions::files_from(tx, &key, number, &from, PAGE)?;
                files.iter().for_each(|file| hash.add(&file.path, file.size_bytes, &file.digest));
                let last = files.last().filter(|_| files.len() == PAGE).map(|file| versions::behind(&file.path));
                Ok::<_, Error>((shape(&files), last, hash))
            })
            .await?;
        match last {
            Some(from) => self.rest = Some(Rest { from, hash }),
            None => self.prove(hash)?,
        }
        Ok(Some(shaped))
    }

    fn prove(&self, hash: ManifestHash) -> Result<()> {
        let (found, Version { number, manifest, .. }) = (hash.finish(), &self.version);
        match found == *manifest {
            true => Ok(()),
            false => Err(Error::Internal(format!("the rows of '{}' version {number} are damaged: they hash to {found}", self.repo.id))),
        }
    }
}

impl Service {
    /// The files of a version, to be read page by page.
    pub async fn open_listing(&self, actor: &Actor, whose: Whose, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Listing> {
        let (repo, version) = self.at(actor, kind, id, revision, |_, repo, version| Ok((repo, version))).await?;
        let rest = Some(Rest { from: String::new(), hash: ManifestHash::default() });
        Ok(Listing { service: self.clone(), whose, repo, version, rest })
    }

    /// At most `limit` files of a version, from the path `from` on.
    pub async fn list_files_from(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        revision: &Revision,
        from: String,
        limit: usize,
    ) -> Result<(Version, Vec<FileEntry>)> {
        self.at(actor, kind, id, revision, move |tx, repo, version| {
            let files = versions::files_from(tx, &repo.key, version.number, &from, limit)?;
            Ok((version, files))
        })
        .await
    }

    /// Where a line stands and what of these paths it holds, for somebody about to change them.
    pub async fn look_at_line(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        line: &Line,
        proposes: bool,
        paths: Vec<String>,
    ) -> Result<Held> {
        let (actor, id, line) = (actor.clone(), id.clone(), line.clone());
        self.db
            .read(move |tx| {
                let repo = enter(tx, &actor, kind, &id, &line, proposes)?;
                let Some(head) = head_of(tx, &repo, &line)? else { return Ok(Held::default()) };
                let mut find = |path: &str| versions::find_exact(tx, &repo.key, head.number, path);
                let (ignore, attributes) = (find(".gitignore")?, find(".gitattributes")?);
                let mut files = Vec::new();
                for path in &paths {
                    files.extend(find(path)?);
                }
                Ok(Held { files, ignore, attributes, head: Some(head) })
            })
            .await
    }

    /// A file of a version at exactly this path.
    pub async fn find_file(
        &self,
        actor: &Actor,
        (kind, id): (RepoKind, &RepoId),
        revision: &Revision,
        path: &'static str,
    ) -> Result<Option<FileEntry>> {
        self.at(actor, kind, id, revision, move |tx, repo, version| Ok(versions::find_exact(tx, &repo.key, version.number, path)?)).await
    }
}
