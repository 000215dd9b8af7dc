//! Small pictures of some items of a data set, for pages: read where they lie, one by one, without asking what is to be said about them.

use rayon::prelude::*;

use super::error::Result;
use super::limits::Limits;
use super::modality::{Modality, Picture};
use super::source::Source;
use super::text::Texts;
use super::{modalities, tables};

/// Made side by side before they are told.
const AT_ONCE: usize = 8;

/// Makes a small picture of each item, by its path as [`super::Sample::path`] gives it, and tells each with its place among the paths;
/// `None` of what is not there, cannot be read, or has no picture. A packed tar or a table is unpacked for it, once for all paths.
///
/// # Errors
/// The source cannot be listed.
pub fn pictures(source: &Source, paths: &[String], limits: &Limits, told: &mut dyn FnMut(usize, Option<Picture>)) -> Result<()> {
    let declared = source.declared();
    let (listing, modality): (_, &'static dyn Modality) = match source.tables(&declared) {
        Some(tables) => {
            let (listing, modality, _) = tables::read(&tables, &declared, limits)?;
            (listing, modality)
        }
        None => {
            let listing = source.list(&declared, limits)?;
            let paths = listing.entries.iter().map(|entry| entry.path.as_str());
            let modality: &'static dyn Modality = if declared.texts.is_empty() { modalities::of_files(paths) } else { &Texts };
            (listing, modality)
        }
    };
    let small = |path: &String| {
        let bytes = listing.find(path)?.read(limits).ok()?;
        let seen = modality.inspect(&bytes, limits, true).ok()?;
        seen.preview.filter(|picture| picture.media_type.starts_with("image/"))
    };
    for (part, paths) in paths.chunks(AT_ONCE).enumerate() {
        let made: Vec<Option<Picture>> = paths.par_iter().map(small).collect();
        made.into_iter().enumerate().for_each(|(at, picture)| told(part * AT_ONCE + at, picture));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn png(colour: [u8; 3], side: u32) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(side, side, image::Rgb(colour)).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn told(source: &Source, paths: &[&str]) -> Vec<(usize, Option<(u32, &'static str)>)> {
        let paths: Vec<String> = paths.iter().map(|path| path.to_string()).collect();
        let mut all = Vec::new();
        let mut tell = |at, picture: Option<Picture>| all.push((at, picture.map(|picture| (picture.width, picture.media_type))));
        pictures(source, &paths, &Limits::default(), &mut tell).unwrap();
        all
    }

    #[test]
    fn items_are_pictured_where_they_lie_and_strays_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("red/1.png", png([200, 0, 0], 32)), ("red/2.png", png([200, 0, 0], 300)), ("blue/1.png", b"no picture".to_vec())];
        let expected = [(0, Some((32, "image/png"))), (1, Some((96, "image/jpeg"))), (2, None), (3, None)];
        let paths = ["red/1.png", "red/2.png", "blue/1.png", "red/none.png"];

        let packed = folder.path().join("packed");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&packed).unwrap());
        for (path, bytes) in &files {
            zip.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        assert_eq!(told(&Source::Files(vec![("data.zip".into(), packed)]), &paths), expected);

        let place = |(at, (path, bytes)): (usize, &(&str, Vec<u8>))| {
            let local = folder.path().join(at.to_string());
            std::fs::write(&local, bytes).unwrap();
            (path.to_string(), local)
        };
        assert_eq!(told(&Source::Files(files.iter().enumerate().map(place).collect()), &paths), expected);
    }
}
