//! Which bytes of a file have arrived: sorted ranges that neither overlap nor touch.

use std::fmt;
use std::ops::Range;

/// A set of byte ranges, ends exclusive. Written as `0-8388608,16777216-25165824`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<Range<u64>>);

/// The text is no set of ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ranges are written as START-END,START-END in ascending order, ends exclusive")]
pub struct RangesError;

impl Ranges {
    pub fn parse(text: &str) -> Result<Ranges, RangesError> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (start, end) = part.split_once('-').ok_or(RangesError)?;
            let (start, end) = (number(start)?, number(end)?);
            if start >= end || ranges.last().is_some_and(|last| last.end >= start) {
                return Err(RangesError);
            }
            ranges.push(start..end);
        }
        Ok(Ranges(ranges))
    }

    /// Adds a range; what it overlaps or touches becomes one with it.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|known| known.end < range.start);
        let behind = self.0.partition_point(|known| known.start <= range.end);
        let mut merged = range;
        if first < behind {
            merged.start = merged.start.min(self.0[first].start);
            merged.end = merged.end.max(self.0[behind - 1].end);
        }
        self.0.splice(first..behind, [merged]);
    }

    pub fn as_slice(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Bytes in all ranges together.
    pub fn total_bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Where the run of bytes ends that begins with the first byte.
    pub fn first_run(&self) -> u64 {
        self.0.first().filter(|range| range.start == 0).map_or(0, |range| range.end)
    }

    /// Every byte of the range is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        let at = self.0.partition_point(|known| known.end < range.end);
        range.is_empty() || self.0.get(at).is_some_and(|known| known.start <= range.start)
    }

    /// What of the first `size_bytes` is not in the set, in order.
    pub fn missing(&self, size_bytes: u64) -> Vec<Range<u64>> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let ends = self.0.iter().map(|range| range.start).chain([size_bytes]);
        starts.zip(ends).map(|(start, end)| start..end.min(size_bytes)).filter(|gap| !gap.is_empty()).collect()
    }
}

/// Digits only: `parse` would take a sign.
fn number(text: &str) -> Result<u64, RangesError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().map_err(|_| RangesError) } else { Err(RangesError) }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}", range.start, range.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same set the slow way: a flag for each byte.
    fn flags(ranges: &[Range<u64>], size: usize) -> Vec<bool> {
        (0..size as u64).map(|byte| ranges.iter().any(|range| range.contains(&byte))).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_bytes(inserted in prop::collection::vec((0u64..200, 0u64..40), 0..30), asked in (0u64..220, 0u64..60)) {
            let inserted: Vec<Range<u64>> = inserted.into_iter().map(|(start, length)| start..start + length).collect();
            let mut ranges = Ranges::default();
            inserted.iter().cloned().for_each(|range| ranges.insert(range));

            let expected = flags(&inserted, 240);
            prop_assert_eq!(&flags(ranges.as_slice(), 240), &expected);
            prop_assert!(ranges.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start), "{ranges}: not merged");
            prop_assert_eq!(ranges.total_bytes(), expected.iter().filter(|byte| **byte).count() as u64);
            prop_assert_eq!(ranges.first_run(), expected.iter().take_while(|byte| **byte).count() as u64);

            let gaps = flags(&ranges.missing(220), 220);
            prop_assert!(gaps.iter().zip(&expected).all(|(gap, there)| gap != there), "{ranges}: gaps are what is not there");
            let asked = asked.0..asked.0 + asked.1;
            prop_assert_eq!(ranges.covers(&asked), asked.clone().all(|byte| expected.get(byte as usize) == Some(&true)));
            prop_assert_eq!(Ranges::parse(&ranges.to_string()), Ok(ranges));
        }
    }

    #[test]
    fn only_sorted_merged_ranges_are_read() {
        assert_eq!(Ranges::parse(""), Ok(Ranges::default()));
        assert_eq!(Ranges::parse("0-5,7-9").map(|ranges| ranges.total_bytes()), Ok(7));
        for text in ["5", "5-5", "6-5", "0-5,5-9", "7-9,0-5", "0-5,", ",", "-1-5", "+1-5", "0x1-5", "0-18446744073709551616"] {
            assert_eq!(Ranges::parse(text), Err(RangesError), "{text:?}");
        }
    }
}
