//! A real PostgreSQL cluster for tests: thrown away with the process that started it, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Starts and stops the server as it is told, ends it when nobody is there any more, and takes its folder away.
const KEEPER: &str = r#"
dir=$1; bin=$2; shift 2
up() { "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=300 "$@" \
    >>"$dir/log" 2>&1 & server=$!; }
up "$@"
while read -r what; do
    case $what in
    stop) kill -QUIT $server; wait $server; echo stopped ;;
    start) up "$@"; echo started ;;
    esac
done
kill -QUIT $server; wait $server; rm -rf "$dir"
"#;

/// A cluster of its own, reached by a socket in its folder.
pub struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    keeper: Child,
    said: BufReader<ChildStdout>,
}

/// Where the next database gets its name.
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::start_on(5432, |_| Vec::new())
    }

    /// One with further settings, which may name files that are made in its folder first; its sockets are of this port.
    pub fn start_on(port: u16, prepare: impl FnOnce(&Path) -> Vec<String>) -> Cluster {
        let bin = programs();
        let dir = tempfile::Builder::new().prefix("hub-pg.").tempdir().unwrap().keep();
        let user = unprivileged();
        if let Some((user, group)) = user {
            chown(&dir, Some(user), Some(group)).unwrap();
        }
        let run = |program: &Path| {
            let mut command = Command::new(program);
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir(&dir).env("HOME", &dir).env("LC_ALL", "C");
            command
        };
        let made = run(&bin.join("initdb"))
            .arg("-D")
            .arg(dir.join("data"))
            .args(["-A", "trust", "-U", "hub", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = prepare(&dir);
        if let Some((user, group)) = user {
            for entry in std::fs::read_dir(&dir).unwrap() {
                chown(entry.unwrap().path(), Some(user), Some(group)).unwrap();
            }
        }
        let mut keeper = run(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "sh"])
            .args([&dir, &bin])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(keeper.stdout.take().unwrap());
        let cluster = Cluster { dir, bin, port, keeper, said };
        cluster.answers();
        cluster
    }

    /// The one of all tests of this process that harm nothing.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start)
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        let name = format!("hub_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        // A language that sorts otherwise than bytes do, where there is one: nothing may depend on it.
        let other =
            format!("create database {name} template template0 encoding 'UTF8' locale_provider icu icu_locale 'und' locale 'C.UTF-8'");
        if self.try_ask("postgres", &other).is_err() {
            self.ask("postgres", &format!("create database {name}"));
        }
        format!("postgres:///{name}?host={}&port={}&user=hub", self.dir.display(), self.port)
    }

    /// Takes a database away, whoever is still connected.
    pub fn drop_database(&self, address: &str) {
        self.ask("postgres", &format!("drop database {} with (force)", name_of(address)));
    }

    /// What `psql` answers in a database.
    pub fn ask(&self, database: &str, sql: &str) -> String {
        let answer = self.try_ask(database, sql);
        answer.unwrap_or_else(|problem| panic!("psql: {problem}\n{}", std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()))
    }

    fn try_ask(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(self.bin.join("psql"));
        command.arg("-h").arg(&self.dir).args(["-p", &self.port.to_string()]);
        command.args(["-U", "hub", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, database]);
        let answer = command.output().map_err(|e| e.to_string())?;
        match answer.status.success() {
            true => Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&answer.stderr).into_owned()),
        }
    }

    /// The folder it lies in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn answers(&self) {
        let begun = Instant::now();
        while let Err(problem) = self.try_ask("postgres", "select 1") {
            assert!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL does not start: {problem}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server as a crash would; nobody answers at its address any more.
    pub fn stop(&mut self) {
        self.tell("stop", "stopped");
    }

    pub fn start_again(&mut self) {
        self.tell("start", "started");
        self.answers();
    }

    fn tell(&mut self, what: &str, done: &str) {
        writeln!(self.keeper.stdin.as_mut().unwrap(), "{what}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), done);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The name of the database of an address that [`Cluster::database`] gave.
pub fn name_of(address: &str) -> &str {
    address.trim_start_matches("postgres:///").split('?').next().unwrap()
}

/// The newest of the versions that are installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| ["initdb", "postgres", "psql"].iter().all(|program| bin.join(program).is_file()))
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = || std::env::split_paths(&path).find(|dir| ["initdb", "postgres", "psql"].iter().all(|name| dir.join(name).is_file()));
    found.pop().map(|(_, bin)| bin).or_else(elsewhere).expect("PostgreSQL is not installed; run `bash .ci/packages test`")
}

/// PostgreSQL does not run as root: the user that it is installed with, or nobody. `None` for who is not root.
fn unprivileged() -> Option<(u32, u32)> {
    // SAFETY: asks a number of the kernel.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}
