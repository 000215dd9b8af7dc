//! A large file: pieces of it over several connections, written where they belong in one part file, while another
//! thread hashes the run of bytes from the beginning. A piece that was written is never asked for again, also not by
//! another process after this one was killed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::SemaphorePermit;
use tokio::task::JoinHandle;

use super::download::{Downloads, Want, blocking, finished};
use super::range::{Answer, Body, Flow};
use super::retry::Line;
use super::{Event, Result};
use crate::cache::{self, Lock, Part, Reused, StopOnDrop};
use crate::domain::digest::Digest;

/// Connections of one file.
const CONNECTIONS: usize = 4;
/// What one request asks for: few enough requests that their answers' delay does not count, small enough that the
/// hash, which follows the beginning, reads back what is still in memory.
const PIECE_BYTES: u64 = 8 << 20;
/// So much is written by one trip to a blocking thread ...
const BATCH_BYTES: usize = 1 << 20;
/// ... or what has arrived in so long.
const BATCH_TIME: Duration = Duration::from_millis(250);

/// How a connection's work ended.
enum Ending {
    Done,
    /// The server or what it sent is untrue; nothing that has arrived can be trusted.
    Untrue(String),
    /// The server knows no ranges: the whole file comes.
    Whole(Body),
}

/// How a body ended.
enum Poured {
    End,
    Cut(String),
    Untrue(String),
}

/// An answer under way, and the right to it.
struct Opened<'a> {
    body: Body,
    _permit: SemaphorePermit<'a>,
}

/// Ranges to ask for.
type Queue = Mutex<VecDeque<Range<u64>>>;

impl Downloads {
    /// Answers the bytes fetched.
    pub(super) async fn fetch_large(&self, want: &Want, lock: Lock) -> Result<u64> {
        let mut refused = false;
        loop {
            let part = self.open_part(want).await?;
            let left = part.arrived_bytes();
            self.tell(Event::Advance(left));
            // Bytes that were untrue are not copied again.
            let reused = if refused { Reused::default() } else { self.reuse(&part, want).await? };
            let (part, untrue) = self.fill(part, want).await?;
            let Some(why) = untrue else {
                let (cache, verified, digest) = (self.cache.clone(), self.verified.clone(), want.digest);
                blocking(move || cache.adopt(&verified, &part, &digest)).await?;
                drop(lock);
                return Ok(want.size_bytes - left - reused.bytes);
            };
            self.distrust(want, &reused);
            self.throw_away(&part)?;
            self.refuse(want, &why, &mut refused)?;
        }
    }

    /// Brings a part to its full size and proves it. Some(why): the bytes are untrue.
    async fn fill(&self, part: Arc<Part>, want: &Want) -> Result<(Arc<Part>, Option<String>)> {
        let hash = Hash::of(&part);
        match self.fetch_pieces(&part, want).await? {
            Ending::Done => Ok((part, hash.disproves(want).await?)),
            Ending::Untrue(why) => Ok((part, Some(why))),
            Ending::Whole(body) => {
                self.throw_away(&part)?;
                self.fetch_whole(want, body).await
            }
        }
    }

    /// What is missing, over several connections. The first answer shows whether the server knows ranges; the other
    /// connections begin after it.
    async fn fetch_pieces(&self, part: &Arc<Part>, want: &Want) -> Result<Ending> {
        let queue: Queue = Mutex::new(part.missing().into_iter().flat_map(pieces).collect());
        let Some(first) = next(&queue) else { return Ok(Ending::Done) };
        let opened = match self.open(want, first.clone()).await? {
            Ok(opened) => opened,
            Err(ending) => return Ok(ending),
        };
        let connection = |lead| self.run_connection(part, want, &queue, lead);
        let mut connections: FuturesUnordered<_> = (1..CONNECTIONS).map(|_| connection(None)).collect();
        connections.push(connection(Some((first, opened))));
        while let Some(ending) = connections.next().await {
            match ending? {
                Ending::Done => {}
                // The other connections end here, too.
                bad => return Ok(bad),
            }
        }
        Ok(Ending::Done)
    }

    /// Pieces one after the other until none is left.
    async fn run_connection(&self, part: &Arc<Part>, want: &Want, queue: &Queue, lead: Option<(Range<u64>, Opened<'_>)>) -> Result<Ending> {
        let mut current = lead.map(|(piece, opened)| (piece, Some(opened)));
        while let Some((piece, opened)) = current.take().or_else(|| next(queue).map(|piece| (piece, None))) {
            match self.fetch_piece(part, want, piece, opened).await? {
                Ending::Done => {}
                bad => return Ok(bad),
            }
        }
        Ok(Ending::Done)
    }

    async fn fetch_piece(&self, part: &Arc<Part>, want: &Want, piece: Range<u64>, mut opened: Option<Opened<'_>>) -> Result<Ending> {
        let (mut at, mut line) = (piece.start, Line::default());
        while at < piece.end {
            let answer = match opened.take() {
                Some(answer) => answer,
                None => match self.open(want, at..piece.end).await? {
                    Ok(answer) => answer,
                    Err(bad) => return Ok(bad),
                },
            };
            match self.pour(part, &mut at, answer.body).await? {
                Poured::End => {}
                Poured::Untrue(why) => return Ok(Ending::Untrue(why)),
                Poured::Cut(why) => self.wait_for_line(want, &mut line, at - piece.start, &why).await?,
            }
        }
        if want.size_bytes > PIECE_BYTES {
            let part = part.clone();
            // Nobody waits for it: what is not done in time is done by the flush at the end.
            drop(tokio::task::spawn_blocking(move || part.begin_write_back(&piece)));
        }
        Ok(Ending::Done)
    }

    async fn open(&self, want: &Want, range: Range<u64>) -> Result<std::result::Result<Opened<'_>, Ending>> {
        // Never closed, so never refused.
        let permit = self.connections.acquire().await.map_err(|e| self.client.strange(e.to_string()))?;
        Ok(match self.client.ask(want, range).await? {
            Answer::Body(body) => Ok(Opened { body, _permit: permit }),
            Answer::Whole(body) => Err(Ending::Whole(body)),
            Answer::Untrue(why) => Err(Ending::Untrue(why)),
        })
    }

