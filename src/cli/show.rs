//! `hub show`: what is known of a model or data set.

use clap::Args;
use serde_json::json;

use super::output::{Output, Result};
use super::remote::{Remote, Target, or_say_dataset};
use super::search::models_table;
use super::table::{bytes, count, facts, minute, plural, table};
use crate::client::Client;
use crate::domain::architecture::ArchitectureFacts;
use crate::domain::name::RepoKind;
use crate::domain::task::{Measure, Task};
use crate::train;
use crate::wire::repos::{RepoDetail, Version};

/// Show a model or data set: facts, files, tensors, versions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub show resnet50
  hub show acme/flowers-net@2 --files
  hub show --architectures
  hub show dataset:flowers")]
pub struct Show {
    /// NAME[@REVISION]
    #[arg(value_name = "NAME[@REVISION]", required_unless_present = "architectures")]
    name: Option<String>,
    /// The name is a data set's (also: dataset:NAME)
    #[arg(long)]
    dataset: bool,
    /// List the files with their sha256
    #[arg(long, group = "what")]
    files: bool,
    /// List the tensors with their shapes
    #[arg(long, group = "what")]
    tensors: bool,
    /// List the versions and tags
    #[arg(long, group = "what")]
    versions: bool,
    /// List the architectures that this build runs and fine-tunes
    #[arg(long, group = "what", conflicts_with_all = ["name", "dataset"])]
    architectures: bool,
}

impl Show {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let Some(name) = &self.name else { return Ok(architectures()) };
        let target = Target::parse(name, self.dataset)?;
        let client = remote.client()?;
        match () {
            () if self.files => files(&client, &target).await,
            () if self.tensors => tensors(&client, &target).await,
            () if self.versions => versions(&client, &target).await,
            () => overview(&client, &target).await,
        }
    }
}

/// What this build runs; no server is asked.
fn architectures() -> Output {
    let known = train::architectures();
    let side = |each: &ArchitectureFacts| match each.patch {
        Some(patch) => format!("{}, by {patch}s", each.side),
        None => format!("{}{}", each.side, if each.fixed { " only" } else { "" }),
    };
    let rows: Vec<Vec<String>> = known
        .iter()
        .map(|each| {
            let macs = format!("{:.2}", each.multiply_adds / 1e9);
            let stages = each.stages.len().to_string();
            vec![each.name.into(), each.family.into(), side(each), count(each.parameters), macs, each.features.to_string(), stages]
        })
        .collect();
    let human = table(&["ARCHITECTURE", "FAMILY", "PIXELS", ">PARAMETERS", ">GMACS", ">FEATURES", ">STAGES"], &rows);
    let quiet = known.iter().map(|each| each.name).collect::<Vec<_>>().join("\n");
    Output::new(human, serde_json::to_value(&known).unwrap_or_default(), quiet)
}

async fn overview(client: &Client, target: &Target) -> Result<Output> {
    let found = match target.revision.to_string().as_str() {
        "main" => client.repo(target.kind, &target.id).await,
        _ => client.version(target.kind, &target.id, &target.revision).await,
    };
    let repo = or_say_dataset(client, target, found).await?;
    let mut human = facts(&rows(&repo, &client.address().page(target.kind, &target.id)));
    let mut json = serde_json::to_value(&repo).unwrap_or_default();
    if target.kind == RepoKind::Dataset {
        let models = client.models_of(&target.id).await?;
        for (title, list) in [("Pretrained on it", &models.pretrained), ("Fine-tuned on it", &models.fine_tuned)] {
            if !list.is_empty() {
                human.push_str(&format!("\n\n{title}:\n{}", models_table(list)));
            }
        }
        json["models"] = serde_json::to_value(&models).unwrap_or_default();
    }
    let quiet = repo.version.as_ref().map_or(String::new(), |version| format!("{}@{}", repo.repo.id, version.number));
    Ok(Output::new(human, json, quiet))
}

