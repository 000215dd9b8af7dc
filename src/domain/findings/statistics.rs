//! Differences of two sets of answers to the same items, with how far chance alone could have moved them.

/// 95 of 100 fall within so many standard errors.
const Z: f64 = 1.959_964;

/// A difference and where it lies in 95 of 100 such measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    fn of(mean: f64, middle: f64, reach: f64) -> Spread {
        Spread { mean, low: middle - reach, high: middle + reach }
    }
}

/// The mean of item-wise differences. Of right and wrong answers (each difference -1, 0 or 1) by Agresti and Min (2005), who add half
/// an item to each way two answers can come out, so that few items and perfect ones are not taken for certainty; of other numbers by
/// Student's t.
pub fn paired(differences: &[f64]) -> Option<Spread> {
    let n = differences.len() as f64;
    if differences.is_empty() || differences.iter().any(|difference| !difference.is_finite()) {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n;
    if differences.iter().all(|difference| matches!(*difference, -1.0 | 0.0 | 1.0)) {
        let (gained, lost) = (count(differences, 1.0), count(differences, -1.0));
        return Some(discordant(gained, lost, n));
    }
    if differences.len() < 2 {
        return None;
    }
    Some(Spread::of(mean, mean, student(n - 1.0, &BOTH_SIDES) * standard_error(differences, mean)))
}

/// Whether a mean gain as large as that of these item-wise differences comes of chance alone in fewer than one of ten such measurements,
/// by Student's t from one side. Squared errors are lopsided: where a few items make the gain they make the spread as well, so that
/// such a gain is called likely less often than that, not more (Johnson 1978).
pub fn is_likely_gain(differences: &[f64]) -> bool {
    let n = differences.len() as f64;
    if differences.len() < 2 || differences.iter().any(|difference| !difference.is_finite()) {
        return false;
    }
    let mean = differences.iter().sum::<f64>() / n;
    mean > 0.0 && mean > student(n - 1.0, &ONE_SIDE) * standard_error(differences, mean)
}

fn standard_error(differences: &[f64], mean: f64) -> f64 {
    let n = differences.len() as f64;
    let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (variance / n).sqrt()
}

fn count(differences: &[f64], value: f64) -> f64 {
    differences.iter().filter(|difference| **difference == value).count() as f64
}

/// So many items that only one of two answers had right, so many that only the other had, of `n`.
fn discordant(gained: f64, lost: f64, n: f64) -> Spread {
    let m = n + 2.0;
    let middle = (gained - lost) / m;
    let variance = (gained + lost + 1.0 - (gained - lost).powi(2) / m) / (m * m);
    Spread::of((gained - lost) / n, middle, Z * variance.sqrt())
}

/// The mean over groups of the groups' mean differences (of right answers, the difference in mean recall). Each group is given one
/// item more of each sign, so that few equal ones are not taken for certainty.
pub fn mean_recall(differences: &[f64], groups: &[u32]) -> Option<Spread> {
    let mut sums: std::collections::BTreeMap<u32, (f64, f64, f64)> = std::collections::BTreeMap::new();
    for (difference, group) in differences.iter().zip(groups) {
        let sum = sums.entry(*group).or_default();
        *sum = (sum.0 + 1.0, sum.1 + difference, sum.2 + difference * difference);
    }
    if sums.is_empty() {
        return None;
    }
    let k = sums.len() as f64;
    let mean = sums.values().map(|(n, sum, _)| sum / n).sum::<f64>() / k;
    let (mut middle, mut variance) = (0.0, 0.0);
    for (n, sum, squares) in sums.values() {
        let m = n + 2.0;
        let average = sum / m;
        middle += average / k;
        variance += ((squares + 2.0) / m - average * average) / m / (k * k);
    }
    Some(Spread::of(mean, middle, Z * variance.sqrt()))
}

/// A point of the normal, and the same of Student's t with one and two degrees of freedom.
struct Point {
    normal: f64,
    one: f64,
    two: f64,
}

/// 2.5 % lie beyond it, on each side.
const BOTH_SIDES: Point = Point { normal: Z, one: 12.706, two: 4.303 };
/// A tenth lies beyond it, on one side.
const ONE_SIDE: Point = Point { normal: 1.281_552, one: 3.078, two: 1.886 };

/// That point of Student's t with so many degrees of freedom, from the normal's by its Cornish-Fisher expansion (Abramowitz and Stegun
/// 26.7.5); of one and two, where that falls short, exactly.
fn student(degrees: f64, point: &Point) -> f64 {
    if degrees < 1.5 {
        return point.one;
    }
    if degrees < 2.5 {
        return point.two;
    }
    let z = point.normal;
    let power = |exponent: i32| z.powi(exponent);
    let first = (power(3) + z) / 4.0;
    let second = (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0;
    let third = (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0;
    z + first / degrees + second / degrees.powi(2) + third / degrees.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 5e-4, "{found} is not {wanted}");
    }

    #[test]
    fn right_and_wrong_answers_are_those_of_a_worked_example() {
        // Of 10 items 5 were gained and none lost: 5/12 -+ 1.96 sqrt(6 - 25/12) / 12.
        let gained = paired(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
        near(gained.mean, 0.5);
        near(gained.low, 5.0 / 12.0 - Z * (6.0f64 - 25.0 / 12.0).sqrt() / 12.0);
        assert!(gained.low > 0.0 && gained.high < 1.0);
        let few = paired(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
        assert!(few.low < 0.0, "three of six are within chance: {few:?}");
        assert!(paired(&[]).is_none() && paired(&[f64::NAN]).is_none());
    }

    #[test]
    fn numbers_are_compared_by_students_t() {
        // Mean 2.5, deviation sqrt(5/3), four items: t(3) = 3.182.
        let found = paired(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let reach = (5.0f64 / 3.0 / 4.0).sqrt() * 3.182;
        assert!((found.low - (2.5 - reach)).abs() < 0.02, "{found:?}");
        for (degrees, wanted) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (10.0, 2.228), (100.0, 1.984)] {
            let found = student(degrees, &BOTH_SIDES);
            assert!((found - wanted).abs() < 0.01, "t({degrees}) = {found}");
        }
        for (degrees, wanted) in [(1.0, 3.078), (2.0, 1.886), (3.0, 1.638), (4.0, 1.533), (10.0, 1.372), (29.0, 1.311)] {
            let found = student(degrees, &ONE_SIDE);
            assert!((found - wanted).abs() < 0.01, "t({degrees}) = {found}");
        }
    }

    #[test]
    fn a_gain_is_likely_by_one_side_of_students_t() {
        // Mean 1, deviation sqrt(20/3), four items: t is 1 / 1.291 = 0.775, and 1.638 would be enough.
        assert!(!is_likely_gain(&[-2.0, 0.0, 2.0, 4.0]));
        // Mean 2.5 of the same spread halved: 2.5 / 0.645 = 3.87.
        assert!(is_likely_gain(&[1.0, 2.0, 3.0, 4.0]));
        let with_gains = |gains: &[f64]| {
            let mut all = vec![-1.0; 30 - gains.len()];
            all.extend(gains);
            is_likely_gain(&all)
        };
        assert!(!with_gains(&[900.0]), "one item of thirty is no evidence, however large its gain");
        assert!(with_gains(&[300.0, 250.0, 350.0, 280.0, 320.0]));
        assert!(!is_likely_gain(&[]) && !is_likely_gain(&[5.0]) && !is_likely_gain(&[1.0, f64::NAN]));
        assert!(is_likely_gain(&[2.0, 2.0, 2.0]) && !is_likely_gain(&[0.0, 0.0]) && !is_likely_gain(&[-2.0, -2.0]));
    }

    #[test]
    fn rare_classes_weigh_as_much_as_common_ones() {
        // 98 of one class lost twice, 10 of the other gained all: in all a gain of 8 of 108, by class of (10/10 - 2/98) / 2.
        let differences: Vec<f64> = std::iter::repeat_n(0.0, 96).chain([-1.0, -1.0]).chain(std::iter::repeat_n(1.0, 10)).collect();
        let groups: Vec<u32> = std::iter::repeat_n(0, 98).chain(std::iter::repeat_n(1, 10)).collect();
        let found = mean_recall(&differences, &groups).unwrap();
        near(found.mean, (1.0 - 2.0 / 98.0) / 2.0);
        assert!(found.low > 0.2 && found.high < 0.7, "{found:?}");
        assert!(mean_recall(&[], &[]).is_none());
    }
}
