//! What was read in a version: encoded beside it, and spread over the tables that lists and searches filter on.
//!
//! Lists read [`find`], which leaves out what only a version's own page shows (card, labels, report);
//! [`complete`] adds that.

use serde::{Deserialize, Serialize};

use super::visibility::Visibility;
use crate::db::{Error, Result, Row, Tx};
use crate::domain::id::RepoKey;
use crate::domain::name::RepoKind;
use crate::domain::repo::{Facts, Metric, Repo, Version};
use crate::domain::saved_model::{Graph, SavedModel, Signature, Tensor};
use crate::domain::search::{Choice, ChoiceBy, SearchQuery, Sort};
use crate::params;

/// The number that stands for facts of which there is no version: those of the library's index.
pub const LISTED: u32 = 0;
/// What stands for a number that no card says.
const UNSAID: f64 = -1.0;

/// How facts are written in `versions.facts`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    license: String,
    tags: Vec<String>,
    task: String,
    modality: String,
    library: String,
    source_datasets: Vec<String>,
    base_models: Vec<String>,
    metrics: Vec<(String, String, f64)>,
    architecture: String,
    config_problem: String,
    num_features: u64,
    num_classes: u64,
    parameters: u64,
    gmacs: f64,
    image_size: u64,
    classes: u64,
    samples: u64,
    warnings: Vec<String>,
    saved_model: Option<StoredModel>,
}

/// A SavedModel: folder, version of TensorFlow, graphs.
type StoredModel = (String, String, Vec<StoredGraph>);
/// Tags, and signatures with their inputs and outputs.
type StoredGraph = (Vec<String>, Vec<(String, Vec<StoredTensor>, Vec<StoredTensor>)>);
/// Name, type, shape.
type StoredTensor = (String, String, String);

/// Facts as `versions.facts` holds them.
pub fn encode(facts: &Facts) -> String {
    let f = facts.clone();
    let stored = Stored {
        license: f.license,
        tags: f.tags,
        task: f.task,
        modality: f.modality,
        library: f.library,
        source_datasets: f.source_datasets,
        base_models: f.base_models,
        metrics: f.metrics.into_iter().map(|m| (m.dataset, m.name, m.value)).collect(),
        architecture: f.architecture,
        config_problem: f.config_problem,
        num_features: f.num_features,
        num_classes: f.num_classes,
        parameters: f.parameters,
        gmacs: f.gmacs,
        image_size: f.image_size,
        classes: f.classes,
        samples: f.samples,
        warnings: f.warnings,
        saved_model: f.saved_model.map(store_model),
    };
    // Strings, numbers and lists always have a JSON form; a number that is not finite reads as null and is refused before.
    serde_json::to_string(&stored).unwrap_or_default()
}

pub(super) fn decode(row: &Row) -> Result<Facts> {
    let s: Stored = serde_json::from_str(&row.text("facts")?).map_err(|e| wrong("facts", &e))?;
    Ok(Facts {
        license: s.license,
        tags: s.tags,
        task: s.task,
        modality: s.modality,
        library: s.library,
        source_datasets: s.source_datasets,
        base_models: s.base_models,
        metrics: s.metrics.into_iter().map(|(dataset, name, value)| Metric { dataset, name, value }).collect(),
        architecture: s.architecture,
        config_problem: s.config_problem,
        num_features: s.num_features,
        num_classes: s.num_classes,
        parameters: s.parameters,
        gmacs: s.gmacs,
        image_size: s.image_size,
        classes: s.classes,
        samples: s.samples,
        warnings: s.warnings,
        saved_model: s.saved_model.map(load_model),
        ..Facts::default()
    })
}

fn store_model(model: SavedModel) -> StoredModel {
    let tensors = |all: Vec<Tensor>| all.into_iter().map(|t| (t.name, t.dtype, t.shape)).collect();
    let signature = |s: Signature| (s.name, tensors(s.inputs), tensors(s.outputs));
    let graph = |graph: Graph| (graph.tags, graph.signatures.into_iter().map(signature).collect());
    (model.folder, model.tensorflow, model.graphs.into_iter().map(graph).collect())
}

fn load_model((folder, tensorflow, graphs): StoredModel) -> SavedModel {
    let tensors = |all: Vec<StoredTensor>| all.into_iter().map(|(name, dtype, shape)| Tensor { name, dtype, shape }).collect();
    let signature = |(name, inputs, outputs)| Signature { name, inputs: tensors(inputs), outputs: tensors(outputs) };
    let graph = |(tags, signatures): StoredGraph| Graph { tags, signatures: signatures.into_iter().map(signature).collect() };
    SavedModel { folder, tensorflow, graphs: graphs.into_iter().map(graph).collect() }
}

fn wrong(column: &str, problem: &serde_json::Error) -> Error {
    Error::Column { column: column.into(), problem: problem.to_string() }
}

