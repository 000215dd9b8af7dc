//! Which files of a data set are its videos: folders of frames become one item each, and rows of a table that name a piece of a film another.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::gif;
use crate::data::error::{Error, Result};
use crate::data::image::Images;
use crate::data::labelled::Split;
use crate::data::leftovers;
use crate::data::limits::Limits;
use crate::data::listing::Listing;
use crate::data::metadata::{FILES, column_name};
use crate::data::modality::Modality as _;
use crate::data::name;
use crate::data::place::{Entry, Place};
use crate::domain::dataset_layout::{Declared, VideoLayout};

/// GIFs that are looked into, and tables.
const LOOKED_AT: usize = 8;
const TABLES: usize = 20;
/// Pictures of a folder, and folders of a class, from which on they may be frames of videos.
const FRAMES: usize = 8;
/// A table of pieces may be so large, in bytes.
const TABLE_BYTES: u64 = 64 << 20;

/// Whether the files are videos though nobody says so: GIFs that all move, which are no pictures.
pub fn are_films(listing: &Listing, limits: &Limits) -> bool {
    let media = || listing.entries.iter().filter(|entry| !leftovers::is_ignored(&entry.path) && Images.is_readable(&entry.path));
    let is_gif = |entry: &Entry| name::extension(&entry.path).as_deref() == Some("gif");
    let moves = |entry: &Entry| entry.read(limits).is_ok_and(|bytes| gif::look(&bytes, limits).is_ok_and(|shown| shown.times.len() > 1));
    media().next().is_some() && media().all(is_gif) && media().take(LOOKED_AT).all(moves)
}

/// A word where pictures lie as frames of videos do: in folders within folders, all of them numbered.
pub fn hint(listing: &Listing) -> Option<String> {
    let mut folders: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for entry in listing.entries.iter().filter(|entry| !leftovers::is_ignored(&entry.path) && Images.is_readable(&entry.path)) {
        let (folder, file) = entry.path.rsplit_once('/')?;
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let (count, numbered) = folders.entry(folder).or_insert((0, true));
        *count += 1;
        *numbered &= stem.ends_with(|c: char| c.is_ascii_digit());
    }
    let like_frames = |(folder, (count, numbered)): (&&str, &(usize, bool))| folder.contains('/') && *count >= FRAMES && *numbered;
    let parents: std::collections::BTreeSet<&str> =
        folders.keys().filter_map(|folder| folder.rsplit_once('/')).map(|(parent, _)| parent).collect();
    // Classes lie within splits, or within one folder; videos are many in each of several classes.
    let is_split = |parent: &&str| Split::parse(parent.rsplit('/').next().unwrap_or(parent)).is_some();
    let many = parents.len() > 1 && !parents.iter().any(is_split) && folders.len() >= FRAMES * parents.len();
    (many && folders.iter().all(like_frames)).then(|| {
        let first = folders.keys().next().copied().unwrap_or_default();
        format!("every picture lies in a folder of numbered ones, such as `{first}`: if each folder is a video, publish it with `--video frames`")
    })
}

/// The listing with an entry for each video.
///
/// # Errors
/// A table names a piece that cannot be one, by its line.
pub fn arrange(listing: Listing, declared: &Declared, limits: &Limits) -> Result<Listing> {
    let listing = if declared.video == Some(VideoLayout::Frames) { folders(listing, limits)? } else { listing };
    pieces(listing, limits)
}

/// Each folder with pictures in it as one entry.
fn folders(mut listing: Listing, limits: &Limits) -> Result<Listing> {
    let (mut rest, mut clips): (Vec<Entry>, BTreeMap<String, Vec<Entry>>) = (Vec::new(), BTreeMap::new());
    for entry in std::mem::take(&mut listing.entries) {
        match entry.path.rsplit_once('/').filter(|_| Images.is_readable(&entry.path) && !leftovers::is_ignored(&entry.path)) {
            Some((folder, _)) => clips.entry(folder.to_owned()).or_default().push(entry),
            None => rest.push(entry),
        }
    }
    for (path, mut frames) in clips {
        frames.sort_by_cached_key(|frame| by_number(&frame.path));
        rest.push(Entry { path, size: frames.iter().map(|frame| frame.size).sum(), place: Place::Frames(frames.into()) });
    }
    listing.with(rest, limits)
}

/// `frame10` comes after `frame9`: runs of digits are numbers.
fn by_number(path: &str) -> Vec<(u128, String)> {
    let (mut parts, mut text, mut digits) = (Vec::new(), String::new(), String::new());
    let number = |digits: &str| digits.parse().unwrap_or(u128::MAX);
    for c in path.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            parts.push((number(&digits), std::mem::take(&mut text)));
            digits.clear();
        }
        text.push(c);
    }
    parts.push((if digits.is_empty() { 0 } else { number(&digits) }, text));
    // What stands before a number is compared first.
    parts.into_iter().flat_map(|(number, text)| [(0, text), (number, String::new())]).collect()
}

