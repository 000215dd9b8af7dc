//! How good boxes are, as COCO counts it: pycocotools' numbers for the same boxes (Lin et al. 2014), to the last digits.
//!
//! An answer is right if it overlaps a true box of its class that no better answer has taken by at least a share of their union. The mean
//! over shares from 0.5 to 0.95, over classes, of the precision at 101 recalls is the mAP. Crowds are neither right nor wrong; where only
//! objects of some sizes are counted, neither are others.

use std::cmp::Ordering;

/// Shares of the union, and recalls at which precision is read.
const SHARES: usize = 10;
const RECALLS: usize = 101;
/// The most answers of an image and a class that count, in the three ways that are told.
const MOST: [usize; 3] = [1, 10, 100];
/// Areas, in pixels: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
const ALL: usize = 0;

/// A true object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    pub class: u32,
    /// Left, top, width and height, in pixels.
    pub bbox: [f64; 4],
    /// Pixels that it covers.
    pub area: f64,
    pub crowd: bool,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    pub class: u32,
    /// Left, top, width and height, in pixels.
    pub bbox: [f64; 4],
    pub score: f64,
}

/// The true objects of an image, and the answers about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    pub truths: Vec<Truth>,
    pub found: Vec<Detection>,
}

/// What pycocotools prints, in its order. NaN where there is nothing to measure by.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    pub map: f64,
    pub map_50: f64,
    pub map_75: f64,
    /// Of small, medium and large objects.
    pub map_of_sizes: [f64; 3],
    /// Recall with 1, 10 and 100 answers an image.
    pub recall: [f64; 3],
    pub recall_of_sizes: [f64; 3],
    /// mAP of each class.
    pub per_class: Vec<f64>,
    /// The same at a share of 0.5.
    pub per_class_50: Vec<f64>,
    /// Of each class at a share of 0.5: the precision at each of 101 recalls from 0 to 1; none of a class that is not there.
    pub curves: Vec<Vec<f64>>,
    /// Of each class at a share of 0.5.
    pub chosen: Vec<Chosen>,
}

/// From which score on the answers of a class are best, by F1, and how good they are then.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Chosen {
    /// 1 where no answer is right.
    pub threshold: f64,
    /// True objects that count.
    pub support: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// The part of two boxes' union that both cover; of a crowd the part of the answer that lies in it.
pub fn overlap(answer: &[f64; 4], truth: &[f64; 4], crowd: bool) -> f64 {
    let wide = (answer[0] + answer[2]).min(truth[0] + truth[2]) - answer[0].max(truth[0]);
    let high = (answer[1] + answer[3]).min(truth[1] + truth[3]) - answer[1].max(truth[1]);
    if wide <= 0.0 || high <= 0.0 {
        return 0.0;
    }
    let (both, own) = (wide * high, answer[2] * answer[3]);
    both / if crowd { own } else { own + truth[2] * truth[3] - both }
}

/// What is known of the answers about one image and class, the surest first, and how many true objects count.
struct Judged {
    scores: Vec<f64>,
    /// At each share: whether an answer took a true object, and whether it is to be passed over.
    took: [Vec<bool>; SHARES],
    passed: [Vec<bool>; SHARES],
    counted: usize,
}

/// `0.5, 0.55, ... 0.95` with the rounding that the reference has.
fn shares() -> [f64; SHARES] {
    let step = (0.95 - 0.5) / (SHARES - 1) as f64;
    std::array::from_fn(|at| if at + 1 == SHARES { 0.95 } else { 0.5 + at as f64 * step })
}

