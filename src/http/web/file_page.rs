//! A file of a repo to look at: texts and JSON as they are, pictures as pictures, the header of safetensors as a table; of all else its size and digest.

use actix_web::web::Data;
use askama::Template;

use super::card::href;
use super::format;
use super::frame::{Frame, page};
use super::repo::look;
use super::repo_head::{Head, urlencode};
use super::repo_tabs::encode_path;
use crate::domain::name::RepoKind;
use crate::domain::safetensors;
use crate::http::caller::Visitor;
use crate::http::error::Answer;
use crate::http::extract::{FileAt, Query};
use crate::service::Service;

/// Bytes that are read: of a text, which is shown, and of a header, which is a table.
const TEXT_BYTES: u64 = 48 << 10;
const HEADER_BYTES: u64 = 2 << 20;
/// Larger pictures are not loaded to be looked at.
const PICTURE_BYTES: u64 = 8 << 20;
/// Tensors listed of a header.
const TENSORS: usize = 300;
/// Lines of what a header says besides.
const METADATA: usize = 20;
/// Endings of pictures that hold no script.
const PICTURES: [&str; 6] = [".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"];

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage {
    frame: Frame,
    head: Head,
    path: String,
    size: String,
    digest: String,
    download: String,
    files: String,
    shown: Shown,
}

enum Shown {
    /// And whether there is more.
    Text(String, bool),
    Picture(String),
    Tensors {
        metadata: Vec<(String, String)>,
        tensors: Vec<(String, String, String)>,
        all: usize,
    },
    Nothing(&'static str),
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: FileAt) -> Answer {
    let actor = visitor.actor();
    let query = Query::new(&format!("rev={}", urlencode(&at.revision.to_string())));
    let (summary, _) = look(&service, &actor, at.kind, &at.id, &query).await?;
    let path = at.path.to_string();
    let lower = path.to_ascii_lowercase();
    let most = if lower.ends_with(".safetensors") { HEADER_BYTES } else { TEXT_BYTES };
    let (file, bytes) = service.peek(&actor, (at.kind, &at.id), &at.revision, &at.path, most).await?;
    let rev = file.version.number;
    let download = format!("{}/download/{rev}/{}", href(at.kind, &at.id), encode_path(&path));
    let size = file.entry.size_bytes;
    let shown = match () {
        () if PICTURES.iter().any(|end| lower.ends_with(end)) && size <= PICTURE_BYTES => Shown::Picture(download.clone()),
        () if lower.ends_with(".safetensors") => header(&bytes, size),
        () => text(&lower, bytes, size),
    };
    let section = if at.kind == RepoKind::Model { "models" } else { "datasets" };
    page(&FilePage {
        frame: Frame::of(&visitor, section),
        head: Head::of(&summary, "files", &query),
        size: format::bytes(size),
        digest: file.entry.digest.to_hex(),
        files: format!("{}/files?rev={rev}", href(at.kind, &at.id)),
        path,
        download,
        shown,
    })
}

fn text(lower: &str, bytes: Vec<u8>, size: u64) -> Shown {
    let is_all = bytes.len() as u64 == size;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        // The end may lie within a letter.
        Err(error) if !is_all && error.utf8_error().valid_up_to() + 4 > error.as_bytes().len() => {
            String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default()).into_owned()
        }
        Err(_) => return Shown::Nothing("It is no text."),
    };
    if text.contains('\0') {
        return Shown::Nothing("It is no text.");
    }
    if size == 0 {
        return Shown::Nothing("It is empty.");
    }
    let is_json = is_all && lower.ends_with(".json");
    let written = is_json
        .then(|| serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|json| serde_json::to_string_pretty(&json).ok()))
        .flatten();
    Shown::Text(written.unwrap_or(text), !is_all)
}

fn header(bytes: &[u8], size: u64) -> Shown {
    let unread = Shown::Nothing("Its header cannot be shown here.");
    let Some(Ok(length)) = bytes.get(..8).map(safetensors::header_len) else { return unread };
    let Some(Ok(header)) = bytes.get(..8 + length).map(|prefix| safetensors::parse_header(prefix, size)) else { return unread };
    let shape = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let tensors = header.tensors.iter().take(TENSORS).map(|tensor| (tensor.name.clone(), tensor.dtype.clone(), shape(&tensor.shape)));
    let metadata = header.metadata.iter().take(METADATA).map(|(name, value)| (name.clone(), value.chars().take(400).collect()));
    Shown::Tensors { metadata: metadata.collect(), tensors: tensors.collect(), all: header.tensors.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lower: &str, bytes: &[u8], size: u64) -> String {
        match text(lower, bytes.to_vec(), size) {
            Shown::Text(text, more) => format!("{text}{}", if more { " ..." } else { "" }),
            Shown::Nothing(why) => why.to_owned(),
            _ => "else".to_owned(),
        }
    }

    #[test]
    fn texts_are_shown_and_json_is_laid_out() {
        assert_eq!(shown("a.txt", b"hello", 5), "hello");
        assert_eq!(shown("a.json", br#"{"a":1}"#, 7), "{\n  \"a\": 1\n}");
        assert_eq!(shown("a.txt", "hé".as_bytes().get(..2).unwrap(), 100), "h ...", "cut within a letter");
        assert_eq!(shown("a.bin", b"\xff\xfe\x00", 3), "It is no text.");
        assert_eq!(shown("a.bin", b"a\0b", 3), "It is no text.");
        assert_eq!(shown("a.txt", b"", 0), "It is empty.");
    }
}
