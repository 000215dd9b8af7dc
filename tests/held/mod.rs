//! A store in memory whose readers can be held: what happens between a look at the catalog and the reading of bytes can then be
//! made to happen, every time.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub struct Held {
    store: InMemory,
    /// A reader of some bytes takes a permit with it.
    pub readers: Semaphore,
    /// Gets a permit for each reader that came.
    pub came: Semaphore,
}

impl Held {
    pub fn new() -> Arc<Held> {
        Arc::new(Held { store: InMemory::new(), readers: Semaphore::new(Semaphore::MAX_PERMITS), came: Semaphore::new(0) })
    }

    /// From now on readers wait until [`Held::release`].
    pub fn hold(&self) {
        self.readers.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.readers.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("held")
    }
}

#[async_trait]
impl ObjectStore for Held {
    async fn put_opts(&self, key: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.store.put_opts(key, bytes, options).await
    }

    async fn put_multipart_opts(&self, key: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() && key.as_ref().starts_with("blobs/") {
            self.came.add_permits(1);
            self.readers.acquire().await.unwrap().forget();
        }
        self.store.get_opts(key, options).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Held {
    async fn create_multipart(&self, key: &Path) -> Result<MultipartId> {
        self.store.create_multipart(key).await
    }

    async fn put_part(&self, key: &Path, id: &MultipartId, index: usize, bytes: PutPayload) -> Result<PartId> {
        self.store.put_part(key, id, index, bytes).await
    }

    async fn complete_multipart(&self, key: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.store.complete_multipart(key, id, parts).await
    }

    async fn abort_multipart(&self, key: &Path, id: &MultipartId) -> Result<()> {
        self.store.abort_multipart(key, id).await
    }
}
