//! The thin executor between `catalog` and a database engine: one SQL text, `$1` parameters bound by name,
//! every call off the async threads. What an engine must be able to do is `engine.rs`; each has a file of its own, and
//! nobody but this file names one. The embedded default is SQLite; PostgreSQL serves hubs of several nodes.

mod copy;
mod engine;
pub mod error;
mod group;
mod migrate;
mod news;
mod postgres;
mod sqlite;
mod story;
mod together;
pub mod value;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use copy::Copied;
use engine::{Company, Engine, Statements};
pub use engine::{Haste, Held};
pub use error::{Error, Result};
pub use news::News;
use together::blocking;
pub use value::{Row, Value};

/// Builds the parameter list of a statement: `params![key, number, None::<i64>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}

/// Keys that one question asks for: those of a page of a list.
const KEYS_AT_ONCE: usize = 32;

/// What sort of engine a database has, for what differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of this machine.
    Embedded,
    /// A server that several machines ask.
    Server,
}

/// A database: cheap to clone, shared by every part of a process.
#[derive(Clone)]
pub struct Db {
    engine: Arc<dyn Engine>,
    /// Write transactions of this process that have ended.
    written: Arc<AtomicU64>,
}

impl Db {
    /// Opens (or creates) the database file and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Db> {
        let path = path.to_owned();
        Db::start(move || Ok(Arc::new(sqlite::Sqlite::open(&path)?))).await
    }

    /// Opens a database on a server, `postgres://user@host/name`, and brings its tables up to date.
    pub async fn connect(address: &str) -> Result<Db> {
        let address = address.to_owned();
        Db::start(move || Ok(Arc::new(postgres::Postgres::open(&address)?))).await
    }

    pub fn kind(&self) -> Kind {
        self.engine.kind()
    }

    /// Puts all that `from` holds into this one, which must be new: as of one moment, in one transaction, and read back
    /// afterwards. What lists and searches derive by engine is left to the catalog.
    pub async fn copy_from(&self, from: &Db) -> Result<Vec<Copied>> {
        let (from, to) = (from.engine.clone(), self.engine.clone());
        blocking(move || copy::copy(&*from, &*to)).await
    }

    /// Takes a lock that all processes on a database server see, until what is answered is dropped; `None` while others have it. A shared one
    /// stands beside other shared ones. On a file it is always given: those who share a file have locks of its folder.
    pub async fn hold(&self, name: &'static str, shared: bool) -> Result<Option<Held>> {
        let engine = self.engine.clone();
        blocking(move || engine.hold(name, shared)).await
    }

    /// What processes on a database server tell each other at their commits, from now on. `None` where there is no server: look now and then.
    pub fn news(&self) -> Option<News> {
        self.engine.news()
    }

    /// A migration that a newer release has made, after which this one must not go on; `None` where there is none.
    pub async fn find_break(&self) -> Result<Option<String>> {
        self.read(migrate::find_break).await
    }

    async fn start(open: impl FnOnce() -> Result<Arc<dyn Engine>> + Send + 'static) -> Result<Db> {
        blocking(move || {
            let engine = open()?;
            up(&*engine)?;
            Ok(Db { engine, written: Arc::default() })
        })
        .await
    }

    /// Reads the whole database and looks for damage: it is `Corrupt`.
    pub async fn check(&self, haste: Haste) -> Result<()> {
        let engine = self.engine.clone();
        blocking(move || engine.check(haste)).await
    }

    /// Lets a check that is under way end early, and those to come: the process is about to end.
    pub fn stop_checks(&self) {
        self.engine.stop_checks();
    }

    /// Steps that all statements together have taken since the start: how much work they were, whatever the machine.
    pub fn steps(&self) -> u64 {
        self.engine.steps()
    }

    /// As [`Db::check`], and every index entry and reference besides.
    pub async fn check_all(&self) -> Result<()> {
        let engine = self.engine.clone();
        blocking(move || engine.check_all()).await
    }

    /// Writes all that is committed into a new file, as of one moment, while others go on writing. The file is
    /// on the disk when this returns.
    pub async fn copy_into(&self, path: &Path) -> Result<()> {
        let (engine, path) = (self.engine.clone(), path.to_owned());
        blocking(move || engine.copy_into(&path)).await
    }

    /// Opens a file that [`Db::copy_into`] has made, for reading only; nothing is written beside it.
    pub async fn open_copy(path: &Path) -> Result<Db> {
        let path = path.to_owned();
        blocking(move || Ok(Db { engine: Arc::new(sqlite::Sqlite::open_copy(&path)?), written: Arc::default() })).await
    }

    /// Puts a file that [`Db::copy_into`] has made where [`Db::open`] will find it; it gets its name last.
    pub async fn place_copy(copy: &Path, path: &Path) -> std::io::Result<()> {
        let (copy, path) = (copy.to_owned(), path.to_owned());
        tokio::task::spawn_blocking(move || place(&copy, &path)).await.map_err(std::io::Error::other)?
    }

    /// Tells a story of many short calls, so that of an embedded database it does all of them on one thread. It may wait for other things, but
    /// not for long: there are few such threads, and a story that finds none is told as any other.
    pub async fn together<T, F>(&self, story: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        match self.kind() {
            Kind::Embedded => together::tell(story).await,
            Kind::Server => Ok(story().await),
        }
    }

    /// Runs `story` in a read transaction: everything it sees is one moment.
    pub async fn read<T, E, F>(&self, story: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let engine = self.engine.clone();
        blocking(move || read(&*engine, story)).await
    }

    /// Runs `story` in the write transaction, which it may share with others that wait (`group`). `Ok` commits, and the
    /// commit is on the disk before this returns; an error rolls back everything the story did.
    pub async fn write<T, E, F>(&self, story: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.change(Company::Alone, story, None).await
    }

    /// The same, beside other stories that are written so: on a server nobody waits for the others, but who holds the same name.
    /// Such a story reads nothing that one of another name may be changing, or takes a name for it by [`Tx::lock`] first, or
    /// changes it by statements that are right whoever came before. It is told again where two stood in each other's way.
    pub async fn write_beside<T, E, F>(&self, names: Vec<String>, story: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Clone + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.change(Company::Beside(names), story, Some(F::clone)).await
    }

    async fn change<T, E, F>(&self, company: Company, story: F, another: Option<fn(&F) -> F>) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let Db { engine, written } = self.clone();
        blocking(move || {
            let ended = write(&*engine, &company, story, another);
            // Whoever hears of the end finds this counted.
            written.fetch_add(1, Ordering::SeqCst);
            ended
        })
        .await
    }

    /// Grows with each write transaction of this process, before whoever asked for it hears that it has ended.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

