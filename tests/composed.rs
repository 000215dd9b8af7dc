//! Blobs that lie in pieces of others, on each engine: they read as if they were whole, and get their name only
//! when every piece was compared with the bytes it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use bytes::Bytes;
use futures_util::TryStreamExt;
use hub::blob::{Blobs, Composed, Error, Proved};
use hub::domain::digest::Digest;
use hub::domain::id::UploadId;
use hub::domain::segments::{Layout, Segment};
use hub::domain::time::Timestamp;
use proptest::prelude::*;

struct Store {
    blobs: Blobs,
    dir: tempfile::TempDir,
}

fn stores() -> Vec<Store> {
    let dir = tempfile::tempdir().unwrap();
    let local = Blobs::open_local(dir.path()).unwrap();
    vec![Store { blobs: local, dir }, Store { blobs: Blobs::memory().unwrap(), dir: tempfile::tempdir().unwrap() }]
}

fn bytes_of(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed) * 31 % 251) as u8).collect()
}

async fn staged(blobs: &Blobs, bytes: &[u8], id: u8) -> Proved {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    blobs.prove_file(&path, &UploadId::new(Timestamp::from_unix_ms(1), [id; 10])).await.unwrap()
}

async fn store(blobs: &Blobs, bytes: &[u8]) -> Digest {
    staged(blobs, bytes, 9).await.promote().await.unwrap();
    Digest::of(bytes)
}

/// Segments of these lengths, each from a source at an offset; and the bytes they make.
fn of_parts(parts: &[(&[u8], usize, usize)]) -> (Vec<u8>, Layout) {
    let mut whole = Vec::new();
    let mut segments = Vec::new();
    for (source, from, length) in parts {
        let offset = whole.len() as u64;
        whole.extend_from_slice(&source[*from..from + length]);
        segments.push(Segment { offset, size_bytes: *length as u64, source: Digest::of(source), source_offset: *from as u64 });
    }
    let layout = Layout::covering(whole.len() as u64, segments).unwrap();
    (whole, layout)
}

#[tokio::test]
async fn a_composed_blob_reads_as_if_it_were_whole() {
    for Store { blobs, dir } in stores() {
        let (one, two) = (bytes_of(1, 3_000_000), bytes_of(7, 700_000));
        store(&blobs, &one).await;
        store(&blobs, &two).await;
        let (whole, layout) = of_parts(&[(&one, 1_000, 1_100_000), (&two, 0, 5), (&two, 600_000, 90_000), (&one, 2_000_000, 1_000_000)]);
        let digest = Digest::of(&whole);
        let proved = staged(&blobs, &whole, 1).await;
        assert_eq!(blobs.compose(&proved, &layout).await.unwrap(), Composed::Stored);
        proved.discard().await.unwrap();

        assert_eq!(blobs.find_size(&digest).await.unwrap(), Some(whole.len() as u64));
        assert_eq!(blobs.find_layout(&digest).await.unwrap(), Some(layout));
        assert!(blobs.local_path(&digest).is_none() && blobs.find_source(&digest).await.unwrap().is_none(), "there is no such file");
        assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), whole);
        let reader = blobs.open(&digest).await.unwrap();
        let len = whole.len();
        for (from, to) in
            [(0, 1), (1_099_999, 1_100_001), (1_099_990, 1_100_020), (1_100_000, 1_100_005), (524_288, len), (len - 1, len), (7, 7)]
        {
            let parts: Vec<Bytes> = reader.stream(from as u64..to as u64).try_collect().await.unwrap();
            assert_eq!(parts.concat(), whole[from..to], "{from}..{to}");
        }
        let beyond = reader.stream(len as u64 - 5..len as u64 + 1).try_collect::<Vec<_>>().await;
        assert!(matches!(beyond, Err(Error::Corrupt { .. })), "{beyond:?}");
        let left = std::fs::read_dir(dir.path().join("staging")).map_or(0, |staging| staging.count());
        assert_eq!(left, 0, "nothing stays in staging");
    }
}

