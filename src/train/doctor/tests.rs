//! Clouds with some labels flipped: suspects come first, copies do not vouch, outliers are told.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const WIDTH: usize = 24;
const CLASSES: usize = 4;

/// Clouds around four corners, overlapping a little; one label in twenty is flipped. Rows, labels, which were flipped.
fn clouds(count: usize, seed: u64) -> (Vec<f32>, Vec<u32>, Vec<bool>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let corners: Vec<f32> = (0..CLASSES * WIDTH).map(|_| random.random_range(-1.0f32..1.0)).collect();
    let (mut rows, mut labels, mut flipped) = (Vec::new(), Vec::new(), Vec::new());
    for item in 0..count {
        let class = item % CLASSES;
        let noise = |random: &mut ChaCha8Rng| (0..6).map(|_| random.random_range(-0.9f32..0.9)).sum::<f32>() / 2.0;
        rows.extend((0..WIDTH).map(|at| 3.0 + corners[class * WIDTH + at] + noise(&mut random)));
        let wrong = item % 20 == 7;
        labels.push((if wrong { (class + 1 + item / 20 % 3) % CLASSES } else { class }) as u32);
        flipped.push(wrong);
    }
    (rows, labels, flipped)
}

fn examined(rows: &[f32], labels: &[u32], groups: &[u32]) -> Examined {
    let items = Items { width: WIDTH, rows, labels, groups, classes: CLASSES };
    examine(&items, 1, &mut || Ok(())).unwrap()
}

#[test]
fn flipped_labels_come_first_with_the_class_they_had() {
    let (rows, labels, flipped) = clouds(800, 3);
    let groups: Vec<u32> = (0..800).collect();
    let found = examined(&rows, &labels, &groups);
    let hits = |first: usize| found.judged.iter().take(first).filter(|judged| flipped[judged.item]).count();
    assert!(hits(40) >= 34, "{} of 40 flips among the first 40 suspects", hits(40));
    assert!(hits(80) >= 38, "{} of 40 flips among the first tenth", hits(80));
    let named = found.judged.iter().take(34).filter(|judged| judged.suggested as usize == judged.item % CLASSES).count();
    assert!(named >= 32, "{named} of 34 with the class they had");
    assert!((20..=60).contains(&found.wrong), "{} wrong labels, of which there are 40", found.wrong);
    assert!(found.judged.windows(2).all(|pair| pair[0].score >= pair[1].score) && found.judged.len() == 800);
    assert_eq!(found, examined(&rows, &labels, &groups), "the same seed judges the same way");
}

#[test]
fn copies_do_not_vouch_for_each_other() {
    let (mut rows, mut labels, _) = clouds(400, 5);
    // One item of the first class twelve times more, each time with the same wrong label.
    let twin = rows[..WIDTH].to_vec();
    labels[0] = 1;
    rows.extend(twin.repeat(12));
    labels.extend([1; 12]);
    let apart: Vec<u32> = (0..412).collect();
    let together: Vec<u32> = (0..412).map(|item| if item >= 400 { 0 } else { item }).collect();
    let score = |groups: &[u32]| examined(&rows, &labels, groups).judged.iter().find(|judged| judged.item == 0).unwrap().score;
    assert!(score(&together) > 0.5 && score(&together) > score(&apart), "{} and {}", score(&together), score(&apart));
}

#[test]
fn what_is_unlike_all_others_is_told() {
    let (mut rows, labels, _) = clouds(400, 7);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    rows[5 * WIDTH..6 * WIDTH].iter_mut().for_each(|value| *value = random.random_range(-60.0f32..60.0));
    let groups: Vec<u32> = (0..400).collect();
    let found = examined(&rows, &labels, &groups);
    assert_eq!(found.outliers.first().map(|(item, _)| *item), Some(5), "{:?}", found.outliers);
    assert!(found.outliers.len() < 20, "{}", found.outliers.len());
}

#[test]
fn what_cannot_be_judged_is_not() {
    let nothing = Items { width: 2, rows: &[], labels: &[], groups: &[], classes: 2 };
    assert_eq!(examine(&nothing, 1, &mut || Ok(())).unwrap(), Examined::default());
    // Constant features say nothing: everybody is as suspect as everybody else, and nobody panics.
    let labels = [0, 1, 0, 1, 0, 1, 1];
    let flat = Items { width: 3, rows: &[1.0; 21], labels: &labels, groups: &[0, 1, 2, 3, 4, 5, 6], classes: 2 };
    let found = examine(&flat, 1, &mut || Ok(())).unwrap();
    assert!(found.judged.len() == 7 && found.judged.iter().all(|judged| judged.score.is_finite()), "{found:?}");
}
