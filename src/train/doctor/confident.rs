//! Confident learning's count of wrong labels (Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
//! Labels", sections 3 and 4).

/// Which labels are wrong, and how many.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Joint {
    /// For each item whether it is counted for another class than its own.
    pub wrong: Vec<bool>,
    /// Items given class i that are counted for class j: `(i, j, items)`, sorted, without what never happened.
    pub counts: Vec<(u32, u32, usize)>,
    /// Wrong labels in all: what is not on the diagonal once each row is scaled to the items that have its label.
    pub expected: usize,
}

/// Of the shares `(items, classes)` that each class has in each item, by somebody who did not see its label.
///
/// A class's threshold is what its own items give it on average. An item counts for the likeliest of the classes whose thresholds
/// it reaches, and for none where it reaches no threshold.
pub fn joint(shares: &[f32], labels: &[u32], classes: usize) -> Joint {
    let (mut sums, mut own) = (vec![0.0f64; classes], vec![0usize; classes]);
    for (label, row) in labels.iter().zip(shares.chunks_exact(classes)) {
        sums[*label as usize] += f64::from(row[*label as usize]);
        own[*label as usize] += 1;
    }
    // A class that no item has is suggested for none.
    let threshold = |class: usize| if own[class] == 0 { f64::INFINITY } else { sums[class] / own[class] as f64 };
    let thresholds: Vec<f64> = (0..classes).map(threshold).collect();
    let mut counts = std::collections::BTreeMap::<(u32, u32), usize>::new();
    let mut wrong = Vec::with_capacity(labels.len());
    for (label, row) in labels.iter().zip(shares.chunks_exact(classes)) {
        // Rounding must not put the only item of a class below its own mean.
        let reaches = |class: &usize| f64::from(row[*class]) >= thresholds[*class] - 1e-6;
        let counted = (0..classes).filter(reaches).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a)));
        if let Some(class) = counted {
            *counts.entry((*label, class as u32)).or_default() += 1;
        }
        wrong.push(counted.is_some_and(|class| class != *label as usize));
    }
    let expected = (0..classes as u32).map(|given| expected(&counts, given, own[given as usize])).sum::<f64>().round() as usize;
    Joint { wrong, counts: counts.into_iter().map(|((given, counted), items)| (given, counted, items)).collect(), expected }
}

/// The wrong ones among the items of one class, those that counted for none judged like the others.
fn expected(counts: &std::collections::BTreeMap<(u32, u32), usize>, given: u32, items: usize) -> f64 {
    let row = counts.range((given, 0)..=(given, u32::MAX));
    let (all, right) =
        row.fold((0, 0), |(all, right), ((_, counted), count)| (all + count, right + if *counted == given { *count } else { 0 }));
    if all == 0 { 0.0 } else { items as f64 * (all - right) as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand: thresholds are (.9 + .8 + .2) / 3 = .6333 and (.7 + .9 + .4) / 3 = .6667.
    #[test]
    fn a_worked_example() {
        let shares = [0.9, 0.1, 0.8, 0.2, 0.2, 0.8, 0.3, 0.7, 0.1, 0.9, 0.6, 0.4];
        let found = joint(&shares, &[0, 0, 0, 1, 1, 1], 2);
        assert_eq!(found.counts, [(0, 0, 2), (0, 1, 1), (1, 1, 2)]);
        assert_eq!(found.wrong, [false, false, true, false, false, false], "the last reaches no threshold: .6 < .6333");
        // One of three in the first class, none of two counted in the second.
        assert_eq!(found.expected, 1);
    }

    #[test]
    fn one_that_reaches_two_thresholds_counts_for_the_likelier_and_rows_are_scaled() {
        // Class 0: .5, .5, .1, .1 -> threshold .3; class 1: .5 -> .5. The third and fourth (.9 for class 1) are counted for it,
        // so half of the first class is wrong.
        let shares = [0.5, 0.5, 0.5, 0.5, 0.1, 0.9, 0.1, 0.9, 0.5, 0.5];
        let found = joint(&shares, &[0, 0, 0, 0, 1], 2);
        assert_eq!(found.counts, [(0, 0, 2), (0, 1, 2), (1, 0, 1)], "{found:?}");
        assert_eq!(found.expected, 3);
        let unused = joint(&[0.2, 0.8, 0.2, 0.8], &[0, 0], 2);
        assert_eq!((unused.counts, unused.expected), (vec![(0, 0, 2)], 0), "no item has the second class");
    }

    /// What cleanlab 2 says of the same numbers: `compute_confident_joint`, its calibrated sum off the diagonal (3), and
    /// `find_label_issues(filter_by="confident_learning")`.
    #[test]
    fn the_reference_counts_the_same() {
        let labels = [2, 2, 1, 1, 0, 0, 2, 1, 2, 0, 1, 2, 1, 0, 0, 2, 0, 2];
        let shares = [
            [0.11, 0.12, 0.77],
            [0.1, 0.89, 0.01],
            [0.08, 0.5, 0.42],
            [0.31, 0.69, 0.0],
            [0.6, 0.17, 0.23],
            [0.56, 0.27, 0.17],
            [0.08, 0.04, 0.88],
            [0.02, 0.88, 0.1],
            [0.19, 0.47, 0.34],
            [0.93, 0.03, 0.04],
            [0.47, 0.51, 0.02],
            [0.47, 0.0, 0.53],
            [0.29, 0.17, 0.54],
            [0.58, 0.02, 0.4],
            [0.56, 0.01, 0.43],
            [0.43, 0.37, 0.2],
            [0.91, 0.08, 0.01],
            [0.0, 0.22, 0.78],
        ];
        let found = joint(shares.as_flattened(), &labels, 3);
        assert_eq!(found.counts, [(0, 0, 2), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2, 4)]);
        let wrong: Vec<usize> = (0..labels.len()).filter(|item| found.wrong[*item]).collect();
        assert_eq!((wrong, found.expected), (vec![1, 12], 3));
    }
}
