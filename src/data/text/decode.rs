//! Bytes as a text, or why they are none.

use super::super::error::Refusal;

/// Longest text that is read, in bytes: cutting one into tokens takes about a tenth of a second for each million.
pub const MOST_BYTES: usize = 4 << 20;

/// What a file of UTF-8 says, without a byte order mark.
///
/// # Errors
/// Another encoding (with what it probably is), NUL bytes, nothing at all, or too much.
pub fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    let refused = |why: String| Err(Refusal(why));
    if bytes.len() > MOST_BYTES {
        return refused(format!("the text has more than the {MOST_BYTES} bytes that are read; cut it into parts"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refused("the text is UTF-16; save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)".into());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return refused(format!("there is a NUL byte at byte {at}: this is no text"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            // Letters of Latin-1 stand alone among ASCII; bytes of other things do not.
            let latin = bytes.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count() == 0;
            // Windows has letters and quotes where Latin-1 has none.
            let windows = bytes.iter().any(|byte| matches!(byte, 0x80..=0x9f));
            let hint = match (latin, windows) {
                (true, false) => "; it looks like Latin-1: save it as UTF-8 (`iconv -f LATIN1 -t UTF-8`)",
                (true, true) => {
                    "; it looks like Windows-1252, which is Latin-1 with quotes: save it as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8`)"
                }
                (false, _) => "",
            };
            return refused(format!("byte 0x{byte:02x} at byte {at} is not UTF-8{hint}"));
        }
    };
    if text.trim().is_empty() {
        return refused("the text is empty".into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_says_why() {
        assert_eq!(text("\u{feff}Grüße".as_bytes()).unwrap(), "Grüße");
        let why = |bytes: &[u8]| text(bytes).unwrap_err().0;
        assert!(why(b"Gr\xfc\xdfe aus Wien").contains("byte 0xfc at byte 2 is not UTF-8; it looks like Latin-1"));
        assert!(why(b"\x93Gr\xfc\xdfe\x94").contains("iconv -f WINDOWS-1252"));
        assert!(!why(b"\x89PNG\r\n\x1a\n\x01\x02").contains("Latin-1"));
        assert!(why(b"a\0b").contains("NUL byte at byte 1"));
        assert!(why(&[0xff, 0xfe, 0x41, 0]).contains("UTF-16"));
        assert!(why(b"").contains("empty") && why(b" \n\t").contains("empty") && why(b"\xef\xbb\xbf").contains("empty"));
        assert!(why(&vec![b'a'; MOST_BYTES + 1]).contains("cut it into parts"));
    }
}
