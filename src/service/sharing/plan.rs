//! Which of a file's pieces come from where: of all the places that hold a piece, those are chosen that make few
//! long runs out of few sources.

use std::collections::{HashMap, HashSet};

use crate::catalog::segments::Place;
use crate::domain::digest::Digest;
use crate::domain::pieces::{LEAST_BYTES, Piece};
use crate::domain::segments::{MOST_SEGMENTS, MOST_SOURCES, Segment, joined};

/// One of the sources a blob may have is what is left when all else lies elsewhere.
const MOST_DONORS: usize = MOST_SOURCES - 1;
/// Between any two runs, and around them, may lie a run of what is left.
const MOST_RUNS: usize = (MOST_SEGMENTS - 1) / 2;

/// The pieces of a file, in order, and where each is to come from.
#[derive(Debug, Clone)]
pub struct Plan {
    pieces: Vec<Piece>,
    chosen: Vec<Option<Place>>,
}

impl Plan {
    /// Chooses for each piece among the places that hold it (`places[n]` are those of `pieces[n]`).
    pub fn choose(pieces: Vec<Piece>, places: &[Vec<Place>]) -> Plan {
        let worth = worth(&pieces, places);
        let mut plan = Plan { chosen: Vec::with_capacity(pieces.len()), pieces };
        let mut last = None;
        for (at, places) in places.iter().enumerate() {
            let allowed = || places.iter().filter(|place| worth.contains_key(&place.source));
            let goes_on = last.and_then(|last| plan.beside(last, at));
            let chosen = allowed().find(|place| Some(**place) == goes_on);
            let best = || allowed().max_by_key(|place| (worth.get(&place.source), std::cmp::Reverse((place.source, place.offset))));
            let chosen = chosen.or_else(best).copied();
            plan.chosen.push(chosen);
            last = chosen.map(|_| at).or(last);
        }
        plan.lean_on_next(places);
        plan
    }

    /// Where piece `at` would lie if its source goes on as the file does from piece `from` (or up to it).
    fn beside(&self, from: usize, at: usize) -> Option<Place> {
        let (known, here) = (self.pieces[from], self.pieces[at]);
        let place = self.chosen[from]?;
        let offset = (place.offset + here.offset).checked_sub(known.offset)?;
        Some(Place { offset, ..place })
    }

    /// A piece that many places hold (zeros, say) and that begins a run goes to where the run comes from.
    fn lean_on_next(&mut self, places: &[Vec<Place>]) {
        for at in (0..self.pieces.len().saturating_sub(1)).rev() {
            let goes_on = at > 0 && self.chosen[at].is_some() && self.beside(at - 1, at) == self.chosen[at];
            let next = self.beside(at + 1, at);
            if let (false, Some(next)) = (goes_on, next)
                && places[at].contains(&next)
            {
                self.chosen[at] = Some(next);
            }
        }
    }

    /// Small pieces without a place, and where they would lie if a neighbour's source goes on as the file does.
    /// Nobody remembers such pieces; whoever asks compares the bytes and says what is true with [`Plan::take`].
    pub fn guesses(&self) -> Vec<(usize, Place)> {
        let small = (0..self.pieces.len()).filter(|at| self.chosen[*at].is_none() && self.pieces[*at].size_bytes < LEAST_BYTES);
        let guesses = small.flat_map(|at| {
            let before = at.checked_sub(1).and_then(|before| self.beside(before, at));
            let behind = if at + 1 < self.pieces.len() { self.beside(at + 1, at) } else { None };
            before.into_iter().chain(behind.filter(|behind| Some(*behind) != before)).map(move |place| (at, place))
        });
        guesses.collect()
    }

    pub fn take(&mut self, at: usize, place: Place) {
        self.chosen[at] = Some(place);
    }

    /// A piece, and whether it has a place.
    pub fn piece(&self, at: usize) -> (Piece, bool) {
        (self.pieces[at], self.chosen[at].is_some())
    }

    /// The pieces that have a place.
    pub fn placed(&self) -> impl Iterator<Item = (&Piece, Place)> {
        self.pieces.iter().zip(&self.chosen).filter_map(|(piece, place)| Some((piece, (*place)?)))
    }

    /// The pieces that lie outside all of `runs`.
    pub fn pieces_outside<'a>(&'a self, runs: &'a [Segment]) -> impl Iterator<Item = &'a Piece> {
        self.pieces.iter().filter(|piece| {
            let at = runs.partition_point(|run| run.end() <= piece.offset);
            runs.get(at).is_none_or(|run| piece.end() <= run.offset)
        })
    }

