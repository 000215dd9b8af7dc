//! SQLite: write-ahead log, one writer, a pool of readers, `synchronous=full`, so that a commit that was
//! acknowledged survives a power cut (with `normal` thousands were seen to be lost).

mod statements;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use statements::{Open, query};

use super::engine::{Company, Engine, Haste, Held, Table};
use super::group::Queue;
use super::story::Waiting;
use super::{Error, Kind, Result, Row, Tx};

/// Idle readers kept open; more are opened when more are asked for at once.
const IDLE_READERS: usize = 16;
/// KiB of pages that each connection keeps, where the engine's own measure is 2,000: of a large catalog the upper levels of all indexes.
const KEPT_KIB: i32 = 16_384;
/// A check behind the work of others rests so many times as long as it has worked.
const REST: u32 = 4;
/// Steps of a check after which it is asked whether it is to end.
const STEPS_UNSTOPPED: i32 = 1_000;

#[derive(Clone)]
pub(super) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// How further connections are opened.
    connect: fn(&Path) -> Result<Connection>,
    writer: Mutex<Connection>,
    /// Stories that wait for the writer.
    queue: Queue,
    readers: Mutex<Vec<Connection>>,
    /// Checks are to end.
    stopping: Arc<AtomicBool>,
    steps: AtomicU64,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Sqlite> {
        Sqlite::open_with(path, connect)
    }

    pub(super) fn open_copy(path: &Path) -> Result<Sqlite> {
        Sqlite::open_with(path, connect_copy)
    }

    fn open_with(path: &Path, connect: fn(&Path) -> Result<Connection>) -> Result<Sqlite> {
        let writer = Mutex::new(connect(path)?);
        let shared = Shared {
            path: path.to_owned(),
            connect,
            writer,
            queue: Queue::default(),
            readers: Mutex::default(),
            stopping: Arc::default(),
            steps: AtomicU64::default(),
        };
        Ok(Sqlite { shared: Arc::new(shared) })
    }

    /// All rows of a pragma's answer.
    fn ask(&self, pragma: &str) -> Result<Vec<Row>> {
        let mut rows = Ok(Vec::new());
        self.read(&mut |tx| {
            rows = tx.all(pragma, &[]);
            rows.is_ok()
        })?;
        rows
    }
}

impl Engine for Sqlite {
    fn kind(&self) -> Kind {
        Kind::Embedded
    }

