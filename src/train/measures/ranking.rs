//! Measures of an order: how far up the items stand that belong up.

/// Items by falling score. Equal scores are one step: no order is made up among them.
pub struct Ranked {
    /// Items, the highest score first, and whether the next one has another score.
    order: Vec<(u32, bool)>,
    positive: Vec<bool>,
}

impl Ranked {
    /// A score that is no number stands last.
    pub fn new(scores: impl Iterator<Item = f32>, positive: Vec<bool>) -> Ranked {
        let scores: Vec<f32> = scores.map(|score| if score.is_nan() { f32::NEG_INFINITY } else { score }).collect();
        let mut order: Vec<u32> = (0..scores.len().min(positive.len()) as u32).collect();
        order.sort_unstable_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
        let ends = |at: usize| order.get(at + 1).is_none_or(|next| scores[*next as usize] != scores[order[at] as usize]);
        let order = (0..order.len()).map(|at| (order[at], ends(at))).collect();
        Ranked { order, positive }
    }

    pub fn positives(&self) -> usize {
        self.positive.iter().filter(|positive| **positive).count()
    }

    /// Whether there is anything to tell apart.
    pub fn has_both(&self) -> bool {
        let positives = self.positives();
        positives > 0 && positives < self.positive.len()
    }

    /// The mean precision over the steps of recall, as scikit-learn has it; `None` without a positive item.
    pub fn average_precision(&self, weights: &[f32]) -> Option<f64> {
        let (mut right, mut taken, mut before, mut sum) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for (item, ends) in &self.order {
            let weight = f64::from(weights[*item as usize]);
            taken += weight;
            if self.positive[*item as usize] {
                right += weight;
            }
            if *ends && taken > 0.0 {
                sum += (right - before) * right / taken;
                before = right;
            }
        }
        (right > 0.0).then(|| sum / right)
    }

    /// The chance that a positive item stands above another one, ties counting half; `None` where one kind is missing.
    pub fn area(&self, weights: &[f32]) -> Option<f64> {
        let (mut positives, mut negatives, mut area) = (0.0f64, 0.0f64, 0.0f64);
        let (mut up, mut across) = (0.0f64, 0.0f64);
        for (item, ends) in &self.order {
            let weight = f64::from(weights[*item as usize]);
            if self.positive[*item as usize] {
                up += weight
            } else {
                across += weight
            }
            if *ends {
                area += across * (positives + up / 2.0);
                positives += up;
                negatives += across;
                (up, across) = (0.0, 0.0);
            }
        }
        (positives > 0.0 && negatives > 0.0).then(|| area / (positives * negatives))
    }

    /// The score's place between two items at which F1 is best, as (right, taken, after so many items); `None` without a positive.
    pub fn best_f1(&self) -> Option<usize> {
        let all = self.positives();
        let (mut right, mut best) = (0usize, (0.0f64, 0usize));
        for (at, (item, ends)) in self.order.iter().enumerate() {
            right += usize::from(self.positive[*item as usize]);
            let f1 = 2.0 * right as f64 / (all + at + 1) as f64;
            if *ends && f1 > best.0 {
                best = (f1, at + 1);
            }
        }
        (all > 0).then_some(best.1)
    }

    /// The items around the place after so many of them: the last one above it and the first one below.
    pub fn around(&self, taken: usize) -> (Option<u32>, Option<u32>) {
        let item = |at: usize| self.order.get(at).map(|(item, _)| *item);
        (taken.checked_sub(1).and_then(item), item(taken))
    }
}

/// The mean of what there is; 0 of nothing.
pub fn mean_of(values: impl Iterator<Item = Option<f64>>) -> f64 {
    let (sum, count) = values.flatten().fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::even;
    use super::*;

    #[test]
    fn the_numbers_are_those_of_scikit_learn() {
        // average_precision_score([0, 0, 1, 1], [.1, .4, .35, .8]) = 0.8333, roc_auc_score of the same = 0.75.
        let ranked = Ranked::new([0.1, 0.4, 0.35, 0.8].into_iter(), vec![false, false, true, true]);
        assert!((ranked.average_precision(&even(4)).unwrap() - 5.0 / 6.0).abs() < 1e-9);
        assert!((ranked.area(&even(4)).unwrap() - 0.75).abs() < 1e-9);
    }

    #[test]
    fn equal_scores_are_one_step_and_say_the_share_of_positives() {
        let ranked = Ranked::new([0.5; 4].into_iter(), vec![true, false, false, false]);
        assert_eq!(ranked.average_precision(&even(4)), Some(0.25));
        assert_eq!(ranked.area(&even(4)), Some(0.5));
        assert_eq!(ranked.best_f1(), Some(4));
    }

    #[test]
    fn what_cannot_be_ranked_has_no_measure() {
        let none = Ranked::new([0.5, f32::NAN].into_iter(), vec![false, false]);
        assert_eq!((none.average_precision(&even(2)), none.area(&even(2)), none.best_f1()), (None, None, None));
        let all = Ranked::new([0.5, f32::NAN].into_iter(), vec![true, true]);
        assert_eq!((all.average_precision(&even(2)), all.area(&even(2))), (Some(1.0), None));
        assert_eq!(all.around(1), (Some(0), Some(1)), "what is no number stands last");
    }

    #[test]
    fn the_threshold_stands_where_f1_is_best() {
        let ranked = Ranked::new([0.9, 0.8, 0.7, 0.2].into_iter(), vec![true, true, false, false]);
        assert_eq!(ranked.best_f1(), Some(2));
        assert_eq!(ranked.around(2), (Some(1), Some(2)));
    }
}
