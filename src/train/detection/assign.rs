//! Which place is to find which object: places within 1.5 strides of an object's middle and inside of its box, on the map whose reach its
//! farthest side lies in; of several objects the smallest (FCOS with centre sampling). What is too small to have a place inside takes the
//! place nearest to its middle.

use super::grid::Grid;
use crate::data::targets::Boxed;

/// Strides from an object's middle within which places are to find it.
const RADIUS: f32 = 1.5;

/// What a place is to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// That nothing is there.
    Nothing,
    /// Anything: it lies among objects that are not told apart.
    Anything,
    /// An object: its class, its box (left, top, right, bottom, in pixels of the view), and how near the place is to the middle, 0 to 1.
    Object { class: u32, corners: [f32; 4], centred: f32 },
}

/// What each place of the grid is to answer.
pub fn assign(objects: &[Boxed], grid: &Grid) -> Vec<Aim> {
    let mut aims = vec![Aim::Nothing; grid.len()];
    let mut areas = vec![f32::INFINITY; aims.len()];
    let (crowds, single): (Vec<&Boxed>, Vec<&Boxed>) = objects.iter().partition(|object| object.crowd);
    for level in &grid.levels {
        for object in &single {
            for at in inside(object, level) {
                let place = level.middle(at);
                let far = distances(place, corners(object)).into_iter().fold(0.0, f32::max);
                let area = object.bbox[2] * object.bbox[3];
                if (level.reach[0]..level.reach[1]).contains(&far) && area < areas[level.first + at] {
                    (areas[level.first + at], aims[level.first + at]) = (area, aim(object, place));
                }
            }
        }
    }
    for object in &single {
        small(object, grid, &mut aims);
    }
    for (place, aim) in grid.places().map(|(place, _)| place).zip(&mut aims) {
        if *aim == Aim::Nothing && crowds.iter().any(|crowd| is_within(place, corners(crowd))) {
            *aim = Aim::Anything;
        }
    }
    aims
}

/// An object that no place was to find takes the nearest one, where that is nobody's.
fn small(object: &Boxed, grid: &Grid, aims: &mut [Aim]) {
    let own = corners(object);
    if aims.iter().any(|aim| matches!(aim, Aim::Object { corners, .. } if *corners == own)) {
        return;
    }
    let half = object.bbox[2].max(object.bbox[3]) / 2.0;
    let Some(level) = grid.levels.iter().find(|level| half < level.reach[1]) else { return };
    let middle = [(own[0] + own[2]) / 2.0, (own[1] + own[3]) / 2.0];
    if let Some(at) = level.nearest(middle).map(|at| level.first + at)
        && aims[at] == Aim::Nothing
    {
        aims[at] = Aim::Object { class: object.class, corners: own, centred: 1.0 };
    }
}

fn aim(object: &Boxed, place: [f32; 2]) -> Aim {
    let own = corners(object);
    Aim::Object { class: object.class, corners: own, centred: centred(distances(place, own)) }
}

/// Places of a map that lie in the box and near its middle, counted from the map's first.
fn inside(object: &Boxed, level: &super::grid::Level) -> Vec<usize> {
    let own = corners(object);
    let reach = RADIUS * level.stride as f32;
    let middle = [(own[0] + own[2]) / 2.0, (own[1] + own[3]) / 2.0];
    let near = [middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach];
    let cells = |from: f32, to: f32, cells: usize| {
        let cell = |at: f32| (at / level.stride as f32).max(0.0) as usize;
        cell(from)..(cell(to) + 1).min(cells)
    };
    let mut found = Vec::new();
    for row in cells(near[1], near[3], level.rows) {
        for column in cells(near[0], near[2], level.columns) {
            let at = row * level.columns + column;
            let place = level.middle(at);
            if is_within(place, own) && is_within(place, near) {
                found.push(at);
            }
        }
    }
    found
}

