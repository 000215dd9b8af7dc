//! What every command that talks to a server is given: the settings, its way to the server and the cache, and
//! a place to say how far it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Context;
use super::credentials::Credentials;
use super::output::{CliError, Output, Result, Style};
use super::progress::Reporter;
use crate::cache::{Cache, HuggingFaceCache};
use crate::client::{Address, Client, Options};
use crate::config::Config;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo_ref::{RepoRef, RepoRefError};
use crate::domain::revision::Revision;
use crate::{cache, client};

/// Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    pub config: Arc<Config>,
    pub style: Style,
    pub reporter: Reporter,
    /// `--insecure`
    insecure: bool,
    if_interrupted: Arc<Mutex<String>>,
}

/// Runs a command's story to its end, or until Ctrl-C.
pub fn run(context: &Context, story: impl AsyncFnOnce(&Remote) -> Result<Output>) -> Result<Output> {
    let remote = Remote::new(context);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::failed(format!("no threads: {e}"), "close other programs and try again"))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = story(&remote) => result,
            _ = tokio::signal::ctrl_c() => Err(remote.interrupted()),
        }
    });
    remote.reporter.finish();
    // Hashing may still be under way on another thread after Ctrl-C; nobody waits for it.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

impl Remote {
    fn new(context: &Context) -> Remote {
        let style = Style::of(context.globals.json, context.globals.quiet);
        Remote {
            config: Arc::new(context.config.clone()),
            style,
            reporter: Reporter::new(context.globals.progress, style == Style::Quiet),
            insecure: context.globals.insecure,
            if_interrupted: Arc::new(Mutex::new("nothing is half done; run the command again".into())),
        }
    }

    pub fn address(&self) -> Result<Address> {
        Ok(Address::parse(&self.config.server)?)
    }

    /// As whoever the settings or `hub login` say; as a stranger otherwise.
    pub fn client(&self) -> Result<Client> {
        let address = self.address()?;
        let token = match &self.config.token {
            Some(token) => Some(token.clone()),
            None if self.config.config_dir.as_os_str().is_empty() => None,
            None => self.credentials()?.token(&address)?,
        };
        self.client_with(address, token)
    }

    pub fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials::at(placed(&self.config.config_dir, "file of log-ins", "HUB_CONFIG")?))
    }

    pub fn client_with(&self, address: Address, token: Option<String>) -> Result<Client> {
        let options = Options { token, insecure: self.insecure, sink: Some(self.reporter.sink()) };
        Ok(Client::new(address, options)?)
    }

    pub fn cache(&self) -> Result<Cache> {
        Ok(Cache::open(placed(&self.config.cache, "cache", "HUB_CACHE")?)?)
    }

    /// The cache of `huggingface_hub`.
    pub fn hugging_face_cache(&self) -> Result<HuggingFaceCache> {
        Ok(HuggingFaceCache::at(placed(&self.config.hf_cache, "cache of huggingface_hub", "HF_HOME")?))
    }

    /// What a person who presses Ctrl-C from now on is told.
    pub fn on_interrupt(&self, hint: impl Into<String>) {
        *self.if_interrupted.lock() = hint.into();
    }

    fn interrupted(&self) -> CliError {
        let hint = self.if_interrupted.lock().clone();
        CliError { hint, ..CliError::interrupted() }
    }
}

/// A folder that has no place where there is no home.
pub fn placed<'a>(folder: &'a Path, what: &str, variable: &str) -> Result<&'a Path> {
    if folder.as_os_str().is_empty() {
        let message = format!("HOME is not set, so the {what} has no place");
        return Err(CliError::new(1, "no_home", message, format!("set {variable} to where it shall be, or HOME")));
    }
    Ok(folder)
}

/// Where no such model was found: perhaps a data set has that name.
pub async fn or_say_dataset<T>(client: &Client, target: &Target, result: client::Result<T>) -> Result<T> {
    let error = match result {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let other = error.is_not_found() && target.kind == RepoKind::Model && client.repo(RepoKind::Dataset, &target.id).await.is_ok();
    let mut failure = CliError::from(error);
    if other {
        failure.hint = format!("there is a data set of that name: add --dataset, or write dataset:{}", target.id);
    }
    Err(failure)
}

impl From<client::Error> for CliError {
    fn from(error: client::Error) -> CliError {
        let exit_code = u8::try_from(error.exit_code()).unwrap_or(1);
        CliError::new(exit_code, error.code(), error.to_string(), error.hint())
    }
}

impl From<cache::Error> for CliError {
    fn from(error: cache::Error) -> CliError {
        client::Error::from(error).into()
    }
}

/// A version as people name it: `NAME`, `NAME@REVISION`, `dataset:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub kind: RepoKind,
    pub id: RepoId,
    pub revision: Revision,
}

