//! `hub search`: the catalog in a table.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::{bytes, count, minute, plural, table};
use crate::client::Client;
use crate::domain::name::LIBRARY;
use crate::domain::task::Measure;
use crate::wire::repos::{RepoDetail, SearchAnswer};

/// Find models and data sets
///
/// Words match the beginnings of words in names, summaries, tags and cards; all filters must hold.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub search mobilenet
  hub search --source-dataset imagenet-1k --max-parameters 10M --sort downloads
  hub search --datasets flowers --json")]
pub struct Search {
    /// Words to look for
    words: Vec<String>,
    /// Data sets instead of models
    #[arg(long)]
    datasets: bool,
    /// Such as image-classification; this and other filters may be given several times, for any of their values
    #[arg(long)]
    task: Vec<String>,
    /// image, text, video or audio
    #[arg(long)]
    modality: Vec<String>,
    /// timm's name, such as resnet50
    #[arg(long)]
    architecture: Vec<String>,
    /// Models trained on this data set, or made from one that was
    #[arg(long, value_name = "DATASET")]
    source_dataset: Vec<String>,
    /// Models made from this one
    #[arg(long, value_name = "MODEL")]
    base_model: Vec<String>,
    /// SPDX identifier, such as apache-2.0
    #[arg(long)]
    license: Vec<String>,
    /// A tag of the card
    #[arg(long)]
    tag: Vec<String>,
    /// Such as timm
    #[arg(long)]
    library: Vec<String>,
    /// Namespace
    #[arg(long)]
    author: Vec<String>,
    /// At least so many, such as 500k or 5M
    #[arg(long, value_name = "COUNT")]
    min_parameters: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    max_parameters: Option<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// How many to show
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Sort {
    #[default]
    Relevance,
    Downloads,
    Newest,
    Size,
    /// The share of first answers that are right, as cards say it
    Top1,
    Name,
}

/// The most one page of the server holds.
const PAGE: usize = 100;
/// Pages that are asked for in vain.
const EMPTY_PAGES: usize = 50;

impl Search {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let query = self.query()?;
        let answer = pages(&remote.client()?, query, self.limit.max(1)).await?;
        let names: Vec<_> = answer.items.iter().map(|hit| hit.repo.id.clone()).collect();
        let shown = answer.items.len() as u64;
        if answer.total > shown || answer.next.is_some() {
            let least = if answer.at_least { "at least " } else { "" };
            remote.reporter.note(&format!("{shown} of {least}{} shown; --limit shows more", answer.total));
        }
        let human = match (shown, self.datasets) {
            (0, _) => {
                let meant = answer.did_you_mean.as_ref().map(|words| format!("; did you mean '{words}'?")).unwrap_or_default();
                remote.reporter.note(&format!("nothing was found{meant}; try fewer words or filters, or --datasets"));
                String::new()
            }
            (_, false) if matches!(self.sort, Sort::Top1) => models_table_with(&answer.items, Some((">top-1", top1))),
            (_, false) => models_table(&answer.items),
            (_, true) => datasets_table(&answer.items),
        };
        Ok(Output::new(
            human,
            json!({"total": answer.total, "at_least": answer.at_least, "items": answer.items, "facets": answer.facets}),
            names.join("\n"),
        ))
    }

    /// Of what the library lists alone.
    pub fn of_library(mut self: Box<Self>) -> Search {
        self.author = vec![LIBRARY.to_owned()];
        *self
    }

    fn query(&self) -> Result<Vec<(&'static str, String)>> {
        let sort = self.sort.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let mut query = vec![("kind", if self.datasets { "dataset" } else { "model" }.to_owned()), ("sort", sort)];
        if !self.words.is_empty() {
            query.push(("q", self.words.join(" ")));
        }
        let filters = [
            ("task", &self.task),
            ("modality", &self.modality),
            ("architecture", &self.architecture),
            ("source_dataset", &self.source_dataset),
            ("base_model", &self.base_model),
            ("license", &self.license),
            ("tag", &self.tag),
            ("library", &self.library),
            ("author", &self.author),
        ];
        query.extend(filters.into_iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value.clone()))));
        for (key, text) in [("min_parameters", &self.min_parameters), ("max_parameters", &self.max_parameters)] {
            if let Some(text) = text {
                let number = number(text)?;
                query.push((key, number.to_string()));
            }
        }
        Ok(query)
    }
}

