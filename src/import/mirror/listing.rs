//! What another hub says a repo holds at one revision: `/api/models/{id}/revision/{revision}?blobs=true`.

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::proof::Proof;
use super::{Error, Result, Tell, Upstream};
use crate::domain::digest::Digest;
use crate::domain::manifest::MAX_FILES;
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;

/// Longest listing that is read; 100,000 files fit.
const MAX_LISTING_BYTES: usize = 64 << 20;

/// A repo of another hub at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub kind: RepoKind,
    /// As it is called there: `namespace/name`, or a bare name.
    pub id: String,
    /// The commit its files are fetched at.
    pub commit: String,
    pub private: bool,
    pub files: Vec<RemoteFile>,
}

/// A file as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    pub path: RepoPath,
    pub size_bytes: u64,
    pub(super) proof: Proof,
}

impl Snapshot {
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add)
    }

    /// Leaves out the files `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&RemoteFile) -> bool) {
        self.files.retain(keep);
    }
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Upstream {
    /// Asks for a repo's files at a revision.
    pub async fn snapshot(&self, kind: RepoKind, id: &str, revision: &str, tell: &Tell) -> Result<Snapshot> {
        let plural = if kind == RepoKind::Model { "models" } else { "datasets" };
        let parts: Vec<&str> = ["api", plural].into_iter().chain(id.split('/')).chain(["revision", revision]).collect();
        let what = format!("{kind} '{id}' at '{revision}'");
        let answer = self.send(&what, tell, self.get(&parts)?.query(&[("blobs", "true")])).await?;
        let odd = |problem: String| Error::Odd { upstream: self.address().to_owned(), problem };
        let (mut body, mut bytes) = (Vec::new(), answer.bytes_stream());
        while let Some(block) = bytes.next().await {
            let block: Bytes = block.map_err(|e| odd(super::endpoint::reason(&e)))?;
            if body.len() + block.len() > MAX_LISTING_BYTES {
                return Err(odd("its listing has no end".into()));
            }
            body.extend_from_slice(&block);
        }
        read(kind, id, &body).map_err(odd)
    }
}

/// Strict about what becomes a path, a digest or a part of an address.
fn read(kind: RepoKind, id: &str, body: &[u8]) -> Result<Snapshot, String> {
    let info: Info = serde_json::from_slice(body).map_err(|e| format!("no listing: {e}"))?;
    if info.sha.len() < 7 || info.sha.len() > 64 || !info.sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("its commit is no hex number; nothing may be published there yet".into());
    }
    if info.siblings.len() > MAX_FILES {
        return Err(format!("it has {} files, and at most {MAX_FILES} are taken", info.siblings.len()));
    }
    let files = info.siblings.into_iter().map(file).collect::<Result<Vec<_>, String>>()?;
    Ok(Snapshot { kind, id: id.to_owned(), commit: info.sha, private: info.private, files })
}

fn file(sibling: Sibling) -> Result<RemoteFile, String> {
    let path = RepoPath::parse(&sibling.rfilename).map_err(|e| format!("a file of it cannot be kept: {e}"))?;
    let (size_bytes, proof) = match (sibling.lfs, sibling.size, sibling.blob_id) {
        (Some(lfs), ..) => (lfs.size, Proof::Sha256(Digest::parse(&lfs.sha256).map_err(|e| format!("'{path}': {e}"))?)),
        (None, Some(size), Some(oid)) => (size, Proof::git(&oid).ok_or_else(|| format!("'{path}': '{oid}' is no git object"))?),
        _ => return Err(format!("it does not say what '{path}' holds")),
    };
    Ok(RemoteFile { path, size_bytes, proof })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn of(siblings: &str) -> Result<Snapshot, String> {
        let body = format!(r#"{{"sha":"0123456789abcdef","siblings":[{siblings}],"else":1}}"#);
        read(RepoKind::Model, "ada/net", body.as_bytes())
    }

    #[test]
    fn a_listing_says_what_each_file_is() {
        let lfs = format!(r#"{{"rfilename":"a/b.bin","size":9,"blobId":"x","lfs":{{"sha256":"{SHA256}","size":3,"pointerSize":130}}}}"#);
        let small = r#"{"rfilename":"c","size":2,"blobId":"0123456789012345678901234567890123456789"}"#;
        let snapshot = of(&format!("{lfs},{small}")).unwrap();
        assert_eq!((snapshot.files.len(), snapshot.total_bytes(), snapshot.commit.as_str()), (2, 5, "0123456789abcdef"));
        assert_eq!(snapshot.files[0].proof, Proof::Sha256(Digest::parse(SHA256).unwrap()));
    }

    #[test]
    fn hostile_listings_are_refused() {
        let one = |name: &str| format!(r#"{{"rfilename":"{name}","size":2,"blobId":"0123456789012345678901234567890123456789"}}"#);
        assert!(of(&one("good.txt")).is_ok());
        for name in ["../x", "/etc/passwd", "a/../b", "a\\u0000b", "", "a//b"] {
            assert!(of(&one(name)).is_err(), "{name}");
        }
        for sibling in
            [r#"{"rfilename":"x"}"#, r#"{"rfilename":"x","size":1,"blobId":"zz"}"#, r#"{"rfilename":"x","size":-1,"blobId":"00"}"#]
        {
            assert!(of(sibling).is_err(), "{sibling}");
        }
        for body in ["", "[]", r#"{"sha":"main/../x"}"#, r#"{"sha":""}"#] {
            assert!(read(RepoKind::Model, "a/b", body.as_bytes()).is_err(), "{body}");
        }
    }
}
