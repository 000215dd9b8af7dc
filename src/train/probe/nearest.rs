//! The class whose mean features are nearest: a head that is found without descent, the honest baseline of few-shot learning (Snell
//! 2017). The square of a distance is linear in the features but for a part that all classes share, so it is a linear head.

use super::Head;

/// Powers of two that the sharpness of the probabilities is tried in.
const SHARPNESS: std::ops::RangeInclusive<i32> = -16..=4;

/// Of `rows (items, width)` and the class of each: `w = 2 s m`, `b = -s |m|²` of each class's mean `m`; a class without items is
/// never answered. The sharpness `s` is the one under which what each item's own class would be without the item is the least
/// surprising, so that probabilities mean something; answers do not depend on it.
pub fn nearest_mean(rows: &[f32], width: usize, labels: &[Option<u32>], classes: usize) -> Head {
    let mut sums = vec![vec![0.0f64; width]; classes];
    let mut counts = vec![0usize; classes];
    for (row, label) in labelled(rows, width, labels) {
        counts[label] += 1;
        sums[label].iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let mean = |class: usize, sum: &Vec<f64>| -> Vec<f64> { sum.iter().map(|value| value / counts[class].max(1) as f64).collect() };
    let means: Vec<Vec<f64>> = sums.iter().enumerate().map(|(class, sum)| mean(class, sum)).collect();
    let distances: Vec<(Vec<f64>, usize)> =
        labelled(rows, width, labels).map(|(row, own)| (left_out(row, own, &means, &counts), own)).collect();
    let surprise = |sharpness: f64| distances.iter().map(|(all, own)| all[*own] * sharpness + log_sum(all, sharpness)).sum::<f64>();
    let sharpness = SHARPNESS.map(|power| 2f64.powi(power)).min_by(|a, b| surprise(*a).total_cmp(&surprise(*b))).unwrap_or(1.0);
    let never = -1e6;
    let bias = |(mean, count): (&Vec<f64>, &usize)| match count {
        0 => never,
        _ => -sharpness * mean.iter().map(|value| value * value).sum::<f64>(),
    };
    Head {
        bias: means.iter().zip(&counts).map(bias).collect(),
        weight: means.iter().flatten().map(|value| 2.0 * sharpness * value).collect(),
    }
}

fn labelled<'a>(rows: &'a [f32], width: usize, labels: &'a [Option<u32>]) -> impl Iterator<Item = (&'a [f32], usize)> {
    rows.chunks_exact(width.max(1)).zip(labels).filter_map(|(row, label)| Some((row, (*label)? as usize)))
}

/// Squared distances of an item from each class's mean, its own class's without it; of a class of one item from that item.
fn left_out(row: &[f32], own: usize, means: &[Vec<f64>], counts: &[usize]) -> Vec<f64> {
    let distance = |class: usize| {
        if counts[class] == 0 {
            return f64::INFINITY;
        }
        let squared: f64 = means[class].iter().zip(row).map(|(mean, value)| (f64::from(*value) - mean).powi(2)).sum();
        // The mean without the item is farther from it by n / (n - 1).
        let n = counts[class] as f64;
        if class == own && counts[class] > 1 { squared * (n / (n - 1.0)).powi(2) } else { squared }
    };
    (0..means.len()).map(distance).collect()
}

fn log_sum(distances: &[f64], sharpness: f64) -> f64 {
    let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    distances.iter().map(|distance| (-(distance - nearest) * sharpness).exp()).sum::<f64>().ln() - nearest * sharpness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mean_wins_and_a_class_without_items_never_does() {
        let rows = [0.0f32, 0.0, 2.0, 0.0, 10.0, 10.0, 12.0, 10.0];
        let head = nearest_mean(&rows, 2, &[Some(0), Some(0), Some(2), Some(2)], 3);
        let outputs = |x: [f64; 2]| -> Vec<f64> {
            (0..3).map(|class| head.weight[2 * class] * x[0] + head.weight[2 * class + 1] * x[1] + head.bias[class]).collect()
        };
        let best = |x| outputs(x).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert_eq!([best([1.0, 1.0]), best([11.0, 9.0]), best([5.9, 5.0]), best([6.1, 5.0])], [0, 2, 0, 2]);
        assert!(outputs([1.0, 0.0])[0] > outputs([1.0, 0.0])[2] + 5.0, "sure where classes are far apart");
        let unknown = nearest_mean(&rows, 2, &[Some(0), None, Some(1), None], 2);
        assert_eq!(unknown.weight[0], 0.0, "the mean of one item at the origin");
    }
}
