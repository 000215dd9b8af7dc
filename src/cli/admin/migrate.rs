//! `hub admin migrate-db`: the catalog from a file to a database server, and back.

use clap::Args;
use serde_json::json;

use super::super::output::table;
use super::super::table::plural;
use super::super::{Output, Result};
use crate::app;
use crate::app::upkeep::Tell;

/// Copy the catalog to another database
#[derive(Debug, Args)]
#[command(
    name = "migrate-db",
    after_help = "Stop all servers and workers first. The database to copy to must be new. Every table is read back and compared before this\n\
    ends well; the one copied from stays as it is. Blobs stay where they are.\n\n\
    Examples:\n  hub admin migrate-db --from ~/.local/share/backbone-hub --to postgres://hub@db.example/hub\n  \
    hub admin migrate-db --from postgres://hub@db.example/hub --to /srv/hub"
)]
pub(super) struct MigrateDb {
    /// A data directory, or the address of a PostgreSQL database
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// The same, of one that holds no hub yet
    #[arg(long, value_name = "PLACE")]
    to: String,
}

impl MigrateDb {
    pub async fn run(self, tell: &Tell) -> Result<Output> {
        let moved = app::migrate_database(&self.from, &self.to, tell).await?;
        let rows: u64 = moved.iter().map(|table| table.rows).sum();
        let lines: Vec<Vec<String>> =
            moved.iter().filter(|table| table.rows > 0).map(|t| vec![t.table.clone(), t.rows.to_string(), t.digest[..16].into()]).collect();
        let text = format!(
            "{}\n\ncopied {} of {}; each table reads back with the digest it had",
            table(&["table", "rows", "digest"], &lines),
            plural(rows, "row"),
            plural(moved.len() as u64, "table")
        );
        let tables: Vec<_> = moved.iter().map(|t| json!({ "table": t.table, "rows": t.rows, "digest": t.digest })).collect();
        Ok(Output::new(text, json!({ "rows": rows, "tables": tables }), rows.to_string()))
    }
}
