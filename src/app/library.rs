//! The library of a server: which index, from where its files are fetched, and that the catalog lists what it says.

use std::time::{Duration, Instant};

use super::{Error, Result};
use crate::config::Config;
use crate::domain::library::{Index, IndexError};
use crate::service::Service;
use crate::service::library::{Source, Upstream};

/// Stands for an index of which nothing is listed.
const NONE: &str = "off";
/// A longer index is none.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// Lists the index, if it is another one than at the last start, and says where its files are fetched from.
pub async fn open(service: Service, config: &Config) -> Result<Service> {
    list(&service, config).await?;
    if !config.library.on {
        return Ok(service);
    }
    let from = Upstream {
        address: if config.library.upstream == NONE { String::new() } else { config.library.upstream.clone() },
        token: config.library.token.clone(),
        proxies: config.proxies.clone(),
        patience: Duration::from_secs(config.patience_seconds),
        folder: config.data.join("library"),
    };
    let source = Source::open(&from)?;
    Ok(service.with_library(Some(source)))
}

async fn list(service: &Service, config: &Config) -> Result<()> {
    let begun = Instant::now();
    let index = match (&config.library.file, config.library.on) {
        (_, false) => Index { version: NONE.to_owned(), ..Index::default() },
        (Some(file), true) => {
            let text = read(file)
                .map_err(|e| Error::failed(format!("library_file {}: {e}", file.display()), "check the path and who may read it"))?;
            Index::read(&file.display().to_string(), &text).map_err(refused)?
        }
        // Only its digest, where the catalog has it already.
        (None, true) if service.is_seeded(&Index::shipped_version()).await? => return Ok(()),
        (None, true) => Index::shipped().map_err(refused)?,
    };
    let never = service.is_seeded("").await?;
    if service.is_seeded(&index.version).await? || (never && !config.library.on) {
        return Ok(());
    }
    let done = service.seed_library(index).await?;
    let ms = begun.elapsed().as_millis();
    tracing::info!(listed = done.listed, passed_over = done.passed_over, removed = done.removed, ms, "the library's index was listed");
    Ok(())
}

fn read(file: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_INDEX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn refused(error: IndexError) -> Error {
    let hint = match &error {
        IndexError::Newer { .. } => "use a newer hub, or an index of this form; docs/LIBRARY.md describes it",
        IndexError::Wrong { .. } => "correct it; docs/LIBRARY.md describes its form",
    };
    Error::failed(error.to_string(), hint)
}
