//! `hub train word2vec`: word vectors of a corpus of one's own, trained here; or of a data set of the server, as a job.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::publish::{self, How};
use super::remote::{Remote, Target};
use super::table::count;
use super::watch;
use super::words::{failed, folder_of};
use crate::client::{Folder, FolderRules, hash_files};
use crate::domain::name::RepoKind;
use crate::vectors::folder::{self, About};
use crate::vectors::train::{Architecture, GoOn, Progress, Request, Settings, Trained, train};
use crate::vectors::{Dtype, Files, Tokenizer, WordVectors};
use crate::wire::words::CreateWord2vec;

/// Train a model from nothing
#[derive(Debug, Args)]
pub struct Train {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Word2vec(Box<Word2vec>),
}

/// Train word vectors on text
///
/// Reads text files, also packed ones, and those in folders, zips and tars; a line is a sentence or a paragraph. A run that was ended goes on
/// from its last checkpoint when the same command is given again. With --dataset the server trains on one of its data sets, as a job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub train word2vec corpus.txt.gz ada/my-words --epochs 5
  hub train word2vec texts/ more.zip --to ./vectors --model cbow --width 300 --phrases 2
  hub train word2vec mails.txt --to ./vectors --from glove-50d      goes on from published vectors
  hub train word2vec --dataset ada/mails ada/my-words               on the server, as a job")]
struct Word2vec {
    /// Files, folders or archives of text; last, unless --to is given, the name to publish under: NAMESPACE/NAME. With --dataset that name
    /// alone
    #[arg(required = true, value_name = "CORPUS|NAME")]
    words: Vec<PathBuf>,
    /// Train on the server, on this data set: NAME[@REVISION]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "work", "message", "branch", "tags"])]
    dataset: Option<String>,
    /// With --dataset: queue the job, and do not wait for it
    #[arg(long, requires = "dataset")]
    detach: bool,
    /// Threads [default: all]; with one the same seed makes the same vectors
    #[arg(long)]
    threads: Option<usize>,
    /// Only write the folder, and publish nothing
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Go on from the vectors of this model, NAME[@REVISION] or a folder here; words that it lacks begin anew
    #[arg(long, value_name = "NAME|FOLDER")]
    from: Option<String>,
    /// skipgram or cbow
    #[arg(long, default_value = "skipgram", value_name = "KIND")]
    model: String,
    /// Numbers of a vector [default: 100, or as wide as what it goes on from]
    #[arg(long)]
    width: Option<usize>,
    /// Words on either side, at most
    #[arg(long, default_value_t = 5)]
    window: usize,
    /// Leave out words that come less often
    #[arg(long, default_value_t = 5)]
    min_count: u64,
    /// Wrong answers for each right one
    #[arg(long, default_value_t = 5)]
    negative: usize,
    /// Drop words at random whose share of the corpus is above; 0 drops none
    #[arg(long, default_value_t = 1e-3)]
    sample: f64,
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// The learning rate at the beginning [default: 0.025 of skipgram, 0.05 of cbow]
    #[arg(long)]
    rate: Option<f32>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// words (runs of letters and digits in lower case) or whitespace (as the text stands)
    #[arg(long, default_value = "words", value_name = "KIND")]
    tokenizer: String,
    /// Rounds in which words that stand together become one, such as new_york
    #[arg(long, default_value_t = 0)]
    phrases: usize,
    /// The score from which they do
    #[arg(long, default_value_t = 10.0)]
    phrase_threshold: f64,
    /// f32, f16 or int8
    #[arg(long, default_value = "f32", value_name = "KIND")]
    dtype: String,
    /// SPDX identifier, such as apache-2.0
    #[arg(long)]
    license: Option<String>,
    /// Where the run keeps what it needs to go on [default: beside the result, NAME.training]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    #[command(flatten)]
    how: How,
}

impl Train {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        match self.what {
            What::Word2vec(args) => args.run(remote).await,
        }
    }
}

