//! Sets of bytes: which runs of a file are there. Kept sorted and merged, so that the same set is always
//! written the same way: `0-8388608,16777216-25165824`, ends exclusive.

use std::fmt;
use std::ops::Range;

/// Runs of bytes, half open, sorted, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

/// The text was no set of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a set of bytes is written as '0-10,20-30', sorted and merged, ends exclusive")]
pub struct RangesError;

impl Ranges {
    /// Reads only what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Result<Ranges, RangesError> {
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse::<u64>().map_err(|_| RangesError),
            false => Err(RangesError),
        };
        let mut runs: Vec<Range<u64>> = Vec::new();
        for run in text.split(',').filter(|_| !text.is_empty()) {
            let (start, end) = run.split_once('-').ok_or(RangesError)?;
            let run = number(start)?..number(end)?;
            if run.is_empty() || runs.last().is_some_and(|last| run.start <= last.end) {
                return Err(RangesError);
            }
            runs.push(run);
        }
        Ok(Ranges(runs))
    }

    /// Adds a run; an empty one adds nothing.
    pub fn insert(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < run.start);
        let behind = self.0.partition_point(|other| other.start <= run.end);
        // Between the two lie the runs that overlap or touch the new one; where there are none, their
        // neighbours change nothing.
        let start = self.0.get(first).map_or(run.start, |other| other.start.min(run.start));
        let end = behind.checked_sub(1).and_then(|last| self.0.get(last)).map_or(run.end, |other| other.end.max(run.end));
        self.0.splice(first..behind, std::iter::once(start..end));
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Ranges) {
        other.0.iter().for_each(|run| self.insert(run.clone()));
    }

    /// Is every byte of `run` there?
    pub fn covers(&self, run: &Range<u64>) -> bool {
        self.gaps(run.clone()).is_empty()
    }

    /// What of `within` is not there, in order.
    pub fn gaps(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = within.start;
        let first = self.0.partition_point(|run| run.end <= within.start);
        for run in self.0.iter().skip(first).take_while(|run| run.start < within.end) {
            if at < run.start {
                gaps.push(at..run.start);
            }
            at = run.end;
        }
        if at < within.end {
            gaps.push(at..within.end);
        }
        gaps
    }

    /// What of this set is not in `other`.
    pub fn without(&self, other: &Ranges) -> Ranges {
        let mut left = Ranges::default();
        self.0.iter().flat_map(|run| other.gaps(run.clone())).for_each(|gap| left.insert(gap));
        left
    }

    /// Where the run that begins with the first byte ends; 0 where that byte is not there.
    pub fn frontier(&self) -> u64 {
        self.0.first().filter(|run| run.start == 0).map_or(0, |run| run.end)
    }

    /// Behind the last byte that is there.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |run| run.end)
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|run| run.end - run.start).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The runs, in order.
    pub fn runs(&self) -> &[Range<u64>] {
        &self.0
    }
}

impl From<Range<u64>> for Ranges {
    fn from(run: Range<u64>) -> Ranges {
        let mut ranges = Ranges::default();
        ranges.insert(run);
        ranges
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}", run.start, run.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &str) -> Ranges {
        Ranges::parse(text).unwrap()
    }

    #[test]
    fn runs_merge_where_they_touch() {
        let mut set = Ranges::default();
        for (run, becomes) in [
            (10..20, "10-20"),
            (30..40, "10-20,30-40"),
            (20..20, "10-20,30-40"),
            (0..5, "0-5,10-20,30-40"),
            (20..30, "0-5,10-40"),
            (12..13, "0-5,10-40"),
            (50..60, "0-5,10-40,50-60"),
            (4..55, "0-60"),
        ] {
            set.insert(run);
            assert_eq!(set.to_string(), becomes);
            assert_eq!(ranges(becomes), set);
        }
        assert_eq!((set.total(), set.frontier(), set.end()), (60, 60, 60));
        assert_eq!(ranges("0-10,20-30").without(&ranges("5-6,8-22")).to_string(), "0-5,6-8,22-30");
        assert!(ranges("3-4").without(&ranges("0-9")).is_empty() && ranges("").without(&ranges("0-9")).is_empty());
        assert_eq!((ranges("1-5").frontier(), ranges("").frontier(), ranges("1-5").end()), (0, 0, 5));
    }

    #[test]
    fn gaps_are_what_is_left_to_send() {
        let set = ranges("0-5,10-20");
        for (within, gaps) in [(0..30, "5-10,20-30"), (3..12, "5-10"), (12..18, ""), (5..10, "5-10"), (7..7, "")] {
            let mut missing = Ranges::default();
            set.gaps(within.clone()).into_iter().for_each(|gap| missing.insert(gap));
            assert_eq!(missing.to_string(), gaps, "{within:?}");
        }
        assert!(set.covers(&(10..20)) && set.covers(&(1..2)) && !set.covers(&(4..6)));
        assert!(!Ranges::default().covers(&(0..9)));
    }

    #[test]
    fn only_the_written_form_is_read() {
        for text in ["5", "5-5", "6-5", "0-5,5-9", "0-5,3-9", "9-10,0-5", "0-5,", ",", "-", "+0-5", "0- 5", "0-99999999999999999999", "a-b"]
        {
            assert!(Ranges::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_set_of_runs_is_a_set_of_bytes(runs in prop::collection::vec((0usize..64, 0usize..24), 0..24), within in (0usize..64, 0usize..30)) {
            let mut bytes = [false; 96];
            let mut set = Ranges::default();
            for (start, length) in runs {
                bytes[start..start + length].fill(true);
                set.insert(start as u64..(start + length) as u64);
            }
            let is_there = |at: u64| set.runs().iter().any(|run| run.contains(&at));
            prop_assert!((0..96).all(|at| is_there(at as u64) == bytes[at]));
            prop_assert!(set.runs().windows(2).all(|pair| pair[0].end < pair[1].start), "sorted, and none touches the next");
            prop_assert_eq!(set.total(), bytes.iter().filter(|there| **there).count() as u64);
            prop_assert_eq!(set.frontier(), bytes.iter().take_while(|there| **there).count() as u64);
            prop_assert_eq!(&Ranges::parse(&set.to_string()).unwrap(), &set);

            let within = within.0 as u64..(within.0 + within.1) as u64;
            let gaps = set.gaps(within.clone());
            let in_gap = |at: u64| gaps.iter().any(|gap| gap.contains(&at));
            prop_assert!((0..96).all(|at| in_gap(at) == (within.contains(&at) && !is_there(at))));
            let mut whole = set.clone();
            gaps.into_iter().for_each(|gap| whole.insert(gap));
            prop_assert!(whole.covers(&within));
        }
    }
}
