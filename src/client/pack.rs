//! A folder with thousands of images or texts travels as one archive: `data.zip`, the same bytes for the same files
//! on every machine, so that publishing an unchanged folder again sends nothing.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::error::at;
use super::{Error, Event, Folder, LocalFile, Result, Sink};
use crate::domain::path::RepoPath;

/// The archive's name in the repo.
pub const ARCHIVE: &str = "data.zip";

/// Files that hold many samples each: packed together they would only be harder to read.
const SHARDS: [&str; 14] =
    ["parquet", "arrow", "tfrecord", "zip", "tar", "gz", "tgz", "zst", "xz", "bz2", "7z", "rar", "safetensors", "npz"];

/// Cards and licences stay beside the archive, where the server reads them; so do shards.
fn stays_outside(file: &LocalFile) -> bool {
    let name = file.path.as_str().to_ascii_lowercase();
    let is_paper = !name.contains('/') && (name.ends_with(".md") || name.starts_with("license") || name.starts_with("licence"));
    is_paper || name.starts_with('.') || SHARDS.contains(&file.path.extension().as_str())
}

/// How many of a folder's files an archive would hold.
pub fn packable(folder: &Folder) -> usize {
    folder.files.iter().filter(|file| !stays_outside(file)).count()
}

/// Packs everything but cards, licences and shards of `folder` into a zip at `to`, and answers the folder to publish
/// in its place. Entries are stored, not compressed: images already are. Files in order of their paths, all
/// with the same time and mode.
pub fn pack_files(folder: &Folder, to: &Path, sink: &Sink) -> Result<Folder> {
    let (mut files, mut packed): (Vec<LocalFile>, Vec<LocalFile>) = folder.files.iter().cloned().partition(stays_outside);
    packed.sort_by(|a, b| a.path.cmp(&b.path));
    sink(Event::Begin { what: "packing", files: packed.len() as u64, bytes: packed.iter().map(|f| f.size_bytes).sum() });
    let result = write_zip(&packed, to, sink);
    sink(Event::End);
    result?;
    let path = RepoPath::parse(ARCHIVE).map_err(|e| Error::Input { code: "path", message: e.to_string(), hint: String::new() })?;
    let size_bytes = std::fs::metadata(to).map_err(at("read", to))?.len();
    files.push(LocalFile { path, source: to.to_path_buf(), size_bytes });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Folder { files, ignored: folder.ignored.clone() })
}

fn write_zip(files: &[LocalFile], to: &Path, sink: &Sink) -> Result<()> {
    let failed = |e: zip::result::ZipError| at("write", to)(e.into());
    let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 20, File::create(to).map_err(at("make", to))?));
    for file in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(file.size_bytes > u64::from(u32::MAX));
        zip.start_file(file.path.as_str(), options).map_err(failed)?;
        let mut source = File::open(&file.source).map_err(at("open", &file.source))?;
        std::io::copy(&mut source, &mut zip).map_err(at("pack", &file.source))?;
        sink(Event::Advance(file.size_bytes));
    }
    let writer = zip.finish().map_err(failed)?;
    writer.into_inner().map_err(|e| at("write", to)(e.into_error()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::FolderRules;
    use super::*;

    #[test]
    fn the_same_files_give_the_same_archive() {
        let work = tempfile::tempdir().unwrap();
        for path in ["in/README.md", "in/cats/b.png", "in/cats/a.png", "in/dogs/c.png"] {
            let path = work.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, path.to_str().unwrap().rsplit('/').next().unwrap()).unwrap();
        }
        let folder = Folder::read(&work.path().join("in"), &FolderRules::everything()).unwrap();
        let sink: Sink = Arc::new(|_| ());
        let packed = pack_files(&folder, &work.path().join("1.zip"), &sink).unwrap();
        let mut backwards = folder.clone();
        backwards.files.reverse();
        pack_files(&backwards, &work.path().join("2.zip"), &sink).unwrap();
        let bytes = std::fs::read(work.path().join("1.zip")).unwrap();
        assert_eq!(bytes, std::fs::read(work.path().join("2.zip")).unwrap());

        let paths: Vec<_> = packed.files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["README.md", "data.zip"]);
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["cats/a.png", "cats/b.png", "dogs/c.png"]);
        let text = std::io::read_to_string(zip.by_name("dogs/c.png").unwrap()).unwrap();
        assert_eq!(text, "c.png");
    }
}
