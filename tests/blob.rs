//! The contract of the blob store, told on each engine: bytes get a name only when they are proved, and a
//! name always has its bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use bytes::Bytes;
use futures_util::TryStreamExt;
use hub::blob::{Blobs, Error};
use hub::domain::digest::Digest;
use hub::domain::id::UploadId;
use hub::domain::time::Timestamp;
use proptest::prelude::*;

struct Store {
    blobs: Blobs,
    dir: tempfile::TempDir,
}

fn stores() -> Vec<Store> {
    let dir = tempfile::tempdir().unwrap();
    let local = Blobs::open_local(dir.path()).unwrap();
    let memory = Blobs::memory().unwrap();
    vec![Store { blobs: local, dir }, Store { blobs: memory, dir: tempfile::tempdir().unwrap() }]
}

fn id(n: u8) -> UploadId {
    UploadId::new(Timestamp::from_unix_ms(1), [n; 10])
}

fn bytes_of(len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>().into()
}

async fn store(blobs: &Blobs, bytes: &Bytes) -> Digest {
    let digest = Digest::of(bytes);
    let mut stage = blobs.stage(&id(9), bytes.len() as u64).await.unwrap();
    for part in bytes.chunks(300_000) {
        stage.write(Bytes::copy_from_slice(part)).await.unwrap();
    }
    stage.finish(&digest).await.unwrap();
    digest
}

#[tokio::test]
async fn what_was_proved_reads_back_whole_and_in_ranges() {
    for Store { blobs, .. } in stores() {
        for len in [0, 1, 524_288, 524_289, 3_000_000] {
            let bytes = bytes_of(len);
            let digest = store(&blobs, &bytes).await;
            assert_eq!(blobs.find_size(&digest).await.unwrap(), Some(len as u64));
            assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), bytes);
            let reader = blobs.open(&digest).await.unwrap();
            for (from, to) in [(0, len), (len / 3, len / 2), (len.saturating_sub(1), len), (0, len.min(1)), (len, len)] {
                let parts: Vec<Bytes> = reader.stream(from as u64..to as u64).try_collect().await.unwrap();
                assert_eq!(parts.concat(), bytes[from..to], "{from}..{to} of {len}");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_digest_is_not_found() {
    for Store { blobs, .. } in stores() {
        let digest = Digest::of(b"nobody sent this");
        assert!(matches!(blobs.open(&digest).await, Err(Error::NotFound(_))));
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
        assert!(blobs.local_path(&digest).is_none());
    }
}

#[tokio::test]
async fn an_upload_goes_on_where_it_stopped_even_after_a_restart() {
    let bytes = bytes_of(2_500_000);
    let dir = tempfile::tempdir().unwrap();
    for (at, restart) in [(0, false), (1, true), (700_000, false), (1_048_576, true), (2_499_999, true)] {
        let mut blobs = Blobs::open_local(dir.path()).unwrap();
        let mut stage = blobs.stage(&id(1), 2_500_000).await.unwrap();
        stage.write(bytes.slice(..at)).await.unwrap();
        assert_eq!(stage.sync().await.unwrap(), at as u64);
        assert_eq!(blobs.staged_bytes(&id(1)), at as u64);
        if restart {
            blobs = Blobs::open_local(dir.path()).unwrap();
        }
        let mut stage = blobs.stage(&id(1), 2_500_000).await.unwrap();
        assert_eq!(stage.offset(), at as u64);
        stage.write(bytes.slice(at..)).await.unwrap();
        stage.finish(&Digest::of(&bytes)).await.unwrap();
        assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
        assert_eq!(blobs.staged_bytes(&id(1)), 0, "nothing stays in staging");
    }
}

#[tokio::test]
async fn a_hash_kept_from_before_is_not_trusted_when_the_file_changed() {
    let Store { blobs, dir } = stores().swap_remove(0);
    let mut stage = blobs.stage(&id(1), 6).await.unwrap();
    stage.write("abc".into()).await.unwrap();
    stage.sync().await.unwrap();
    let staged = dir.path().join("staging").join(id(1).as_str());
    std::fs::write(&staged, "ab").unwrap();
    let mut stage = blobs.stage(&id(1), 6).await.unwrap();
    assert_eq!(stage.offset(), 2);
    stage.write("cdef".into()).await.unwrap();
    stage.finish(&Digest::of(b"abcdef")).await.unwrap();
}

#[tokio::test]
async fn wrong_short_and_long_uploads_get_no_name() {
    for Store { blobs, .. } in stores() {
        let digest = Digest::of(b"abcdef");
        let mut stage = blobs.stage(&id(1), 6).await.unwrap();
        stage.write("abc".into()).await.unwrap();
        assert!(matches!(stage.finish(&digest).await, Err(Error::Short { received: 3, announced: 6 })));

        let mut stage = blobs.stage(&id(2), 6).await.unwrap();
        stage.write("abc".into()).await.unwrap();
        assert!(matches!(stage.write("defg".into()).await, Err(Error::TooLong { announced: 6 })));
        assert_eq!(stage.sync().await.unwrap(), 3, "the good part is kept");

        let mut stage = blobs.stage(&id(3), 6).await.unwrap();
        stage.write("abcdeF".into()).await.unwrap();
        assert!(matches!(stage.finish(&digest).await, Err(Error::Mismatch { .. })));
        assert_eq!(blobs.staged_bytes(&id(3)), 0, "damaged bytes are thrown away, the upload starts again");
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
    }
}

#[tokio::test]
async fn one_writer_at_a_time() {
    for Store { blobs, .. } in stores() {
        let mut first = blobs.stage(&id(1), 6).await.unwrap();
        assert!(matches!(blobs.stage(&id(1), 6).await, Err(Error::InUse)));
        first.write("abcdef".into()).await.unwrap();
        first.finish(&Digest::of(b"abcdef")).await.unwrap();
        assert_eq!(blobs.stage(&id(1), 6).await.unwrap().offset(), 0, "a promoted file is never written to again");
        assert_eq!(blobs.read_all(&Digest::of(b"abcdef"), 99).await.unwrap(), "abcdef");
    }
}

#[tokio::test]
async fn a_damaged_blob_is_named_and_a_second_upload_repairs_it() {
    let Store { blobs, dir: _dir } = stores().swap_remove(0);
    let bytes = bytes_of(600_000);
    let digest = store(&blobs, &bytes).await;
    let path = blobs.local_path(&digest).unwrap();
    assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
    let reader = blobs.open(&digest).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &bytes[..550_000]).unwrap();
    assert_eq!(reader.stream(0..600_000).try_collect::<Vec<_>>().await.unwrap().concat(), bytes, "an open blob stays");
    let cut = blobs.open(&digest).await.unwrap();
    assert_eq!(cut.size(), 550_000);
    assert!(matches!(cut.stream(0..600_000).try_collect::<Vec<_>>().await, Err(Error::Corrupt { .. })));
    store(&blobs, &bytes).await;
    assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), bytes);
}

