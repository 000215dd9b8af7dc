//! The axes of a chart: where numbers lie on its sheet, and which of them are written beside it. The chart of the catalog and the curves of runs
//! share them.

/// A drawing in its own units, and the room around what is drawn in it.
#[derive(Debug, Clone, Copy)]
pub struct Sheet {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Sheet {
    pub fn end(&self) -> f64 {
        self.width - self.right
    }

    pub fn floor(&self) -> f64 {
        self.height - self.bottom
    }
}

/// Numbers along an axis, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    Even(f64, f64),
    /// By their logarithm; the bounds are powers of ten.
    Powers(f64, f64),
}

impl Scale {
    /// The scale on which all these lie, with a share of its length as room at both ends, and at least so much.
    pub fn around(values: impl Iterator<Item = f64>, share: f64, least: f64) -> Option<(f64, f64)> {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let room = ((high - low) * share).max(least);
        (low <= high).then_some((low - room, high + room))
    }

    /// 0 at its beginning, 1 at its end.
    fn share(self, value: f64) -> f64 {
        let (value, low, high) = match self {
            Scale::Even(low, high) => (value, low, high),
            Scale::Powers(low, high) => (value.log10(), low, high),
        };
        if high > low { (value - low) / (high - low) } else { 0.5 }
    }

    /// Round numbers on it: at 1, 2 or 5 of a power of ten and their multiples, about `most` of them, no closer than `closest`. By powers, at 1, 2
    /// and 5 of each, or where these are many at each power.
    pub fn ticks(self, most: usize, closest: f64) -> Vec<f64> {
        static ROUND: [f64; 3] = [1.0, 2.0, 5.0];
        match self {
            Scale::Even(low, high) => {
                let powers = (-12..=12).flat_map(|power| ROUND.map(|round| round * 10f64.powi(power)));
                let fits = |step: &f64| *step >= closest && (high - low) / step <= most as f64;
                let Some(step) = powers.into_iter().find(fits) else { return Vec::new() };
                let first = (low / step - 1e-9).ceil() as i64;
                (first..).map(|number| number as f64 * step).take_while(|value| *value <= high + step * 1e-9).take(most + 1).collect()
            }
            Scale::Powers(low, high) => {
                let steps = if high - low > 2.5 { &ROUND[..1] } else { &ROUND[..] };
                let powers = (low.floor() as i32)..=(high.ceil() as i32);
                let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
                all.filter(|value| (low - 1e-9..=high + 1e-9).contains(&value.log10())).collect()
            }
        }
    }
}

/// Two scales on a sheet.
#[derive(Debug, Clone, Copy)]
pub struct Axes {
    pub sheet: Sheet,
    pub x: Scale,
    pub y: Scale,
}

impl Axes {
    /// How far to the right a number lies.
    pub fn x(&self, value: f64) -> f64 {
        self.sheet.left + (self.sheet.end() - self.sheet.left) * self.x.share(value)
    }

    /// How far down: the most is at the top.
    pub fn y(&self, value: f64) -> f64 {
        self.sheet.floor() - (self.sheet.floor() - self.sheet.top) * self.y.share(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_between_the_bounds_and_round_ones_are_written() {
        let sheet = Sheet { width: 120.0, height: 60.0, left: 15.0, right: 5.0, top: 10.0, bottom: 0.0 };
        let axes = Axes { sheet, x: Scale::Powers(0.0, 2.0), y: Scale::Even(0.0, 50.0) };
        assert_eq!((axes.x(1.0), axes.x(10.0), axes.x(100.0)), (15.0, 65.0, 115.0));
        assert_eq!((axes.y(0.0), axes.y(25.0), axes.y(50.0)), (60.0, 35.0, 10.0));
        assert_eq!(axes.y.ticks(5, 0.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(axes.x.ticks(9, 0.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Scale::Powers(-7.0, 1.0).ticks(9, 0.0).len(), 9, "each power, where they are many");
        assert_eq!(Scale::Even(0.681, 0.872).ticks(7, 0.01), [0.7, 0.75, 0.8, 0.85].map(|tick: f64| (tick / 0.05).round() * 0.05));
        assert_eq!(Scale::Even(0.0, 0.01).ticks(7, 0.01), [0.0, 0.01], "no closer than is said");
        assert_eq!(Scale::around([2.0, 4.0].into_iter(), 0.5, 0.1), Some((1.0, 5.0)));
        assert_eq!(Scale::around(std::iter::empty(), 0.5, 0.1), None);
        assert!(axes.y(f64::NAN).is_nan(), "what is no number has no place");
    }
}
