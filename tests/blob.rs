//! The contract of the blob store, told on each engine: bytes get a name only when they are proved, and a
//! name always has its bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use hub::blob::{self, Blobs, Error};
use hub::domain::digest::Digest;
use hub::domain::id::UploadId;
use hub::domain::ranges::Ranges;
use hub::domain::time::Timestamp;
use proptest::prelude::*;
use support::s3::{self, S3};

struct Store {
    blobs: Blobs,
    dir: tempfile::TempDir,
    _server: Option<S3>,
}

/// A directory, memory, and a bucket of a real S3 server.
fn stores() -> Vec<Store> {
    let dir = || tempfile::tempdir().unwrap();
    let (local, memory, bucket, server) = (dir(), dir(), dir(), S3::start());
    let place = blob::S3 { bucket: s3::BUCKET, prefix: "a/prefix", variables: &s3::variables(server.port) };
    vec![
        Store { blobs: Blobs::open_local(local.path()).unwrap(), dir: local, _server: None },
        Store { blobs: Blobs::memory().unwrap(), dir: memory, _server: None },
        Store { blobs: Blobs::open_s3(place, bucket.path()).unwrap(), dir: bucket, _server: Some(server) },
    ]
}

fn id(n: u8) -> UploadId {
    UploadId::new(Timestamp::from_unix_ms(1), [n; 10])
}

fn bytes_of(len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>().into()
}

fn nothing() -> Ranges {
    Ranges::default()
}

/// Writes one run of an upload, syncs it, and says what the file holds now by this writer.
async fn put(blobs: &Blobs, id: &UploadId, whole: &Bytes, held: &Ranges, run: Range<usize>) -> Result<Ranges, Error> {
    let mut part = blobs.part(id, whole.len() as u64, held).await?;
    part.go_to(run.start as u64..run.end as u64).await?;
    for bytes in whole[run].chunks(300_000) {
        part.write(Bytes::copy_from_slice(bytes)).await?;
    }
    part.settle().await?;
    part.sync().await
}

async fn store(blobs: &Blobs, bytes: &Bytes) -> Digest {
    let digest = Digest::of(bytes);
    put(blobs, &id(9), bytes, &nothing(), 0..bytes.len()).await.unwrap();
    blobs.finish(&id(9), bytes.len() as u64, &digest).await.unwrap();
    digest
}

