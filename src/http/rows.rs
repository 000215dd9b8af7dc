//! Answers that are lists of files: written while they are read, page by page, so that what lies in memory of one is a page however
//! long the list is.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};

use crate::domain::repo::FileEntry;
use crate::service::repos::listing::Listing;
use crate::service::{Error, Result};

/// An answer up to this size is made whole before it is sent: then it has a length, and what is wrong with it a status.
const WHOLE_BYTES: usize = 256 << 10;

/// How a file is written.
pub type Write = fn(&FileEntry, &mut Vec<u8>) -> serde_json::Result<()>;

/// A part of an answer: some text, the files of a listing if there is one, some text.
pub struct Rows {
    pub before: Vec<u8>,
    pub listing: Option<Listing>,
    pub write: Write,
    pub separator: &'static [u8],
    pub after: Vec<u8>,
}

/// Writes a record as JSON.
pub fn json(record: &impl serde::Serialize, to: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(to, record)
}

/// The beginning of an answer in JSON.
pub fn ok_json() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.content_type(ContentType::json());
    response
}

/// The answer of these parts.
pub async fn answer(mut response: HttpResponseBuilder, parts: Vec<Rows>) -> Result<HttpResponse> {
    let mut written = Box::pin(write(parts));
    let mut begin = BytesMut::new();
    while begin.len() < WHOLE_BYTES {
        match written.next().await {
            Some(bytes) => begin.extend_from_slice(&bytes?),
            None => return Ok(response.body(begin.freeze())),
        }
    }
    let rest = written.map(|bytes| {
        bytes.map_err(|error| {
            tracing::error!(%error, "a list broke off while it was sent");
            std::io::Error::other("the list broke off")
        })
    });
    Ok(response.streaming(stream::once(async { Ok(begin.freeze()) }).chain(rest)))
}

fn write(parts: Vec<Rows>) -> impl Stream<Item = Result<Bytes>> {
    stream::iter(parts).flat_map(|rows| {
        let Rows { before, listing, write, separator, after } = rows;
        let files = stream::try_unfold((listing, true), move |(listing, first)| async move {
            let Some(mut listing) = listing else { return Ok(None) };
            let page = listing.next(move |files| page(files, write, separator, first)).await?;
            let page = page.transpose().map_err(|e| Error::Internal(format!("a row could not be written: {e}")))?;
            Ok(page.map(|bytes| (Bytes::from(bytes), (Some(listing), false))))
        });
        let text = |text: Vec<u8>| stream::once(async { Ok(Bytes::from(text)) });
        text(before).chain(files).chain(text(after))
    })
}

fn page(files: &[FileEntry], write: Write, separator: &[u8], first: bool) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(files.len() * 160);
    for (at, file) in files.iter().enumerate() {
        if at > 0 || !first {
            bytes.extend_from_slice(separator);
        }
        write(file, &mut bytes)?;
    }
    Ok(bytes)
}