    /// The whole file over one connection, from a server that knows no ranges: after a cut it begins again.
    async fn fetch_whole(&self, want: &Want, body: Body) -> Result<(Arc<Part>, Option<String>)> {
        let (mut line, mut body) = (Line::default(), Some(body));
        loop {
            let part = self.open_part(want).await?;
            let hash = Hash::of(&part);
            let answer = match body.take() {
                Some(body) => Answer::Body(body),
                None => self.client.ask(want, 0..want.size_bytes).await?,
            };
            let poured = match answer {
                Answer::Body(body) | Answer::Whole(body) => self.pour(&part, &mut 0, body).await?,
                Answer::Untrue(why) => Poured::Untrue(why),
            };
            match poured {
                Poured::End => return Ok((part, hash.disproves(want).await?)),
                Poured::Untrue(why) => return Ok((part, Some(why))),
                Poured::Cut(why) => {
                    let arrived = part.arrived_bytes();
                    self.throw_away(&part)?;
                    self.wait_for_line(want, &mut line, arrived, &why).await?;
                }
            }
        }
    }

    /// Writes a body from `at` on, which moves along. While a batch is written the next one arrives.
    async fn pour(&self, part: &Arc<Part>, at: &mut u64, mut body: Body) -> Result<Poured> {
        let (mut batch, mut since) = (Batch::default(), Instant::now());
        let mut writing: Option<JoinHandle<cache::Result<()>>> = None;
        loop {
            let ending = match body.next().await {
                Flow::Bytes(chunk) => {
                    batch.push(chunk);
                    None
                }
                Flow::End => Some(Poured::End),
                Flow::Cut(why) => Some(Poured::Cut(why)),
                Flow::Untrue(why) => Some(Poured::Untrue(why)),
            };
            if ending.is_some() || batch.bytes >= BATCH_BYTES || since.elapsed() > BATCH_TIME {
                if let Some(before) = writing.take() {
                    finished(before).await?;
                }
                let (full, start) = (std::mem::take(&mut batch), *at);
                *at += full.bytes as u64;
                writing = Some(self.write(part, start, full));
                since = Instant::now();
            }
            if let Some(ending) = ending {
                if let Some(last) = writing {
                    finished(last).await?;
                }
                return Ok(ending);
            }
        }
    }

    fn write(&self, part: &Arc<Part>, start: u64, batch: Batch) -> JoinHandle<cache::Result<()>> {
        let (part, sink) = (part.clone(), self.client.sink.clone());
        tokio::task::spawn_blocking(move || {
            part.write(start, &batch.chunks)?;
            sink(Event::Advance(batch.bytes as u64));
            Ok(())
        })
    }

    async fn open_part(&self, want: &Want) -> Result<Arc<Part>> {
        let (cache, digest, size_bytes) = (self.cache.clone(), want.digest, want.size_bytes);
        blocking(move || Part::open(&cache, &digest, size_bytes)).await.map(Arc::new)
    }

    fn throw_away(&self, part: &Part) -> Result<()> {
        self.tell(Event::Retreat(part.arrived_bytes()));
        Ok(part.discard()?)
    }
}

/// Chunks that are written together.
#[derive(Default)]
struct Batch {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
    }
}

/// The thread that hashes a part while it grows; it ends with this, at the latest.
struct Hash {
    thread: JoinHandle<cache::Result<Option<Digest>>>,
    _stop: StopOnDrop,
}

impl Hash {
    fn of(part: &Arc<Part>) -> Hash {
        let hashed = part.clone();
        Hash { thread: tokio::task::spawn_blocking(move || hashed.hash()), _stop: StopOnDrop(part.clone()) }
    }

    /// Once all bytes have arrived: what is wrong with them.
    async fn disproves(self, want: &Want) -> Result<Option<String>> {
        let found = finished(self.thread).await?;
        Ok(found.filter(|found| *found != want.digest).map(|found| want.wrong_digest(&found)))
    }
}

fn pieces(gap: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    // At the same places in each pull, wherever a gap begins.
    let end = gap.end;
    let starts = std::iter::successors(Some(gap.start), |start| Some((start / PIECE_BYTES + 1) * PIECE_BYTES));
    starts.take_while(move |start| *start < end).map(move |start| start..end.min((start / PIECE_BYTES + 1) * PIECE_BYTES))
}

fn next(queue: &Queue) -> Option<Range<u64>> {
    queue.lock().pop_front()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // a list of one range is meant
mod tests {
    use super::*;

    #[test]
    fn gaps_are_cut_into_pieces() {
        let cut = |gap: Range<u64>| pieces(gap).collect::<Vec<_>>();
        assert_eq!(cut(0..5), [0..5]);
        assert_eq!(cut(3..PIECE_BYTES), [3..PIECE_BYTES]);
        assert_eq!(
            cut(PIECE_BYTES - 1..2 * PIECE_BYTES + 1),
            [PIECE_BYTES - 1..PIECE_BYTES, PIECE_BYTES..2 * PIECE_BYTES, 2 * PIECE_BYTES..2 * PIECE_BYTES + 1]
        );
    }
}
