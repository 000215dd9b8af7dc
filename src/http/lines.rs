//! The lines of a body as they arrive, for bodies that are too long to lie in memory.

use actix_web::http::StatusCode;
use bytes::{Bytes, BytesMut};

use super::body::{Body, Room};
use super::error::HttpError;

/// A body's lines, one at a time. What lies in memory of it is at most one line and what came with its end.
pub struct Lines {
    body: Body,
    room: Room,
    buffer: BytesMut,
    /// So many bytes of the buffer hold no line's end.
    searched: usize,
    /// Bytes of the line that was handed out last: it lies in memory until the next is asked for.
    handed: usize,
    longest: usize,
    /// Bytes that may still come.
    left: usize,
}

impl Lines {
    /// 413 for a line of more than `longest` bytes, or a body of more than `most`.
    pub fn of(body: Body, longest: usize, most: usize) -> Lines {
        let room = body.room();
        Lines { body, room, buffer: BytesMut::new(), searched: 0, handed: 0, longest, left: most }
    }

    /// The next line, without its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.room.give(std::mem::take(&mut self.handed));
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.hand(self.searched + at + 1, 1)));
            }
            self.searched = self.buffer.len();
            if self.searched > self.longest {
                return Err(too_large(format!("a line is longer than {} bytes", self.longest)));
            }
            match self.body.next().await? {
                Some(chunk) => {
                    self.left = self.left.checked_sub(chunk.len()).ok_or_else(|| too_large("the body is too long".into()))?;
                    self.room.take(chunk.len())?;
                    self.buffer.extend_from_slice(&chunk);
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(Some(self.hand(self.buffer.len(), 0))),
            }
        }
    }

    fn hand(&mut self, length: usize, end: usize) -> Bytes {
        let mut line = self.buffer.split_to(length);
        line.truncate(length - end);
        (self.searched, self.handed) = (0, length);
        line.freeze()
    }
}

fn too_large(message: String) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send less at once; large files go by LFS or Xet")
}