/// Left, top, right and bottom.
fn corners(object: &Boxed) -> [f32; 4] {
    let [x, y, w, h] = object.bbox;
    [x, y, x + w, y + h]
}

/// To the left, upper, right and lower side.
fn distances([x, y]: [f32; 2], [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
    [x - left, y - top, right - x, bottom - y]
}

fn is_within(place: [f32; 2], corners: [f32; 4]) -> bool {
    distances(place, corners).into_iter().all(|distance| distance > 0.0)
}

/// 1 in the middle, 0 at a side.
fn centred([left, top, right, bottom]: [f32; 4]) -> f32 {
    let share = |a: f32, b: f32| a.min(b).max(0.0) / a.max(b).max(f32::MIN_POSITIVE);
    (share(left, right) * share(top, bottom)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: u32, bbox: [f32; 4]) -> Boxed {
        Boxed { class, bbox, area: bbox[2] * bbox[3], crowd: false }
    }

    fn found(aims: &[Aim]) -> Vec<(usize, u32, f32)> {
        let of = |(at, aim): (usize, &Aim)| match aim {
            Aim::Object { class, centred, .. } => Some((at, *class, *centred)),
            _ => None,
        };
        aims.iter().enumerate().filter_map(of).collect()
    }

    #[test]
    fn places_around_the_middle_find_an_object_of_their_reach() {
        let grid = Grid::of([64, 64]);
        // From 8 to 40: its middle is 24, on the finest map within 12 of it lie the cells whose middles are 20 and 28 (and 12.. and 36 do not).
        let aims = assign(&[object(1, [8.0, 8.0, 32.0, 32.0])], &grid);
        let all = found(&aims);
        assert_eq!(all.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [2 * 8 + 2, 2 * 8 + 3, 3 * 8 + 2, 3 * 8 + 3]);
        // 12 to the left and 20 to the right, and so down: the square root of (12/20)².
        assert!((all[0].2 - 0.6).abs() < 1e-6, "{all:?}");
        assert!(matches!(aims[18], Aim::Object { class: 1, corners: [8.0, 8.0, 40.0, 40.0], .. }));
    }

    #[test]
    fn larger_objects_are_found_by_coarser_maps_and_smaller_ones_come_first() {
        let grid = Grid::of([256, 256]);
        let large = object(0, [0.0, 0.0, 150.0, 150.0]);
        let all = found(&assign(&[large], &grid));
        let of = |level: usize| grid.levels[level].first..grid.levels.get(level + 1).map_or(grid.len(), |next| next.first);
        assert!(!all.is_empty() && all.iter().all(|(at, ..)| of(1).contains(at)), "its sides are 75 and more away: {all:?}");
        let aims = assign(&[object(0, [16.0, 16.0, 60.0, 60.0]), object(2, [36.0, 36.0, 20.0, 20.0])], &grid);
        let middle = grid.levels[0].nearest([46.0, 46.0]).unwrap();
        assert!(matches!(aims[middle], Aim::Object { class: 2, .. }), "both are there, and the smaller one is found");
    }

    #[test]
    fn what_has_no_place_inside_takes_the_nearest_and_crowds_teach_nothing() {
        let grid = Grid::of([32, 32]);
        let tiny = assign(&[object(1, [9.0, 9.0, 2.0, 2.0])], &grid);
        assert_eq!(found(&tiny), [(5, 1, 1.0)]);
        let crowd = Boxed { crowd: true, ..object(0, [0.0, 0.0, 17.0, 32.0]) };
        let aims = assign(&[crowd, object(1, [2.0, 2.0, 5.0, 5.0])], &grid);
        assert_eq!(aims[..4], [aims[0], Aim::Anything, Aim::Nothing, Aim::Nothing]);
        assert!(matches!(aims[0], Aim::Object { class: 1, .. }));
        assert!(assign(&[], &grid).iter().all(|aim| *aim == Aim::Nothing));
    }
}
