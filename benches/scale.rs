//! What lists, facets, searches and pages cost as a catalog grows: `cargo bench --bench scale -- --repos 10000,100000 --engines sqlite,postgres`.
//!
//! Catalogs are written by the catalog's own functions, two versions a repo and three files a version; a real server answers eight clients at once
//! over connections that are kept. Prints `p50 NAME VALUE`, `p99 NAME VALUE` (milliseconds) and, from the smallest to the largest catalog,
//! `ratio growth-NAME VALUE`; besides, how long the catalog took to write, how large it is and its derived tables are, and how soon a server is ready.
//! `SCALE_DIR` keeps the catalogs in files and uses them again. Those in PostgreSQL are in a server that is started for it, and their names end in
//! `-postgres`. In the smallest catalog it is also measured how much goes through at once (`throughput`); `ratio publishes` and `ratio claims` hold two
//! nodes on PostgreSQL against one on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "connection/mod.rs"]
mod connection;
#[path = "../tests/scale_kit/mod.rs"]
mod scale_kit;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "throughput/mod.rs"]
mod throughput;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use connection::Connection;
use hub::catalog::search::rebuild;
use hub::db::Db;
use hub::domain::name::RepoKind;
use scale_kit::{Draw, TASKS, drawn, put};
use support::Server;
use support::postgres::Cluster;

const CLIENTS: u64 = 8;
/// Requests of one client for one kind of page.
const REQUESTS: u64 = 60;
const AT_ONCE: u64 = 500;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let given =
        |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).map(String::as_str);
    let sizes = given("--repos").unwrap_or("10000,100000,1000000").split(',');
    let sizes: Vec<u64> = sizes.map(|size| size.parse().expect("--repos takes numbers, such as 10000,100000")).collect();
    let scratch = tempfile::tempdir().unwrap();
    let folder = std::env::var("SCALE_DIR").map_or(scratch.path().to_owned(), PathBuf::from);
    let mut through: Vec<throughput::Rates> = Vec::new();
    for engine in given("--engines").unwrap_or("sqlite,postgres").split(',') {
        assert!(["sqlite", "postgres"].contains(&engine), "--engines takes sqlite and postgres");
        let cluster = (engine == "postgres").then(cluster);
        through.push(engine_of(&sizes, &folder, cluster.as_ref()));
    }
    if let [file, server] = &through[..] {
        for ((name, one), (_, two)) in file.iter().zip(server) {
            println!("ratio {name}-postgres-to-sqlite {:.2}", two / one.max(0.001));
        }
    }
}

