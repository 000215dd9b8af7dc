//! The line to a server, as a client sees it: counts what is sent over it, can hold it up, and can lead elsewhere
//! after a restart.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Server;

#[derive(Clone)]
pub struct Line {
    pub url: String,
    target: Arc<Mutex<String>>,
    sent: Arc<AtomicU64>,
    /// No more bytes than this pass until the line is let go.
    limit: Arc<AtomicU64>,
}

impl Line {
    /// A line that carries `limit` bytes from the client, then holds the rest.
    pub fn start(server: &Server, limit: u64) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Arc::new(Mutex::new(server.authority().to_owned()));
        let line = Line { url, target, sent: Arc::default(), limit: Arc::new(AtomicU64::new(limit)) };
        let shared = line.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = shared.target.lock().unwrap().clone();
                // No server behind it: the client finds its connection closed.
                let Ok(server) = TcpStream::connect(target) else { continue };
                let (line, back) = (shared.clone(), (server.try_clone().unwrap(), client.try_clone().unwrap()));
                std::thread::spawn(move || line.carry(client, server));
                std::thread::spawn(move || answer(back.0, back.1));
            }
        });
        line
    }

    /// From now on it leads to this server.
    pub fn lead_to(&self, server: &Server) {
        *self.target.lock().unwrap() = server.authority().to_owned();
    }

    pub fn let_go(&self) {
        self.limit.store(u64::MAX, Ordering::SeqCst);
    }

    /// Bytes that clients have sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16_384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            while self.sent() >= self.limit.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
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
