//! A range test of learning rates: the rate rises exponentially from step to step, and where the loss falls steepest a run should learn
//! (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3; as fastai's `lr_find` does it, Howard and Gugger
//! 2020).

/// The least and the greatest rate that are tried, and steps at most and at least.
pub const LOWEST: f64 = 1e-7;
pub const HIGHEST: f64 = 10.0;
pub const MOST_STEPS: u64 = 100;
pub const FEWEST_STEPS: u64 = 20;
/// The test ends where the smoothed loss is so many times the least one.
const DIVERGED: f64 = 4.0;
/// How much of the smoothed loss stays over a hundredth of the range.
const SMOOTH: f64 = 0.98;
/// The slope is that of a line through so many neighbours on either side, as a share of the steps, and at least two.
const REACH: u64 = 12;
/// A fall by less than this share of the first loss is noise.
const LEAST_FALL: f64 = 0.05;

/// A test of so many steps, under way.
pub struct Range {
    steps: u64,
    /// Rates that were tried, and the loss before each step.
    curve: Vec<(f64, f64)>,
    smoothed: f64,
    least: f64,
    diverged: bool,
}

impl Range {
    /// As many steps as the run has, within bounds.
    pub fn new(steps_of_run: u64) -> Range {
        let steps = steps_of_run.clamp(FEWEST_STEPS, MOST_STEPS);
        Range { steps, curve: Vec::new(), smoothed: 0.0, least: f64::INFINITY, diverged: false }
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// That of the coming step.
    pub fn rate(&self) -> f64 {
        LOWEST * (HIGHEST / LOWEST).powf(self.curve.len() as f64 / (self.steps - 1) as f64)
    }

    /// Notes the loss before a step at [`Self::rate`]; whether the test goes on.
    pub fn note(&mut self, loss: f64) -> bool {
        if !loss.is_finite() {
            self.diverged = true;
            return false;
        }
        self.curve.push((self.rate(), loss));
        let count = self.curve.len() as f64;
        let keep = SMOOTH.powf(100.0 / self.steps as f64);
        self.smoothed = keep * self.smoothed + (1.0 - keep) * loss;
        // The average began at nothing.
        let smoothed = self.smoothed / (1.0 - keep.powf(count));
        self.least = self.least.min(smoothed);
        self.diverged = count > 1.0 && smoothed > DIVERGED * self.least;
        !self.diverged && (self.curve.len() as u64) < self.steps
    }

    pub fn diverged(&self) -> bool {
        self.diverged
    }

    /// Where the loss falls steepest for each multiple of the rate, if it falls at all. The first step's loss is that of weights that
    /// nothing has moved.
    pub fn suggestion(&self) -> Option<f64> {
        let reach = (self.steps / REACH).max(2) as usize;
        let losses: Vec<f64> = self.curve.iter().map(|(_, loss)| *loss).collect();
        let mean = |at: usize| -> f64 {
            let window = &losses[at.saturating_sub(reach)..(at + reach + 1).min(losses.len())];
            window.iter().sum::<f64>() / window.len() as f64
        };
        let lowest = (0..losses.len()).min_by(|a, b| mean(*a).total_cmp(&mean(*b)))?;
        if mean(0) - mean(lowest) < LEAST_FALL * mean(0).abs() {
            return None;
        }
        let slopes = (reach..losses.len().saturating_sub(reach)).filter(|at| *at <= lowest);
        let steepest = slopes.map(|at| (at, slope(&losses[at - reach..=at + reach]))).min_by(|a, b| a.1.total_cmp(&b.1))?;
        (steepest.1 < 0.0).then(|| self.curve[steepest.0].0)
    }

    pub fn curve(self) -> Vec<(f64, f64)> {
        self.curve
    }
}

/// That of the line of least squares through values one apart.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let away = |at: usize| at as f64 - middle;
    let squares: f64 = (0..values.len()).map(|at| away(at).powi(2)).sum();
    values.iter().enumerate().map(|(at, value)| away(at) * value).sum::<f64>() / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test on losses that follow from the rate.
    fn tested(loss: impl Fn(f64, usize) -> f64) -> Range {
        let mut range = Range::new(1_000);
        for at in 0.. {
            if !range.note(loss(range.rate(), at)) {
                return range;
            }
        }
        range
    }

    #[test]
    fn the_steepest_fall_is_found_and_divergence_ends_the_test() {
        // A fall around 1e-3, a rise beyond 1.
        let curve = |rate: f64, at: usize| 2.0 - 1.5 / (1.0 + 1e-3 / rate) + rate.powi(2) + 0.02 * ((at * 37 % 11) as f64 - 5.0);
        let range = tested(curve);
        let found = range.suggestion().unwrap();
        assert!((3e-4..3e-3).contains(&found), "{found}");
        assert!(range.diverged() && range.curve.len() < 100 && range.curve[0].0 == LOWEST, "{:?}", range.curve.last());
        assert_eq!(tested(curve).suggestion(), Some(found));
    }

    #[test]
    fn what_never_falls_suggests_nothing_and_no_number_ends_the_test() {
        let flat = tested(|_, at| 1.0 + 0.01 * ((at * 7 % 5) as f64));
        assert!(flat.suggestion().is_none() && !flat.diverged() && flat.curve.len() == 100);
        assert!((flat.curve[99].0 - HIGHEST).abs() < 1e-9);
        let broken = tested(|rate, _| if rate > 1e-4 { f64::NAN } else { 1.0 });
        assert!(broken.diverged() && broken.suggestion().is_none());
        assert!(tested(|_, _| f64::NAN).suggestion().is_none());
        assert_eq!((Range::new(3).steps(), Range::new(50).steps(), Range::new(5_000).steps()), (20, 50, 100));
    }
}
