//! A corpus as a stream of lines, wherever it lies: text files, packed ones, the text files of folders, of zips and of tars (packed
//! ones too). Nothing is unpacked to disk and nothing is held in memory but a line; one longer than [`MAX_LINE_BYTES`] is cut at a space.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::archive::{packing, tar};
use crate::vectors::error::{Error, Result};

/// Longest piece of a line that is cut into words at once.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Bytes by which text is told from other files.
const HEAD_BYTES: usize = 1 << 12;

/// Where the text lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    files: Vec<PathBuf>,
}

/// What was passed over while a corpus was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Files that hold no text.
    pub files: usize,
    /// Lines that are no UTF-8, whose bad bytes became U+FFFD; where the first stands.
    pub lines: usize,
    pub first: Option<String>,
}

impl Corpus {
    /// Files as they are named, and all files of the folders that are, in the order of their names.
    pub fn of(paths: &[PathBuf]) -> Result<Corpus> {
        let mut files = Vec::new();
        for path in paths {
            if !path.is_dir() {
                std::fs::metadata(path).map_err(Error::io(path))?;
                files.push(path.clone());
                continue;
            }
            for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
                let entry = entry.map_err(|error| Error::io(path)(error.into()))?;
                if entry.file_type().is_file() {
                    files.push(entry.into_path());
                }
            }
        }
        Ok(Corpus { files })
    }

    /// By what a run that goes on knows that the corpus is the same: paths and sizes.
    pub fn describe(&self) -> Result<Vec<(String, u64)>> {
        let described = |path: &PathBuf| Ok((path.display().to_string(), std::fs::metadata(path).map_err(Error::io(path))?.len()));
        self.files.iter().map(described).collect()
    }

    /// Hands every line to `each`.
    pub fn read(&self, each: &mut dyn FnMut(&str) -> Result<()>) -> Result<PassedOver> {
        let mut lines = Lines { each, passed: PassedOver::default(), failed: None };
        for path in &self.files {
            let file = File::open(path).map_err(Error::io(path))?;
            let result = lines.in_file(path, file);
            if let Some(error) = lines.failed.take() {
                return Err(error);
            }
            result.map_err(Error::io(path))?;
        }
        Ok(lines.passed)
    }
}

struct Lines<'a> {
    each: &'a mut dyn FnMut(&str) -> Result<()>,
    passed: PassedOver,
    /// What `each` answered; reading ends with it.
    failed: Option<Error>,
}

