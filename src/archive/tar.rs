//! Tars, header by header, as far as all their readers agree. A header that says two sizes, an entry with a map of holes in it and
//! bytes after the end are told to whoever reads.

const BLOCK: usize = 512;
/// The largest size that the octal digits of a header can say.
const MOST_OCTAL: u64 = 0o77_777_777_777;

/// Whether a file's first block is that of a tar. Tars older than `ustar` have no magic, but their block carries its own
/// checksum.
pub fn begins(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| &block[257..262] == b"ustar" || block[0] != 0 && is_sound(block))
}

/// Whether a block is a header by its own checksum, of bytes or of signed ones.
pub fn is_sound(block: &[u8; BLOCK]) -> bool {
    let bytes = || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let Some(stated) = checksum(&block[148..156]) else { return false };
    stated == bytes().map(u64::from).sum::<u64>()
        || i64::try_from(stated).is_ok_and(|stated| stated == bytes().map(|byte| i64::from(byte.cast_signed())).sum::<i64>())
}

/// What comes after a header.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The content of a file, which is to be read as such.
    Content(u64),
    /// The records of an extension header, which [`Reader::extend`] takes.
    Extension(u64),
    /// Content that is no file's own bytes.
    Other(u64),
    /// A file with holes in it, which only some readers fill.
    Sparse(u64),
    /// The end; only zeros may follow.
    End,
    /// No header at all.
    NoHeader,
}

/// Reads headers, and remembers what extension headers said of the next.
#[derive(Debug, Default)]
pub struct Reader {
    size: Option<u64>,
    sparse: bool,
    /// The extension that is read next is for the whole archive.
    whole: bool,
}

impl Reader {
    /// # Errors
    /// Why two readers could see two archives, in words.
    pub fn header(&mut self, block: &[u8; BLOCK]) -> Result<Next, &'static str> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(Next::End);
        }
        if !is_sound(block) {
            return Ok(Next::NoHeader);
        }
        let own = size(&block[124..136]);
        match block[156] {
            kind @ (b'x' | b'g' | b'X') => {
                self.whole = kind == b'g';
                Ok(Next::Extension(own))
            }
            b'L' | b'K' => Ok(Next::Other(own)),
            kind => {
                let (extended, sparse) = (self.size.take(), std::mem::take(&mut self.sparse) || kind == b'S');
                let size = match extended {
                    Some(size) if size != own && !(own == 0 && size > MOST_OCTAL) => return Err("its two headers give two sizes"),
                    extended => extended.unwrap_or(own),
                };
                Ok(match kind {
                    _ if sparse => Next::Sparse(size),
                    // Some readers pass over content here, and some take it for the next header.
                    b'1'..=b'6' if size > 0 => return Err("a link, folder or device has content"),
                    b'1'..=b'6' => Next::Other(0),
                    _ => Next::Content(size),
                })
            }
        }
    }

    /// Takes in the records of an extension header, `LENGTH KEY=VALUE\n`.
    ///
    /// # Errors
    /// As [`Reader::header`].
    pub fn extend(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some(((key, value), rest)) = record(bytes) {
            match key {
                b"size" | b"path" | b"linkpath" if self.whole => return Err("a header for the whole archive sets names or sizes"),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or("a size in it is not a number")?;
                    if self.size.replace(size).is_some() {
                        return Err("two extension headers describe the same entry");
                    }
                }
                _ => self.sparse |= key.starts_with(b"GNU.sparse."),
            }
            bytes = rest;
        }
        Ok(())
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

/// The first PAX record, whose length counts its own digits, and what follows it.
pub fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    if len <= space + 1 || len > bytes.len() || bytes[len - 1] != b'\n' {
        return None;
    }
    let body = &bytes[space + 1..len - 1];
    let equals = body.iter().position(|b| *b == b'=')?;
    Some(((&body[..equals], &body[equals + 1..]), &bytes[len..]))
}

/// Octal digits between spaces, up to a zero byte; nothing else, since one of some thousand blocks of noise has digits enough in it to
/// state a signed sum that is right.
fn checksum(field: &[u8]) -> Option<u64> {
    let field = field.split(|byte| *byte == 0).next()?.trim_ascii();
    let is_octal = !field.is_empty() && field.iter().all(|byte| (b'0'..=b'7').contains(byte));
    is_octal.then(|| octal(field))
}

fn octal(field: &[u8]) -> u64 {
    field.iter().filter(|byte| (b'0'..=b'7').contains(byte)).fold(0, |size: u64, byte| size.saturating_mul(8) + u64::from(byte - b'0'))
}

/// Octal digits, or a number of eight bytes after a high bit.
fn size(field: &[u8]) -> u64 {
    match field[0] & 0x80 {
        0 => octal(field),
        _ => field[4..].iter().fold(0, |size: u64, byte| size << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block whose sum is right, stated in this form.
    fn block(stated: impl Fn(i64) -> Vec<u8>, signed: bool) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..3].copy_from_slice(b"\xe4.t");
        block[148..156].fill(b' ');
        let sum = block.iter().map(|byte| if signed { i64::from(byte.cast_signed()) } else { i64::from(*byte) }).sum();
        let field = stated(sum);
        block[148..148 + field.len()].copy_from_slice(&field);
        block
    }

    #[test]
    fn a_sum_is_octal_digits_and_nothing_else() {
        for signed in [false, true] {
            assert!(is_sound(&block(|sum| format!("{sum:06o}\0 ").into_bytes(), signed)));
            assert!(is_sound(&block(|sum| format!("{sum:>7o} ").into_bytes(), signed)));
            assert!(is_sound(&block(|sum| format!("{sum:07o}\0").into_bytes(), signed)));
            assert!(!is_sound(&block(|sum| [format!("{sum:o}").as_bytes(), &[0xfe, 0xff]].concat(), signed)));
            assert!(!is_sound(&block(|sum| format!("x{sum:06o}").into_bytes(), signed)));
        }
        assert!(!is_sound(&[0xff; BLOCK]) && !begins(&[0; BLOCK]));
    }
}
