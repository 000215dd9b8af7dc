//! Memory that is used again: a step needs the same large tensors as the one before, and pages that the kernel takes
//! back and clears anew cost as much as the arithmetic on them.
//!
//! Buffers are cut from regions, and joined with their free neighbours again. A forward pass leaves maps of every size
//! and the backward pass uses them up one by one; what has become free so far then serves maps of any other size.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapRaw};

/// Bytes of a region. It takes memory where it has been written to, no more.
const REGION: usize = 256 << 20;
/// Floats; smaller buffers are the allocator's business.
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

/// Straight from the system, so that it goes back there at once when its last piece goes.
struct Region {
    number: u64,
    memory: MmapRaw,
}

/// A part of a region, `start` and `bytes` being whole cache lines. There are no two with a byte in common, and no copies.
struct Piece {
    region: Arc<Region>,
    start: usize,
    bytes: usize,
}

impl Piece {
    fn place(&self) -> (u64, usize) {
        (self.region.number, self.start)
    }

    /// Where the next piece of the region begins.
    fn end(&self) -> (u64, usize) {
        (self.region.number, self.start + self.bytes)
    }

    fn is_whole_region(&self) -> bool {
        self.bytes == self.region.memory.len()
    }

    /// Takes that many bytes off its front.
    fn split(&mut self, bytes: usize) -> Piece {
        let front = Piece { region: self.region.clone(), start: self.start, bytes };
        self.start += bytes;
        self.bytes -= bytes;
        front
    }

    fn floats(&self) -> &[f32] {
        let length = self.bytes / size_of::<f32>();
        // SAFETY: the range lies in memory that lives as long as the region, is aligned to a cache line, was zero when it
        // was mapped and held floats ever since; nobody else has it, and it is not written to while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.region.memory.as_ptr().add(self.start).cast(), length) }
    }

    fn floats_mut(&mut self) -> &mut [f32] {
        let length = self.bytes / size_of::<f32>();
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.region.memory.as_mut_ptr().add(self.start).cast(), length) }
    }
}

impl Arena {
    /// The first piece that is long enough: what lies behind the last one is not touched needlessly. None if the system
    /// refuses more memory.
    fn cut(&mut self, bytes: usize) -> Option<Piece> {
        let found = self.free.iter().position(|piece| piece.bytes >= bytes);
        let at = found.or_else(|| self.grow(bytes))?;
        if self.free[at].bytes == bytes {
            return Some(self.free.remove(at));
        }
        Some(self.free[at].split(bytes))
    }

    /// A new region with room for that many bytes; answers where it stands.
    fn grow(&mut self, bytes: usize) -> Option<usize> {
        let bytes = bytes.max(REGION);
        let memory = MmapRaw::from(MmapMut::map_anon(bytes).ok()?);
        self.regions += 1;
        self.free.push(Piece { region: Arc::new(Region { number: self.regions, memory }), start: 0, bytes });
        Some(self.free.len() - 1)
    }

    fn join(&mut self, piece: Piece) {
        let mut at = self.free.partition_point(|other| other.place() < piece.place());
        if at > 0 && self.free[at - 1].end() == piece.place() {
            at -= 1;
            self.free[at].bytes += piece.bytes;
        } else {
            self.free.insert(at, piece);
        }
        if self.free.get(at + 1).is_some_and(|next| self.free[at].end() == next.place()) {
            self.free[at].bytes += self.free.remove(at + 1).bytes;
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
    /// The allocator's; if it refuses too, it ends the process.
    Own(Vec<f32>),
    Cut(Piece),
}

impl Default for Values {
    fn default() -> Values {
        Values::Own(Vec::new())
    }
}

impl Buffer {
    /// `length` floats of any content: whoever asks writes all of them.
    pub fn any(length: usize) -> Buffer {
        let bytes = (length * size_of::<f32>()).next_multiple_of(LINE);
        let cut = if length < SMALLEST { None } else { arena().cut(bytes) };
        Buffer { values: cut.map_or_else(|| Values::Own(vec![0.0; length]), Values::Cut), length }
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
            Values::Own(values) => values,
            Values::Cut(piece) => &piece.floats()[..self.length],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.values {
            Values::Own(values) => values,
            Values::Cut(piece) => &mut piece.floats_mut()[..self.length],
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

    fn arena(workspaces: usize) -> Arena {
        Arena { free: Vec::new(), regions: 0, workspaces }
    }

    fn holds(piece: &Piece, mark: f32) -> bool {
        piece.floats().first() == Some(&mark) && piece.floats().last() == Some(&mark)
    }

    proptest! {
        #[test]
        fn pieces_never_overlap_and_whole_regions_come_together_again(
            steps in prop::collection::vec((any::<bool>(), 1usize..40, any::<prop::sample::Index>()), 1..120)
        ) {
            let mut arena = arena(1);
            let mut live: Vec<(Piece, f32)> = Vec::new();
            for (number, (cuts, lines, which)) in steps.into_iter().enumerate() {
                if cuts || live.is_empty() {
                    // Some are most of a region or more, so that there are several.
                    let bytes = if lines > 36 { REGION / 2 * (lines - 36) + LINE } else { lines * LINE };
                    let (mut piece, mark) = (arena.cut(bytes).unwrap(), number as f32);
                    let floats = piece.floats_mut();
                    prop_assert_eq!((floats.len() * 4, floats.as_ptr().addr() % LINE), (bytes, 0));
                    floats[0] = mark;
                    *floats.last_mut().unwrap() = mark;
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
        let mut arena = arena(0);
        let [first, second, third] = [1, 2, 3].map(|lines| arena.cut(lines * LINE).unwrap());
        let at = first.place();
        arena.join(first);
        arena.join(second);
        assert_eq!(arena.cut(3 * LINE).unwrap().place(), at);
        arena.give_back();
        assert_eq!(arena.free.len(), 1, "the third piece is in use");
        drop(third);
    }

    #[test]
    fn where_nobody_runs_steps_one_region_is_kept() {
        for (workspaces, kept) in [(0, 1), (1, 3)] {
            let mut arena = arena(workspaces);
            let pieces = [REGION, REGION + LINE, 2 * REGION].map(|bytes| arena.cut(bytes).unwrap());
            pieces.into_iter().for_each(|piece| arena.join(piece));
            assert_eq!(arena.free.len(), kept);
        }
    }

    #[test]
    fn what_the_system_refuses_is_not_taken() {
        let mut arena = arena(0);
        assert!(arena.cut(usize::MAX / 2 / LINE * LINE).is_none());
        assert!(arena.free.is_empty());
    }
}
