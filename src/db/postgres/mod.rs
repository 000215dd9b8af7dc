//! PostgreSQL: any number of processes on any number of machines share one database.
//!
//! Nothing waits for a global writer. Stories that are written beside each other ([`Company::Beside`]) run in transactions of their own, each
//! with the names it holds taken as advisory locks of the transaction; the others run one after the other, on all machines, and what waits for
//! them on this one shares a commit (`group`), as on the other engine. Both kinds begin with the same advisory lock, shared or not. Transactions
//! are `read committed`: whoever has waited for a lock sees what was committed meanwhile. Those that only read see one moment.

mod address;
mod dialect;
mod listen;
mod open;
mod pool;
mod tls;
mod values;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use self::address::Address;
use self::open::Open;
use self::pool::{Connection, Pool, Taken, Use};
use super::engine::{Company, Engine, Haste, Held, Table};
use super::group::Queue;
use super::news::{News, Teller};
use super::story::Waiting;
use super::{Error, Kind, Result, Row, Tx, copy};
use crate::domain::digest::Digest;

/// The lock that every writing transaction takes: shared by those beside each other.
const WRITERS: &str = "writers";
/// How often a story is told that others stand in the way of.
const TRIES: usize = 8;
/// The same of one whose row was there already.
const CONFLICTS: usize = 3;
/// What searches cost differs much by what they ask for: they are planned for it each time.
const READ: &str = "begin isolation level repeatable read, read only; set local plan_cache_mode = force_custom_plan";
const WRITE: &str = "begin isolation level read committed, read write";

#[derive(Clone)]
pub(super) struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    /// Held by who tells the stories that nobody else writes beside.
    writer: Mutex<()>,
    /// Those stories, while they wait.
    queue: Queue,
    /// Checks are to end.
    stopping: AtomicBool,
    steps: AtomicU64,
    /// Set once somebody wants to hear of other processes.
    teller: OnceLock<Teller>,
}

impl Postgres {
    pub(super) fn open(address: &str) -> Result<Postgres> {
        let pool = Pool::new(Address::parse(address)?);
        let (writer, queue) = (Mutex::default(), Queue::default());
        let (stopping, steps, teller) = Default::default();
        let postgres = Postgres { shared: Arc::new(Shared { pool, writer, queue, stopping, steps, teller }) };
        postgres.must_suit()?;
        Ok(postgres)
    }

    /// Refuses what would lose or change what is written.
    fn must_suit(&self) -> Result<()> {
        let sql = "select current_setting('server_version_num')::bigint as version, current_setting('server_encoding') as encoding";
        let rows = self.ask(sql)?;
        let Some(row) = rows.first() else { return Err(Error::Engine("the server says nothing of itself".into())) };
        let (version, encoding) = (row.int("version")?, row.text("encoding")?);
        if version < 130_000 {
            return Err(Error::Engine(format!("PostgreSQL 13 or newer is needed; this is {}", version / 10_000)));
        }
        if encoding != "UTF8" {
            return Err(Error::Engine(format!("the database must be made with the encoding UTF8, and is {encoding}")));
        }
        Ok(())
    }

    /// All rows of one question.
    fn ask(&self, sql: &str) -> Result<Vec<Row>> {
        let mut rows = Ok(Vec::new());
        self.read(&mut |tx| {
            rows = tx.all(sql, &[]);
            rows.is_ok()
        })?;
        rows
    }

