//! What `auto` does once the probe is known, and how much better than the probe is better.

use serde::{Deserialize, Serialize};

use crate::domain::evaluation::{Evaluation, Held};
use crate::domain::recipe::Strategy;
use crate::domain::task::Unit;

/// With fewer training items a head on features as they are does as well as fine-tuning or better (Kornblith 2019, section 4.7: 47 to
/// 800 examples).
pub const ENOUGH_ITEMS: usize = 800;
/// Stages from the top that learn then.
pub const TOP: usize = 4;

/// What a choice is made by.
pub struct Facts<'a> {
    pub train_items: usize,
    pub held: Held,
    pub probe: &'a Evaluation,
    /// Of the backbone, and how many of them would stay as they are.
    pub stages: usize,
    pub frozen: usize,
}

/// What was done, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub strategy: Strategy,
    pub why: String,
}

/// Whether to go on from a linear head on maps to a decoder that starts from it. An image has thousands of pixels, so few images are no
/// reason against it; that it gains is seen on those held out.
pub fn choose_decoder(facts: &Facts, decoder: &str) -> Choice {
    let primary = facts.probe.task.primary();
    if facts.held == Held::Training {
        let why = "no images are held out that could show a gain over the best linear head on the base's maps".into();
        return Choice { strategy: Strategy::Head, why };
    }
    Choice {
        strategy: Strategy::LpFt,
        why: format!(
            "a decoder ({decoder}) learns from the best linear head on the base's maps ({} {}), with {} of {} stages, and is kept where it is better",
            primary.title,
            primary.show(facts.probe.primary(), 4),
            facts.stages - facts.frozen,
            facts.stages
        ),
    }
}

/// Whether to go on from the probe.
pub fn choose(facts: &Facts) -> Choice {
    let (head, primary) = (|why| Choice { strategy: Strategy::Head, why }, facts.probe.task.primary());
    if facts.held == Held::Training {
        return head("no items are held out that could show a gain over the best head on the base's features".into());
    }
    if facts.train_items < ENOUGH_ITEMS {
        return head(format!(
            "with {} training items (fewer than {ENOUGH_ITEMS}) the best head on the base's features does as well as fine-tuning or better",
            facts.train_items
        ));
    }
    let noise = noise(facts.probe);
    if matches!(primary.unit, Unit::Share) && 1.0 - facts.probe.primary() <= noise {
        return head(format!(
            "the best head on the base's features reaches {} {}, and what is missing could not be told from noise",
            primary.title,
            primary.show(facts.probe.primary(), 4)
        ));
    }
    Choice {
        strategy: Strategy::LpFt,
        why: format!(
            "{} training items are enough to go on from the best head on the base's features ({} {}): the upper {} of {} stages learn, and are kept if they gain more than {}, which is noise",
            facts.train_items,
            primary.title,
            primary.show(facts.probe.primary(), 4),
            facts.stages - facts.frozen,
            facts.stages,
            primary.show(noise, 4)
        ),
    }
}

/// The standard error of the first measure: by less than this another model is not better (the rule of one standard error, Breiman
/// et al. 1984). Of a share it is the binomial one; of a root mean squared error what it is where errors are normal.
pub fn noise(measured: &Evaluation) -> f64 {
    let (value, count) = (measured.primary(), measured.samples.max(1) as f64);
    match measured.task.primary().unit {
        Unit::OfTarget => value.abs() / (2.0 * count).sqrt(),
        // Right or wrong by chance alone is seen in none of a few: half an item at least.
        Unit::Share | Unit::Score => (value * (1.0 - value)).max(0.0).sqrt().max(0.5 / count.sqrt()) / count.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::Task;

    fn measured(task: Task, value: f64, samples: u64) -> Evaluation {
        let mut values = vec![0.0; task.measures().len()];
        values[0] = value;
        Evaluation { task, samples, loss: 0.5, values, per_class: Vec::new(), confusion: Vec::new(), more: Default::default() }
    }

    fn chosen(train_items: usize, held: Held, top1: f64, samples: u64) -> Choice {
        let probe = measured(Task::default(), top1, samples);
        choose(&Facts { train_items, held, probe: &probe, stages: 9, frozen: 5 })
    }

    #[test]
    fn little_data_nothing_held_out_and_nothing_to_gain_end_at_the_probe() {
        assert_eq!(chosen(5_000, Held::HeldOut, 0.8, 1_000).strategy, Strategy::LpFt);
        assert!(chosen(5_000, Held::HeldOut, 0.8, 1_000).why.contains("upper 4 of 9 stages"));
        for (choice, word) in [
            (chosen(118, Held::ValSplit, 0.8, 49), "118 training items"),
            (chosen(5_000, Held::Training, 0.8, 5_000), "no items are held out"),
            (chosen(5_000, Held::HeldOut, 0.9995, 1_000), "noise"),
        ] {
            assert!(choice.strategy == Strategy::Head && choice.why.contains(word), "{choice:?}");
        }
    }

    #[test]
    fn a_decoder_learns_wherever_its_gain_can_be_seen() {
        let task = Task::ALL.into_iter().find(|task| task.is_of_pixels()).unwrap();
        let probe = measured(task, 0.8, 16);
        let chosen = |held| choose_decoder(&Facts { train_items: 64, held, probe: &probe, stages: 9, frozen: 0 }, "unet");
        assert_eq!(chosen(Held::ValSplit).strategy, Strategy::LpFt);
        assert!(chosen(Held::ValSplit).why.contains("unet"));
        assert_eq!(chosen(Held::Training).strategy, Strategy::Head);
    }

    #[test]
    fn noise_is_a_standard_error() {
        assert!((noise(&measured(Task::default(), 0.8, 400)) - 0.02).abs() < 1e-12);
        assert!((noise(&measured(Task::default(), 1.0, 100)) - 0.005).abs() < 1e-12);
        let numbers = Task::ALL.into_iter().find(|task| task.primary().unit == Unit::OfTarget).unwrap();
        assert!((noise(&measured(numbers, 5.0, 50)) - 0.5).abs() < 1e-12);
    }
}
