//! A small file: gathered in memory, proved, and put on the shelf where it waits for its name with others.

use bytes::Bytes;

use super::download::{Downloads, Want, blocking};
use super::range::{Answer, Body, Flow};
use super::retry::Line;
use super::{Event, Result};
use crate::cache::Lock;

/// How a run of bytes ended.
enum Ending {
    Whole,
    Cut(String),
    Untrue(String),
}

impl Downloads {
    /// Answers the bytes fetched. `begun`: an earlier pull may have left it, all but named.
    pub(super) async fn fetch_small(&self, want: &Want, mut lock: Lock, begun: bool) -> Result<u64> {
        let (digest, size_bytes) = (want.digest, want.size_bytes);
        if begun {
            let shelf = self.shelf.clone();
            match blocking(move || shelf.take_up(digest, size_bytes, lock)).await? {
                Ok(()) => {
                    self.tell(Event::Advance(size_bytes));
                    return Ok(0);
                }
                Err(back) => lock = back,
            }
        }
        let mut refused = false;
        loop {
            let why = match self.gather(want).await? {
                Err(why) => why,
                Ok(bytes) => {
                    let shelf = self.shelf.clone();
                    match blocking(move || shelf.put(digest, &bytes, lock)).await? {
                        Ok(()) => {
                            self.tell(Event::Advance(size_bytes));
                            return Ok(size_bytes);
                        }
                        Err((found, back)) => {
                            lock = back;
                            want.wrong_digest(&found)
                        }
                    }
                }
            };
            self.refuse(want, &why, &mut refused)?;
        }
    }

    /// All bytes of the file, or why the server's are untrue.
    async fn gather(&self, want: &Want) -> Result<std::result::Result<Vec<Bytes>, String>> {
        let (mut chunks, mut have, mut line) = (Vec::new(), 0, Line::default());
        while have < want.size_bytes {
            let body = match self.client.ask(want, have..want.size_bytes).await? {
                Answer::Body(body) => body,
                Answer::Whole(body) => {
                    (chunks, have) = (Vec::new(), 0);
                    body
                }
                Answer::Untrue(why) => return Ok(Err(why)),
            };
            match take(body, &mut chunks, &mut have).await {
                Ending::Whole => {}
                Ending::Untrue(why) => return Ok(Err(why)),
                Ending::Cut(why) => self.wait_for_line(want, &mut line, have, &why).await?,
            }
        }
        Ok(Ok(chunks))
    }
}

async fn take(mut body: Body, chunks: &mut Vec<Bytes>, have: &mut u64) -> Ending {
    loop {
        match body.next().await {
            Flow::Bytes(chunk) => {
                *have += chunk.len() as u64;
                chunks.push(chunk);
            }
            Flow::End => return Ending::Whole,
            Flow::Cut(why) => return Ending::Cut(why),
            Flow::Untrue(why) => return Ending::Untrue(why),
        }
    }
}
