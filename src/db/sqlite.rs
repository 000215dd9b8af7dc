//! SQLite: write-ahead log, one writer, a pool of readers, `synchronous=full`, so that a commit that was
//! acknowledged survives a power cut (with `normal` thousands were seen to be lost).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior};

use super::{Error, Result, Row, Statements, Tx, Value};

/// Idle readers kept open; more are opened when more are asked for at once.
const IDLE_READERS: usize = 8;

#[derive(Clone)]
pub(super) struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Sqlite> {
        let writer = connect(path)?;
        let shared = Shared { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() };
        Ok(Sqlite { shared: Arc::new(shared) })
    }

    pub(super) fn write<T, E: From<Error>>(
        &self,
        story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut writer = lock(&self.shared.writer);
        transact(&mut writer, TransactionBehavior::Immediate, story)
    }

    pub(super) fn read<T, E: From<Error>>(
        &self,
        story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let idle = lock(&self.shared.readers).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => connect(&self.shared.path)?,
        };
        let result = transact(&mut reader, TransactionBehavior::Deferred, story);
        let mut readers = lock(&self.shared.readers);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        result
    }
}

/// A panic in one story rolls its transaction back; the connection stays good for the next.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", "on")?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

fn transact<T, E: From<Error>>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let transaction = connection.transaction_with_behavior(behavior).map_err(Error::from)?;
    let mut open = Open { connection: &transaction };
    let value = story(&mut Tx { statements: &mut open })?;
    transaction.commit().map_err(Error::from)?;
    Ok(value)
}

struct Open<'a> {
    connection: &'a Connection,
}

impl Statements for Open<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        Ok(statement.raw_execute()? as u64)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, params)?;
        let names: Arc<[String]> = statement.column_names().map(String::from).collect();
        let mut rows = statement.raw_query();
        let mut answer = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..names.len()).map(|at| Ok(owned(row.get_ref(at)?))).collect::<Result<_>>()?;
            answer.push(Row::new(names.clone(), values));
        }
        Ok(answer)
    }

    fn script(&mut self, sql: &str) -> Result<()> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

/// Binds `$1`, `$2` ... by name, so that a parameter may stand several times and in any order.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, params: &[Value]) -> Result<()> {
    for (at, value) in params.iter().enumerate() {
        let name = format!("${}", at + 1);
        let index = statement.parameter_index(&name)?;
        let index = index.ok_or_else(|| Error::Engine(format!("the statement has no parameter {name}")))?;
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(String::from_utf8_lossy(value).into_owned()),
        ValueRef::Blob(value) => Value::Blob(value.to_vec()),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Error::Conflict(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy,
            Some(ErrorCode::DiskFull) => Error::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt(error.to_string()),
            _ => Error::Engine(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Db;
    use super::*;
    use crate::params;

    async fn open(dir: &tempfile::TempDir) -> Db {
        Db::open(&dir.path().join("hub.db")).await.unwrap()
    }

    #[tokio::test]
    async fn a_failed_story_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir).await;
        let insert = "insert into blobs (digest, size_bytes, created) values ($1, $2, $2)";
        let failed: Result<()> = db
            .write(move |tx| {
                tx.execute(insert, params!["a", 1i64])?;
                Err(Error::Busy)
            })
            .await;
        assert!(failed.is_err());
        db.write(move |tx| tx.execute(insert, params!["b", 2i64])).await.unwrap();
        let rows = db.read(|tx| tx.all("select digest, created from blobs order by digest", &[])).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].text("digest").unwrap().as_str(), rows[0].int("created").unwrap()), ("b", 2));
    }

    #[tokio::test]
    async fn acknowledged_writes_are_synced_and_keys_enforced() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir).await;
        let row = db.write(|tx| tx.one("pragma synchronous", &[])).await.unwrap();
        assert_eq!(row.int("synchronous").unwrap(), 2, "2 is full");
        let orphan = db.write(|tx| tx.execute("insert into refs (repo, name, number, updated) values ('x', 'main', 1, 0)", &[])).await;
        assert!(matches!(orphan, Err(Error::Conflict(_))));
    }

    #[tokio::test]
    async fn opening_twice_migrates_once_and_garbage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&dir).await);
        let db = open(&dir).await;
        let row = db.read(|tx| tx.one("select count(*) as n from schema_migrations", &[])).await.unwrap();
        assert!(row.int("n").unwrap() >= 5);
        let path = dir.path().join("garbage.db");
        std::fs::write(&path, [7u8; 8192]).unwrap();
        assert!(matches!(Db::open(&path).await, Err(Error::Corrupt(_))));
    }
}