/// The facts of a version without card, labels and report.
pub fn find(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Option<Facts>> {
    let row = tx.find("select facts from versions where repo = $1 and number = $2", params![repo.as_str(), number])?;
    row.as_ref().map(decode).transpose()
}

/// Adds card, labels and report.
pub fn complete(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, facts: &mut Facts) -> Result<()> {
    let sql = "select card_html, labels, dataset_report from version_details where repo = $1 and number = $2";
    if let Some(row) = tx.find(sql, params![repo.as_str(), number])? {
        facts.card_html = row.text("card_html")?;
        facts.labels = serde_json::from_str(&row.text("labels")?).map_err(|e| wrong("labels", &e))?;
        facts.dataset_report = row.text("dataset_report")?;
    }
    Ok(())
}

/// The card of a version without its front matter; empty where it has none.
pub fn card_text(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<String> {
    let sql = "select card_text from version_details where repo = $1 and number = $2";
    tx.find(sql, params![repo.as_str(), number])?.map_or(Ok(String::new()), |row| row.text("card_text"))
}

/// Writes what only a version's own page shows.
pub fn insert_details(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, facts: &Facts, card_text: &str, previews: &str) -> Result<()> {
    let labels = serde_json::to_string(&facts.labels).unwrap_or_default();
    tx.execute(
        "insert into version_details (repo, number, card_html, card_text, labels, dataset_report, previews)
         values ($1, $2, $3, $4, $5, $6, $7)",
        params![repo.as_str(), number, &facts.card_html, card_text, labels, &facts.dataset_report, previews],
    )?;
    Ok(())
}

/// Keeps what finds a data set's items again in others.
pub fn keep_prints(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, prints: &str) -> Result<()> {
    let sql = "update version_details set prints = $3 where repo = $1 and number = $2";
    tx.execute(sql, params![repo.as_str(), number, prints]).map(drop)
}

/// What was kept of a data set's items; empty where nothing was.
pub fn prints(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<String> {
    let row = tx.find("select prints from version_details where repo = $1 and number = $2", params![repo.as_str(), number])?;
    row.map_or(Ok(String::new()), |row| row.text("prints"))
}

/// Keeps what an examination of a data set's labels found, in place of an earlier one.
pub fn keep_examination(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, json: &str) -> Result<()> {
    let sql = "update version_details set examination = $3 where repo = $1 and number = $2";
    tx.execute(sql, params![repo.as_str(), number, json]).map(drop)
}

/// What the last examination found, as JSON; empty before the first.
pub fn examination(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<String> {
    let row = tx.find("select examination from version_details where repo = $1 and number = $2", params![repo.as_str(), number])?;
    row.map_or(Ok(String::new()), |row| row.text("examination"))
}

/// Data sets whose cards say that they are for measuring, by these tags: key, and the number of the version that lists show. Most
/// downloaded first.
pub fn tagged_datasets(tx: &mut Tx<'_>, tags: &[&str], visible: &Visibility, limit: usize) -> Result<Vec<(RepoKey, u32)>> {
    let tags = Choice { by: ChoiceBy::Tag, values: tags.iter().map(|tag| (*tag).to_owned()).collect() };
    let (kind, sort) = (Some(RepoKind::Dataset), Sort::Downloads);
    let query = SearchQuery { kind, choices: vec![tags], here: true, plain: true, sort, ..SearchQuery::default() };
    let mut found = Vec::new();
    for key in super::search::search(tx, &query, visible, limit, None)?.page.items {
        let row = tx.find("select number from repo_facts where repo = $1 and number > 0", params![key.as_str()])?;
        if let Some(row) = row {
            found.push((key, u32::try_from(row.int("number")?).unwrap_or(u32::MAX)));
        }
    }
    Ok(found)
}

/// The small pictures of a data set's version, as JSON; empty where there are none.
pub fn previews(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<String> {
    let row = tx.find("select previews from version_details where repo = $1 and number = $2", params![repo.as_str(), number])?;
    row.map_or(Ok(String::new()), |row| row.text("previews"))
}

/// Makes `head` what lists, filters and searches know of a repo; with `None`, what the library says of it, if it does, else only its
/// name and summary.
pub fn set_head(tx: &mut Tx<'_>, repo: &Repo, head: Option<&Version>) -> Result<()> {
    let key = repo.key.as_str();
    tx.execute("delete from repo_facts where repo = $1", params![key])?;
    tx.execute("delete from repo_tags where repo = $1", params![key])?;
    let (mut facts, mut body) = (Facts::default(), String::new());
    if let Some(head) = head {
        facts = find(tx, &repo.key, head.number)?.unwrap_or_default();
        body = card_text(tx, &repo.key, head.number)?;
        insert_head(tx, key, (head.number, head.total_bytes), &facts)?;
    } else if let Some(listed) = super::library::find_facts(tx, &repo.key)? {
        (facts, body) = listed;
        insert_head(tx, key, (LISTED, 0), &facts)?;
    }
    let tags = [&facts.tags[..], &[facts.task, facts.architecture, facts.license]].concat().join(" ");
    super::full_text::index(tx, &repo.key, &repo.id.to_string(), &repo.summary, &tags, &body)?;
    super::search::listing::refresh(tx, &repo.key)
}

fn insert_head(tx: &mut Tx<'_>, key: &str, (number, total_bytes): (u32, u64), facts: &Facts) -> Result<()> {
    tx.execute(
        "insert into repo_facts (repo, number, task, modality, architecture, license, library, parameters, total_bytes, top1)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            key,
            number,
            &facts.task,
            &facts.modality,
            &facts.architecture,
            &facts.license,
            &facts.library,
            facts.parameters,
            total_bytes,
            facts.top1().unwrap_or(UNSAID)
        ],
    )?;
    for tag in &facts.tags {
        tx.execute("insert into repo_tags (repo, tag) values ($1, $2) on conflict (repo, tag) do nothing", params![key, tag])?;
    }
    Ok(())
}