/// Each row of a table with `start` and `end` as an entry of its own, and the table without them.
fn pieces(mut listing: Listing, limits: &Limits) -> Result<Listing> {
    let is_table = |entry: &&Entry| {
        name::extension(&entry.path).as_deref() == Some("csv") && entry.size <= TABLE_BYTES && !leftovers::is_ignored(&entry.path)
    };
    let tables: Vec<Entry> = listing.entries.iter().filter(is_table).take(TABLES).cloned().collect();
    let mut cut = Vec::new();
    for table in &tables {
        let bytes = table.read(limits)?;
        if let Some(read) = Table::read(table, &bytes) {
            cut.push(read?);
        }
    }
    if cut.is_empty() {
        return Ok(listing);
    }
    let by_path: BTreeMap<String, Entry> = listing.entries.drain(..).map(|entry| (entry.path.clone(), entry)).collect();
    let (mut named, mut made) = (std::collections::BTreeSet::new(), BTreeMap::new());
    for table in &cut {
        for row in &table.rows {
            let path = table.beside(&row.file);
            let Some(film) = by_path.get(&path) else {
                return Err(table.bad(row.line, format!("there is no file `{}`", name::shown(row.file.as_bytes()))));
            };
            named.insert(path.clone());
            let place = Place::Piece(Arc::new(film.clone()), row.start, row.end);
            made.insert(row.path(&path), Entry { path: row.path(&path), size: film.size, place });
        }
        named.insert(table.path.clone());
        let (path, text) = (table.beside("metadata.csv"), Bytes::from(table.rest.clone()));
        made.insert(path.clone(), Entry { path, size: text.len() as u64, place: Place::Memory(text) });
    }
    let rest = by_path.into_values().filter(|entry| !named.contains(&entry.path));
    let entries = rest.chain(made.into_values()).collect();
    listing.with(entries, limits)
}

/// A table of pieces.
struct Table {
    path: String,
    rows: Vec<Row>,
    /// The same as a table of whole items.
    rest: String,
}

struct Row {
    line: usize,
    file: String,
    start: f64,
    end: f64,
}

impl Row {
    /// `walk#1.5-4.mp4` of `walk.mp4`
    fn path(&self, film: &str) -> String {
        let at = film.rfind('.').filter(|at| !film[*at..].contains('/')).unwrap_or(film.len());
        format!("{}#{}-{}{}", &film[..at], self.start, self.end, &film[at..])
    }
}

