//! `hub rerank`: texts by how well they answer a query, by a cross-encoder, asked of the server or worked out here.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::images::{blocking, lines_of};
use super::output::{CliError, Output, Result};
use super::pull::pull;
use super::remote::{Remote, Target};
use super::table::table;
use crate::domain::answers::MOST_ITEMS;
use crate::train::{Predictor, device};
use crate::wire::embeddings::{Ranked, RerankAsked};

/// Order texts by how well they answer a query
///
/// By a cross-encoder: a model that reads query and text as one and has one output. The best comes first; scores are from 0 to 1. A pair that
/// is too long for the model loses its end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub rerank ada/reranker --query 'who wrote Faust' 'Goethe did' 'It rains'
  hub rerank ada/reranker --query 'who wrote Faust' --lines passages.txt --top 5 --json
  cat passages.txt | hub rerank ada/reranker --query 'who wrote Faust' --lines - --local")]
pub struct Rerank {
    /// NAME[@REVISION] of a cross-encoder
    model: String,
    /// What the texts are to answer
    #[arg(long, value_name = "TEXT")]
    query: String,
    /// Texts
    #[arg(value_name = "TEXT", required_unless_present = "lines")]
    texts: Vec<String>,
    /// A file with a text on each line; - for standard input
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,
    /// Only so many of the best
    #[arg(long)]
    top: Option<usize>,
    /// The model's own numbers instead of scores from 0 to 1
    #[arg(long)]
    raw: bool,
    /// Pull the model and run it here
    #[arg(long)]
    local: bool,
    /// With --local: take the model from the cache without asking the server
    #[arg(long, requires = "local")]
    offline: bool,
}

impl Rerank {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = Target::parse(&self.model, false)?;
        let mut texts = self.texts.clone();
        if let Some(path) = &self.lines {
            texts.extend(lines_of(path)?.into_iter().filter(|line| !line.trim().is_empty()));
        }
        if texts.is_empty() {
            return Err(CliError::usage("there is no text to rank", "name texts, or a file with --lines"));
        }
        let mut ranked = if self.local { self.here(remote, &target, &texts).await? } else { self.there(remote, &target, &texts).await? };
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        ranked.truncate(self.top.unwrap_or(usize::MAX));
        let text = |one: &Ranked| texts.get(one.index).cloned().unwrap_or_default();
        let rows: Vec<Vec<String>> =
            ranked.iter().map(|one| vec![format!("{:.4}", one.score), (one.index + 1).to_string(), text(one)]).collect();
        let all: Vec<_> = ranked.iter().map(|one| json!({"index": one.index, "score": one.score, "text": text(one)})).collect();
        let quiet: Vec<String> = ranked.iter().map(text).collect();
        let json = json!({"model": self.model, "query": self.query, "texts": all});
        Ok(Output::new(table(&["score", "number", "text"], &rows), json, quiet.join("\n")))
    }

    /// Asked of the server, as many at once as it takes.
    async fn there(&self, remote: &Remote, target: &Target, texts: &[String]) -> Result<Vec<Ranked>> {
        let client = remote.client()?;
        let mut ranked = Vec::with_capacity(texts.len());
        for (part, some) in texts.chunks(MOST_ITEMS).enumerate() {
            let body =
                RerankAsked { query: self.query.clone(), texts: some.to_vec(), raw_scores: self.raw, return_text: false, truncate: true };
            let answered = client.rerank(&target.id, &target.revision, &body).await?;
            ranked.extend(answered.into_iter().map(|one| Ranked { index: part * MOST_ITEMS + one.index, ..one }));
        }
        Ok(ranked)
    }

    async fn here(&self, remote: &Remote, target: &Target, texts: &[String]) -> Result<Vec<Ranked>> {
        let pulled = pull(&remote.client()?, remote, target, self.offline).await?;
        let (path, device, limits) = (pulled.path.clone(), remote.config.device.clone(), remote.config.data_limits);
        let (query, asked) = (self.query.clone(), texts.to_vec());
        let score = move || {
            let predictor = Predictor::load(&path, &device.parse().and_then(device::open)?)?.within(&limits);
            predictor.scores(query.as_bytes(), &asked)
        };
        let scores = blocking(score).await?;
        let mut ranked = Vec::with_capacity(texts.len());
        for (index, score) in scores.into_iter().enumerate() {
            let refused = |e: crate::train::Error| {
                CliError::new(1, e.code(), format!("text {}: {}", index + 1, e.reason()), "correct that text, or leave it out")
            };
            let (logit, _) = score.map_err(refused)?;
            let score = if self.raw { logit } else { 1.0 / (1.0 + (-logit).exp()) };
            ranked.push(Ranked { index, text: None, score });
        }
        Ok(ranked)
    }
}
