//! What images a command is about: files, the images of folders, those of archives. They are listed first and read when their
//! turn comes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::output::{CliError, Result};
use crate::data::{Items, Limits, Source, is_archive};
use crate::domain::answers::Reason;

/// Items and bytes that are asked about at once.
const MOST_ITEMS: usize = 32;
const MOST_BYTES: u64 = 16 << 20;

/// One image.
#[derive(Debug, Clone)]
pub struct Input {
    /// The path as it was typed, or the path in the folder or archive.
    pub name: String,
    place: Place,
    bytes: u64,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Within(Arc<Items>, usize),
}

impl Input {
    /// Its bytes, or why there are none.
    pub fn read(&self) -> std::result::Result<Bytes, Reason> {
        let failed = |code: &str, why: String| Reason { code: code.into(), message: why };
        match &self.place {
            Place::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(e) => Err(failed("file", format!("it cannot be read: {e}"))),
            },
            Place::Within(items, at) => items.read(*at).map_err(|e| failed(e.code(), e.to_string())),
        }
    }
}

/// All images that these paths name.
pub fn all(paths: &[PathBuf], limits: &Limits) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        let shown = path.display().to_string();
        let source = match path {
            path if path.is_dir() => Source::Folder(path.clone()),
            path if is_archive(&shown) && path.is_file() => Source::Archive(path.clone()),
            path => {
                let bytes = std::fs::metadata(path).map_or(0, |about| about.len());
                inputs.push(Input { name: shown, place: Place::File(path.clone()), bytes });
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
        place: Place::Within(items.clone(), at),
        bytes: items.size(at),
    };
    Ok(items.paths().enumerate().map(input).collect())
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
        let input = |bytes: u64| Input { name: String::new(), place: Place::File(PathBuf::new()), bytes };
        let sizes = |inputs: Vec<Input>| in_parts(inputs).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..70).map(|_| input(1)).collect()), [32, 32, 6]);
        assert_eq!(sizes(vec![input(10 << 20), input(10 << 20), input(1), input(900 << 20), input(1)]), [1, 2, 1, 1]);
        assert_eq!(sizes(vec![]), [0; 0]);
    }
}
