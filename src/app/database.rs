//! Which database a hub has: a file of its data directory, or one on a server that several hubs share; and how one becomes the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::upkeep::{Moved, Tell};
use super::{DATABASE_FILE, Error, Result, lock, modes, open_error};
use crate::config::Config;
use crate::db::{self, Db, Kind};
use crate::domain::database::{is_address, shown};
use crate::domain::time::{Clock, SystemClock, Timestamp};
use crate::service::upkeep::migrate;

/// How long a start waits for a database server that does not answer yet.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);
/// How often this machine's clock is compared with the database's.
const COMPARED: Duration = Duration::from_secs(60);
/// So much a way to the server and back may take: a difference below it is none.
const NOISE_MS: i64 = 250;
/// From so much on somebody should set a clock.
const FAR_MS: i64 = 60_000;

/// Opens the database of a hub.
pub(super) async fn open(config: &Config) -> Result<Db> {
    let Some(address) = &config.db else {
        return Db::open(&config.data.join(DATABASE_FILE)).await.map_err(|e| open_error(&config.data, e));
    };
    if config.data.join(DATABASE_FILE).is_file() {
        tracing::warn!(database = shown(address), "the file {DATABASE_FILE} in the data directory is not used");
    }
    connect(address).await
}

/// A server that is started together with this one may need a moment.
async fn connect(address: &str) -> Result<Db> {
    let begun = Instant::now();
    loop {
        match Db::connect(address).await {
            Ok(db) => return Ok(db),
            Err(db::Error::Unreachable(why)) if begun.elapsed() < PATIENCE => {
                tracing::warn!(database = shown(address), why, "waiting for the database");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(refused(address, &error)),
        }
    }
}

fn refused(address: &str, error: &db::Error) -> Error {
    let hint = match error {
        db::Error::Unreachable(_) => "check that it runs, that this machine may reach it, and who may log in (pg_hba.conf)",
        _ => "check the setting 'db': docs/OPERATIONS.md says what the database needs",
    };
    Error::failed(format!("the database {}: {error}", shown(address)), hint)
}

/// The clock that hubs on one database server share, whatever those of their machines say: what one writes down as its time, others compare with theirs.
pub(super) async fn clock(db: &Db) -> Result<Arc<dyn Clock>> {
    if db.kind() == Kind::Embedded {
        return Ok(Arc::new(SystemClock));
    }
    let clock = Arc::new(Shared { ahead_ms: AtomicI64::new(ahead(db).await.map_err(crate::service::Error::from)?) });
    tokio::spawn(compare(Arc::downgrade(&clock), db.clone()));
    Ok(clock)
}

/// This machine's clock, put right by the database's.
struct Shared {
    ahead_ms: AtomicI64,
}

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// How far the database's clock is ahead of this machine's.
async fn ahead(db: &Db) -> db::Result<i64> {
    let before = SystemClock.now().unix_ms();
    let there = db.read(|tx| tx.clock()).await?;
    let after = SystemClock.now().unix_ms();
    let ahead = there.map_or(0, |there| there - (before + after) / 2);
    if ahead.abs() >= FAR_MS {
        tracing::warn!(seconds = ahead / 1_000, "the database's clock is ahead of this machine's; the database's counts");
    }
    Ok(if ahead.abs() < NOISE_MS { 0 } else { ahead })
}

async fn compare(clock: Weak<Shared>, db: Db) {
    loop {
        tokio::time::sleep(COMPARED).await;
        let found = ahead(&db).await;
        let Some(clock) = clock.upgrade() else { return };
        if let Ok(ahead) = found {
            clock.ahead_ms.store(ahead, Ordering::Relaxed);
        }
    }
}

/// Does a hub already have a database where the settings say?
pub(super) fn is_there(config: &Config) -> bool {
    config.db.is_some() || config.data.join(DATABASE_FILE).is_file()
}

/// A database as it is named on the command line.
enum Place {
    Server(String),
    File { data: PathBuf, file: PathBuf },
}

impl Place {
    fn parse(text: &str) -> Place {
        let path = Path::new(text);
        if is_address(text) {
            Place::Server(text.to_owned())
        } else if path.is_dir() || path.extension().is_none_or(|end| end != "db") {
            Place::File { data: path.to_owned(), file: path.join(DATABASE_FILE) }
        } else {
            Place::File { data: path.parent().unwrap_or(Path::new(".")).to_owned(), file: path.to_owned() }
        }
    }

    fn shown(&self) -> String {
        match self {
            Place::Server(address) => shown(address),
            Place::File { file, .. } => file.display().to_string(),
        }
    }

    /// Opens it, and keeps servers off a data directory.
    async fn open(&self) -> Result<(Db, Option<lock::Lock>)> {
        match self {
            Place::Server(address) => Ok((connect(address).await?, None)),
            Place::File { data, file } => {
                modes::make_private();
                std::fs::create_dir_all(data).map_err(|e| Error::data(data, &e))?;
                let lock = lock::Lock::take(data)?;
                Ok((Db::open(file).await.map_err(|e| open_error(data, e))?, Some(lock)))
            }
        }
    }
}

/// Copies the database of a hub to another place: addresses of servers, data directories, or files in them.
pub async fn migrate_database(from: &str, to: &str, tell: &Tell) -> Result<Vec<Moved>> {
    let (from, to) = (Place::parse(from), Place::parse(to));
    if let Place::File { file, .. } = &from
        && !file.is_file()
    {
        let message = format!("there is no database {}", file.display());
        return Err(Error::NotFound { message, hint: "name a data directory, or the address of a database server".into() });
    }
    if from.shown() == to.shown() {
        let message = format!("{} would be copied to itself", from.shown());
        return Err(Error::Refused { message, hint: "name two databases".into() });
    }
    let (source, _locked) = from.open().await?;
    let (target, _locked_too) = to.open().await?;
    Ok(migrate::migrate(&source, &target, tell).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_addresses_directories_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let shown = |text: &str| Place::parse(text).shown();
        assert_eq!(shown("postgres://hub:secret@h/hub"), "postgres://hub:...@h/hub");
        assert_eq!(shown(dir.path().to_str().unwrap()), dir.path().join("hub.db").display().to_string());
        assert_eq!(shown("/none/here"), "/none/here/hub.db");
        assert_eq!(shown("/none/hub.db"), "/none/hub.db");
    }

    #[tokio::test]
    async fn what_cannot_be_copied_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (here, quiet): (_, Tell) = (dir.path().to_str().unwrap(), Arc::new(|_| {}));
        let refused = migrate_database(here, "/none", &quiet).await.unwrap_err();
        assert!(refused.to_string().contains("there is no database"), "{refused}");
        drop(Db::open(&dir.path().join(DATABASE_FILE)).await.unwrap());
        let refused = migrate_database(here, here, &quiet).await.unwrap_err();
        assert!(refused.to_string().contains("to itself"), "{refused}");
    }
}