impl Table {
    /// `None` of a table of anything else.
    fn read(entry: &Entry, bytes: &[u8]) -> Option<Result<Table>> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(bytes);
        let names: Vec<String> = reader.headers().ok()?.iter().map(column_name).collect();
        let place = |name: &str| names.iter().position(|found| found == name);
        let (file, start, end) = (FILES.iter().find_map(|name| place(name))?, place("start")?, place("end")?);
        let mut table = Table { path: entry.path.clone(), rows: Vec::new(), rest: String::new() };
        Some(table.fill(&mut reader, &names, [file, start, end]).map(|()| table))
    }

    fn fill(&mut self, reader: &mut csv::Reader<&[u8]>, names: &[String], [file, start, end]: [usize; 3]) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let others: Vec<usize> = (0..names.len()).filter(|at| ![file, start, end].contains(at)).collect();
        let failed = |e: &dyn std::fmt::Display| Error::BadMetadata { file: self.path.clone(), line: 1, reason: e.to_string() };
        let header = std::iter::once("file_name").chain(others.iter().map(|at| names[*at].as_str()));
        writer.write_record(header).map_err(|e| failed(&e))?;
        for record in reader.records() {
            let record = record.map_err(|e| failed(&e))?;
            let line = record.position().map_or(0, |position| position.line() as usize);
            let field = |at: usize| record.get(at).unwrap_or_default();
            let seconds = |at: usize| field(at).parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            let (Some(from), Some(to)) = (seconds(start), seconds(end)) else {
                return Err(self.bad(
                    line,
                    format!("`{}` to `{}` are no seconds", name::shown(field(start).as_bytes()), name::shown(field(end).as_bytes())),
                ));
            };
            if to <= from {
                return Err(self.bad(line, format!("the piece ends at {to} s and begins at {from} s")));
            }
            let row = Row { line, file: field(file).replace('\\', "/"), start: from, end: to };
            let path = row.path(&row.file);
            writer.write_record(std::iter::once(path.as_str()).chain(others.iter().map(|at| field(*at)))).map_err(|e| failed(&e))?;
            self.rows.push(row);
        }
        let bytes = writer.into_inner().map_err(|e| failed(&e))?;
        self.rest = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    }

    fn bad(&self, line: usize, reason: String) -> Error {
        Error::BadMetadata { file: self.path.clone(), line, reason }
    }

    /// A path that is written in it, from the top.
    fn beside(&self, file: &str) -> String {
        self.path.rsplit_once('/').map_or_else(|| file.to_owned(), |(folder, _)| format!("{folder}/{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[(&str, &str)]) -> Listing {
        let entry = |(path, text): &(&str, &str)| Entry {
            path: (*path).into(),
            size: text.len() as u64,
            place: Place::Memory(Bytes::copy_from_slice(text.as_bytes())),
        };
        Listing::default().with(paths.iter().map(entry).collect(), &Limits::default()).unwrap()
    }

    fn paths(listing: &Listing) -> Vec<&str> {
        let mut paths: Vec<&str> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn folders_of_frames_are_one_item_each_in_the_order_of_numbers() {
        let declared = Declared { video: Some(VideoLayout::Frames), ..Declared::default() };
        let files = [
            ("train/wave/a/f10.png", "3"),
            ("train/wave/a/f9.png", "2"),
            ("train/wave/a/f1.png", "1"),
            ("train/nod/b/1.jpg", "x"),
            ("notes.txt", ""),
        ];
        let found = arrange(listing(&files), &declared, &Limits::default()).unwrap();
        assert_eq!(paths(&found), ["notes.txt", "train/nod/b", "train/wave/a"]);
        let clip = found.find("train/wave/a").unwrap().read(&Limits::default()).unwrap();
        let super::super::packet::Packet::Frames(frames) = super::super::packet::Packet::read(&clip).unwrap() else { panic!() };
        assert_eq!(frames, [b"1", b"2", b"3"]);
        let alone = arrange(listing(&files), &Declared::default(), &Limits::default()).unwrap();
        assert_eq!(alone.entries.len(), 5, "nobody said so");
    }

    #[test]
    fn folders_of_numbered_pictures_are_asked_about() {
        let paths = |classes: usize, clips: usize| -> Vec<(String, &'static str)> {
            let of = move |clip: usize| (0..8).map(move |at| (format!("train/c{}/{clip}/{at:03}.jpg", clip % classes), ""));
            (0..clips).flat_map(of).collect()
        };
        let hinted = |paths: &[(String, &str)]| {
            hint(&listing(&paths.iter().map(|(path, text)| (path.as_str(), *text)).collect::<Vec<_>>())).is_some()
        };
        assert!(hinted(&paths(2, 20)) && !hinted(&paths(2, 6)));
        let classes: Vec<(String, &str)> =
            (0..800).map(|at| (format!("{}/{}/{at}.jpg", ["train", "val"][at % 2], at / 2 % 40), "")).collect();
        assert!(!hinted(&classes), "classes in splits");
    }

    #[test]
    fn rows_with_start_and_end_are_pieces() {
        let table = "file,start,end,label\nfilms/a.mp4,0,2.5,run\nfilms/a.mp4,2.5,4,stand\n";
        let files = [("actions.csv", table), ("films/a.mp4", "film"), ("films/b.mp4", "other")];
        let found = arrange(listing(&files), &Declared::default(), &Limits::default()).unwrap();
        assert_eq!(paths(&found), ["films/a#0-2.5.mp4", "films/a#2.5-4.mp4", "films/b.mp4", "metadata.csv"]);
        let text = found.find("metadata.csv").unwrap().read(&Limits::default()).unwrap();
        assert_eq!(text, "file_name,label\nfilms/a#0-2.5.mp4,run\nfilms/a#2.5-4.mp4,stand\n".as_bytes());
        let piece = found.find("films/a#2.5-4.mp4").unwrap().read(&Limits::default()).unwrap();
        assert_eq!(piece, super::super::of_piece(2.5, 4.0, b"film"));
        for (rows, said) in
            [("films/a.mp4,3,2,run", "begins at 3"), ("films/a.mp4,x,2,run", "no seconds"), ("films/c.mp4,0,2,run", "no file")]
        {
            let table = format!("file,start,end,label\n{rows}\n");
            let refused = arrange(listing(&[("actions.csv", &table), ("films/a.mp4", "film")]), &Declared::default(), &Limits::default());
            assert!(refused.unwrap_err().to_string().contains(said), "{rows}");
        }
    }
}
