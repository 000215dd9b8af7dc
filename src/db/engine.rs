//! What an engine of the database must be able to do. All that differs between engines stands behind these two
//! traits, in one file or folder an engine, and in `catalog/full_text.rs`; nobody else knows which one it is.

use std::path::Path;

use super::news::News;
use super::story::Waiting;
use super::{Kind, Result, Row, Tx, Value};

/// An opened database. Every call may block.
pub(super) trait Engine: Send + Sync {
    fn kind(&self) -> Kind;

    /// The text of the migration that makes the tables of full-text search, in the engine's own words.
    fn full_text_tables(&self) -> &'static str;

    /// Runs `story` once in a transaction in which everything it sees is one moment. The story says whether all went
    /// well; what it answers stays with whoever made it.
    fn read(&self, story: &mut dyn FnMut(&mut Tx<'_>) -> bool) -> Result<()>;

    /// Runs `story` in a write transaction, perhaps together with others, and returns once it `has_ended`: if it went
    /// well, it is on the disk then; if not, nothing of it is left.
    fn write(&self, company: &Company, story: Box<dyn Waiting>, has_ended: &dyn Fn() -> bool);

    /// Takes a lock that all processes on the database see, for as long as what is answered lives; `None` while others
    /// have it. A shared one stands beside other shared ones.
    fn hold(&self, name: &str, shared: bool) -> Result<Option<Held>>;

    /// The words that stories tell from now on, where other processes are on another machine.
    fn news(&self) -> Option<News> {
        None
    }

    /// Reads the whole file and looks for damage. It ends early, as `Busy`, once it was asked to.
    fn check(&self, haste: Haste) -> Result<()>;

    /// Asks a check that is under way to end, and those to come.
    fn stop_checks(&self);

    /// Steps that statements have taken since the start: how much work they were, whatever the machine.
    fn steps(&self) -> u64;

    /// As `check`, and every index entry and reference besides.
    fn check_all(&self) -> Result<()>;

    /// Writes all that is committed into a new file, as of one moment, while others go on writing. The file is on the
    /// disk when this returns.
    fn copy_into(&self, path: &Path) -> Result<()>;

    /// The tables that hold what was written, and their columns; nothing that the engine keeps for itself.
    fn tables(&self) -> Result<Vec<Table>>;

    /// Told after much was written at once: what plans are made by is counted anew.
    fn settle(&self) -> Result<()>;
}

/// A table by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<String>,
}

/// How a check goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// Somebody waits for it.
    Full,
    /// Others are at work meanwhile: it rests for most of the time, so that they have the machine.
    Behind,
}

/// Who else may write while a story does.
pub(super) enum Company {
    /// Nobody.
    Alone,
    /// All that are told in such company themselves, but for those that hold one of these names.
    Beside(Vec<String>),
}

/// A lock that ends with this.
pub struct Held {
    _keeps: Box<dyn Send + Sync>,
}

impl Held {
    pub(super) fn by(keeps: impl Send + Sync + 'static) -> Held {
        Held { _keeps: Box::new(keeps) }
    }
}

/// What an engine must be able to do inside a transaction.
pub(super) trait Statements {
    fn kind(&self) -> Kind;
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64>;
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    /// Hands on the values of one row after the other, of however many there are.
    fn each(&mut self, sql: &str, each: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()>;
    /// Runs statements in the words all engines are given.
    fn script(&mut self, sql: &str) -> Result<()>;
    /// Runs statements in the engine's own words.
    fn own_script(&mut self, sql: &str) -> Result<()> {
        self.script(sql)
    }
    /// Begins what may be taken back without all the rest.
    fn mark(&mut self) -> Result<()>;
    /// Ends that, and takes it back unless it is `good`.
    fn settle(&mut self, good: bool) -> Result<()>;
    /// Takes a name until the transaction ends; whoever else wants it waits. Where there is one writer, it has all names.
    fn lock(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }
    /// Tells a word to all that listen, once the transaction is committed.
    fn tell(&mut self, _word: &str) -> Result<()> {
        Ok(())
    }
    /// Lets references be broken until the transaction ends.
    fn defer_keys(&mut self) -> Result<()>;
    /// The database's clock in unix milliseconds, where it is another than this machine's.
    fn clock(&mut self) -> Result<Option<i64>> {
        Ok(None)
    }
}
