//! A connection that is kept, with so little of a client that the server is what is measured.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: &str) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { address: address.to_owned(), stream: BufReader::new(stream) }
    }

    /// How long an answer took, which must be a good one.
    pub fn get(&mut self, path: &str) -> Duration {
        self.weigh(path).0
    }

    /// The same, and how many bytes it has.
    pub fn weigh(&mut self, path: &str) -> (Duration, usize) {
        let begun = Instant::now();
        write!(self.stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", self.address).unwrap();
        let (status, body) = self.answer();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        (begun.elapsed(), body.len())
    }

    /// Sends a body, with a token; the answer's status, which must be one of these, and body.
    pub fn send(&mut self, method: &str, path: &str, token: &str, body: &[u8], good: &[u16]) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        // In one piece: a head alone would wait for an acknowledgement.
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
        let (status, answer) = self.answer();
        assert!(good.contains(&status), "{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
        (status, answer)
    }

    fn answer(&mut self) -> (u16, Vec<u8>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status: u16 = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {line:?}"));
        let (mut length, mut chunked) = (0usize, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        let mut body = Vec::new();
        match chunked {
            true => while self.chunk(&mut body) > 0 {},
            false => self.take(length, &mut body),
        }
        (status, body)
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> usize {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        self.take(length, body);
        self.take(2, &mut Vec::new());
        length
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) {
        let begins = body.len();
        body.resize(begins + length, 0);
        self.stream.read_exact(&mut body[begins..]).unwrap();
    }
}
