//! Which pixels an object covers, as COCO writes it: polygons, or runs of pixels down the columns, plain or packed into letters.
//! Rasters of polygons are those of pycocotools (an edge is walked on a grid five times as fine), so that areas agree to the pixel.

use super::mask::Labels;

/// An object's outline.
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    /// Each as `x, y, x, y, ...`; what lies in any of them belongs to the object.
    Polygons(Box<[Box<[f32]>]>),
    /// Lengths of runs, first of pixels that do not belong to it, down the columns from the left; of a raster of this width and height.
    Runs { lengths: Box<[u32]>, size: [u32; 2] },
}

/// The grid on which edges are walked is so many times finer than pixels.
const FINER: f64 = 5.0;
/// Bits of a letter that hold a number, the bit that says that more follow, and the first letter.
const BITS: u32 = 5;
const MORE: i64 = 0x20;
const FIRST: u8 = b'0';

impl Outline {
    /// Runs that are packed into letters, as pycocotools packs them. `None` of what it would not have written.
    pub fn packed(letters: &str, size: [u32; 2]) -> Option<Outline> {
        let (mut lengths, mut value, mut shift): (Vec<i64>, i64, u32) = (Vec::new(), 0, 0);
        for letter in letters.bytes() {
            let part = i64::from(letter.checked_sub(FIRST).filter(|part| *part < 64)?);
            value |= (part & 0x1f).checked_shl(shift)?;
            shift += BITS;
            if shift > 35 {
                return None;
            }
            if part & MORE == 0 {
                if part & 0x10 != 0 {
                    value |= -1 << shift;
                }
                // From the third on, differences to the one before the last.
                let before = if lengths.len() > 2 { lengths[lengths.len() - 2] } else { 0 };
                lengths.push(value + before);
                (value, shift) = (0, 0);
            }
        }
        let lengths: Option<Vec<u32>> = lengths.into_iter().map(|length| u32::try_from(length).ok()).collect();
        Outline::runs(lengths?, size).filter(|_| shift == 0)
    }

    /// The pixels of a mask that have this class.
    pub fn of_class(labels: &Labels, class: u8) -> Outline {
        let (w, h) = (labels.width as usize, labels.height as usize);
        let (mut lengths, mut on, mut length) = (Vec::new(), false, 0u32);
        for place in 0..w * h {
            let here = labels.values[place % h * w + place / h] == class;
            if here != on {
                lengths.push(std::mem::take(&mut length));
                on = here;
            }
            length += 1;
        }
        lengths.push(length);
        Outline::Runs { lengths: lengths.into(), size: [labels.width, labels.height] }
    }

    /// Runs packed into letters, as pycocotools packs them; `None` of polygons.
    pub fn letters(&self) -> Option<String> {
        let Outline::Runs { lengths, .. } = self else { return None };
        let mut letters = String::new();
        for (at, length) in lengths.iter().enumerate() {
            let before = if at > 2 { i64::from(lengths[at - 2]) } else { 0 };
            let mut value = i64::from(*length) - before;
            loop {
                let part = value & 0x1f;
                value >>= BITS;
                let more = if part & 0x10 == 0 { value != 0 } else { value != -1 };
                letters.push(char::from(FIRST + (part | if more { MORE } else { 0 }) as u8));
                if !more {
                    break;
                }
            }
        }
        Some(letters)
    }

    /// Runs of a raster; `None` where they do not fill it.
    pub fn runs(lengths: Vec<u32>, size: [u32; 2]) -> Option<Outline> {
        let all: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        (all == u64::from(size[0]) * u64::from(size[1])).then(|| Outline::Runs { lengths: lengths.into(), size })
    }

    /// With each place multiplied; runs are of pixels and stay.
    pub fn scaled(&self, by: [f32; 2]) -> Outline {
        match self {
            Outline::Polygons(all) => {
                let one = |points: &[f32]| points.iter().enumerate().map(|(at, value)| value * by[at % 2]).collect();
                Outline::Polygons(all.iter().map(|points| one(points)).collect())
            }
            runs => runs.clone(),
        }
    }

    /// Left, top, width and height of what it covers; `None` of nothing.
    pub fn bbox(&self) -> Option<[f32; 4]> {
        match self {
            Outline::Polygons(all) => {
                let (mut least, mut most) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
                for (at, value) in all.iter().flat_map(|points| points.iter().enumerate()) {
                    least[at % 2] = least[at % 2].min(*value);
                    most[at % 2] = most[at % 2].max(*value);
                }
                (least[0] <= most[0]).then(|| [least[0], least[1], most[0] - least[0], most[1] - least[1]])
            }
            Outline::Runs { lengths, size: [_, height] } => {
                let (mut at, high) = (0u64, u64::from(*height).max(1));
                let (mut least, mut most) = ([u64::MAX; 2], [0u64; 2]);
                for (run, length) in lengths.iter().enumerate() {
                    let (first, end) = (at, at + u64::from(*length));
                    at = end;
                    if run.is_multiple_of(2) || first == end {
                        continue;
                    }
                    let (from, to) = ([first / high, first % high], [(end - 1) / high, (end - 1) % high]);
                    // What goes on in the next column has all rows.
                    let rows = if from[0] == to[0] { [from[1], to[1]] } else { [0, high - 1] };
                    least = [least[0].min(from[0]), least[1].min(rows[0])];
                    most = [most[0].max(to[0]), most[1].max(rows[1])];
                }
                let side = |axis: usize| (most[axis] - least[axis] + 1) as f32;
                (least[0] != u64::MAX).then(|| [least[0] as f32, least[1] as f32, side(0), side(1)])
            }
        }
    }

