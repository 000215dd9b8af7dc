//! How the learning rate moves: up over a warm-up, and then down along half a cosine (Loshchilov and Hutter 2017), in steps
//! (BiT), not at all, or in one cycle (Smith and Topin 2018).

use std::f64::consts::PI;

pub use crate::domain::recipe::Schedule as Shape;

/// Shares of the run after which `step` divides the rate by ten (BiT).
const FALLS: [f64; 3] = [0.3, 0.6, 0.9];
/// PyTorch's one cycle: the share of the run that rises, from a 25th of the rate, and where it ends: at 1 / 250,000.
const RISE: f64 = 0.3;
const CYCLE_START: f64 = 1.0 / 25.0;
const CYCLE_END: f64 = CYCLE_START / 1e4;

/// Factors on the recipe's rates, by step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    shape: Shape,
    total: u64,
    warmup: u64,
}

impl Schedule {
    /// `warmup` is a share of `total` steps.
    pub fn new(shape: Shape, total: u64, warmup: f64) -> Schedule {
        Schedule { shape, total: total.max(1), warmup: (total as f64 * warmup).round() as u64 }
    }

    /// The factor for `step`, counted from 0. The first step already learns, so that a run of one step is not in vain.
    pub fn factor(&self, step: u64) -> f64 {
        if self.shape == Shape::OneCycle {
            return self.one_cycle(step);
        }
        if step < self.warmup {
            return (step + 1) as f64 / (self.warmup + 1) as f64;
        }
        let done = step as f64 / self.total as f64;
        match self.shape {
            Shape::Step => FALLS.iter().filter(|fall| done >= **fall).fold(1.0, |factor, _| factor * 0.1),
            Shape::Constant => 1.0,
            _ => {
                let done = (step - self.warmup) as f64 / (self.total - self.warmup).max(1) as f64;
                between(1.0, 0.0, done)
            }
        }
    }

    /// The last step of the rise has the whole rate, the last of all the least.
    fn one_cycle(&self, step: u64) -> f64 {
        let (last, peak) = (self.total as f64 - 1.0, (RISE * self.total as f64 - 1.0).max(0.0));
        let step = step as f64;
        if step <= peak && peak > 0.0 {
            return between(CYCLE_START, 1.0, step / peak);
        }
        between(1.0, CYCLE_END, if last > peak { (step - peak) / (last - peak) } else { 0.0 })
    }
}

/// Along half a cosine.
fn between(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * done.clamp(0.0, 1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(shape: Shape, total: u64, warmup: f64) -> Vec<f64> {
        let schedule = Schedule::new(shape, total, warmup);
        (0..total).map(|step| schedule.factor(step)).collect()
    }

    #[test]
    fn it_rises_then_falls() {
        let schedule = Schedule::new(Shape::Cosine, 100, 0.1);
        let factors = factors(Shape::Cosine, 100, 0.1);
        assert!(factors[..11].windows(2).all(|w| w[0] < w[1]), "{:?}", &factors[..11]);
        assert_eq!(factors[10], 1.0);
        assert!(factors[10..].windows(2).all(|w| w[0] > w[1]));
        assert!((factors[55] - 0.5).abs() < 1e-12, "half way down is a half");
        assert!(factors[0] > 0.0 && factors[99] > 0.0 && factors[99] < 1e-3);
        assert!(schedule.factor(100).abs() < 1e-12);
    }

    #[test]
    fn steps_fall_by_tens_and_a_constant_stays() {
        let found = factors(Shape::Step, 10, 0.2);
        for (found, wanted) in found.iter().zip([1.0 / 3.0, 2.0 / 3.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
        assert_eq!(factors(Shape::Constant, 4, 0.25), [0.5, 1.0, 1.0, 1.0]);
    }

    // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10, cycle_momentum=False).
    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let wanted = [0.04, 0.52, 1.0, 0.950_484_632, 0.811_745_654, 0.611_262_022, 0.388_741_978, 0.188_258_346, 0.049_519_368, 4e-6];
        for (found, wanted) in factors(Shape::OneCycle, 10, 0.05).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        }
    }

    #[test]
    fn odd_lengths_stay_finite() {
        for shape in [Shape::Cosine, Shape::Step, Shape::Constant, Shape::OneCycle] {
            for (total, warmup) in [(0, 0.0), (1, 0.0), (1, 0.9), (2, 0.9), (3, 0.0), (4, 0.0), (7, 0.05)] {
                for step in 0..=total + 1 {
                    let factor = Schedule::new(shape, total, warmup).factor(step);
                    assert!((0.0..=1.0).contains(&factor), "{shape:?} {total} {warmup} {step}: {factor}");
                }
            }
            assert_eq!(Schedule::new(shape, 1, 0.0).factor(0), 1.0, "{shape:?}");
        }
    }
}
