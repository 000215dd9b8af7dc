//! Packets: lines with their length in four hexadecimal digits before them, themselves counted; lengths below four mean an end.

/// The most bytes one packet carries.
pub const MOST_BYTES: usize = 65_516;
/// Ends a list.
pub const FLUSH: &[u8] = b"0000";
/// Stands between two sections.
pub const DELIMITER: &[u8] = b"0001";

/// What a sideband's packets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    Pack = 1,
    /// For a person to read while they wait.
    Progress = 2,
    /// The last words before the line is cut.
    Error = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    Flush,
    Delimiter,
    Line(&'a [u8]),
}

/// The packets of a body, one after the other; `Err` where it is none.
#[derive(Debug, Clone)]
pub struct Packets<'a>(pub &'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = read(self.0);
        self.0 = read.map_or(&[], |(_, rest)| rest);
        Some(read.map(|(packet, _)| packet).ok_or(()))
    }
}

fn read(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let digits = std::str::from_utf8(head).ok().filter(|head| head.bytes().all(|b| b.is_ascii_hexdigit()))?;
    match usize::from_str_radix(digits, 16).ok()? {
        0 => Some((Packet::Flush, rest)),
        1 => Some((Packet::Delimiter, rest)),
        length => {
            let (line, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
            Some((Packet::Line(line), rest))
        }
    }
}

/// A line that fits into one packet.
pub fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}", text.len() + 4).as_bytes());
}

/// Bytes of a band, in as many packets as they need.
pub fn band(out: &mut Vec<u8>, band: Band, bytes: &[u8]) {
    for piece in bytes.chunks(MOST_BYTES - 1) {
        out.extend_from_slice(format!("{:04x}", piece.len() + 5).as_bytes());
        out.push(band as u8);
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_framed_with_their_length() {
        let mut out = Vec::new();
        line(&mut out, "# service=git-upload-pack\n");
        assert_eq!(out, b"001e# service=git-upload-pack\n");
        out.extend_from_slice(FLUSH);
        out.extend_from_slice(DELIMITER);
        line(&mut out, "");
        let read: Vec<_> = Packets(&out).map(Result::unwrap).collect();
        assert_eq!(read, [Packet::Line(b"# service=git-upload-pack\n"), Packet::Flush, Packet::Delimiter, Packet::Line(b"")]);
        for bad in ["0", "zzzz", "0002", "0003", "0005", "000axy", "+004"] {
            assert!(Packets(bad.as_bytes()).any(|packet| packet.is_err()), "{bad}");
        }
    }

    #[test]
    fn a_band_is_cut_into_packets() {
        let mut out = Vec::new();
        band(&mut out, Band::Pack, &vec![7; MOST_BYTES + 10]);
        let read: Vec<_> = Packets(&out).map(Result::unwrap).collect();
        let lengths: Vec<_> = read.iter().map(|packet| if let Packet::Line(line) = packet { line.len() } else { 0 }).collect();
        assert_eq!(lengths, [MOST_BYTES, 12]);
        assert!(out.starts_with(b"fff0\x01\x07"));
    }
}
