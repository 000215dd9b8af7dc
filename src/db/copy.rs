//! Everything of one database into another, of whatever engine: all of it or nothing, as of one moment, and read back afterwards. What an
//! engine derives for itself is left out; columns that only one of the two has are such.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::engine::{Company, Engine, Table};
use super::{Error, Result, Tx, Value, story};
use crate::domain::digest::Digest;

/// Values of one statement that inserts rows.
const VALUES_AT_ONCE: usize = 400;
/// Batches that are read ahead of those being written.
const AHEAD: usize = 16;
/// Kept by the program that made the tables, and the same on both sides.
const OWN: &str = "schema_migrations";

/// What was copied of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub table: String,
    pub rows: u64,
    /// Of all rows, in whatever order, in hex.
    pub digest: String,
}

/// Some rows of the table of this number.
type Batch = (usize, Vec<Vec<Value>>);

pub(super) fn copy(from: &dyn Engine, to: &dyn Engine) -> Result<Vec<Copied>> {
    let tables = common(&from.tables()?, &to.tables()?)?;
    must_be_new(to)?;
    let (sender, receiver) = sync_channel::<Batch>(AHEAD);
    let sums = std::thread::scope(|scope| {
        let reading = scope.spawn(|| sums(from, &tables, Some(sender)));
        let written = write(to, tables.clone(), receiver);
        let sums = reading.join().map_err(|_| Error::Engine("the reader of a copy panicked".into()))?;
        // Where the writer gave up, the reader only noticed that nobody listens.
        written.and(sums)
    })?;
    to.settle()?;
    for ((table, had), has) in tables.iter().zip(&sums).zip(&self::sums(to, &tables, None)?) {
        if had != has {
            let (there, here) = (had.rows, has.rows);
            return Err(Error::Engine(format!("'{}' reads back otherwise: {there} rows were copied, {here} are there", table.name)));
        }
    }
    let copied = |(table, sum): (&Table, &Sum)| Copied { table: table.name.clone(), rows: sum.rows, digest: sum.digest() };
    Ok(tables.iter().zip(&sums).map(copied).collect())
}

/// The tables of both, with the columns of both.
fn common(from: &[Table], to: &[Table]) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for table in from.iter().filter(|table| table.name != OWN) {
        let Some(other) = to.iter().find(|other| other.name == table.name) else {
            return Err(Error::Engine(format!("there is no table '{}' to copy to", table.name)));
        };
        let columns: Vec<String> = table.columns.iter().filter(|column| other.columns.contains(column)).cloned().collect();
        tables.push(Table { name: table.name.clone(), columns });
    }
    Ok(tables)
}

/// Nobody's hub is written over.
fn must_be_new(to: &dyn Engine) -> Result<()> {
    let mut found = Ok(None);
    to.read(&mut |tx| {
        found = tx.find("select id from accounts limit 1", &[]);
        true
    })?;
    match found? {
        None => Ok(()),
        Some(_) => Err(Error::Engine("the database to copy to holds a hub already; name a new one".into())),
    }
}

/// Reads all rows, as of one moment; they are handed on if somebody wants them.
fn sums(from: &dyn Engine, tables: &[Table], to: Option<SyncSender<Batch>>) -> Result<Vec<Sum>> {
    let mut all = Ok(Vec::new());
    from.read(&mut |tx| {
        all = tables.iter().enumerate().map(|(at, table)| sum(tx, at, table, to.as_ref())).collect();
        true
    })?;
    all
}

fn sum(tx: &mut Tx<'_>, at: usize, table: &Table, to: Option<&SyncSender<Batch>>) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut batch = Vec::new();
    let most = (VALUES_AT_ONCE / table.columns.len().max(1)).max(1);
    let gone = |_| Error::Engine("the writer of a copy gave up".into());
    tx.statements.each(&format!("select {} from {}", columns(table), quoted(&table.name)), &mut |row| {
        sum.add(&row);
        if let Some(to) = to {
            batch.push(row);
            if batch.len() >= most {
                to.send((at, std::mem::take(&mut batch))).map_err(gone)?;
            }
        }
        Ok(())
    })?;
    match to {
        Some(to) if !batch.is_empty() => to.send((at, batch)).map_err(gone)?,
        _ => {}
    }
    Ok(sum)
}

