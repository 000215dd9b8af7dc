//! What items a command is about: files, those of folders and of archives, texts, the lines of files. They are listed first and read when
//! their turn comes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::output::{CliError, Result};
use crate::data::modality::Modality as _;
use crate::data::video::{self, Videos};
use crate::data::{Items, Limits, Source, is_archive};
use crate::domain::answers::Reason;
use crate::domain::timeline::{Every, MOST_PIECES, named};

/// Items and bytes that are asked about at once.
const MOST_ITEMS: usize = 32;
const MOST_BYTES: u64 = 16 << 20;

/// Largest file of lines, and most bytes of standard input.
const MOST_TEXT_BYTES: u64 = 1 << 30;
/// Characters of a text that name it.
const NAME_CHARACTERS: usize = 60;

/// One item.
#[derive(Debug, Clone)]
pub struct Input {
    /// The path as it was typed, or the path in the folder or archive; of a text its beginning.
    pub name: String,
    /// The text itself, where it was given as one.
    pub text: Option<Arc<str>>,
    place: Place,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Within(Arc<Items>, usize),
    Given(Bytes),
    /// What of a video lies between these seconds.
    Piece(Arc<Place>, f64, f64),
}

impl Input {
    pub fn of_text(text: String) -> Input {
        let mut name: String = text.chars().take(NAME_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if text.chars().nth(NAME_CHARACTERS).is_some() {
            name.push('…');
        }
        let given = Bytes::copy_from_slice(text.as_bytes());
        Input { name, bytes: given.len() as u64, place: Place::Given(given), text: Some(text.into()) }
    }

    /// Its bytes, or why there are none.
    pub fn read(&self) -> std::result::Result<Bytes, Reason> {
        self.place.read()
    }
}

impl Place {
    fn read(&self) -> std::result::Result<Bytes, Reason> {
        let failed = |code: &str, why: String| Reason { code: code.into(), message: why };
        match self {
            Place::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(e) => Err(failed("file", format!("it cannot be read: {e}"))),
            },
            Place::Given(bytes) => Ok(bytes.clone()),
            Place::Piece(whole, start, end) => Ok(video::piece(*start, *end, &whole.read()?).into()),
            Place::Within(items, at) => items.read(*at).map_err(|e| failed(e.code(), e.to_string())),
        }
    }
}

/// A folder or an archive of labelled examples, read as the files of a published data set are.
pub fn labelled(path: &Path) -> Source {
    if path.is_file() {
        return Source::Archive(path.to_owned());
    }
    let files = walkdir::WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter().filter_map(std::result::Result::ok);
    let named = |file: walkdir::DirEntry| {
        let name = file.path().strip_prefix(path).ok()?.to_str()?.replace('\\', "/");
        file.file_type().is_file().then(|| (name, file.path().to_owned()))
    };
    Source::Files(files.filter_map(named).collect())
}

/// All items that these paths name; with `by_line` every line of the files is one.
pub fn all(paths: &[PathBuf], by_line: bool, limits: &Limits) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        if by_line {
            inputs.extend(lines(path)?.into_iter().map(Input::of_text));
            continue;
        }
        if shown == "-" {
            let given: Bytes = read_all(path)?.into();
            inputs.push(Input { name: shown, text: None, bytes: given.len() as u64, place: Place::Given(given) });
            continue;
        }
        let source = match path {
            path if path.is_dir() => Source::Folder(path.clone()),
            path if is_archive(&shown) && path.is_file() => Source::Archive(path.clone()),
            path => {
                let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
                inputs.push(Input { name: shown, text: None, place: Place::File(path.clone()), bytes });
                continue;
            }
        };
        inputs.extend(within(path, &source, limits)?);
    }
    Ok(inputs)
}

fn within(path: &Path, source: &Source, limits: &Limits) -> Result<Vec<Input>> {
    let refused = |e: crate::data::Error| CliError::new(1, e.code(), format!("{}: {e}", path.display()), e.hint());
    let items = Arc::new(Items::open(source, limits).map_err(refused)?);
    let input = |(at, name): (usize, &str)| Input {
        name: path.join(name).display().to_string(),
        text: None,
        place: Place::Within(items.clone(), at),
        bytes: items.size(at),
    };
    Ok(items.paths().enumerate().map(input).collect())
}

