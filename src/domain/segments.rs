//! Segments: runs of a blob's bytes that lie inside other blobs, so that a fine-tune need not be kept (or
//! sent) beside the base whose tensors it shares.

use std::ops::Range;

use super::digest::Digest;

/// Segments of one blob. A reader looks for its place among them with each block; a thousand tensors that
/// alternate with changed ones still fit.
pub const MOST_SEGMENTS: usize = 4_096;
/// Distinct blobs one blob may be made of: each is an open file while it is read.
pub const MOST_SOURCES: usize = 64;
/// Longest text [`Layout::parse`] reads: every segment with all its digits.
pub const MOST_TEXT_BYTES: u64 = (MOST_SEGMENTS as u64 + 2) * 160;

/// `size_bytes` bytes from `offset` on are those of `source` from `source_offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub size_bytes: u64,
    pub source: Digest,
    pub source_offset: u64,
}

/// Segments in the order of their bytes, without overlap, inside a blob of a known size.
///
/// ```text
/// segments 1 <sha256 of the blob> <its size>
/// <offset> <size> <sha256 of the source> <offset there>      a line a segment
/// sha256 <sha256 of all lines above>
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    size_bytes: u64,
    segments: Vec<Segment>,
}

/// Why segments are no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("{0} segments are more than the {MOST_SEGMENTS} a blob may have")]
    TooMany(usize),
    #[error("{0} sources are more than the {MOST_SOURCES} a blob may have")]
    TooManySources(usize),
    #[error("the segment at byte {0} is empty or reaches beyond what can be counted")]
    Size(u64),
    #[error("the segment at byte {0} overlaps the one before, or is out of order")]
    Order(u64),
    #[error("the segment at byte {0} ends behind the blob")]
    Beyond(u64),
    #[error("bytes {0} to {1} lie in no segment")]
    Gap(u64, u64),
    #[error("the blob is made of itself")]
    Itself,
    #[error("line {0} is not what a list of segments holds there")]
    Line(usize),
    #[error("the text is not the one its last line is the sha256 of")]
    Damaged,
}

impl Layout {
    /// Takes segments that may leave gaps; those that go on in the same source become one.
    pub fn new(size_bytes: u64, segments: Vec<Segment>) -> Result<Layout, LayoutError> {
        let mut at = 0;
        for segment in &segments {
            let ends = (segment.offset.checked_add(segment.size_bytes), segment.source_offset.checked_add(segment.size_bytes));
            let (Some(end), Some(_), 1..) = (ends.0, ends.1, segment.size_bytes) else { return Err(LayoutError::Size(segment.offset)) };
            if end > size_bytes {
                return Err(LayoutError::Beyond(segment.offset));
            }
            if segment.offset < at {
                return Err(LayoutError::Order(segment.offset));
            }
            at = end;
        }
        let joined = joined(segments);
        if joined.len() > MOST_SEGMENTS {
            return Err(LayoutError::TooMany(joined.len()));
        }
        let layout = Layout { size_bytes, segments: joined };
        match layout.sources().len() {
            count if count > MOST_SOURCES => Err(LayoutError::TooManySources(count)),
            _ => Ok(layout),
        }
    }

    /// Takes segments that cover the whole blob: what it takes to read it from its sources alone.
    pub fn covering(size_bytes: u64, segments: Vec<Segment>) -> Result<Layout, LayoutError> {
        let layout = Layout::new(size_bytes, segments)?;
        match layout.gaps().into_iter().next() {
            Some(gap) => Err(LayoutError::Gap(gap.start, gap.end)),
            None => Ok(layout),
        }
    }

    /// Bytes of the blob.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes that lie in some segment.
    pub fn covered_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// The blobs the segments lie in, each once, in the order of their first use.
    pub fn sources(&self) -> Vec<Digest> {
        let mut seen = std::collections::HashSet::new();
        self.segments.iter().map(|segment| segment.source).filter(|source| seen.insert(*source)).collect()
    }

    /// What lies in no segment.
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for segment in &self.segments {
            if segment.offset > at {
                gaps.push(at..segment.offset);
            }
            at = segment.end();
        }
        if at < self.size_bytes {
            gaps.push(at..self.size_bytes);
        }
        gaps
    }

    /// The segments that hold bytes of `range`, cut to it.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        let first = self.segments.partition_point(|segment| segment.end() <= range.start);
        let touched = self.segments[first..].iter().take_while(move |segment| segment.offset < range.end);
        let start = range.start;
        touched.map(move |segment| segment.cut(start.max(segment.offset)..range.end.min(segment.end())))
    }

    /// The text that is kept; it belongs to one blob and proves itself.
    pub fn encode(&self, blob: &Digest) -> String {
        let mut text = format!("segments 1 {blob} {}\n", self.size_bytes);
        for s in &self.segments {
            text.push_str(&format!("{} {} {} {}\n", s.offset, s.size_bytes, s.source, s.source_offset));
        }
        let proof = Digest::of(text.as_bytes());
        text + &format!("sha256 {proof}\n")
    }

    /// Reads what [`Layout::encode`] wrote for `blob`, and nothing else.
    pub fn parse(text: &str, blob: &Digest) -> Result<Layout, LayoutError> {
        let body_end = text.strip_suffix('\n').and_then(|text| text.rfind('\n')).ok_or(LayoutError::Line(1))? + 1;
        let (body, last) = text.split_at(body_end);
        if last != format!("sha256 {}\n", Digest::of(body.as_bytes())) {
            return Err(LayoutError::Damaged);
        }
        let mut lines = body.lines();
        let head = lines.next().and_then(|line| line.strip_prefix(&format!("segments 1 {blob} "))).ok_or(LayoutError::Line(1))?;
        let size_bytes = number(head).ok_or(LayoutError::Line(1))?;
        let segment = |(at, line): (usize, &str)| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [offset, size, source, source_offset] = fields[..] else { return Err(LayoutError::Line(at + 2)) };
            let numbers = number(offset).zip(number(size)).zip(number(source_offset)).zip(Digest::parse(source).ok());
            let (((offset, size_bytes), source_offset), source) = numbers.ok_or(LayoutError::Line(at + 2))?;
            Ok(Segment { offset, size_bytes, source, source_offset })
        };
        let segments = lines.take(MOST_SEGMENTS + 1).enumerate().map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.iter().any(|segment| segment.source == *blob) {
            return Err(LayoutError::Itself);
        }
        Layout::new(size_bytes, segments)
    }
}

impl Segment {
    /// The byte behind the last.
    pub fn end(&self) -> u64 {
        self.offset + self.size_bytes
    }

    /// Where it lies in its source.
    pub fn source_range(&self) -> Range<u64> {
        self.source_offset..self.source_offset + self.size_bytes
    }

    fn goes_on_in(&self, next: &Segment) -> bool {
        self.end() == next.offset && self.source == next.source && self.source_range().end == next.source_offset
    }

    fn cut(&self, to: Range<u64>) -> Segment {
        let source_offset = self.source_offset + (to.start - self.offset);
        Segment { offset: to.start, size_bytes: to.end - to.start, source: self.source, source_offset }
    }
}

/// Makes one of segments that go on in the same source.
pub fn joined(segments: Vec<Segment>) -> Vec<Segment> {
    let mut joined: Vec<Segment> = Vec::new();
    for next in segments {
        match joined.last_mut() {
            Some(last) if last.goes_on_in(&next) => last.size_bytes += next.size_bytes,
            _ => joined.push(next),
        }
    }
    joined
}

/// Digits as this module writes them: no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
