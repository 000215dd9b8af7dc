//! Pickles in every form and place a loader would find them, and data that only looks like one.

use std::io::Write as _;

use super::*;

const EVIL_2: &[u8] = b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.";
const EVIL_4: &[u8] = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.";
const EVIL_0: &[u8] = b"cposix\nsystem\np0\n(Vid\np1\ntp2\nRp3\n.";
const STATE: &[u8] = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.";
const ARGUMENTS: &[u8] = b"\x80\x02ctransformers.training_args\nTrainingArguments\nq\x00)\x81q\x01}q\x02X\x01\x00\x00\x00aK\x01sb.";

fn found(bytes: &[u8]) -> Findings {
    scan(&bytes.to_vec()).unwrap()
}

fn refused(bytes: &[u8]) -> String {
    found(bytes).unsafe_because.unwrap_or_default()
}

fn zip(entries: &[(&str, &[u8])], method: ::zip::CompressionMethod) -> Vec<u8> {
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, ::zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// `x.npy` with this description and content.
fn npy(descr: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
}

fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes).unwrap();
    tar.into_inner().unwrap()
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
            ("zip in a zip", zip(&[("inner.zip", &zip(&[("x", evil)], Deflated))], Deflated)),
            ("gzip", gzip(evil)),
            ("gzip of a zip", gzip(&zip(&[("x", evil)], Stored))),
            ("zlib", zlib(evil)),
            ("object array", npy("|O", evil)),
            ("object array of another spelling", npy("object", evil)),
            ("npz", zip(&[("a.npy", &npy("|O", evil))], Deflated)),
            ("tar", tar("data.pkl", evil)),
        ] {
            assert!(refused(&bytes).starts_with("posix.system"), "{form}: {:?}", found(&bytes));
        }
    }
    let mut two = zip(&[("good.txt", b"x")], Stored);
    two.extend(zip(&[("a/data.pkl", EVIL_2)], Stored));
    assert_eq!(refused(&two), "posix.system", "the second of two zips in one file");
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
        b"PK\x03\x04 no zip at all, but long enough to hold an end".to_vec(),
        b"\x1f\x8b no gzip".to_vec(),
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
    assert!(
        refused(&hdf5(&format!("{}\"class_name\":\n \"Lambda\"", " ".repeat((1 << 20) - 10)))).contains("Lambda"),
        "between two blocks"
    );
    let keras = |config: &str| zip(&[("metadata.json", b"{}"), ("config.json", config.as_bytes())], ::zip::CompressionMethod::Deflated);
    assert_eq!(found(&keras(r#"{"class_name":"Dense","module":"keras.layers","config":{}}"#)), Findings::default());
    assert!(refused(&keras(r#"{"config":{"layers":[{"class_name":"Lambda","config":{}}]}}"#)).contains("Lambda"));
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