    fn full_text_tables(&self) -> &'static str {
        include_str!("../../../migrations/0004_search.sqlite.sql")
    }

    fn read(&self, story: &mut dyn FnMut(&mut Tx<'_>) -> bool) -> Result<()> {
        let idle = self.shared.readers.lock().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => (self.shared.connect)(&self.shared.path)?,
        };
        let result = look(&mut reader, story, &self.shared.steps);
        let mut readers = self.shared.readers.lock();
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        result
    }

    /// There is one writer, whatever the company.
    fn write(&self, _: &Company, story: Box<dyn Waiting>, has_ended: &dyn Fn() -> bool) {
        self.shared.queue.push(story);
        let mut writer = self.shared.writer.lock();
        // Whoever had the writer before may have told this story along with its own.
        while !has_ended() {
            commit_together(&mut writer, self.shared.queue.next(), &self.shared.steps);
        }
    }

    fn hold(&self, _: &str, _: bool) -> Result<Option<Held>> {
        Ok(Some(Held::by(())))
    }

    /// Reads every page of the database and its indexes, on a connection of its own, which can be stopped.
    fn check(&self, haste: Haste) -> Result<()> {
        let mut connection = (self.shared.connect)(&self.shared.path)?;
        let (stopping, mut worked_since) = (self.shared.stopping.clone(), Instant::now());
        let ask = move || {
            if haste == Haste::Behind && !stopping.load(Ordering::Relaxed) {
                std::thread::sleep(worked_since.elapsed() * REST);
                worked_since = Instant::now();
            }
            stopping.load(Ordering::Relaxed)
        };
        connection.progress_handler(STEPS_UNSTOPPED, Some(ask))?;
        let rows = query(&connection, "pragma quick_check(1)", &[], &self.shared.steps)?;
        let said = rows.first().map_or(Ok("no answer".into()), |row| row.text("quick_check"))?;
        match said.as_str() {
            "ok" => Ok(()),
            _ if self.shared.stopping.load(Ordering::Relaxed) => Err(Error::Busy),
            problem => Err(Error::Corrupt(problem.lines().next().unwrap_or_default().to_owned())),
        }
    }

    fn stop_checks(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    fn steps(&self) -> u64 {
        self.shared.steps.load(Ordering::Relaxed)
    }

    fn check_all(&self) -> Result<()> {
        let problems = self.ask("pragma integrity_check(10)")?;
        let problems = problems.iter().map(|row| row.text("integrity_check")).collect::<Result<Vec<_>>>()?;
        if problems != ["ok"] {
            return Err(Error::Corrupt(problems.join("; ")));
        }
        match self.ask("pragma foreign_key_check")?.first() {
            None => Ok(()),
            Some(row) => {
                Err(Error::Corrupt(format!("a row of '{}' refers to one of '{}' that is gone", row.text("table")?, row.text("parent")?)))
            }
        }
    }

    /// A connection of its own: a transaction of the pool must not be open around it.
    fn copy_into(&self, path: &Path) -> Result<()> {
        let connection = (self.shared.connect)(&self.shared.path)?;
        connection.execute("vacuum into ?1", [path.to_string_lossy()])?;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        let folder = path.parent().unwrap_or(path);
        sync(path).and_then(|()| sync(folder)).map_err(|e| Error::Engine(format!("the copy {}: {e}", path.display())))
    }

    fn tables(&self) -> Result<Vec<Table>> {
        let virtual_ones = self.ask("select name from sqlite_master where type = 'table' and sql like 'create virtual table%'")?;
        let virtual_ones = virtual_ones.iter().map(|row| row.text("name")).collect::<Result<Vec<_>>>()?;
        let mut tables = Vec::new();
        for row in self.ask("select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by rowid")? {
            let name = row.text("name")?;
            if virtual_ones.iter().any(|table| name.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('_'))) {
                continue;
            }
            let columns = self.ask(&format!("select name from pragma_table_info('{name}') order by cid"))?;
            let mut columns = columns.iter().map(|row| row.text("name")).collect::<Result<Vec<_>>>()?;
            if virtual_ones.contains(&name) {
                columns.insert(0, "rowid".into());
            }
            tables.push(Table { name, columns });
        }
        Ok(tables)
    }

    /// Its plans follow from the statements alone.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", "on")?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // Less than nothing says KiB.
    connection.pragma_update(None, "cache_size", -KEPT_KIB)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Statements are planned once, and not again with each value that they are given.
fn keep_plans(connection: &Connection) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Of a file nobody writes to: no journal is kept beside it.
fn connect_copy(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    keep_plans(&connection)?;
    Ok(connection)
}

fn look(connection: &mut Connection, story: &mut dyn FnMut(&mut Tx<'_>) -> bool, steps: &AtomicU64) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    if story(&mut Tx { statements: &mut Open { connection: &transaction, error: None, steps } }) {
        transaction.commit()?;
    }
    Ok(())
}

/// Tells stories in one transaction, and each how it ended.
fn commit_together(connection: &mut Connection, mut stories: Vec<Box<dyn Waiting>>, steps: &AtomicU64) {
    let error = tell_all(connection, &mut stories, steps).err();
    stories.iter_mut().for_each(|story| story.end(error.clone()));
}

fn tell_all(connection: &mut Connection, stories: &mut [Box<dyn Waiting>], steps: &AtomicU64) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let alone = stories.len() == 1;
    for story in stories {
        if !alone {
            transaction.execute_batch("savepoint story")?;
        }
        let mut open = Open { connection: &transaction, error: None, steps };
        let good = story.tell(&mut Tx { statements: &mut open });
        if transaction.is_autocommit() {
            // A full disk ends a transaction by itself, with all that was told before.
            return Err(open.error.unwrap_or_else(|| Error::Engine("the database ended a transaction by itself".into())));
        }
        match (alone, good) {
            (true, false) => return Ok(transaction.rollback()?),
            (true, true) => {}
            (false, true) => transaction.execute_batch("release story")?,
            (false, false) => transaction.execute_batch("rollback to story; release story")?,
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests;