fn falling(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// Judges the answers of one class about one image; `None` where there is nothing of it at all.
fn judge(seen: &Seen, class: u32, area: [f64; 2]) -> Option<Judged> {
    let outside = |size: f64| size < area[0] || size > area[1];
    // Those that count come first, so that an answer takes one of them if it can.
    let mut truths: Vec<(&Truth, bool)> =
        seen.truths.iter().filter(|truth| truth.class == class).map(|truth| (truth, truth.crowd || outside(truth.area))).collect();
    truths.sort_by_key(|(_, passed)| *passed);
    let mut found: Vec<&Detection> = seen.found.iter().filter(|answer| answer.class == class).collect();
    found.sort_by(|a, b| falling(a.score, b.score));
    found.truncate(MOST[2]);
    if truths.is_empty() && found.is_empty() {
        return None;
    }
    let overlaps: Vec<Vec<f64>> =
        found.iter().map(|answer| truths.iter().map(|(truth, _)| overlap(&answer.bbox, &truth.bbox, truth.crowd)).collect()).collect();
    let (mut took, mut passed) = (std::array::from_fn(|_| Vec::new()), std::array::from_fn(|_| Vec::new()));
    for (share, (took, passed)) in shares().into_iter().zip(took.iter_mut().zip(&mut passed)) {
        let mut taken = vec![false; truths.len()];
        for (answer, overlaps) in found.iter().zip(&overlaps) {
            let at = best(overlaps, &truths, &taken, share);
            if let Some(at) = at {
                taken[at] = true;
            }
            took.push(at.is_some());
            passed.push(at.map_or_else(|| outside(answer.bbox[2] * answer.bbox[3]), |at| truths[at].1));
        }
    }
    let counted = truths.iter().filter(|(_, passed)| !passed).count();
    Some(Judged { scores: found.iter().map(|answer| answer.score).collect(), took, passed, counted })
}

/// The true object that an answer takes: of those that are left the one it overlaps most, one that counts before all others.
fn best(overlaps: &[f64], truths: &[(&Truth, bool)], taken: &[bool], share: f64) -> Option<usize> {
    let (mut most, mut best) = (share.min(1.0 - 1e-10), None::<usize>);
    for (at, (truth, passed)) in truths.iter().enumerate() {
        if taken[at] && !truth.crowd {
            continue;
        }
        if best.is_some_and(|best| !truths[best].1) && *passed {
            break;
        }
        if overlaps[at] >= most {
            (most, best) = (overlaps[at], Some(at));
        }
    }
    best
}

/// Of one class, sizes and number of answers: precision at each recall and the recall reached, at each share; `None` where nothing counts.
type Curve = Option<[(Vec<f64>, f64); SHARES]>;

fn curve(judged: &[Judged], most: usize) -> Curve {
    let counted: usize = judged.iter().map(|judged| judged.counted).sum();
    if counted == 0 {
        return None;
    }
    let mut order: Vec<(f64, usize, usize)> = Vec::new();
    for (image, judged) in judged.iter().enumerate() {
        order.extend(judged.scores.iter().take(most).enumerate().map(|(at, score)| (*score, image, at)));
    }
    order.sort_by(|a, b| falling(a.0, b.0));
    Some(std::array::from_fn(|share| {
        let (mut right, mut wrong) = (0.0f64, 0.0f64);
        let (mut recalls, mut precisions) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
        for (_, image, at) in &order {
            let judged = &judged[*image];
            let counts = !judged.passed[share][*at];
            right += f64::from(u8::from(counts && judged.took[share][*at]));
            wrong += f64::from(u8::from(counts && !judged.took[share][*at]));
            recalls.push(right / counted as f64);
            precisions.push(right / (wrong + right + f64::EPSILON));
        }
        // Less recall is never had with less precision.
        for at in (1..precisions.len()).rev() {
            precisions[at - 1] = precisions[at - 1].max(precisions[at]);
        }
        let read = |at: usize| {
            let wanted = if at + 1 == RECALLS { 1.0 } else { at as f64 * 0.01 };
            precisions.get(recalls.partition_point(|recall| *recall < wanted)).copied().unwrap_or(0.0)
        };
        ((0..RECALLS).map(read).collect(), recalls.last().copied().unwrap_or(0.0))
    }))
}

/// The score from which on a class's answers have the best F1.
fn chosen(judged: &[Judged]) -> Chosen {
    let support: usize = judged.iter().map(|judged| judged.counted).sum();
    let mut answers: Vec<(f64, bool)> = Vec::new();
    for judged in judged {
        let counts = judged.scores.iter().zip(&judged.took[0]).zip(&judged.passed[0]).filter(|(_, passed)| !**passed);
        answers.extend(counts.map(|((score, took), _)| (*score, *took)));
    }
    answers.sort_by(|a, b| falling(a.0, b.0));
    let mut best = Chosen { threshold: 1.0, support: support as u64, ..Chosen::default() };
    let mut right = 0usize;
    for (at, (score, took)) in answers.iter().enumerate() {
        right += usize::from(*took);
        let f1 = 2.0 * right as f64 / (at + 1 + support).max(1) as f64;
        // Answers that are equally sure stand or fall together.
        if f1 > best.f1 && answers.get(at + 1).is_none_or(|(next, _)| next < score) {
            let (precision, recall) = (right as f64 / (at + 1) as f64, right as f64 / support.max(1) as f64);
            best = Chosen { threshold: *score, precision, recall, f1, ..best };
        }
    }
    best
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / count as f64 }
}

