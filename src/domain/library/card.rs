//! An entry as a card: the facts that lists and searches know, one line of summary, and Markdown made of facts alone.

use super::{DatasetEntry, Entry, Measured, ModelEntry};
use crate::domain::card::{Card, Metric as CardMetric};
use crate::domain::human;
use crate::domain::repo::{Facts, Listing, Metric};

const NO_FILES: &str = "its files are not here yet";

impl Entry {
    /// What lists and searches know of it while its files are not here.
    pub fn facts(&self) -> Facts {
        let card = self.card();
        let mut facts = Facts {
            license: card.license.unwrap_or_default(),
            tags: card.tags,
            source_datasets: card.datasets,
            metrics: card.metrics.into_iter().map(|m| Metric { dataset: m.dataset, name: m.kind, value: m.value }).collect(),
            library: card.library_name.unwrap_or_default(),
            listing: Some(if self.upstream().is_some() { Listing::NotFetched } else { Listing::FactsOnly }),
            ..Facts::default()
        };
        match self {
            Entry::Model(model) => {
                facts.task = model.task.clone();
                facts.modality = model.modality.clone();
                facts.architecture = model.architecture.clone();
                facts.config_problem = NO_FILES.into();
                (facts.num_features, facts.num_classes, facts.parameters) = (model.features, model.classes, model.parameters);
                facts.gmacs = model.gmacs;
                facts.image_size = if model.input.len() == 3 { model.input[2] } else { 0 };
            }
            Entry::Dataset(dataset) => {
                facts.modality = dataset.modality.clone();
                (facts.classes, facts.samples) = (dataset.classes, dataset.samples);
            }
        }
        facts
    }

    /// One line for lists.
    pub fn summary(&self) -> String {
        match self {
            Entry::Model(model) => model_summary(model),
            Entry::Dataset(dataset) => dataset_summary(dataset),
        }
    }

    /// The card of facts: front matter as other hubs read it, and Markdown.
    pub fn card(&self) -> Card {
        match self {
            Entry::Model(model) => Card {
                license: said(&model.license),
                tags: [&model.task, &model.library].into_iter().filter(|tag| !tag.is_empty()).cloned().collect(),
                datasets: sources(model),
                pipeline_tag: said(&model.task),
                library_name: said(&model.library),
                metrics: metrics(model),
                body: model_body(model),
                ..Card::default()
            },
            Entry::Dataset(dataset) => Card {
                license: said(&dataset.license),
                tags: said(&dataset.modality).into_iter().collect(),
                pretty_name: said(&dataset.pretty_name),
                homepage: said(&dataset.homepage),
                samples: Some(dataset.samples).filter(|count| *count > 0),
                classes: Some(dataset.classes).filter(|count| *count > 0),
                body: dataset_body(dataset),
                ..Card::default()
            },
        }
    }

    /// A card that came with the files, with what it leaves unsaid; its own words stay.
    pub fn complete(&self, card: Card) -> Card {
        let facts = self.card();
        let or = |own: Vec<String>, ours: Vec<String>| if own.is_empty() { ours } else { own };
        Card {
            license: card.license.or(facts.license),
            pipeline_tag: card.pipeline_tag.or(facts.pipeline_tag),
            library_name: card.library_name.or(facts.library_name),
            pretty_name: card.pretty_name.or(facts.pretty_name),
            datasets: or(card.datasets, facts.datasets),
            tags: or(card.tags, facts.tags),
            metrics: if card.metrics.is_empty() { facts.metrics } else { card.metrics },
            body: if card.body.trim().is_empty() { facts.body } else { card.body },
            ..card
        }
    }
}

