//! Between client and server: hears what is asked for, counts what comes, and can be slow.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;

/// A request as it went by.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub range: Option<Range<u64>>,
}

pub struct Proxy {
    pub url: String,
    heard: Arc<Mutex<Vec<Asked>>>,
    passed: Arc<AtomicU64>,
}

impl Proxy {
    /// `delay` for each 64 KiB that come from the server, on each connection.
    pub fn start(server: &Server, delay: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, passed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let (target, log, count) = (server.authority().to_owned(), heard.clone(), passed.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&target).unwrap();
                let (log, count) = (log.clone(), count.clone());
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || hear(from, to, &log));
                std::thread::spawn(move || pass(server, client, delay, &count));
            }
        });
        Proxy { url, heard, passed }
    }

    /// Bytes that came from the server so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// The requests for files since the last look.
    pub fn take_files(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.heard.lock().unwrap()).into_iter().filter(|asked| asked.path.contains("/files/")).collect()
    }

    /// Every request since the last look.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

fn hear(mut from: TcpStream, mut to: TcpStream, log: &Mutex<Vec<Asked>>) {
    let (mut buffer, mut head) = ([0; 16_384], Vec::new());
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        head.extend_from_slice(&buffer[..count]);
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let text: String = String::from_utf8_lossy(&head[..end]).into_owned();
            head.drain(..end + 4);
            log.lock().unwrap().push(read(&text));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Of requests without a body.
fn read(head: &str) -> Asked {
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, &str> =
        head.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let range = headers.get("range").and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    Asked { path, range: range.map(|(first, last)| first.parse().unwrap()..last.parse::<u64>().unwrap() + 1) }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, passed: &AtomicU64) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        passed.fetch_add(count as u64, Ordering::SeqCst);
        std::thread::sleep(delay);
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