    /// Of an image of this width and height, row by row: whether each pixel belongs to it. Runs of another size cover nothing.
    pub fn raster(&self, width: u32, height: u32) -> Vec<bool> {
        let (w, h) = (width as usize, height as usize);
        let mut raster = vec![false; w * h];
        match self {
            Outline::Polygons(all) => all.iter().for_each(|points| paint(&polygon_runs(points, w, h), w, h, &mut raster)),
            Outline::Runs { lengths, size } if *size == [width, height] => paint(lengths, w, h, &mut raster),
            Outline::Runs { .. } => {}
        }
        raster
    }
}

fn paint(lengths: &[u32], w: usize, h: usize, raster: &mut [bool]) {
    let mut at = 0usize;
    for (run, length) in lengths.iter().enumerate() {
        let end = (at + *length as usize).min(w * h);
        if run % 2 == 1 {
            (at..end).for_each(|place| raster[place % h * w + place / h] = true);
        }
        at = end;
    }
}

/// The points of an edge on the fine grid, in its direction: one for each step along its longer side.
fn walk([xs, ys]: [i64; 2], [xe, ye]: [i64; 2], points: &mut Vec<[i64; 2]>) {
    let (dx, dy) = ((xe - xs).abs(), (ye - ys).abs());
    let flat = dx >= dy;
    let turned = if flat { xs > xe } else { ys > ye };
    let (from, to) = if turned { ([xe, ye], [xs, ys]) } else { ([xs, ys], [xe, ye]) };
    let steps = dx.max(dy);
    let rise = if flat { to[1] - from[1] } else { to[0] - from[0] };
    let slope = if steps == 0 { 0.0 } else { rise as f64 / steps as f64 };
    for step in 0..=steps {
        let along = if turned { steps - step } else { step };
        let across = |start: i64| (start as f64 + slope * along as f64 + 0.5) as i64;
        points.push(if flat { [from[0] + along, across(from[1])] } else { [across(from[0]), from[1] + along] });
    }
}

/// The runs of one polygon.
fn polygon_runs(points: &[f32], w: usize, h: usize) -> Vec<u32> {
    // What lies far outside of the image says nothing about it.
    let bound = |side: usize| (-(side as f64), 2.0 * side as f64);
    // Edges are rounded where decimals end in a half: the number is the one that was written, and not the nearest of 32 bits.
    let written = |value: f32| value.to_string().parse::<f64>().unwrap_or(f64::from(value));
    let fine = |value: f32, side: usize| (FINER * written(value).clamp(bound(side).0, bound(side).1) + 0.5) as i64;
    let corners: Vec<[i64; 2]> = points.chunks_exact(2).map(|point| [fine(point[0], w), fine(point[1], h)]).collect();
    let mut walked = Vec::new();
    for (at, corner) in corners.iter().enumerate() {
        walk(*corner, corners[(at + 1) % corners.len()], &mut walked);
    }
    let mut crossings: Vec<usize> = Vec::new();
    for pair in walked.windows(2) {
        let ([ux, uy], [vx, vy]) = (pair[0], pair[1]);
        if ux == vx {
            continue;
        }
        // A column's middle lies between these two.
        let column = if vx < ux { vx } else { vx - 1 };
        let x = (column as f64 + 0.5) / FINER - 0.5;
        if x.floor() != x || x < 0.0 || x > w as f64 - 1.0 {
            continue;
        }
        let y = ((uy.min(vy) as f64 + 0.5) / FINER - 0.5).clamp(0.0, h as f64).ceil();
        crossings.push(x as usize * h + y as usize);
    }
    crossings.push(w * h);
    crossings.sort_unstable();
    let mut before = 0;
    let mut lengths: Vec<u32> = crossings
        .into_iter()
        .map(|place| {
            let length = place - before;
            before = place;
            length as u32
        })
        .collect();
    merge_empty(&mut lengths);
    lengths
}

/// Two runs with an empty one between them are one; the first may be empty.
fn merge_empty(lengths: &mut Vec<u32>) {
    let mut merged: Vec<u32> = Vec::with_capacity(lengths.len());
    let mut all = lengths.iter().copied();
    merged.extend(all.next());
    while let Some(length) = all.next() {
        match (length, merged.last_mut()) {
            (0, Some(last)) => *last += all.next().unwrap_or(0),
            _ => merged.push(length),
        }
    }
    *lengths = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_packed_and_unpacked() {
        let values: Vec<u8> = (0..40 * 30).map(|at| u8::from(at % 40 * (at / 40) % 7 > 3 || at > 900)).collect();
        let labels = Labels { width: 40, height: 30, values };
        for class in [0, 1, 2] {
            let outline = Outline::of_class(&labels, class);
            let raster = outline.raster(40, 30);
            assert!(raster.iter().zip(&labels.values).all(|(on, value)| *on == (*value == class)));
            let on = |at: &usize| raster[*at];
            let columns: Vec<usize> = (0..1_200).filter(on).map(|at| at % 40).collect();
            let rows: Vec<usize> = (0..1_200).filter(on).map(|at| at / 40).collect();
            let ends = |all: &[usize]| Some((*all.iter().min()? as f32, (all.iter().max()? - all.iter().min()? + 1) as f32));
            let wanted = ends(&columns).zip(ends(&rows)).map(|((left, wide), (top, high))| [left, top, wide, high]);
            assert_eq!(outline.bbox(), wanted);
            assert_eq!(Outline::packed(&outline.letters().unwrap(), [40, 30]), Some(outline));
        }
    }
}
