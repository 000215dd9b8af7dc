//! One request for a run of a file's bytes, and what an honest server may answer to it.

use std::ops::Range;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, ETAG, RANGE};
use reqwest::{Response, StatusCode};

use super::download::Want;
use super::send::{Call, PATIENCE, reason};
use super::{Client, Result};

/// What came of asking.
pub(super) enum Answer {
    /// Bytes of the range, from its beginning.
    Body(Body),
    /// A range was asked for, but the whole file comes.
    Whole(Body),
    /// The server said something that cannot be.
    Untrue(String),
}

/// The bytes of an answer, never more than were promised.
pub(super) struct Body {
    response: Response,
    left: u64,
}

/// The next of them.
pub(super) enum Flow {
    Bytes(Bytes),
    End,
    /// The line broke; what has arrived is good.
    Cut(String),
    /// The server sent something untrue; what has arrived cannot be trusted.
    Untrue(String),
}

impl Client {
    /// Asks for a range; for the whole file without speaking of ranges.
    pub(super) async fn ask(&self, want: &Want, range: Range<u64>) -> Result<Answer> {
        let whole = range == (0..want.size_bytes);
        let mut call = Call::get(want.url.clone()).accepting(416);
        if !whole {
            let bytes = format!("bytes={}-{}", range.start, range.end - 1);
            // Without If-Range: a store we are sent to has a tag of its own for these bytes, and would send all of
            // them. The address names an immutable version, and the hash has the last word.
            call = call.header(RANGE, &bytes);
        }
        let response = self.send(call).await?;
        Ok(judge(response, want, &range, whole).unwrap_or_else(Answer::Untrue))
    }
}

fn judge(response: Response, want: &Want, range: &Range<u64>, whole: bool) -> std::result::Result<Answer, String> {
    if response.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err("the server encodes its bytes although it was asked not to".into());
    }
    let left = match response.status() {
        StatusCode::OK => want.size_bytes,
        StatusCode::PARTIAL_CONTENT if !whole => promised(&response, range, want)?,
        StatusCode::RANGE_NOT_SATISFIABLE => return Err("the server's file ends before ours".into()),
        other => return Err(format!("the server answered with status {}", other.as_u16())),
    };
    if let Some(told) = response.content_length().filter(|told| *told != left) {
        return Err(format!("the server sends {told} bytes where {left} are due"));
    }
    let ignored = response.status() == StatusCode::OK && !whole;
    let body = Body { response, left };
    Ok(if ignored { Answer::Whole(body) } else { Answer::Body(body) })
}

/// How many bytes a 206 promises; they must begin where we asked, end no later, and be of the same file.
fn promised(response: &Response, asked: &Range<u64>, want: &Want) -> std::result::Result<u64, String> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let ours = response.url().origin() == want.url.origin();
    if let Some(etag) = header(ETAG).filter(|_| ours)
        && etag.trim_start_matches("W/").trim_matches('"') != want.digest.to_hex()
    {
        return Err("the server's file changed between two requests".into());
    }
    let text = header(CONTENT_RANGE).unwrap_or_default();
    let range = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).and_then(|(range, size)| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    });
    match range {
        Some((first, last, size)) if first == asked.start && size == want.size_bytes && asked.contains(&last) => Ok(last - first + 1),
        _ => Err(format!("asked for bytes {}-{}, the server answered with the range '{text}'", asked.start, asked.end - 1)),
    }
}

impl Body {
    pub async fn next(&mut self) -> Flow {
        match tokio::time::timeout(PATIENCE, self.response.chunk()).await {
            Err(_) => Flow::Cut(format!("nothing for {} s", PATIENCE.as_secs())),
            Ok(Err(error)) => Flow::Cut(reason(&error)),
            Ok(Ok(None)) if self.left > 0 => Flow::Cut("the answer ended early".into()),
            Ok(Ok(None)) => Flow::End,
            Ok(Ok(Some(chunk))) if chunk.len() as u64 > self.left => Flow::Untrue("the server sends more bytes than the file has".into()),
            Ok(Ok(Some(chunk))) => {
                self.left -= chunk.len() as u64;
                Flow::Bytes(chunk)
            }
        }
    }
}
