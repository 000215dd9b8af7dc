//! Asking a model about classes that it was never trained on: those of a support set, a data set of examples that the model has looked
//! at before (`POST /api/v1/embeddings`), so that nothing but its features is read here.

use std::path::Path;
use std::sync::Arc;

use super::super::{Error, Result, Service};
use super::admit::{nothing_in, unfit};
use super::neighbors::{Rows, targets_of};
use super::predict::{Item, Opened, Question};
use crate::catalog::measurements::Pair;
use crate::domain::answers::{Answers, Content, Said};
use crate::domain::dataset_report::DatasetReport;
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::prompt::Template;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::work::Whose;
use crate::train::support::{MOST_EXAMPLES, Support};

/// Names of classes in one question, and letters of one.
const MOST_NAMES: usize = 100;
const LONGEST_NAME: usize = 500;
/// Support sets whose means are remembered.
const REMEMBERED: usize = 16;

/// Means that were worked out, the one asked for last at the end.
pub(super) type Remembered = parking_lot::Mutex<Vec<(Pair, Arc<Support>)>>;

impl Service {
    /// What a model says about items by the examples of a support set; of its classes the `top` nearest. Both must be the caller's to read.
    pub async fn ask_by_support(
        &self,
        actor: &Actor,
        (model, revision): (&RepoId, &Revision),
        (support, support_revision): (&RepoId, &Revision),
        items: Vec<Item>,
        top: usize,
    ) -> Result<Answers> {
        let found = self.get_repo_at(actor, RepoKind::Dataset, support, support_revision).await?;
        let Some(pinned) = found.head else { return Err(nothing_in(support)) };
        let report = DatasetReport::read(&found.facts.dataset_report).filter(|report| report.task.about().one_class);
        let report = report.ok_or_else(|| no_classes(support, pinned.number))?;
        let version = self.get_repo_at(actor, RepoKind::Model, model, revision).await?.head.ok_or_else(|| nothing_in(model))?;
        let (pair, _) = self.pair(actor, (model, version.number), (support, pinned.number)).await?;
        let means = match self.models.remembered(&pair) {
            Some(means) => means,
            None => {
                let Some(looked) = self.embedding_of(&pair).await? else {
                    let of = (format!("{support}@{}", pinned.number), format!("{model}@{}", version.number));
                    return Err(super::neighbors::not_embedded(&of.0, &of.1));
                };
                let read = move || of_files(&looked.rows, &looked.items, &report.classes);
                let means = self.work().run(&Whose::of(actor), read).await?.map_err(unfit)?;
                self.models.remember(pair, Arc::new(means))
            }
        };
        let asked = self.ask(actor, model, &Revision::Number(version.number), Question::Features, items).await?;
        Ok(by_means(asked, &means, top))
    }

    /// What a model says about items by the names of classes alone, each read in a text with `{}`; of them the `top` nearest. Of a model of
    /// texts each is the one example of its class; where a model has a network for texts beside, items are held against those texts.
    pub async fn ask_by_names(
        &self,
        actor: &Actor,
        (model, revision): (&RepoId, &Revision),
        (names, template): (Vec<String>, Option<&str>),
        items: Vec<Item>,
        top: usize,
    ) -> Result<Answers> {
        check_names(&names)?;
        let found = self.get_repo_at(actor, RepoKind::Model, model, revision).await?;
        let version = found.head.as_ref().ok_or_else(|| nothing_in(model))?;
        let revision = Revision::Number(version.number);
        let scale = self.text_scale(actor, (model, &revision), &found.facts.modality).await?;
        let template = template_of(template, scale.is_some())?;
        let example = |name: &String| Item::new(name, template.of(name).into_bytes());
        let said = self.ask(actor, model, &revision, Question::Features, names.iter().map(example).collect()).await?;
        let (mut rows, mut width) = (Vec::new(), 0);
        for one in said.items {
            match one.content {
                Content::Features { features, .. } => {
                    width = features.len();
                    rows.extend(features);
                }
                Content::Unanswered { error } => return Err(bad_names(format!("`{}` cannot be read: {}", one.name, error.message))),
                Content::Answer(_) => return Err(Error::Internal("a model answered another question".into())),
            }
        }
        let means = Support::of_texts(width, &rows, &names, scale).map_err(unfit)?;
        let asked = self.ask(actor, model, &revision, Question::Features, items).await?;
        Ok(by_means(asked, &means, top))
    }

    /// The text in which a model reads names: the one that is given, or the usual one.
    pub(super) async fn template(
        &self,
        actor: &Actor,
        (model, revision): (&RepoId, &Revision),
        template: Option<&str>,
    ) -> Result<Template> {
        let found = self.get_repo_at(actor, RepoKind::Model, model, revision).await?;
        let scale = self.text_scale(actor, (model, revision), &found.facts.modality).await?;
        template_of(template, scale.is_some())
    }

