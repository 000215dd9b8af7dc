//! Brings the tables up to date. A released migration is never edited; a new one is added.

use super::{Error, Kind, Result, Tx};
use crate::params;

/// Name and text of every migration, in order; `None` for the one in which engines differ.
const MIGRATIONS: &[(&str, Option<&str>)] = &[
    ("0001_accounts", Some(include_str!("../../migrations/0001_accounts.sql"))),
    ("0002_registry", Some(include_str!("../../migrations/0002_registry.sql"))),
    ("0003_catalog", Some(include_str!("../../migrations/0003_catalog.sql"))),
    ("0004_search", None),
    ("0005_jobs", Some(include_str!("../../migrations/0005_jobs.sql"))),
    ("0006_details", Some(include_str!("../../migrations/0006_details.sql"))),
    ("0007_uploads", Some(include_str!("../../migrations/0007_uploads.sql"))),
    ("0008_segments", Some(include_str!("../../migrations/0008_segments.sql"))),
    ("0009_upkeep", Some(include_str!("../../migrations/0009_upkeep.sql"))),
    ("0010_dialects", Some(include_str!("../../migrations/0010_dialects.sql"))),
    ("0011_former_names", Some(include_str!("../../migrations/0011_former_names.sql"))),
    ("0012_marks", Some(include_str!("../../migrations/0012_marks.sql"))),
    ("0013_mirrors", Some(include_str!("../../migrations/0013_mirrors.sql"))),
    ("0014_lines", Some(include_str!("../../migrations/0014_lines.sql"))),
    ("0015_git", Some(include_str!("../../migrations/0015_git.sql"))),
    ("0017_quotas", Some(include_str!("../../migrations/0017_quotas.sql"))),
    ("0019_token_parents", Some(include_str!("../../migrations/0019_token_parents.sql"))),
    ("0020_rights", Some(include_str!("../../migrations/0020_rights.sql"))),
    ("0021_audit", Some(include_str!("../../migrations/0021_audit.sql"))),
    ("0023_job_files", Some(include_str!("../../migrations/0023_job_files.sql"))),
    ("0024_queue", Some(include_str!("../../migrations/0024_queue.sql"))),
    ("0025_measurements", Some(include_str!("../../migrations/0025_measurements.sql"))),
    ("0026_embeddings", Some(include_str!("../../migrations/0026_embeddings.sql"))),
    ("0027_doctor", Some(include_str!("../../migrations/0027_doctor.sql"))),
    ("0028_trials", Some(include_str!("../../migrations/0028_trials.sql"))),
    ("0030_webhooks", Some(include_str!("../../migrations/0030_webhooks.sql"))),
    ("0032_library", Some(include_str!("../../migrations/0032_library.sql"))),
    ("0033_listing", Some(include_str!("../../migrations/0033_listing.sql"))),
    ("0034_results", Some(include_str!("../../migrations/0034_results.sql"))),
    ("0035_job_results", Some(include_str!("../../migrations/0035_job_results.sql"))),
    ("0043_worker_tokens", Some(include_str!("../../migrations/0043_worker_tokens.sql"))),
    ("0044_engines", Some(include_str!("../../migrations/0044_engines.sql"))),
    ("0046_signing_keys", Some(include_str!("../../migrations/0046_signing_keys.sql"))),
    ("0047_workers", Some(include_str!("../../migrations/0047_workers.sql"))),
    ("0048_merit", Some(include_str!("../../migrations/0048_merit.sql"))),
    ("0050_words_cover", Some(include_str!("../../migrations/0050_words_cover.sql"))),
    ("0051_turns", Some(include_str!("../../migrations/0051_turns.sql"))),
];

/// How the name of a migration ends after which older releases cannot go on: it takes away or changes what they use. All others add
/// tables, indexes, and columns that have a value by themselves, and an older release works beside a newer one.
const BREAKS: &str = "-breaks";

/// A migration of a newer release that older ones cannot go on after.
pub(super) fn find_break(tx: &mut Tx<'_>) -> Result<Option<String>> {
    let names = tx.all("select name from schema_migrations where position >= $1 order by position", params![MIGRATIONS.len()])?;
    let names = names.iter().map(|row| row.text("name")).collect::<Result<Vec<_>>>()?;
    Ok(names.into_iter().find(|name| name.ends_with(BREAKS)))
}

/// Applies what is missing, in one transaction; `full_text` is the engine's own text of `0004_search`.
pub(super) fn up(tx: &mut Tx<'_>, full_text: &str) -> Result<()> {
    tx.execute("create table if not exists schema_migrations (name text primary key, position bigint not null)", &[])?;
    let done = tx.all("select name from schema_migrations order by position", &[])?;
    if let Some(row) = done.get(MIGRATIONS.len()) {
        let newest = row.text("name")?;
        // Hubs that share a server are brought up to date one after the other; a file has one hub, which goes forward only.
        return match (tx.kind(), find_break(tx)?) {
            (Kind::Server, None) => {
                tracing::warn!(
                    newest,
                    release = env!("CARGO_PKG_VERSION"),
                    "a newer hub has brought this database up to date; this one can work beside it"
                );
                Ok(())
            }
            (_, broken) => {
                let (by, release) = (broken.unwrap_or(newest), env!("CARGO_PKG_VERSION"));
                Err(Error::Engine(format!(
                    "a newer hub made this database (migration {by}), and this one ({release}) cannot use it; start that one"
                )))
            }
        };
    }
    for (position, (name, sql)) in MIGRATIONS.iter().enumerate().skip(done.len()) {
        match sql {
            Some(sql) => tx.statements.script(sql)?,
            None => tx.statements.own_script(full_text)?,
        }
        tx.execute("insert into schema_migrations (name, position) values ($1, $2)", params![*name, position])?;
    }
    Ok(())
}