impl Word2vec {
    /// The corpus, and the name to publish under where nothing else is said.
    fn places(&self) -> Result<(&[PathBuf], Option<Target>)> {
        match (&self.to, self.words.split_last()) {
            (Some(_), _) => Ok((&self.words, None)),
            (None, Some((name, corpus))) if !corpus.is_empty() => {
                Ok((corpus, Some(Target::parse_repo(&name.display().to_string(), false)?)))
            }
            _ => Err(CliError::usage(
                "the vectors have no name to publish them under",
                "name them: hub train word2vec CORPUS NAMESPACE/NAME, or write a folder with --to",
            )),
        }
    }

    fn settings(&self, width: usize) -> Result<Settings> {
        let unknown = |what: &str, word: &str, names: &str| CliError::usage(format!("{what}: '{word}' is none"), format!("choose {names}"));
        Ok(Settings {
            architecture: Architecture::parse(&self.model).ok_or_else(|| unknown("--model", &self.model, "skipgram or cbow"))?,
            width,
            window: self.window,
            min_count: self.min_count,
            negative: self.negative,
            sample: self.sample,
            epochs: self.epochs,
            rate: self.rate,
            min_rate: self.rate.map_or(Settings::default().min_rate, |rate| rate.min(Settings::default().min_rate)),
            seed: self.seed,
            tokenizer: match Tokenizer::parse(&self.tokenizer) {
                Some(_) => self.tokenizer.clone(),
                None => return Err(unknown("--tokenizer", &self.tokenizer, "words or whitespace")),
            },
            phrases: self.phrases,
            phrase_threshold: self.phrase_threshold,
            ..Settings::default()
        })
    }

    /// Has the server train.
    async fn on_the_server(&self, remote: &Remote, dataset: &str) -> Result<Output> {
        let [name] = self.words.as_slice() else {
            let hint = "write `hub train word2vec --dataset NAME NAMESPACE/RESULT`";
            return Err(CliError::usage("with --dataset only the name of the result is wanted", hint));
        };
        let (dataset, name) = (Target::parse(dataset, true)?, Target::parse_repo(&name.display().to_string(), false)?);
        let client = remote.client()?;
        let from = self.from.as_deref().map(|from| Target::parse(from, false)).transpose()?;
        let width = match (self.width, &from) {
            (Some(width), _) => width,
            (None, Some(from)) => client.repo(RepoKind::Model, &from.id).await?.facts.num_features as usize,
            (None, None) => Settings::default().width,
        };
        let body = CreateWord2vec {
            dataset: format!("{}@{}", dataset.id, dataset.revision),
            name: name.id.to_string(),
            private: self.how.private,
            from: from.map(|from| format!("{}@{}", from.id, from.revision)),
            settings: self.settings(width)?,
            dtype: Some(self.dtype.clone()),
            threads: self.threads,
            license: self.license.clone(),
        };
        let job = client.create_word2vec(&body).await?;
        if self.detach {
            return Ok(Output::new(format!("queued as job {}", job.id), json!(job), job.id));
        }
        watch::to_the_end(remote, &client, &job.id, 0).await
    }

    async fn run(self, remote: &Remote) -> Result<Output> {
        if let Some(dataset) = &self.dataset {
            return self.on_the_server(remote, dataset).await;
        }
        let (corpus, target) = self.places()?;
        let from = match &self.from {
            Some(model) => Some(Files::of(&folder_of(remote, model, false).await?.0)),
            None => None,
        };
        let taken = from.as_ref().map(|from| WordVectors::open_files(from).map(|from| from.width())).transpose().map_err(failed)?;
        let settings = self.settings(self.width.or(taken).unwrap_or(Settings::default().width))?;
        let name = target.as_ref().map_or_else(String::new, |target| target.id.name().to_string());
        let beside = self.to.clone().unwrap_or_else(|| PathBuf::from(&name));
        let work = self.work.clone().unwrap_or_else(|| {
            let mut path = beside.as_os_str().to_owned();
            path.push(".training");
            path.into()
        });
        let dtype = Dtype::parse(&self.dtype);
        let dtype = dtype.ok_or_else(|| CliError::usage(format!("--dtype: '{}' is none", self.dtype), "choose f32, f16 or int8"))?;
        let threads = self.threads.unwrap_or(remote.config.threads);
        let request = Request { corpus: corpus.to_vec(), settings, from, resume: None, threads, work: work.clone(), dtype };
        remote.on_interrupt(format!("{} keeps what is done; run the same command again to go on", work.display()));
        let place = tempfile::tempdir().map_err(|e| CliError::failed(format!("no temporary folder: {e}"), "set TMPDIR"))?;
        let out = self.to.clone().unwrap_or_else(|| place.path().join("model"));
        let trained = self.train(remote, request, &out).await?;
        if let Err(error) = std::fs::remove_dir_all(&work) {
            remote.reporter.note(&format!("note: {} could not be removed: {error}", work.display()));
        }
        let Some(target) = target else { return Ok(said(&trained, &out)) };
        let folder = Folder::read(&out, &FolderRules::everything())?;
        let manifest = hash_files(&folder, None, &remote.reporter.sink()).await?;
        let mut publication = self.how.publication(&target)?;
        if publication.message.is_empty() {
            publication.message = format!("Train Word2Vec on {} words", count(trained.corpus_words));
        }
        publish::send(remote, &folder, &manifest, &publication).await
    }

