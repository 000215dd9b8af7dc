//! Weights of a form that runs code where others load it, read into a model folder: by the import that executes nothing, in the process
//! that holds nothing else. What such a process says it made is looked for, not believed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::import::{self, Options};

/// What an import may leave, beside the card.
const MADE: &[&str] = &["config.json", "model.safetensors", "vocabulary.safetensors"];
/// Without these nothing was made.
const NEEDED: usize = 2;

/// Weights that are to be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToImport {
    /// A file, or a folder with one.
    pub source: PathBuf,
    /// The model folder that is made. The folder it lies in holds nothing else.
    pub out: PathBuf,
    pub architecture: Option<String>,
    pub license: Option<String>,
}

/// A model folder that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// In words: which form the file had.
    pub form: String,
    /// Its files by name.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// Why none was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMade {
    /// Loading the file would run code.
    pub runs_code: bool,
    /// In words.
    pub problem: String,
}

/// Reads them in this process; answers which form the file had.
pub(super) fn import(what: &ToImport) -> Result<String, NotMade> {
    let options = Options { architecture: what.architecture.clone(), license: what.license.clone(), ..Options::default() };
    // Where on this machine it lies is the administrator's business.
    let place = what.source.parent().map(|place| format!("{}/", place.display())).unwrap_or_default();
    let not_made = |error: import::Error| NotMade {
        runs_code: matches!(error, import::Error::RefusedGlobal { .. }),
        problem: error.to_string().replace(&place, ""),
    };
    import::import(&what.source, &options, &what.out, &mut |_| ()).map(|done| done.form).map_err(not_made)
}

/// What lies in the model folder. Only files of its own count: a link could lead anywhere.
pub(super) fn look(out: &Path, form: String) -> Result<Made, NotMade> {
    let real = |path: &Path, is: fn(&std::fs::Metadata) -> bool| std::fs::symlink_metadata(path).is_ok_and(|found| is(&found));
    let files: Vec<(&str, PathBuf)> = match real(out, std::fs::Metadata::is_dir) {
        true => MADE.iter().map(|name| (*name, out.join(name))).filter(|(_, path)| real(path, std::fs::Metadata::is_file)).collect(),
        false => Vec::new(),
    };
    if files.len() < NEEDED || files.iter().zip(MADE).any(|((name, _), wanted)| name != wanted) {
        let problem = "the process that read them left no model folder".to_owned();
        return Err(NotMade { runs_code: false, problem });
    }
    Ok(Made { form, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_itself_are_taken() {
        let place = tempfile::tempdir().unwrap();
        let (out, secret) = (place.path().join("model"), place.path().join("secret"));
        std::fs::write(&secret, "a token").unwrap();
        let taken = || look(&out, "a form".into()).map(|made| made.files.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert!(taken().is_err(), "there is no folder");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("config.json"), "{}").unwrap();
        assert!(taken().is_err(), "a config alone is no model");
        std::os::unix::fs::symlink(&secret, out.join("model.safetensors")).unwrap();
        assert!(taken().is_err(), "a link is no file");
        std::fs::remove_file(out.join("model.safetensors")).unwrap();
        std::fs::write(out.join("model.safetensors"), "weights").unwrap();
        std::fs::write(out.join("stranger"), "").unwrap();
        assert_eq!(taken().unwrap(), ["config.json", "model.safetensors"]);
        std::os::unix::fs::symlink(&secret, out.join("vocabulary.safetensors")).unwrap();
        assert_eq!(taken().unwrap(), ["config.json", "model.safetensors"]);
        let linked = place.path().join("linked");
        std::os::unix::fs::symlink(&out, &linked).unwrap();
        assert!(look(&linked, String::new()).is_err(), "nor is a link a folder");
    }

    #[test]
    fn what_would_run_code_is_told_apart() {
        let place = tempfile::tempdir().unwrap();
        let asked = |bytes: &[u8]| {
            let source = place.path().join("x.pt");
            std::fs::write(&source, bytes).unwrap();
            import(&ToImport { source, out: place.path().join("out"), architecture: None, license: None }).unwrap_err()
        };
        let plain = asked(b"no weights");
        assert!(!plain.runs_code && !plain.problem.is_empty());
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/tiny_zip.pth")).unwrap();
        assert!(!asked(&bytes).runs_code, "tensors of no network");
    }
}
