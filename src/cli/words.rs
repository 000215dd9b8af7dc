//! `hub analogy` and `hub similarity`, and `hub neighbors` of a word: what word vectors say. The server is asked where it has the model;
//! a folder here, files of questions, and `--local` are worked on here.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::pull::pull;
use super::remote::{Remote, Target};
use super::table::table;
use crate::vectors::{Error, Found, LARGE_VOCABULARY, Neighbor, WordVectors};
use crate::wire::words::{NearWord, WordAnalogy, WordNeighbors};

/// Which model is asked.
#[derive(Debug, Args)]
pub struct Model {
    /// NAME[@REVISION] of a model of word vectors, or its folder here
    #[arg(long, short, value_name = "NAME|FOLDER")]
    model: String,
    /// Pull the model and work it out here
    #[arg(long)]
    local: bool,
    /// Take the model from the cache without asking the server
    #[arg(long)]
    offline: bool,
    /// Look at every word, also of a million or more, where else only the most promising lists of them are looked at
    #[arg(long)]
    exact: bool,
}

/// Where a question is answered, and how thoroughly.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub local: bool,
    pub offline: bool,
    pub exact: bool,
}

impl Model {
    fn how(&self) -> How {
        How { local: self.local, offline: self.offline, exact: self.exact }
    }
}

impl How {
    /// The model on the server, where that is asked: what is no folder here, unless the work is to be done here.
    fn asked(self, model: &str, k: usize) -> Result<Option<Target>> {
        if self.local || self.offline || Path::new(model).join("config.json").is_file() {
            return Ok(None);
        }
        if k > MOST_WORDS {
            return Err(CliError::usage(format!("-k: the server tells at most {MOST_WORDS} words"), "ask for fewer, or add --local"));
        }
        Target::parse(model, false).map(Some)
    }
}

/// Find what is to one word as another is to a third
///
/// The words nearest to B - A + C: what is to C as B is to A. With --questions, a file of such questions is answered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub analogy man king woman --model glove-50d       what is to woman as king is to man
  hub analogy --questions questions-words.txt --model glove-50d")]
pub struct Analogy {
    /// Two words that belong together in some way
    #[arg(value_name = "A", required_unless_present = "questions")]
    a: Option<String>,
    #[arg(value_name = "B", required_unless_present = "questions")]
    b: Option<String>,
    /// A word whose like is wanted
    #[arg(value_name = "C", required_unless_present = "questions")]
    c: Option<String>,
    /// A file of analogies: four words a line, `: NAME` begins a section
    #[arg(long, value_name = "FILE", conflicts_with = "a")]
    questions: Option<PathBuf>,
    /// How many answers
    #[arg(short, default_value_t = 5)]
    k: usize,
    #[command(flatten)]
    model: Model,
}

/// Say how similar words are
///
/// The cosine between the vectors of two words; with --pairs, Spearman's rank correlation with the scores that people gave.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub similarity frog toad --model glove-50d
  hub similarity --pairs EN-WS-353-ALL.txt --pairs EN-RG-65.txt --model glove-50d")]
pub struct Similarity {
    /// Two words
    #[arg(value_name = "A", required_unless_present = "pairs")]
    a: Option<String>,
    #[arg(value_name = "B", required_unless_present = "pairs")]
    b: Option<String>,
    /// A file of pairs: two words and a score a line (may be repeated)
    #[arg(long, value_name = "FILE", conflicts_with = "a")]
    pairs: Vec<PathBuf>,
    #[command(flatten)]
    model: Model,
}

/// Words that the server tells at most.
const MOST_WORDS: usize = 1_000;

/// A model of word vectors, and what it is called.
struct Opened {
    vectors: WordVectors,
    name: String,
}

/// The folder of a model, here or in the cache, where it is pulled into; and what it is called.
pub async fn folder_of(remote: &Remote, model: &str, offline: bool) -> Result<(PathBuf, String)> {
    let here = Path::new(model);
    if here.join("config.json").is_file() {
        return Ok((here.to_owned(), model.to_owned()));
    }
    let target = Target::parse(model, false)?;
    let pulled = pull(&remote.client()?, remote, &target, offline).await?;
    Ok((pulled.path.clone(), format!("{}@{}", pulled.id, pulled.number)))
}