    async fn train(&self, remote: &Remote, request: Request, out: &Path) -> Result<Trained> {
        let (reporter, out, about) = (remote.reporter.clone(), out.to_owned(), self.about(&request));
        let work = move || {
            let mut report = |progress: Progress| {
                match progress {
                    Progress::Counting { words, .. } => reporter.steps(0, 100, &format!("counting: {} words", count(words))),
                    Progress::Training { words, total, epoch, loss, words_per_second } => {
                        let percent = 100 * words / total.max(1);
                        let speed = count(words_per_second as u64);
                        reporter.steps(percent, 100, &format!("epoch {}, {speed} words/s, loss {loss:.3}", epoch + 1));
                    }
                    Progress::Checkpoint => {}
                }
                GoOn::Yes
            };
            let mut trained = None;
            let filled = folder::build(&out, &about, |folder| {
                let done = train(&request, folder, &mut report)?;
                let stored = done.stored.clone();
                trained = Some(done);
                Ok(stored)
            });
            reporter.finish();
            filled.map(|_| trained)
        };
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|e| CliError::new(1, "internal", format!("the training failed: {e}"), "report this as a bug"))?;
        let trained = done.map_err(failed)?.ok_or_else(|| CliError::failed("the training made nothing", "report this as a bug"))?;
        for note in trained.notes.iter().chain(&trained.stored.notes) {
            remote.reporter.note(&format!("note: {note}"));
        }
        remote.reporter.note(&format!(
            "{} words of {} numbers, from {} words of text, {} words/s",
            count(trained.stored.words as u64),
            trained.stored.width,
            count(trained.corpus_words),
            count(trained.words_per_second as u64)
        ));
        if trained.taken_over.0 > 0 {
            let (all, both) = trained.taken_over;
            remote.reporter.note(&format!(
                "{} words were taken over; {} of them stand in the corpus",
                count(all as u64),
                count(both as u64)
            ));
        }
        Ok(trained)
    }

    fn about(&self, request: &Request) -> About {
        let files: Vec<String> =
            request.corpus.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
        let settings = &request.settings;
        let rows = [
            ("trained by", "`hub train word2vec`".to_owned()),
            ("corpus", files.join(", ")),
            ("model", format!("{}, window {}, {} negative samples", settings.architecture.as_str(), settings.window, settings.negative)),
            ("epochs", format!("{}, learning rate from {}", settings.epochs, settings.rate())),
        ];
        About {
            license: self.license.clone(),
            base_model: self.from.iter().cloned().collect(),
            provenance: rows.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            ..About::default()
        }
    }
}

fn said(trained: &Trained, out: &Path) -> Output {
    let path = out.display().to_string();
    let json = json!({
        "path": path, "words": trained.stored.words, "width": trained.stored.width, "corpus_words": trained.corpus_words,
        "known_words": trained.known_words, "taken_over": trained.taken_over.0, "words_per_second": trained.words_per_second,
        "notes": trained.notes,
    });
    Output::new(path.clone(), json, path)
}
