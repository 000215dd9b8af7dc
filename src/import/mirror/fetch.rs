//! A snapshot's bytes, a few files side by side. Each file arrives in a part of its own, is gone on with after a cut
//! or in a later process, is proved, and only then gets its name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;

use super::pace::Pace;
use super::{Error, Event, RemoteFile, Result, Snapshot, TRIES, Tell, Upstream, endpoint};
use crate::domain::digest::Digest;
use crate::domain::name::RepoKind;

const FILES_AT_ONCE: usize = 4;

/// How fetched files are called in their folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// As there, for people.
    Theirs,
    /// By names that every file system can hold beside each other.
    Plain,
}

impl Naming {
    /// Where a file lies below `files`.
    pub fn place(self, files: &Path, file: &RemoteFile) -> PathBuf {
        match self {
            Naming::Theirs => files.join(file.path.as_str()),
            Naming::Plain => files.join(Digest::of(file.path.as_str().as_bytes()).to_hex()),
        }
    }
}

impl Upstream {
    /// Fetches all files of a snapshot into the folder `files`. `parts` is for what has not arrived entirely; whoever
    /// calls again with the same two folders goes on where this ended.
    pub async fn fetch(&self, snapshot: &Snapshot, files: &Path, naming: Naming, parts: &Path, tell: &Tell) -> Result<()> {
        for folder in [files, parts] {
            tokio::fs::create_dir_all(folder).await.map_err(Error::io(folder))?;
        }
        tell(Event::Begin { files: snapshot.files.len() as u64, bytes: snapshot.total_bytes() });
        let fetching: Vec<_> =
            snapshot.files.iter().map(|file| self.fetch_file(snapshot, file, naming.place(files, file), parts, tell)).collect();
        stream::iter(fetching).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
        tokio::fs::remove_dir_all(parts).await.map_err(Error::io(parts))
    }

    async fn fetch_file(&self, snapshot: &Snapshot, file: &RemoteFile, target: PathBuf, parts: &Path, tell: &Tell) -> Result<()> {
        if tokio::fs::try_exists(&target).await.map_err(Error::io(&target))? && problem(&target, file).await?.is_none() {
            tell(Event::Advance(file.size_bytes));
            return Ok(());
        }
        // A part is known again by what it will be.
        let part = parts.join(Digest::of(format!("{}\n{:?}", file.path, file.proof).as_bytes()).to_hex());
        for may_repeat in [true, false] {
            self.fill(snapshot, file, &part, tell).await?;
            let Some(problem) = problem(&part, file).await? else {
                return place(&part, &target).await;
            };
            tokio::fs::remove_file(&part).await.map_err(Error::io(&part))?;
            if !may_repeat {
                return Err(Error::Damaged { path: file.path.to_string(), problem });
            }
            tell(Event::Retreat(file.size_bytes));
        }
        Ok(())
    }

