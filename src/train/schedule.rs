//! How the learning rate moves: a linear warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017).

/// Factors on the recipe's rates, by step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    total: u64,
    warmup: u64,
}

impl Schedule {
    /// `warmup` is a share of `total` steps.
    pub fn new(total: u64, warmup: f64) -> Schedule {
        Schedule { total: total.max(1), warmup: (total as f64 * warmup).round() as u64 }
    }

    /// The factor for `step`, counted from 0: rises to 1 over the warm-up, falls to (almost) 0 at the last step.
    /// The first step already learns, so that a run of one step is not in vain.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let done = (step - self.warmup) as f64 / (self.total - self.warmup).max(1) as f64;
        0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls() {
        let schedule = Schedule::new(100, 0.1);
        let factors: Vec<f64> = (0..100).map(|step| schedule.factor(step)).collect();
        assert!(factors[..11].windows(2).all(|w| w[0] < w[1]), "{:?}", &factors[..11]);
        assert_eq!(factors[10], 1.0);
        assert!(factors[10..].windows(2).all(|w| w[0] > w[1]));
        assert!((factors[55] - 0.5).abs() < 1e-12, "half way down is a half");
        assert!(factors[0] > 0.0 && factors[99] > 0.0 && factors[99] < 1e-3);
        assert!(schedule.factor(100).abs() < 1e-12);
    }

    #[test]
    fn odd_lengths_stay_finite() {
        for (total, warmup) in [(0, 0.0), (1, 0.0), (1, 0.9), (2, 0.9), (7, 0.05)] {
            for step in 0..=total + 1 {
                let factor = Schedule::new(total, warmup).factor(step);
                assert!((0.0..=1.0).contains(&factor), "{total} {warmup} {step}: {factor}");
            }
        }
        assert_eq!(Schedule::new(1, 0.0).factor(0), 1.0);
    }
}
