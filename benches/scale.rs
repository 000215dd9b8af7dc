//! What lists, facets, searches and pages cost as a catalog grows: `cargo bench --bench scale -- --repos 10000,100000 --engines sqlite,postgres`.
//!
//! Catalogs are written by the catalog's own functions, two versions a repo and three files a version; a real server answers eight clients at once
//! over connections that are kept, and then one alone. Prints for each thing that is asked for
//!
//! ```text
//! p50 NAME VALUE, p99 NAME VALUE        milliseconds, eight clients at once
//! alone NAME VALUE                      milliseconds, 99 of 100 requests of one client: what the server itself takes
//! weight NAME VALUE                     the largest answer, kilobytes, unpacked
//! ratio growth-NAME VALUE               from the smallest to this catalog
//! ```
//!
//! besides, how long the catalog took to write, how large it is and its derived tables are, how soon a server is ready and what it holds in memory. Of the
//! largest catalog every goal has a line (`goal NAME VALUE (at most MOST): met`); a catalog is warm, and the goals are for SQLite on two cores.
//! `SCALE_DIR` keeps the catalogs in files and uses them again. Those in PostgreSQL are in a server that is started for it, and their names end in
//! `-postgres`. In the smallest catalog it is also measured how much goes through at once (`throughput`); `ratio publishes` and `ratio claims` hold two
//! nodes on PostgreSQL against one on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

#[path = "asked/mod.rs"]
mod asked;
#[path = "connection/mod.rs"]
mod connection;
#[path = "goals/mod.rs"]
mod goals;
#[path = "../tests/scale_kit/mod.rs"]
mod scale_kit;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "throughput/mod.rs"]
mod throughput;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use asked::{ASKED, Asked, put_sources};
use connection::Connection;
use goals::Goals;
use hub::catalog::search::rebuild;
use hub::db::Db;
use scale_kit::{Draw, drawn, put};
use support::Server;
use support::postgres::Cluster;

const CLIENTS: u64 = 8;
/// Requests of one client for one kind of page.
const REQUESTS: u64 = 60;
/// Of the one that asks alone.
const REQUESTS_ALONE: u64 = 200;
const AT_ONCE: u64 = 500;
/// What is made from the catalog and could be made again.
const DERIVED: [&str; 7] = ["terms", "listing", "listing_terms", "repo_measures", "vocabulary", "lineage_pending", "listing_state"];
const DERIVED_TEXTS: &str = "search_index";

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
    let (mut through, mut goals): (Vec<throughput::Rates>, _) = (Vec::new(), Goals::default());
    for engine in given("--engines").unwrap_or("sqlite,postgres").split(',') {
        assert!(["sqlite", "postgres"].contains(&engine), "--engines takes sqlite and postgres");
        let cluster = (engine == "postgres").then(cluster);
        through.push(engine_of(&sizes, &folder, cluster.as_ref(), &mut goals));
    }
    if let [file, server] = &through[..] {
        for ((name, one), (_, two)) in file.iter().zip(server) {
            println!("ratio {name}-postgres-to-sqlite {:.2}", two / one.max(0.001));
            if ["publishes", "claims"].contains(name) {
                goals.at_least(&format!("{name}-of-two-nodes"), two / one.max(0.001), goals::NODES);
            }
        }
    }
    goals.sum_up();
}