    /// A connection in a transaction. Nothing was done on it yet, so that one that turns out to be gone is replaced.
    fn begin(&self, purpose: Use) -> Result<Taken<'_>> {
        let begin = if purpose == Use::Read { READ } else { WRITE };
        let mut tried = false;
        loop {
            let mut taken = self.shared.pool.take(purpose)?;
            match taken.connection()?.client()?.batch_execute(begin).map_err(Error::from) {
                Ok(()) => return Ok(taken),
                Err(Error::Unreachable(_)) if !tried => {
                    tried = true;
                    taken.break_off();
                    self.shared.pool.forget_idle();
                }
                Err(error) => {
                    taken.break_off();
                    return Err(error);
                }
            }
        }
    }

    /// Tells one story in a transaction of its own; how that ended.
    fn tell_beside(&self, names: &[String], story: &mut dyn Waiting) -> Result<()> {
        let mut taken = self.begin(Use::Write)?;
        let mut open = Open::new(taken.connection()?, &self.shared.steps, false);
        let told = open.beside(WRITERS, names).map(|()| story.tell(&mut Tx { statements: &mut open }));
        let error = open.error.take();
        match (told, error) {
            (Ok(true), None) => end(&mut taken, "commit"),
            // A story that went on after a statement had failed: nothing of it can be kept.
            (Ok(true), Some(error)) => end(&mut taken, "rollback").and(Err(error)),
            (told, error) => {
                end(&mut taken, "rollback")?;
                told?;
                // What the story has made of this, only its caller knows; the engine needs to know that others stood in the way.
                match error {
                    Some(error @ (Error::Overtaken(_) | Error::Unreachable(_) | Error::Conflict(_))) => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Tells stories in one transaction that nobody writes beside.
    fn tell_alone(&self, stories: &mut [Box<dyn Waiting>]) -> Result<()> {
        let mut taken = self.begin(Use::Write)?;
        let told = tell_each(taken.connection()?, stories, &self.shared.steps);
        match told {
            Ok(()) => end(&mut taken, "commit"),
            Err(error) => {
                let _ = end(&mut taken, "rollback");
                Err(error)
            }
        }
    }
}

/// Each as if it were alone after those before it.
fn tell_each(connection: &mut Connection, stories: &mut [Box<dyn Waiting>], steps: &AtomicU64) -> Result<()> {
    let mut open = Open::new(connection, steps, true);
    open.alone(WRITERS)?;
    for story in stories {
        open.own("savepoint story")?;
        open.error = None;
        let good = story.tell(&mut Tx { statements: &mut open });
        match open.error.take() {
            // A story that went on after a statement had failed: nothing of this transaction can be kept.
            Some(error) if good || matches!(error, Error::Unreachable(_)) => return Err(error),
            _ => {}
        }
        open.own(if good { "release savepoint story" } else { "rollback to savepoint story; release savepoint story" })?;
    }
    Ok(())
}

/// Ends a transaction; a connection that does not do it is given up.
fn end(taken: &mut Taken<'_>, how: &str) -> Result<()> {
    let ended = taken.connection().and_then(|connection| Ok(connection.client()?.batch_execute(how)?));
    if ended.is_err() {
        taken.break_off();
    }
    ended
}

/// The number of an advisory lock.
fn number(name: &str) -> i64 {
    let digest = Digest::of(format!("hub\n{name}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_be_bytes(first)
}

impl Engine for Postgres {
    fn kind(&self) -> Kind {
        Kind::Server
    }

    fn full_text_tables(&self) -> &'static str {
        include_str!("../../../migrations/0004_search.postgres.sql")
    }

    fn read(&self, story: &mut dyn FnMut(&mut Tx<'_>) -> bool) -> Result<()> {
        let mut taken = self.begin(Use::Read)?;
        let mut open = Open::new(taken.connection()?, &self.shared.steps, false);
        let good = story(&mut Tx { statements: &mut open });
        let gone = matches!(open.error, Some(Error::Unreachable(_)));
        if gone {
            taken.break_off();
            return Ok(());
        }
        end(&mut taken, if good { "commit" } else { "rollback" })
    }

    fn write(&self, company: &Company, mut story: Box<dyn Waiting>, has_ended: &dyn Fn() -> bool) {
        match company {
            Company::Alone => {
                self.shared.queue.push(story);
                let _writer = self.shared.writer.lock();
                // Whoever had the writer before may have told this story along with its own.
                while !has_ended() {
                    let mut stories = self.shared.queue.next();
                    let error = self.tell_alone(&mut stories).err();
                    stories.iter_mut().for_each(|story| story.end(error.clone()));
                }
            }
            Company::Beside(names) => {
                let mut error = self.tell_beside(names, &mut *story).err();
                for tried in 1..TRIES {
                    let may_pass = match &error {
                        Some(Error::Overtaken(_)) => true,
                        // Of a number that two have drawn at once; what is taken for good is so the next time.
                        Some(Error::Conflict(_)) => tried < CONFLICTS,
                        _ => false,
                    };
                    if !may_pass || !story.again() {
                        break;
                    }
                    error = self.tell_beside(names, &mut *story).err();
                }
                story.end(error);
            }
        }
    }

    /// A session of its own has the lock, and so it is gone with this process, however that ends.
    fn hold(&self, name: &str, shared: bool) -> Result<Option<Held>> {
        let mut connection = Connection::open(self.shared.pool.address())?;
        let sql = if shared { "select pg_try_advisory_lock_shared($1) as held" } else { "select pg_try_advisory_lock($1) as held" };
        let client = connection.client()?;
        client.batch_execute("set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3")?;
        let held: bool = client.query_one(sql, &[&number(&format!("held {name}"))])?.try_get(0)?;
        Ok(held.then(|| Held::by(Mutex::new(connection))))
    }

    fn news(&self) -> Option<News> {
        let teller = self.shared.teller.get_or_init(|| {
            let teller = Teller::new();
            listen::start(self.shared.pool.address().clone(), Arc::downgrade(&self.shared), teller.clone());
            teller
        });
        Some(teller.listen())
    }

    /// The server looks after its own files. What can be asked of it: that it answers, and has our tables.
    fn check(&self, _: Haste) -> Result<()> {
        match self.shared.stopping.load(Ordering::Relaxed) {
            true => Err(Error::Busy),
            false => self.ask("select count(*) as n from schema_migrations").map(drop),
        }
    }

    fn stop_checks(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Rows handed over, and statements.
    fn steps(&self) -> u64 {
        self.shared.steps.load(Ordering::Relaxed)
    }

    /// Reads every row: damage shows where the server keeps checksums.
    fn check_all(&self) -> Result<()> {
        for table in self.tables()? {
            self.ask(&format!("select count(t.*) as n from \"{}\" t", table.name))?;
        }
        Ok(())
    }

    /// The copy is a file of the embedded engine, which every hub can open, whatever it stands on.
    fn copy_into(&self, path: &Path) -> Result<()> {
        let making = path.with_extension("making");
        let failed = |e: std::io::Error| Error::Engine(format!("the copy {}: {e}", path.display()));
        let clear = || -> std::io::Result<()> {
            for file in ["", "-wal", "-shm"].map(|end| format!("{}{end}", making.display())) {
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        clear().map_err(failed)?;
        let copied = super::new_file(&making).and_then(|file| {
            copy::copy(self, &*file)?;
            file.copy_into(path)
        });
        let cleared = clear().map_err(failed);
        copied.and(cleared)
    }

    /// Without those that are made for this engine alone, which say so.
    fn tables(&self) -> Result<Vec<Table>> {
        let sql = "select c.relname::text as name, a.attname::text as field from pg_class c
                   join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                   where c.relnamespace = (select oid from pg_namespace where nspname = current_schema()) and c.relkind = 'r'
                   and obj_description(c.oid, 'pg_class') is distinct from 'derived' order by c.relname, a.attnum";
        let mut tables: Vec<Table> = Vec::new();
        for row in self.ask(sql)? {
            let (name, column) = (row.text("name")?, row.text("field")?);
            match tables.last_mut().filter(|table| table.name == name) {
                Some(table) => table.columns.push(column),
                None => tables.push(Table { name, columns: vec![column] }),
            }
        }
        Ok(tables)
    }

    fn settle(&self) -> Result<()> {
        let mut connection = Connection::open(self.shared.pool.address())?;
        Ok(connection.client()?.batch_execute("set statement_timeout = 0; analyze")?)
    }
}
