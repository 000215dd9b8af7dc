//! `hub analogy` and `hub similarity`, and `hub neighbors` of a word: what word vectors say, worked out here.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::pull::pull;
use super::remote::{Remote, Target};
use super::table::table;
use crate::vectors::{Error, Found, LARGE_VOCABULARY, Neighbor, WordVectors};

/// Which model is asked.
#[derive(Debug, Args)]
pub struct Model {
    /// NAME[@REVISION] of a model of word vectors, or its folder here
    #[arg(long, short, value_name = "NAME|FOLDER")]
    model: String,
    /// Take the model from the cache without asking the server
    #[arg(long)]
    offline: bool,
    /// Look at every word, also of a million or more, where else only the most promising lists of them are looked at
    #[arg(long)]
    exact: bool,
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

fn rows(found: &[Neighbor]) -> Vec<Vec<String>> {
    found.iter().map(|neighbor| vec![format!("{:.4}", neighbor.similarity), neighbor.word.clone()]).collect()
}

fn as_json(found: &[Neighbor]) -> serde_json::Value {
    found.iter().map(|neighbor| json!({"word": neighbor.word, "similarity": neighbor.similarity})).collect()
}

fn words(found: &[Neighbor]) -> String {
    found.iter().map(|neighbor| neighbor.word.as_str()).collect::<Vec<_>>().join("\n")
}

/// `hub neighbors WORD... --model NAME`
pub async fn neighbors(remote: &Remote, asked: &[String], model: &str, k: usize, (offline, exact): (bool, bool)) -> Result<Output> {
    let opened = open(remote, model, offline, exact).await?;
    let (mut human, mut quiet, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for word in asked {
        let (found, from) = opened.vectors.neighbors(word, k).map_err(failed)?;
        let subwords = if let Found::Subwords(parts) = from { Some(parts) } else { None };
        if let Some(parts) = subwords {
            remote.reporter.note(&format!("`{word}` is not in the vocabulary; its vector is the mean of {parts} n-grams"));
        }
        if asked.len() > 1 {
            human.push(format!("{word}:"));
        }
        human.push(table(&["similarity", "word"], &rows(&found)));
        quiet.push(words(&found));
        all.push(json!({"word": word, "subwords": subwords, "neighbors": as_json(&found)}));
    }
    Ok(Output::new(human.join("\n"), json!({"model": opened.name, "words": all, "exact": !opened.vectors.has_lists()}), quiet.join("\n")))
}

impl Analogy {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let opened = open(remote, &self.model.model, self.model.offline, self.model.exact).await?;
        if let Some(path) = &self.questions {
            return self.answered(remote, &opened, path);
        }
        let (Some(a), Some(b), Some(c)) = (&self.a, &self.b, &self.c) else {
            return Err(CliError::usage("three words are wanted", "write `hub analogy man king woman --model NAME`"));
        };
        let found = opened.vectors.analogy([a, b, c], self.k).map_err(failed)?;
        let json = json!({"model": opened.name, "analogy": [a, b, c], "answers": as_json(&found)});
        Ok(Output::new(table(&["similarity", "word"], &rows(&found)), json, words(&found)))
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
        // Nothing is looked for: lists would be of no use.
        let opened = open(remote, &self.model.model, self.model.offline, true).await?;
        if let (Some(a), Some(b)) = (&self.a, &self.b) {
            let similarity = opened.vectors.similarity(a, b).map_err(failed)?;
            let json = json!({"model": opened.name, "words": [a, b], "similarity": similarity});
            return Ok(Output::new(format!("{similarity:.4}"), json, similarity.to_string()));
        }
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
