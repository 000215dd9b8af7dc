//! A sweep: one fine-tune tried with several settings, of which the best is published. Values are combined in every way, or drawn;
//! what is drawn depends on the recipe's seed alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::recipe::{Recipe, RecipeError};

/// Trials of one sweep; each is a fine-tune of its own.
pub const MOST_TRIALS: usize = 64;
/// Of the best trials that may go into a soup: all of them are in memory at once.
pub const MOST_IN_SOUP: usize = 8;
const MOST_SETTINGS: usize = 16;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// What is tried, by setting (`lr`, `augment.views`).
    pub settings: BTreeMap<String, Tried>,
    /// So many combinations are drawn at random; 0 takes every one.
    pub samples: u32,
    /// Trials begin with few epochs, and the better half of them goes on with twice as many, until one has all (successive halving,
    /// Jamieson and Talwalkar 2016).
    pub halving: bool,
    /// Several of the best trials are averaged where that is better than the best one (Wortsman et al. 2022).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub soup: bool,
}

/// What a setting is tried with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tried {
    Values(Vec<Value>),
    /// Anything between: drawn evenly in the logarithm where both are above 0, as rates are. Only for draws.
    Range {
        from: f64,
        to: f64,
    },
}

/// One set of settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What differs between trials.
    pub set: Map<String, Value>,
    pub recipe: Recipe,
}

impl Trial {
    /// `epochs=5, lr=0.001`
    pub fn words(&self) -> String {
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.set.iter().map(|(key, value)| format!("{key}={}", word(value))).collect::<Vec<_>>().join(", ")
    }
}

impl Sweep {
    /// The trials of it, each within a recipe's bounds.
    ///
    /// # Errors
    /// A setting that is not there or out of bounds, too many trials, a range where nothing is drawn.
    pub fn trials(&self, base: &Recipe) -> Result<Vec<Trial>, RecipeError> {
        if self.settings.is_empty() || self.settings.len() > MOST_SETTINGS {
            return refuse(format!("it tries {} settings; name 1 to {MOST_SETTINGS}", self.settings.len()));
        }
        let sets = if self.samples > 0 { self.drawn(base)? } else { self.every()? };
        let base = serde_json::to_value(base).or_else(|e| refuse(e.to_string()))?;
        sets.into_iter().map(|set| trial(&base, set)).collect()
    }

    fn every(&self) -> Result<Vec<Map<String, Value>>, RecipeError> {
        let mut sets = vec![Map::new()];
        for (key, tried) in &self.settings {
            let values = match tried {
                Tried::Values(values) if !values.is_empty() => values,
                Tried::Values(_) => return refuse(format!("{key} has no values to try")),
                Tried::Range { .. } => {
                    return refuse(format!("{key} is a range, of which values are drawn; say how many trials with `samples`"));
                }
            };
            if sets.len().saturating_mul(values.len()) > MOST_TRIALS {
                return refuse(format!("it has more than {MOST_TRIALS} combinations; try fewer values, or draw some with `samples`"));
            }
            let with = |set: &Map<String, Value>, value: &Value| {
                let mut set = set.clone();
                set.insert(key.clone(), value.clone());
                set
            };
            sets = sets.iter().flat_map(|set| values.iter().map(move |value| with(set, value))).collect();
        }
        Ok(sets)
    }

    fn drawn(&self, base: &Recipe) -> Result<Vec<Map<String, Value>>, RecipeError> {
        if self.samples as usize > MOST_TRIALS {
            return refuse(format!("samples is {}, and at most {MOST_TRIALS} are tried", self.samples));
        }
        let whole = serde_json::to_value(base).or_else(|e| refuse(e.to_string()))?;
        let mut draws = Draws(base.seed ^ 0x5eed_5eed_5eed_5eed);
        let mut sets: Vec<Map<String, Value>> = Vec::new();
        // Few values have few combinations; what was drawn already is drawn again, within reason.
        for _ in 0..20 * self.samples {
            let mut set = Map::new();
            for (key, tried) in &self.settings {
                let value = match tried {
                    Tried::Values(values) if !values.is_empty() => values[draws.below(values.len())].clone(),
                    Tried::Values(_) => return refuse(format!("{key} has no values to try")),
                    Tried::Range { from, to } => draws.between(key, *from, *to, find(&whole, key).is_some_and(Value::is_u64))?,
                };
                set.insert(key.clone(), value);
            }
            if !sets.contains(&set) {
                sets.push(set);
            }
            if sets.len() == self.samples as usize {
                break;
            }
        }
        Ok(sets)
    }
}

/// A round of trials: what it gives each, and how many go on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// Trials that take part.
    pub trials: usize,
    /// In how many halves of its epochs a trial of it is cut: 0 has all of them.
    halvings: u32,
}

impl Rung {
    /// Of a recipe's epochs.
    pub fn epochs(self, recipe: &Recipe) -> u32 {
        recipe.epochs.div_ceil(1 << self.halvings.min(31)).max(1)
    }
}

/// The rungs of a sweep: one, or with halving as many as the number of trials has doublings, of which the last has all epochs and one
/// trial or two.
pub fn rungs(trials: usize, halving: bool) -> Vec<Rung> {
    let doublings = usize::BITS - trials.saturating_sub(1).leading_zeros();
    let count = if halving { doublings.max(1) } else { 1 };
    (0..count).map(|at| Rung { trials: trials.div_ceil(1 << at).max(1), halvings: count - 1 - at }).collect()
}

