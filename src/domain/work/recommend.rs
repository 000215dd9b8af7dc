//! Which backbones suit a data set; and, where one asks for it, a fine-tune of the first one afterwards.

use serde::{Deserialize, Serialize};

use super::fine_tune::DATASET;
use super::{Input, Kind};
use crate::domain::name::RepoId;
use crate::domain::recipe::Asked;
use crate::domain::recommendation::{Backbone, Known};
use crate::domain::sweep::Sweep;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommend {
    pub dataset: RepoId,
    pub dataset_version: u32,
    /// In the order in which they are tried.
    pub contenders: Vec<Contender>,
    /// Those that are not tried, each with its reason.
    #[serde(default)]
    pub passed_over: Vec<Backbone>,
    /// How long it may take.
    #[serde(default)]
    pub seconds: Option<u32>,
    #[serde(default)]
    pub race: bool,
    #[serde(default)]
    pub then: Option<Then>,
}

/// A backbone to be tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    pub id: RepoId,
    pub version: u32,
    pub known: Known,
}

/// Stands where a fine-tune's base is to be named, and lets it be chosen.
pub const AUTO: &str = "auto";

/// The fine-tune that follows, from the first backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Then {
    pub name: RepoId,
    pub private: bool,
    pub recipe: Asked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
}

impl Recommend {
    /// The role of the so many-th contender.
    pub fn role(at: usize) -> String {
        format!("contender-{at}")
    }
}

impl Kind for Recommend {
    fn inputs(&self) -> Vec<Input> {
        let model = |(at, contender): (usize, &Contender)| Input::model(Recommend::role(at), &contender.id, contender.version).if_there();
        let models = self.contenders.iter().enumerate().map(model);
        models.chain([Input::dataset(DATASET, &self.dataset, self.dataset_version)]).collect()
    }

    fn title(&self) -> String {
        let of = format!("a backbone for {}@{}", self.dataset, self.dataset_version);
        match &self.then {
            Some(then) => format!("{of}, then {}", then.name),
            None => of,
        }
    }
}