/// An open transaction: the only thing catalog functions take.
pub struct Tx<'a> {
    statements: &'a mut dyn Statements,
}

impl Tx<'_> {
    /// Runs a statement; the number of rows it changed.
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.statements.execute(sql, params)
    }

    /// All rows of an answer.
    pub fn all(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.statements.query(sql, params)
    }

    /// All rows of many keys, of whatever order: `$keys` in the text stands for some of them. A few questions ask for all, and their text is
    /// always the same, but for one key alone.
    pub fn all_of(&mut self, sql: &str, keys: &[Value]) -> Result<Vec<Row>> {
        let at_once = if keys.len() == 1 { 1 } else { KEYS_AT_ONCE };
        let names = (1..=at_once).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
        let sql = sql.replace("$keys", &names);
        let mut rows = Vec::new();
        for some in keys.chunks(at_once) {
            // The last one again and again says nothing more.
            let again = some.last().into_iter().cycle().take(at_once - some.len());
            let params: Vec<Value> = some.iter().chain(again).cloned().collect();
            rows.extend(self.all(&sql, &params)?);
        }
        Ok(rows)
    }

    /// The first row, if there is one.
    pub fn find(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.statements.query(sql, params)?.into_iter().next())
    }

    /// The row of an answer that always has one, such as a count.
    pub fn one(&mut self, sql: &str, params: &[Value]) -> Result<Row> {
        self.find(sql, params)?.ok_or_else(|| Error::Engine("a query that must answer gave no row".into()))
    }

    /// Does what may fail in a story that then goes on: nothing of it is left if it does. Without this, a statement that fails ends a story.
    pub fn attempt<T, E: From<Error>>(
        &mut self,
        attempt: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.statements.mark()?;
        let done = attempt(self);
        self.statements.settle(done.is_ok())?;
        done
    }

    /// Tells all processes on a database server a word, once this is committed.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        self.statements.tell(word)
    }

    /// What sort of engine this is.
    pub fn kind(&self) -> Kind {
        self.statements.kind()
    }

    /// Takes a name until the transaction ends: of stories beside each other, one at a time has it.
    pub fn lock(&mut self, name: &str) -> Result<()> {
        self.statements.lock(name)
    }

    /// The end of a question for rows that are about to be changed: rows that somebody else is changing are passed over.
    pub fn skipping_taken(&self, rows: &str) -> String {
        match self.kind() {
            Kind::Embedded => String::new(),
            Kind::Server => format!(" for update of {rows} skip locked"),
        }
    }

    /// The order of rows that an inner question has put in order already: said again to an engine that would not keep it.
    pub fn in_order_still(&self, by: &str) -> String {
        match self.kind() {
            Kind::Embedded => String::new(),
            Kind::Server => format!(" order by {by}"),
        }
    }

    /// The database's clock in unix milliseconds, where it is another than this machine's: what several machines
    /// compare is measured by it.
    pub fn clock(&mut self) -> Result<Option<i64>> {
        self.statements.clock()
    }
}

/// A copy is a database like any other once it has its place.
fn place(copy: &Path, path: &Path) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::copy(copy, &part)?;
    File::open(&part)?.sync_all()?;
    std::fs::rename(&part, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// Brings the tables up to date.
fn up(engine: &dyn Engine) -> Result<()> {
    let full_text = engine.full_text_tables();
    write(engine, &Company::Alone, move |tx| migrate::up(tx, full_text), None)
}

/// A database in a file, for an engine that copies itself into one.
fn new_file(path: &Path) -> Result<Box<dyn Engine>> {
    let file = sqlite::Sqlite::open(path)?;
    up(&file)?;
    Ok(Box::new(file))
}

fn read<T, E: From<Error>>(engine: &dyn Engine, story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>) -> std::result::Result<T, E> {
    let (mut story, mut told) = (Some(story), None);
    let mut tell = |tx: &mut Tx<'_>| {
        told = story.take().map(|story| story(tx));
        matches!(told, Some(Ok(_)))
    };
    engine.read(&mut tell)?;
    told.unwrap_or_else(|| Err(not_run().into()))
}

fn write<T, E, F>(engine: &dyn Engine, company: &Company, story: F, another: Option<fn(&F) -> F>) -> std::result::Result<T, E>
where
    F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (waiting, answer) = story::waiting(story, another);
    engine.write(company, waiting, &|| answer.is_there());
    answer.take().unwrap_or_else(|| Err(not_run().into()))
}

fn not_run() -> Error {
    Error::Engine("a story was not run".into())
}
