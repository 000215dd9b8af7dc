//! What upkeep remembers between two runs, in whichever process they are: totals for the metrics, when something
//! was last done, where a long reading goes on.

use crate::db::{Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;
use crate::params;

/// Totals that only grow, under the names the metrics have.
const TOTALS: &[(&str, &str)] = &[
    ("hub_gc_runs_total", "Collections that ended well."),
    ("hub_gc_freed_blobs_total", "Blobs whose bytes were collected."),
    ("hub_gc_freed_bytes_total", "Bytes collected."),
    ("hub_scrub_blobs_total", "Blobs read again and compared with their sha256."),
    ("hub_scrub_bytes_total", "Bytes of those blobs."),
    ("hub_scrub_damaged_total", "Blobs found damaged or lost."),
    ("hub_reads_damaged_total", "Blobs found damaged when somebody wanted to read them; their bad bytes were not sent."),
    ("hub_uploads_expired_total", "Unfinished uploads thrown away."),
    ("hub_backups_total", "Backups that were completed."),
];

/// Adds to a total.
pub fn add(tx: &mut Tx<'_>, name: &str, more: u64) -> Result<()> {
    if more > 0 {
        let sql = "insert into upkeep (name, number) values ($1, $2)
             on conflict (name) do update set number = upkeep.number + excluded.number";
        tx.execute(sql, params![name, more])?;
    }
    Ok(())
}

/// A single total.
pub fn total(tx: &mut Tx<'_>, name: &str) -> Result<u64> {
    let row = tx.find("select number from upkeep where name = $1", params![name])?;
    row.map_or(Ok(0), |row| row.count("number"))
}

/// Name, meaning and value of each total.
pub fn totals(tx: &mut Tx<'_>) -> Result<Vec<(&'static str, &'static str, u64)>> {
    let rows = tx.all("select name, number from upkeep", &[])?;
    let mut known = std::collections::HashMap::new();
    for row in rows {
        known.insert(row.text("name")?, row.int("number")?);
    }
    let total = |name: &str| known.get(name).copied().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Ok(TOTALS.iter().map(|(name, help)| (*name, *help, total(name))).collect())
}

/// Something that is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    Collection,
    Backup,
}

impl Chore {
    fn name(self) -> &'static str {
        match self {
            Chore::Collection => "collection",
            Chore::Backup => "backup",
        }
    }
}

/// When a chore was last done.
pub fn last_done(tx: &mut Tx<'_>, chore: Chore) -> Result<Option<Timestamp>> {
    let row = tx.find("select number from upkeep where name = $1", params![chore.name()])?;
    row.map(|row| Ok(Timestamp::from_unix_ms(row.int("number")?))).transpose()
}

pub fn set_done(tx: &mut Tx<'_>, chore: Chore, now: Timestamp) -> Result<()> {
    set(tx, chore.name(), now.unix_ms(), "")
}

/// How far the paced scrub of all blobs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scrubbing {
    pub started: Option<Timestamp>,
    /// All blobs up to this one were read since.
    pub after: Option<Digest>,
    /// The last blob was read; the next pass begins when its time has come.
    pub finished: bool,
}

const SCRUB: &str = "scrub";
const FINISHED: &str = "finished";

pub fn scrubbing(tx: &mut Tx<'_>) -> Result<Scrubbing> {
    let Some(row) = tx.find("select number, words from upkeep where name = $1", params![SCRUB])? else {
        return Ok(Scrubbing::default());
    };
    let words = row.text("words")?;
    Ok(Scrubbing {
        started: Some(Timestamp::from_unix_ms(row.int("number")?)),
        after: Digest::parse(&words).ok(),
        finished: words == FINISHED,
    })
}

pub fn set_scrubbing(tx: &mut Tx<'_>, at: &Scrubbing) -> Result<()> {
    let words = if at.finished { FINISHED.to_owned() } else { at.after.map_or(String::new(), |digest| digest.to_hex()) };
    set(tx, SCRUB, at.started.unwrap_or_default().unix_ms(), &words)
}

fn set(tx: &mut Tx<'_>, name: &str, number: i64, words: &str) -> Result<()> {
    let sql = "insert into upkeep (name, number, words) values ($1, $2, $3)
         on conflict (name) do update set number = excluded.number, words = excluded.words";
    tx.execute(sql, params![name, number, words])?;
    Ok(())
}