/// Of each video its pieces, named by where they begin and end.
pub fn every(inputs: Vec<Input>, every: Every, limits: &Limits) -> Result<Vec<Input>> {
    let mut pieces = Vec::new();
    for input in inputs {
        let refused = |why: String| CliError::new(1, "video_unreadable", format!("{}: {why}", input.name), "give a video that plays");
        let bytes = input.read().map_err(|reason| refused(reason.message))?;
        let whole = Videos.seconds(&bytes, limits).map_err(|refusal| refused(refusal.0))?;
        let count = every.count(whole);
        if count > MOST_PIECES {
            let message = format!("{} has {count} pieces of {every} s, and {MOST_PIECES} of a video are asked about", input.name);
            return Err(CliError::usage(message, "ask for longer pieces"));
        }
        let all = Arc::new(input.place.clone());
        pieces.extend(every.pieces(whole).map(|(start, end)| {
            let place = Place::Piece(all.clone(), start, end);
            Input { name: named(&input.name, (start, end)), text: None, place, bytes: input.bytes }
        }));
    }
    Ok(pieces)
}

/// A whole file, or standard input.
fn read_all(path: &Path) -> Result<Vec<u8>> {
    let failed = |e| CliError::new(1, "file", format!("{}: it cannot be read: {e}", path.display()), "check the path");
    let reader: Box<dyn std::io::Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    reader.take(MOST_TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_TEXT_BYTES {
        return Err(CliError::usage(format!("{} has more than {MOST_TEXT_BYTES} bytes", path.display()), "give it in parts"));
    }
    Ok(bytes)
}

/// The lines of a file of UTF-8, or of standard input.
pub fn lines(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(read_all(path)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        CliError::new(1, "encoding", format!("{}: at byte {at}: this is not UTF-8", path.display()), "save the texts as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).lines().map(str::to_owned).collect())
}

/// In the order they came, as many together as are asked about at once.
pub fn in_parts(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut parts: Vec<Vec<Input>> = Vec::new();
    let mut bytes = 0;
    for input in inputs {
        bytes += input.bytes;
        match parts.last_mut() {
            Some(part) if part.len() < MOST_ITEMS && bytes <= MOST_BYTES => part.push(input),
            _ => {
                bytes = input.bytes;
                parts.push(vec![input]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_in_items_and_bytes() {
        let input = |bytes: u64| Input { name: String::new(), text: None, place: Place::File(PathBuf::new()), bytes };
        let sizes = |inputs: Vec<Input>| in_parts(inputs).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..70).map(|_| input(1)).collect()), [32, 32, 6]);
        assert_eq!(sizes(vec![input(10 << 20), input(10 << 20), input(1), input(900 << 20), input(1)]), [1, 2, 1, 1]);
        assert_eq!(sizes(vec![]), [0; 0]);
    }

    #[test]
    fn texts_are_named_by_their_beginning() {
        assert_eq!(Input::of_text("a\tcat".into()).name, "a cat");
        let long = Input::of_text("é".repeat(61));
        assert_eq!((long.name.chars().count(), long.bytes), (61, 122));
        assert_eq!(long.read().unwrap(), "é".repeat(61).as_bytes());
    }

    #[test]
    fn lines_are_texts_of_their_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}one\r\n\ntwo").unwrap();
        assert_eq!(lines(file.path()).unwrap(), ["one", "", "two"]);
        let inputs = all(&[file.path().to_owned()], true, &Limits::default()).unwrap();
        assert_eq!(inputs.iter().map(|input| input.text.as_deref()).collect::<Vec<_>>(), [Some("one"), Some(""), Some("two")]);
        std::fs::write(file.path(), b"Gr\xfc").unwrap();
        assert!(lines(file.path()).unwrap_err().message.contains("at byte 2"));
    }
}
