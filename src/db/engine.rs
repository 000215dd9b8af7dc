//! What an engine of the database must be able to do. All that differs between engines stands behind these two
//! traits, in one file an engine, and in `catalog/full_text.rs`; nobody else knows which one it is.

use std::path::Path;

use super::story::Waiting;
use super::{Result, Row, Tx, Value};

/// An opened database. Every call may block.
pub(super) trait Engine: Send + Sync {
    /// The text of the migration that makes the tables of full-text search.
    fn full_text_tables(&self) -> &'static str;

    /// Runs `story` once in a transaction in which everything it sees is one moment. The story says whether all went
    /// well; what it answers stays with whoever made it.
    fn read(&self, story: &mut dyn FnMut(&mut Tx<'_>) -> bool) -> Result<()>;

    /// Runs `story` in a write transaction, perhaps together with others, and returns once it `has_ended`: if it went
    /// well, it is on the disk then; if not, nothing of it is left.
    fn write(&self, story: Box<dyn Waiting>, has_ended: &dyn Fn() -> bool);

    /// Reads the whole file and looks for damage. It ends early, as `Busy`, once it was asked to.
    fn check(&self) -> Result<()>;

    /// Asks a check that is under way to end, and those to come.
    fn stop_checks(&self);

    /// Steps that statements have taken since the start: how much work they were, whatever the machine.
    fn steps(&self) -> u64;

    /// As `check`, and every index entry and reference besides.
    fn check_all(&self) -> Result<()>;

    /// Writes all that is committed into a new file, as of one moment, while others go on writing. The file is on the
    /// disk when this returns.
    fn copy_into(&self, path: &Path) -> Result<()>;
}

/// What an engine must be able to do inside a transaction.
pub(super) trait Statements {
    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64>;
    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>>;
    fn script(&mut self, sql: &str) -> Result<()>;
}
