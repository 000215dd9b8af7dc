//! Clients that are slow on purpose, hundreds at once: they are cut in the end, hold little memory, and everybody
//! else is served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::training::Person;
use crate::support::{STUCK_AFTER, Server, publishing, until};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Of each kind, where the system allows as many open files.
const SLOW: usize = 500;
const DRIP: Duration = Duration::from_millis(400);

/// A server of little patience.
fn server(further: &[(&str, &str)]) -> Server {
    let mut settings = vec![("HUB_PATIENCE_SECONDS", "2"), ("HUB_MAX_CONNECTIONS_PER_PEER", "0")];
    settings.extend(further);
    Server::start_with(&["--workers", "0"], &settings)
}

async fn connect(server: &Server, from: &str, receive_buffer: Option<u32>) -> TcpStream {
    let address: SocketAddr = server.authority().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

/// Sends `head`, then `piece` again and again; what was answered when the server ended the connection.
async fn drip(stream: TcpStream, head: String, piece: &'static [u8]) -> String {
    tokio::time::timeout(STUCK_AFTER, drip_on(stream, head, piece)).await.expect("the server never ended the connection")
}

async fn drip_on(mut stream: TcpStream, head: String, piece: &'static [u8]) -> String {
    let (mut answer, mut block) = (Vec::new(), [0; 4_096]);
    let mut listens = stream.write_all(head.as_bytes()).await.is_ok();
    loop {
        tokio::select! {
            read = stream.read(&mut block) => match read {
                Ok(0) | Err(_) => break,
                Ok(n) => answer.extend(&block[..n]),
            },
            // A server that takes no more has said why before.
            () = tokio::time::sleep(DRIP), if listens => listens = stream.write_all(piece).await.is_ok(),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks for something and takes `bytes` of the answer now and then. When the server has had enough, its reset waits
/// behind what the reader has not looked at yet: only the server knows that the connection is gone.
async fn sip(mut stream: TcpStream, head: String, bytes: usize) {
    let mut block = vec![0; bytes];
    if stream.write_all(head.as_bytes()).await.is_ok() {
        loop {
            tokio::time::sleep(DRIP).await;
            if matches!(stream.read(&mut block).await, Ok(0) | Err(_)) {
                break;
            }
        }
    }
}

/// Waits until the server has at most so many connections open.
async fn until_open(server: &Server, most: u64) {
    let open = |text: &str| text.lines().find_map(|line| line.strip_prefix("hub_connections ")?.parse::<u64>().ok());
    let few = async || open(&server.admin().get("/metrics").await.text()).is_some_and(|count| count <= most);
    until(&format!("at most {most} connections are open"), few).await;
}

/// Takes as many open files as the system gives; how many slow clients of each kind that is enough for.
fn room_for_slow_ones() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit, filled by the first call and read by the second.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    // The server needs a socket and a file for each of them, and so as many again.
    SLOW.min((limit.rlim_max as usize).saturating_sub(400) / 6)
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").trim().parse().unwrap()
}

/// Healthy requests, one after the other, until told to stop; how long each took.
async fn healthy(server: &Server, paths: &[&str], stop: &AtomicBool) -> Vec<Duration> {
    let api = server.anonymous();
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for path in paths {
            let start = Instant::now();
            let reply = api.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            took.push(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort();
    took
}

/// The many ways to be slow.
fn slow_ones(of_each_kind: usize, server: &Arc<Server>, upload: &str, ended: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let file = "/api/v1/models/library/big/versions/1/files/weights.dat";
    let keep = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for n in 0..3 * of_each_kind {
        let (server, ended, token) = (server.clone(), ended.clone(), server.admin_token.clone());
        let upload = upload.to_owned();
        tasks.spawn(async move {
            let post = |path: &str, more: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
            let get = format!("GET {file} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let plain = connect(&server, "127.0.0.1", None);
            match n % 9 {
                // Heads: of the first request, and of a second one behind a good one.
                0 => drop(drip(plain.await, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".into(), b"y").await),
                3 => drop(drip(plain.await, format!("{keep}GET / HTTP/1.1\r\nHost: localhost\r\nX: "), b"y").await),
                6 => drop(drip(plain.await, String::new(), b"\r\n").await),
                // Bodies: JSON, a form, chunks that nobody asked for.
                1 => {
                    let head = post("/api/v1/uploads", "Content-Type: application/json\r\nContent-Length: 100000\r\n");
                    assert!(drip(plain.await, head, b" ").await.starts_with("HTTP/1.1 408"));
                }
                4 => {
                    let head = post("/login", "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n");
                    assert!(drip(plain.await, head, b"1\r\na\r\n").await.starts_with("HTTP/1.1 408"));
                }
                7 if n == 7 => {
                    let more = format!("Authorization: Bearer {token}\r\nUpload-Offset: 0\r\nContent-Length: 4000000\r\n");
                    let head = post(&format!("/api/v1/uploads/{upload}"), &more).replace("POST", "PATCH");
                    assert!(drip(plain.await, head, b"x").await.starts_with("HTTP/1.1 408"));
                }
                7 => drop(drip(plain.await, post("/nowhere", "Transfer-Encoding: chunked\r\n"), b"1\r\na\r\n").await),
                // Readers: of a few bytes now and then, and of nothing.
                2 => sip(connect(&server, "127.0.0.1", Some(4_096)).await, get, 200).await,
                5 => sip(connect(&server, "127.0.0.1", Some(4_096)).await, get, 1).await,
                _ => sip(plain.await, get, 100).await,
            }
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_of_each_kind_hold_nobody_up_and_are_cut() {
    let of_each_kind = room_for_slow_ones();
    let server = Arc::new(server(&[]));
    let admin = server.admin();
    let weights: Vec<u8> = (0..12u32 << 18).flat_map(u32::to_le_bytes).collect();
    publishing::create_repo(&admin, "model", "library/big").await;
    publishing::publish(&admin, "models/library/big", None, &[("weights.dat", &weights), ("README.md", b"# Big\n")]).await.created();
    let upload = publishing::announce(&admin, &vec![b'x'; 4_000_000]).await;
    let before_kib = status_kib(server.pid(), "VmRSS");

    let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut slow = slow_ones(of_each_kind, &server, upload["id"].as_str().unwrap(), &ended);
    let watched = (server.clone(), stop.clone());
    let healthy = tokio::spawn(async move {
        let paths = ["/healthz", "/api/v1/models/library/big", "/api/v1/models/library/big/versions/1/files/README.md", "/library/big"];
        healthy(&watched.0, &paths, &watched.1).await
    });
    let start = Instant::now();
    // All that are told so end by themselves; readers may not know it yet.
    let mut last = Instant::now();
    while ended.load(Ordering::Relaxed) < 2 * of_each_kind {
        match slow.try_join_next() {
            Some(ended) => (last, ()) = (Instant::now(), ended.unwrap()),
            None => tokio::time::sleep(DRIP).await,
        }
        assert!(last.elapsed() < STUCK_AFTER, "slow clients are not cut any more: {ended:?} are gone");
    }
    until_open(&server, 8).await;
    let all_gone = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let took = healthy.await.unwrap();
    let peak_kib = status_kib(server.pid(), "VmHWM");
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "{} slow clients gone after {all_gone:.1?}; healthy: {} requests, p50 {:.1?}, p99 {:.1?}, max {:.1?}; memory {} -> {} MiB",
        3 * of_each_kind,
        took.len(),
        at(50),
        at(99),
        at(100),
        before_kib >> 10,
        peak_kib >> 10,
    );
    // A reader that stalls holds the blocks that were read ahead for it; the others hold next to nothing.
    let most_kib = (of_each_kind as u64 * 2) << 10;
    assert!(peak_kib - before_kib < most_kib, "slow clients took {} MiB", (peak_kib - before_kib) >> 10);
    let metrics = server.admin().get("/metrics").await.text();
    for reason in ["slow_reader", "slow_request"] {
        assert!(metrics.contains(&format!("hub_connections_cut_total{{reason=\"{reason}\"}}")), "{reason} is missing: {metrics}");
    }
    // The upload that stalled goes on.
    let id = upload["id"].as_str().unwrap();
    let offset = admin.get(&format!("/api/v1/uploads/{id}")).await.ok()["offset"].as_u64().unwrap() as usize;
    let sent = publishing::send(&admin, &upload, offset, &vec![b'x'; 4_000_000 - offset]).await.ok();
    assert_eq!(sent["complete"], true, "{sent}");
}

#[tokio::test]
async fn a_stalled_body_is_told_why() {
    let server = server(&[]);
    let head = "POST /api/v1/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    let answer = drip(connect(&server, "127.0.0.1", None).await, head.into(), b"").await;
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(headers.starts_with("HTTP/1.1 408") && headers.to_lowercase().contains("connection: close"), "{headers}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], "too_slow", "{problem}");
    assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = server(&[]);
    let ask = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(drip(connect(&server, "127.0.0.1", None).await, ask.into(), b"").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn event_streams_are_slow_by_right() {
    let server = server(&[("HUB_PATIENCE_SECONDS", "1")]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 3).await;
    let id = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/later" })).await;
    let mut stream = admin.stream(&format!("/finetunes/{id}/events")).header("Accept", "text/event-stream").send().await.unwrap();
    let mut read_until = async |word: &str| {
        let mut text = String::new();
        while !text.contains(word) {
            let chunk = tokio::time::timeout(STUCK_AFTER, stream.chunk()).await.expect("the stream stands still").unwrap();
            text += &String::from_utf8_lossy(&chunk.expect("the stream was cut while it lived"));
        }
    };
    read_until("queued").await;
    // One that comes later and is a request that never ends is cut, and nobody gets more patience than that: the stream,
    // without a byte for longer, would be gone by now.
    let later = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\nX: ";
    assert!(drip(connect(&server, "127.0.0.1", None).await, later.into(), b"y").await.starts_with("HTTP/1.1 200"));
    admin.post(&format!("/finetunes/{id}/cancel"), json!({})).await;
    read_until("cancelled").await;
    let metrics = server.admin().get("/metrics").await.text();
    let cut: Vec<&str> = metrics.lines().filter(|line| line.starts_with("hub_connections_cut_total{")).collect();
    assert_eq!(cut, ["hub_connections_cut_total{reason=\"slow_request\"} 1"], "only that one was cut");
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let server = server(&[("HUB_MAX_CONNECTIONS_PER_PEER", "4")]);
    let ask = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&server, "127.0.0.2", None).await;
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut block = [0; 4_096];
        let n = stream.read(&mut block).await.unwrap();
        assert!(block[..n].starts_with(b"HTTP/1.1 200"));
        held.push(stream);
    }
    let answer = drip(connect(&server, "127.0.0.2", None).await, ask.into(), b"").await;
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(headers.starts_with("HTTP/1.1 503") && headers.to_lowercase().contains("retry-after:"), "{headers}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "too_many_connections");
    // Others are served, a silent fifth is cut, and a place that becomes free is there again.
    assert_eq!(server.anonymous().get("/healthz").await.status, 200);
    assert_eq!(drip(connect(&server, "127.0.0.2", None).await, String::new(), b"").await, "");
    held.clear();
    until("a place is free again", async || {
        let mut stream = connect(&server, "127.0.0.2", None).await;
        // A server that refuses may do so before it is asked.
        let _ = stream.write_all(ask.as_bytes()).await;
        let mut block = [0; 4_096];
        matches!(stream.read(&mut block).await, Ok(n) if block[..n].starts_with(b"HTTP/1.1 200"))
    })
    .await;
}
