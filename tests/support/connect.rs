//! A proxy as companies have them: https goes through it by `CONNECT`, whatever name is asked for leads to one place here.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct ConnectProxy {
    /// By a name, as people write it: `http://localhost:3128`.
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// Leads everything to this port.
    pub fn start(port: u16) -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let heard = heard.clone();
                std::thread::spawn(move || tunnel(client, port, &heard));
            }
        });
        ConnectProxy { url, asked }
    }

    /// What was asked for since the last look, such as `CONNECT hub.example:443`.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn tunnel(mut client: TcpStream, port: u16, heard: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(client.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().replace(" HTTP/1.1", "");
    let connects = line.starts_with("CONNECT ");
    heard.lock().unwrap().push(line);
    let answer: &[u8] =
        if connects { b"HTTP/1.1 200 Connection established\r\n\r\n" } else { b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n" };
    if client.write_all(answer).is_err() || !connects {
        return;
    }
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || carry(from, to));
    carry(server, client);
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
}