async fn open(remote: &Remote, model: &str, offline: bool, exact: bool) -> Result<Opened> {
    let (folder, name) = folder_of(remote, model, offline).await?;
    let vectors = WordVectors::open(&folder).map_err(failed)?;
    if exact || vectors.vocabulary.len() < LARGE_VOCABULARY || remote.config.cache.as_os_str().is_empty() {
        return Ok(Opened { vectors, name });
    }
    let (kept, reporter) = (remote.config.cache.join("word-lists"), remote.reporter.clone());
    let find = move || {
        let vectors =
            vectors.with_lists(&kept, LARGE_VOCABULARY, &mut |done, all| reporter.steps(done as u64, all as u64, "words in lists"));
        reporter.finish();
        vectors
    };
    let found = tokio::task::spawn_blocking(find).await;
    let vectors = found.map_err(|e| CliError::new(1, "internal", format!("finding lists failed: {e}"), "report this as a bug"))?;
    Ok(Opened { vectors, name })
}

/// What went wrong with word vectors, and what to do.
pub fn failed(error: Error) -> CliError {
    let message = error.to_string();
    match error {
        Error::UnknownWord { .. } => {
            CliError::new(3, "unknown_word", message, "check the spelling, or take a model with subwords (fastText)")
        }
        Error::Corrupt { .. } => CliError::corrupt(message, "fetch the file again and compare its sha256"),
        Error::Invalid { .. } => CliError::usage(message, "--help lists the flags"),
        Error::Unsupported { .. } | Error::Io { .. } => CliError::new(1, "source", message, "name a model of word vectors"),
    }
}

fn rows(found: &[NearWord]) -> Vec<Vec<String>> {
    found.iter().map(|neighbor| vec![format!("{:.4}", neighbor.similarity), neighbor.word.clone()]).collect()
}

fn near(found: Vec<Neighbor>) -> Vec<NearWord> {
    found.into_iter().map(|neighbor| NearWord { word: neighbor.word, similarity: neighbor.similarity }).collect()
}

fn words(found: &[NearWord]) -> String {
    found.iter().map(|neighbor| neighbor.word.as_str()).collect::<Vec<_>>().join("\n")
}

