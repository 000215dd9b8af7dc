//! A few items of each class tell little about a recipe, since it matters which: several draws say how much.

use serde::{Deserialize, Serialize};

use super::beside;
use crate::domain::recipe::{Recipe, Unlabelled};
use crate::train::Training;
use crate::train::error::Result;
use crate::train::progress::{Control, Event};
use crate::train::report::Report;

/// What each draw reached by the task's first measure, on the test split where there is one, else on the validation items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Draws {
    /// Items of each class.
    pub shots: u32,
    /// The measure's key.
    pub measure: String,
    /// The first is that of what is published.
    pub values: Vec<f64>,
    pub mean: f64,
    /// The standard deviation between draws.
    pub deviation: f64,
}

impl Draws {
    pub fn of(shots: u32, measure: &str, values: Vec<f64>) -> Draws {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Draws { shots, measure: measure.into(), mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt(), values }
    }
}

/// Runs the draws after the first, each by the next seed.
pub fn others(training: &Training, first: &Report, sink: &mut dyn FnMut(Event) -> Control) -> Result<Draws> {
    let recipe = training.recipe;
    let mut values = vec![first.outcome.measured().1.primary()];
    for draw in 1..recipe.draws {
        let recipe = Recipe {
            seed: recipe.seed + u64::from(draw),
            draws: 1,
            unlabelled: Unlabelled::Ignore,
            compare_probe: false,
            ..recipe.clone()
        };
        let report = beside(training, &recipe, &format!("draw {}", draw + 1), sink)?;
        values.push(report.outcome.measured().1.primary());
    }
    Ok(Draws::of(recipe.shots, first.outcome.task().primary().key, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_a_mean_and_a_spread() {
        let draws = Draws::of(5, "top1", vec![0.5, 0.7, 0.9]);
        assert!((draws.mean - 0.7).abs() < 1e-12 && (draws.deviation - 0.2).abs() < 1e-12);
        assert_eq!(Draws::of(1, "top1", vec![0.5]).deviation, 0.0);
    }
}