#[tokio::test]
async fn what_is_not_true_gets_no_name() {
    for Store { blobs, .. } in stores() {
        let one = bytes_of(1, 300_000);
        store(&blobs, &one).await;
        let (mut whole, layout) = of_parts(&[(&one, 1_000, 100_000), (&one, 0, 1_000)]);
        whole[50_000] ^= 1;
        let (digest, proved) = (Digest::of(&whole), staged(&blobs, &whole, 1).await);
        assert_eq!(blobs.compose(&proved, &layout).await.unwrap(), Composed::Differs(Digest::of(&one)));

        let (_, absent) = of_parts(&[(&bytes_of(5, 200_000), 0, 101_000)]);
        let source = absent.sources()[0];
        assert_eq!(blobs.compose(&proved, &absent).await.unwrap(), Composed::Differs(source), "a source that is not there");
        let piece = |offset, size_bytes, source_offset| Segment { offset, size_bytes, source: Digest::of(&one), source_offset };
        let beyond = Layout::covering(101_000, vec![piece(0, 101_000, 250_000)]).unwrap();
        assert_eq!(blobs.compose(&proved, &beyond).await.unwrap(), Composed::Differs(Digest::of(&one)));
        let gap = Layout::new(101_000, vec![piece(0, 100, 1_000)]).unwrap();
        assert!(blobs.compose(&proved, &gap).await.is_err());
        let short = Layout::covering(100, vec![piece(0, 100, 1_000)]).unwrap();
        assert!(blobs.compose(&proved, &short).await.is_err());
        let itself = Layout::covering(101_000, vec![Segment { source: digest, ..piece(0, 101_000, 0) }]).unwrap();
        assert!(blobs.compose(&proved, &itself).await.is_err());
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
        assert!(matches!(blobs.open(&digest).await, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn a_whole_file_wins_and_repairs() {
    let Store { blobs, dir: _dir } = stores().swap_remove(0);
    let one = bytes_of(1, 300_000);
    let source = store(&blobs, &one).await;
    let (whole, layout) = of_parts(&[(&one, 1_000, 100_000), (&one, 0, 1_000)]);
    let digest = Digest::of(&whole);
    blobs.compose(&staged(&blobs, &whole, 1).await, &layout).await.unwrap();
    let open = blobs.open(&digest).await.unwrap();

    std::fs::remove_file(blobs.local_path(&source).unwrap()).unwrap();
    assert_eq!(open.stream(0..101_000).try_collect::<Vec<_>>().await.unwrap().concat(), whole, "an open blob stays");
    let lost = blobs.open(&digest).await;
    assert!(matches!(&lost, Err(Error::Corrupt { problem, .. }) if problem.contains(&source.to_hex())), "{lost:?}");
    assert_eq!(blobs.find_size(&digest).await.unwrap(), None, "as good as lost: it is to be sent again");

    store(&blobs, &whole).await;
    assert_eq!(blobs.read_all(&digest, u64::MAX).await.unwrap(), whole);
    assert!(blobs.local_path(&digest).is_some());
    blobs.forget_layout(&digest).await.unwrap();
    blobs.forget_layout(&digest).await.unwrap();
    assert_eq!(blobs.find_layout(&digest).await.unwrap(), None);
    assert_eq!(blobs.find_size(&digest).await.unwrap(), Some(101_000));
}

#[tokio::test]
async fn a_damaged_list_or_source_is_named_and_never_believed() {
    let Store { blobs, dir } = stores().swap_remove(0);
    let one = bytes_of(1, 300_000);
    let source = store(&blobs, &one).await;
    let (whole, layout) = of_parts(&[(&one, 1_000, 100_000), (&one, 0, 1_000)]);
    let digest = Digest::of(&whole);
    blobs.compose(&staged(&blobs, &whole, 1).await, &layout).await.unwrap();
    let hex = digest.to_hex();
    let list = dir.path().join(format!("blobs/{}/{}/{hex}.segments", &hex[..2], &hex[2..4]));
    assert!(std::fs::metadata(&list).unwrap().permissions().readonly());
    let text = std::fs::read_to_string(&list).unwrap();
    let spoil = |text: &[u8]| {
        std::fs::remove_file(&list).unwrap();
        std::fs::write(&list, text).unwrap();
    };
    let moved = text.replace(" 1000\n", " 1001\n");
    for bad in [b"".to_vec(), text.as_bytes()[..text.len() - 9].to_vec(), moved.into_bytes(), vec![0xff; 99], vec![b'x'; 1 << 20]] {
        spoil(&bad);
        assert!(matches!(blobs.open(&digest).await, Err(Error::Corrupt { .. })));
        assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
    }
    // A list that proves itself and leads to a file that became shorter.
    spoil(text.as_bytes());
    assert!(blobs.open(&digest).await.is_ok());
    let path = blobs.local_path(&source).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &one[..50_000]).unwrap();
    let short = blobs.open(&digest).await;
    assert!(matches!(&short, Err(Error::Corrupt { problem, .. }) if problem.contains("50000 bytes")), "{short:?}");
    assert_eq!(blobs.find_size(&digest).await.unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_range_of_any_composition_is_the_plain_bytes(
        lengths in prop::collection::vec(1usize..300_000, 1..4),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..24),
        ranges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 6),
    ) {
        let sources: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(seed, length)| bytes_of(seed * 17, *length)).collect();
        let parts: Vec<(&[u8], usize, usize)> = cuts.iter().map(|(which, from, length)| {
            let source = &sources[which.index(sources.len())];
            let from = from.index(source.len());
            (source.as_slice(), from, length.index(source.len() - from) + 1)
        }).collect();
        let (whole, layout) = of_parts(&parts);
        prop_assume!(!layout.sources().contains(&Digest::of(&whole)));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            for Store { blobs, dir: _dir } in stores() {
                for source in &sources {
                    store(&blobs, source).await;
                }
                assert_eq!(blobs.compose(&staged(&blobs, &whole, 1).await, &layout).await.unwrap(), Composed::Stored);
                let reader = blobs.open(&Digest::of(&whole)).await.unwrap();
                for (from, to) in &ranges {
                    let (from, to) = (from.index(whole.len() + 1), to.index(whole.len() + 1));
                    let (from, to) = (from.min(to), from.max(to));
                    let parts: Vec<Bytes> = reader.stream(from as u64..to as u64).try_collect().await.unwrap();
                    assert!(parts.concat() == whole[from..to], "{from}..{to} of {}", whole.len());
                }
            }
        });
    }
}