/// Page after page until there are enough.
async fn pages(client: &Client, query: Vec<(&'static str, String)>, limit: usize) -> Result<SearchAnswer> {
    let (mut whole, mut looked): (Option<SearchAnswer>, usize) = (None, 0);
    let most = limit.div_ceil(PAGE) + EMPTY_PAGES;
    loop {
        let have = whole.as_ref().map_or(0, |answer| answer.items.len());
        let mut query = query.clone();
        query.push(("limit", (limit - have).min(PAGE).to_string()));
        query.extend(whole.as_ref().and_then(|answer| answer.next.clone()).map(|next| ("cursor", next)));
        let page = client.search(&query).await?;
        let next = page.next.clone();
        let answer = match whole.take() {
            None => page,
            Some(mut answer) => {
                answer.items.extend(page.items);
                answer.next = page.next;
                answer
            }
        };
        // A page may be short, and even empty, before the last.
        looked += 1;
        if next.is_none() || looked > most || answer.items.len() >= limit {
            return Ok(answer);
        }
        whole = Some(answer);
    }
}

/// A count as people write it, or what is wrong with it.
pub fn number(text: &str) -> Result<u64> {
    parse_count(text).ok_or_else(|| CliError::usage(format!("'{text}' is no count"), "write 500k, 5M or 1.5B"))
}

/// `500k`, `5M`, `1.5B`, `4_652_008`
fn parse_count(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1e3),
        (at, 'm' | 'M') => (&text[..at], 1e6),
        (at, 'b' | 'B' | 'g' | 'G') => (&text[..at], 1e9),
        _ => (text.as_str(), 1.0),
    };
    let value = digits.parse::<f64>().ok()? * factor;
    (value.is_finite() && (0.0..1e18).contains(&value)).then_some(value.round() as u64)
}

/// Models as rows; also used for the models of a data set.
pub fn models_table(items: &[RepoDetail]) -> String {
    models_table_with(items, None)
}

/// A further column.
type Column = (&'static str, fn(&RepoDetail) -> String);

fn models_table_with(items: &[RepoDetail], further: Option<Column>) -> String {
    let row = |hit: &RepoDetail| {
        let facts = &hit.facts;
        let mut cells = vec![
            hit.repo.id.clone(),
            facts.architecture.clone(),
            if facts.parameters == 0 { String::new() } else { count(facts.parameters) },
            facts.source_datasets.join(", "),
            facts.license.clone(),
            count(hit.repo.downloads),
            updated(hit),
        ];
        if let Some((_, cell)) = further {
            cells.insert(3, cell(hit));
        }
        cells
    };
    let mut headings = vec!["model", "architecture", ">parameters", "trained on", "license", ">downloads", "updated"];
    if let Some((heading, _)) = further {
        headings.insert(3, heading);
    }
    table(&headings, &items.iter().map(row).collect::<Vec<_>>())
}

/// Of what the library only lists there is nothing that could have changed.
fn updated(hit: &RepoDetail) -> String {
    match hit.facts.listing.as_deref() {
        None => minute(&hit.repo.updated),
        Some("not-fetched") => "not fetched yet".to_owned(),
        Some(_) => "facts only".to_owned(),
    }
}

/// The share of first answers that are right, as its card says it.
fn top1(hit: &RepoDetail) -> String {
    let named = hit.facts.metrics.iter().find(|metric| matches!(metric.name.as_str(), "top1" | "top-1" | "accuracy" | "acc1" | "acc@1"));
    named.map_or(String::new(), |metric| Measure::of_card_shown(&metric.name, metric.value))
}

fn datasets_table(items: &[RepoDetail]) -> String {
    let row = |hit: &RepoDetail| {
        let facts = &hit.facts;
        let number = |value: u64| if value == 0 { String::new() } else { count(value) };
        let size = hit
            .version
            .as_ref()
            .map_or(String::new(), |version| format!("{}, {}", plural(version.files, "file"), bytes(version.total_bytes)));
        vec![hit.repo.id.clone(), number(facts.samples), number(facts.classes), size, facts.license.clone(), updated(hit)]
    };
    table(&["data set", ">samples", ">classes", "size", "license", "updated"], &items.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_people_write_them() {
        let read = |text| parse_count(text);
        assert_eq!(
            [read("500k"), read("1.5B"), read("4_652_008"), read("0")],
            [Some(500_000), Some(1_500_000_000), Some(4_652_008), Some(0)]
        );
        assert!(["", "M", "-5", "1e400", "nan", "5MM"].iter().all(|text| read(text).is_none()));
    }
}
