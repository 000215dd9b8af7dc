//! `hub predict --draw`: what a model says about places of images, drawn over them.

use std::path::{Path, PathBuf};

use super::super::output::{CliError, Result};
use super::inputs::Input;
use crate::data::Limits;
use crate::data::image::answered;
use crate::domain::answers::{Answers, Content};

/// Draws every answer: of one image into `path`, of several into files of the folder that it is.
///
/// # Errors
/// The answers are about no places; a file cannot be written.
pub fn all(inputs: &[Input], answers: &Answers, path: &Path, limits: &Limits) -> Result<()> {
    let several = inputs.len() > 1 || path.is_dir();
    if several {
        std::fs::create_dir_all(path).map_err(|e| unwritten(path, &e))?;
    }
    for (at, (input, said)) in inputs.iter().zip(&answers.items).enumerate() {
        let Content::Answer(answered) = &said.content else { continue };
        let to = if several { path.join(named(&input.name, at + 1)) } else { path.to_owned() };
        let item = input.read().map_err(|reason| CliError::failed(format!("{}: {}", input.name, reason.message), "check the path"))?;
        let drawn = if is_svg(&to) {
            answered::svg(&item, &answered.answer, limits, u32::MAX).map(|text| text.map(String::into_bytes))
        } else {
            answered::drawn(&item, &answered.answer, limits)
        };
        let drawn = drawn.map_err(|refusal| CliError::failed(format!("{}: {}", input.name, refusal.0), "save it again as JPEG or PNG"))?;
        let hint = "--draw is for models that find objects, or say a class about each pixel; leave it out";
        let drawn = drawn.ok_or_else(|| CliError::usage("the model says nothing about places of an image", hint))?;
        std::fs::write(&to, drawn).map_err(|e| unwritten(&to, &e))?;
    }
    Ok(())
}

fn unwritten(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(1, "file", format!("cannot write {}: {error}", path.display()), "choose another place with --draw")
}

fn is_svg(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("svg"))
}

/// The file of an image among several: two images of one name come from two folders.
fn named(name: &str, number: usize) -> PathBuf {
    let stem = Path::new(name).file_stem().map_or_else(|| "image".into(), |stem| stem.to_string_lossy());
    PathBuf::from(format!("{number:04}-{stem}.png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_and_by_their_endings() {
        assert!(is_svg(Path::new("a/b.SVG")) && !is_svg(Path::new("a.png")) && !is_svg(Path::new("svg")));
        assert_eq!((named("photos/cat.jpg", 3), named("-", 12)), ("0003-cat.png".into(), "0012--.png".into()));
    }
}
