//! Memory that is used again: a step needs the same large tensors as the one before, and pages that the kernel takes
//! back and clears anew cost as much as the arithmetic on them.
//!
//! Buffers are cut from regions, and joined with their free neighbours again. A forward pass leaves maps of every size
//! and the backward pass uses them up one by one; what has become free so far then serves maps of any other size.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

/// Floats of a region. It takes memory where it has been written to, no more.
const REGION: usize = 64 << 20;
/// Smaller ones are the allocator's business.
const SMALLEST: usize = 4096;
/// Where buffers begin and end, in bytes: whole cache lines.
const LINE: usize = 64;

static ARENA: Mutex<Arena> = Mutex::new(Arena { free: Vec::new(), regions: 0, workspaces: 0 });

/// What nobody uses of all regions.
struct Arena {
    /// By region, then by place; no two of them touch.
    free: Vec<Piece>,
    /// Ever made.
    regions: u64,
    /// Alive.
    workspaces: usize,
}

/// A part of a region.
struct Piece {
    region: Region,
    bytes: BytesMut,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Region {
    number: u64,
    bytes: usize,
}

impl Piece {
    fn place(&self) -> (Region, usize) {
        (self.region, self.bytes.as_ptr().addr())
    }

    fn is_whole_region(&self) -> bool {
        self.bytes.len() == self.region.bytes
    }

    /// Where the next piece of the region begins.
    fn end(&self) -> (Region, usize) {
        (self.region, self.bytes.as_ptr().addr() + self.bytes.len())
    }
}

impl Arena {
    /// The first piece that is long enough: what lies behind the last one is not touched needlessly.
    fn cut(&mut self, bytes: usize) -> Piece {
        let found = self.free.iter().position(|piece| piece.bytes.len() >= bytes);
        let at = found.unwrap_or_else(|| self.grow(bytes));
        let found = &mut self.free[at];
        if found.bytes.len() == bytes {
            return self.free.remove(at);
        }
        Piece { region: found.region, bytes: found.bytes.split_to(bytes) }
    }

    /// A new region with room for that many bytes; answers where it stands.
    fn grow(&mut self, bytes: usize) -> usize {
        self.regions += 1;
        let mut region = BytesMut::zeroed(bytes.max(REGION * size_of::<f32>()) + LINE);
        let _ = region.split_to(region.as_ptr().align_offset(LINE));
        self.free.push(Piece { region: Region { number: self.regions, bytes: region.len() }, bytes: region });
        self.free.len() - 1
    }

    fn join(&mut self, piece: Piece) {
        let mut at = self.free.partition_point(|other| other.place() < piece.place());
        if at > 0 && self.free[at - 1].end() == piece.place() {
            at -= 1;
            self.free[at].bytes.unsplit(piece.bytes);
        } else {
            self.free.insert(at, piece);
        }
        if self.free.get(at + 1).is_some_and(|next| self.free[at].end() == next.place()) {
            let next = self.free.remove(at + 1);
            self.free[at].bytes.unsplit(next.bytes);
        }
        // One is kept for whoever comes next.
        if self.workspaces == 0 && self.free[at].is_whole_region() && self.free.iter().filter(|piece| piece.is_whole_region()).count() > 1 {
            self.free.remove(at);
        }
    }

    /// Lets go of regions of which nothing is in use.
    fn give_back(&mut self) {
        self.free.retain(|piece| !piece.is_whole_region());
    }
}

/// Whoever runs many steps holds one meanwhile: memory that one step leaves idle is kept for the next, and returns to
/// the system afterwards.
#[derive(Debug)]
pub struct Workspace(());

impl Workspace {
    pub fn open() -> Workspace {
        arena().workspaces += 1;
        Workspace(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let mut arena = arena();
        arena.workspaces -= 1;
        arena.give_back();
    }
}

fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats that go back to their region when dropped.
#[derive(Default)]
pub(crate) struct Buffer {
    values: Values,
    /// How many of them are in use.
    length: usize,
}

enum Values {
    Small(Vec<f32>),
    Cut(Piece),
}

impl Default for Values {
    fn default() -> Values {
        Values::Small(Vec::new())
    }
}

impl Buffer {
    /// `length` floats of any content: whoever asks writes all of them.
    pub fn any(length: usize) -> Buffer {
        if length < SMALLEST {
            return Buffer { values: Values::Small(vec![0.0; length]), length };
        }
        let bytes = (length * size_of::<f32>()).next_multiple_of(LINE);
        Buffer { values: Values::Cut(arena().cut(bytes)), length }
    }

