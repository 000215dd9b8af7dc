//! What a publish reads in the files it is given, before anything is written: weights' headers, config.json,
//! the card, and a data set's images. Weights with a broken header, unsafe files and archives that cannot be what they
//! claim to be stop the publish here; papers that cannot be read (`read_papers`) never do.

use std::collections::{HashMap, HashSet};

use super::super::{Error, Result, Service, card_html};
use super::check_dataset;
use super::read_papers::Config;
use crate::catalog::{facts as stored, versions};
use crate::db::Tx;
use crate::domain::card::Card;
use crate::domain::config::ModelConfig;
use crate::domain::dataset_layout::Declared;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::digest::Digest;
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::mark::Mark;
use crate::domain::modality::Modality;
use crate::domain::name::RepoKind;
use crate::domain::repo::{Facts, Metric, Repo};
use crate::domain::safetensors::Header;
use crate::domain::saved_model::SavedModel;
use crate::domain::task::Task;
use crate::train;

/// Files looked at side by side.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// All that was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub facts: Facts,
    /// The card's body, for the search index.
    pub card_text: String,
    /// One line for lists, from the card.
    pub summary: String,
    /// Of a data set's items.
    pub kept: Kept,
    pub headers: Vec<(Digest, Header)>,
    /// What the card says of a data set's layout.
    pub declared: String,
    /// What was found in files that nobody had looked into.
    pub marks: Vec<(Digest, Mark)>,
}

/// What is kept of a data set's items beside the report.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Small pictures, as JSON.
    pub previews: String,
    /// What finds them again in other data sets.
    pub prints: String,
}

/// What is known of the version a publish builds upon, so that nothing is read twice.
#[derive(Debug, Clone, Default)]
pub(super) struct Earlier {
    /// Blobs that passed the scan before.
    pub scanned: HashSet<Digest>,
    /// What was found in them.
    pub marks: Vec<(Digest, Mark)>,
    /// Of a data set whose files, but for its papers, are the same: what was found in them.
    pub dataset: Option<(Facts, Kept)>,
}

impl Service {
    pub(super) async fn read_facts(&self, kind: RepoKind, manifest: &Manifest, earlier: Earlier, may_ask: bool) -> Result<Reading> {
        let marks = self.scan_files(manifest, &earlier.scanned).await?;
        let headers = self.read_headers(manifest).await?.into_iter().map(|(entry, header)| (entry.digest, header)).collect();
        let mut reading = Reading { headers, ..Reading::default() };
        reading.take_marks(manifest, marks, earlier.marks);
        self.find_pointers(manifest, &mut reading).await?;
        reading.facts.parameters = parameters(manifest, &reading.headers);
        self.read_card(kind, manifest, &mut reading).await?;
        self.read_indexes(manifest, &mut reading).await?;
        match kind {
            RepoKind::Model => {
                let config = self.read_config(manifest, &mut reading).await?;
                reading.take_config(config);
                match self.read_saved_model(manifest).await {
                    Err(Error::Invalid(problem)) => reading.warn(&format!("{}; it is kept as it is", problem.message)),
                    found => reading.take_saved_model(found?),
                }
            }
            RepoKind::Dataset => {
                // The same files are other classes where the card says another layout.
                let same =
                    |facts: &Facts| DatasetReport::read(&facts.dataset_report).is_some_and(|report| report.declared == reading.declared);
                let found = match earlier.dataset.filter(|(facts, _)| same(facts)) {
                    Some((facts, kept)) => check_dataset::Found::of_earlier(facts, kept),
                    None => self.check_dataset(manifest, may_ask).await?,
                };
                reading.take_dataset(found);
            }
        }
        Ok(reading)
    }
}

/// Of `model.safetensors`, or of all shards where there is no file of that name.
fn parameters(manifest: &Manifest, headers: &[(Digest, Header)]) -> u64 {
    let whole = manifest.find("model.safetensors").map(|entry| entry.digest);
    let counted = headers.iter().filter(|(digest, _)| whole.is_none_or(|whole| whole == *digest));
    counted.map(|(_, header)| header.parameters).fold(0, u64::saturating_add)
}

impl Reading {
    pub(super) fn warn(&mut self, warning: &str) {
        self.facts.warnings.push(warning.into());
    }

