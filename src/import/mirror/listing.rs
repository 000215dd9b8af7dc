//! What another hub says a repo holds at one revision: `/api/models/{id}/revision/{revision}?blobs=true`.

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::RANGE;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::pace::Pace;
use super::proof::Proof;
use super::{Error, Result, Tell, Upstream};
use crate::domain::digest::Digest;
use crate::domain::manifest::MAX_FILES;
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;

/// Longest listing that is read; 100,000 files fit.
const MAX_LISTING_BYTES: usize = 64 << 20;

const UNPROVED: &str = "the other hub does not say what it must hash to";

/// A repo of another hub at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub kind: RepoKind,
    /// As it is called there: `namespace/name`, or a bare name.
    pub id: String,
    /// The commit its files are fetched at.
    pub commit: String,
    /// Not for everybody there: by any sign of it.
    pub private: bool,
    pub files: Vec<RemoteFile>,
    /// What it holds besides and is not taken.
    pub left_out: Vec<LeftOut>,
}

/// A file that is not taken, by its name there, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub name: String,
    pub why: String,
}

/// A file as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    pub path: RepoPath,
    pub size_bytes: u64,
    pub(super) proof: Proof,
}

impl RemoteFile {
    /// What it must hash to, where the other hub says that by sha256.
    pub fn sha256(&self) -> Option<Digest> {
        match self.proof {
            Proof::Sha256(digest) => Some(digest),
            Proof::Git(_) => None,
        }
    }
}

impl Snapshot {
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add)
    }

    /// Leaves out the files that `refuse` has something against.
    pub fn leave_out(&mut self, refuse: impl Fn(&RemoteFile) -> Option<String>) {
        let (mut kept, mut left) = (Vec::with_capacity(self.files.len()), Vec::new());
        for file in self.files.drain(..) {
            match refuse(&file) {
                Some(why) => left.push(LeftOut { name: file.path.to_string(), why }),
                None => kept.push(file),
            }
        }
        self.files = kept;
        self.left_out.append(&mut left);
    }

    /// What is not taken, a line for each reason; a line names at most so many files.
    pub fn said_of_left_out(&self, most: usize) -> Vec<String> {
        let mut reasons: Vec<&str> = Vec::new();
        self.left_out.iter().for_each(|left| {
            if !reasons.contains(&left.why.as_str()) {
                reasons.push(&left.why)
            }
        });
        let line = |why: &&str| {
            let names: Vec<String> = self.left_out.iter().filter(|left| left.why == **why).map(|left| format!("{:?}", left.name)).collect();
            let more = names.len().saturating_sub(most);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("left out: {}{more}: {why}", names.iter().take(most).cloned().collect::<Vec<_>>().join(", "))
        };
        reasons.iter().map(line).collect()
    }
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    private: bool,
    /// `false`, `"auto"` or `"manual"`.
    #[serde(default)]
    gated: Value,
    #[serde(default)]
    disabled: bool,
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
        let mut pace = Pace::new(self.patience);
        let size = |block: &Option<reqwest::Result<Bytes>>| block.as_ref().map_or(0, |block| block.as_ref().map_or(0, Bytes::len));
        while let Some(block) = pace.next(bytes.next(), size).await.ok_or_else(|| odd("its listing comes too slowly".into()))? {
            let block: Bytes = block.map_err(|e| odd(super::endpoint::reason(&e)))?;
            if body.len() + block.len() > MAX_LISTING_BYTES {
                return Err(odd("its listing has no end".into()));
            }
            body.extend_from_slice(&block);
        }
        let info = spawn_blocking(move || serde_json::from_slice::<Info>(&body)).await;
        let info = info.map_err(|e| odd(e.to_string()))?.map_err(|e| odd(format!("no listing: {e}")))?;
        if info.siblings.len() > MAX_FILES {
            return Err(Error::Unfit(format!("it has {} files, and at most {MAX_FILES} are taken", info.siblings.len())));
        }
        let mut snapshot = read(kind, id, info).map_err(odd)?;
        if !snapshot.private && self.token.is_some() {
            snapshot.private = !self.is_shown_to_strangers(&snapshot, tell).await?;
        }
        Ok(snapshot)
    }

    /// Asks for one of its files as somebody without a token: a repo may be listed for all and give its bytes to few.
    async fn is_shown_to_strangers(&self, snapshot: &Snapshot, tell: &Tell) -> Result<bool> {
        let stranger = Upstream { token: None, ..self.clone() };
        let Snapshot { kind, id, commit, .. } = snapshot;
        let what = format!("{kind} '{id}' for strangers");
        let request = match snapshot.files.iter().find(|file| file.size_bytes > 0) {
            Some(file) => stranger.get_file(snapshot, file)?.header(RANGE, "bytes=0-0"),
            None => {
                let plural = if *kind == RepoKind::Model { "models" } else { "datasets" };
                let parts: Vec<&str> = ["api", plural].into_iter().chain(id.split('/')).chain(["revision", commit]).collect();
                stranger.get(&parts)?
            }
        };
        match stranger.send(&what, tell, request).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. } | Error::Refused { .. } | Error::Odd { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

/// Strict about what becomes a path, a digest or a part of an address.
fn read(kind: RepoKind, id: &str, info: Info) -> Result<Snapshot, String> {
    if info.sha.len() < 7 || info.sha.len() > 64 || !info.sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("its commit is no hex number; nothing may be published there yet".into());
    }
    let gated = !matches!(info.gated, Value::Null | Value::Bool(false));
    let private = info.private || info.disabled || gated;
    let mut snapshot = Snapshot { kind, id: id.to_owned(), commit: info.sha, private, files: Vec::new(), left_out: Vec::new() };
    for sibling in info.siblings {
        let name = sibling.rfilename.clone();
        match RepoPath::parse(&name) {
            Err(error) => snapshot.left_out.push(LeftOut { name, why: format!("its path {}", error.problem) }),
            Ok(path) => match file(path, sibling) {
                Ok(file) => snapshot.files.push(file),
                Err(why) => snapshot.left_out.push(LeftOut { name, why }),
            },
        }
    }
    Ok(snapshot)
}

