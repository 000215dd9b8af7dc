//! A form with files, `multipart/form-data`, as browsers send it without a script: its files are stored as they arrive, and only
//! after the form was found to be ours.

use std::collections::HashMap;
use std::io::SeekFrom;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use bytes::Bytes;
use futures_util::{future, stream};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::form::CSRF;
use crate::domain::digest::Digest;
use crate::domain::manifest::ManifestEntry;
use crate::domain::path::RepoPath;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::HttpError;
use crate::service::{self, Service};

/// Files of one form; more belong into an archive.
const MOST_FILES: usize = 1_000;
/// Longest value of a field that is no file.
const MAX_FIELD_BYTES: usize = 16 << 10;
const MOST_FIELDS: usize = 50;
/// Read back at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a form brought.
#[derive(Default)]
pub struct SentForm {
    fields: HashMap<String, String>,
    pub files: Vec<ManifestEntry>,
}

impl SentForm {
    pub fn text(&self, name: &str) -> String {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }
}

/// Reads a form to its end.
pub async fn receive(request: &HttpRequest, visitor: &Visitor, service: &Service, body: Body) -> Result<SentForm, HttpError> {
    let said = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(said).map_err(|e| wrong(&e))?;
    // The body stays on its thread; what comes of it goes to the reader of forms.
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let pieces = stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|piece| (piece, receiver)) });
    let form = multer::Multipart::new(pieces, boundary);
    let (poured, read) = future::join(pour(body, sender), read(form, visitor, service)).await;
    match (poured, read) {
        // What broke off is why the form could not be read.
        (Err(broke), Err(refused)) if refused.problem.code == "bad_form" => Err(broke),
        (_, read) => read,
    }
}

async fn pour(mut body: Body, sender: mpsc::Sender<Result<Bytes, std::io::Error>>) -> Result<(), HttpError> {
    while let Some(piece) = body.next().await? {
        if sender.send(Ok(piece)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn read(mut form: multer::Multipart<'_>, visitor: &Visitor, service: &Service) -> Result<SentForm, HttpError> {
    let (mut sent, mut ours) = (SentForm::default(), false);
    while let Some(mut field) = form.next_field().await.map_err(|e| wrong(&e))? {
        let name = field.name().unwrap_or_default().to_owned();
        let Some(file_name) = field.file_name().map(str::to_owned) else {
            let text = text_of(&mut field).await?;
            if name == CSRF {
                visitor.check_csrf(&text)?;
                ours = true;
            }
            if sent.fields.len() < MOST_FIELDS {
                sent.fields.insert(name, text);
            }
            continue;
        };
        // An input in which nothing was chosen is sent with an empty name.
        if file_name.is_empty() {
            continue;
        }
        if !ours {
            return Err(super::form::foreign());
        }
        if sent.files.len() >= MOST_FILES {
            let hint = "put them into a zip, or use the page with JavaScript, which packs them";
            let message = format!("more than {MOST_FILES} files came at once");
            return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", message, hint));
        }
        let path = path_of(&file_name)?;
        let (digest, size_bytes) = store(&mut field, visitor, service).await?;
        sent.files.push(ManifestEntry { path, size_bytes, digest });
    }
    if !ours {
        return Err(super::form::foreign());
    }
    without_common_folder(&mut sent.files);
    Ok(sent)
}

async fn text_of(field: &mut multer::Field<'_>) -> Result<String, HttpError> {
    let mut text = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|e| wrong(&e))? {
        if text.len() + piece.len() > MAX_FIELD_BYTES {
            return Err(HttpError::bad_request("bad_form", "a field of the form is too long", "shorten it"));
        }
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Some browsers name the folders of a file, some write a whole path with a drive.
fn path_of(file_name: &str) -> Result<RepoPath, HttpError> {
    let name = file_name.replace('\\', "/");
    let name = name.split_once(":/").map_or(name.as_str(), |(_, rest)| rest).trim_start_matches('/');
    let refused = |e: crate::domain::path::PathError| {
        HttpError::from(service::Error::invalid("bad_path", e.to_string(), "rename the file and send it again"))
    };
    RepoPath::parse(name).map_err(refused)
}

/// Stores a file by way of a temporary one, since its digest is known at its end.
async fn store(field: &mut multer::Field<'_>, visitor: &Visitor, service: &Service) -> Result<(Digest, u64), HttpError> {
    let broken = |e: std::io::Error| HttpError::internal(format!("a file that is sent could not be put aside: {e}"));
    let most = service.policy().max_file_bytes;
    let mut aside = tokio::fs::File::from_std(tempfile::tempfile().map_err(broken)?);
    let (mut hash, mut size_bytes) = (Sha256::new(), 0u64);
    while let Some(piece) = field.chunk().await.map_err(|e| wrong(&e))? {
        size_bytes += piece.len() as u64;
        if size_bytes > most {
            let message = format!("a file has more than the {most} bytes that one may have here");
            return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", message, "split it"));
        }
        hash.update(&piece);
        aside.write_all(&piece).await.map_err(broken)?;
    }
    aside.flush().await.map_err(broken)?;
    aside.seek(SeekFrom::Start(0)).await.map_err(broken)?;
    let digest = Digest::from_bytes(hash.finalize().into());
    let pieces = stream::unfold(aside, |mut aside| async move {
        let mut piece = vec![0; PIECE_BYTES];
        match aside.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Bytes::from(piece)), aside))
            }
            Err(e) => Some((Err(service::Error::Internal(format!("a file put aside could not be read back: {e}"))), aside)),
        }
    });
    service.store_object(&visitor.actor(), digest, size_bytes, Box::pin(pieces)).await?;
    Ok((digest, size_bytes))
}