impl Lines<'_> {
    fn in_file(&mut self, path: &Path, mut file: File) -> io::Result<()> {
        let name = path.display().to_string();
        let mut head = [0; 8];
        let read = read_up_to(&mut file, &mut head)?;
        io::Seek::rewind(&mut file)?;
        if head[..read].starts_with(b"PK\x03\x04") {
            return self.in_zip(&name, file);
        }
        self.in_stream(&name, BufReader::with_capacity(1 << 18, file), true)
    }

    fn in_zip(&mut self, name: &str, file: File) -> io::Result<()> {
        let broken = |error: zip::result::ZipError| io::Error::other(error.to_string());
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(broken)?;
            if entry.is_file() {
                let name = format!("{name}: {}", String::from_utf8_lossy(entry.name_raw()));
                self.in_stream(&name, BufReader::with_capacity(1 << 18, entry), false)?;
            }
        }
        Ok(())
    }

    /// What may be packed, a tar, or text; only what lies in a file may be an archive.
    fn in_stream(&mut self, name: &str, mut stream: impl BufRead, may_be_archive: bool) -> io::Result<()> {
        let head = stream.fill_buf()?;
        if let Some(packing) = packing::of(head) {
            let unpacked = packing::unpacked(packing, stream)?;
            return self.in_unpacked(name, BufReader::with_capacity(1 << 18, unpacked), may_be_archive);
        }
        self.in_unpacked(name, stream, may_be_archive)
    }

    fn in_unpacked(&mut self, name: &str, mut stream: impl BufRead, may_be_archive: bool) -> io::Result<()> {
        // The beginning of a stream may come in small pieces.
        let mut head = vec![0; HEAD_BYTES];
        let read = read_up_to(&mut stream, &mut head)?;
        head.truncate(read);
        if may_be_archive && tar::begins(&head) {
            return self.in_tar(name, head.chain_with(stream));
        }
        if head.contains(&0) {
            self.passed.files += 1;
            return Ok(());
        }
        self.in_text(name, BufReader::with_capacity(1 << 18, head.chain_with(stream)))
    }

    fn in_tar(&mut self, name: &str, stream: impl Read) -> io::Result<()> {
        let mut archive = ::tar::Archive::new(stream);
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_file() {
                let name = format!("{name}: {}", entry.path()?.display());
                let mut entry = BufReader::with_capacity(1 << 16, entry);
                let head = entry.fill_buf()?;
                if head[..head.len().min(HEAD_BYTES)].contains(&0) {
                    self.passed.files += 1;
                } else {
                    self.in_text(&name, entry)?;
                }
            }
        }
        Ok(())
    }

    fn in_text(&mut self, name: &str, mut stream: impl BufRead) -> io::Result<()> {
        let (mut line, mut at) = (Vec::new(), 0u64);
        loop {
            let room = MAX_LINE_BYTES - line.len();
            let read = stream.by_ref().take(room as u64).read_until(b'\n', &mut line)?;
            if read == 0 && line.is_empty() {
                return Ok(());
            }
            // A long line goes on after its last space; a word longer than a piece is no word.
            let is_cut = read > 0 && line.last() != Some(&b'\n') && line.len() >= MAX_LINE_BYTES;
            let end = match is_cut {
                true => line.iter().rposition(u8::is_ascii_whitespace).map_or(line.len(), |space| space + 1),
                false => line.len(),
            };
            if read > 0 && !is_cut && line.last() != Some(&b'\n') {
                continue;
            }
            self.one(name, at, &line[..end])?;
            at += end as u64;
            line.drain(..end);
        }
    }

    fn one(&mut self, name: &str, at: u64, line: &[u8]) -> io::Result<()> {
        let line = if at == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let text = String::from_utf8_lossy(line);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.passed.lines += 1;
            self.passed.first.get_or_insert_with(|| format!("{name}, at byte {at}"));
        }
        (self.each)(&text).map_err(|error| {
            self.failed = Some(error);
            io::Error::other("reading has ended")
        })
    }
}

/// Bytes that were read already, then the rest.
trait ChainWith {
    fn chain_with<R: Read>(self, rest: R) -> impl Read;
}

impl ChainWith for Vec<u8> {
    fn chain_with<R: Read>(self, rest: R) -> impl Read {
        io::Cursor::new(self).chain(rest)
    }
}

fn read_up_to(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match stream.read(&mut buffer[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines(path: &Path) -> (Vec<String>, PassedOver) {
        let mut lines = Vec::new();
        let passed = Corpus::of(&[path.to_owned()]).unwrap().read(&mut |line| {
            lines.push(line.trim_end().to_owned());
            Ok(())
        });
        (lines, passed.unwrap())
    }

    #[test]
    fn text_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let gzip = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        };
        std::fs::write(at("a.txt"), "\u{feff}one\ntwo").unwrap();
        std::fs::write(at("b.gz"), gzip(b"three\n")).unwrap();
        let mut tar = ::tar::Builder::new(Vec::new());
        for (name, bytes) in [("x.txt", &b"four\nfive\n"[..]), ("x.png", b"\x89PNG\0\0")] {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).unwrap();
        }
        std::fs::write(at("c.tar.gz"), gzip(&tar.into_inner().unwrap())).unwrap();
        let mut zip = zip::ZipWriter::new(File::create(at("d.zip")).unwrap());
        zip.start_file("y.txt", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"six\n\xff\n").unwrap();
        zip.finish().unwrap();
        let (found, passed) = lines(folder.path());
        assert_eq!(found, ["one", "two", "three", "four", "five", "six", "\u{fffd}"]);
        assert_eq!((passed.files, passed.lines), (1, 1));
        assert!(passed.first.unwrap().ends_with("d.zip: y.txt, at byte 4"));
    }

    #[test]
    fn a_line_without_end_is_cut_at_spaces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "word ".repeat(500_000)).unwrap();
        let (found, _) = lines(file.path());
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|line| line.split(' ').all(|word| word == "word")), "no word is cut");
        assert_eq!(found.iter().map(|line| line.split(' ').count()).sum::<usize>(), 500_000);
        std::fs::write(file.path(), "x".repeat(3 << 20)).unwrap();
        assert_eq!(lines(file.path()).0.iter().map(String::len).sum::<usize>(), 3 << 20);
    }
}
