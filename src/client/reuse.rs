//! What need not be fetched: of a large safetensors file, the tensors that lie in other blobs of the cache. The
//! server says where; what is copied is proved by the sha256 of the whole, like what is fetched. If that fails, the
//! file is fetched whole, once.

use std::sync::Arc;

use reqwest::Url;

use super::download::{Downloads, Want, blocking};
use super::send::Call;
use super::{Client, Event, Result};
use crate::cache::{Part, Reused};
use crate::domain::digest::Digest;
use crate::domain::pieces::LEAST_FILE_BYTES;
use crate::domain::segments::{Layout, Segment};
use crate::wire::files::Segments;

/// Is it worth asking what a file shares with others?
pub(super) fn may_share(path: &str, size_bytes: u64) -> bool {
    path.ends_with(".safetensors") && size_bytes >= LEAST_FILE_BYTES
}

impl Client {
    /// Where the bytes of a file lie in other blobs.
    pub(super) async fn segments(&self, url: Url, digest: &Digest, size_bytes: u64) -> Result<Layout> {
        let answer: Segments = self.json(Call::get(url)).await?;
        let odd = |why: String| self.strange(format!("its list of segments is refused: {why}"));
        if answer.sha256 != digest.to_hex() || answer.size_bytes != size_bytes {
            return Err(odd("it is of another file".into()));
        }
        let segment = |s: &crate::wire::files::Segment| {
            let source = Digest::parse(&s.source).map_err(|e| odd(e.to_string()))?;
            Ok(Segment { offset: s.offset_bytes, size_bytes: s.size_bytes, source, source_offset: s.source_offset })
        };
        let segments = answer.segments.iter().map(segment).collect::<Result<Vec<_>>>()?;
        Layout::new(size_bytes, segments).map_err(|e| odd(e.to_string()))
    }
}

impl Downloads {
    /// Puts into the part what other blobs of the cache hold of it. A server that does not say, or says nonsense,
    /// only means that all is fetched.
    pub(super) async fn reuse(&self, part: &Arc<Part>, want: &Want) -> Result<Reused> {
        let Some(url) = want.segments.clone().filter(|_| !part.missing().is_empty()) else { return Ok(Reused::default()) };
        let Ok(layout) = self.client.segments(url, &want.digest, want.size_bytes).await else { return Ok(Reused::default()) };
        let (cache, verified, part, digest) = (self.cache.clone(), self.verified.clone(), part.clone(), want.digest);
        let reused = blocking(move || {
            cache.remember_segments(&digest, &layout)?;
            cache.reuse(&part, &layout, &verified)
        });
        let reused = reused.await?;
        self.tell(Event::Advance(reused.bytes));
        Ok(reused)
    }

    /// What the lists said was not true: neither this file's nor those of the blobs it was copied from are believed
    /// again.
    pub(super) fn distrust(&self, want: &Want, reused: &Reused) {
        std::iter::once(&want.digest).chain(&reused.blobs).for_each(|digest| self.cache.forget_segments(digest));
    }
}