/// Of a folder that was chosen, what is in it is meant.
fn without_common_folder(files: &mut [ManifestEntry]) {
    let folder = |file: &ManifestEntry| file.path.as_str().split_once('/').map(|(first, _)| first.to_owned());
    let Some(first) = files.first().and_then(folder).filter(|_| files.len() > 1) else { return };
    if files.iter().all(|file| folder(file).as_deref() == Some(&first)) && !is_meant(&first) {
        for file in files {
            let inner = file.path.as_str().split_once('/').and_then(|(_, rest)| RepoPath::parse(rest).ok());
            file.path = inner.unwrap_or_else(|| file.path.clone());
        }
    }
}

/// A folder that says something about what is in it: a split.
fn is_meant(folder: &str) -> bool {
    ["train", "training", "val", "valid", "validation", "test", "testing", "unlabeled"].contains(&folder.to_ascii_lowercase().as_str())
}

fn wrong(error: &multer::Error) -> HttpError {
    HttpError::bad_request("bad_form", format!("the body is no form: {error}"), "send the form from its page")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> ManifestEntry {
        ManifestEntry { path: RepoPath::parse(path).unwrap(), size_bytes: 1, digest: Digest::of(b"x") }
    }

    #[test]
    fn names_of_files_are_paths_below_the_repo() {
        assert_eq!(path_of("C:\\Users\\ada\\flowers.zip").unwrap().as_str(), "Users/ada/flowers.zip");
        assert_eq!(path_of("/cats/a.png").unwrap().as_str(), "cats/a.png");
        assert!(path_of("../etc/passwd").is_err() && path_of("a/../../b").is_err() && path_of("\u{0}").is_err());
    }

    #[test]
    fn the_folder_that_was_chosen_is_left_out_and_a_split_is_not() {
        let after = |paths: &[&str]| {
            let mut files: Vec<_> = paths.iter().map(|path| entry(path)).collect();
            without_common_folder(&mut files);
            files.iter().map(|file| file.path.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(after(&["pets/cat/a.png", "pets/dog/b.png"]), ["cat/a.png", "dog/b.png"]);
        assert_eq!(after(&["train/cat/a.png", "train/dog/b.png"]), ["train/cat/a.png", "train/dog/b.png"]);
        assert_eq!(after(&["cat/a.png", "dog/b.png"]), ["cat/a.png", "dog/b.png"]);
        assert_eq!(after(&["pets/one.zip"]), ["pets/one.zip"]);
    }
}