/// All sizes on one engine, the largest held against the goals; how much goes through at once in the first.
fn engine_of(sizes: &[u64], folder: &Path, cluster: Option<&Cluster>, goals: &mut Goals) -> throughput::Rates {
    let (mut first, mut rates, end) = (None::<Vec<Found>>, Vec::new(), ending(cluster.is_some()));
    idle(folder, cluster, goals);
    for (at, &many) in sizes.iter().enumerate() {
        let data = folder.join(format!("hub-{many}{end}"));
        let database = cluster.map(Cluster::database);
        let written = fill(&data, many, database.as_deref());
        let measured = measure(&data, many, database.as_deref());
        if at + 1 == sizes.len() {
            judge(&format!("{many}{end}"), &written, &measured, goals);
        }
        match &first {
            None => {
                rates = throughput::measure(&data, many, database.as_deref(), end);
                judge_rates(&rates, end, goals);
                first = Some(measured.found);
            }
            Some(first) => {
                for (before, after) in first.iter().zip(&measured.found) {
                    let (name, growth) = (format!("growth-{}-{many}{end}", before.name), after.p50 / before.p50.max(0.001));
                    println!("ratio {name} {growth:.2}");
                    if at + 1 == sizes.len() {
                        goals.at_most(&name, growth, goals::GROWTH);
                    }
                }
            }
        }
        if let Some(cluster) = cluster {
            // Of a million repos there is room for one.
            cluster.drop_database(database.as_deref().unwrap_or_default());
        }
    }
    if sizes.len() == 1 {
        goals.not_measured(&format!("growth{end}"), "one size alone was asked for");
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

/// What a hub takes that has nothing and does nothing.
fn idle(folder: &Path, cluster: Option<&Cluster>, goals: &mut Goals) {
    std::fs::create_dir_all(folder).unwrap();
    let (data, database) = (tempfile::tempdir_in(folder).unwrap(), cluster.map(Cluster::database));
    let (server, _) = start(data.path(), database.as_deref());
    let mut connection = Connection::open(server.authority());
    for path in ["/", "/models", "/datasets"] {
        connection.get(path);
    }
    std::thread::sleep(Duration::from_secs(2));
    goals.at_most(&format!("idle-resident-mb{}", ending(cluster.is_some())), resident_mb(server.pid()), goals::IDLE_MB);
    drop(server);
    if let (Some(cluster), Some(database)) = (cluster, database) {
        cluster.drop_database(&database);
    }
}

/// What writing a catalog told.
struct Written {
    /// Repos a second whose derived tables were made again; nothing of a catalog that was kept.
    rebuilt: Option<f64>,
    /// Bytes of derived tables for each byte of the others.
    derived_share: f64,
}

fn fill(data: &Path, many: u64, database: Option<&str>) -> Written {
    let file = data.join("hub.db");
    let kept = database.is_none() && file.is_file();
    if database.is_some() {
        // What another run has left belongs to a database that is gone.
        let _ = std::fs::remove_dir_all(data);
    }
    std::fs::create_dir_all(data).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let db = match database {
            Some(address) => Db::connect(address).await.unwrap(),
            None => Db::open(&file).await.unwrap(),
        };
        let rebuilt = if kept { None } else { Some(write(&db, many, &file).await) };
        db.write(move |tx| put_sources(tx, many)).await.unwrap();
        let (derived, others) = sizes(&db, database.is_some()).await;
        let derived_share = derived / others.max(1.0);
        println!("{many} derived tables: {:.0} MB beside {:.0} MB, {:.0} %", derived / 1e6, others / 1e6, 100.0 * derived_share);
        Written { rebuilt, derived_share }
    })
}

