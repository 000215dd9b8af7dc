//! The files of a version that say what it is: card, config.json, and the lists of a model's shards. Whatever they hold,
//! the version is published; what was not read of them is told as a warning.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::super::{Error, Result, Service};
use super::read_facts::{Reading, SIDE_BY_SIDE};
use crate::domain::card::{Card, MAX_CARD_BYTES};
use crate::domain::config::{MAX_CONFIG_BYTES, ModelConfig};
use crate::domain::encoder_config::Numbers;
use crate::domain::git_lfs;
use crate::domain::json;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::RepoKind;
use crate::domain::sentence::{self, Sentence};
use crate::domain::tower_config::ImageTower;
use crate::train;

/// Longest list of shards that is read.
const MAX_INDEX_BYTES: u64 = 32 << 20;
/// Lists of shards that are read of one version.
const MOST_INDEXES: usize = 16;
/// Of sentence-transformers' files.
const MOST_PAPERS: usize = 32;
/// Names in one warning.
const MOST_NAMED: usize = 5;

/// What `config.json` was found to be.
#[derive(Debug, Default)]
pub(super) enum Config {
    /// None, or another tool's.
    #[default]
    None,
    Read(ModelConfig),
    /// What could be read of one that nothing here can be built from, and why.
    InPart(ModelConfig, String),
}

impl Service {
    pub(super) async fn read_card(&self, kind: RepoKind, manifest: &Manifest, reading: &mut Reading) -> Result<()> {
        let Some(entry) = manifest.find("README.md") else {
            let from = match kind {
                RepoKind::Model => "what it was trained on",
                RepoKind::Dataset => "where it comes from",
            };
            reading.warn(&format!("there is no README.md: say what this is, its licence and {from}"));
            return Ok(());
        };
        let size = entry.size_bytes;
        let bytes = self.blobs.read_range(&entry.digest, 0..(MAX_CARD_BYTES as u64).min(size)).await?;
        let read = tokio::task::spawn_blocking(move || Card::read_bytes(&bytes, size)).await;
        let (card, problems) = read.map_err(|e| Error::Internal(format!("reading a card was stopped: {e}")))?;
        problems.iter().for_each(|problem| reading.warn(&problem.to_string()));
        reading.take_card(&card);
        Ok(())
    }

