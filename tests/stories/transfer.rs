//! Pulling from servers that cut, flip, lie and redirect: the cache ends with the true bytes or with nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hub::cache::Cache;
use hub::client::{Address, Client, Error, Options, Pulled};
use hub::domain::digest::Digest;
use hub::domain::manifest::{Manifest, ManifestEntry};
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::path::RepoPath;
use hub::domain::revision::Revision;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: BTreeMap<String, String>,
}

impl Seen {
    /// The range asked for, if any.
    fn range(&self) -> Option<Range<usize>> {
        let (first, last) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some(first.parse().ok()?..last.parse::<usize>().ok()? + 1)
    }

    /// The bytes asked for.
    fn of<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        &file[self.range().unwrap_or(0..file.len())]
    }
}

/// Raw bytes of an answer; the connection closes after them.
type Answer = Box<dyn Fn(&Seen, &[u8], usize) -> Vec<u8> + Send + Sync>;

/// A server with one model of some files, which sends files as `answer` says: (request, whole file, how often
/// this file was asked for before) -> the answer's bytes.
struct Hostile {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    manifest: Manifest,
}

impl Hostile {
    fn start(files: BTreeMap<String, Vec<u8>>, answer: Answer) -> Hostile {
        Hostile::claiming(manifest(&files), files, answer)
    }

    /// Its list of files may be another than that of the files it has.
    fn claiming(manifest: Manifest, files: BTreeMap<String, Vec<u8>>, answer: Answer) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (list, log) = (manifest_json(&manifest), seen.clone());
        let shared = Arc::new((files, answer, list));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, log) = (shared.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &shared.0, &shared.1, &shared.2, &log));
            }
        });
        Hostile { address, seen, manifest }
    }

    async fn pull(&self, folder: &Path) -> Result<Pulled, Error> {
        let client = Client::new(Address::parse(&self.address).unwrap(), Options::default()).unwrap();
        let cache = Cache::open(folder).unwrap();
        client.pull(&cache, RepoKind::Model, &RepoId::parse("acme/net").unwrap(), &Revision::main()).await
    }

    fn file_requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path.contains("/files/")).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, answer: &Answer, list: &str, log: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let seen = Seen { path: path.clone(), headers };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.iter().filter(|other| other.path == path).count() - 1
    };
    let bytes = match path.split_once("/files/") {
        Some((_, name)) => answer(&seen, &files[name], before),
        None => head(200, &[("content-type", "application/json"), ("content-length", &list.len().to_string())], list.as_bytes()),
    };
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = reader.read(&mut [0; 1024]);
}

fn head(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    let mut bytes = (text + "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What an honest server sends, its body changed or cut by `spoil` (the headers promise the honest length).
fn honest(seen: &Seen, file: &[u8], spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = seen.of(file).to_vec();
    let length = body.len().to_string();
    spoil(&mut body);
    let etag = format!("\"{}\"", Digest::of(file));
    match seen.range() {
        Some(range) => {
            let range = format!("bytes {}-{}/{}", range.start, range.end - 1, file.len());
            head(206, &[("content-length", &length), ("etag", &etag), ("content-range", &range)], &body)
        }
        None => head(200, &[("content-length", &length), ("etag", &etag)], &body),
    }
}

/// The whole file, whatever was asked for.
fn whole(file: &[u8]) -> Vec<u8> {
    head(200, &[("content-length", &file.len().to_string())], file)
}

fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Manifest {
    let entry = |(path, bytes): (&String, &Vec<u8>)| ManifestEntry {
        path: RepoPath::parse(path).unwrap(),
        size_bytes: bytes.len() as u64,
        digest: Digest::of(bytes),
    };
    Manifest::new(files.iter().map(entry).collect()).unwrap()
}

fn manifest_json(manifest: &Manifest) -> String {
    let file = |e: &ManifestEntry| serde_json::json!({"path": e.path.as_str(), "size_bytes": e.size_bytes, "sha256": e.digest.to_hex()});
    let files: Vec<_> = manifest.entries().iter().map(file).collect();
    let version = serde_json::json!({
        "number": 1, "commit": manifest.commit_id().as_str(), "manifest": manifest.digest().to_hex(), "author": "acme", "message": "",
        "created": "2026-01-01T00:00:00.000Z", "state": "live", "files": files.len(), "total_bytes": manifest.total_bytes(),
    });
    serde_json::json!({"repo": "acme/net", "kind": "model", "version": version, "files": files}).to_string()
}

fn random_file(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Fetched as one, and in three pieces.
const SIZES: [usize; 2] = [50_000, 20_000_000];

fn one_file(length: usize) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("model.safetensors".to_owned(), random_file(1, length))])
}

