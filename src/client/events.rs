//! Following a job: its events as the server sends them (server-sent events), taken up again after the last
//! one seen when the line breaks, until the job has ended.

use futures_util::StreamExt;
use reqwest::header::{ACCEPT, HeaderName};

use super::retry::pause;
use super::send::{Call, PATIENCE, reason};
use super::{Client, Event, Result};
use crate::wire::jobs::JobEvent;

/// Broken lines in a row without an event before following is given up.
const CUTS: u32 = 8;
/// Longest line of an event that is read.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Goes on, or stops listening; the job itself goes on either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    On,
    Stop,
}

impl Client {
    /// Hands every event after number `after` to `hear`, in order and once, until the job has ended.
    pub async fn follow_job(&self, id: &str, after: u64, hear: &mut (dyn FnMut(JobEvent) -> Follow + Send)) -> Result<()> {
        let mut last = after;
        let mut cuts = 0;
        loop {
            let before = last;
            let why = match self.listen(id, &mut last, hear).await? {
                Ending::Over => return Ok(()),
                Ending::Cut(why) => why,
            };
            cuts = if last > before { 1 } else { cuts + 1 };
            if cuts > CUTS {
                return Err(self.unreachable(format!("the events broke off ({why}); the job goes on")));
            }
            let after = pause(cuts + 1);
            if cuts > 1 {
                (self.sink)(Event::Repeat { reason: format!("the events broke off ({why})"), after });
            }
            tokio::time::sleep(after).await;
        }
    }

    async fn listen(&self, id: &str, last: &mut u64, hear: &mut (dyn FnMut(JobEvent) -> Follow + Send)) -> Result<Ending> {
        let mut call = Call::get(self.address.api(&["jobs", id, "events"])).header(ACCEPT, "text/event-stream");
        if *last > 0 {
            call = call.header(HeaderName::from_static("last-event-id"), &last.to_string());
        }
        let mut body = self.send(call).await?.bytes_stream();
        let mut parser = Parser::default();
        loop {
            // The server says something at least every 15 seconds.
            let chunk = match tokio::time::timeout(PATIENCE, body.next()).await {
                Err(_) => return Ok(Ending::Cut(format!("nothing for {} s", PATIENCE.as_secs()))),
                Ok(None) => return Ok(Ending::Cut("the server ended them".into())),
                Ok(Some(Err(error))) => return Ok(Ending::Cut(reason(&error))),
                Ok(Some(Ok(chunk))) => chunk,
            };
            for data in parser.take(&chunk).ok_or_else(|| self.strange("a line of its events does not end"))? {
                let Ok(event) = serde_json::from_str::<JobEvent>(&data) else { continue };
                if event.number <= *last {
                    continue;
                }
                *last = event.number;
                let over = is_final(&event);
                if hear(event) == Follow::Stop || over {
                    return Ok(Ending::Over);
                }
            }
        }
    }
}

enum Ending {
    Over,
    Cut(String),
}

/// The job's last event.
fn is_final(event: &JobEvent) -> bool {
    let state = event.body.get("state").and_then(|state| state.as_str()).unwrap_or_default();
    event.kind == "state" && matches!(state, "succeeded" | "failed" | "cancelled")
}

/// Lines of a `text/event-stream` into the data of its events.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    data: Vec<String>,
}

impl Parser {
    /// The data of every event these bytes complete. None: a line longer than any of ours.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<String>> {
        let mut done = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(&mut done),
                b'\r' => {}
                _ if self.line.len() >= MAX_LINE_BYTES => return None,
                _ => self.line.push(byte),
            }
        }
        Some(done)
    }

    fn end_line(&mut self, done: &mut Vec<String>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if line.is_empty() && !self.data.is_empty() {
            done.push(std::mem::take(&mut self.data).join("\n"));
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "id: 1\nevent: log\ndata: {\"a\":1}\n\n: still here\n\nid: 2\ndata: x\ndata: y\r\n\r\ndata: half";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| parser.take(chunk).unwrap()).collect();
            assert_eq!(events, ["{\"a\":1}", "x\ny"], "in chunks of {size}");
        }
        assert!(Parser::default().take(&vec![b'a'; MAX_LINE_BYTES + 1]).is_none());
    }
}