    /// `config.json` in timm's form. Another tool's is kept as it is and only warned about.
    pub(super) async fn read_config(&self, manifest: &Manifest, reading: &mut Reading) -> Result<Config> {
        const USELESS: &str = "this model can be fetched, but not fine-tuned or run here";
        let Some(entry) = manifest.find("config.json") else { return Ok(Config::None) };
        if entry.size_bytes > MAX_CONFIG_BYTES as u64 {
            reading
                .warn(&format!("config.json has {} bytes and is not read, as more than {MAX_CONFIG_BYTES}: {USELESS}", entry.size_bytes));
            return Ok(Config::None);
        }
        let bytes = self.blobs.read_all(&entry.digest, MAX_CONFIG_BYTES as u64).await?;
        let not_utf8 = std::str::from_utf8(&bytes).err().map(|e| format!("config.json is not UTF-8 text (byte {})", e.valid_up_to()));
        let text = String::from_utf8_lossy(&bytes);
        let value = match json::read(&text) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => {
                reading.warn(&format!("config.json is not a JSON object: {USELESS}"));
                return Ok(Config::None);
            }
            Err(problem) => {
                let problem = not_utf8.unwrap_or_else(|| format!("config.json is not valid JSON: {problem}"));
                reading.warn(&format!("{problem}: {USELESS}"));
                return Ok(Config::None);
            }
        };
        let named = |config: &serde_json::Map<String, Value>| {
            let name = Numbers::of_config(config).map(|numbers| numbers.name());
            name.or_else(|| Some(ImageTower::of_config(config)?.name()))
        };
        let is_theirs = value.as_object().and_then(named).is_some_and(|name| train::knows(&name));
        if value.get("architecture").is_none() && !is_theirs {
            reading.warn(&format!("config.json names no timm `architecture`: {USELESS}"));
            return Ok(Config::None);
        }
        let problem = match (not_utf8, ModelConfig::read(&text)) {
            (None, Ok(config)) => return Ok(Config::Read(config.with_papers(&self.sentence_papers(manifest).await?))),
            (Some(problem), _) => problem,
            (None, Err(problem)) => problem.to_string(),
        };
        reading.warn(&format!("{problem}: {USELESS}"));
        Ok(Config::InPart(ModelConfig::salvage(&value), problem))
    }

    /// What sentence-transformers left beside the config.
    pub(in crate::service) async fn sentence_papers(&self, manifest: &Manifest) -> Result<Vec<(String, String)>> {
        let paper = |entry: &&ManifestEntry| Sentence::is_paper(entry.path.as_str()) && entry.size_bytes <= sentence::MOST_BYTES;
        let mut papers = Vec::new();
        for entry in manifest.entries().iter().filter(paper).take(MOST_PAPERS) {
            let bytes = self.blobs.read_all(&entry.digest, sentence::MOST_BYTES).await?;
            papers.push((entry.path.as_str().to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(papers)
    }

    /// `model.safetensors.index.json` and its kin list the files a model is spread over.
    pub(super) async fn read_indexes(&self, manifest: &Manifest, reading: &mut Reading) -> Result<()> {
        let indexes = manifest.entries().iter().filter(|entry| entry.path.as_str().ends_with(".index.json"));
        for entry in indexes.take(MOST_INDEXES) {
            let Some(shards) = self.read_index(entry).await? else {
                reading.warn(&format!("{} is not read: it is no list of a model's shards, or too long", entry.path));
                continue;
            };
            let folder = entry.path.as_str().rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let missing: Vec<_> = shards.iter().filter(|shard| manifest.find(&format!("{folder}{shard}")).is_none()).collect();
            if missing.is_empty() {
                continue;
            }
            let named: Vec<_> = missing.iter().take(MOST_NAMED).map(|shard| shown(shard)).collect();
            let more = if missing.len() > MOST_NAMED { format!(" and {} more", missing.len() - MOST_NAMED) } else { String::new() };
            let which = format!("{}{more}", named.join(", "));
            reading.warn(&format!("{} names files that are not here: {which}; the model cannot be loaded without them", entry.path));
        }
        Ok(())
    }

    /// Files that only stand for others, published by mistake.
    pub(super) async fn find_pointers(&self, manifest: &Manifest, reading: &mut Reading) -> Result<()> {
        const MOST: usize = 2_000;
        let small = |entry: &&ManifestEntry| entry.size_bytes <= git_lfs::LONGEST_POINTER && entry.size_bytes > 100;
        let look = |entry: ManifestEntry| async move { Ok::<_, Error>((self.find_pointer(&entry).await?, entry)) };
        let small = manifest.entries().iter().filter(small).take(MOST).cloned();
        let looked: Vec<_> = stream::iter(small.map(look)).buffered(SIDE_BY_SIDE).try_collect().await?;
        let pointers: Vec<_> = looked.iter().filter_map(|(size, entry)| Some((size.as_ref()?, entry))).collect();
        for (size, entry) in pointers.iter().take(MOST_NAMED) {
            let what = "is a git-lfs pointer, not the file of";
            reading.warn(&format!("{} {what} {size} bytes it stands for: run 'git lfs pull' and publish again", entry.path));
        }
        if pointers.len() > MOST_NAMED {
            reading.warn(&format!("{} further files are git-lfs pointers", pointers.len() - MOST_NAMED));
        }
        Ok(())
    }

    /// The files that an index names.
    async fn read_index(&self, entry: &ManifestEntry) -> Result<Option<BTreeSet<String>>> {
        if entry.size_bytes > MAX_INDEX_BYTES {
            return Ok(None);
        }
        let bytes = self.blobs.read_all(&entry.digest, MAX_INDEX_BYTES).await?;
        let read = tokio::task::spawn_blocking(move || {
            let value = json::read(&String::from_utf8_lossy(&bytes)).ok()?;
            let shards = value.get("weight_map")?.as_object()?.values();
            Some(shards.filter_map(Value::as_str).map(String::from).collect())
        });
        read.await.map_err(|e| Error::Internal(format!("reading an index was stopped: {e}")))
    }
}

/// A name out of a file, safe and short enough for a sentence.
fn shown(name: &str) -> String {
    name.chars().take(120).flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] }).collect()
}