/// Every file below `folder` that has a final name. (The proved list of files is kept from the beginning.)
fn finals(folder: &Path) -> Vec<String> {
    ["blobs", "snapshots", "refs"]
        .iter()
        .flat_map(|room| walkdir::WalkDir::new(folder.join(room)))
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().display().to_string())
        .collect()
}

async fn is_refused(name: &str, answer: impl Fn(&Seen, &[u8], usize) -> Vec<u8> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    for size in SIZES {
        let folder = tempfile::tempdir().unwrap();
        let shared = answer.clone();
        let server = Hostile::start(one_file(size), Box::new(move |seen, file, before| shared(seen, file, before)));
        let error = server.pull(folder.path()).await.err().unwrap_or_else(|| panic!("{name}: was accepted"));
        assert_eq!(error.exit_code(), 5, "{name}: {error}");
        assert!(error.to_string().contains("model.safetensors"), "{name}: the file is not named: {error}");
        assert_eq!(finals(folder.path()), Vec::<String>::new(), "{name}: something got its final name");
        let parts = std::fs::read_dir(folder.path().join("partial")).unwrap().count();
        assert_eq!(parts, 0, "{name}: untrue bytes were kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn untrue_answers_are_refused() {
    is_refused("one bit flipped", |seen, file, _| honest(seen, file, |body| body[30_000] ^= 1)).await;
    is_refused("a longer body", |_, file, _| whole(&[file, &[0]].concat())).await;
    is_refused("a body without an end", |_, file, _| head(200, &[], &[file, &vec![0; 1 << 20]].concat())).await;
    is_refused("a shorter length", |_, file, _| whole(&file[..file.len() - 1])).await;
    is_refused("an encoded body", |seen, file, _| {
        let length = seen.of(file).len().to_string();
        head(200, &[("content-encoding", "gzip"), ("content-length", &length)], seen.of(file))
    })
    .await;
}

/// The headers of an answer to a range of a file of so many bytes.
type Headers = fn(Range<usize>, usize) -> Vec<(&'static str, String)>;

/// Cuts first where the whole is asked for, so that a range is asked for; then answers the range with `headers`,
/// the bytes of it and its full-length promise.
fn lying_range(headers: Headers) -> impl Fn(&Seen, &[u8], usize) -> Vec<u8> {
    move |seen, file, _| {
        let Some(range) = seen.range() else { return honest(seen, file, |body| body.truncate(20_000)) };
        let body = seen.of(file);
        let mut headers = headers(range, file.len());
        headers.push(("content-length", body.len().to_string()));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        head(206, &headers, body)
    }
}

fn says(first: usize, last: usize, size: usize) -> Vec<(&'static str, String)> {
    vec![("content-range", format!("bytes {first}-{last}/{size}"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_ranges_are_refused() {
    is_refused("a range from elsewhere", lying_range(|range, size| says(range.start + 1, range.end - 1, size))).await;
    is_refused("a range that ends behind", lying_range(|range, size| says(range.start, range.end, size))).await;
    is_refused("another size", lying_range(|range, size| says(range.start, range.end - 1, size + 1))).await;
    is_refused("a 206 without a range", lying_range(|_, _| vec![])).await;
    is_refused("a range that is none", lying_range(|_, _| vec![("content-range", "bytes -5-/*".to_owned())])).await;
    is_refused(
        "another file's range",
        lying_range(|range, size| {
            let etag = ("etag", format!("\"{}\"", "0".repeat(64)));
            [says(range.start, range.end - 1, size), vec![etag]].concat()
        }),
    )
    .await;
    is_refused("a file that changes between two ranges", |seen, file, _| match seen.range() {
        Some(range) if range.start > 0 => {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, file.len());
            head(206, &[("content-range", &text), ("etag", "\"another\"")], seen.of(file))
        }
        _ => honest(seen, file, |body| body.truncate(body.len() - 1)),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_bad_copy_is_fetched_once_more() {
    for (size, requests) in SIZES.into_iter().zip([2, 6]) {
        let folder = tempfile::tempdir().unwrap();
        let flip_once = |seen: &Seen, file: &[u8], before: usize| honest(seen, file, |body| body[7] ^= u8::from(before == 0));
        let server = Hostile::start(one_file(size), Box::new(flip_once));
        let pulled = server.pull(folder.path()).await.unwrap();
        assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), random_file(1, size));
        assert_eq!(server.file_requests().len(), requests);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_goes_on_where_it_broke() {
    let files: BTreeMap<String, Vec<u8>> = (0..6).map(|n| (format!("weights/{n}.bin"), random_file(n, 300_000))).collect();
    let cuts = Mutex::new(ChaCha8Rng::seed_from_u64(44));
    // Each file breaks off twice at an offset drawn at random, also in the middle of a range.
    let cutting = move |seen: &Seen, file: &[u8], before: usize| {
        let left = seen.of(file).len();
        let at = cuts.lock().unwrap().random_range(1..left);
        honest(seen, file, |body| body.truncate(if before < 2 { at } else { left }))
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Hostile::start(files.clone(), Box::new(cutting));
    let pulled = server.pull(folder.path()).await.unwrap();
    for (path, bytes) in &files {
        assert_eq!(&std::fs::read(pulled.path.join(path)).unwrap(), bytes, "{path}");
    }
    let requests = server.file_requests();
    assert_eq!(requests.len(), 18, "three requests a file");
    assert!(requests.iter().filter(|seen| seen.range().is_some()).count() == 12, "each repeat went on with a range");

    let again = server.pull(folder.path()).await.unwrap();
    assert_eq!((again.fetched_files, again.path), (0, pulled.path));
    assert_eq!(server.file_requests().len(), 18, "the second pull transferred something");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_break_off_go_on_and_no_byte_comes_twice() {
    let (random, sent) = (Mutex::new(ChaCha8Rng::seed_from_u64(45)), Arc::new(AtomicU64::new(0)));
    let counted = sent.clone();
    // Nine answers of ten or so break off somewhere.
    let cutting = move |seen: &Seen, file: &[u8], before: usize| {
        let left = seen.of(file).len();
        let at = if before < 30 { random.lock().unwrap().random_range(1..=left) } else { left };
        counted.fetch_add(at as u64, Ordering::Relaxed);
        honest(seen, file, |body| body.truncate(at))
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Hostile::start(one_file(SIZES[1]), Box::new(cutting));
    let pulled = server.pull(folder.path()).await.unwrap();
    assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), random_file(1, SIZES[1]));
    let requests = server.file_requests();
    assert_eq!(sent.load(Ordering::Relaxed), SIZES[1] as u64, "in {} requests", requests.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_ranges_or_is_busy_still_serves() {
    for size in SIZES {
        let stubborn = |_: &Seen, file: &[u8], before: usize| match before {
            0 => head(503, &[("retry-after", "0"), ("content-length", "0")], b""),
            1 => head(200, &[("content-length", &file.len().to_string())], &file[..10_000]),
            _ => whole(file),
        };
        let folder = tempfile::tempdir().unwrap();
        let server = Hostile::start(one_file(size), Box::new(stubborn));
        let pulled = server.pull(folder.path()).await.unwrap();
        assert_eq!(pulled.manifest, server.manifest);
        assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), random_file(1, size));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_ranges_half_way_still_serves() {
    let forgetful = |seen: &Seen, file: &[u8], before: usize| if before < 2 { honest(seen, file, |_| ()) } else { whole(file) };
    let folder = tempfile::tempdir().unwrap();
    let server = Hostile::start(one_file(SIZES[1]), Box::new(forgetful));
    let pulled = server.pull(folder.path()).await.unwrap();
    assert_eq!(std::fs::read(pulled.path.join("model.safetensors")).unwrap(), random_file(1, SIZES[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_not_begun() {
    let files = one_file(50_000);
    let mut entries = manifest(&files).entries().to_vec();
    entries[0].size_bytes = 1 << 60;
    let server = Hostile::claiming(Manifest::new(entries).unwrap(), files, Box::new(|seen, file, _| honest(seen, file, |_| ())));
    let folder = tempfile::tempdir().unwrap();
    let error = server.pull(folder.path()).await.unwrap_err();
    assert_eq!((error.code(), server.file_requests().len()), ("disk_full", 0));
    assert!(error.to_string().contains(&(1u64 << 60).to_string()), "it does not say how much is needed: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_cache_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let server = Hostile::start(one_file(50_000), Box::new(|seen, file, _| honest(seen, file, |_| ())));
    let pulled = server.pull(folder.path()).await.unwrap();
    let file = pulled.path.join("model.safetensors");
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&file, permissions).unwrap();
    std::fs::write(&file, vec![0; 50_000]).unwrap();
    let again = server.pull(folder.path()).await.unwrap();
    assert_eq!(again.fetched_files, 1);
    assert_eq!(std::fs::read(&file).unwrap(), random_file(1, 50_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stays_with_its_server() {
    let honest_server = Hostile::start(one_file(1_000), Box::new(|seen, file, _| honest(seen, file, |_| ())));
    let target = honest_server.address.replace("127.0.0.1", "localhost");
    let redirecting =
        move |seen: &Seen, _: &[u8], _: usize| head(307, &[("location", &format!("{target}{}", seen.path)), ("content-length", "0")], b"");
    let server = Hostile::start(one_file(1_000), Box::new(redirecting));
    let folder = tempfile::tempdir().unwrap();
    let options = Options { token: Some("hub_secret".into()), ..Options::default() };
    let client = Client::new(Address::parse(&server.address).unwrap(), options).unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    client.pull(&cache, RepoKind::Model, &RepoId::parse("acme/net").unwrap(), &Revision::main()).await.unwrap();
    let first = server.file_requests();
    assert_eq!(first[0].headers.get("authorization").map(String::as_str), Some("Bearer hub_secret"));
    let second = honest_server.file_requests();
    assert_eq!(second.len(), 1);
    assert!(!second[0].headers.contains_key("authorization"), "the token went to another host");
}

#[test]
fn a_token_does_not_travel_in_the_open() {
    let make = |address: &str, token: Option<&str>, insecure| {
        let options = Options { token: token.map(str::to_owned), insecure, ..Options::default() };
        Client::new(Address::parse(address).unwrap(), options).map(|_| ())
    };
    assert!(matches!(make("http://10.0.0.5:8080", Some("hub_x"), false), Err(Error::Insecure { .. })));
    assert!(make("http://10.0.0.5:8080", Some("hub_x"), true).is_ok());
    assert!(make("http://10.0.0.5:8080", None, false).is_ok());
    assert!(make("http://127.0.0.1:8080", Some("hub_x"), false).is_ok());
    assert!(matches!(make("http://127.0.0.1:8080", Some("hub_x\r\nx: y"), false), Err(Error::Input { .. })));
}
