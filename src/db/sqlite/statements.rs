//! Statements of SQLite with the values that go into them, the rows that come out, and what its errors mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, StatementStatus, ToSql};

use super::super::engine::Statements;
use super::super::{Error, Kind, Result, Row, Value};
use crate::domain::disk;

/// A transaction that is open.
pub(super) struct Open<'a> {
    pub connection: &'a Connection,
    /// The last statement that failed.
    pub error: Option<Error>,
    /// What all statements have done.
    pub steps: &'a AtomicU64,
}

impl Open<'_> {
    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        self.error = result.as_ref().err().cloned();
        result
    }
}

impl Statements for Open<'_> {
    fn kind(&self) -> Kind {
        Kind::Embedded
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let done = execute(self.connection, sql, params, self.steps);
        self.noted(done)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let rows = query(self.connection, sql, params, self.steps);
        self.noted(rows)
    }

    fn each(&mut self, sql: &str, each: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
        let done = each_row(self.connection, sql, each);
        self.noted(done)
    }

    fn script(&mut self, sql: &str) -> Result<()> {
        let done = self.connection.execute_batch(sql).map_err(Error::from);
        self.noted(done)
    }

    fn mark(&mut self) -> Result<()> {
        self.script("savepoint attempt")
    }

    fn settle(&mut self, good: bool) -> Result<()> {
        self.script(if good { "release attempt" } else { "rollback to attempt; release attempt" })
    }

    fn defer_keys(&mut self) -> Result<()> {
        self.script("pragma defer_foreign_keys = on")
    }
}

fn execute(connection: &Connection, sql: &str, params: &[Value], steps: &AtomicU64) -> Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let changed = statement.raw_execute();
    count(&statement, steps);
    Ok(changed? as u64)
}

/// Adds what a statement has done since it was counted last.
fn count(statement: &rusqlite::CachedStatement<'_>, steps: &AtomicU64) {
    let taken = statement.reset_status(StatementStatus::VmStep);
    steps.fetch_add(u64::try_from(taken).unwrap_or(0), Ordering::Relaxed);
}

pub(super) fn query(connection: &Connection, sql: &str, params: &[Value], steps: &AtomicU64) -> Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let names: Arc<[String]> = statement.column_names().map(String::from).collect();
    let mut rows = statement.raw_query();
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(names.len());
        for at in 0..names.len() {
            values.push(owned(row.get_ref(at)?));
        }
        answer.push(Row::new(names.clone(), values));
    }
    drop(rows);
    count(&statement, steps);
    Ok(answer)
}

fn each_row(connection: &Connection, sql: &str, each: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        each((0..columns).map(|at| Ok(owned(row.get_ref(at)?))).collect::<Result<_>>()?)?;
    }
    Ok(())
}

/// Binds `$1`, `$2` ... by name, so that a parameter may stand several times and in any order.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, params: &[Value]) -> Result<()> {
    let named = statement.parameter_count();
    for index in 1..=named {
        let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| params.get(number.checked_sub(1)?));
        let value = value.ok_or_else(|| Error::Engine(format!("the statement asks for more than {} parameters", params.len())))?;
        statement.raw_bind_parameter(index, value)?;
    }
    match params.len() > named {
        true => Err(Error::Engine(format!("the statement has no parameter ${}", params.len()))),
        false => Ok(()),
    }
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
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted) => Error::Busy,
            Some(ErrorCode::DiskFull) => Error::Full,
            // SQLite knows one errno of a full disk and calls the others an I/O error. The errno is still that of the call that
            // failed, which was made on this thread.
            Some(ErrorCode::SystemIoFailure) if disk::is_full(&std::io::Error::last_os_error()) => Error::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::Corrupt(error.to_string()),
            _ => Error::Engine(error.to_string()),
        }
    }
}
