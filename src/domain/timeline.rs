//! An item that goes on for a time, asked about piece by piece: how long each piece is, where they lie, and what they are called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Pieces of one item that are asked about in a process that nobody waits for.
pub const MOST_PIECES: usize = 10_000;

/// What is left behind the last full piece is a part of that where it is shorter, in seconds.
const REST: f64 = 0.05;

/// Seconds of each piece.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Every(f64);

impl Every {
    /// In seconds: shorter pieces are single frames, and longer ones than the longest video that is read are none.
    pub const SHORTEST: f64 = 0.1;
    pub const LONGEST: f64 = 3.0 * 3600.0;

    /// `None` where it is out of bounds, or no number.
    pub fn of(seconds: f64) -> Option<Every> {
        (Every::SHORTEST..=Every::LONGEST).contains(&seconds).then_some(Every(seconds))
    }

    pub fn parse(text: &str) -> Option<Every> {
        Every::of(text.parse().ok()?)
    }

    /// What is said of other numbers.
    pub fn bounds() -> String {
        format!("pieces are {} to {} seconds long", Every::SHORTEST, Every::LONGEST)
    }

    /// Pieces of an item of so many seconds; one at least, which has all of it.
    pub fn count(self, whole: f64) -> usize {
        (((whole - REST) / self.0).ceil() as usize).max(1)
    }

    /// From and to of each, in seconds, one behind the other.
    pub fn pieces(self, whole: f64) -> impl Iterator<Item = (f64, f64)> {
        let (count, end) = (self.count(whole), if whole > 0.0 { whole } else { self.0 });
        (0..count).map(move |at| (at as f64 * self.0, if at + 1 == count { end } else { (at + 1) as f64 * self.0 }))
    }

    /// The shortest of the lengths that people think in of which an item of so many seconds has so many pieces at most; none where it would be
    /// one piece.
    pub fn suited(whole: f64, most: usize) -> Option<Every> {
        const LENGTHS: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 3_600.0];
        let suits = |every: &Every| every.count(whole) <= most;
        LENGTHS.into_iter().map(Every).find(suits).filter(|every| every.count(whole) > 1)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Every> for f64 {
    fn from(every: Every) -> f64 {
        every.0
    }
}

impl TryFrom<f64> for Every {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Every, String> {
        Every::of(seconds).ok_or_else(Every::bounds)
    }
}

/// A piece's name: that of the item, if it has one, and where it lies: `clip.mp4 2.00-4.00 s`.
pub fn named(item: &str, (start, end): (f64, f64)) -> String {
    format!("{item} {start:.2}-{end:.2} s").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(seconds: f64, whole: f64) -> Vec<(f64, f64)> {
        Every::of(seconds).unwrap().pieces(whole).collect()
    }

    #[test]
    fn pieces_lie_one_behind_the_other_and_end_with_the_item() {
        assert_eq!(pieces(2.0, 5.0), [(0.0, 2.0), (2.0, 4.0), (4.0, 5.0)]);
        assert_eq!(pieces(2.0, 4.0), [(0.0, 2.0), (2.0, 4.0)]);
        assert_eq!(pieces(9.0, 4.0), [(0.0, 4.0)]);
        assert_eq!(pieces(2.0, 0.0), [(0.0, 2.0)], "one frame is shown for no time");
        assert_eq!(pieces(0.1, 0.3).len(), 3, "rounding makes no piece");
        assert_eq!(pieces(2.0, 4.004), [(0.0, 2.0), (2.0, 4.004)], "nor does a frame that is shown a little longer");
        assert_eq!(named("a.mp4", (2.0, 4.5)), "a.mp4 2.00-4.50 s");
        assert_eq!(named("", (0.0, 1.0)), "0.00-1.00 s");
    }

    #[test]
    fn lengths_are_bounded() {
        for text in ["0", "-1", "nan", "inf", "two", "", "0.09", "10801"] {
            assert_eq!(Every::parse(text), None, "{text}");
        }
        assert_eq!(Every::parse("0.5").map(f64::from), Some(0.5));
        assert!(serde_json::from_str::<Every>("0").is_err());
        assert_eq!(serde_json::to_string(&Every::of(2.0).unwrap()).unwrap(), "2.0");
    }

    #[test]
    fn a_length_is_found_that_suits_the_whole() {
        let suited = |whole: f64| Every::suited(whole, 12).map(f64::from);
        assert_eq!(
            [suited(0.5), suited(8.0), suited(13.0), suited(600.0), suited(10_800.0)],
            [None, Some(1.0), Some(2.0), Some(60.0), Some(1_200.0)]
        );
    }
}
