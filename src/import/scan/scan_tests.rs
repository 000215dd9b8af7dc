//! Pickles in every form and place a loader would find them, and data that only looks like one.

#[path = "made_tests.rs"]
mod made;

use made::*;

use super::*;

const EVIL_2: &[u8] = b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.";
const EVIL_4: &[u8] = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.";
const EVIL_0: &[u8] = b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.";
const STATE: &[u8] = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.";
const ARGUMENTS: &[u8] = b"\x80\x02ctransformers.training_args\nTrainingArguments\nq\x00)\x81q\x01}q\x02X\x01\x00\x00\x00aK\x01sb.";

fn found(bytes: &[u8]) -> Findings {
    scan(&bytes).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    found(bytes).unsafe_because.unwrap_or_default()
}

#[test]
fn any_name_that_is_not_on_the_list_is_found_in_every_protocol() {
    use ::zip::CompressionMethod::{Deflated, Stored};
    for evil in [EVIL_0, EVIL_2, EVIL_4] {
        for (form, bytes) in [
            ("alone", evil.to_vec()),
            ("after another pickle", [STATE, evil].concat()),
            ("second entry of a zip", zip(&[("archive/version", b"3"), ("archive/data.pkl", evil)], Stored)),
            ("compressed entry", zip(&[("a", b"aaaaaaaaaaaa"), ("b", evil)], Deflated)),
            ("zip after other bytes", [b"MZ12345".to_vec(), zip(&[("a/data.pkl", evil)], Stored)].concat()),
            ("zip before other bytes", [zip(&[("a/data.pkl", evil)], Stored), b"and more".to_vec()].concat()),
            ("zip after and before other bytes", [b"MZ12345".to_vec(), zip(&[("a/data.pkl", evil)], Stored), b"x".to_vec()].concat()),
            ("zip in a zip", zip(&[("inner.zip", &zip(&[("x", evil)], Deflated))], Deflated)),
            ("gzip", gzip(evil)),
            ("gzip of a zip", gzip(&zip(&[("x", evil)], Stored))),
            ("zlib", zlib(evil)),
            ("object array", npy("|O", evil)),
            ("object array of another spelling", npy("object", evil)),
            ("npz", zip(&[("a.npy", &npy("|O", evil))], Deflated)),
            ("tar", tar("data.pkl", evil)),
            ("zip in zip in zip", (0..3).fold(evil.to_vec(), |inner, _| zip(&[("x", &inner)], Deflated))),
            ("gzip of gzip of gzip", (0..3).fold(evil.to_vec(), |inner, _| gzip(&inner))),
            ("bzip2", bzip2(evil)),
            ("xz", xz(evil)),
            ("zstd", zstd::encode_all(evil, 3).unwrap()),
            (
                "zstd after a frame to be passed over",
                [b"\x50\x2a\x4d\x18\x01\0\0\0x".to_vec(), zstd::encode_all(evil, 3).unwrap()].concat(),
            ),
            ("lz4", lz4(evil)),
            ("lz4 in two frames", [lz4(&evil[..7]), lz4(&evil[7..])].concat()),
            ("gzip in two members", [gzip(&evil[..7]), gzip(&evil[7..])].concat()),
            ("gzip in two members with zeros between", [gzip(&evil[..7]), vec![0; 600], gzip(&evil[7..])].concat()),
            ("zlib in two streams", [zlib(&evil[..7]), zlib(&evil[7..])].concat()),
            ("lzma", lzma(evil)),
            ("tar.gz", gzip(&tar("data.pkl", evil))),
            ("tar.xz", xz(&tar("data.pkl", evil))),
            ("zip in a tar.bz2", bzip2(&tar("a.pt", &zip(&[("a/data.pkl", evil)], Stored)))),
            ("large zip in a tar.gz", gzip(&tar("a.pt", &zip(&[("a/data/0", &vec![7; 9 << 20]), ("a/data.pkl", evil)], Stored)))),
            ("gzip in a tar", tar("a.gz", &gzip(evil))),
            ("old tar", v7(evil)),
            ("zstd entry of a zip", entry_of(93, &zstd::encode_all(evil, 3).unwrap(), evil)),
            ("bzip2 entry of a zip", entry_of(12, &bzip2(evil), evil)),
            ("array of objects behind one of numbers", [npy("<f4", &[0; 4]), npy("|O", evil)].concat()),
            ("pickle behind an array", [npy("<f4", &[0; 4]), evil.to_vec()].concat()),
            ("pickle behind an array of objects", [npy("|O", STATE), evil.to_vec()].concat()),
            ("header that names two kinds", npy("<f4', 'descr': '|O", evil)),
        ] {
            assert!(refused(&bytes).starts_with("posix.system"), "{form}: {:?}", found(&bytes));
        }
    }
    let mut two = zip(&[("good.txt", b"x")], Stored);
    two.extend(zip(&[("a/data.pkl", EVIL_2)], Stored));
    assert_eq!(refused(&two), "posix.system", "the second of two zips in one file");
    for evil in [EVIL_2, EVIL_4] {
        for before in [&b"\n"[..], b"\xef\xbb\xbf", b"my own header\0\0", &[0; 200]] {
            assert_eq!(refused(&[before, evil].concat()), "posix.system", "behind {} other bytes", before.len());
        }
    }
}

