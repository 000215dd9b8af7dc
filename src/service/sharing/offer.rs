//! What a client that has other blobs need not fetch: where a file's bytes lie in blobs the caller may read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::{Error, Result, Service, access};
use crate::catalog::{segments, versions};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;
use crate::domain::repo::FileEntry;
use crate::domain::revision::Revision;
use crate::domain::segments::{Layout, Segment};
use crate::domain::user::Actor;

impl Service {
    /// The segments of a file, without those whose source the caller may not read: of such a blob they learn
    /// nothing, not even its sha256. A file that is stored whole lies in itself.
    pub async fn segments(
        &self,
        actor: &Actor,
        kind: RepoKind,
        id: &RepoId,
        revision: &Revision,
        path: &RepoPath,
    ) -> Result<(FileEntry, Layout)> {
        let (asker, wanted) = (actor.clone(), path.clone());
        self.at(actor, kind, id, revision, move |tx, repo, version| {
            let entry = versions::find_file(tx, &repo.key, version.number, wanted.as_str())?;
            let entry = entry.ok_or_else(|| super::super::repos::fetch::no_file(&repo, &version, &wanted))?;
            let whole = Segment { offset: 0, size_bytes: entry.size_bytes, source: entry.digest, source_offset: 0 };
            let mut listed = match segments::find_layout(tx, &entry.digest)? {
                Some(layout) => layout.segments().to_vec(),
                None => vec![whole],
            };
            let visible = access::visible_to(tx, &asker)?;
            let mut readable = HashMap::from([(entry.digest, true)]);
            for source in listed.iter().map(|segment| segment.source).collect::<Vec<_>>() {
                if let Entry::Vacant(unknown) = readable.entry(source) {
                    unknown.insert(segments::may_read(tx, &source, asker.account(), &visible)?);
                }
            }
            listed.retain(|segment| segment.size_bytes > 0 && readable.get(&segment.source) == Some(&true));
            let odd = |e| Error::Internal(format!("the segments of {} are damaged: {e}", entry.digest));
            let layout = Layout::new(entry.size_bytes, listed).map_err(odd)?;
            Ok((entry, layout))
        })
        .await
    }
}
