//! How far the probability of an answer is the share of such answers that are right.

use super::answers::Answers;
use crate::domain::findings::{Bin, Calibration};
use crate::train::tasks::Told;

/// As in Guo et al. 2017.
const BINS: usize = 15;
/// Numbers that a temperature is fitted on; of more, every n-th item is taken.
const MOST_NUMBERS: usize = 2 << 20;
/// Temperatures looked at lie between this and its inverse.
const COLDEST: f64 = 0.05;
/// Halvings of the room between them, by the golden ratio.
const STEPS: usize = 40;

/// `None` where answers have no probabilities, or are none.
pub fn of(told: &[Told], answers: &Answers) -> Option<Calibration> {
    let sure: Vec<(f64, bool)> = told.iter().map_while(|told| Some((told.confidence?, told.right?))).collect();
    let classes: Vec<u32> = told.iter().map_while(|told| told.truth).collect();
    if sure.is_empty() || sure.len() != answers.samples.len() || classes.len() != sure.len() || answers.width < 2 {
        return None;
    }
    let temperature = temperature(&answers.outputs, answers.width, &classes);
    let cooled = answers.outputs.chunks_exact(answers.width).zip(&sure).map(|(row, (_, right))| (likeliest(row, temperature), *right));
    let (bins, expected_error) = binned(&sure);
    let expected_error_at_temperature = binned(&cooled.collect::<Vec<_>>()).1;
    Some(Calibration { expected_error, temperature, expected_error_at_temperature, bins })
}

/// Reliability by bins of equal width, empty ones left out; and the expected calibration error.
fn binned(sure: &[(f64, bool)]) -> (Vec<Bin>, f64) {
    let mut sums = vec![(0u64, 0.0f64, 0u64); BINS];
    for (confidence, right) in sure {
        let bin = &mut sums[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + 1, bin.1 + confidence, bin.2 + u64::from(*right));
    }
    let bin = |(at, (samples, confidence, right)): (usize, &(u64, f64, u64))| {
        let (n, width) = (*samples as f64, BINS as f64);
        let (from, to) = (at as f64 / width, (at + 1) as f64 / width);
        (*samples > 0).then(|| Bin { from, to, samples: *samples, confidence: confidence / n, accuracy: *right as f64 / n })
    };
    let bins: Vec<Bin> = sums.iter().enumerate().filter_map(bin).collect();
    let all = sure.len().max(1) as f64;
    let error = bins.iter().map(|bin| bin.samples as f64 / all * (bin.confidence - bin.accuracy).abs()).sum();
    (bins, error)
}

/// The probability of the likeliest class of outputs divided by a temperature.
fn likeliest(row: &[f32], temperature: f64) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    1.0 / row.iter().map(|value| ((f64::from(*value) - largest) / temperature).exp()).sum::<f64>()
}

/// The one with the least cross entropy, by golden-section search: it has one minimum in the inverse temperature.
fn temperature(outputs: &[f32], width: usize, classes: &[u32]) -> f64 {
    let every = outputs.len().div_ceil(MOST_NUMBERS).max(1);
    let rows: Vec<(&[f32], usize)> = outputs
        .chunks_exact(width)
        .zip(classes.iter().map(|class| *class as usize))
        .step_by(every)
        .filter(|(_, class)| *class < width)
        .collect();
    let loss = |log: f64| -> f64 {
        let inverse = (-log).exp();
        let entropy = |(row, class): &(&[f32], usize)| {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|value| ((f64::from(*value) - largest) * inverse).exp()).sum();
            sum.ln() - (f64::from(row[*class]) - largest) * inverse
        };
        rows.iter().map(entropy).sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (COLDEST.ln(), -COLDEST.ln());
    for _ in 0..STEPS {
        let reach = golden * (high - low);
        if loss(high - reach) <= loss(low + reach) { high = low + reach } else { low = high - reach }
    }
    f64::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_a_worked_example() {
        // Four answers at 0.9 of which half are right, six at 0.6 that all are: 0.4 * 0.4 + 0.6 * 0.4.
        let sure: Vec<(f64, bool)> = (0..10).map(|at| if at < 4 { (0.9, at % 2 == 0) } else { (0.6, true) }).collect();
        let (bins, error) = binned(&sure);
        assert!((error - 0.4).abs() < 1e-9, "{error}");
        let told: Vec<_> = bins.iter().map(|bin| (bin.samples, bin.accuracy)).collect();
        assert_eq!(told, [(6, 1.0), (4, 0.5)]);
        assert!(binned(&[(1.0, true)]).0[0].to > 0.99 && binned(&[]).1 == 0.0);
    }

    #[test]
    fn the_temperature_undoes_what_outputs_were_multiplied_by() {
        // Three of four answers with odds of three to one are right: ln 3 apart is calibrated; three times as far is not.
        let row = |factor: f32| [factor * 3f32.ln(), 0.0];
        let (outputs, classes): (Vec<f32>, [u32; 4]) = ((0..4).flat_map(|_| row(3.0)).collect(), [0, 0, 0, 1]);
        assert!((temperature(&outputs, 2, &classes) - 3.0).abs() < 0.01);
        let calm: Vec<f32> = (0..4).flat_map(|_| row(1.0)).collect();
        assert!((temperature(&calm, 2, &classes) - 1.0).abs() < 0.01);
        assert!((likeliest(&row(3.0), 3.0) - 0.75).abs() < 1e-6);
    }
}