/// `hub neighbors WORD... --model NAME`
pub async fn neighbors(remote: &Remote, asked: &[String], model: &str, k: usize, how: How) -> Result<Output> {
    let found = match how.asked(model, k)? {
        Some(target) => {
            let (client, mut found) = (remote.client()?, Vec::new());
            for word in asked {
                found.push(client.word_neighbors((&target.id, &target.revision), word, k, how.exact).await?);
            }
            found
        }
        None => neighbors_here(&open(remote, model, how.offline, how.exact).await?, asked, k)?,
    };
    let (mut human, mut quiet, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for one in &found {
        let word = &one.word;
        if let Some(parts) = one.subwords {
            remote.reporter.note(&format!("`{word}` is not in the vocabulary; its vector is the mean of {parts} n-grams"));
        }
        if asked.len() > 1 {
            human.push(format!("{word}:"));
        }
        human.push(table(&["similarity", "word"], &rows(&one.neighbors)));
        quiet.push(words(&one.neighbors));
        all.push(json!({"word": word, "subwords": one.subwords, "neighbors": one.neighbors}));
    }
    let (name, exact) = found.first().map_or(("", how.exact), |one| (one.model.as_str(), one.exact));
    Ok(Output::new(human.join("\n"), json!({"model": name, "words": all, "exact": exact}), quiet.join("\n")))
}

fn neighbors_here(opened: &Opened, asked: &[String], k: usize) -> Result<Vec<WordNeighbors>> {
    let of = |word: &String| -> Result<WordNeighbors> {
        let (found, from) = opened.vectors.neighbors(word, k).map_err(failed)?;
        let subwords = if let Found::Subwords(parts) = from { Some(parts) } else { None };
        let (model, exact) = (opened.name.clone(), !opened.vectors.has_lists());
        Ok(WordNeighbors { model, word: word.clone(), subwords, neighbors: near(found), exact })
    };
    asked.iter().map(of).collect()
}

impl Analogy {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let how = self.model.how();
        if let Some(path) = &self.questions {
            return self.answered(remote, &open(remote, &self.model.model, how.offline, how.exact).await?, path);
        }
        let (Some(a), Some(b), Some(c)) = (&self.a, &self.b, &self.c) else {
            return Err(CliError::usage("three words are wanted", "write `hub analogy man king woman --model NAME`"));
        };
        let (model, answers) = match how.asked(&self.model.model, self.k)? {
            Some(target) => {
                let asked = remote.client()?.word_analogy((&target.id, &target.revision), [a, b, c], self.k, how.exact).await?;
                let WordAnalogy { model, answers, .. } = asked;
                (model, answers)
            }
            None => {
                let opened = open(remote, &self.model.model, how.offline, how.exact).await?;
                (opened.name, near(opened.vectors.analogy([a, b, c], self.k).map_err(failed)?))
            }
        };
        let json = json!({"model": model, "analogy": [a, b, c], "answers": answers});
        Ok(Output::new(table(&["similarity", "word"], &rows(&answers)), json, words(&answers)))
    }

    fn answered(&self, remote: &Remote, opened: &Opened, path: &Path) -> Result<Output> {
        let sections = opened.vectors.questions(path, &mut |_| ()).map_err(failed)?;
        let share = |right: usize, asked: usize| if asked == 0 { 0.0 } else { right as f64 / asked as f64 };
        let row = |section: &crate::vectors::Section| {
            let share = format!("{:.1} %", 100.0 * share(section.right, section.asked));
            vec![section.name.clone(), share, section.right.to_string(), section.asked.to_string(), section.unknown.to_string()]
        };
        let rows: Vec<_> = sections.iter().map(row).collect();
        let sum = |of: fn(&crate::vectors::Section) -> usize| sections.iter().map(of).sum::<usize>();
        let (right, asked, unknown) = (sum(|s| s.right), sum(|s| s.asked), sum(|s| s.unknown));
        if unknown > 0 {
            remote.reporter.note(&format!("{unknown} questions have words without a vector and were left out"));
        }
        let all: Vec<_> =
            sections.iter().map(|s| json!({"section": s.name, "right": s.right, "asked": s.asked, "unknown": s.unknown})).collect();
        let accuracy = share(right, asked);
        let json = json!({"model": opened.name, "accuracy": accuracy, "right": right, "asked": asked, "unknown": unknown, "sections": all});
        let human =
            format!("{}\n{right} of {asked} right ({:.1} %)", table(&["section", "right", "", "of", "unknown"], &rows), 100.0 * accuracy);
        Ok(Output::new(human, json, format!("{accuracy:.4}")))
    }
}

impl Similarity {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let how = self.model.how();
        // Nothing is looked for: lists would be of no use.
        let here = || open(remote, &self.model.model, how.offline, true);
        if let (Some(a), Some(b)) = (&self.a, &self.b) {
            let (model, similarity) = match how.asked(&self.model.model, 1)? {
                Some(target) => {
                    let said = remote.client()?.word_similarity((&target.id, &target.revision), [a, b]).await?;
                    (said.model, said.similarity)
                }
                None => {
                    let opened = here().await?;
                    let similarity = opened.vectors.similarity(a, b).map_err(failed)?;
                    (opened.name, similarity)
                }
            };
            let json = json!({"model": model, "words": [a, b], "similarity": similarity});
            return Ok(Output::new(format!("{similarity:.4}"), json, similarity.to_string()));
        }
        let opened = here().await?;
        let (mut rows, mut all, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
        for path in &self.pairs {
            let found = opened.vectors.agreement(path).map_err(failed)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            rows.push(vec![name.clone(), format!("{:.4}", found.spearman), found.pairs.to_string(), found.unknown.to_string()]);
            all.push(json!({"set": name, "spearman": found.spearman, "pairs": found.pairs, "unknown": found.unknown}));
            quiet.push(found.spearman.to_string());
        }
        let human = table(&["set", "spearman", "pairs", "unknown"], &rows);
        Ok(Output::new(human, json!({"model": opened.name, "sets": all}), quiet.join("\n")))
    }
}
