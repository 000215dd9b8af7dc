//! Copies out of a store that is elsewhere and may lose or change bytes.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::*;
use crate::blob::Blobs;
use crate::db::Db;
use crate::domain::time::SystemClock;
use crate::service::Policy;
use crate::service::repos::publish_folder::FolderCommit;

#[tokio::test]
async fn a_copy_gets_its_name_once_it_is_proved_and_one_that_was_left_is_proved_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, db) = (Arc::new(InMemory::new()), Db::open(&dir.path().join("hub.db")).await.unwrap());
    let blobs = Blobs::over(store.clone(), dir.path()).unwrap();
    let service = Service::new(db, blobs, Arc::new(SystemClock), Policy::default());
    service.first_start().await.unwrap();
    let folder = dir.path().join("set");
    std::fs::create_dir(&folder).unwrap();
    let bytes = vec![7; 3 << 20];
    for (name, bytes) in [("a.txt", &bytes), ("b.txt", &bytes), ("c.txt", &b"c".to_vec())] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let (id, actor) = (RepoId::parse("library/set").unwrap(), Actor::System);
    service.publish_folder(&actor, RepoKind::Model, &id, &folder, FolderCommit::default()).await.unwrap();
    let out = dir.path().join("out");
    let materialize = || service.materialize(&actor, RepoKind::Model, &id, &Revision::Number(1), &out);

    let (_, files) = materialize().await.unwrap();
    let (paths, copies): (Vec<_>, Vec<_>) = files.into_iter().unzip();
    assert_eq!(paths, ["a.txt", "b.txt", "c.txt"]);
    assert_eq!(copies[0], copies[1], "the same bytes are copied once");
    assert_eq!(std::fs::read(&copies[0]).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2);

    std::fs::write(&copies[2], b"x").unwrap();
    assert!(matches!(materialize().await, Err(Error::Corrupt(_))), "the disk changed what an earlier attempt left");
    std::fs::remove_file(&copies[2]).unwrap();
    materialize().await.unwrap();

    std::fs::remove_dir_all(&out).unwrap();
    let hex = Digest::of(b"c").to_hex();
    let key = Key::from(format!("blobs/{}/{}/{hex}", &hex[..2], &hex[2..4]));
    store.put(&key, PutPayload::from_static(b"y")).await.unwrap();
    assert!(matches!(materialize().await, Err(Error::Corrupt(_))), "the store changed it");
    assert!(!out.join(hex).exists(), "what is not proved has no name");
}
