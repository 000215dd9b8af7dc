//! The server's word for a version, believed only where it proves itself: the manifest must hash to the commit it
//! claims, and each path in it is parsed as ours are, so a hostile server can at most be refused.

use super::{Error, Result};
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::mark::Mark;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::wire;

/// Which version, proved.
pub(super) struct Target {
    pub kind: RepoKind,
    pub id: RepoId,
    pub number: u32,
    pub manifest: Manifest,
    /// Files that are, or hold, pickles.
    pub marked: Vec<RepoPath>,
}

/// The server's word for a version, or the reason not to take it. Nothing has been written yet.
pub(super) fn prove(kind: RepoKind, asked: &RepoId, revision: &Revision, answer: &wire::files::Manifest) -> Result<Target> {
    let refuse = |why: String| Error::Corrupt(format!("the server's list of files for {asked}@{revision} is refused: {why}"));
    let id = RepoId::parse(&answer.repo).map_err(|e| refuse(format!("it names the repo {:?}: {e}", answer.repo)))?;
    if id.folded() != asked.folded() {
        return Err(refuse(format!("it is of another repo, {id}")));
    }
    let entry = |file: &wire::files::File| {
        let path = RepoPath::parse(&file.path).map_err(|e| refuse(e.to_string()))?;
        let digest = Digest::parse(&file.sha256).map_err(|e| refuse(format!("{path}: {e}")))?;
        Ok(ManifestEntry { path, size_bytes: file.size_bytes, digest })
    };
    let entries = answer.files.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let total = entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.size_bytes));
    if total.is_none() {
        return Err(refuse("its sizes add up to more than there is".into()));
    }
    let manifest = Manifest::new(entries).map_err(|e| refuse(e.to_string()))?;
    let (digest, commit) = (manifest.digest(), manifest.commit_id());
    let version = &answer.version;
    if version.manifest != digest.to_hex() || version.commit != commit.as_str() {
        return Err(refuse(format!("its files hash to the commit {commit}, not to {}", version.commit)));
    }
    let as_asked = match revision {
        Revision::Commit(prefix) => commit.as_str().starts_with(prefix),
        Revision::Manifest(wanted) => digest == *wanted,
        Revision::Number(number) => version.number == *number,
        Revision::Ref(_) => true,
    };
    if !as_asked {
        return Err(refuse(format!("it is of version {} ({commit})", version.number)));
    }
    let is_marked = |file: &&wire::files::File| file.mark.as_deref().and_then(Mark::parse).is_some_and(Mark::is_left_out);
    let marked = answer.files.iter().filter(is_marked).filter_map(|file| RepoPath::parse(&file.path).ok()).collect();
    Ok(Target { kind, id, number: version.number, manifest, marked })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(files: &[(&str, &str)]) -> wire::files::Manifest {
        let digest = Digest::of(b"x");
        let files: Vec<_> = files
            .iter()
            .map(|(path, sha)| wire::files::File {
                path: (*path).into(),
                size_bytes: 1,
                sha256: if sha.is_empty() { digest.to_hex() } else { (*sha).into() },
                mark: None,
            })
            .collect();
        let canonical: String = files.iter().map(|f| format!("{} {} {}\n", f.sha256, f.size_bytes, f.path)).collect();
        let manifest = Digest::of(canonical.as_bytes()).to_hex();
        let version = wire::repos::Version {
            number: 1,
            commit: manifest[..40].into(),
            manifest,
            parent: None,
            branch: "main".into(),
            author: "a".into(),
            message: "m".into(),
            created: "2026-01-01T00:00:00.000Z".into(),
            state: "live".into(),
            files: files.len() as u64,
            total_bytes: files.len() as u64,
        };
        wire::files::Manifest { repo: "acme/net".into(), kind: "model".into(), version, files }
    }

    fn judge(answer: &wire::files::Manifest, revision: &str) -> Result<Target> {
        prove(RepoKind::Model, &RepoId::parse("acme/net").unwrap(), &Revision::parse(revision).unwrap(), answer)
    }

    #[test]
    fn an_honest_list_is_believed() {
        let honest = answer(&[("README.md", ""), ("model.safetensors", "")]);
        assert_eq!(judge(&honest, "main").unwrap().manifest.entries().len(), 2);
        assert!(judge(&honest, &honest.version.commit[..7]).is_ok());
        assert!(judge(&honest, &format!("sha256:{}", honest.version.manifest)).is_ok());
    }

    #[test]
    fn hostile_paths_refuse_the_whole_snapshot() {
        for path in ["../../.bashrc", "/etc/x", "C:\\x", "a/../b", ".git/hooks/post-checkout", "a\u{202e}b", ".git./hooks/x", ""] {
            let error = judge(&answer(&[("README.md", ""), (path, "")]), "main").err().unwrap_or_else(|| panic!("{path:?} was believed"));
            assert_eq!(error.exit_code(), 5, "{error}");
        }
        assert!(judge(&answer(&[("a", ""), ("a", "")]), "main").is_err(), "a name twice");
        assert!(judge(&answer(&[("A", ""), ("a", "")]), "main").is_ok(), "two names equal but for case");
        assert!(judge(&answer(&[("a", "../../x")]), "main").is_err(), "a digest that is a path");
    }

    #[test]
    fn a_list_that_is_not_its_commit_is_refused() {
        let mut other = answer(&[("README.md", "")]);
        other.files[0].size_bytes = 2;
        assert!(judge(&other, "main").is_err(), "files changed");
        let mut other = answer(&[("README.md", "")]);
        other.version.commit = "0".repeat(40);
        assert!(judge(&other, "main").is_err(), "commit changed");
        let mut other = answer(&[("README.md", "")]);
        other.repo = "evil/net".into();
        assert!(judge(&other, "main").is_err(), "another repo");
        assert!(judge(&answer(&[("README.md", "")]), "0000000").is_err(), "another commit than asked");
        assert!(judge(&answer(&[("README.md", "")]), "2").is_err(), "another number than asked");
    }
}