/// Measures the answers about some images, whose classes are below `classes`.
pub fn measure(images: &[Seen], classes: usize) -> Scores {
    let judged =
        |class: usize, area: usize| -> Vec<Judged> { images.iter().filter_map(|seen| judge(seen, class as u32, AREAS[area])).collect() };
    // By sizes, of each class.
    let whole: Vec<Vec<Judged>> = (0..classes).map(|class| judged(class, ALL)).collect();
    let of_all = |most: usize| -> Vec<Curve> { whole.iter().map(|judged| curve(judged, most)).collect() };
    let by_most: [Vec<Curve>; 3] = MOST.map(of_all);
    let by_size: [Vec<Curve>; 3] = [1, 2, 3].map(|area| (0..classes).map(|class| curve(&judged(class, area), MOST[2])).collect());
    let precision = |curves: &[Curve], share: Option<usize>| {
        let of = |curve: &[(Vec<f64>, f64); SHARES]| match share {
            Some(share) => curve[share].0.clone(),
            None => curve.iter().flat_map(|(precisions, _)| precisions.clone()).collect(),
        };
        mean(curves.iter().flatten().flat_map(of))
    };
    let recall = |curves: &[Curve]| mean(curves.iter().flatten().flat_map(|curve| curve.iter().map(|(_, recall)| *recall)));
    let all = &by_most[2];
    let each = |share: Option<usize>| all.iter().map(|one| precision(std::slice::from_ref(one), share)).collect();
    Scores {
        map: precision(all, None),
        map_50: precision(all, Some(0)),
        map_75: precision(all, Some(SHARES / 2)),
        map_of_sizes: [0, 1, 2].map(|size| precision(&by_size[size], None)),
        recall: [0, 1, 2].map(|most| recall(&by_most[most])),
        recall_of_sizes: [0, 1, 2].map(|size| recall(&by_size[size])),
        per_class: each(None),
        per_class_50: each(Some(0)),
        curves: all.iter().map(|curve| curve.as_ref().map(|curve| curve[0].0.clone()).unwrap_or_default()).collect(),
        chosen: whole.iter().map(|judged| chosen(judged)).collect(),
    }
}

