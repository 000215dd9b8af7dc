//! The thin executor between `catalog` and a database engine: one SQL text, `$1` parameters bound by name,
//! every call off the async threads. SQLite is the embedded default; PostgreSQL fits behind the same types.

pub mod error;
mod group;
mod migrate;
mod sqlite;
pub mod value;

use std::path::Path;

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
    engine: sqlite::Sqlite,
}

impl Db {
    /// Opens (or creates) the database file and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Db> {
        let path = path.to_owned();
        let engine = blocking(move || {
            let engine = sqlite::Sqlite::open(&path)?;
            engine.write(migrate::up)?;
            Ok::<_, Error>(engine)
        })
        .await?;
        Ok(Db { engine })
    }

    /// Reads every page of the database and its indexes: damage is `Corrupt`, before any of it is believed.
    pub async fn check(&self) -> Result<()> {
        let row = self.read(|tx| tx.one("pragma quick_check(1)", &[])).await?;
        match row.text("quick_check")?.as_str() {
            "ok" => Ok(()),
            problem => Err(Error::Corrupt(problem.lines().next().unwrap_or_default().to_owned())),
        }
    }

    /// As [`Db::check`], and every index entry and reference besides.
    pub async fn check_all(&self) -> Result<()> {
        let problems = self.read(|tx| tx.all("pragma integrity_check(10)", &[])).await?;
        let problems = problems.iter().map(|row| row.text("integrity_check")).collect::<Result<Vec<_>>>()?;
        if problems != ["ok"] {
            return Err(Error::Corrupt(problems.join("; ")));
        }
        let strays = self.read(|tx| tx.all("pragma foreign_key_check", &[])).await?;
        match strays.first() {
            None => Ok(()),
            Some(row) => {
                Err(Error::Corrupt(format!("a row of '{}' refers to one of '{}' that is gone", row.text("table")?, row.text("parent")?)))
            }
        }
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
        Ok(Db { engine: blocking(move || sqlite::Sqlite::open_copy(&path)).await? })
    }

    /// Runs `story` in a read transaction: everything it sees is one moment.
    pub async fn read<T, E, F>(&self, story: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let engine = self.engine.clone();
        blocking(move || engine.read(story)).await
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
        blocking(move || engine.write(story)).await
    }
}

/// An open transaction: the only thing catalog functions take.
pub struct Tx<'a> {
    statements: &'a mut dyn Statements,
}

/// What an engine must be able to do inside a transaction.
trait Statements {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64>;
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    fn script(&mut self, sql: &str) -> Result<()>;
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
