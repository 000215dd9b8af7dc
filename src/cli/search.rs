//! `hub search`: the catalog in a table.

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::{bytes, count, minute, plural, table};
use crate::client::Client;
use crate::domain::name::LIBRARY;
use crate::domain::results;
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
    /// What comes first: relevance, downloads, newest, size, top1, name, license, dataset, or measure:NAME for a number of cards, tables
    /// and measurements, such as measure:gmacs or measure:top1@imagenet-real
    #[arg(long, value_name = "ORDER", default_value = "relevance", value_parser = order)]
    sort: String,
    /// The other way round
    #[arg(long)]
    reversed: bool,
    /// Only what can be run and fine-tuned here
    #[arg(long)]
    runs: bool,
    /// How many to show
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// What stands before the name of a number that a list is sorted by.
const MEASURE: &str = "measure:";
const ORDERS: [&str; 9] = ["relevance", "downloads", "newest", "created", "size", "top1", "name", "license", "dataset"];

fn order(text: &str) -> std::result::Result<String, String> {
    let is_measure = text.strip_prefix(MEASURE).is_some_and(|name| !name.is_empty() && name.len() <= 64);
    if is_measure || ORDERS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no order '{text}'; there are {} and measure:NAME", ORDERS.join(", ")))
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
            (_, false) => match self.column() {
                Some((heading, cell)) => models_table_with(&answer.items, Some((&heading, &cell))),
                None => models_table(&answer.items),
            },
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

    /// The number that the list is sorted by, where it stands in no other column.
    fn column(&self) -> Option<(String, impl Fn(&RepoDetail) -> String)> {
        let name = match self.sort.strip_prefix(MEASURE) {
            Some(name) => name.to_owned(),
            None if self.sort == "top1" => results::TOP1.to_owned(),
            None => return None,
        };
        let (measure, dataset) = match name.split_once('@') {
            Some((measure, dataset)) => (results::measure_name(measure), Some(results::dataset_name(dataset))),
            None => (results::measure_name(&name), None),
        };
        Some((format!(">{name}"), move |hit: &RepoDetail| number_of(hit, &measure, dataset.as_deref())))
    }

    fn query(&self) -> Result<Vec<(&'static str, String)>> {
        let mut query = vec![("kind", if self.datasets { "dataset" } else { "model" }.to_owned()), ("sort", self.sort.clone())];
        for (key, is_set) in [("reversed", self.reversed), ("runs", self.runs)] {
            if is_set {
                query.push((key, "true".to_owned()));
            }
        }
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

/// A further column: its heading, and what stands in it.
type Column<'a> = (&'a str, &'a dyn Fn(&RepoDetail) -> String);

fn models_table_with(items: &[RepoDetail], further: Option<Column<'_>>) -> String {
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

/// A number of a model: as the server measured it or a table says, else as its card does.
fn number_of(hit: &RepoDetail, measure: &str, dataset: Option<&str>) -> String {
    let facts = &hit.facts;
    let besides = hit.results.iter().filter(|known| known.measure == measure && dataset.is_none_or(|on| known.dataset == on));
    let said = facts.metrics.iter().find(|metric| {
        results::measure_name(&metric.name) == measure && dataset.is_none_or(|on| results::dataset_name(&metric.dataset) == on)
    });
    let counted = match measure {
        results::GMACS => facts.gmacs,
        results::INPUT => facts.image_size as f64,
        _ => 0.0,
    };
    let besides = besides.max_by_key(|known| known.origin == "measured").map(|known| known.value);
    match besides.or_else(|| said.map(|metric| metric.value)).or(Some(counted).filter(|value| *value > 0.0)) {
        Some(value) if [results::GMACS, results::INPUT, results::SPEED].contains(&measure) => format!("{value:.2}"),
        Some(value) => Measure::of_card_shown(measure, value),
        None => String::new(),
    }
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
    fn an_order_is_a_word_or_a_number_s_name() {
        assert!(order("newest").is_ok() && order("measure:top1@imagenet-real").is_ok());
        assert!(order("measure:").is_err() && order("colour").is_err());
    }

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