    /// Fetches what a part lacks.
    async fn fill(&self, snapshot: &Snapshot, file: &RemoteFile, part: &Path, tell: &Tell) -> Result<()> {
        let mut opened = OpenOptions::new().create(true).append(true).open(part).await.map_err(Error::io(part))?;
        let mut held = opened.metadata().await.map_err(Error::io(part))?.len();
        if held > file.size_bytes {
            opened.set_len(0).await.map_err(Error::io(part))?;
            held = 0;
        }
        tell(Event::Advance(held));
        let (mut cuts, mut furthest) = (0, held);
        while held < file.size_bytes {
            let answer = self.ask(snapshot, file, held, tell).await?;
            if held > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
                opened.set_len(0).await.map_err(Error::io(part))?;
                tell(Event::Retreat(held));
                held = 0;
            }
            let cut = self.pour(answer, file, &mut held, &mut opened, part, tell).await?;
            let Some(reason) = cut else { continue };
            // Whoever sends the same beginning again and again gets nowhere.
            cuts = if held > furthest { 1 } else { cuts + 1 };
            furthest = furthest.max(held);
            if cuts == TRIES {
                return Err(Error::Unreachable { upstream: self.address().to_owned(), reason });
            }
            let after = Duration::from_millis(500) * 2u32.pow(cuts - 1);
            tell(Event::Repeat { reason, after });
            tokio::time::sleep(after).await;
        }
        opened.flush().await.map_err(Error::io(part))
    }

    pub(super) fn get_file(&self, snapshot: &Snapshot, file: &RemoteFile) -> Result<RequestBuilder> {
        let kind = (snapshot.kind == RepoKind::Dataset).then_some("datasets");
        let (id, path) = (snapshot.id.split('/'), file.path.as_str().split('/'));
        let parts: Vec<&str> = kind.into_iter().chain(id).chain(["resolve", &snapshot.commit]).chain(path).collect();
        self.get(&parts)
    }

    /// Asks for a file from byte `from` on.
    async fn ask(&self, snapshot: &Snapshot, file: &RemoteFile, from: u64, tell: &Tell) -> Result<Response> {
        let what = format!("'{}' of {} '{}'", file.path, snapshot.kind, snapshot.id);
        let request = self.get_file(snapshot, file)?.header(ACCEPT_ENCODING, "identity");
        let request = if from > 0 { request.header(RANGE, format!("bytes={from}-")) } else { request };
        let answer = self.send(&what, tell, request).await?;
        let begins = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let begins = begins.and_then(|text| text.strip_prefix("bytes ")?.split_once('-')?.0.parse::<u64>().ok());
        if answer.status() == StatusCode::PARTIAL_CONTENT && begins != Some(from) {
            return Err(Error::Odd { upstream: self.address().to_owned(), problem: format!("{what} was sent from another byte on") });
        }
        let sent = if answer.status() == StatusCode::PARTIAL_CONTENT { from } else { 0 };
        if let Some(bytes) = answer.content_length()
            && sent + bytes != file.size_bytes
        {
            let problem =
                format!("{what} would have {} bytes, not the announced {}: it is another file, or a page", sent + bytes, file.size_bytes);
            return Err(Error::Odd { upstream: self.address().to_owned(), problem });
        }
        Ok(answer)
    }

    /// Writes an answer behind what is there. Why it ended too early, if it did.
    async fn pour(
        &self,
        answer: Response,
        file: &RemoteFile,
        held: &mut u64,
        opened: &mut tokio::fs::File,
        part: &Path,
        tell: &Tell,
    ) -> Result<Option<String>> {
        let (mut bytes, mut pace) = (answer.bytes_stream(), Pace::new(self.patience));
        let size = |block: &Option<reqwest::Result<Bytes>>| block.as_ref().map_or(0, |block| block.as_ref().map_or(0, Bytes::len));
        loop {
            let Some(block) = pace.next(bytes.next(), size).await else {
                let reason = format!("'{}' came too slowly: almost nothing in {:?}", file.path, self.patience);
                return Err(Error::Unreachable { upstream: self.address().to_owned(), reason });
            };
            let Some(block) = block else { break };
            let block = match block {
                Ok(block) => block,
                Err(error) => return Ok(Some(endpoint::reason(&error))),
            };
            if *held + block.len() as u64 > file.size_bytes {
                let problem = format!("'{}' has more than the announced {} bytes", file.path, file.size_bytes);
                return Err(Error::Odd { upstream: self.address().to_owned(), problem });
            }
            opened.write_all(&block).await.map_err(Error::io(part))?;
            *held += block.len() as u64;
            tell(Event::Advance(block.len() as u64));
        }
        Ok((*held < file.size_bytes).then(|| "the answer ended too early".to_owned()))
    }
}

/// `None`: the file is what was announced.
async fn problem(path: &Path, file: &RemoteFile) -> Result<Option<String>> {
    let (path, announced) = (path.to_owned(), file.clone());
    let looked = spawn_blocking(move || {
        let mut opened = std::fs::File::open(&path).map_err(Error::io(&path))?;
        let size = opened.metadata().map_err(Error::io(&path))?.len();
        if size != announced.size_bytes {
            return Ok(Some(format!("{size} bytes instead of {}", announced.size_bytes)));
        }
        announced.proof.problem(&mut opened, size).map_err(Error::io(&path))
    });
    looked.await.unwrap_or_else(|stopped| Ok(Some(format!("it could not be hashed: {stopped}"))))
}

async fn place(part: &Path, target: &Path) -> Result<()> {
    if let Some(folder) = target.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(Error::io(folder))?;
    }
    tokio::fs::rename(part, target).await.map_err(Error::io(target))
}