#[test]
fn what_two_programs_would_read_as_two_archives_is_told() {
    use ::zip::CompressionMethod::Stored;
    let ambiguous = |bytes: &[u8]| found(bytes).ambiguous_because.unwrap_or_default();
    let (one, two) = (zip(&[("a", b"1")], Stored), zip(&[("b", b"2")], Stored));
    let (tar_one, tar_two) = (tar("a", b"1"), tar("b", b"2"));
    for (what, bytes) in [
        ("two zips", [&one[..], &two].concat()),
        ("a program before a zip", [b"MZ12345", &one[..]].concat()),
        ("a picture before a zip", [b"\x89PNG\r\n\x1a\n", &one[..]].concat()),
        ("bytes after a zip", [&one[..], b"x"].concat()),
        ("two zips in a tar.gz", gzip(&tar("a.zip", &[&one[..], &two].concat()))),
        ("two tars", [&tar_one[..], &tar_two].concat()),
        ("two tars in one gzip", gzip(&[&tar_one[..], &tar_two].concat())),
        ("two gzips of tars", [gzip(&tar_one), gzip(&tar_two)].concat()),
        ("bytes after a tar", [&tar_one[..], b"x"].concat()),
        ("a link with content", link_with_content()),
        ("a name with a zero in it", zip(&[("a\0b", b"1")], Stored)),
    ] {
        assert!(!ambiguous(&bytes).is_empty(), "{what}: {:?}", found(&bytes));
    }
    for (what, bytes) in [
        ("a zip", one.clone()),
        ("a zip in a zip", zip(&[("a.zip", &one)], Stored)),
        ("a zip in a tar", tar("a.zip", &one)),
        ("a zip in a table", [b"PAR1", &one[..], &[0; 99], b"PAR1"].concat()),
        ("a tar with more zeros", [&tar_one[..], &[0; 10_240]].concat()),
    ] {
        assert_eq!(ambiguous(&bytes), "", "{what}");
    }
}