/// Or why it cannot be fetched.
fn file(path: RepoPath, sibling: Sibling) -> Result<RemoteFile, String> {
    let (size_bytes, proof) = match (sibling.lfs, sibling.size, sibling.blob_id) {
        (Some(lfs), ..) => (lfs.size, Proof::Sha256(Digest::parse(&lfs.sha256).map_err(|_| UNPROVED.to_owned())?)),
        (None, Some(size), Some(oid)) => (size, Proof::git(&oid).ok_or_else(|| UNPROVED.to_owned())?),
        _ => return Err(UNPROVED.to_owned()),
    };
    Ok(RemoteFile { path, size_bytes, proof })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn of(siblings: &str) -> Result<Snapshot, String> {
        let body = format!(r#"{{"sha":"0123456789abcdef","siblings":[{siblings}],"else":1}}"#);
        read(RepoKind::Model, "ada/net", serde_json::from_str(&body).map_err(|e| e.to_string())?)
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
        let good = of(&one("good.txt")).unwrap();
        assert_eq!((good.files.len(), good.left_out.len()), (1, 0));
        for name in ["../x", "/etc/passwd", "a/../b", "a\\u0000b", "", "a//b", ".git/config"] {
            let read = of(&format!("{},{}", one(name), one("12:00/c.txt"))).unwrap();
            assert_eq!((read.files.len(), read.left_out.len()), (1, 1), "{name}");
        }
        for odd in [r#"{"rfilename":"x"}"#, r#"{"rfilename":"x","size":1,"blobId":"zz"}"#] {
            let read = of(&format!("{odd},{}", one("good.txt"))).unwrap();
            assert_eq!((read.files.len(), read.left_out[0].name.as_str()), (1, "x"), "{odd}");
        }
        assert!(of(r#"{"rfilename":"x","size":-1,"blobId":"00"}"#).is_err());
        for sha in ["main/../x", ""] {
            let info = Info { sha: sha.into(), private: false, gated: Value::Null, disabled: false, siblings: Vec::new() };
            assert!(read(RepoKind::Model, "a/b", info).is_err(), "{sha}");
        }
    }

    #[test]
    fn any_sign_that_it_is_not_for_everybody_makes_it_private() {
        let private = |signs: &str| {
            let body = format!(r#"{{"sha":"0123456789abcdef","siblings":[]{signs}}}"#);
            read(RepoKind::Model, "ada/net", serde_json::from_str(&body).unwrap()).unwrap().private
        };
        for open in ["", r#","private":false,"gated":false,"disabled":false"#, r#","gated":null"#] {
            assert!(!private(open), "{open}");
        }
        for closed in [r#","private":true"#, r#","gated":"auto""#, r#","gated":"manual""#, r#","gated":true"#, r#","disabled":true"#] {
            assert!(private(closed), "{closed}");
        }
    }

    #[test]
    fn what_is_left_out_is_named_a_line_a_reason() {
        let mut snapshot = of(&["a", "b", "c"]
            .map(|name| format!(r#"{{"rfilename":"{name}","size":2,"blobId":"0123456789012345678901234567890123456789"}}"#))
            .join(","))
        .unwrap();
        snapshot.left_out.push(LeftOut { name: "x\n".into(), why: "it is odd".into() });
        snapshot.leave_out(|file| (file.path.as_str() != "b").then(|| "it is large".to_owned()));
        assert_eq!(snapshot.files.len(), 1);
        assert_eq!(snapshot.said_of_left_out(1), [r#"left out: "x\n": it is odd"#, r#"left out: "a" and 1 more: it is large"#]);
    }
}
