//! Of boxes that lie over each other and say the same, the surest stays.

use std::collections::BTreeMap;

use crate::train::measures::detection::{Detection, overlap};

/// The boxes, the surest first, without those that overlap a surer one of their class by more than `share` of the union; at most `most`.
pub fn suppressed(mut found: Vec<Detection>, share: f64, most: usize) -> Vec<Detection> {
    // Equal ones stay in their order.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    let mut of_class: BTreeMap<u32, Vec<[f64; 4]>> = BTreeMap::new();
    for answer in found {
        if kept.len() >= most {
            break;
        }
        let surer = of_class.entry(answer.class).or_default();
        if surer.iter().all(|other| overlap(&answer.bbox, other, false) <= share) {
            surer.push(answer.bbox);
            kept.push(answer);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// By the definition: again and again the surest of those that are left, which takes those like it away.
    fn naive(mut left: Vec<Detection>, share: f64) -> Vec<Detection> {
        let mut kept = Vec::new();
        while !left.is_empty() {
            let best = (0..left.len()).rev().max_by(|a, b| left[*a].score.total_cmp(&left[*b].score)).unwrap();
            let best = left.remove(best);
            left.retain(|other| other.class != best.class || overlap(&other.bbox, &best.bbox, false) <= share);
            kept.push(best);
        }
        kept
    }

    #[test]
    fn the_surest_stay_as_the_definition_says() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..40 {
            let answer = |random: &mut ChaCha8Rng| Detection {
                class: random.random_range(0..3),
                bbox: [0.0, 0.0, 10.0, 10.0].map(|least| random.random_range(least..30.0)),
                score: f64::from(random.random_range(0..50u8)) / 50.0,
            };
            let all: Vec<Detection> = (0..60).map(|_| answer(&mut random)).collect();
            let kept = suppressed(all.clone(), 0.4, usize::MAX);
            assert_eq!(kept, naive(all.clone(), 0.4));
            assert_eq!(suppressed(all, 0.4, 5), kept[..kept.len().min(5)]);
        }
    }

    #[test]
    fn classes_do_not_take_from_each_other() {
        let answer = |class, score| Detection { class, bbox: [1.0, 1.0, 4.0, 4.0], score };
        let kept = suppressed(vec![answer(0, 0.3), answer(1, 0.9), answer(0, 0.8)], 0.5, 10);
        assert_eq!(kept, [answer(1, 0.9), answer(0, 0.8)]);
    }
}
