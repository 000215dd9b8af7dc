//! Opening a store: a local directory, memory, or a bucket of an S3 store; and what to ask a store first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientConfigKey, Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};

use super::multipart::Remote;
use super::{Blobs, Error, Result, object, sync_directory};

/// A block of a mebibyte, or a question: what takes longer will not come.
const ANSWER_WITHIN: &str = "20s";
/// A part of some mebibytes over a slow line, or the store putting thousands of parts together.
const PART_WITHIN: &str = "5m";
/// Failing requests are repeated a few times within this; then the hub says that its store does not answer, and
/// its clients wait and ask again.
const REPEAT_FOR: Duration = Duration::from_secs(5);

/// A place in an S3 store.
#[derive(Debug, Clone, Copy)]
pub struct S3<'a> {
    pub bucket: &'a str,
    /// Without slashes at its ends.
    pub prefix: &'a str,
    /// The usual `AWS_*` variables: keys, region, endpoint.
    pub variables: &'a [(String, String)],
}

impl Blobs {
    /// Opens (or creates) a store in a local directory.
    pub fn open_local(dir: &Path) -> Result<Blobs> {
        std::fs::create_dir_all(dir.join("blobs"))?;
        let root = dir.canonicalize()?;
        let staging = root.join("staging");
        std::fs::create_dir_all(&staging)?;
        sync_directory(&root)?;
        let store = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Blobs::of(Arc::new(store), None, Some(root), staging, None))
    }

    /// A store that forgets everything when it is dropped.
    pub fn memory() -> Result<Blobs> {
        let temporary = tempfile::tempdir()?;
        let (store, dir) = (Arc::new(InMemory::new()), temporary.path().to_owned());
        Blobs::remote(store.clone(), store, None, &dir, Some(temporary))
    }

    /// Any store with multipart uploads; `dir` is for what is not stored yet.
    pub fn over(store: Arc<impl ObjectStore + MultipartStore>, dir: &Path) -> Result<Blobs> {
        Blobs::remote(store.clone(), store, None, dir, None)
    }

    /// A bucket of an S3 store; `dir` is for what is not stored yet. Nothing is asked of the store: it may be
    /// away now and come back.
    pub fn open_s3(place: S3<'_>, dir: &Path) -> Result<Blobs> {
        // An error only says that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let quick = Arc::new(PrefixStore::new(builder(place, ANSWER_WITHIN)?.build()?, place.prefix));
        let patient = Arc::new(PrefixStore::new(builder(place, PART_WITHIN)?.build()?, place.prefix));
        Blobs::remote(quick.clone(), patient, Some(quick), dir, None)
    }

    fn remote(
        store: Arc<dyn ObjectStore>,
        parts: Arc<dyn MultipartStore>,
        signer: Option<Arc<dyn Signer>>,
        dir: &Path,
        temporary: Option<tempfile::TempDir>,
    ) -> Result<Blobs> {
        let staging = dir.join("staging");
        std::fs::create_dir_all(&staging)?;
        let remote = Remote::new(parts, signer, dir.join("multipart"))?;
        Ok(Blobs::of(store, Some(remote), None, staging, temporary))
    }

    /// Asks a remote store what every part of the hub asks of it, on a key of its own. True: it keeps its word
    /// on conditional writes. Nothing here relies on that, names are digests; but it is good to know.
    pub async fn probe(&self) -> Result<bool> {
        let (store, key) = (&self.inner.store, format!("probe/{}", random_name()?).into());
        if object::find_size(store.as_ref(), &key).await?.is_some() {
            return Err(Error::Store("it says that it has an object nobody has written".into()));
        }
        store.put_opts(&key, "probe".into(), PutMode::Create.into()).await?;
        let again = store.put_opts(&key, "again".into(), PutMode::Create.into()).await;
        let read = store.get(&key).await?.bytes().await?;
        store.delete(&key).await?;
        match again {
            Err(StoreError::AlreadyExists { .. }) if read.as_ref() == b"probe" => Ok(true),
            Ok(_) | Err(StoreError::AlreadyExists { .. } | StoreError::NotImplemented { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The store answers.
    pub async fn ready(&self) -> Result<()> {
        match &self.inner.root {
            Some(root) => Ok(tokio::fs::metadata(root.join("blobs")).await.map(drop)?),
            None => object::find_size(self.inner.store.as_ref(), &"probe/ready".into()).await.map(drop),
        }
    }
}

/// Sixteen hex digits nobody else has.
fn random_name() -> Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| Error::Store(format!("the system gave no randomness: {e}")))?;
    Ok(hex::encode(random))
}

fn builder(place: S3<'_>, patience: &str) -> Result<AmazonS3Builder> {
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 },
        max_retries: 5,
        retry_timeout: REPEAT_FOR,
    };
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let mut builder = AmazonS3Builder::new().with_config(timeout, patience).with_retry(retry);
    for (name, value) in place.variables {
        // A name that is not known here is for another of AWS' tools.
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    let of = |key| builder.get_config_value(&key).unwrap_or_default();
    let endpoint = [of(AmazonS3ConfigKey::S3Endpoint), of(AmazonS3ConfigKey::Endpoint)];
    let allowed = of(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)) == "true";
    if endpoint.iter().any(|url| url.starts_with("http://")) && !allowed {
        let problem = "its endpoint is plain http, where others could read and change bytes; set AWS_ALLOW_HTTP=true if you trust the network between";
        return Err(Error::Refused(problem.into()));
    }
    Ok(builder.with_bucket_name(place.bucket))
}
