//! Brings the tables up to date. A released migration is never edited; a new one is added.

use super::{Error, Result, Tx};
use crate::params;

/// Name and text of every migration, in order.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_accounts", include_str!("../../migrations/0001_accounts.sql")),
    ("0002_registry", include_str!("../../migrations/0002_registry.sql")),
    ("0003_catalog", include_str!("../../migrations/0003_catalog.sql")),
    ("0004_search", include_str!("../../migrations/0004_search.sqlite.sql")),
    ("0005_jobs", include_str!("../../migrations/0005_jobs.sql")),
    ("0006_details", include_str!("../../migrations/0006_details.sql")),
    ("0007_uploads", include_str!("../../migrations/0007_uploads.sql")),
    ("0008_segments", include_str!("../../migrations/0008_segments.sql")),
    ("0009_upkeep", include_str!("../../migrations/0009_upkeep.sql")),
    ("0010_dialects", include_str!("../../migrations/0010_dialects.sql")),
    ("0011_former_names", include_str!("../../migrations/0011_former_names.sql")),
];

/// Applies what is missing, in one transaction.
pub(super) fn up(tx: &mut Tx<'_>) -> Result<()> {
    tx.execute("create table if not exists schema_migrations (name text primary key, position bigint not null)", &[])?;
    let done = tx.all("select name from schema_migrations order by position", &[])?;
    if let Some(row) = done.get(MIGRATIONS.len()) {
        return Err(Error::Engine(format!("a newer hub made this database (migration {}); start that one", row.text("name")?)));
    }
    for (position, (name, sql)) in MIGRATIONS.iter().enumerate().skip(done.len()) {
        tx.statements.script(sql)?;
        tx.execute("insert into schema_migrations (name, position) values ($1, $2)", params![*name, position])?;
    }
    Ok(())
}
