//! The line to a server, as a client sees it: counts what is sent over it, can hold it up, and can lead elsewhere
//! after a restart.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;

/// How often whoever waits on the line looks whether it may go on.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub struct Line {
    pub url: String,
    /// Without one, clients wait on the line.
    target: Arc<Mutex<Option<String>>>,
    /// Connections that are not closed yet.
    open: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
    /// No more bytes than this pass until the line is let go.
    limit: Arc<AtomicU64>,
}

impl Line {
    /// A line that carries `limit` bytes from the client, then holds the rest.
    pub fn start(server: &Server, limit: u64) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(Some(server.authority().to_owned())));
        let line = Line { url, target, open: Arc::default(), sent: Arc::default(), limit: Arc::new(AtomicU64::new(limit)) };
        let shared = line.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let line = shared.clone();
                line.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || line.connect(client));
            }
        });
        line
    }

    /// From now on who connects waits until it leads somewhere again: a server takes as long to start as it takes.
    pub fn lead_nowhere(&self) {
        *self.target.lock().unwrap() = None;
    }

    /// From now on it leads to this server.
    pub fn lead_to(&self, server: &Server) {
        *self.target.lock().unwrap() = Some(server.authority().to_owned());
    }

    /// Connections that the server, or whoever was to reach it, has not closed yet.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    pub fn let_go(&self) {
        self.limit.store(u64::MAX, Ordering::SeqCst);
    }

    /// Bytes that clients have sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    fn connect(&self, client: TcpStream) {
        let target = loop {
            let target = self.target.lock().unwrap().clone();
            if let Some(target) = target {
                break target;
            }
            std::thread::sleep(LOOK);
        };
        // No server behind it: the client finds its connection closed.
        if let Ok(server) = TcpStream::connect(target) {
            let (line, back) = (self.clone(), (server.try_clone().unwrap(), client.try_clone().unwrap()));
            let sending = std::thread::spawn(move || line.carry(client, server));
            answer(back.0, back.1);
            let _ = sending.join();
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16_384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.sent() >= self.limit.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
            }
            self.sent.fetch_add(count as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn answer(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
