//! Word vectors that others made: files of word2vec, GloVe, fastText and gensim become models of word vectors.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::gensim::Gensim;
use super::{Imported, Options, Progress, Step, missing_license};
use crate::vectors::folder::{self, About};
use crate::vectors::{self, Stored, formats};

/// Imports a file of word vectors; `None` where it is none.
pub fn import(source: &Path, options: &Options, out: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Option<Imported>> {
    if !source.is_file() {
        return Ok(None);
    }
    if let Some(found) = formats::Source::open(source).map_err(failed)? {
        let form = found.form.as_str();
        let fill = |folder: &Path, progress: &mut dyn FnMut(Progress)| {
            let words = options.words.as_deref();
            found.store(words, options.dtype, folder, &mut |done, total| progress(Progress { step: Step::Writing, done, total }))
        };
        return made(source, form, options, out, progress, fill).map(Some);
    }
    let file = std::fs::File::open(source).map_err(Error::io(source))?;
    // SAFETY: whoever truncates the file while it is imported ends the import's process by a signal and harms nobody else.
    let Ok(bytes) = (unsafe { memmap2::Mmap::map(&file) }) else { return Ok(None) };
    let Some(found) = Gensim::read(source, &bytes)? else { return Ok(None) };
    // Its errors are of this room; they are carried through the folder's writer.
    let mut failure = None;
    let fill = |folder: &Path, _: &mut dyn FnMut(Progress)| {
        found.store(options.dtype, folder).map_err(|error| {
            let shown = vectors::Error::Unsupported { path: source.to_owned(), problem: error.to_string() };
            failure = Some(error);
            shown
        })
    };
    let result = made(source, "gensim file", options, out, progress, fill);
    match (result, failure) {
        (Err(_), Some(failure)) => Err(failure),
        (result, _) => result.map(Some),
    }
}

type Fill<'a> = &'a mut dyn FnMut(Progress);

fn made(
    source: &Path,
    form: &str,
    options: &Options,
    out: &Path,
    progress: Fill,
    fill: impl FnOnce(&Path, Fill) -> vectors::Result<Stored>,
) -> Result<Imported> {
    let (sha256, size) = digest(source, progress)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let rows = [("file", name), ("form", form.to_owned()), ("size", format!("{size} bytes")), ("sha256", sha256.clone())];
    let about = About {
        title: options.name.clone(),
        license: options.license.clone(),
        datasets: options.datasets.clone(),
        base_model: options.base_model.clone(),
        description: options.description.clone(),
        provenance: rows.map(|(key, value)| (key.to_owned(), value)).to_vec(),
    };
    let stored = folder::build(out, &about, |folder| fill(folder, progress)).map_err(failed)?;
    let mut notes = stored.notes.clone();
    notes.extend(missing_license(options.license.is_none()));
    Ok(Imported {
        architecture: stored.architecture.clone(),
        num_classes: 0,
        num_features: stored.width,
        parameters: (stored.words + stored.subwords) as u64 * stored.width as u64,
        tensors: 1 + usize::from(stored.subwords > 0),
        mapping: format!("{} words", stored.words),
        form: form.to_owned(),
        sha256,
        files: ["README.md", "config.json", vectors::WEIGHTS_FILE, vectors::VOCABULARY_FILE].iter().map(|name| out.join(name)).collect(),
        notes,
    })
}

/// The sha256 of a file in hex, and its size.
fn digest(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(String, u64)> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let total = file.metadata().map_err(Error::io(path))?.len();
    let (mut hash, mut buffer, mut done) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut buffer).map_err(Error::io(path))?;
        if read == 0 {
            return Ok((hex::encode(hash.finalize()), done));
        }
        hash.update(&buffer[..read]);
        done += read as u64;
        progress(Progress { step: Step::Reading, done, total });
    }
}

/// Errors of word vectors as those of an import.
pub(super) fn failed(error: vectors::Error) -> Error {
    match error {
        vectors::Error::Unsupported { path, problem } => Error::Unsupported { path, problem },
        vectors::Error::Io { path, source } => Error::Io { path, source },
        vectors::Error::Invalid { setting, problem } => Error::Invalid { setting, problem },
        error @ (vectors::Error::Corrupt { .. } | vectors::Error::UnknownWord { .. }) => Error::Corrupt(error.to_string()),
    }
}