impl Target {
    /// `dataset`: the flag that says the name is a data set's.
    pub fn parse(text: &str, dataset: bool) -> Result<Target> {
        if let Some(pasted) = from_address(text) {
            return Target::parse(&pasted, dataset);
        }
        let (prefixed, rest) = kind_prefix(text);
        let kind = if dataset { RepoKind::Dataset } else { prefixed.unwrap_or(RepoKind::Model) };
        let RepoRef { id, revision } = RepoRef::parse(rest).map_err(|error| match error {
            RepoRefError::Name { written, problem } => {
                CliError::usage(format!("'{written}': {problem}"), "write `namespace/name`, or `name` for library/name")
            }
            RepoRefError::Revision { written, problem } => {
                CliError::usage(format!("'{written}': {problem}"), "write NAME@main, NAME@3 or NAME@TAG")
            }
        })?;
        Ok(Target { kind, id, revision })
    }

    /// The same, where a revision makes no sense.
    pub fn parse_repo(text: &str, dataset: bool) -> Result<Target> {
        if text.contains('@') {
            return Err(CliError::usage(format!("'{text}' names a version, but a repo is wanted"), "leave out '@' and what follows"));
        }
        Target::parse(text, dataset)
    }
}

/// What the address of a page names, as it would be typed: `datasets/acme/cats@2`. Nothing of what is no address.
fn from_address(text: &str) -> Option<String> {
    let url = url::Url::parse(text.trim()).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
    let mut parts: Vec<&str> = url.path_segments()?.filter(|part| !part.is_empty()).collect();
    // A hub below a path of its own: what is before `datasets` is that.
    let dataset = parts.iter().position(|part| *part == "datasets");
    if let Some(at) = dataset {
        parts.drain(..=at);
    }
    let (id, rest) = match parts.as_slice() {
        [] => return None,
        [name] => ((*name).to_owned(), &[][..]),
        [namespace, name, rest @ ..] => (format!("{namespace}/{name}"), rest),
    };
    let of_path = match rest {
        ["tree" | "commit" | "commits" | "blob" | "resolve" | "raw", revision, ..] => Some((*revision).to_owned()),
        _ => None,
    };
    let revision = url.query_pairs().find(|(key, _)| key == "rev").map(|(_, value)| value.into_owned()).or(of_path);
    let kind = if dataset.is_some() { "datasets/" } else { "" };
    Some(format!("{kind}{id}{}", revision.map(|revision| format!("@{revision}")).unwrap_or_default()))
}

/// `dataset:x`, `model:x`, and the paths of pages (`datasets/acme/x`).
fn kind_prefix(text: &str) -> (Option<RepoKind>, &str) {
    let prefixes =
        [("dataset:", RepoKind::Dataset), ("model:", RepoKind::Model), ("datasets/", RepoKind::Dataset), ("models/", RepoKind::Model)];
    prefixes.into_iter().find_map(|(prefix, kind)| text.strip_prefix(prefix).map(|rest| (Some(kind), rest))).unwrap_or((None, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_people_type_them() {
        let read = |text: &str, dataset| {
            let target = Target::parse(text, dataset).unwrap();
            format!("{} {} {}", target.kind, target.id, target.revision)
        };
        assert_eq!(read("resnet50", false), "model library/resnet50 main");
        assert_eq!(read("acme/net@v1.0", false), "model acme/net v1.0");
        assert_eq!(read("dataset:flowers@3", false), "dataset library/flowers 3");
        assert_eq!(read("datasets/acme/flowers", false), "dataset acme/flowers main");
        assert_eq!(read("flowers", true), "dataset library/flowers main");
        assert_eq!(read("http://hub.lan:8080/acme/net?rev=3", false), "model acme/net 3");
        assert_eq!(read("https://hub.example.org/ml/datasets/acme/flowers/files?rev=2", false), "dataset acme/flowers 2");
        assert_eq!(read("https://hub.example.org/acme/net/tree/v1.0", false), "model acme/net v1.0");
        assert_eq!(read("http://hub.lan/resnet50", false), "model library/resnet50 main");
        assert!(Target::parse("http://hub.lan/", false).is_err() && Target::parse("ftp://hub.lan/a/b", false).is_err());
        for text in ["", "a/b/c", "a@", "a@..", "../x", "a b"] {
            assert_eq!(Target::parse(text, false).unwrap_err().exit_code, 2, "{text:?}");
        }
        assert!(Target::parse_repo("a@1", false).is_err());
    }
}
