//! The calls about what the library lists.

use reqwest::Method;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Event, Folder, Result};
use crate::domain::manifest::Manifest;
use crate::domain::name::{RepoId, RepoKind};
use crate::wire::List;
use crate::wire::files::{Committed, File};
use crate::wire::library::{AdoptEntry, EntryFetched, FetchEntry, LibraryDetail, LibraryEntry};

impl Client {
    /// All entries.
    pub async fn library(&self) -> Result<List<LibraryEntry>> {
        self.json(Call::get(self.address.api(&["library"]))).await
    }

    pub async fn library_entry(&self, kind: RepoKind, id: &RepoId) -> Result<LibraryDetail> {
        self.json(Call::get(self.of_entry(kind, id, None))).await
    }

    /// Is `asked`, which led to `found`, another name that the library gives it?
    pub(super) async fn is_alias(&self, kind: RepoKind, asked: &RepoId, found: &str) -> bool {
        let folded = |text: &str| RepoId::parse(text).map(|id| id.folded()).unwrap_or_default();
        match self.library_entry(kind, asked).await {
            Ok(detail) => detail.entry.id == found && detail.entry.aliases.iter().any(|alias| folded(alias) == asked.folded()),
            Err(_) => false,
        }
    }

    /// Asks the server to fetch an entry, once; the answer may be that it is on its way.
    async fn ask_for_entry(&self, kind: RepoKind, id: &RepoId, asked: &FetchEntry) -> Result<EntryFetched> {
        self.json(Call::with(Method::POST, self.of_entry(kind, id, Some("fetch")), Repeat::Always, asked)?).await
    }

    /// Lets the server fetch an entry, and waits for it; how far that is goes to the sink. The answer is `here` or `failed`.
    pub async fn fetch_entry(&self, kind: RepoKind, id: &RepoId, anew: bool) -> Result<EntryFetched> {
        let mut asked = FetchEntry { attempt: None, anew };
        let (mut shown, mut begun, mut trouble) = (0, false, String::new());
        loop {
            let answer = self.ask_for_entry(kind, id, &asked).await?;
            asked.attempt = answer.attempt;
            if !begun && answer.bytes > 0 {
                begun = true;
                (self.sink)(Event::Begin { what: "fetching from the upstream", files: answer.files, bytes: answer.bytes });
            }
            let done = if answer.state == "here" { answer.bytes.max(shown) } else { answer.done_bytes };
            match begun {
                true if done > shown => (self.sink)(Event::Advance(done - shown)),
                true if done < shown => (self.sink)(Event::Retreat(shown - done)),
                _ => {}
            }
            shown = done;
            if !answer.trouble.is_empty() && answer.trouble != trouble {
                trouble.clone_from(&answer.trouble);
                (self.sink)(Event::Note(format!("the server tries again: {trouble}")));
            }
            if answer.state != "running" {
                if begun {
                    (self.sink)(Event::End);
                }
                return Ok(answer);
            }
        }
    }

    /// Sends files and publishes them as those of an entry. `manifest` is what [`super::hash_files`] said of `folder`.
    pub async fn adopt_entry(&self, kind: RepoKind, id: &RepoId, origin: &str, folder: &Folder, manifest: &Manifest) -> Result<Committed> {
        self.send_missing(folder, manifest).await?;
        let file = |entry: &crate::domain::manifest::ManifestEntry| File {
            path: entry.path.to_string(),
            size_bytes: entry.size_bytes,
            sha256: entry.digest.to_hex(),
            mark: None,
        };
        let body = AdoptEntry { origin: origin.to_owned(), files: manifest.entries().iter().map(file).collect() };
        self.json(Call::with(Method::POST, self.of_entry(kind, id, Some("files")), Repeat::IfRefused, &body)?).await
    }

    fn of_entry(&self, kind: RepoKind, id: &RepoId, what: Option<&str>) -> reqwest::Url {
        let plural = if kind == RepoKind::Model { "models" } else { "datasets" };
        let (namespace, name) = (id.namespace().as_str(), id.name().as_str());
        let parts: Vec<&str> = ["library", plural, namespace, name].into_iter().chain(what).collect();
        self.address.api(&parts)
    }
}
