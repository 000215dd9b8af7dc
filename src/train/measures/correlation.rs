//! How far two lists of numbers go together, with a weight for each item.

/// Pearson's correlation of (a, b); 0 where one of both does not vary, or nothing is there.
pub fn pearson(pairs: &[(f64, f64)], weights: &[f32]) -> f64 {
    let weighted = || pairs.iter().zip(weights).map(|((a, b), weight)| (*a, *b, f64::from(*weight)));
    let total: f64 = weighted().map(|(_, _, weight)| weight).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let (a_mean, b_mean) = weighted().fold((0.0, 0.0), |sums, (a, b, weight)| (sums.0 + weight * a, sums.1 + weight * b));
    let (a_mean, b_mean) = (a_mean / total, b_mean / total);
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b, weight) in weighted() {
        both += weight * (a - a_mean) * (b - b_mean);
        of_a += weight * (a - a_mean).powi(2);
        of_b += weight * (b - b_mean).powi(2);
    }
    if of_a > 0.0 && of_b > 0.0 { (both / (of_a * of_b).sqrt()).clamp(-1.0, 1.0) } else { 0.0 }
}

/// Spearman's: Pearson's of ranks, of which equal numbers share the mean.
pub fn spearman(pairs: &[(f64, f64)], weights: &[f32]) -> f64 {
    let a = ranks(pairs.iter().map(|(a, _)| *a).collect(), weights);
    let b = ranks(pairs.iter().map(|(_, b)| *b).collect(), weights);
    pearson(&a.into_iter().zip(b).collect::<Vec<_>>(), weights)
}

/// For each number how much weight is below it, and half of what is equal to it.
fn ranks(values: Vec<f64>, weights: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len().min(weights.len())).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut ranks, mut below, mut at) = (vec![0.0; values.len()], 0.0, 0);
    while at < order.len() {
        let equal = order[at..].iter().take_while(|item| values[**item] == values[order[at]]).count().max(1);
        let group = &order[at..at + equal];
        let weight: f64 = group.iter().map(|item| f64::from(weights[*item])).sum();
        group.iter().for_each(|item| ranks[*item] = below + weight / 2.0);
        below += weight;
        at += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::measures::even;

    fn both(pairs: &[(f64, f64)]) -> (f64, f64) {
        (spearman(pairs, &even(pairs.len())), pearson(pairs, &even(pairs.len())))
    }

    #[test]
    fn correlations_are_those_of_worked_examples() {
        // A curve that only rises: ranks agree, a line does not.
        let (by_rank, by_line) = both(&[(1.0, 1.0), (2.0, 8.0), (3.0, 27.0), (4.0, 64.0)]);
        // Deviations -1.5 -.5 .5 1.5 and -24 -17 2 39: 104 / sqrt(5 * 2390).
        assert!((by_rank - 1.0).abs() < 1e-12 && (by_line - 104.0 / 11_950f64.sqrt()).abs() < 1e-12, "{by_line}");
        // Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24).
        let (by_rank, _) = both(&[(1.0, 20.0), (2.0, 10.0), (3.0, 40.0), (4.0, 30.0), (5.0, 50.0)]);
        assert!((by_rank - 0.8).abs() < 1e-12);
        // Ties share a rank: 1.5 1.5 3 against 1 2 3 has 1.5 / sqrt(1.5 * 2).
        let (by_rank, _) = both(&[(7.0, 1.0), (7.0, 2.0), (9.0, 3.0)]);
        assert!((by_rank - 1.5 / 3f64.sqrt()).abs() < 1e-12, "{by_rank}");
        assert_eq!((both(&[(1.0, 5.0), (2.0, 5.0)]), both(&[])), ((0.0, 0.0), (0.0, 0.0)), "what does not vary goes with nothing");
        assert!((both(&[(1.0, -1.0), (2.0, -4.0)]).0 + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_weight_of_two_is_the_item_twice() {
        let pairs = [(1.0, 3.0), (2.0, 1.0), (2.5, 4.0), (4.0, 4.0)];
        let twice: Vec<(f64, f64)> = [0, 1, 1, 2, 3, 3].map(|at: usize| pairs[at]).into();
        for measure in [spearman, pearson] {
            let (weighted, repeated) = (measure(&pairs, &[1.0, 2.0, 1.0, 2.0]), measure(&twice, &even(6)));
            assert!((weighted - repeated).abs() < 1e-12, "{weighted} {repeated}");
        }
        assert_eq!(spearman(&pairs, &[0.0; 4]), 0.0);
    }
}