fn said(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// All data sets it has seen, each once.
fn sources(model: &ModelEntry) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in model.trained_on.iter().flatten() {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

/// The first number of each measure on each data set; the others are in the table.
fn metrics(model: &ModelEntry) -> Vec<CardMetric> {
    let mut all: Vec<CardMetric> = Vec::new();
    for result in &model.results {
        if !all.iter().any(|metric| metric.dataset == result.on && metric.kind == result.measure) {
            all.push(CardMetric {
                model: model.name.clone(),
                task: model.task.clone(),
                dataset: result.on.clone(),
                kind: result.measure.clone(),
                value: result.value,
            });
        }
    }
    all
}

/// `imagenet-21k, then imagenet-1k`
fn chain(model: &ModelEntry) -> String {
    model.trained_on.iter().map(|stage| stage.join(" and ")).collect::<Vec<_>>().join(", then ")
}

fn model_summary(model: &ModelEntry) -> String {
    let mut parts = Vec::new();
    if model.parameters > 0 {
        parts.push(format!("{} parameters", human::count(model.parameters)));
    }
    if !model.trained_on.is_empty() {
        parts.push(format!("trained on {}", chain(model)));
    }
    if let Some(first) = model.results.first() {
        parts.push(format!("{} {} on {}", first.measure, value(first), first.on));
    }
    let name = if model.architecture.is_empty() { &model.name } else { &model.architecture };
    std::iter::once(name.clone()).chain(parts).collect::<Vec<_>>().join(", ")
}

fn dataset_summary(dataset: &DatasetEntry) -> String {
    let unit = if dataset.unit.is_empty() { "items" } else { &dataset.unit };
    let mut parts = vec![if dataset.pretty_name.is_empty() { dataset.name.clone() } else { dataset.pretty_name.clone() }];
    if dataset.samples > 0 {
        parts.push(format!("{} {unit}", human::count(dataset.samples)));
    }
    if dataset.classes > 0 {
        parts.push(format!("{} classes", dataset.classes));
    }
    parts.join(", ")
}

fn value(result: &Measured) -> String {
    if (0.0..=1.0).contains(&result.value) { human::percent(result.value) } else { format!("{:.2}", result.value) }
}

/// A table of two columns, without the lines that say nothing.
fn table(lines: &[(&str, String)]) -> String {
    let lines = lines.iter().filter(|(_, value)| !value.is_empty());
    let rows: String = lines.map(|(label, value)| format!("| {label} | {value} |\n")).collect();
    format!("| | |\n| --- | --- |\n{rows}")
}

fn some(number: u64) -> String {
    if number > 0 { thousands(number) } else { String::new() }
}

/// `1,281,167`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = (0..digits.len()).rev().step_by(3).map(|end| &digits[end.saturating_sub(2)..=end]).collect();
    groups.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn listed(numbers: &[f64]) -> String {
    numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ")
}

fn papers(papers: &[String]) -> String {
    let link = |paper: &String| match paper.strip_prefix("arXiv:") {
        Some(number) => format!("[{paper}](https://arxiv.org/abs/{number})"),
        None => paper.clone(),
    };
    papers.iter().map(link).collect::<Vec<_>>().join(", ")
}

fn model_body(model: &ModelEntry) -> String {
    let decimal = |number: f64, unit: &str| if number > 0.0 { format!("{number} {unit}") } else { String::new() };
    let input = model.input.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ");
    let crop = if model.crop_pct > 0.0 { format!(", {} of the side", model.crop_pct) } else { String::new() };
    let elsewhere = match (model.elsewhere.as_str(), model.sha256_begins.as_str()) {
        ("", _) => String::new(),
        (address, "") => format!("<{address}>"),
        (address, begins) => format!("<{address}>, whose sha256 begins with {begins}"),
    };
    let facts = table(&[
        ("Architecture", model.architecture.clone()),
        ("Library", model.library.clone()),
        ("Parameters", some(model.parameters)),
        ("Width of the features", some(model.features)),
        ("Classes", some(model.classes)),
        ("Words", some(model.vocabulary)),
        ("Longest text in tokens", some(model.tokens)),
        ("Multiply-adds", decimal(model.gmacs, "GMACs")),
        ("Activations", decimal(model.mactivations, "million")),
        ("Input", input),
        ("Resized by", if model.interpolation.is_empty() { String::new() } else { format!("{}{crop}", model.interpolation) }),
        ("Mean", listed(&model.mean)),
        ("Standard deviation", listed(&model.std)),
        ("Trained on", chain(model)),
        ("Licence", model.license.clone()),
        ("Papers", papers(&model.papers)),
        ("Upstream", model.upstream.clone()),
        ("To be had at", elsewhere),
    ]);
    let results: String = model.results.iter().map(result_row).collect();
    let results = match results.is_empty() {
        true => String::new(),
        false => format!("\n## Results\n\n| on | measure | value | input | source |\n| --- | --- | --- | --- | --- |\n{results}"),
    };
    let from: String = model.from.iter().map(|source| format!("- {source}\n")).collect();
    format!("# {}\n\n{facts}{results}\n## Where these facts come from\n\n{from}", model.name)
}

fn result_row(result: &Measured) -> String {
    let at = result.at.map(|side| format!("{side}\u{a0}px")).unwrap_or_default();
    format!("| {} | {} | {} | {at} | {} |\n", result.on, result.measure, value(result).replace(' ', "\u{a0}"), result.source)
}

fn dataset_body(dataset: &DatasetEntry) -> String {
    let count = match (dataset.samples, dataset.unit.as_str()) {
        (0, unit) => unit.to_owned(),
        (samples, unit) => format!("{} {unit}", thousands(samples)),
    };
    let facts = table(&[
        ("Holds", count),
        ("Classes", some(dataset.classes)),
        ("Modality", dataset.modality.clone()),
        ("Year", if dataset.year > 0 { dataset.year.to_string() } else { String::new() }),
        ("Licence", dataset.license.clone()),
        ("Terms", dataset.terms.clone()),
        ("Home page", if dataset.homepage.is_empty() { String::new() } else { format!("<{}>", dataset.homepage) }),
        ("Papers", papers(&dataset.papers)),
    ]);
    let title = if dataset.pretty_name.is_empty() { &dataset.name } else { &dataset.pretty_name };
    let problems: String = dataset.problems.iter().map(|problem| format!("- {problem}\n")).collect();
    let problems = if problems.is_empty() { String::new() } else { format!("\n## Known problems\n\n{problems}") };
    format!("# {title}\n\n{facts}{problems}\nThis repo holds facts, not items.\n")
}

#[cfg(test)]
mod tests {
    use super::super::Index;
    use super::*;

    fn entry(name: &str) -> Entry {
        let text = "format = 1\n[sources]\nt = 'a table'\n[[model]]\nname = 'net.a'\narchitecture = 'net'\nlicense = 'mit'\ntask = 'image-classification'\n\
            parameters = 25_557_032\ntrained_on = [['imagenet-21k'], ['imagenet-1k']]\nupstream = 'timm/net.a'\n\
            results = [{ on = 'imagenet-1k', measure = 'top1', value = 0.8, at = 224, source = 't' }, \
            { on = 'imagenet-1k', measure = 'top1', value = 0.81, at = 288, source = 't' }]\n\
            [[dataset]]\nname = 'set'\nsamples = 1_281_167\nproblems = ['it is old']\n";
        Index::read("x", text).unwrap().entries.into_iter().find(|entry| entry.name() == name).unwrap()
    }

    #[test]
    fn facts_say_what_is_known_and_that_nothing_is_here() {
        let facts = entry("net.a").facts();
        assert_eq!((facts.top1(), facts.parameters, facts.can_be_run()), (Some(0.8), 25_557_032, false));
        assert_eq!((facts.source_datasets.join(" "), facts.listing), ("imagenet-21k imagenet-1k".into(), Some(Listing::NotFetched)));
        assert_eq!(entry("set").facts().listing, Some(Listing::FactsOnly));
        assert_eq!(
            entry("net.a").summary(),
            "net, 25.6 M parameters, trained on imagenet-21k, then imagenet-1k, top1 80.0 % on imagenet-1k"
        );
    }

    #[test]
    fn a_card_reads_back_what_it_says() {
        let card = entry("net.a").card();
        let (read, problems) = Card::read(&card.to_markdown());
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((read.license, read.datasets, read.metrics.len()), (card.license, card.datasets, 1));
        assert!(card.body.contains("a table") && card.body.contains("288\u{a0}px"));
        assert!(entry("set").card().body.contains("1,281,167") && entry("set").card().body.contains("it is old"));
    }

    #[test]
    fn what_a_card_says_itself_stays() {
        let (own, _) = Card::read("---\nlicense: apache-2.0\ntags: [mine]\n---\n# Mine\n");
        let card = entry("net.a").complete(own);
        assert_eq!((card.license.as_deref(), card.tags.join(" ").as_str(), card.body.as_str()), (Some("apache-2.0"), "mine", "# Mine\n"));
        assert_eq!((card.datasets.len(), card.metrics.len()), (2, 1));
    }
}