    /// The runs that can be had elsewhere, the longest where there are too many.
    pub fn runs(&self) -> Vec<Segment> {
        let segment = |(piece, place): (&Piece, Place)| Segment {
            offset: piece.offset,
            size_bytes: piece.size_bytes,
            source: place.source,
            source_offset: place.offset,
        };
        let mut runs = joined(self.placed().map(segment).collect());
        if runs.len() > MOST_RUNS {
            runs.sort_by_key(|run| std::cmp::Reverse(run.size_bytes));
            runs.truncate(MOST_RUNS);
            runs.sort_by_key(|run| run.offset);
        }
        runs
    }
}

/// The sources that hold most, and how many bytes of the file each holds.
fn worth(pieces: &[Piece], places: &[Vec<Place>]) -> HashMap<Digest, u64> {
    let mut worth: HashMap<Digest, u64> = HashMap::new();
    for (piece, places) in pieces.iter().zip(places) {
        let sources: HashSet<Digest> = places.iter().map(|place| place.source).collect();
        sources.into_iter().for_each(|source| *worth.entry(source).or_default() += piece.size_bytes);
    }
    let mut best: Vec<(Digest, u64)> = worth.into_iter().collect();
    best.sort_by_key(|(source, bytes)| (std::cmp::Reverse(*bytes), *source));
    best.truncate(MOST_DONORS);
    best.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(sizes: &[u64]) -> Vec<Piece> {
        let mut offset = 100;
        let piece = |size_bytes: &u64| {
            let piece = Piece { offset, size_bytes: *size_bytes, sha256: Digest::of(&offset.to_be_bytes()) };
            offset += size_bytes;
            piece
        };
        sizes.iter().map(piece).collect()
    }

    fn place(source: u8, offset: u64) -> Place {
        Place { source: Digest::of(&[source]), offset }
    }

    fn runs(plan: &Plan) -> Vec<(u64, u64, u64)> {
        plan.runs().iter().map(|run| (run.offset, run.size_bytes, run.source_offset)).collect()
    }

    #[test]
    fn runs_are_long_and_sources_few() {
        let pieces = pieces(&[5000, 5000, 6000]);
        // The second lies in three places; the one that goes on from the first makes one run of all.
        let places = [vec![place(1, 50)], vec![place(1, 7), place(1, 5050), place(2, 0)], vec![place(1, 10_050)]];
        assert_eq!(runs(&Plan::choose(pieces.clone(), &places)), [(100, 16_000, 50)]);
        // Nothing goes on: the source that holds most is taken.
        let places = [vec![place(2, 0)], vec![place(1, 900), place(2, 90_000)], vec![place(2, 50_000)]];
        let plan = Plan::choose(pieces, &places);
        assert!(plan.placed().all(|(_, place)| place.source == Digest::of(&[2])));
    }

    #[test]
    fn what_begins_a_run_leans_on_what_follows() {
        let places = [vec![place(1, 0), place(1, 20_000)], vec![place(1, 25_000)]];
        assert_eq!(runs(&Plan::choose(pieces(&[5000, 5000]), &places)), [(100, 10_000, 20_000)]);
    }

    #[test]
    fn small_pieces_are_guessed_from_their_neighbours() {
        let mut plan = Plan::choose(pieces(&[8, 5000, 9, 10, 5000]), &[vec![], vec![place(1, 1000)], vec![], vec![], vec![]]);
        assert_eq!(plan.guesses(), [(0, place(1, 992)), (2, place(1, 6000))]);
        plan.take(2, place(1, 6000));
        assert_eq!(plan.guesses(), [(0, place(1, 992)), (3, place(1, 6009))]);
        plan.take(3, place(1, 6009));
        assert_eq!(runs(&plan), [(108, 5019, 1000)]);
        let outside: Vec<u64> = plan.pieces_outside(&plan.runs()).map(|piece| piece.size_bytes).collect();
        assert_eq!(outside, [8, 5000]);
    }

    #[test]
    fn there_are_bounds() {
        let many = pieces(&vec![5000; 3 * MOST_RUNS]);
        let places: Vec<Vec<Place>> = (0..many.len()).map(|at| vec![place((at % 200) as u8, 0)]).collect();
        let runs = Plan::choose(many, &places).runs();
        assert!(runs.len() <= MOST_RUNS);
        let sources: HashSet<Digest> = runs.iter().map(|run| run.source).collect();
        assert_eq!(sources.len(), MOST_DONORS);
        assert!(runs.windows(2).all(|pair| pair[0].end() <= pair[1].offset));
    }
}
