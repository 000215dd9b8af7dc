//! Entities by the tags of words, and how many of them are right. Spans and types are those that seqeval finds in its default mode, which
//! reads IOB1, IOB2, BIOES and BILOU alike: a tag that cannot go on with what stands before it begins an entity of its own.

use crate::data::targets::Place;

/// Words from `from` up to but not `to`, of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span<'a> {
    pub kind: &'a str,
    pub from: usize,
    pub to: usize,
}

/// The entities of a text, in their order.
pub fn spans<'a>(tags: impl Iterator<Item = (Place, &'a str)>) -> Vec<Span<'a>> {
    let (mut found, mut open, mut before) = (Vec::new(), None::<Span<'a>>, Place::Outside);
    for (at, (place, kind)) in tags.enumerate() {
        let may_go_on = matches!(place, Place::Inside | Place::End) && !matches!(before, Place::End | Place::Single);
        match &mut open {
            Some(span) if may_go_on && span.kind == kind => span.to = at + 1,
            _ => {
                found.extend(open.take());
                open = (place != Place::Outside).then_some(Span { kind, from: at, to: at + 1 });
            }
        }
        before = place;
    }
    found.extend(open);
    found
}

/// Entities counted: those that are right, that were found, and that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    pub right: f64,
    pub found: f64,
    pub there: f64,
}

impl Counts {
    pub fn add(&mut self, other: Counts, times: f64) {
        self.right += times * other.right;
        self.found += times * other.found;
        self.there += times * other.there;
    }

    /// Precision and recall; 0 where there is nothing to divide by.
    pub fn rates(self) -> (f64, f64) {
        let of = |whole: f64| if whole > 0.0 { self.right / whole } else { 0.0 };
        (of(self.found), of(self.there))
    }

    /// Their harmonic mean.
    pub fn f1(self) -> f64 {
        let sum = self.found + self.there;
        if sum > 0.0 { 2.0 * self.right / sum } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::targets::parse_tag;

    fn read(tags: &str) -> Vec<(&str, usize, usize)> {
        spans(tags.split(' ').map(|tag| parse_tag(tag).unwrap())).iter().map(|span| (span.kind, span.from, span.to)).collect()
    }

    #[test]
    fn every_scheme_gives_the_same_entities() {
        let wanted = [("PER", 0, 2), ("PER", 2, 3), ("LOC", 4, 5)];
        for tags in ["B-PER I-PER B-PER O B-LOC", "I-PER I-PER B-PER O I-LOC", "B-PER E-PER S-PER O S-LOC", "B-PER L-PER U-PER O U-LOC"] {
            assert_eq!(read(tags), wanted, "{tags}");
        }
    }

    #[test]
    fn what_cannot_go_on_begins_anew() {
        assert_eq!(read("O I-PER I-LOC I-LOC"), [("PER", 1, 2), ("LOC", 2, 4)]);
        assert_eq!(read("B-PER I-LOC"), [("PER", 0, 1), ("LOC", 1, 2)]);
        assert_eq!(read("E-PER E-PER"), [("PER", 0, 1), ("PER", 1, 2)]);
        assert_eq!(read("S-PER I-PER E-PER I-PER"), [("PER", 0, 1), ("PER", 1, 3), ("PER", 3, 4)]);
        assert_eq!(read("B-PER"), [("PER", 0, 1)]);
        assert_eq!(read("O O"), []);
    }

    #[test]
    fn rates_of_nothing_are_none() {
        assert_eq!((Counts::default().rates(), Counts::default().f1()), ((0.0, 0.0), 0.0));
        let some = Counts { right: 1.0, found: 2.0, there: 4.0 };
        assert!(some.rates() == (0.5, 0.25) && (some.f1() - 1.0 / 3.0).abs() < 1e-12);
    }
}