#[tokio::test]
async fn files_of_this_machine_are_stored_by_what_they_hold() {
    for Store { blobs, dir } in stores() {
        let bytes = bytes_of(1_500_000);
        let file = dir.path().join("model.safetensors");
        std::fs::write(&file, &bytes).unwrap();
        let (digest, size) = blobs.store_file(&file, &id(4)).await.unwrap();
        assert_eq!((digest, size), (Digest::of(&bytes), 1_500_000));
        assert_eq!(blobs.read_range(&digest, 1_000_000..1_000_010).await.unwrap(), bytes.slice(1_000_000..1_000_010));
        assert!(file.exists());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn however_an_upload_is_cut_it_ends_as_the_same_blob(bytes in prop::collection::vec(any::<u8>(), 0..5_000), cuts in prop::collection::vec(0usize..5_000, 0..6)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let blobs = Blobs::memory().unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let digest = Digest::of(&bytes);
        runtime.block_on(async {
            let mut from = 0;
            for cut in cuts {
                let mut stage = blobs.stage(&id(1), bytes.len() as u64).await.unwrap();
                assert_eq!(stage.offset(), from as u64);
                stage.write(Bytes::copy_from_slice(&bytes[from..cut])).await.unwrap();
                stage.sync().await.unwrap();
                from = cut;
            }
            blobs.stage(&id(1), bytes.len() as u64).await.unwrap().finish(&digest).await.unwrap();
            assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), bytes);
        });
    }
}