/// All sizes on one engine; how much goes through at once in the first.
fn engine_of(sizes: &[u64], folder: &Path, cluster: Option<&Cluster>) -> throughput::Rates {
    let (mut first, mut rates) = (None::<Vec<(&'static str, f64)>>, Vec::new());
    for &many in sizes {
        let data = folder.join(format!("hub-{many}{}", ending(cluster.is_some())));
        let database = cluster.map(Cluster::database);
        fill(&data, many, database.as_deref());
        let measured = measure(&data, many, database.as_deref());
        match &first {
            None => {
                first = Some(measured);
                rates = throughput::measure(&data, many, database.as_deref(), ending(cluster.is_some()));
            }
            Some(first) => {
                for ((name, before), (_, after)) in first.iter().zip(&measured) {
                    println!("ratio growth-{name}-{many}{} {:.2}", ending(cluster.is_some()), after / before.max(0.001));
                }
            }
        }
        if let Some(cluster) = cluster {
            // Of a million repos there is room for one.
            cluster.drop_database(database.as_deref().unwrap_or_default());
        }
    }
    rates
}

/// A server as one with two gigabytes to itself would be set up.
fn cluster() -> Cluster {
    let settings = ["shared_buffers=1GB", "effective_cache_size=2GB", "work_mem=32MB", "max_wal_size=4GB"];
    Cluster::start_on(5432, |_| settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect())
}

fn ending(is_postgres: bool) -> &'static str {
    if is_postgres { "-postgres" } else { "" }
}

fn fill(data: &Path, many: u64, database: Option<&str>) {
    let file = data.join("hub.db");
    if database.is_none() && file.is_file() {
        return;
    }
    if database.is_some() {
        // What another run has left belongs to a database that is gone.
        let _ = std::fs::remove_dir_all(data);
    }
    std::fs::create_dir_all(data).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let db = match database {
            Some(address) => Db::connect(address).await.unwrap(),
            None => Db::open(&file).await.unwrap(),
        };
        db.write(|tx| rebuild::some(tx).map(drop)).await.unwrap();
        for from in (0..many).step_by(AT_ONCE as usize) {
            let write = move |tx: &mut hub::db::Tx<'_>| (from..many.min(from + AT_ONCE)).try_for_each(|at| put(tx, &drawn(at, many), 2));
            db.write(write).await.unwrap();
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{many} repos written: {seconds:.1} s, {:.0} repos/s, {} MB", many as f64 / seconds, size(&file) / 1_000_000);
        let begun = Instant::now();
        db.write(rebuild::begin_again).await.unwrap();
        while db.write(rebuild::some).await.unwrap() > 0 {}
        println!("{many} derived tables made again: {:.0} repos/s", many as f64 / begun.elapsed().as_secs_f64());
    });
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

/// What is asked for: a name, and an address that differs from request to request.
type Asked = (&'static str, fn(&mut Draw, u64) -> String);

const ASKED: &[Asked] = &[
    ("home", |_, _| "/".into()),
    ("models", |draw, _| format!("/models?sort={}", ["downloads", "newest", "size", "top1", "name"][draw.below(5) as usize])),
    ("facet", |draw, _| format!("/models?task={}", TASKS[draw.skewed(5) as usize])),
    ("facets", |draw, many| {
        let like = drawn(draw.below(many), many).facts;
        format!("/models?task={}&license={}&tag={}", like.task, like.license, like.tags[0])
    }),
    ("source-dataset", |draw, many| format!("/models?source_dataset=set{}", draw.skewed(many / 20 + 3))),
    ("search-one-word", |draw, _| format!("/search?q=word{}", draw.skewed(3_000))),
    ("search-words", |draw, _| format!("/search?q=resnet+word{}+word{}", draw.skewed(300), draw.skewed(300))),
    ("suggest", |draw, _| format!("/api/v1/suggest?q={}", ["r", "re", "resn", "mob", "image-", "set", "ns1"][draw.below(7) as usize])),
    ("model", |draw, many| page(draw, many, RepoKind::Model)),
    ("dataset", |draw, many| page(draw, many, RepoKind::Dataset)),
    ("hf-list", |draw, many| {
        let like = drawn(draw.below(many), many).facts;
        let tag = &like.tags[0];
        format!("/api/models?filter={tag}&pipeline_tag={}&sort=downloads&num_parameters=max:150M&limit=20", like.task)
    }),
    ("far-page", |draw, _| format!("/api/v1/models?sort=name&reversed={}&limit=100", draw.below(2) == 0)),
];

/// The page of a public repo.
fn page(draw: &mut Draw, many: u64, kind: RepoKind) -> String {
    loop {
        let one = drawn(draw.below(many), many).repo;
        if one.kind == kind && !one.private {
            return if kind == RepoKind::Model { format!("/{}", one.id) } else { format!("/datasets/{}", one.id) };
        }
    }
}

fn measure(data: &Path, many: u64, database: Option<&str>) -> Vec<(&'static str, f64)> {
    let begun = Instant::now();
    let mut environment = vec![("HUB_MAX_REQUESTS_PER_MINUTE", "100000000")];
    environment.extend(database.map(|address| ("HUB_DB", address)));
    let (server, end) = (Server::start_on(data, &["--workers", "0"], &environment), ending(database.is_some()));
    println!("{many} ready after {:.2} s", begun.elapsed().as_secs_f64());
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut measured = Vec::new();
    for (name, of) in ASKED {
        // Warm.
        clients(&address, many, *of, 0, REQUESTS / 6);
        let mut times = clients(&address, many, *of, 1, REQUESTS);
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("p50 {name}-{many}{end} {:.2}", at(0.5));
        println!("p99 {name}-{many}{end} {:.2}", at(0.99));
        measured.push((*name, at(0.5)));
    }
    println!("{many} resident {} MB", resident(server.pid()) / 1_000);
    measured
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0)
}

fn clients(address: &str, many: u64, of: fn(&mut Draw, u64) -> String, seed: u64, requests: u64) -> Vec<Duration> {
    let ask = |client: u64| {
        let mut draw = Draw::new(seed * 1_000 + client);
        let mut connection = Connection::open(address);
        (0..requests).map(|_| connection.get(&of(&mut draw, many))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    })
}