#[tokio::test]
async fn what_was_proved_reads_back_whole_and_in_ranges() {
    for Store { blobs, _server, .. } in stores() {
        for len in [0, 1, 122_880, 524_288, 524_289, 3_000_000, 8 << 20, (8 << 20) + 1, 25_000_000] {
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
    for Store { blobs, _server, .. } in stores() {
        let digest = Digest::of(b"nobody sent this");
        assert!(matches!(blobs.open(&digest).await, Err(Error::NotFound(_))));
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
        assert!(blobs.local_path(&digest).is_none());
    }
}

#[tokio::test]
async fn an_upload_goes_on_from_what_was_recorded_even_after_a_restart() {
    let bytes = bytes_of(2_500_000);
    let dir = tempfile::tempdir().unwrap();
    for (at, restart) in [(0, false), (1, true), (700_000, false), (1_048_576, true), (2_499_999, true)] {
        let mut blobs = Blobs::open_local(dir.path()).unwrap();
        let recorded = put(&blobs, &id(1), &bytes, &nothing(), 0..at).await.unwrap();
        assert_eq!(recorded, Ranges::from(0..at as u64));
        if restart {
            blobs = Blobs::open_local(dir.path()).unwrap();
        }
        assert!(blobs.has_staged(&id(1), &recorded));
        put(&blobs, &id(1), &bytes, &recorded, at..bytes.len()).await.unwrap();
        blobs.finish(&id(1), 2_500_000, &Digest::of(&bytes)).await.unwrap();
        assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
        assert!(!blobs.has_staged(&id(1), &Ranges::from(0..1)), "nothing stays in staging");
    }
}

#[tokio::test]
async fn parts_arrive_in_any_order_and_may_overlap() {
    let bytes = bytes_of(3_000_000);
    for Store { blobs, _server, .. } in stores() {
        let mut recorded = nothing();
        for run in [2_000_000..3_000_000, 0..1_000_000, 500_000..1_500_000, 500_000..600_000, 1_400_000..2_100_000] {
            recorded.extend(&put(&blobs, &id(1), &bytes, &recorded, run).await.unwrap());
            blobs.follow(&id(1), recorded.frontier());
        }
        assert_eq!(recorded, Ranges::from(0..3_000_000));
        blobs.finish(&id(1), 3_000_000, &Digest::of(&bytes)).await.unwrap();
        assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn one_writer_may_write_here_and_there_and_sync_once() {
    let bytes = bytes_of(2_000_000);
    for Store { blobs, _server, .. } in stores() {
        let runs = [(1_500_000, 1_600_000), (0, 700_000), (1_600_000, 2_000_000)];
        let stream = |(from, to): (usize, usize)| {
            let parts: Vec<_> = bytes[from..to].chunks(90_000).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            (from as u64, futures_util::stream::iter(parts))
        };
        let filled = blobs.fill_staged(&id(1), 2_000_000, &nothing(), runs.map(stream).into()).await.unwrap();
        assert_eq!(filled.to_string(), "0-700000,1500000-2000000");
        put(&blobs, &id(1), &bytes, &filled, 700_000..1_500_000).await.unwrap();
        blobs.finish(&id(1), 2_000_000, &Digest::of(&bytes)).await.unwrap();
        let beyond = vec![(1_999_999, futures_util::stream::iter([Ok(Bytes::from("ab"))]))];
        assert!(matches!(blobs.fill_staged(&id(2), 2_000_000, &nothing(), beyond).await, Err(Error::TooLong { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_at_once_end_as_one_blob() {
    let bytes = bytes_of(8_000_000);
    for Store { blobs, _server, .. } in stores() {
        let parts = (0..40).map(|n| {
            // Each overlaps the one behind it, so that two write the same bytes at the same time.
            let run = n * 200_000..(n * 200_000 + 250_000).min(8_000_000);
            let (blobs, bytes) = (blobs.clone(), bytes.clone());
            tokio::spawn(async move { put(&blobs, &id(1), &bytes, &nothing(), run).await.unwrap() })
        });
        let mut recorded = nothing();
        for part in parts.collect::<Vec<_>>() {
            recorded.extend(&part.await.unwrap());
            blobs.follow(&id(1), recorded.frontier());
        }
        assert!(recorded.covers(&(0..8_000_000)));
        blobs.finish(&id(1), 8_000_000, &Digest::of(&bytes)).await.unwrap();
        assert_eq!(blobs.read_all(&Digest::of(&bytes), u64::MAX).await.unwrap(), bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_file_is_never_written_to_again() {
    let (good, evil) = (bytes_of(1_500_000), Bytes::from(vec![0; 1_500_000]));
    for Store { blobs, _server, .. } in stores() {
        let digest = Digest::of(&good);
        // A part that was begun before and goes on after.
        let mut late = blobs.part(&id(1), 1_500_000, &nothing()).await.unwrap();
        late.write(evil.slice(..100)).await.unwrap();
        put(&blobs, &id(1), &good, &nothing(), 0..1_500_000).await.unwrap();
        blobs.finish(&id(1), 1_500_000, &digest).await.unwrap();
        late.write(evil.slice(100..)).await.unwrap();
        assert!(matches!(late.settle().await, Err(Error::Vanished)));
        assert!(matches!(blobs.finish(&id(1), 1_500_000, &digest).await, Err(Error::Vanished)));
        assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finishing_while_others_write_gives_true_bytes_or_no_name() {
    let (good, evil) = (bytes_of(600_000), Bytes::from(vec![7; 600_000]));
    let digest = Digest::of(&good);
    for Store { blobs, _server, .. } in stores() {
        for round in 0..20u8 {
            put(&blobs, &id(round), &good, &nothing(), 0..600_000).await.unwrap();
            let writers = [evil.clone(), good.clone(), evil.clone()].map(|bytes| {
                let blobs = blobs.clone();
                tokio::spawn(async move { put(&blobs, &id(round), &bytes, &nothing(), 0..600_000).await.map(drop) })
            });
            let finished = blobs.finish(&id(round), 600_000, &digest).await;
            for writer in writers {
                let written = writer.await.unwrap();
                // On a slow disk the other one may be at it for longer than anybody waits.
                assert!(matches!(written, Ok(()) | Err(Error::Vanished | Error::InUse)), "{written:?}");
            }
            assert!(matches!(finished, Ok(()) | Err(Error::Mismatch { .. } | Error::InUse)), "{finished:?}");
            if blobs.find_size(&digest).await.unwrap().is_some() {
                assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), good);
            }
            blobs.discard(&id(round)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_recorded_and_not_there_is_noticed() {
    let bytes = bytes_of(10_000);
    for Store { blobs, _server, .. } in stores() {
        let recorded = put(&blobs, &id(1), &bytes, &nothing(), 4_000..6_000).await.unwrap();
        assert!(blobs.has_staged(&id(1), &recorded) && !blobs.has_staged(&id(1), &Ranges::from(0..6_001)));
        assert!(matches!(blobs.part(&id(1), 10_000, &Ranges::from(0..6_001)).await, Err(Error::Vanished)));
        assert!(matches!(blobs.finish(&id(1), 10_000, &Digest::of(&bytes)).await, Err(Error::Vanished)), "it is too short");
        blobs.discard(&id(1)).await.unwrap();
        assert!(matches!(blobs.part(&id(1), 10_000, &recorded).await, Err(Error::Vanished)));
        assert!(matches!(blobs.finish(&id(1), 10_000, &Digest::of(&bytes)).await, Err(Error::Vanished)));
        assert!(blobs.has_staged(&id(1), &nothing()), "of nothing nothing is missing");
    }
}

#[tokio::test]
async fn wrong_and_long_uploads_get_no_name() {
    for Store { blobs, _server, .. } in stores() {
        let digest = Digest::of(b"abcdef");
        let mut part = blobs.part(&id(2), 6, &nothing()).await.unwrap();
        part.write("abc".into()).await.unwrap();
        assert!(matches!(part.write("defg".into()).await, Err(Error::TooLong { announced: 6 })));
        part.settle().await.unwrap();
        assert_eq!(part.sync().await.unwrap(), Ranges::from(0..3), "the good part is kept");
        for run in [5..7, 7..7, Range { start: 4, end: 3 }] {
            assert!(matches!(part.go_to(run).await, Err(Error::TooLong { .. })));
        }

        put(&blobs, &id(3), &"abcdeF".into(), &nothing(), 0..6).await.unwrap();
        assert!(matches!(blobs.finish(&id(3), 6, &digest).await, Err(Error::Mismatch { .. })));
        assert!(!blobs.has_staged(&id(3), &Ranges::from(0..1)), "damaged bytes are thrown away, the upload starts again");
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
    }
}

#[tokio::test]
async fn received_bytes_are_not_written_again() {
    for Store { blobs, _server, .. } in stores() {
        let recorded = put(&blobs, &id(1), &"abcdef".into(), &nothing(), 1..4).await.unwrap();
        put(&blobs, &id(1), &"aXXXef".into(), &recorded, 0..6).await.unwrap();
        blobs.finish(&id(1), 6, &Digest::of(b"abcdef")).await.unwrap();
    }
}

#[tokio::test]
async fn old_staging_files_are_found_and_others_left() {
    for Store { blobs, _server, .. } in stores() {
        put(&blobs, &id(1), &"abc".into(), &nothing(), 0..3).await.unwrap();
        let staged = blobs.staged().await.unwrap();
        assert_eq!((staged.len(), staged[0].name.as_str(), staged[0].size_bytes), (1, id(1).as_str(), 3));
        let written = staged[0].modified;
        assert_eq!(blobs.discard_stray(id(1).as_str(), written.plus_ms(-1)).await.unwrap(), None);
        assert_eq!(blobs.discard_stray(id(1).as_str(), written).await.unwrap(), Some(3));
        assert!(blobs.staged().await.unwrap().is_empty());
    }
}

/// Two nodes on one bucket, each with a directory of its own.
fn nodes() -> (Blobs, Blobs, [tempfile::TempDir; 2], S3) {
    let (dirs, server) = ([tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()], S3::start());
    let open = |dir: &tempfile::TempDir| {
        let place = blob::S3 { bucket: s3::BUCKET, prefix: "a/prefix", variables: &s3::variables(server.port) };
        Blobs::open_s3(place, dir.path()).unwrap().shared_by_nodes()
    };
    let (one, two) = (open(&dirs[0]), open(&dirs[1]));
    (one, two, dirs, server)
}

#[tokio::test]
async fn nodes_go_on_with_each_others_uploads() {
    let (one, two, dirs, server) = nodes();
    let bytes = bytes_of(20_000_003);
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    let mut received = put(&one, &id(1), &bytes, &nothing(), 9_000_000..20_000_003).await.unwrap();
    received.extend(&put(&two, &id(1), &bytes, &received, 0..9_500_000).await.unwrap());
    assert_eq!(received, Ranges::from(0..size), "whoever took which");
    for node in [&one, &two] {
        assert_eq!(node.staged_of(&id(1), &received).await.unwrap(), received);
        node.follow(&id(1), received.frontier());
    }
    assert_eq!(two.staged_of(&id(2), &received).await.unwrap(), nothing());
    // After a restart a node remembers nothing of what it has, and asks the bucket.
    let place = blob::S3 { bucket: s3::BUCKET, prefix: "a/prefix", variables: &s3::variables(server.port) };
    let one = {
        drop(one);
        Blobs::open_s3(place, dirs[0].path()).unwrap().shared_by_nodes()
    };
    one.finish(&id(1), size, &digest).await.unwrap();
    assert_eq!(two.read_all(&digest, u64::MAX).await.unwrap(), bytes);
    assert!(one.staged().await.unwrap().is_empty(), "nothing stays in the bucket");
    // The other node still has a file of it, which is nobody's now.
    let left = two.staged().await.unwrap();
    assert_eq!(left.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), [id(1).as_str()]);
    assert!(matches!(two.finish(&id(1), size, &digest).await, Err(Error::Vanished)), "what it lacks is nowhere");
    two.discard(&id(1)).await.unwrap();
    assert!(two.staged().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_in_the_bucket_of_a_lost_upload_is_found_and_wrong_bytes_are_thrown_away() {
    let (one, two, _dirs, _server) = nodes();
    let bytes = bytes_of(10_000);
    let recorded = put(&one, &id(1), &bytes, &nothing(), 4_000..6_000).await.unwrap();
    assert!(matches!(two.part(&id(1), 10_000, &Ranges::from(0..6_001)).await, Err(Error::Vanished)), "more is recorded than is there");
    assert_eq!(two.staged_of(&id(1), &Ranges::from(0..6_001)).await.unwrap(), recorded, "and that much is");
    let found = two.staged().await.unwrap();
    assert_eq!((found.len(), found[0].name.as_str(), found[0].size_bytes), (1, id(1).as_str(), 2_000));
    let written = found[0].modified;
    assert_eq!(two.discard_stray(id(1).as_str(), written.plus_ms(-1)).await.unwrap(), None);
    assert_eq!(two.discard_stray(id(1).as_str(), written).await.unwrap(), Some(2_000));
    assert!(two.staged().await.unwrap().is_empty());

    put(&one, &id(3), &"abcdeF".into(), &nothing(), 3..6).await.unwrap();
    put(&two, &id(3), &"abcdeF".into(), &Ranges::from(3..6), 0..3).await.unwrap();
    assert!(matches!(two.finish(&id(3), 6, &Digest::of(b"abcdef")).await, Err(Error::Mismatch { .. })));
    assert!(two.staged().await.unwrap().is_empty());
    // A file of this machine is nobody else's business.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let (digest, _) = two.store_file(file.path(), &id(4)).await.unwrap();
    assert_eq!(one.read_all(&digest, u64::MAX).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_damaged_blob_is_named_and_a_second_upload_repairs_it() {
    let Store { blobs, dir: _dir, .. } = stores().swap_remove(0);
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
    for Store { blobs, dir, _server } in stores() {
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
    fn however_an_upload_is_cut_it_ends_as_the_same_blob(
        bytes in prop::collection::vec(any::<u8>(), 0..5_000),
        cuts in prop::collection::vec((0usize..5_000, 0usize..5_000, any::<bool>()), 0..8),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open_local(dir.path()).unwrap();
        let bytes = Bytes::from(bytes);
        let digest = Digest::of(&bytes);
        runtime.block_on(async {
            let mut recorded = nothing();
            for (one, other, restart) in cuts {
                let (one, other) = (one.min(bytes.len()), other.min(bytes.len()));
                recorded.extend(&put(&blobs, &id(1), &bytes, &recorded, one.min(other)..one.max(other)).await.unwrap());
                if restart {
                    blobs = Blobs::open_local(dir.path()).unwrap();
                }
                blobs.follow(&id(1), recorded.frontier());
            }
            for gap in recorded.gaps(0..bytes.len() as u64) {
                put(&blobs, &id(1), &bytes, &recorded, gap.start as usize..gap.end as usize).await.unwrap();
            }
            blobs.finish(&id(1), bytes.len() as u64, &digest).await.unwrap();
            assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), bytes);
        });
    }
}
