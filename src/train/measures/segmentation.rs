//! How good classes of pixels are: over all pixels of all images together the intersection over the union and Dice's coefficient of each
//! class, and image by image how well boundaries are met (Csurka et al. 2013).

use crate::data::UNSAID;

/// How far two boundaries may be apart to be the same, as a share of the image's diagonal.
const NEAR: f64 = 0.0075;

/// Pixels by their true class and the one that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    classes: usize,
    /// Rows are true classes.
    counts: Vec<u64>,
}

impl Pixels {
    pub fn new(classes: usize) -> Pixels {
        Pixels { classes, counts: vec![0; classes * classes] }
    }

    /// Adds pixels, each with its true class and its answer. Pixels of which nothing is said do not count.
    pub fn add(&mut self, truth: &[u8], answer: &[u8]) {
        for (truth, answer) in truth.iter().zip(answer) {
            let (truth, answer) = (usize::from(*truth), usize::from(*answer));
            if truth < self.classes && answer < self.classes {
                self.counts[truth * self.classes + answer] += 1;
            }
        }
    }

    /// Adds those of another image, each so many times.
    pub fn add_times(&mut self, other: &Pixels, times: u64) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += times * other);
    }

    /// (True class, answered class, pixels) wherever there are some.
    pub fn confusion(&self) -> Vec<(u32, u32, u64)> {
        let cell = |(at, count): (usize, &u64)| ((at / self.classes) as u32, (at % self.classes) as u32, *count);
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(cell).collect()
    }

    /// Pixels that are of a class, that are said to be, and that are both.
    pub fn of_class(&self, class: usize) -> [u64; 3] {
        let truth = (0..self.classes).map(|other| self.counts[class * self.classes + other]).sum();
        let said = (0..self.classes).map(|other| self.counts[other * self.classes + class]).sum();
        [truth, said, self.counts[class * self.classes + class]]
    }

    /// Intersection over union; `None` of a class that neither is there nor was answered.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let [truth, said, both] = self.of_class(class);
        (truth + said > 0).then(|| both as f64 / (truth + said - both) as f64)
    }

    /// Twice the intersection over the sum of both; `None` as in [`Self::iou`].
    pub fn dice(&self, class: usize) -> Option<f64> {
        let [truth, said, both] = self.of_class(class);
        (truth + said > 0).then(|| 2.0 * both as f64 / (truth + said) as f64)
    }

    /// The mean over the classes that are there or were answered; NaN of nothing.
    pub fn mean_iou(&self) -> f64 {
        mean((0..self.classes).filter_map(|class| self.iou(class)))
    }

    pub fn mean_dice(&self) -> f64 {
        mean((0..self.classes).filter_map(|class| self.dice(class)))
    }

    /// The share of pixels that are right; NaN of nothing.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.counts[class * self.classes + class]).sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::NAN } else { sum / count as f64 }
}

/// How well the boundaries of classes are met in one image of this width, row by row: the mean over its classes of the harmonic mean of the
/// share of answered boundary near a true one and the share of true boundary near an answered one. `None` where there are no boundaries.
pub fn boundary_f1(truth: &[u8], answer: &[u8], width: usize, classes: usize) -> Option<f64> {
    if width == 0 || truth.len() != answer.len() {
        return None;
    }
    let height = truth.len() / width;
    let reach = NEAR * ((width * width + height * height) as f64).sqrt();
    let near = disc(reach.max(1.0));
    // Where nothing is said, no answer is right or wrong.
    let said: Vec<u8> = answer.iter().zip(truth).map(|(answer, truth)| if *truth == UNSAID { UNSAID } else { *answer }).collect();
    let of_class = |class: u8| {
        let (own, found) = (boundary(truth, class, width), boundary(&said, class, width));
        match (own.is_empty(), found.is_empty()) {
            (true, true) => None,
            (false, false) => {
                let precision = share_near(&found, &own, width, height, &near);
                let recall = share_near(&own, &found, width, height, &near);
                Some(if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 })
            }
            _ => Some(0.0),
        }
    };
    let mean = mean((0..classes.min(usize::from(UNSAID))).filter_map(|class| of_class(class as u8)));
    (!mean.is_nan()).then_some(mean)
}

