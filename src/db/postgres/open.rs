//! An open transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::ToSql;
use postgres::{RowIter, Statement};

use super::super::engine::Statements;
use super::pool::Connection;
use super::{dialect, number};
use crate::db::{Error, Kind, Result, Row, Value};

pub(super) struct Open<'a> {
    connection: &'a mut Connection,
    steps: &'a AtomicU64,
    /// Nobody else writes: names need not be taken.
    is_alone: bool,
    /// Names that were taken.
    names: HashSet<String>,
    /// The last statement that failed: no other one succeeds after it.
    pub error: Option<Error>,
}

impl<'a> Open<'a> {
    pub fn new(connection: &'a mut Connection, steps: &'a AtomicU64, is_alone: bool) -> Open<'a> {
        Open { connection, steps, is_alone, names: HashSet::new(), error: None }
    }

    /// Waits until nobody else writes.
    pub fn alone(&mut self, writers: &str) -> Result<()> {
        self.run("select pg_advisory_xact_lock($1)", &[Value::Int(number(writers))]).map(drop)
    }

    /// Waits until nobody writes alone, nor with one of these names.
    pub fn beside(&mut self, writers: &str, names: &[String]) -> Result<()> {
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        let taken: String = (2..names.len() + 2).map(|n| format!(", pg_advisory_xact_lock(${n})")).collect();
        let numbers: Vec<Value> =
            std::iter::once(writers).chain(names.iter().map(String::as_str)).map(|name| Value::Int(number(name))).collect();
        self.run(&format!("select pg_advisory_xact_lock_shared($1){taken}"), &numbers)?;
        self.names.extend(names);
        Ok(())
    }

    /// A command of the transaction itself.
    pub fn own(&mut self, sql: &str) -> Result<()> {
        Ok(self.connection.client()?.batch_execute(sql)?)
    }

    fn run(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let statement = self.prepared(sql, params)?;
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = self.connection.client()?.query(&statement, &params)?;
        self.steps.fetch_add(rows.len() as u64 + 1, Ordering::Relaxed);
        let names: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let read = |row: &postgres::Row| Ok(Row::new(names.clone(), values(row)?));
        rows.iter().map(read).collect()
    }

    fn prepared(&mut self, sql: &str, params: &[Value]) -> Result<Statement> {
        let statement = self.connection.prepared(sql)?;
        match statement.params().len() == params.len() {
            true => Ok(statement),
            false => {
                let (wants, has) = (statement.params().len(), params.len());
                Err(Error::Engine(format!("the statement has {wants} parameters, not {has}: {sql}")))
            }
        }
    }

    fn noted<T>(&mut self, result: Result<T>) -> Result<T> {
        // The first one is the cause; those after it are told that the transaction is over.
        if let Err(error) = &result
            && self.error.is_none()
        {
            self.error = Some(error.clone());
        }
        if matches!(result, Err(Error::Engine(_))) {
            // Another hub may have changed a table under what was prepared.
            self.connection.forget_prepared();
        }
        result
    }
}

fn values(row: &postgres::Row) -> Result<Vec<Value>> {
    (0..row.len()).map(|at| Ok(row.try_get::<usize, Value>(at)?)).collect()
}

impl Statements for Open<'_> {
    fn kind(&self) -> Kind {
        Kind::Server
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        let statement = self.prepared(sql, params);
        let done = statement.and_then(|statement| {
            let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
            Ok(self.connection.client()?.execute(&statement, &params)?)
        });
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.noted(done)
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let rows = self.run(sql, params);
        self.noted(rows)
    }

    fn each(&mut self, sql: &str, each: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        self.own("set local statement_timeout = 0")?;
        let mut rows: RowIter<'_> = self.connection.client()?.query_raw(sql, none)?;
        while let Some(row) = rows.next()? {
            each(values(&row)?)?;
        }
        Ok(())
    }

    fn script(&mut self, sql: &str) -> Result<()> {
        self.own_script(&dialect::ours(sql))
    }

    /// A table is changed as long as it takes.
    fn own_script(&mut self, sql: &str) -> Result<()> {
        let done = self.own("set local statement_timeout = 0").and_then(|()| self.own(sql));
        self.noted(done)
    }

    fn mark(&mut self) -> Result<()> {
        let done = self.own("savepoint attempt");
        self.noted(done)
    }

    fn settle(&mut self, good: bool) -> Result<()> {
        let done = self.own(if good { "release savepoint attempt" } else { "rollback to savepoint attempt; release savepoint attempt" });
        if !good && done.is_ok() {
            // What failed is undone, and names taken meanwhile are free.
            self.error = None;
            self.names.clear();
        }
        self.noted(done)
    }

    fn lock(&mut self, name: &str) -> Result<()> {
        if self.is_alone || self.names.contains(name) {
            return Ok(());
        }
        let taken = self.run("select pg_advisory_xact_lock($1)", &[Value::Int(number(name))]);
        self.noted(taken)?;
        self.names.insert(name.to_owned());
        Ok(())
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let told = self.run("select pg_notify('hub_news', $1)", &[Value::from(word)]);
        self.noted(told).map(drop)
    }

    fn defer_keys(&mut self) -> Result<()> {
        let done = self.own("set constraints all deferred; set local statement_timeout = 0");
        self.noted(done)
    }

    fn clock(&mut self) -> Result<Option<i64>> {
        let rows = self.query("select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint) as now", &[])?;
        rows.first().map(|row| row.int("now")).transpose()
    }
}
