//! Rows of features, and the centres of those of a class by spherical k-means.

use std::collections::BTreeMap;

use super::{ITEMS_PER_CENTRE, MOST_ITEMS};

/// Rounds of k-means; it is settled before, as a rule.
const ROUNDS: usize = 12;

/// Rows of equal width.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub width: usize,
    values: Vec<f32>,
}

impl Rows {
    /// What does not fill a row is left out.
    pub fn new(width: usize, values: Vec<f32>) -> Rows {
        Rows { width: width.max(1), values }
    }

    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    pub fn take(&self, rows: &[usize]) -> Rows {
        Rows { width: self.width, values: rows.iter().flat_map(|at| self.row(*at)).copied().collect() }
    }
}

/// In several sums side by side, which the processor adds at once.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a, b) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.0.iter().zip(b.0) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a.1.iter().zip(b.1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Of length one; what has none stays away.
fn unit(row: &[f32]) -> Option<Vec<f32>> {
    let length = dot(row, row).sqrt();
    (length.is_finite() && length > 0.0).then(|| row.iter().map(|value| value / length).collect())
}

/// Centres of each class, at most `most` of one, in the order of the classes.
pub fn of_classes(rows: &Rows, classes: &[u32], most: usize) -> Vec<f32> {
    let mut by_class: BTreeMap<u32, Vec<Vec<f32>>> = BTreeMap::new();
    // Where there are too many items, every n-th is taken.
    let every = rows.len().div_ceil(MOST_ITEMS).max(1);
    for (row, class) in rows.iter().zip(classes).step_by(every) {
        if let Some(row) = unit(row) {
            by_class.entry(*class).or_default().push(row);
        }
    }
    by_class.values().flat_map(|items| cluster(items, items.len().div_ceil(ITEMS_PER_CENTRE).min(most))).flatten().collect()
}

/// Spherical k-means. The first centre is the items' mean direction, each further one the item that is farthest from those so far:
/// nothing is left to chance.
fn cluster(items: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
    let mut centres: Vec<Vec<f32>> = mean(items.iter()).into_iter().collect();
    let mut nearest: Vec<f32> = vec![f32::NEG_INFINITY; items.len()];
    while centres.len() < count {
        let Some(last) = centres.last() else { return centres };
        items.iter().zip(&mut nearest).for_each(|(item, nearest)| *nearest = nearest.max(dot(item, last)));
        let far = nearest.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at);
        // Whatever is left lies on a centre already.
        match far.filter(|at| nearest[*at] < 1.0 - 1e-6) {
            Some(at) => centres.push(items[at].clone()),
            None => break,
        }
    }
    let mut places: Vec<usize> = vec![usize::MAX; items.len()];
    for _ in 0..ROUNDS {
        let found: Vec<usize> = items.iter().map(|item| closest(item, &centres)).collect();
        if found == places {
            break;
        }
        places = found;
        for (at, centre) in centres.iter_mut().enumerate() {
            let own = items.iter().zip(&places).filter(|(_, place)| **place == at).map(|(item, _)| item);
            if let Some(moved) = mean(own) {
                *centre = moved;
            }
        }
    }
    centres
}

fn closest(item: &[f32], centres: &[Vec<f32>]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (at, centre) in centres.iter().enumerate() {
        let near = dot(item, centre);
        if near > best.1 {
            best = (at, near);
        }
    }
    best.0
}

/// The direction of a sum.
fn mean<'a>(items: impl Iterator<Item = &'a Vec<f32>>) -> Option<Vec<f32>> {
    let mut sum: Vec<f32> = Vec::new();
    for item in items {
        sum.resize(item.len(), 0.0);
        sum.iter_mut().zip(item).for_each(|(sum, value)| *sum += value);
    }
    unit(&sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_lie_where_the_items_do() {
        let items: Vec<Vec<f32>> = [[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [0.1, 0.99]].iter().map(|row| unit(row).unwrap()).collect();
        let centres = cluster(&items, 2);
        assert_eq!(centres.len(), 2);
        for item in &items {
            assert!(dot(item, &centres[closest(item, &centres)]) > 0.99, "{centres:?}");
        }
        assert_eq!(cluster(&vec![items[0].clone(); 9], 3).len(), 1, "equal items have one centre");
        let rows = Rows::new(2, vec![0.0, 0.0, f32::NAN, 1.0, 3.0, 4.0]);
        assert_eq!(of_classes(&rows, &[0, 0, 1], 4), [0.6, 0.8]);
        assert_eq!(dot(&[1.0; 19], &[2.0; 19]), 38.0);
    }
}