/// Writes the repos, and their derived tables once more; of how many a second.
async fn write(db: &Db, many: u64, file: &Path) -> f64 {
    let begun = Instant::now();
    db.write(|tx| rebuild::some(tx).map(drop)).await.unwrap();
    for from in (0..many).step_by(AT_ONCE as usize) {
        let write = move |tx: &mut hub::db::Tx<'_>| (from..many.min(from + AT_ONCE)).try_for_each(|at| put(tx, &drawn(at, many), 2));
        db.write(write).await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let size = std::fs::metadata(file).map_or(0, |file| file.len());
    println!("{many} repos written: {seconds:.1} s, {:.0} repos/s, {} MB", many as f64 / seconds, size / 1_000_000);
    let begun = Instant::now();
    db.write(rebuild::begin_again).await.unwrap();
    while db.write(rebuild::some).await.unwrap() > 0 {}
    let rebuilt = many as f64 / begun.elapsed().as_secs_f64();
    println!("{many} derived tables made again: {rebuilt:.0} repos/s");
    rebuilt
}

/// Bytes of derived tables with their indexes, and of all others.
async fn sizes(db: &Db, is_postgres: bool) -> (f64, f64) {
    let sql = match is_postgres {
        true => "select cast(relname as text) as name, pg_total_relation_size(relid) as bytes from pg_catalog.pg_stat_user_tables",
        false => {
            "select m.tbl_name as name, cast(sum(s.pgsize) as integer) as bytes from dbstat s join sqlite_schema m on m.name = s.name \
             where s.aggregate = 1 group by m.tbl_name"
        }
    };
    let tables = db.read(move |tx| {
        tx.all(sql, &[])?.iter().map(|row| Ok((row.text("name")?, row.int("bytes")?))).collect::<hub::db::Result<Vec<_>>>()
    });
    let (mut derived, mut others) = (0.0, 0.0);
    for (name, bytes) in tables.await.unwrap() {
        let is_derived = DERIVED.contains(&name.as_str()) || name.starts_with(DERIVED_TEXTS);
        *(if is_derived { &mut derived } else { &mut others }) += bytes as f64;
    }
    (derived, others)
}

/// One kind of request, as it was answered.
struct Found {
    name: &'static str,
    is_page: bool,
    /// Milliseconds, eight clients at once.
    p50: f64,
    p99: f64,
    /// Of one client alone, 99 of 100.
    alone: f64,
    kilobytes: f64,
}

struct Measured {
    found: Vec<Found>,
    ready_seconds: f64,
    resident_mb: f64,
}

/// A server on a catalog, and how long it took until it answered.
fn start(data: &Path, database: Option<&str>) -> (Server, f64) {
    let begun = Instant::now();
    let mut environment = vec![("HUB_MAX_REQUESTS_PER_MINUTE", "100000000")];
    environment.extend(database.map(|address| ("HUB_DB", address)));
    let server = Server::start_on(data, &["--workers", "0"], &environment);
    (server, begun.elapsed().as_secs_f64())
}

fn measure(data: &Path, many: u64, database: Option<&str>) -> Measured {
    let ((server, ready_seconds), end) = (start(data, database), ending(database.is_some()));
    println!("{many} ready after {ready_seconds:.2} s");
    let address = server.authority().to_owned();
    let mut found = Vec::new();
    for asked in ASKED {
        // Warm.
        clients(&address, many, asked, CLIENTS, (0, REQUESTS / 6));
        let times = clients(&address, many, asked, CLIENTS, (1, REQUESTS));
        let alone = clients(&address, many, asked, 1, (2, REQUESTS_ALONE));
        let kilobytes = times.iter().chain(&alone).map(|(_, bytes)| *bytes).max().unwrap_or(0) as f64 / 1e3;
        let (p50, p99, alone) = (at(&times, 0.5), at(&times, 0.99), at(&alone, 0.99));
        let name = asked.name;
        println!("p50 {name}-{many}{end} {p50:.2}\np99 {name}-{many}{end} {p99:.2}");
        println!("alone {name}-{many}{end} {alone:.2}\nweight {name}-{many}{end} {kilobytes:.1}");
        found.push(Found { name, is_page: asked.is_page, p50, p99, alone, kilobytes });
    }
    let resident_mb = resident_mb(server.pid());
    println!("{many} resident {resident_mb:.0} MB");
    Measured { found, ready_seconds, resident_mb }
}

/// Milliseconds that this share of the requests took at most.
fn at(times: &[(Duration, usize)], share: f64) -> f64 {
    let mut times: Vec<Duration> = times.iter().map(|(time, _)| *time).collect();
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

/// Holds a catalog against the goals.
fn judge(of: &str, written: &Written, measured: &Measured, goals: &mut Goals) {
    match written.rebuilt {
        Some(rebuilt) => goals.at_least(&format!("rebuilt-a-second-{of}"), rebuilt, goals::REBUILT_A_SECOND),
        None => goals.not_measured(&format!("rebuilt-a-second-{of}"), "the catalog was kept from another run (SCALE_DIR)"),
    }
    goals.at_most(&format!("derived-share-{of}"), written.derived_share, goals::DERIVED_SHARE);
    goals.at_most(&format!("ready-seconds-{of}"), measured.ready_seconds, goals::READY_SECONDS);
    goals.at_most(&format!("resident-mb-{of}"), measured.resident_mb, goals::RESIDENT_MB);
    for found in &measured.found {
        goals.at_most(&format!("p50-{}-{of}", found.name), found.p50, goals::P50_MS);
        goals.at_most(&format!("p99-{}-{of}", found.name), found.p99, goals::P99_MS);
        if found.is_page {
            goals.at_most(&format!("page-ms-{}-{of}", found.name), found.alone, goals::PAGE_MS);
            goals.at_most(&format!("page-kb-{}-{of}", found.name), found.kilobytes, goals::PAGE_KB);
        }
    }
}

/// Answers a second are asked of SQLite.
fn judge_rates(rates: &throughput::Rates, end: &str, goals: &mut Goals) {
    for (name, rate) in rates.iter().filter(|_| end.is_empty()) {
        match *name {
            "model-json" => goals.at_least("model-json-a-second", *rate, goals::JSON_A_SECOND),
            "model-page" => goals.at_least("model-page-a-second", *rate, goals::PAGES_A_SECOND),
            _ => {}
        }
    }
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// So many clients, each with so many requests drawn from a seed: how long each took, and how large its answer is.
fn clients(address: &str, many: u64, asked: &Asked, count: u64, (seed, requests): (u64, u64)) -> Vec<(Duration, usize)> {
    let ask = |client: u64| {
        let mut draw = Draw::new(seed * 1_000 + client);
        let mut connection = Connection::open(address);
        (0..requests).map(|_| connection.weigh(&(asked.path)(&mut draw, many))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..count).map(|client| scope.spawn(move || ask(client))).collect();
        asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect()
    })
}