/// Puts rows in place of the few that a new database has.
fn write(to: &dyn Engine, tables: Vec<Table>, rows: Receiver<Batch>) -> Result<()> {
    let story = move |tx: &mut Tx<'_>| -> Result<()> {
        tx.statements.defer_keys()?;
        for table in &tables {
            tx.execute(&format!("delete from {}", quoted(&table.name)), &[])?;
        }
        for (at, batch) in rows {
            insert(tx, &tables[at], &batch)?;
        }
        Ok(())
    };
    let (waiting, answer) = story::waiting(story, None);
    to.write(&Company::Alone, waiting, &|| answer.is_there());
    answer.take().unwrap_or_else(|| Err(super::not_run()))
}

fn insert(tx: &mut Tx<'_>, table: &Table, batch: &[Vec<Value>]) -> Result<()> {
    let width = table.columns.len();
    let row = |at: usize| format!("({})", (1..=width).map(|n| format!("${}", at * width + n)).collect::<Vec<_>>().join(", "));
    let rows = (0..batch.len()).map(row).collect::<Vec<_>>().join(", ");
    let sql = format!("insert into {} ({}) values {rows}", quoted(&table.name), columns(table));
    tx.execute(&sql, &batch.concat()).map(drop)
}

fn columns(table: &Table) -> String {
    table.columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// What some rows come to, in whatever order: how many, and the sum of their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    of: [u128; 2],
}

impl Sum {
    fn add(&mut self, row: &[Value]) {
        let mut bytes = Vec::new();
        let mut put = |kind: u8, text: &[u8]| {
            bytes.push(kind);
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text);
        };
        for value in row {
            match value {
                Value::Null => put(0, &[]),
                Value::Int(value) => put(1, &value.to_be_bytes()),
                Value::Real(value) => put(2, &value.to_bits().to_be_bytes()),
                Value::Text(value) => put(3, value.as_bytes()),
                Value::Blob(value) => put(4, value),
            }
        }
        self.rows += 1;
        for (sum, half) in self.of.iter_mut().zip(Digest::of(&bytes).as_bytes().chunks(16)) {
            let half = half.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
            *sum = sum.wrapping_add(half);
        }
    }

    fn digest(&self) -> String {
        format!("{:032x}{:032x}", self.of[0], self.of[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sqlite::Sqlite;
    use crate::params;

    fn open(dir: &tempfile::TempDir, name: &str) -> Sqlite {
        let engine = Sqlite::open(&dir.path().join(name)).unwrap();
        crate::db::up(&engine).unwrap();
        engine
    }

    #[test]
    fn a_copy_has_all_rows_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (open(&dir, "one.db"), open(&dir, "two.db"));
        let fill = |tx: &mut Tx<'_>| -> Result<()> {
            for n in 0..1_000i64 {
                tx.execute(
                    "insert into blobs (digest, size_bytes, created, mark) values ($1, $2, 0, $3)",
                    params![format!("{n}"), n, (n % 3 == 0).then(|| format!("mark {n}"))],
                )?;
            }
            // The child stands before its parent.
            tx.execute("insert into accounts (id, name, folded, kind, created) values ('a', 'A', 'a', 'user', 1)", &[])?;
            let token = "insert into tokens (id, owner, name, scope, hash, created, parent) values ($1, 'a', '', 'read', $1, 1, $2)";
            tx.execute(token, params!["z", None::<String>])?;
            tx.execute(token, params!["b", "z"]).map(drop)
        };
        crate::db::write(&one, &Company::Alone, fill, None).unwrap();
        let copied = copy(&one, &two).unwrap();
        let of = |name: &str| copied.iter().find(|copied| copied.table == name).unwrap();
        assert_eq!((of("blobs").rows, of("tokens").rows, of("rights").rows), (1_000, 2, 1));
        assert!(copied.iter().any(|copied| copied.table.ends_with("_index")));
        assert!(copy(&one, &two).unwrap_err().to_string().contains("holds a hub already"));
    }

    #[test]
    fn the_order_of_rows_is_no_part_of_their_sum() {
        let (a, b) = (vec![Value::Int(1), Value::Null], vec![Value::Text("1".into()), Value::Real(1.0)]);
        let sum = |rows: [&Vec<Value>; 2]| {
            let mut sum = Sum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        assert_eq!(sum([&a, &b]), sum([&b, &a]));
        assert_ne!(sum([&a, &a]), sum([&b, &b]));
    }
}
