//! A real S3 server (s3s-fs, a process of its own) and a line to it that a story may cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const BUCKET: &str = "hub";
pub const SECRET_KEY: &str = "a-secret-key-of-the-store";
const ACCESS_KEY: &str = "stories";

/// An S3 server with the bucket [`BUCKET`]; ended when dropped.
pub struct S3 {
    pub port: u16,
    dir: tempfile::TempDir,
    child: Child,
}

impl S3 {
    pub fn start() -> S3 {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        loop {
            // Another process may take the port in between; then the server ends and another port is tried.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = Command::new(program());
            command.args(["--host", "127.0.0.1", "--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY, "--port", &port.to_string()]);
            let mut child = command.arg(dir.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return S3 { port, dir, child };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// The files that are the bucket's objects.
    pub fn bucket(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }

    /// The file of the object `prefix/blobs/ab/cd/<hex>`.
    pub fn object(&self, prefix: &str, hex: &str) -> PathBuf {
        self.bucket().join(prefix).join("blobs").join(&hex[..2]).join(&hex[2..4]).join(hex)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What opens the server that is reached at `port`.
pub fn variables(port: u16) -> Vec<(String, String)> {
    let url = format!("http://127.0.0.1:{port}");
    let pairs = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn program() -> PathBuf {
    let home = |name: &str, rest: &str| std::env::var_os(name).map(|dir| Path::new(&dir).join(rest));
    let installed = [home("CARGO_HOME", "bin/s3s-fs"), home("HOME", ".cargo/bin/s3s-fs")];
    let found = installed.into_iter().flatten().find(|path| path.is_file());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = found.or_else(|| std::env::split_paths(&path).map(|dir| dir.join("s3s-fs")).find(|path| path.is_file()));
    found.expect("s3s-fs is not installed; run `bash .ci/packages test`")
}

/// What a line does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Pass,
    /// The store says that it is overloaded.
    Busy,
    /// Nobody answers at its address.
    Away,
    /// It takes requests and says nothing.
    Silent,
    /// The store answers, and has no such bucket.
    NoBucket,
}

/// A line to a server on this machine; it remembers the heads of the requests that went through.
pub struct Switch {
    pub port: u16,
    state: Arc<Mutex<(Line, Vec<String>)>>,
}

impl Switch {
    pub fn to(target: u16) -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new((Line::Pass, Vec::new())));
        let kept = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                std::thread::spawn(move || carry(client, target, &state));
            }
        });
        Switch { port, state: kept }
    }

    pub fn set(&self, line: Line) {
        self.state.lock().unwrap().0 = line;
    }

    /// Heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().1.clone()
    }
}

/// One connection. Requests begin at the beginning of what is read, as clients send each head at once.
fn carry(mut client: TcpStream, target: u16, state: &Mutex<(Line, Vec<String>)>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut bytes) {
        let line = state.lock().unwrap().0;
        match line {
            Line::Pass => {
                let text = String::from_utf8_lossy(&bytes[..read.min(4096)]);
                let begins = ["GET ", "HEAD ", "PUT ", "POST ", "DELETE "].iter().any(|method| text.starts_with(method));
                if let Some((head, _)) = text.split_once("\r\n\r\n").filter(|_| begins) {
                    state.lock().unwrap().1.push(head.to_owned());
                }
                if server.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            Line::Busy => {
                let _ = client.write_all(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                break;
            }
            Line::NoBucket => {
                let body = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
                let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let body = if bytes.starts_with(b"HEAD ") { "" } else { body };
                let _ = client.write_all(format!("{head}{body}").as_bytes());
                break;
            }
            Line::Away => break,
            Line::Silent => {}
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
