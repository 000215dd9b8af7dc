//! How many objects a class has in a mask: those that touch are told apart by the distance from their edges, which has a peak in each.

use super::mask::Labels;

/// A peak this low is that of a speck, in pixels.
const SPECK: f64 = 1.5;
/// How far the distance falls between the peaks of two objects: in pixels, and as a share of the lower peak.
const FALL: f64 = 1.0;
const FALL_SHARE: f64 = 0.2;

impl Labels {
    /// Objects of a class: peaks of the distance to everything else that stand out from each other.
    pub fn count(&self, class: u8) -> usize {
        let (width, height) = (self.width as usize, self.height as usize);
        let inside: Vec<bool> = self.values.iter().map(|value| *value == class).collect();
        let far = distances(&inside, width, height);
        let mut order: Vec<usize> = (0..inside.len()).filter(|at| inside[*at]).collect();
        order.sort_by(|a, b| far[*b].total_cmp(&far[*a]).then(a.cmp(b)));
        let (mut peaks, mut found) = (Peaks { parent: vec![usize::MAX; inside.len()], peak: vec![0.0; inside.len()] }, 0);
        for at in order {
            peaks.parent[at] = at;
            peaks.peak[at] = far[at];
            for beside in around(at, width, height) {
                if peaks.parent[beside] != usize::MAX {
                    found += usize::from(peaks.join(at, beside, far[at]));
                }
            }
        }
        let roots = (0..inside.len()).filter(|at| peaks.parent[*at] == *at && peaks.peak[*at] >= SPECK).count();
        found + roots
    }
}

/// Pixels that are joined so far, from the tops down, with the highest of each group.
struct Peaks {
    parent: Vec<usize>,
    peak: Vec<f64>,
}

impl Peaks {
    fn root(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Joins two groups that meet at this distance; whether the lower one was an object of its own.
    fn join(&mut self, a: usize, b: usize, level: f64) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return false;
        }
        let (high, low) = if self.peak[a] >= self.peak[b] { (a, b) } else { (b, a) };
        let lower = self.peak[low];
        self.parent[low] = high;
        lower >= SPECK && lower - level >= FALL.max(FALL_SHARE * lower)
    }
}

/// The pixels beside one, also across its corners.
fn around(at: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = ((at % width) as isize, (at / width) as isize);
    let steps = [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];
    let is_inside = move |&(x, y): &(isize, isize)| (0..width as isize).contains(&x) && (0..height as isize).contains(&y);
    steps.into_iter().map(move |(dx, dy)| (x + dx, y + dy)).filter(is_inside).map(move |(x, y)| y as usize * width + x as usize)
}

/// How far the middle of each pixel inside is from the nearest one outside; beyond the image's edge there is neither. (Felzenszwalb and
/// Huttenlocher 2012: first along columns, then along rows.)
fn distances(inside: &[bool], width: usize, height: usize) -> Vec<f64> {
    let beyond = ((width + height) * (width + height)) as f64;
    let mut squares: Vec<f64> = inside.iter().map(|inside| if *inside { beyond } else { 0.0 }).collect();
    for x in 0..width {
        let column: Vec<f64> = (0..height).map(|y| squares[y * width + x]).collect();
        lower_envelope(&column).into_iter().enumerate().for_each(|(y, value)| squares[y * width + x] = value);
    }
    for row in squares.chunks_exact_mut(width.max(1)) {
        let found = lower_envelope(row);
        row.copy_from_slice(&found);
    }
    squares.into_iter().map(f64::sqrt).collect()
}

/// At each place the least of all values plus the square of how far they are away.
fn lower_envelope(values: &[f64]) -> Vec<f64> {
    // Parabolas that are lowest somewhere, and from where on each is.
    let (mut lowest, mut starts): (Vec<usize>, Vec<f64>) = (Vec::new(), Vec::new());
    for (at, value) in values.iter().enumerate() {
        let meets = |other: usize| {
            let (own, its) = (value + (at * at) as f64, values[other] + (other * other) as f64);
            (own - its) / (2.0 * (at - other) as f64)
        };
        while let (Some(other), Some(start)) = (lowest.last(), starts.last()) {
            if meets(*other) > *start {
                break;
            }
            lowest.pop();
            starts.pop();
        }
        starts.push(lowest.last().map_or(f64::NEG_INFINITY, |other| meets(*other)));
        lowest.push(at);
    }
    let mut part = 0;
    (0..values.len())
        .map(|at| {
            while part + 1 < starts.len() && starts[part + 1] < at as f64 {
                part += 1;
            }
            let from = lowest[part];
            values[from] + (at.abs_diff(from) * at.abs_diff(from)) as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discs(all: &[(f64, f64, f64)]) -> Labels {
        let on = |at: usize| {
            let (x, y) = ((at % 80) as f64, (at / 80) as f64);
            all.iter().any(|(cx, cy, radius)| (x - cx).powi(2) + (y - cy).powi(2) < radius * radius)
        };
        Labels { width: 80, height: 60, values: (0..80 * 60).map(|at| u8::from(on(at))).collect() }
    }

    #[test]
    fn objects_that_touch_are_counted_one_by_one() {
        assert_eq!(discs(&[]).count(1), 0);
        assert_eq!(discs(&[(20.0, 20.0, 10.0)]).count(1), 1);
        assert_eq!(discs(&[(20.0, 20.0, 8.0), (60.0, 40.0, 9.0)]).count(1), 2);
        assert_eq!(discs(&[(20.0, 20.0, 10.0), (36.0, 20.0, 10.0)]).count(1), 2, "they overlap by a fifth");
        assert_eq!(discs(&[(20.0, 20.0, 10.0), (24.0, 20.0, 10.0)]).count(1), 1, "one is hardly beside the other");
        assert_eq!(discs(&[(20.0, 20.0, 10.0), (36.0, 20.0, 9.0), (28.0, 37.0, 9.0)]).count(1), 3);
        assert_eq!(discs(&[(20.0, 20.0, 10.0), (60.0, 40.0, 1.0)]).count(1), 1, "a speck is none");
    }

    #[test]
    fn distances_are_exact() {
        let labels = discs(&[(20.0, 20.0, 10.0), (50.0, 30.0, 14.0)]);
        let inside: Vec<bool> = labels.values.iter().map(|value| *value == 1).collect();
        let far = distances(&inside, 80, 60);
        for at in (0..inside.len()).step_by(7) {
            let (x, y) = ((at % 80) as f64, (at / 80) as f64);
            let others = (0..inside.len()).filter(|other| !inside[*other]);
            let nearest = others.map(|other| (((other % 80) as f64 - x).powi(2) + ((other / 80) as f64 - y).powi(2)).sqrt());
            let wanted = if inside[at] { nearest.fold(f64::INFINITY, f64::min) } else { 0.0 };
            assert!((far[at] - wanted).abs() < 1e-9, "{at}: {} and {wanted}", far[at]);
        }
    }
}
