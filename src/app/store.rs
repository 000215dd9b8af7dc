//! Which store the blobs of a data directory lie in, and what is asked of it at the start.
//!
//! ```text
//! DATA/store                       s3://bucket/prefix: where the blobs of this catalog are, if not in DATA/blobs
//! ```
//!
//! A catalog beside the wrong store looks like a store that has lost everything. So the first start writes down
//! where the blobs are; later ones, and `hub admin`, go there, and refuse another place.

use std::path::Path;
use std::time::Duration;

use super::{Error, Result};
use crate::blob::{self, Blobs, S3};
use crate::config::{Bucket, Config};
use crate::service::Service;

const NOTE_FILE: &str = "store";
/// Between two tries to clear up what ended processes left in the store, until one succeeds.
const CLEAR_AGAIN: Duration = Duration::from_secs(60);

/// Opens the store this data directory belongs to; nothing is asked of it yet.
pub(super) fn open(config: &Config) -> Result<Blobs> {
    let data = &config.data;
    match place(config)? {
        None => Blobs::open_local(data)
            .map_err(|e| Error::failed(format!("the blobs in {}: {e}", data.display()), "check the directory's owner and free space")),
        Some(bucket) => {
            let place = S3 { bucket: &bucket.name, prefix: &bucket.prefix, variables: &config.aws.0 };
            let blobs = Blobs::open_s3(place, data).map_err(|e| refused(&bucket.to_string(), &e))?;
            // A catalog on a server may have several nodes.
            Ok(if config.db.is_some() { blobs.shared_by_nodes() } else { blobs })
        }
    }
}

/// Where the blobs are: as written down, or as configured, which is then written down.
fn place(config: &Config) -> Result<Option<Bucket>> {
    let (data, note) = (&config.data, config.data.join(NOTE_FILE));
    let known = match std::fs::read_to_string(&note) {
        Ok(text) => {
            let wrong = || Error::corrupt(format!("{} names no S3 bucket", note.display()), "write the line s3://bucket/prefix into it");
            Some(Bucket::parse(text.trim()).ok_or_else(wrong)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::data(data, &error)),
    };
    match (known, &config.store) {
        (None, None) => Ok(None),
        (Some(known), None) => Ok(Some(known)),
        (Some(known), Some(asked)) if known == *asked => Ok(Some(known)),
        (Some(known), Some(asked)) => {
            let message = format!("the blobs of {} are in {known}, not in {asked}", data.display());
            let hint = format!("drop --store; or, once you have copied them there, write the new place into {}", note.display());
            Err(Error::failed(message, hint))
        }
        (None, Some(asked)) => {
            if has_blobs(&data.join("blobs")) {
                let message = format!("the blobs of {} are in that directory, not in {asked}", data.display());
                let hint = "drop --store; or copy DATA/blobs to the bucket (docs/OPERATIONS.md) and move it away, then start again";
                return Err(Error::failed(message, hint));
            }
            write_down(data, &note, asked).map_err(|e| Error::data(data, &e))?;
            Ok(Some(asked.clone()))
        }
    }
}

fn has_blobs(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn write_down(data: &Path, note: &Path, bucket: &Bucket) -> std::io::Result<()> {
    let fresh = data.join(format!("{NOTE_FILE}.new"));
    std::fs::write(&fresh, format!("{bucket}\n"))?;
    std::fs::File::open(&fresh)?.sync_all()?;
    std::fs::rename(&fresh, note)?;
    std::fs::File::open(data)?.sync_all()
}

/// A store that refuses us will go on to: the server does not start. One that does not answer may be back in a
/// moment: the server starts, and says 503 where bytes are asked for.
pub(super) async fn greet(service: &Service) -> Result<()> {
    if !service.has_remote_store() {
        return Ok(());
    }
    match service.probe_store().await {
        Ok(conditional) => tracing::info!(conditional_writes = conditional, "the S3 store answers"),
        Err(error @ blob::Error::Refused(_)) => return Err(refused("the S3 store", &error)),
        Err(error) => tracing::error!(%error, "the S3 store does not answer yet"),
    }
    let service = service.clone();
    tokio::spawn(async move {
        loop {
            match service.abort_abandoned().await {
                Ok(0) => return,
                Ok(aborted) => return tracing::info!(aborted, "aborted multipart uploads that a crash had left behind"),
                Err(error) => tracing::warn!(%error, "multipart uploads that a crash left behind cannot be aborted yet"),
            }
            tokio::time::sleep(CLEAR_AGAIN).await;
        }
    });
    Ok(())
}

fn refused(place: &str, error: &blob::Error) -> Error {
    let hint = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, and that the bucket is there and its \
                policy is that of docs/OPERATIONS.md";
    Error::failed(format!("{place}: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data: &Path, store: Option<&str>) -> Config {
        let flags = [("data", data.to_string_lossy().into_owned()), ("store", store.unwrap_or_default().into())];
        Config::load(&flags, None).unwrap()
    }

    #[test]
    fn a_catalog_stays_with_its_store() {
        let dir = tempfile::tempdir().unwrap();
        let place = |store| place(&config(dir.path(), store)).map(|found| found.map(|bucket| bucket.to_string()));
        assert_eq!(place(None).unwrap(), None, "by default blobs lie in the data directory");
        let hub = "s3://models/hub".to_owned();
        assert_eq!(place(Some("s3://models/hub")).unwrap(), Some(hub.clone()));
        assert_eq!(place(None).unwrap(), Some(hub.clone()), "it is known from now on");
        let error = place(Some("s3://models/other")).unwrap_err();
        assert!(error.to_string().ends_with("are in s3://models/hub, not in s3://models/other"), "{error}");
        std::fs::write(dir.path().join(NOTE_FILE), "nonsense").unwrap();
        assert!(matches!(place(None), Err(Error::Corrupt { .. })));
    }

    #[test]
    fn blobs_that_lie_here_are_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("blobs/ab")).unwrap();
        let error = place(&config(dir.path(), Some("s3://models"))).unwrap_err();
        assert!(error.hint().contains("copy DATA/blobs"), "{error}");
        assert_eq!(place(&config(dir.path(), None)).unwrap(), None);
    }
}
