//! Between client and server: hears what is asked for, counts what comes, and can be slow or hold the rest back.

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
    passage: Arc<Passage>,
}

/// What all connections share on the way from the server.
struct Passage {
    passed: AtomicU64,
    /// Once so many bytes have passed, the rest waits: a client whose answer is longer is then in the middle of it.
    limit: AtomicU64,
    delay: Duration,
}

/// How often a connection that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

impl Proxy {
    /// `delay` for each 64 KiB that come from the server, on each connection.
    pub fn start(server: &Server, delay: Duration) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let passage = Arc::new(Passage { passed: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX), delay });
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (target, log, shared) = (server.authority().to_owned(), heard.clone(), passage.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&target).unwrap();
                let (log, passage) = (log.clone(), shared.clone());
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || hear(from, to, &log));
                std::thread::spawn(move || passage.carry(server, client));
            }
        });
        Proxy { url, heard, passage }
    }

    /// Bytes that came from the server so far.
    pub fn passed(&self) -> u64 {
        self.passage.passed.load(Ordering::SeqCst)
    }

    /// Lets some more bytes come from the server (and what each connection has in hand), and holds the rest.
    /// Gives what will have passed then.
    pub fn hold_after(&self, further: u64) -> u64 {
        let limit = self.passed() + further;
        self.passage.limit.store(limit, Ordering::SeqCst);
        limit
    }

    pub fn let_go(&self) {
        self.passage.limit.store(u64::MAX, Ordering::SeqCst);
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

impl Passage {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.passed.load(Ordering::SeqCst) >= self.limit.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
            self.passed.fetch_add(count as u64, Ordering::SeqCst);
            std::thread::sleep(self.delay);
        }
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    }
}
