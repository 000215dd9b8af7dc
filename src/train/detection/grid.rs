//! The places of a view that are answered about: cells of maps at several strides, the finest first, row by row.

/// Strides of the maps, in pixels of the view.
pub const STRIDES: [u32; 3] = [8, 16, 32];
/// The farthest side of an object that a map is to find lies between these, in pixels of the view (FCOS's, whose last two maps are one here).
const REACH: [[f32; 2]; 3] = [[0.0, 64.0], [64.0, 128.0], [128.0, f32::INFINITY]];

/// Where a map's places are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    pub stride: u32,
    pub columns: usize,
    pub rows: usize,
    /// Number of its first place.
    pub first: usize,
    pub reach: [f32; 2],
}

/// All places of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    pub levels: [Level; 3],
}

impl Grid {
    /// Of a view of this width and height.
    pub fn of([width, height]: [u32; 2]) -> Grid {
        let mut first = 0;
        let level = |at: usize| {
            let stride = STRIDES[at];
            let (columns, rows) = (width.div_ceil(stride) as usize, height.div_ceil(stride) as usize);
            let level = Level { stride, columns, rows, first, reach: REACH[at] };
            first += columns * rows;
            level
        };
        Grid { levels: [0, 1, 2].map(level) }
    }

    pub fn len(&self) -> usize {
        self.levels.iter().map(|level| level.columns * level.rows).sum()
    }

    /// The middle of each place and its stride, in their order.
    pub fn places(&self) -> impl Iterator<Item = ([f32; 2], f32)> + '_ {
        self.levels.iter().flat_map(|level| (0..level.columns * level.rows).map(|at| (level.middle(at), level.stride as f32)))
    }
}

impl Level {
    /// The middle of a place, counted from the map's first.
    pub fn middle(&self, at: usize) -> [f32; 2] {
        let columns = self.columns.max(1);
        [at % columns, at / columns].map(|cell| (cell as f32 + 0.5) * self.stride as f32)
    }

    /// The place nearest to a point, counted from the map's first; `None` of a map without places.
    pub fn nearest(&self, [x, y]: [f32; 2]) -> Option<usize> {
        let cell = |at: f32, cells: usize| Some(((at / self.stride as f32) as usize).min(cells.checked_sub(1)?));
        Some(cell(y, self.rows)? * self.columns + cell(x, self.columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_row_by_row_the_finest_map_first() {
        let grid = Grid::of([40, 24]);
        let sizes = grid.levels.map(|level| (level.columns, level.rows, level.first));
        assert_eq!((sizes, grid.len()), ([(5, 3, 0), (3, 2, 15), (2, 1, 21)], 23));
        let places: Vec<_> = grid.places().collect();
        assert_eq!((places.len(), places[0], places[6]), (23, ([4.0, 4.0], 8.0), ([12.0, 12.0], 8.0)));
        assert_eq!((places[15], places[22]), (([8.0, 8.0], 16.0), ([48.0, 16.0], 32.0)));
        for (at, level) in grid.levels.iter().enumerate() {
            assert!((0..level.columns * level.rows).all(|place| level.nearest(level.middle(place)) == Some(place)), "map {at}");
        }
        assert_eq!(grid.levels[0].nearest([1e9, -4.0]), Some(4));
        assert!(Grid::of([0, 0]).len() == 0 && Grid::of([0, 0]).levels[0].nearest([1.0, 1.0]).is_none());
    }
}