    /// What cosines of items with texts are multiplied by, of a model that has a network for each; `None` of models of texts.
    async fn text_scale(&self, actor: &Actor, (model, revision): (&RepoId, &Revision), modality: &str) -> Result<Option<f32>> {
        let takes = Modality::parse(modality).unwrap_or_default().items();
        if takes == "texts" {
            return Ok(None);
        }
        let scale = match self.opened(actor, model, revision).await? {
            (_, Opened::Network(line)) => line.model.text_scale(),
            (_, Opened::Words(_)) => return Ok(None),
        };
        scale.map(Some).ok_or_else(|| {
            let message = format!("{model} takes {takes}, and cannot read what classes are called");
            Error::invalid("no_words", message, "give examples of the classes instead: `support`, or `hub predict --support`")
        })
    }
}

/// Features become what the examples say about them.
fn by_means(asked: Answers, means: &Support, top: usize) -> Answers {
    let said = |said: Said| match said.content {
        Content::Features { features, .. } if features.len() == means.width() => {
            Said { content: Content::Answer(means.answer(&features, top).into()), ..said }
        }
        _ => said,
    };
    Answers { model: asked.model, items: asked.items.into_iter().map(said).collect() }
}

fn template_of(text: Option<&str>, of_others: bool) -> Result<Template> {
    let Some(text) = text else { return Ok(Template::usual(of_others)) };
    Template::parse(text).ok_or_else(|| {
        let beginning: String = text.chars().take(40).collect();
        let message = format!("`{beginning}` is no text in which names can be read");
        Error::invalid("bad_prompt", message, "write `{}` once where the name of a class stands: `a photo of a {}`")
    })
}

/// Several different ones, none of them empty or endless.
pub(super) fn check_names(names: &[String]) -> Result<()> {
    if !(2..=MOST_NAMES).contains(&names.len()) {
        return Err(bad_names(format!("{} names of classes were given, and 2 to {MOST_NAMES} are taken", names.len())));
    }
    if let Some(name) = names.iter().find(|name| name.trim().is_empty() || name.chars().count() > LONGEST_NAME) {
        let beginning: String = name.chars().take(20).collect();
        return Err(bad_names(format!("a class's name has 1 to {LONGEST_NAME} letters, not `{beginning}`")));
    }
    match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        Some((_, twice)) => Err(bad_names(format!("`{twice}` is named twice"))),
        None => Ok(()),
    }
}

fn bad_names(message: String) -> Error {
    Error::invalid("bad_classes", message, "write them with commas between: classes=sport,politics")
}

impl super::predict::Models {
    fn remembered(&self, pair: &Pair) -> Option<Arc<Support>> {
        self.supports.lock().iter().find(|(known, _)| known == pair).map(|(_, means)| means.clone())
    }

    fn remember(&self, pair: Pair, means: Arc<Support>) -> Arc<Support> {
        let mut all = self.supports.lock();
        all.retain(|(known, _)| *known != pair);
        all.push((pair, means.clone()));
        if all.len() > REMEMBERED {
            all.remove(0);
        }
        means
    }
}

pub(super) fn no_classes(id: &RepoId, version: u32) -> Error {
    let message = format!("{id}@{version} has no classes to take examples of");
    Error::invalid("no_support", message, "choose a data set with a class for each image")
}

/// Of the files that an embedding left: examples of the training split, or of all where it has none.
fn of_files(rows: &Path, items: &Path, classes: &[String]) -> crate::train::Result<Support> {
    let unread = |why: String| crate::train::Error::Unsupported(format!("the features of the support set cannot be read: {why}"));
    let targets = targets_of(items).map_err(unread)?;
    let of_train = targets.iter().any(|(_, split, _)| split == "train");
    let wanted: Vec<(usize, u32)> = targets
        .into_iter()
        .filter(|(_, split, _)| !of_train || split == "train")
        .filter_map(|(row, _, target)| Some((row, classes.iter().position(|class| *class == target)? as u32)))
        .collect();
    let step = wanted.len().div_ceil(MOST_EXAMPLES).max(1);
    let mut wanted: Vec<(usize, u32)> = wanted.into_iter().step_by(step).collect();
    wanted.sort_unstable();
    let mut reader = Rows::open(rows).map_err(unread)?;
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let mut next = wanted.into_iter().peekable();
    let mut number = 0;
    while next.peek().is_some() {
        let Some(row) = reader.next().map_err(|e| unread(e.to_string()))? else { break };
        while let Some((_, label)) = next.next_if(|(wanted, _)| *wanted == number) {
            features.extend_from_slice(row);
            labels.push(label);
        }
        number += 1;
    }
    Support::of_rows(reader.width(), &features, &labels, classes)
}
