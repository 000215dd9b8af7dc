//! SQLite: write-ahead log, one writer, a pool of readers, `synchronous=full`, so that a commit that was
//! acknowledged survives a power cut (with `normal` thousands were seen to be lost).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql, TransactionBehavior};

use super::group::{Queue, Waiting};
use super::{Error, Result, Row, Statements, Tx, Value};

/// Idle readers kept open; more are opened when more are asked for at once.
const IDLE_READERS: usize = 16;

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
        let shared = Shared { path: path.to_owned(), connect, writer, queue: Queue::default(), readers: Mutex::default() };
        Ok(Sqlite { shared: Arc::new(shared) })
    }

    /// A connection of its own: a transaction of the pool must not be open around it.
    pub(super) fn copy_into(&self, path: &Path) -> Result<()> {
        let connection = (self.shared.connect)(&self.shared.path)?;
        connection.execute("vacuum into ?1", [path.to_string_lossy()])?;
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        let folder = path.parent().unwrap_or(path);
        sync(path).and_then(|()| sync(folder)).map_err(|e| Error::Engine(format!("the copy {}: {e}", path.display())))
    }

    pub(super) fn write<T, E, F>(&self, story: F) -> std::result::Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> std::result::Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let answer = self.shared.queue.push(story);
        let mut writer = self.shared.writer.lock();
        // Whoever had the writer before may have told this story along with its own.
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            commit_together(&mut writer, self.shared.queue.next());
        }
    }

    pub(super) fn read<T, E: From<Error>>(
        &self,
        story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let idle = self.shared.readers.lock().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => (self.shared.connect)(&self.shared.path)?,
        };
        let result = look(&mut reader, story);
        let mut readers = self.shared.readers.lock();
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        result
    }
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

/// Of a file nobody writes to: no journal is kept beside it.
fn connect_copy(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

fn look<T, E: From<Error>>(
    connection: &mut Connection,
    story: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(Error::from)?;
    let value = story(&mut Tx { statements: &mut Open { connection: &transaction, error: None } })?;
    transaction.commit().map_err(Error::from)?;
    Ok(value)
}

/// Tells stories in one transaction, and each how it ended.
fn commit_together(connection: &mut Connection, mut stories: Vec<Box<dyn Waiting>>) {
    let error = tell_all(connection, &mut stories).err();
    stories.iter_mut().for_each(|story| story.end(error.clone()));
}

fn tell_all(connection: &mut Connection, stories: &mut [Box<dyn Waiting>]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let alone = stories.len() == 1;
    for story in stories {
        if !alone {
            transaction.execute_batch("savepoint story")?;
        }
        let mut open = Open { connection: &transaction, error: None };
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

struct Open<'a> {
    connection: &'a Connection,
    /// The last statement that failed.
    error: Option<Error>,
}

impl Open<'_> {
    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        self.error = result.as_ref().err().cloned();
        result
    }
}

impl Statements for Open<'_> {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let done = execute(self.connection, sql, params);
        self.noted(done)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let rows = query(self.connection, sql, params);
        self.noted(rows)
    }

    fn script(&mut self, sql: &str) -> Result<()> {
        let done = self.connection.execute_batch(sql).map_err(Error::from);
        self.noted(done)
    }
}

fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    Ok(statement.raw_execute()? as u64)
}

fn query(connection: &Connection, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
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
            Some(ErrorCode::SystemIoFailure) if is_out_of_room(&std::io::Error::last_os_error()) => Error::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt(error.to_string()),
            _ => Error::Engine(error.to_string()),
        }
    }
}

/// SQLite knows one errno of a full disk and calls the others an I/O error: a quota, a limit on file sizes. The errno
/// is still that of the call that failed, which was made on this thread.
fn is_out_of_room(last: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded, FileTooLarge].contains(&last.kind())
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

    #[tokio::test(flavor = "multi_thread")]
    async fn stories_that_wait_share_a_commit_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir).await;
        let insert = "insert into blobs (digest, size_bytes, created) values ($1, $2, 0)";
        // The first holds the writer until all others wait for it.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let db = db.clone();
            async move { db.write(move |_| wait.recv().map_err(|e| Error::Engine(e.to_string()))).await }
        });
        while !lock_is_held(&db) {
            tokio::task::yield_now().await;
        }
        let stories: Vec<_> = (0..100usize)
            .map(|n| {
                let db = db.clone();
                tokio::spawn(async move {
                    let told: Result<usize> = db
                        .write(move |tx| {
                            tx.execute(insert, params![format!("{n}"), n])?;
                            match n % 10 {
                                3 => Err(Error::Busy),
                                4 => panic!("a story that panics"),
                                5 => tx.execute(insert, params![format!("{n}"), n]).map(|_| n),
                                _ => Ok(n),
                            }
                        })
                        .await;
                    (n, told)
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        for story in stories {
            let (n, told) = story.await.unwrap();
            match (n % 10, told) {
                (3, told) => assert!(matches!(told, Err(Error::Busy)), "{n}"),
                (4, told) => assert!(matches!(told, Err(Error::Engine(_))), "{n}"),
                (5, told) => assert!(matches!(told, Err(Error::Conflict(_))), "{n}"),
                (_, told) => assert_eq!(told.unwrap(), n),
            }
        }
        let rows = db.read(|tx| tx.all("select digest from blobs", &[])).await.unwrap();
        let mut kept: Vec<usize> = rows.iter().map(|row| row.text("digest").unwrap().parse().unwrap()).collect();
        kept.sort_unstable();
        assert_eq!(kept, (0..100).filter(|n| ![3, 4, 5].contains(&(n % 10))).collect::<Vec<_>>());
    }

    fn lock_is_held(db: &Db) -> bool {
        db.engine.shared.writer.try_lock().is_none()
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
    async fn a_copy_is_one_moment_and_can_only_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let db = open(&dir).await;
        let insert = "insert into blobs (digest, size_bytes, created) values ($1, 1, 1)";
        db.write(move |tx| tx.execute(insert, params!["a"])).await.unwrap();
        let path = dir.path().join("it's a copy?.db");
        db.copy_into(&path).await.unwrap();
        db.write(move |tx| tx.execute(insert, params!["b"])).await.unwrap();
        let copy = Db::open_copy(&path).await.unwrap();
        copy.check().await.unwrap();
        copy.check_all().await.unwrap();
        assert_eq!(copy.read(|tx| tx.one("select count(*) as n from blobs", &[])).await.unwrap().int("n").unwrap(), 1);
        assert!(copy.write(move |tx| tx.execute(insert, params!["c"])).await.is_err());
        let beside = std::fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("copy"));
        assert_eq!(beside.count(), 1);
        assert!(db.copy_into(&path).await.is_err(), "an existing file is never written over");
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
