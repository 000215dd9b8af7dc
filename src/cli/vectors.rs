//! `hub vectors`: what a model of word vectors makes of words and texts, worked out here.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::images::lines_of;
use super::output::{CliError, Output, Result, raw};
use super::remote::Remote;
use super::words::{failed, folder_of};
use crate::domain::answers::{Answers, Content, Format, Said};
use crate::vectors::{Found, Pooling, WordVectors};

/// Turn words and texts into vectors
///
/// A word's vector is its row, or, where the model has subwords, the mean of its n-grams. A text's is the mean of its words' (mean), or one in
/// which frequent words count less and what all texts share is taken away (sif). Words without a vector are counted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub vectors --model glove-50d --word frog toad
  hub vectors --model glove-50d --text 'A happy person' --text 'A sunny day' --pooling sif
  hub vectors --model glove-50d --texts mails.txt --format npy -o mails.npy
  cat mails.txt | hub vectors --model glove-50d --texts - --quiet")]
pub struct Vectors {
    /// NAME[@REVISION] of a model of word vectors, or its folder here
    #[arg(long, short, value_name = "NAME|FOLDER")]
    model: String,
    /// Words
    #[arg(long, value_name = "WORD", num_args = 1.., required_unless_present_any = ["text", "texts"], conflicts_with_all = ["text", "texts"])]
    word: Vec<String>,
    /// A text (may be repeated)
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// A file with a text on each line; - for standard input
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// mean or sif
    #[arg(long, default_value = "mean", value_name = "KIND")]
    pooling: String,
    /// csv, json, npy, parquet or safetensors
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Write them into this file; its ending is the format if --format names none
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take the model from the cache without asking the server
    #[arg(long)]
    offline: bool,
}

impl Vectors {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let format = self.format()?;
        let (folder, name) = folder_of(remote, &self.model, self.offline).await?;
        let begun = Instant::now();
        let model = WordVectors::open(&folder).map_err(failed)?;
        let opened_ms = begun.elapsed().as_secs_f64() * 1e3;
        let begun = Instant::now();
        let (items, mut json) = if self.word.is_empty() { self.of_texts(remote, &model)? } else { self.of_words(&model)? };
        json["model"] = json!(name);
        json["opened_ms"] = json!(opened_ms);
        json["embedded_ms"] = json!(begun.elapsed().as_secs_f64() * 1e3);
        if let Some(format) = format {
            return self.hand_over(items, name, format);
        }
        let features = |item: &Said| match &item.content {
            Content::Features { features, .. } => features.iter().map(f32::to_string).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let human = items.iter().map(|item| {
            let numbers = features(item);
            format!("{}: {} numbers, beginning {}", item.name, numbers.len(), numbers[..numbers.len().min(6)].join(" "))
        });
        let human = human.collect::<Vec<_>>().join("\n");
        let quiet = items.iter().map(|item| features(item).join(" ")).collect::<Vec<_>>().join("\n");
        Ok(Output::new(human, json, quiet))
    }

    fn of_words(&self, model: &WordVectors) -> Result<(Vec<Said>, Value)> {
        let (mut items, mut all) = (Vec::new(), Vec::new());
        for word in &self.word {
            let (vector, found) = model.vector(word).map_err(failed)?;
            let subwords = if let Found::Subwords(parts) = found { Some(parts) } else { None };
            all.push(json!({"word": word, "vector": vector, "subwords": subwords}));
            items.push(Said { name: word.clone(), content: Content::features_of(vector) });
        }
        Ok((items, json!({"words": all})))
    }

    fn of_texts(&self, remote: &Remote, model: &WordVectors) -> Result<(Vec<Said>, Value)> {
        let pooling = Pooling::parse(&self.pooling);
        let pooling = pooling.ok_or_else(|| CliError::usage(format!("--pooling: '{}' is none", self.pooling), "choose mean or sif"))?;
        let mut texts = self.text.clone();
        if let Some(path) = &self.texts {
            texts.extend(lines_of(path)?);
        }
        let found = model.features(&texts, pooling, None).map_err(failed)?;
        let words = found.words;
        if words.unknown > 0 || words.by_subwords > 0 {
            let all = words.known + words.by_subwords + words.unknown;
            let parts = format!("{} words have no vector, {} were put together of subwords, of {all}", words.unknown, words.by_subwords);
            remote.reporter.note(&format!("note: {parts}; {} texts have no word with a vector", words.empty_texts));
        }
        let rows: Vec<Value> = texts.iter().zip(&found.rows).map(|(text, row)| json!({"text": text, "vector": row})).collect();
        let counts =
            json!({"known": words.known, "by_subwords": words.by_subwords, "unknown": words.unknown, "empty_texts": words.empty_texts});
        let json = json!({"texts": rows, "counts": counts, "common": found.common});
        let said = |(text, row): (String, Vec<f32>)| Said { name: text, content: Content::features_of(row) };
        Ok((texts.into_iter().zip(found.rows).map(said).collect(), json))
    }

    fn format(&self) -> Result<Option<Format>> {
        let ending = self.output.as_deref().and_then(Path::extension).map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let unknown = |word: &str| CliError::usage(format!("'{word}' is no form of answers"), format!("choose one of {}", Format::names()));
        let word = self.format.clone().or(ending);
        word.map(|word| Format::parse(&word).ok_or_else(|| unknown(&word))).transpose()
    }

    fn hand_over(&self, items: Vec<Said>, model: String, format: Format) -> Result<Output> {
        let count = items.len();
        let answers = Answers { model: model.clone(), items };
        let bytes = answers.write(format).map_err(|e| CliError::failed(e, "choose another --format"))?;
        let Some(path) = &self.output else {
            raw(&bytes);
            return Ok(Output::none());
        };
        let failed = |e| CliError::new(1, "file", format!("cannot write {}: {e}", path.display()), "choose another place with -o");
        std::fs::write(path, &bytes).map_err(failed)?;
        let shown = path.display().to_string();
        let json = json!({"file": shown, "format": format.as_str(), "model": model, "vectors": count});
        Ok(Output::new(format!("wrote {count} vectors to {shown}"), json, shown))
    }
}