fn rows(repo: &RepoDetail, page: &str) -> Vec<(&'static str, String)> {
    let (facts, number) = (&repo.facts, |value: u64| if value == 0 { String::new() } else { count(value) });
    let nothing = match facts.listing.as_deref() {
        None => "nothing published yet",
        Some("not-fetched") => "not fetched yet ('hub pull' and 'hub library add' fetch it)",
        Some(_) => "facts only ('hub library show' says where it is to be had)",
    };
    let version = repo.version.as_ref().map_or(nothing.to_owned(), |version| {
        let yanked = if version.state == "live" { String::new() } else { format!(", {}", version.state) };
        format!(
            "{} ({}), {} by {}{yanked}",
            version.number,
            version.commit.get(..10).unwrap_or_default(),
            minute(&version.created),
            version.author
        )
    });
    let size = repo.version.as_ref().map_or(String::new(), |v| format!("{}, {}", plural(v.files, "file"), bytes(v.total_bytes)));
    let metrics: Vec<_> = facts.metrics.iter().map(metric).collect();
    let classes = Task::has_classes(&facts.task);
    vec![
        (if repo.repo.kind == "dataset" { "data set" } else { "model" }, repo.repo.id.clone()),
        ("summary", repo.repo.summary.clone()),
        ("visible to", if repo.repo.private { "its namespace (private)".into() } else { String::new() }),
        ("version", version),
        ("message", repo.version.as_ref().map_or(String::new(), |version| version.message.clone())),
        ("size", size),
        ("task", facts.task.clone()),
        ("architecture", facts.architecture.clone()),
        ("parameters", number(facts.parameters)),
        ("features", number(facts.num_features)),
        ("input", if facts.image_size == 0 { String::new() } else { format!("{0} x {0} pixels", facts.image_size) }),
        ("classes", if classes { number(facts.num_classes.max(facts.classes)) } else { String::new() }),
        ("samples", number(facts.samples)),
        ("trained on", facts.source_datasets.join(", ")),
        ("made from", facts.base_models.join(", ")),
        ("metrics", metrics.join(", ")),
        ("license", facts.license.clone()),
        ("library", facts.library.clone()),
        ("tags", facts.tags.join(", ")),
        ("downloads", count(repo.repo.downloads)),
        ("warnings", facts.warnings.join("; ")),
        ("page", page.to_owned()),
    ]
}

fn metric(metric: &crate::wire::repos::Metric) -> String {
    let value = Measure::of_card_shown(&metric.name, metric.value);
    if metric.dataset.is_empty() { format!("{} {value}", metric.name) } else { format!("{} {value} on {}", metric.name, metric.dataset) }
}

async fn files(client: &Client, target: &Target) -> Result<Output> {
    let manifest = client.manifest(target.kind, &target.id, &target.revision).await?;
    let rows: Vec<_> = manifest.files.iter().map(|file| vec![file.path.clone(), bytes(file.size_bytes), file.sha256.clone()]).collect();
    let paths: Vec<_> = manifest.files.iter().map(|file| file.path.clone()).collect();
    Ok(Output::new(table(&["path", ">size", "sha256"], &rows), json!(manifest), paths.join("\n")))
}

async fn tensors(client: &Client, target: &Target) -> Result<Output> {
    let tensors = client.tensors(target.kind, &target.id, &target.revision).await?.items;
    let shape = |shape: &[u64]| shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
    let row = |tensor: &crate::wire::files::Tensor| {
        vec![tensor.name.clone(), tensor.dtype.clone(), shape(&tensor.shape), bytes(tensor.size_bytes), tensor.file.clone()]
    };
    let names: Vec<_> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    let rows: Vec<_> = tensors.iter().map(row).collect();
    Ok(Output::new(table(&["tensor", "type", "shape", ">size", "file"], &rows), json!(tensors), names.join("\n")))
}

async fn versions(client: &Client, target: &Target) -> Result<Output> {
    let mut versions: Vec<Version> = Vec::new();
    let mut cursor = None;
    loop {
        let page = client.versions(target.kind, &target.id, cursor.as_deref()).await?;
        versions.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let refs = client.refs(target.kind, &target.id).await?.items;
    let names = |number| refs.iter().filter(|one| one.number == number).map(|one| one.name.clone()).collect::<Vec<_>>().join(", ");
    let row = |version: &Version| {
        let state = if version.state == "live" { String::new() } else { version.state.clone() };
        vec![
            version.number.to_string(),
            names(version.number),
            version.commit.get(..10).unwrap_or_default().to_owned(),
            minute(&version.created),
            version.author.clone(),
            bytes(version.total_bytes),
            state,
            version.message.clone(),
        ]
    };
    let headings = [">version", "refs", "commit", "published", "by", ">size", "state", "message"];
    let human = table(&headings, &versions.iter().map(row).collect::<Vec<_>>());
    let numbers: Vec<_> = versions.iter().map(|version| version.number.to_string()).collect();
    Ok(Output::new(human, json!({"versions": versions, "refs": refs}), numbers.join("\n")))
}
