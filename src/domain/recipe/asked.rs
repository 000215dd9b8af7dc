//! The settings of a recipe that somebody named. All others are those that are usual for the items, which is known once the data set is.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Recipe, RecipeError};
use crate::domain::modality::Modality;
use crate::domain::task::Task;

/// By name, as in a recipe's JSON; each is one that a recipe has.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Asked(Map<String, Value>);

impl Asked {
    /// # Errors
    /// In words: a setting that is not there, or one that cannot be what it is to be, with its name.
    pub fn new(settings: Map<String, Value>) -> Result<Asked, String> {
        let whole = written(&Recipe::default());
        for (name, value) in &settings {
            match (value, whole.get(name)) {
                (Value::Object(inner), Some(Value::Object(known))) => {
                    for (key, value) in inner {
                        let one = Map::from_iter([(key.clone(), value.clone())]);
                        let place = if known.contains_key(key) { format!("{name}.{key}") } else { name.clone() };
                        read(Map::from_iter([(name.clone(), one.into())])).map_err(|error| format!("'{place}': {error}"))?;
                    }
                }
                (value, known) => {
                    let one = read(Map::from_iter([(name.clone(), value.clone())]));
                    one.map_err(|error| if known.is_some() { format!("'{name}': {error}") } else { error.to_string() })?;
                }
            }
        }
        Ok(Asked(settings))
    }

    /// All settings of a recipe.
    pub fn whole(recipe: &Recipe) -> Asked {
        Asked(written(recipe))
    }

    /// Those of a recipe that are not [`Recipe::default`]'s.
    pub fn differing(recipe: &Recipe) -> Asked {
        let default = written(&Recipe::default());
        let mut settings = written(recipe);
        settings.retain(|name, value| match (value, default.get(name)) {
            (Value::Object(inner), Some(Value::Object(known))) => {
                inner.retain(|key, value| known.get(key) != Some(value));
                !inner.is_empty()
            }
            (value, known) => known != Some(value),
        });
        Asked(settings)
    }

    /// The whole recipe for items of this kind.
    ///
    /// # Errors
    /// It was written down for items of another kind, or a setting is out of bounds.
    pub fn over(&self, modality: Modality) -> Result<Recipe, RecipeError> {
        self.upon(modality, &Recipe::usual(modality))
    }

    /// The same for targets of this task.
    ///
    /// # Errors
    /// As [`Self::over`].
    pub fn over_targets(&self, modality: Modality, task: Task) -> Result<Recipe, RecipeError> {
        let usual = Recipe::usual_for(modality, task, &self.over(modality)?);
        self.upon(modality, &usual)
    }

    fn upon(&self, modality: Modality, usual: &Recipe) -> Result<Recipe, RecipeError> {
        let refuse = |setting, problem: String| Err(RecipeError { setting, problem });
        let mut settings = written(usual);
        for (name, value) in &self.0 {
            match (settings.get_mut(name), value) {
                (Some(Value::Object(known)), Value::Object(inner)) => known.extend(inner.clone()),
                _ => drop(settings.insert(name.clone(), value.clone())),
            }
        }
        let recipe = match read(settings) {
            Ok(recipe) => recipe,
            Err(error) => return refuse("recipe", error.to_string()),
        };
        if recipe.modality != modality {
            let (given, asked) = (modality.items(), recipe.modality.items());
            return refuse("modality", format!("the data set holds {given}, and these settings are for {asked}; leave it out"));
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// The task that was named.
    pub fn task(&self) -> Option<Task> {
        self.0.get("task").and_then(Value::as_str).and_then(Task::parse)
    }
}

impl<'de> Deserialize<'de> for Asked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Asked, D::Error> {
        Asked::new(Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn written(recipe: &Recipe) -> Map<String, Value> {
    match serde_json::to_value(recipe) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

fn read(settings: Map<String, Value>) -> serde_json::Result<Recipe> {
    serde_json::from_value(Value::Object(settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recipe::Optimizer;

    fn asked(text: &str) -> Result<Asked, String> {
        serde_json::from_str(text).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn what_was_named_stands_and_the_rest_follows_the_items() {
        let few = asked(r#"{"epochs": 10, "augment": {"views": 0}}"#).unwrap();
        let (texts, images) = (few.over(Modality::Text).unwrap(), few.over(Modality::Image).unwrap());
        assert_eq!((texts.epochs, texts.lr, texts.optimizer), (10, 2e-5, Optimizer::Adamw), "ten is what was asked for");
        assert_eq!(images, Recipe::default());
        assert_eq!(asked("{}").unwrap().over(Modality::Text).unwrap(), Recipe::usual(Modality::Text));
        let crop = asked(r#"{"augment": {"crop_min_area": 0.5}}"#).unwrap();
        assert_eq!(crop.over(Modality::Text).unwrap_err().setting, "augment");
        assert_eq!(serde_json::to_value(&few).unwrap(), serde_json::json!({"epochs": 10, "augment": {"views": 0}}));
    }

    #[test]
    fn a_whole_recipe_comes_back_and_belongs_to_its_items() {
        let recipe = Recipe { seed: 7, ..Recipe::usual(Modality::Text) };
        assert_eq!(Asked::whole(&recipe).over(Modality::Text).unwrap(), recipe);
        assert_eq!(Asked::whole(&recipe).over(Modality::Image).unwrap_err().setting, "modality");
        let mut changed = Recipe { seed: 7, ..Recipe::default() };
        changed.augment.views = 2;
        assert_eq!(serde_json::to_value(Asked::differing(&changed)).unwrap(), serde_json::json!({"seed": 7, "augment": {"views": 2}}));
        assert_eq!(Asked::differing(&Recipe::default()), Asked::default());
    }

    #[test]
    fn what_cannot_be_a_setting_is_named() {
        for (text, word) in [
            (r#"{"epochs": "many"}"#, "'epochs': invalid type"),
            (r#"{"augment": {"views": "x"}}"#, "'augment.views': invalid type"),
            (r#"{"augment": {"view": 1}}"#, "'augment': unknown field"),
            (r#"{"learning_rate": 1}"#, "unknown field `learning_rate`"),
            ("[]", "invalid type"),
        ] {
            let error = asked(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(asked(r#"{"lr": 1e9}"#).unwrap().over(Modality::Image).is_err(), "bounds are looked at with the whole");
    }
}