/// What true objects were answered as, surely enough: `(true class, answered class, objects)`, sorted; `classes` stands for the ground, as what
/// nobody answered and as what is not there. The surest answers choose first, each the object it overlaps most, by half of the union or more.
pub fn confusion(images: &[Seen], thresholds: &[f64]) -> Vec<(u32, u32, u64)> {
    let ground = thresholds.len() as u32;
    let mut counts = std::collections::BTreeMap::<(u32, u32), u64>::new();
    for seen in images {
        let sure = |answer: &&Detection| thresholds.get(answer.class as usize).is_some_and(|least| answer.score >= *least);
        let mut found: Vec<&Detection> = seen.found.iter().filter(sure).collect();
        found.sort_by(|a, b| falling(a.score, b.score));
        let (crowds, mut left): (Vec<&Truth>, Vec<&Truth>) = seen.truths.iter().partition(|truth| truth.crowd);
        for answer in found {
            let shares = left.iter().map(|truth| overlap(&answer.bbox, &truth.bbox, false));
            match shares.enumerate().filter(|(_, share)| *share >= 0.5).max_by(|a, b| a.1.total_cmp(&b.1)) {
                Some((at, _)) => *counts.entry((left.swap_remove(at).class, answer.class)).or_default() += 1,
                None if crowds.iter().any(|crowd| overlap(&answer.bbox, &crowd.bbox, true) >= 0.5) => {}
                None => *counts.entry((ground, answer.class)).or_default() += 1,
            }
        }
        left.iter().for_each(|truth| *counts.entry((truth.class, ground)).or_default() += 1);
    }
    counts.into_iter().map(|((truth, answer), count)| (truth, answer, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn boxed(value: &Value) -> [f64; 4] {
        std::array::from_fn(|at| value[at].as_f64().unwrap())
    }

    fn of_golden(case: &Value) -> Vec<Seen> {
        let of = |image: &Value| {
            let truth = |t: &Value| Truth {
                class: t["class"].as_u64().unwrap() as u32,
                bbox: boxed(&t["bbox"]),
                area: t["area"].as_f64().unwrap(),
                crowd: t["crowd"].as_bool().unwrap(),
            };
            let found = |d: &Value| Detection {
                class: d["class"].as_u64().unwrap() as u32,
                bbox: boxed(&d["bbox"]),
                score: d["score"].as_f64().unwrap(),
            };
            Seen {
                truths: image["truths"].as_array().unwrap().iter().map(truth).collect(),
                found: image["found"].as_array().unwrap().iter().map(found).collect(),
            }
        };
        case["images"].as_array().unwrap().iter().map(of).collect()
    }

    #[test]
    fn scores_are_those_of_pycocotools() {
        let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/detection.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let scores = measure(&of_golden(case), case["classes"].as_u64().unwrap() as usize);
            let own = [[scores.map, scores.map_50, scores.map_75], scores.map_of_sizes, scores.recall, scores.recall_of_sizes].concat();
            for (own, theirs) in own.iter().zip(case["stats"].as_array().unwrap()) {
                // The reference says -1 where there is nothing to measure by.
                let (own, theirs) = (if own.is_nan() { -1.0 } else { *own }, theirs.as_f64().unwrap());
                assert!((own - theirs).abs() < 1e-9, "{}: {own} and {theirs}", case["name"]);
            }
            for (own, theirs) in scores.per_class.iter().zip(case["per_class"].as_array().unwrap()) {
                let own = if own.is_nan() { -1.0 } else { *own };
                assert!((own - theirs.as_f64().unwrap()).abs() < 1e-9, "{}", case["name"]);
            }
        }
    }

    #[test]
    fn a_worked_example() {
        let truth = |x: f64| Truth { class: 0, bbox: [x, 0.0, 10.0, 10.0], area: 100.0, crowd: false };
        let answer = |x: f64, score: f64| Detection { class: 0, bbox: [x, 0.0, 10.0, 10.0], score };
        assert!((overlap(&[0.0, 0.0, 10.0, 10.0], &[5.0, 0.0, 10.0, 10.0], false) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(overlap(&[0.0, 0.0, 10.0, 10.0], &[5.0, 0.0, 10.0, 10.0], true), 0.5);
        // One of two is found, at every share; a second answer about it is wrong.
        let seen = Seen { truths: vec![truth(0.0), truth(50.0)], found: vec![answer(0.0, 0.9), answer(0.5, 0.8)] };
        let scores = measure(&[seen], 2);
        assert!((scores.map - 51.0 / 101.0).abs() < 1e-9 && (scores.recall[2] - 0.5).abs() < 1e-12);
        assert!(scores.per_class[1].is_nan() && scores.map_of_sizes[2].is_nan());
        assert_eq!((scores.curves[0].len(), scores.curves[1].len()), (101, 0));
        let best = Chosen { threshold: 0.9, support: 2, precision: 1.0, recall: 0.5, f1: 2.0 / 3.0 };
        assert_eq!(scores.chosen, [best, Chosen { threshold: 1.0, ..Chosen::default() }]);
    }

    #[test]
    fn answers_are_held_against_objects_and_the_ground() {
        let truth = |class, x: f64, crowd| Truth { class, bbox: [x, 0.0, 10.0, 10.0], area: 100.0, crowd };
        let answer = |class, x: f64, score| Detection { class, bbox: [x, 0.0, 10.0, 10.0], score };
        let seen = Seen {
            truths: vec![truth(0, 0.0, false), truth(1, 20.0, false), truth(1, 40.0, false), truth(0, 60.0, true)],
            // Right, of another class, not sure enough, in a crowd, and nothing at all.
            found: vec![answer(0, 1.0, 0.9), answer(0, 21.0, 0.8), answer(1, 40.0, 0.2), answer(1, 62.0, 0.9), answer(1, 90.0, 0.7)],
        };
        assert_eq!(confusion(&[seen], &[0.5, 0.5]), [(0, 0, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)]);
    }
}