    pub(super) fn take_card(&mut self, card: &Card) {
        let facts = &mut self.facts;
        facts.license = card.license.clone().unwrap_or_default();
        facts.tags = card.tags.iter().map(|tag| tag.to_lowercase()).collect();
        self.declared = Declared::of_front(&card.extra).key();
        let several = card.licenses().nth(1).is_some();
        // Filters by licence look for the whole text; each of several is found as a tag.
        facts.tags.extend(card.licenses().filter(|_| several).map(|license| format!("license:{license}")));
        facts.task = card.pipeline_tag.clone().or_else(|| card.task_categories.first().cloned()).unwrap_or_default();
        facts.modality = Modality::of_pipeline_tag(&facts.task).map_or("", Modality::as_str).into();
        facts.library = card.library_name.clone().unwrap_or_default();
        facts.source_datasets = card.datasets.clone();
        facts.base_models = card.base_model.clone();
        facts.metrics = card.metrics.iter().map(|m| Metric { dataset: m.dataset.clone(), name: m.kind.clone(), value: m.value }).collect();
        facts.classes = card.classes.unwrap_or_default();
        facts.samples = card.samples.unwrap_or_default();
        facts.card_html = card_html::render(&card.body);
        self.card_text = card.body.clone();
        self.summary = summary_of(card);
        if card.license.is_none() {
            self.warn("the card names no licence: others cannot know what they may do with this");
        }
    }

    fn take_config(&mut self, config: Config) {
        let weights = !self.headers.is_empty();
        let (config, problem) = match config {
            Config::Read(config) => (config, None),
            Config::InPart(config, problem) if !config.architecture.is_empty() => (config, Some(problem)),
            Config::InPart(..) | Config::None => {
                if weights && self.facts.warnings.iter().all(|warning| !warning.starts_with("config.json")) {
                    self.warn("there is no config.json: without its architecture this model cannot be fine-tuned or run here");
                }
                return;
            }
        };
        let unobeyed = self.unobeyed(&config);
        unobeyed.iter().for_each(|problem| self.warn(&format!("this model can be fetched, but not run or fine-tuned here: {problem}")));
        let modality = train::modality_of(&config);
        if train::knows(&config.architecture) {
            // A card's task may be said of anything: `feature-extraction` is.
            self.facts.modality.clear();
        }
        let facts = &mut self.facts;
        let classes = config.num_classes.or(config.pretrained_cfg.num_classes);
        facts.num_classes = classes.unwrap_or(0) as u64;
        facts.num_features = config.num_features.unwrap_or(0) as u64;
        let height = config.pretrained_cfg.input_size.map(|[_, height, _]| height);
        let words = crate::vectors::ARCHITECTURES.contains(&config.architecture.as_str());
        let usual = if problem.is_some() || config.is_encoder() || words { 0 } else { config.preprocessing().height };
        facts.image_size = height.unwrap_or(usual) as u64;
        facts.gmacs = if problem.is_none() && unobeyed.is_empty() { train::gmacs(&config).unwrap_or(0.0) } else { 0.0 };
        let library = config.library();
        let of_head = if config.tags_words() || config.labels_places() {
            train::tasks::of_model(&config)
        } else {
            Task::of_problem_type(config.problem_type.as_deref())
        };
        let features = if config.sentence.is_some() { "sentence-similarity" } else { modality.feature_task() };
        facts.labels = config.label_names.unwrap_or_default();
        facts.architecture = config.architecture;
        facts.config_problem = problem.unwrap_or_else(|| unobeyed.join("; "));
        let task = of_head.pipeline_tag(modality);
        fill(&mut facts.task, if classes == Some(0) { features } else { &task });
        fill(&mut facts.modality, modality.as_str());
        fill(&mut facts.library, library);
        fill(&mut facts.license, config.pretrained_cfg.license.as_deref().unwrap_or_default());
        if facts.source_datasets.is_empty() && weights {
            self.warn("the card names no data sets (`datasets:`): nobody can find this model by what it was trained on");
        }
    }

