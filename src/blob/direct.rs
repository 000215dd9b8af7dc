//! Sending clients to a remote store itself, so that the bytes of a blob need not pass through this server.

use std::time::Duration;

use object_store::signer::{Method, SignedUrlOptions};

use super::{Blobs, Reader, Result};

impl Blobs {
    /// An address at which anybody may fetch this blob from the store itself for a while; `None` where there is
    /// none, because the store is no S3 or the blob is composed of others. `disposition` is the answer's
    /// Content-Disposition there. Whoever has the address needs nothing else: it is neither logged nor cached.
    pub async fn direct_url(&self, reader: &Reader, disposition: &str, valid: Duration) -> Result<Option<String>> {
        let signer = self.inner.remote.as_ref().and_then(|remote| remote.signer.as_ref());
        let (Some(signer), Some(key)) = (signer, reader.object_key()) else { return Ok(None) };
        let options = SignedUrlOptions::new()
            .with_query([("response-content-type", "application/octet-stream"), ("response-content-disposition", disposition)]);
        Ok(Some(signer.signed_url_opts(Method::GET, key, valid, &options).await?.into()))
    }
}
