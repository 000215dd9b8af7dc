//! The thin executor between `catalog` and a database engine: one SQL text, `$1` parameters bound by name,
//! every call off the async threads. What an engine must be able to do is `engine.rs`; each has a file of its own, and
//! nobody but this file names one. The embedded default is SQLite.

mod engine;
pub mod error;
mod group;
mod migrate;
mod sqlite;
mod story;
pub mod value;

use std::path::Path;
use std::sync::Arc;

use engine::{Engine, Statements};
pub use error::{Error, Result};
pub use value::{Row, Value};

/// Builds the parameter list of a statement: `params![key, number, None::<i64>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}

/// A database: cheap to clone, shared by every part of a process.
#[derive(Clone)]
pub struct Db {
    engine: Arc<dyn Engine>,
}

impl Db {
    /// Opens (or creates) the database file and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Db> {
        let path = path.to_owned();
        Db::start(move || Ok(Arc::new(sqlite::Sqlite::open(&path)?))).await
    }

    async fn start(open: impl FnOnce() -> Result<Arc<dyn Engine>> + Send + 'static) -> Result<Db> {
        blocking(move || {
            let engine = open()?;
            let full_text = engine.full_text_tables();
            write(&*engine, move |tx| migrate::up(tx, full_text))?;
            Ok(Db { engine })
        })
        .await
    }

    /// Reads the whole database and looks for damage: it is `Corrupt`.
    pub async fn check(&self) -> Result<()> {
        let engine = self.engine.clone();
        blocking(move || engine.check()).await
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
        blocking(move || Ok(Db { engine: Arc::new(sqlite::Sqlite::open_copy(&path)?) })).await
    }

    /// Puts a file that [`Db::copy_into`] has made where [`Db::open`] will find it; it gets its name last.
    pub async fn place_copy(copy: &Path, path: &Path) -> std::io::Result<()> {
        let (copy, path) = (copy.to_owned(), path.to_owned());
        tokio::task::spawn_blocking(move || sqlite::place_copy(&copy, &path)).await.map_err(std::io::Error::other)?
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
        let engine = self.engine.clone();
        blocking(move || write(&*engine, story)).await
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

    /// The first row, if there is one.
    pub fn find(&mut self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.statements.query(sql, params)?.into_iter().next())
    }

    /// The row of an answer that always has one, such as a count.
    pub fn one(&mut self, sql: &str, params: &[Value]) -> Result<Row> {
        self.find(sql, params)?.ok_or_else(|| Error::Engine("a query that must answer gave no row".into()))
    }
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

fn write<T, E, F>(engine: &dyn Engine, story: F) -> std::result::Result<T, E>
where
    F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (waiting, answer) = story::waiting(story);
    engine.write(waiting, &|| answer.is_there());
    answer.take().unwrap_or_else(|| Err(not_run().into()))
}

fn not_run() -> Error {
    Error::Engine("a story was not run".into())
}

/// Moves `work` off the async threads.
async fn blocking<T, E>(work: impl FnOnce() -> std::result::Result<T, E> + Send + 'static) -> std::result::Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Engine(format!("a database call was stopped: {stopped}")).into()),
    }
}