#[test]
fn what_cannot_be_opened_is_said() {
    use ::zip::CompressionMethod::Stored;
    let too_wide = b"\x28\xb5\x2f\xfd\0\x98\x01\0\0".to_vec();
    for (what, bytes) in [
        ("a zip that is cut", zip(&[("a", b"1")], Stored)[..40].to_vec()),
        ("a gzip that is none", b"\x1f\x8b no gzip".to_vec()),
        ("a gzip that ends in other bytes", [gzip(&EVIL_2[..7]), b"x".to_vec()].concat()),
        ("a description that Python reads and we do not", zip(&[("config.json", br#"{"a": "\ud800"}"#)], Stored)),
        ("HDF5 behind a block of its user's", [&[1; 512][..], b"\x89HDF\r\n\x1a\n"].concat()),
        ("a gzip that is cut", gzip(&[7; 4_000])[..20].to_vec()),
        ("zstd with a window of gigabytes", too_wide),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec()),
        ("compress", b"\x1f\x9d\x90abc".to_vec()),
        ("an entry of another method", entry_of(14, b"abc", b"abc")),
        ("an old torch tar", tar("storages", b"\x80\x02K\x01.")),
        ("lzma", lzma(b"harmless, but who knows where it ends")),
    ] {
        assert!(found(&bytes).unscanned.is_some(), "{what}: {:?}", found(&bytes));
    }
}

#[test]
fn a_list_of_words_is_no_pickle() {
    for text in ["cat\ndog\n.", "cat\ndog\n.\n", "car\nbus\n.\ncat\ndog\n.", "(lp0\nI1\na.", "S'a'\np0\n."] {
        assert_eq!(found(text.as_bytes()), Findings::default(), "{text:?}");
    }
    for text in ["cat\ndog\n(tR.", "(icat\ndog\n.", "(ccat\ndog\no."] {
        let name = if text.starts_with("cat") { "at.dog" } else { "cat.dog" };
        assert_eq!(refused(text.as_bytes()), name, "{text:?}");
    }
}

#[test]
fn tricks_with_names_do_not_help() {
    for (trick, bytes) in [
        ("INST", &b"(S'id'\nios\nsystem\n."[..]),
        ("OBJ", b"(cos\nsystem\nS'id'\no."),
        ("registry", b"\x80\x02\x82\x01."),
        ("the name from the memo", b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R."),
        ("a dotted way", b"\x80\x04\x8c\x0ctransformers\x8c\x17training_args.os.system\x93\x8c\x02id\x85R."),
        ("a name put together", b"\x80\x04\x8c\x02os\x8c\x08builtins\x8c\x03str\x93\x8c\x06system\x85R\x93\x8c\x02id\x85R."),
        ("what a call answered", b"\x80\x02ccollections\nOrderedDict\n)R)R."),
        ("another function's inside", b"\x80\x02cargparse\nNamespace\n}b."),
        ("torch's own loader", b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x00\x85R."),
        ("getattr", b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\n\x86R."),
        ("a broken end", b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R\xff"),
        ("imported only", b"\x80\x02cos\nsystem\n."),
    ] {
        assert!(!refused(bytes).is_empty(), "{trick}: {:?}", found(bytes));
    }
}

#[test]
fn pickles_of_harmless_names_are_told() {
    use ::zip::CompressionMethod::Stored;
    let legacy =
        [b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", &b"\x80\x02M\xe9\x03."[..], STATE, b"\x80\x02]q\0.", &[7; 64]]
            .concat();
    for bytes in
        [STATE.to_vec(), ARGUMENTS.to_vec(), legacy, zip(&[("a/data.pkl", ARGUMENTS), ("a/data/0", &[0; 16])], Stored), gzip(STATE)]
    {
        assert_eq!(found(&bytes), Findings { pickle: true, ..Findings::default() });
    }
}

#[test]
fn names_and_first_bytes_prove_nothing() {
    let header = |length: u64| [&length.to_le_bytes()[..], b"{\"conv.weight\":", &[0; 700]].concat();
    for data in [
        b"".to_vec(),
        b"\x06\0\0\0\x0bTransformerSpec\0".to_vec(),
        b"3000000 300\nthe \0\0\0\0".to_vec(),
        b"1 2\n".to_vec(),
        vec![0; 5_000],
        vec![0x80; 5_000],
        header(0x0280),
        header(0x0480),
        b"cat\ndog\nbird\n".to_vec(),
        b"I am a text.\ncos\nsystem\n".to_vec(),
        b"(in words)\nos\nsystem\n".to_vec(),
        b"Version 1.0\n\nSome words.\n".to_vec(),
        b"\x80\x02 and more".to_vec(),
        npy("<f4", &[0; 400]),
        b"\xff\xd8\xff\xe0 a picture".to_vec(),
        gzip(b"a text"),
    ] {
        assert_eq!(found(&data), Findings::default(), "{:?}", &data[..data.len().min(20)]);
    }
}

#[test]
fn what_is_not_looked_into_is_said() {
    for bytes in [&b"7z\xbc\xaf\x27\x1c\0\x04"[..], b"BZh91AY&SY", b"\xfd7zXZ\0\0", b"Rar!\x1a\x07\x01\0", b"\x28\xb5\x2f\xfd\0\0"] {
        assert!(found(bytes).unscanned.is_some(), "{bytes:?}");
    }
    let hdf5 = |text: &str| [b"\x89HDF\r\n\x1a\n", text.as_bytes()].concat();
    assert!(found(&hdf5("{\"class_name\": \"Dense\"}")).unscanned.is_some());
    assert!(refused(&hdf5("{\"class_name\": \"Lambda\"}")).contains("Lambda"));
    assert!(refused(&hdf5("{\"cl\\u0061ss_name\": \"L\\u0061mbda\"}")).contains("hidden"));
    assert_eq!(refused(&hdf5("{\"name\": \"\\u003c\\u00e4\"}")), "");
    assert!(
        refused(&hdf5(&format!("{}\"class_name\":\n \"Lambda\"", " ".repeat((1 << 20) - 10)))).contains("Lambda"),
        "between two blocks"
    );
    let keras = |config: &str| zip(&[("metadata.json", b"{}"), ("config.json", config.as_bytes())], ::zip::CompressionMethod::Deflated);
    assert_eq!(found(&keras(r#"{"class_name":"Dense","module":"keras.layers","config":{}}"#)), Findings::default());
    assert!(refused(&keras(r#"{"config":{"layers":[{"class_name":"Lambda","config":{}}]}}"#)).contains("Lambda"));
    let utf16: Vec<u8> = r#"{"class_name":"Lambda"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, config) in [
        ("config.json", &utf16[..]),
        ("config.json\0x", br#"{"class_name":"Lambda"}"#),
        ("\u{e4}", br#"{"class_name":"Lambda"}"#),
        ("config.json", br#"{"a": "\ud800", "class_name": "Lambda"}"#),
    ] {
        let bytes = zip(&[(name, config)], ::zip::CompressionMethod::Stored);
        assert!(refused(&bytes).contains("Lambda"), "{name:?}: {:?}", found(&bytes));
    }
    assert!(refused(&[&[1; 1024][..], &hdf5("{\"class_name\": \"Lambda\"}")].concat()).contains("Lambda"));
    let fetches = r#"{"class_name":"function","module":"keras.utils","config":"get_file"}"#;
    assert_eq!(refused(&keras(fetches)), "keras.utils.function");
    let calls = |name: &str| format!(r#"{{"class_name":"TFOpLambda","config":{{"name":"x","function":"{name}"}}}}"#);
    assert!(refused(&keras(&calls("io.write_file"))).contains("io.write_file"));
    assert_eq!(refused(&keras(&calls("math.add"))), "");
    assert_eq!(refused(&keras(r#"{"class_name":"function","module":"os","config":"system"}"#)), "os.function");
}

#[test]
fn work_is_bounded() {
    for bytes in [
        [b"\x80\x02".to_vec(), b"N0".repeat(30 << 20)].concat(),
        [b"\x80\x02".to_vec(), b"(".repeat(3_000_000)].concat(),
        [b"\x80\x02".to_vec(), b")".repeat(3_000_000)].concat(),
    ] {
        assert!(refused(&bytes).contains("too large"));
    }
    assert_eq!(found(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa."), Findings::default(), "Python finds its end first");
    assert!(found(b"\x80\x02]r\xff\xff\xff\xff.").pickle);
    let deep = (0..6).fold(EVIL_2.to_vec(), |inner, _| gzip(&inner));
    assert!(found(&deep).unscanned.is_some());
}

#[test]
fn a_name_that_is_not_read_is_refused() {
    let escaped = b"V\\u0070osix\nVsystem\n\x93(Vid\ntR.";
    let long = [&b"B\0\0\x01\0"[..], &[b'x'; 65_536], b"0", b"X\x01\0\x01\0", &[b'a'; 65_537], b"Vsystem\n\x93(Vid\ntR."].concat();
    for evil in [&escaped[..], &long] {
        assert!(refused(evil).contains("puts together"), "{}", refused(evil));
    }
}

#[test]
fn data_that_only_begins_like_a_pickle_is_data() {
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    for n in 0..20_000u32 {
        let mut bytes = vec![0; 200];
        random.fill_bytes(&mut bytes);
        // Every first byte in turn, so that each opcode comes first.
        bytes[0] = n.to_le_bytes()[0];
        assert_eq!(refused(&bytes), "", "{:02x?}", &bytes[..16]);
    }
    for text in ["cat\ndog\nbird\n", "image\nlabel\nx\n", "(a) first\n(b) second\n", "NaN\n", "I\nII\nIII\n", "V1\n", "cars.\ntrucks.\n.\n"]
    {
        assert_eq!(found(text.as_bytes()), Findings::default(), "{text:?}");
    }
}

#[test]
fn a_store_is_asked_for_large_runs_and_its_failure_is_no_damage() {
    let content = vec![5; 3_000];
    let names: Vec<String> = (0..1_000).map(|n| format!("{n}.bin")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &content[..])).collect();
    let zip = zip(&entries, ::zip::CompressionMethod::Stored);
    let far = Far { bytes: zip, ends_at: u64::MAX, asked: Default::default() };
    assert_eq!(scan(&far).unwrap(), Findings::default());
    assert!(far.asked.get() < 20, "{} bytes were read in {} runs", far.bytes.len(), far.asked.get());
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    let mut random = vec![0; 3 << 20];
    rand_chacha::ChaCha8Rng::seed_from_u64(6).fill_bytes(&mut random);
    let far = Far { bytes: gzip(&tar("a.bin", &random)), ends_at: 2 << 20, asked: Default::default() };
    assert_eq!(scan(&far).unwrap_err().to_string(), "the store is in the way");
}