    /// `length` zeros.
    pub fn zeros(length: usize) -> Buffer {
        let mut buffer = Buffer::any(length);
        buffer.fill(0.0);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.values {
            Values::Small(values) => values,
            Values::Cut(piece) => &bytemuck::cast_slice(&piece.bytes)[..self.length],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.values {
            Values::Small(values) => values,
            Values::Cut(piece) => &mut bytemuck::cast_slice_mut(&mut piece.bytes)[..self.length],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Values::Cut(piece) = std::mem::take(&mut self.values) {
            arena().join(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Arena, LINE, Piece, REGION};

    fn holds(piece: &Piece, mark: u8) -> bool {
        piece.bytes.first() == Some(&mark) && piece.bytes.last() == Some(&mark)
    }

    proptest! {
        #[test]
        fn pieces_never_overlap_and_whole_regions_come_together_again(
            steps in prop::collection::vec((any::<bool>(), 1usize..40, any::<prop::sample::Index>()), 1..120)
        ) {
            let mut arena = Arena { free: Vec::new(), regions: 0, workspaces: 1 };
            let mut live: Vec<(Piece, u8)> = Vec::new();
            for (number, (cuts, lines, which)) in steps.into_iter().enumerate() {
                if cuts || live.is_empty() {
                    // Some are a good part of a region, so that there are several.
                    let bytes = if lines > 36 { REGION * 3 } else { lines * LINE };
                    let (mut piece, mark) = (arena.cut(bytes), number as u8);
                    prop_assert_eq!(piece.bytes.len(), bytes);
                    prop_assert_eq!(piece.bytes.as_ptr().addr() % LINE, 0);
                    piece.bytes[0] = mark;
                    piece.bytes[bytes - 1] = mark;
                    live.push((piece, mark));
                } else {
                    let (piece, mark) = live.swap_remove(which.index(live.len()));
                    prop_assert!(holds(&piece, mark));
                    arena.join(piece);
                }
                prop_assert!(live.iter().all(|(piece, mark)| holds(piece, *mark)));
                prop_assert!(arena.free.windows(2).all(|pair| pair[0].end() < pair[1].place()));
            }
            live.into_iter().for_each(|(piece, _)| arena.join(piece));
            prop_assert_eq!(arena.free.len() as u64, arena.regions);
            arena.give_back();
            prop_assert!(arena.free.is_empty());
        }
    }

    #[test]
    fn what_became_free_in_pieces_serves_a_larger_one() {
        let mut arena = Arena { free: Vec::new(), regions: 0, workspaces: 0 };
        let [first, second, third] = [1, 2, 3].map(|lines| arena.cut(lines * LINE));
        let at = first.bytes.as_ptr().addr();
        arena.join(first);
        arena.join(second);
        assert_eq!(arena.cut(3 * LINE).bytes.as_ptr().addr(), at);
        arena.give_back();
        assert_eq!(arena.free.len(), 1, "the third piece is in use");
        drop(third);
    }

    #[test]
    fn where_nobody_runs_steps_one_region_is_kept() {
        for (workspaces, kept) in [(0, 1), (1, 3)] {
            let mut arena = Arena { free: Vec::new(), regions: 0, workspaces };
            let pieces = [REGION, REGION * 4, REGION * 8].map(|bytes| arena.cut(bytes));
            pieces.into_iter().for_each(|piece| arena.join(piece));
            assert_eq!(arena.free.len(), kept);
        }
    }
}
