//! A hub of others, as far as fetching asks: the listing of one repo and its files, and whatever goes wrong with them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::publishing::sha256;

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every answer is a page for people.
    Html,
    /// Its listing is right, and its files are pages for people.
    HtmlFiles,
    /// Its licence must be agreed to.
    Gated,
    /// Nobody it does not know sees even what there is.
    GatedListing,
    /// Its files are somewhere inside.
    LeadsInside,
    /// Files come with another last byte.
    Lies,
    /// This many bytes of a file, then nothing more, so many times.
    Cut {
        after: usize,
        times: usize,
    },
}

/// A running one.
pub struct Upstream {
    pub url: String,
    pub fault: Arc<Mutex<Fault>>,
    /// Answers that held bytes of files, and those bytes.
    pub sent: Arc<(AtomicUsize, AtomicUsize)>,
}

/// The repo `id` with these files.
pub fn serve(id: &str, files: &[(&str, Vec<u8>)], fault: Fault) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (fault, sent) = (Arc::new(Mutex::new(fault)), Arc::new((AtomicUsize::new(0), AtomicUsize::new(0))));
    let files: HashMap<String, Vec<u8>> = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
    let room = Arc::new(Room { id: id.to_owned(), files, fault: fault.clone(), sent: sent.clone() });
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let room = room.clone();
            std::thread::spawn(move || room.answer(client));
        }
    });
    Upstream { url, fault, sent }
}

struct Room {
    id: String,
    files: HashMap<String, Vec<u8>>,
    fault: Arc<Mutex<Fault>>,
    sent: Arc<(AtomicUsize, AtomicUsize)>,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Room {
    /// One request a connection.
    fn answer(&self, client: TcpStream) {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
        let from = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")?.split('-').next()?.parse::<usize>().ok());
        let fault = self.fault.lock().unwrap().clone();
        let file = path.strip_prefix(&format!("/{}/resolve/{COMMIT}/", self.id)).and_then(|name| self.files.get(name));
        match (&fault, file) {
            (Fault::Html, _) => write(client, "200 OK", &["content-type: text/html"], b"<html>Welcome!</html>"),
            (Fault::HtmlFiles, Some(_)) => write(client, "200 OK", &["content-type: text/html"], b"<html>Log in, please!</html>"),
            (Fault::GatedListing, _) => write(client, "401 Unauthorized", &[], b"who are you?"),
            (Fault::Gated, Some(_)) => write(client, "403 Forbidden", &[], b"agree to the licence"),
            (Fault::LeadsInside, Some(_)) => write(client, "302 Found", &["location: http://169.254.169.254/secret"], b""),
            (_, Some(bytes)) => self.send(client, &fault, bytes, from.unwrap_or(0)),
            (_, None) if path == format!("/api/models/{}/revision/main", self.id) => {
                write(client, "200 OK", &["content-type: application/json"], self.listing().to_string().as_bytes());
            }
            _ => write(client, "404 Not Found", &[], b"no"),
        }
    }

    fn send(&self, client: TcpStream, fault: &Fault, bytes: &[u8], from: usize) {
        let mut rest = bytes[from..].to_vec();
        self.sent.0.fetch_add(1, Ordering::SeqCst);
        let length = format!("content-length: {}", rest.len());
        let range = format!("content-range: bytes {from}-{}/{}", bytes.len().saturating_sub(1), bytes.len());
        let (status, head) =
            if from > 0 { ("206 Partial Content", vec![length.as_str(), &range]) } else { ("200 OK", vec![length.as_str()]) };
        match fault {
            Fault::Lies => rest.last_mut().into_iter().for_each(|byte| *byte ^= 1),
            Fault::Cut { after, times } if rest.len() > *after && *times > 0 => {
                rest.truncate(*after);
                *self.fault.lock().unwrap() = Fault::Cut { after: *after, times: times - 1 };
            }
            _ => {}
        }
        self.sent.1.fetch_add(rest.len(), Ordering::SeqCst);
        write_head(&client, status, &head);
        let _ = (&client).write_all(&rest);
    }

    fn listing(&self) -> Value {
        let sibling = |(path, bytes): (&String, &Vec<u8>)| json!({ "rfilename": path, "size": bytes.len(), "blobId": "x", "lfs": { "sha256": sha256(bytes), "size": bytes.len() } });
        json!({ "sha": COMMIT, "private": false, "gated": false, "siblings": self.files.iter().map(sibling).collect::<Vec<_>>() })
    }
}

fn write_head(mut client: &TcpStream, status: &str, headers: &[&str]) {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let _ = client.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").as_bytes());
}

fn write(client: TcpStream, status: &str, headers: &[&str], body: &[u8]) {
    let length = format!("content-length: {}", body.len());
    write_head(&client, status, &[&[length.as_str()], headers].concat());
    let _ = (&client).write_all(body);
}
