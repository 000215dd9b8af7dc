//! git-lfs' pointers: the few lines that stand in a clone for a file whose bytes were not fetched. Published by mistake, they
//! look like the weights they stand for.

use super::digest::Digest;

/// A pointer has three or four short lines.
pub const LONGEST_POINTER: u64 = 1_024;

/// The size of the file that a pointer stands for; `None` where these bytes are no pointer.
pub fn pointer(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= LONGEST_POINTER)?;
    let mut lines = text.lines();
    let version = lines.next()?.strip_prefix("version ")?;
    let known = version.starts_with("https://git-lfs.github.com/spec/") || version.starts_with("https://hawser.github.com/spec/");
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    value("oid sha256:").filter(|oid| known && oid.len() == 64)?;
    value("size ")?.parse().ok()
}

/// The pointer that stands for a file.
pub fn write_pointer(digest: &Digest, size_bytes: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size_bytes}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_told_from_what_they_stand_for() {
        let oid = "0".repeat(64);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        assert_eq!(pointer(text.as_bytes()), Some(12_345));
        assert_eq!(pointer(write_pointer(&Digest::of(b"abc"), 3).as_bytes()), Some(3));
        assert_eq!(pointer(text.replace('\n', "\r\n").as_bytes()), Some(12_345));
        let long = format!("{text}{}", "x".repeat(2_000));
        for other in ["", "version 1", "version https://git-lfs.github.com/spec/v1\n", &text.replace("size", "sizes"), &long] {
            assert_eq!(pointer(other.as_bytes()), None, "{other}");
        }
    }
}