/// Pixels of a class beside one of another class. Where nothing is said there is no other class.
fn boundary(values: &[u8], class: u8, width: usize) -> Vec<usize> {
    let height = values.len() / width;
    let other = |x: usize, y: usize| {
        let value = values[y * width + x];
        value != class && value != UNSAID
    };
    let on_edge = |at: &usize| {
        let (x, y) = (at % width, at / width);
        values[*at] == class
            && (x > 0 && other(x - 1, y)
                || x + 1 < width && other(x + 1, y)
                || y > 0 && other(x, y - 1)
                || y + 1 < height && other(x, y + 1))
    };
    (0..width * height).filter(on_edge).collect()
}

/// Steps to all pixels that are no farther than this.
fn disc(reach: f64) -> Vec<(isize, isize)> {
    let most = reach.floor() as isize;
    let within = |x: isize, y: isize| ((x * x + y * y) as f64) <= reach * reach;
    (-most..=most).flat_map(|y| (-most..=most).map(move |x| (x, y))).filter(|(x, y)| within(*x, *y)).collect()
}

/// The share of some pixels that are near one of others.
fn share_near(of: &[usize], others: &[usize], width: usize, height: usize, near: &[(isize, isize)]) -> f64 {
    let mut wide = vec![false; width * height];
    for at in others {
        for (dx, dy) in near {
            let (x, y) = ((at % width) as isize + dx, (at / width) as isize + dy);
            if (0..width as isize).contains(&x) && (0..height as isize).contains(&y) {
                wide[y as usize * width + x as usize] = true;
            }
        }
    }
    of.iter().filter(|at| wide[**at]).count() as f64 / of.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_example() {
        let mut pixels = Pixels::new(3);
        pixels.add(&[0, 0, 0, 1, 1, UNSAID], &[0, 0, 1, 1, 0, 1]);
        assert_eq!(pixels.confusion(), [(0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 1)]);
        assert_eq!((pixels.iou(0), pixels.iou(1), pixels.iou(2)), (Some(0.5), Some(1.0 / 3.0), None));
        assert_eq!(pixels.dice(0), Some(4.0 / 6.0));
        assert!((pixels.mean_iou() - 5.0 / 12.0).abs() < 1e-12 && (pixels.accuracy() - 0.6).abs() < 1e-12);
        assert!(Pixels::new(2).mean_iou().is_nan());
    }

    /// A square of class 1 with its corner here.
    fn square(corner: usize) -> Vec<u8> {
        (0..40 * 40).map(|at| u8::from((corner..corner + 16).contains(&(at % 40)) && (corner..corner + 16).contains(&(at / 40)))).collect()
    }

    #[test]
    fn boundaries_are_met_within_a_distance() {
        let truth = square(10);
        assert_eq!(boundary_f1(&truth, &truth, 40, 2), Some(1.0));
        // The diagonal is 57 pixels: a step of one is none.
        let moved: Vec<u8> = (0..1600).map(|at| if at % 40 > 0 { truth[at - 1] } else { 0 }).collect();
        assert_eq!(boundary_f1(&truth, &moved, 40, 2), Some(1.0));
        let far = boundary_f1(&truth, &square(16), 40, 2).unwrap();
        assert!(far > 0.0 && far < 0.5, "{far}");
        assert_eq!(boundary_f1(&truth, &[0; 1600], 40, 2), Some(0.0));
        assert_eq!(boundary_f1(&[0; 1600], &[0; 1600], 40, 2), None);
    }

    #[test]
    fn what_is_not_said_makes_no_boundary() {
        let mut truth = square(10);
        truth.iter_mut().filter(|value| **value == 0).for_each(|value| *value = UNSAID);
        assert_eq!(boundary_f1(&truth, &[1; 1600], 40, 2), None);
    }
}
