//! From what several measures say of each backbone to one order, and to how far they agree.

/// What one measure says, of each backbone in turn; more is better. `None` where it says nothing.
pub struct Measure {
    pub weight: f64,
    pub values: Vec<Option<f64>>,
}

/// Where a backbone stands among the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The mean of its ranks, by the measures' weights; 1 is the best of all by each.
    pub rank: f64,
    /// The mean of its z-scores: by how many deviations it is above the others.
    pub z: f64,
    /// The deviation of its ranks: how far the measures disagree.
    pub spread: f64,
}

/// One standing for each backbone. A measure that tells fewer than two apart is not asked; one that knows a few only gives those
/// the ranks to be expected of them among all: the better of two known of eight is no first, and the other no last.
pub fn standings(measures: &[Measure], count: usize) -> Vec<Standing> {
    let asked: Vec<&Measure> = measures.iter().filter(|measure| measure.values.iter().flatten().count() > 1).collect();
    let told: Vec<_> = asked.iter().map(|measure| (measure.weight, ranks(&measure.values), z_scores(&measure.values))).collect();
    let of = |at: usize| {
        let known = || told.iter().filter_map(move |(weight, ranks, z)| Some((*weight, (*ranks.get(at)?)?, (*z.get(at)?)?)));
        let weights: f64 = known().map(|(weight, ..)| weight).sum();
        if weights == 0.0 {
            return Standing { rank: 0.5 * (count as f64 + 1.0), z: 0.0, spread: 0.0 };
        }
        let rank = known().map(|(weight, rank, _)| weight * rank).sum::<f64>() / weights;
        let z = known().map(|(weight, _, z)| weight * z).sum::<f64>() / weights;
        let variance = known().map(|(weight, at, _)| weight * (at - rank) * (at - rank)).sum::<f64>() / weights;
        Standing { rank, z, spread: variance.sqrt() }
    };
    (0..count).map(of).collect()
}

/// The order of the standings, the best first: by rank, then by z-score, then as they came.
pub fn order(standings: &[Standing]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..standings.len()).collect();
    let by = |a: &Standing, b: &Standing| a.rank.total_cmp(&b.rank).then(b.z.total_cmp(&a.z));
    order.sort_by(|a, b| by(&standings[*a], &standings[*b]));
    order
}

/// From 1, the best, to the number of all values; equal ones share the mean of their places. Where `known` of `all` are known, the
/// i-th of them is expected at `i (all + 1) / (known + 1)`.
fn ranks(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let stretch = (values.len() as f64 + 1.0) / (known.len() as f64 + 1.0);
    let of = |value: f64| {
        let better = known.iter().filter(|other| **other > value).count() as f64;
        let equal = known.iter().filter(|other| **other == value).count() as f64;
        stretch * (1.0 + better + 0.5 * (equal - 1.0))
    };
    values.iter().map(|value| value.map(of)).collect()
}

fn z_scores(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let count = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / count;
    let deviation = (known.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
    let of = |value: f64| if deviation > 0.0 { (value - mean) / deviation } else { 0.0 };
    values.iter().map(|value| value.map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(weight: f64, values: &[f64]) -> Measure {
        Measure { weight, values: values.iter().map(|value| Some(*value)).collect() }
    }

    #[test]
    fn ranks_and_z_scores_are_those_of_a_worked_example() {
        assert_eq!(ranks(&[Some(0.5), Some(0.9), Some(0.5), Some(0.1)]), [Some(2.5), Some(1.0), Some(2.5), Some(4.0)]);
        assert_eq!(ranks(&[Some(3.0), None, Some(7.0), None, None]), [Some(4.0), None, Some(2.0), None, None], "two of five");
        let z = z_scores(&[Some(2.0), Some(4.0), Some(6.0)]);
        assert!((z[2].unwrap() - 1.5f64.sqrt()).abs() < 1e-12 && z[1] == Some(0.0), "{z:?}");
        assert_eq!(z_scores(&[Some(1.0), Some(1.0), None]), [Some(0.0), Some(0.0), None]);
    }

    #[test]
    fn the_mean_of_ranks_decides_z_scores_break_ties_and_disagreement_shows() {
        let found = standings(&[measure(1.0, &[0.9, 0.8, 0.1]), measure(1.0, &[0.7, 0.9, 0.1])], 3);
        assert_eq!((found[0].rank, found[0].spread), (1.5, 0.5));
        assert_eq!((found[2].rank, found[2].spread), (3.0, 0.0), "of the last all say the same");
        assert_eq!(order(&found), [1, 0, 2], "equal by rank; the second leads by more");
        let weak = standings(&[measure(1.0, &[0.1, 0.2]), measure(0.25, &[9.0, 1.0])], 2);
        assert_eq!(order(&weak), [1, 0], "a weak measure gives way");
        assert!((weak[1].rank - 1.2).abs() < 1e-12);
    }

    #[test]
    fn what_says_nothing_decides_nothing() {
        let alone = Measure { weight: 1.0, values: vec![None, Some(0.9)] };
        let found = standings(&[alone, measure(1.0, &[0.3, 0.2])], 2);
        assert_eq!(order(&found), [0, 1], "an accuracy that only one of them claims");
        assert_eq!(order(&standings(&[], 3)), [0, 1, 2]);
        assert!(standings(&[], 0).is_empty());
        let nan = standings(&[measure(1.0, &[f64::NAN, 0.2, 0.1])], 3);
        assert_eq!(order(&nan).len(), 3);
    }
}
