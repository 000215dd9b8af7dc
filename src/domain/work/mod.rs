//! What jobs are asked to do, a file a kind. A kind says which versions it reads, whether it publishes one, and how people call it;
//! its JSON is what the queue stores, what the API shows and what the confined process is told.

mod ask;
mod embed;
mod evaluate;
mod examine;
mod fine_tune;
mod recommend;
mod word2vec;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::ask::AskDataset;
pub use self::embed::EmbedDataset;
pub use self::evaluate::Evaluate;
pub use self::examine::ExamineDataset;
pub use self::fine_tune::{BASE, DATASET, FineTune, TrialOf};
pub use self::recommend::{AUTO, Contender, Recommend, Then};
pub use self::word2vec::TrainWord2vec;
use super::name::{RepoId, RepoKind};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "spec", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "one for each job, and most are the largest")]
pub enum Work {
    FineTune(FineTune),
    Embed(EmbedDataset),
    Evaluate(Evaluate),
    Ask(AskDataset),
    Recommend(Recommend),
    Examine(ExamineDataset),
    Word2vec(TrainWord2vec),
}

/// The role of a data set of examples.
pub const SUPPORT: &str = "support";

/// A version a job reads. Roles tell the inputs of one job apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub role: String,
    pub kind: RepoKind,
    pub id: RepoId,
    pub version: u32,
    /// Whether the work can be done without it.
    pub spare: bool,
}

impl Input {
    /// The work is done without it where it is gone: its role has no files then.
    pub fn if_there(self) -> Input {
        Input { spare: true, ..self }
    }

    pub fn model(role: impl Into<String>, id: &RepoId, version: u32) -> Input {
        Input { role: role.into(), kind: RepoKind::Model, id: id.clone(), version, spare: false }
    }

    pub fn dataset(role: impl Into<String>, id: &RepoId, version: u32) -> Input {
        Input { role: role.into(), kind: RepoKind::Dataset, id: id.clone(), version, spare: false }
    }
}

/// What every kind of work says of itself.
pub trait Kind {
    fn inputs(&self) -> Vec<Input>;

    /// Where it publishes a version; without one, files are all it leaves.
    fn publishes(&self) -> Option<&RepoId> {
        None
    }

    /// What a list of jobs calls it.
    fn title(&self) -> String;
}

impl Work {
    /// Its side that all kinds have.
    fn any(&self) -> &dyn Kind {
        match self {
            Work::FineTune(work) => work,
            Work::Embed(work) => work,
            Work::Evaluate(work) => work,
            Work::Ask(work) => work,
            Work::Recommend(work) => work,
            Work::Examine(work) => work,
            Work::Word2vec(work) => work,
        }
    }

    pub fn inputs(&self) -> Vec<Input> {
        self.any().inputs()
    }

    pub fn publishes(&self) -> Option<&RepoId> {
        self.any().publishes()
    }

    pub fn title(&self) -> String {
        self.any().title()
    }

    pub fn fine_tune(&self) -> Option<&FineTune> {
        match self {
            Work::FineTune(work) => Some(work),
            Work::Embed(_) | Work::Evaluate(_) | Work::Ask(_) | Work::Recommend(_) | Work::Examine(_) | Work::Word2vec(_) => None,
        }
    }

    /// The word for its kind, and what is asked for, as both are stored and shown.
    pub fn write(&self) -> (String, Value) {
        let mut written = serde_json::to_value(self).unwrap_or_default();
        (written["kind"].as_str().unwrap_or_default().to_owned(), written["spec"].take())
    }

    /// # Errors
    /// A kind that this release does not know, or what does not read as one.
    pub fn read(kind: &str, spec: &str) -> Result<Work, String> {
        let spec: Value = serde_json::from_str(spec).map_err(|e| e.to_string())?;
        serde_json::from_value(json!({ "kind": kind, "spec": spec })).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipe::Recipe;

    #[test]
    fn work_is_written_with_its_kind_and_read_again() {
        let repo = |text: &str| RepoId::parse(text).unwrap();
        let embed = Work::Embed(EmbedDataset { model: repo("tiny"), model_version: 2, dataset: repo("ada/cats"), dataset_version: 1 });
        let (kind, spec) = embed.write();
        assert_eq!(kind, "embed");
        assert_eq!(spec, json!({ "model": "library/tiny", "model_version": 2, "dataset": "ada/cats", "dataset_version": 1 }));
        assert_eq!(Work::read(&kind, &spec.to_string()).unwrap(), embed);
        assert_eq!(embed.inputs()[1], Input::dataset("dataset", &repo("ada/cats"), 1));
        assert!(embed.publishes().is_none());
        assert!(Work::read("sing", "{}").is_err() && Work::read("embed", r#"{"model": "a/../b"}"#).is_err());
    }

    #[test]
    fn a_training_of_word_vectors_names_what_it_reads_and_where_it_goes() {
        let stored = r#"{"dataset":"ada/texts","dataset_version":2,"from":["ada/old",3],"name":"ada/words","settings":{"epochs":2}}"#;
        let read = Work::read("word2vec", stored).unwrap();
        let roles: Vec<_> = read.inputs().into_iter().map(|input| (input.role, input.version)).collect();
        assert_eq!(roles, [("dataset".to_owned(), 2), ("base".to_owned(), 3)]);
        assert_eq!(read.publishes().unwrap().to_string(), "ada/words");
        let (kind, spec) = read.write();
        assert_eq!(Work::read(&kind, &spec.to_string()).unwrap(), read);
    }

    #[test]
    fn fine_tunes_that_earlier_releases_stored_are_read() {
        let stored = r#"{"base":"library/resnet18","base_version":2,"dataset":"ada/cats","dataset_version":1,"name":"ada/net",
            "private":true,"recipe":{"epochs":3}}"#;
        let Work::FineTune(read) = Work::read("fine-tune", stored).unwrap() else { panic!("another kind") };
        assert_eq!((read.base_version, read.recipe.epochs, read.recipe.lr), (2, 3, Recipe::default().lr));
        assert_eq!(Work::FineTune(read.clone()).publishes().unwrap().to_string(), "ada/net");
        assert_eq!(Work::FineTune(read).title(), "ada/net");
    }
}
