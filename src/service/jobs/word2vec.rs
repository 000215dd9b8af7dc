//! Asking for a training of Word2Vec, as a job.

use super::super::{Error, Result, Service};
use super::admit::{WEIGHTS, need, nothing_in};
use super::words;
use crate::domain::human;
use crate::domain::job::Job;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::domain::word2vec::Settings;
use crate::domain::work::{TrainWord2vec, Work};
use crate::vectors::{self, Dtype};

/// More threads no training has.
const MOST_THREADS: usize = 256;
/// Different words that are counted at once, on a machine that others share.
const MOST_COUNTED: usize = 20_000_000;
const LONGEST_LICENSE: usize = 200;
/// Text is so many times larger than when it is packed.
const PACKED_TIMES: u64 = 4;

/// A training that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWord2vec {
    pub dataset: (RepoId, Revision),
    pub name: RepoId,
    pub private: bool,
    /// Vectors to go on from.
    pub from: Option<(RepoId, Revision)>,
    pub settings: Settings,
    pub dtype: Option<String>,
    /// 0: as many as the worker has.
    pub threads: usize,
    pub license: Option<String>,
}

impl Service {
    /// Puts it in the queue, once what it reads is there, its settings can be, and its result has a place.
    pub async fn create_word2vec(&self, actor: &Actor, asked: NewWord2vec) -> Result<Job> {
        self.check_target(actor, &asked.name).await?;
        let dtype = asked.dtype.as_deref().unwrap_or("f32");
        let checked = check(&asked.settings, dtype, asked.threads, asked.license.as_deref());
        checked
            .map_err(|message| Error::invalid("bad_settings", message, "correct that setting; settings left out take their defaults"))?;
        let (dataset, revision) = &asked.dataset;
        let found = self.get_repo_at(actor, RepoKind::Dataset, dataset, revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(dataset)) };
        let (_, files) = self.manifest(actor, RepoKind::Dataset, dataset, &Revision::Number(pinned.number)).await?;
        self.check_memory(&asked, &files)?;
        let from = match &asked.from {
            None => None,
            Some((id, revision)) => Some(self.vectors_to_go_on_from(actor, (id, revision), &asked).await?),
        };
        let work = TrainWord2vec {
            dataset: dataset.clone(),
            dataset_version: pinned.number,
            from,
            name: asked.name,
            private: asked.private,
            settings: asked.settings,
            dtype: dtype.to_owned(),
            threads: asked.threads,
            license: asked.license,
        };
        self.queue_work(actor, Work::Word2vec(work), Vec::new()).await
    }

    /// Refuses a training whose vocabulary may be too much for this machine.
    fn check_memory(&self, asked: &NewWord2vec, files: &Manifest) -> Result<()> {
        let text = |file: &ManifestEntry| {
            if is_packed(file.path.as_str()) { file.size_bytes.saturating_mul(PACKED_TIMES) } else { file.size_bytes }
        };
        let bytes = files.entries().iter().map(text).fold(0, u64::saturating_add);
        let (foreseen, allowed) = (asked.settings.foreseen(bytes, 0), self.policy().max_job_bytes);
        if foreseen.memory_bytes <= allowed {
            return Ok(());
        }
        let (needed, allowed) = (human::bytes(foreseen.memory_bytes), human::bytes(allowed));
        let (words, width) = (foreseen.words, asked.settings.width);
        let message =
            format!("this training may need {needed} of memory, for up to {words} words of {width} numbers; {allowed} are allowed");
        Err(Error::invalid("job_too_large", message, "ask for a smaller width, a larger min_count, or a smaller max_counted"))
    }

    /// The version, which must hold word vectors as wide as those that are asked for.
    async fn vectors_to_go_on_from(
        &self,
        actor: &Actor,
        (id, revision): (&RepoId, &Revision),
        asked: &NewWord2vec,
    ) -> Result<(RepoId, u32)> {
        let id = self.present_name(actor, RepoKind::Model, id).await?;
        self.check_apart(&asked.name, &id).await?;
        let (version, manifest) = self.manifest(actor, RepoKind::Model, &id, revision).await?;
        let config = self.model_config(&id, &version, &manifest).await?;
        need(&manifest, WEIGHTS, &id, &version)?;
        if !words::are_in(&config, &manifest) {
            let hint = "choose a model of word vectors (Word2Vec, GloVe, fastText)";
            return Err(Error::invalid("no_word_vectors", format!("{id}@{} holds no word vectors", version.number), hint));
        }
        match config.num_features {
            Some(width) if width != asked.settings.width => {
                let message =
                    format!("width: {id}@{} has vectors of {width} numbers, and {} are asked for", version.number, asked.settings.width);
                Err(Error::invalid("bad_settings", message, format!("ask for a width of {width}")))
            }
            _ => Ok((id, version.number)),
        }
    }
}

/// Whether a file is larger when it is read.
fn is_packed(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["gz", "zst", "xz", "bz2", "lz4", "zip", "tgz"].contains(&ending.as_str()))
}

/// Says what no training has.
fn check(settings: &Settings, dtype: &str, threads: usize, license: Option<&str>) -> std::result::Result<(), String> {
    settings.check().map_err(|error: vectors::Error| error.to_string())?;
    if settings.max_counted > MOST_COUNTED {
        return Err(format!("max_counted: {} is more than {MOST_COUNTED}", settings.max_counted));
    }
    if Dtype::parse(dtype).is_none() {
        return Err(format!("dtype: `{}` is neither f32, f16 nor int8", vectors::shown(dtype)));
    }
    if threads > MOST_THREADS {
        return Err(format!("threads: {threads} is more than {MOST_THREADS}"));
    }
    if license.is_some_and(|license| license.len() > LONGEST_LICENSE || license.chars().any(char::is_control)) {
        return Err(format!("license: not a name of up to {LONGEST_LICENSE} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_training_has_is_named() {
        let usual = Settings::default();
        assert_eq!(check(&usual, "f16", 0, Some("mit")), Ok(()));
        for (settings, dtype, threads, license, word) in [
            (Settings { width: 0, ..usual.clone() }, "f32", 0, None, "width"),
            (Settings { max_counted: MOST_COUNTED + 1, ..usual.clone() }, "f32", 0, None, "max_counted"),
            (usual.clone(), "f64", 0, None, "dtype"),
            (usual.clone(), "f32", 1000, None, "threads"),
            (usual.clone(), "f32", 0, Some("a\nb"), "license"),
        ] {
            let refused = check(&settings, dtype, threads, license).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
        assert!(is_packed("a/corpus.txt.GZ") && !is_packed("corpus.txt") && !is_packed("zip"));
    }
}