fn trial(base: &Value, set: Map<String, Value>) -> Result<Trial, RecipeError> {
    let mut whole = base.clone();
    for (key, value) in &set {
        let known = find(&whole, key).is_some();
        let place = key.split('.').try_fold(&mut whole, |place, part| place.get_mut(part));
        match place.filter(|_| known) {
            Some(place) => *place = value.clone(),
            None => return refuse(format!("there is no setting '{key}'")),
        }
    }
    let recipe: Recipe = serde_json::from_value(whole).or_else(|e| refuse(format!("{}: {e}", words(&set))))?;
    recipe.check()?;
    Ok(Trial { set, recipe })
}

fn words(set: &Map<String, Value>) -> String {
    set.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

fn find<'a>(whole: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(whole, |place, part| place.get(part))
}

fn refuse<T>(problem: String) -> Result<T, RecipeError> {
    Err(RecipeError { setting: "sweep", problem })
}

/// Draws by SplitMix64 (Steele 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn between(&mut self, key: &str, from: f64, to: f64, whole: bool) -> Result<Value, RecipeError> {
        if !from.is_finite() || !to.is_finite() || from >= to {
            return refuse(format!("{key}: {from} to {to} is no range"));
        }
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        let drawn = if from > 0.0 { from * (to / from).powf(share) } else { from + share * (to - from) };
        // Four digits are as many as a rate needs, and people can read them.
        let short = format!("{drawn:.3e}").parse::<f64>().unwrap_or(drawn).clamp(from, to);
        Ok(if whole { Value::from(short.round() as u64) } else { Value::from(short) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sweep(value: Value) -> Sweep {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_combination_is_a_trial() {
        let grid = sweep(json!({ "settings": { "lr": [1e-4, 3e-4], "epochs": [5, 10], "augment.views": [2] } }));
        let trials = grid.trials(&Recipe::default()).unwrap();
        assert_eq!(trials.len(), 4);
        let found: Vec<_> = trials.iter().map(|trial| (trial.recipe.epochs, trial.recipe.lr, trial.recipe.augment.views)).collect();
        assert_eq!(found, [(5, 1e-4, 2), (5, 3e-4, 2), (10, 1e-4, 2), (10, 3e-4, 2)]);
        assert_eq!(trials[3].words(), "augment.views=2, epochs=10, lr=0.0003");
    }

    #[test]
    fn draws_are_of_the_seed_and_within_their_range() {
        let random =
            sweep(json!({ "settings": { "lr": { "from": 1e-5, "to": 1e-2 }, "batch_size": { "from": 8, "to": 64 } }, "samples": 8 }));
        let trials = random.trials(&Recipe::default()).unwrap();
        assert_eq!((trials.len(), &trials), (8, &random.trials(&Recipe::default()).unwrap()));
        assert!(trials.iter().all(|trial| (1e-5..=1e-2).contains(&trial.recipe.lr) && (8..=64).contains(&trial.recipe.batch_size)));
        assert!(trials.iter().any(|trial| trial.recipe.lr < 1e-3), "rates are drawn in the logarithm");
        assert_ne!(trials, random.trials(&Recipe { seed: 1, ..Recipe::default() }).unwrap());
        let few = sweep(json!({ "settings": { "epochs": [1, 2] }, "samples": 8 }));
        assert_eq!(few.trials(&Recipe::default()).unwrap().len(), 2, "what was tried is not tried again");
    }

    #[test]
    fn what_cannot_be_tried_is_refused_in_words() {
        for (asked, word) in [
            (json!({ "settings": {} }), "tries 0 settings"),
            (json!({ "settings": { "speed": [1] } }), "no setting 'speed'"),
            (json!({ "settings": { "lr": [] } }), "no values"),
            (json!({ "settings": { "lr": { "from": 1e-5, "to": 1e-2 } } }), "is a range"),
            (json!({ "settings": { "lr": { "from": 1, "to": 1 } }, "samples": 2 }), "no range"),
            (json!({ "settings": { "lr": ["fast"] } }), "lr"),
            (json!({ "settings": { "epochs": (1..=9).collect::<Vec<_>>(), "seed": (1..=9).collect::<Vec<_>>() } }), "more than 64"),
            (json!({ "settings": { "lr": [1] }, "samples": 65 }), "at most 64"),
            (json!({ "settings": { "epochs": [0] } }), "not between"),
        ] {
            let refused = sweep(asked.clone()).trials(&Recipe::default()).unwrap_err();
            assert!(refused.to_string().contains(word), "{asked}: {refused}");
        }
    }

    #[test]
    fn a_halving_ends_with_all_epochs_for_the_best() {
        let plan = |trials, epochs| -> Vec<(usize, u32)> {
            let recipe = Recipe { epochs, ..Recipe::default() };
            rungs(trials, true).iter().map(|rung| (rung.trials, rung.epochs(&recipe))).collect()
        };
        assert_eq!(plan(8, 8), [(8, 2), (4, 4), (2, 8)]);
        assert_eq!(plan(3, 1), [(3, 1), (2, 1)]);
        assert_eq!(plan(1, 5), [(1, 5)]);
        assert_eq!(rungs(8, false).len(), 1);
    }
}
