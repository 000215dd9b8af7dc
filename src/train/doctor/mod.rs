//! Looks for labels that are probably wrong and for items that are unlike all others, on features that a backbone made of them
//! and that nobody trained on these labels.
//!
//! Two witnesses are heard about each item, neither of which has seen its label: a linear head that learned from the other folds,
//! and the labels of its nearest neighbours. Confident learning (Northcutt, Jiang, Chuang 2021) says how many labels are wrong:
//! items that the head takes for another class more surely than it takes the items of that class on average.
//! What is ranked is how much the two together leave to the given class: their shares multiplied, as of witnesses who do not know
//! of each other.

mod confident;
mod dataset;
mod folded;
mod neighbours;

pub use confident::{Joint, joint};
pub use dataset::{Examined as ExaminedDataset, examine_dataset};
pub use folded::out_of_fold;
pub use neighbours::{Near, neighbours};

use super::error::Result;

/// Numbers of features that are looked at together: beyond them a data set is examined in parts, each drawn at random.
pub const AT_ONCE: usize = 1 << 26;

/// From this score on both witnesses speak against a label. Confident learning alone takes the classes that a weak backbone
/// confuses for wrong labels: of clothes with one label in twenty flipped it counts 13 %, with this condition 5 %.
const SURE: f32 = 0.95;

/// Items with a class each.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    pub width: usize,
    /// `(items, width)`, as the backbone made them.
    pub rows: &'a [f32],
    /// The class of each.
    pub labels: &'a [u32],
    /// Copies have the same number: none vouches for another.
    pub groups: &'a [u32],
    pub classes: usize,
}

/// What was found out about one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Which of the items.
    pub item: usize,
    pub given: u32,
    /// The likeliest other class.
    pub suggested: u32,
    /// From 0, surely right, to 1, surely wrong.
    pub score: f32,
    /// Whether confident learning counts its label as wrong, and the neighbours do not speak against it.
    pub confident: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examined {
    /// All items, the most suspect first.
    pub judged: Vec<Judged>,
    /// How many are so.
    pub wrong: usize,
    /// Items far from all others, the farthest first: which, and how many times the usual distance.
    pub outliers: Vec<(usize, f32)>,
    /// The share of items that the head gives the class they have.
    pub agreement: f64,
}

/// Examines items of two classes or more. The same seed judges the same way. `tick` is asked between passes whether to go on.
///
/// # Errors
/// Those of `tick`.
pub fn examine(items: &Items, seed: u64, tick: &mut dyn FnMut() -> Result<()>) -> Result<Examined> {
    let count = items.labels.len();
    if count < 2 || items.classes < 2 || items.width == 0 {
        return Ok(Examined::default());
    }
    let rows = standardised(items.rows, items.width);
    let items = Items { rows: &rows, ..*items };
    let shares = out_of_fold(&items, seed, tick)?;
    let near = neighbours(&items, seed, tick)?;
    let joint = joint(&shares, items.labels, items.classes);
    let judge = |item: usize| {
        let (own, votes) = (&shares[item * items.classes..(item + 1) * items.classes], near.votes(item, items.classes));
        // Half a vote for each class: ten neighbours that agree are no proof.
        let both: Vec<f32> = own.iter().zip(&votes).map(|(share, votes)| share * (votes + 0.5)).collect();
        let given = items.labels[item];
        let others = (0..items.classes).filter(|class| *class != given as usize);
        let suggested = others.max_by(|a, b| both[*a].total_cmp(&both[*b]).then(b.cmp(a))).unwrap_or_default();
        let score = 1.0 - both[given as usize] / both.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        Judged { item, given, suggested: suggested as u32, score, confident: joint.wrong[item] && score >= SURE }
    };
    let mut judged: Vec<Judged> = (0..count).map(judge).collect();
    judged.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
    let right = |item: &usize| {
        let own = &shares[item * items.classes..(item + 1) * items.classes];
        (0..items.classes).all(|class| own[class] <= own[items.labels[*item] as usize])
    };
    let wrong = judged.iter().filter(|judged| judged.confident).count();
    let agreement = (0..count).filter(right).count() as f64 / count as f64;
    Ok(Examined { judged, wrong, outliers: near.outliers(), agreement })
}

/// Every feature about its mean and by its deviation; one that hardly varies is not blown up.
fn standardised(rows: &[f32], width: usize) -> Vec<f32> {
    let count = (rows.len() / width).max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
    for row in rows.chunks_exact(width) {
        for ((value, sum), square) in row.iter().zip(&mut sums).zip(&mut squares) {
            *sum += f64::from(*value);
            *square += f64::from(*value).powi(2);
        }
    }
    let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
    let variance: Vec<f64> = squares.iter().zip(&mean).map(|(square, mean)| (square / count - mean * mean).max(0.0)).collect();
    let floor = 1e-3 * variance.iter().sum::<f64>() / width as f64 + 1e-12;
    let inverse: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + floor).sqrt()).collect();
    let scaled = |row: &[f32]| -> Vec<f32> {
        row.iter().zip(&mean).zip(&inverse).map(|((value, mean), inverse)| ((f64::from(*value) - mean) * inverse) as f32).collect()
    };
    rows.chunks_exact(width).flat_map(scaled).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
