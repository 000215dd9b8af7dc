//! Layouts: what they take, what they refuse, and that reading by segments is reading the bytes.

use proptest::prelude::*;

use super::*;

fn segment(offset: u64, size_bytes: u64, source: u8, source_offset: u64) -> Segment {
    Segment { offset, size_bytes, source: Digest::of(&[source]), source_offset }
}

#[test]
fn gaps_overlaps_and_ends_are_seen() {
    let covering = |segments| Layout::covering(100, segments);
    assert!(covering(vec![segment(0, 60, 1, 5), segment(60, 40, 2, 0)]).is_ok());
    assert_eq!(covering(vec![segment(0, 60, 1, 5)]), Err(LayoutError::Gap(60, 100)));
    assert_eq!(covering(vec![segment(1, 99, 1, 5)]), Err(LayoutError::Gap(0, 1)));
    assert_eq!(covering(vec![segment(0, 60, 1, 5), segment(59, 41, 2, 0)]), Err(LayoutError::Order(59)));
    assert_eq!(covering(vec![segment(60, 40, 1, 5), segment(0, 60, 2, 0)]), Err(LayoutError::Order(0)));
    assert_eq!(covering(vec![segment(0, 101, 1, 5)]), Err(LayoutError::Beyond(0)));
    assert_eq!(covering(vec![segment(0, 0, 1, 5), segment(0, 100, 1, 5)]), Err(LayoutError::Size(0)));
    assert_eq!(covering(vec![segment(0, 100, 1, u64::MAX)]), Err(LayoutError::Size(0)));
    assert_eq!(Layout::new(u64::MAX, vec![segment(u64::MAX, 2, 1, 0)]), Err(LayoutError::Size(u64::MAX)));
    assert_eq!(Layout::new(100, vec![segment(10, 20, 1, 0)]).unwrap().gaps(), [0..10, 30..100]);
    assert!(Layout::covering(0, Vec::new()).unwrap().gaps().is_empty());
}

#[test]
fn runs_that_go_on_become_one() {
    let layout = Layout::covering(100, vec![segment(0, 10, 1, 5), segment(10, 20, 1, 15), segment(30, 70, 1, 36)]).unwrap();
    assert_eq!(layout.segments(), [segment(0, 30, 1, 5), segment(30, 70, 1, 36)]);
    assert_eq!(layout.sources(), [Digest::of(&[1])]);
}

#[test]
fn there_are_bounds() {
    let many = |count: u64| (0..count).map(|at| segment(at * 2, 1, 1, at)).collect::<Vec<_>>();
    assert!(Layout::new(1 << 20, many(MOST_SEGMENTS as u64)).is_ok());
    assert!(matches!(Layout::new(1 << 20, many(MOST_SEGMENTS as u64 + 1)), Err(LayoutError::TooMany(_))));
    let sources: Vec<_> = (0..=MOST_SOURCES as u64).map(|at| segment(at, 1, at as u8, 0)).collect();
    assert!(matches!(Layout::new(100, sources), Err(LayoutError::TooManySources(65))));
    let widest = (0..MOST_SEGMENTS as u64).map(|at| segment(u64::MAX - 2 * (MOST_SEGMENTS as u64 - at), 1, 1, u64::MAX - 1 - at));
    let text = Layout::new(u64::MAX, widest.collect()).unwrap().encode(&Digest::of(b"x"));
    assert!(text.len() as u64 <= MOST_TEXT_BYTES, "{}", text.len());
}

#[test]
fn a_text_is_read_as_it_was_written_or_not_at_all() {
    let blob = Digest::of(b"blob");
    let layout = Layout::covering(100, vec![segment(0, 60, 1, 5), segment(60, 40, 2, 0)]).unwrap();
    let text = layout.encode(&blob);
    assert_eq!(Layout::parse(&text, &blob), Ok(layout.clone()));
    assert_eq!(Layout::parse(&text, &Digest::of(b"another")), Err(LayoutError::Line(1)), "a recipe belongs to one blob");
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(Layout::parse(&String::from_utf8(bytes).unwrap(), &blob).is_err(), "a flipped bit at {at} was believed");
        assert!(Layout::parse(&text[..at], &blob).is_err(), "cut at {at}");
    }
    let sealed = |body: String| Layout::parse(&format!("{body}sha256 {}\n", Digest::of(body.as_bytes())), &blob);
    let line = |line: String| sealed(format!("segments 1 {blob} 100\n{line}\n"));
    assert_eq!(line(format!("0 100 {blob} 0")), Err(LayoutError::Itself));
    let other = Digest::of(b"other");
    for odd in
        [format!("+0 100 {other} 0"), format!("00 100 {other} 0"), format!("0 100 {other}"), format!("0 100 {other} 0 1"), String::new()]
    {
        assert_eq!(line(odd.clone()), Err(LayoutError::Line(2)), "{odd:?}");
    }
    assert!(line(format!("0 100 {other} 0")).is_ok());
}

/// Layouts of sources with these bytes.
fn layouts() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Segment>)> {
    let sources = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..5);
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..20);
    (sources, cuts).prop_map(|(sources, cuts)| {
        let mut offset = 0;
        let segments = cuts.into_iter().map(|(which, from, length)| {
            let source = &sources[which.index(sources.len())];
            let from = from.index(source.len());
            let size_bytes = length.index(source.len() - from) as u64 + 1;
            let made = Segment { offset, size_bytes, source: Digest::of(source), source_offset: from as u64 };
            offset += size_bytes;
            made
        });
        let segments = segments.collect();
        (sources, segments)
    })
}

proptest! {
    #[test]
    fn any_range_by_segments_is_the_range((sources, segments) in layouts(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let by_digest = |digest: &Digest| sources.iter().find(|bytes| Digest::of(bytes) == *digest).unwrap();
        let bytes_of = |s: &Segment| by_digest(&s.source)[s.source_offset as usize..][..s.size_bytes as usize].to_vec();
        let whole: Vec<u8> = segments.iter().flat_map(bytes_of).collect();
        let layout = Layout::covering(whole.len() as u64, segments).unwrap();
        let blob = Digest::of(&whole);
        prop_assume!(layout.sources().iter().all(|source| *source != blob));
        prop_assert_eq!(Layout::parse(&layout.encode(&blob), &blob), Ok(layout.clone()));
        let (from, to) = (from.index(whole.len() + 1), to.index(whole.len() + 1));
        let range = from.min(to)..from.max(to);
        let mut at = range.start as u64;
        let mut read = Vec::new();
        for segment in layout.within(range.start as u64..range.end as u64) {
            prop_assert_eq!(segment.offset, at);
            at = segment.end();
            read.extend(bytes_of(&segment));
        }
        prop_assert_eq!(read, &whole[range]);
    }
}