    /// What the config says that is not done here, and a classifier of other rows than it counts.
    fn unobeyed(&self, config: &ModelConfig) -> Vec<String> {
        let tensors = self.headers.iter().flat_map(|(_, header)| &header.tensors);
        let rows = train::rows_differ(config, tensors.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())));
        train::unobeyed_in(config).into_iter().chain(rows).collect()
    }

    /// Marked files are named, and what is to be noted of the new ones kept.
    fn take_marks(&mut self, manifest: &Manifest, new: Vec<(Digest, Mark)>, known: Vec<(Digest, Mark)>) {
        let marks: HashMap<Digest, Mark> = known.into_iter().chain(new.iter().copied()).collect();
        let marked = |mark: Mark| {
            let of = |entry: &&ManifestEntry| marks.get(&entry.digest) == Some(&mark);
            manifest.entries().iter().filter(of).map(|entry| entry.path.as_str()).collect::<Vec<_>>()
        };
        for (mark, what) in [
            (Mark::Unsafe, "can run what its maker wrote when it is loaded"),
            (Mark::Pickle, "is or holds a pickle of harmless names; 'hub pull' leaves it out unless --allow-pickle is given"),
            (Mark::Unscanned, "could not be looked into as a whole; whether loading it runs anything is not known"),
        ] {
            match marked(mark)[..] {
                [] => {}
                [one] => self.warn(&format!("{one} {what}")),
                [first, ref others @ ..] => self.warn(&format!("each of {} files, such as {first}, {what}", others.len() + 1)),
            }
        }
        self.marks = new;
    }

    fn take_saved_model(&mut self, found: Option<SavedModel>) {
        if found.is_some() {
            fill(&mut self.facts.library, "tensorflow");
        }
        self.facts.saved_model = found;
    }

    fn take_dataset(&mut self, found: check_dataset::Found) {
        let facts = &mut self.facts;
        if found.samples > 0 {
            (facts.classes, facts.samples) = (found.classes, found.samples);
            fill(&mut facts.task, &found.task);
            fill(&mut facts.modality, &found.modality);
        }
        facts.dataset_report = found.report;
        facts.labels = found.labels;
        facts.warnings.extend(found.warnings);
        self.kept = found.kept;
    }
}

fn fill(value: &mut String, with: &str) {
    if value.is_empty() {
        *value = with.into();
    }
}

/// A repo's line is that of its newest card, unless its owner wrote another.
pub(super) fn renew_summary(tx: &mut Tx<'_>, repo: &mut Repo, summary: String) -> Result<()> {
    let of_before = match versions::find_head(tx, &repo.key)? {
        Some(head) => summary_of_body(&stored::card_text(tx, &repo.key, head.number)?),
        None => String::new(),
    };
    if !summary.is_empty() && (repo.summary.is_empty() || repo.summary == of_before) {
        repo.summary = summary;
    }
    Ok(())
}

/// The same of a card of which only what follows its front matter is at hand.
fn summary_of_body(body: &str) -> String {
    summary_of(&Card { body: body.to_owned(), ..Card::default() })
}

/// The card's first sentence or two: the first paragraph that is prose.
fn summary_of(card: &Card) -> String {
    const LONGEST: usize = 200;
    let prose = |line: &&str| !line.is_empty() && !line.starts_with(['#', '<', '!', '|', '-', '*', '>', '[', '=']);
    let mut fenced = false;
    // A line of code reads as an empty one: it ends a paragraph and begins none.
    let code = |line: &str| {
        let fence = line.starts_with("```") || line.starts_with("~~~");
        fenced ^= fence;
        fenced || fence
    };
    let lines: Vec<&str> = card.body.lines().map(str::trim).scan(code, |code, line| Some(if code(line) { "" } else { line })).collect();
    let mut lines = lines.into_iter().skip_while(|line| !prose(line)).take_while(prose).peekable();
    let text = match lines.peek() {
        Some(_) => lines.collect::<Vec<_>>().join(" "),
        None => card.pretty_name.clone().unwrap_or_default(),
    };
    let plain = card_html::plain(&text);
    if plain.chars().count() <= LONGEST {
        return plain;
    }
    let cut: String = plain.chars().take(LONGEST - 1).collect();
    format!("{}…", cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_first_prose() {
        let card = |body: &str| Card { body: body.into(), pretty_name: Some("Nice".into()), ..Card::default() };
        assert_eq!(summary_of(&card("# Title\n\n![x](y)\nA **small** net\nfor `cats`.\n\nMore.")), "A small net for cats.");
        assert_eq!(summary_of(&card("# Title\n\n`tiny` with a new head.\n\nAlways answering red.")), "tiny with a new head.");
        assert_eq!(summary_of(&card("# Title\n- a list")), "Nice");
        assert_eq!(summary_of(&card("# Title\n```sh\nhub pull net\n```\nA net.")), "A net.");
        let long = summary_of(&card(&"word ".repeat(100)));
        assert!(long.chars().count() <= 200 && long.ends_with("word…"), "{long}");
    }
}
