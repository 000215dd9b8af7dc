//! How a map is cut into windows: where tokens lie before each block, which pairs of a window see each other, and which of the learned
//! biases belongs to which pair (Liu et al. 2021, sections 3.2 and 3.3).

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::nn::kernels::{Maps, Masks, Order};

/// Added to the scores of pairs that must not see each other.
const APART: f32 = -100.0;

/// The windows of one stage's maps.
pub(super) struct Windows {
    /// Sides of the map and of a window, in tokens.
    grid: usize,
    side: usize,
    /// Into the order of the first block, of each next one, and line after line again; none where nothing moves.
    steps: Vec<Option<Arc<Order>>>,
    /// Of windows as they lie, and of shifted ones.
    masks: [Arc<Masks>; 2],
    /// For each pair of a window's places the row in the table of biases.
    pairs: Vec<u32>,
}

impl Windows {
    /// For maps of `grid` lines under so many blocks. A map that is no larger than a window is one, and nothing is shifted.
    pub fn new(grid: usize, window: usize, blocks: usize) -> Windows {
        let (side, shift) = if grid <= window { (grid, 0) } else { (window, window / 2) };
        let orders = [cut(grid, side, 0), cut(grid, side, shift)];
        let mut now: Vec<u32> = (0..(grid * grid) as u32).collect();
        let lines = now.clone();
        let mut steps = Vec::new();
        for then in (0..blocks).map(|block| &orders[block % 2]).chain([&lines]) {
            let step = Order::between(&now, then);
            steps.push((!step.is_same()).then(|| Arc::new(step)));
            now.clone_from(then);
        }
        let shifted = if shift == 0 { Masks::default() } else { masks(grid, side, shift) };
        Windows { grid, side, steps, masks: [Arc::default(), Arc::new(shifted)], pairs: pairs(side) }
    }

    /// Tokens `(B, N, 1, D)` in the order that step wants.
    pub fn enter(&self, x: Maps, step: usize) -> Result<Maps> {
        match self.steps.get(step).and_then(Option::as_ref) {
            Some(order) => x.reorder(order),
            None => Ok(x),
        }
    }

    /// Such tokens as windows `(B * W, T, 1, D)`.
    pub fn apart(&self, x: Maps) -> Result<Maps> {
        let [batch, _, _, width] = x.shape();
        let windows = (self.grid / self.side).pow(2);
        x.seen_as([batch * windows, self.side * self.side, 1, width])
    }

    /// Those of a block's windows.
    pub fn masks(&self, block: usize) -> &Arc<Masks> {
        &self.masks[block % 2]
    }

    /// The bias of each pair, `(heads, T, T)`, from the table `((2 side - 1)^2, heads)`. Gradients flow.
    pub fn bias(&self, table: &Tensor) -> Result<Tensor> {
        let (tokens, heads) = (self.side * self.side, table.dim(1)?);
        let rows = table.index_select(&Tensor::new(self.pairs.as_slice(), table.device())?, 0)?;
        rows.t()?.contiguous()?.reshape((heads, tokens, tokens))
    }

    /// The order in which the four tokens that are merged lie together, of maps of `grid` lines: in each square the left column from
    /// above, then the right one.
    pub fn neighbours(grid: usize) -> Arc<Order> {
        let lines: Vec<u32> = (0..(grid * grid) as u32).collect();
        let square = |at: usize| {
            let (top, left) = (at / (grid / 2) * 2, at % (grid / 2) * 2);
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(down, right)| ((top + down) * grid + left + right) as u32)
        };
        let together: Vec<u32> = (0..(grid / 2).pow(2)).flat_map(square).collect();
        Arc::new(Order::between(&lines, &together))
    }
}

/// Window after window the tokens of a map that was shifted up and to the left by so many.
fn cut(grid: usize, side: usize, shift: usize) -> Vec<u32> {
    places(grid, side).map(|(line, column)| ((line + shift) % grid * grid + (column + shift) % grid) as u32).collect()
}

/// Window after window line and column of each place.
fn places(grid: usize, side: usize) -> impl Iterator<Item = (usize, usize)> {
    let across = grid / side;
    let window = move |at: usize| (at / across * side, at % across * side);
    (0..across * across).map(window).flat_map(move |(top, left)| (0..side * side).map(move |at| (top + at / side, left + at % side)))
}

/// Of each window of a shifted map: a pair sees each other only where it lay together before what left the map on one side came in on
/// the other.
fn masks(grid: usize, side: usize, shift: usize) -> Masks {
    let part = |place: usize| usize::from(place >= grid - side) + usize::from(place >= grid - shift);
    let parts: Vec<usize> = places(grid, side).map(|(line, column)| 3 * part(line) + part(column)).collect();
    Masks::new(
        parts
            .chunks(side * side)
            .map(|window| window.iter().flat_map(|one| window.iter().map(move |other| if one == other { 0.0 } else { APART })).collect()),
    )
}

/// For each pair of places how far they are apart, down and across, as a row of the table.
fn pairs(side: usize) -> Vec<u32> {
    let reach = 2 * side - 1;
    let row = move |one: usize, other: usize| {
        let down = one / side + side - 1 - other / side;
        let across = one % side + side - 1 - other % side;
        (down * reach + across) as u32
    };
    (0..side * side).flat_map(|one| (0..side * side).map(move |other| row(one, other))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_each_token_once_and_shifted_ones_mask_what_came_round() {
        let order = cut(4, 2, 1);
        assert_eq!(order[..4], [5, 6, 9, 10], "the first window begins one down and to the right");
        assert_eq!(order[12..], [15, 12, 3, 0], "the last one holds the four corners");
        let masks = masks(4, 2, 1);
        let values = masks.values(16);
        assert_eq!(masks.windows(), 4);
        assert!(values[..16].iter().all(|value| *value == 0.0));
        // Of the four corners each sees itself alone.
        let corners: Vec<f32> = (0..16).map(|at| if at % 5 == 0 { 0.0 } else { APART }).collect();
        assert_eq!(values[48..], corners);
        assert_eq!(pairs(2), [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4]);
        let small = Windows::new(7, 7, 2);
        assert!(small.steps.iter().all(Option::is_none) && small.masks[1].is_empty());
    }
}
