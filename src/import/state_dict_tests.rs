//! Files that the real torch wrote (`tests/fixtures/import/make.py`), whole and damaged.

use proptest::prelude::*;

use super::*;

const ZIP: &[u8] = include_bytes!("../../tests/fixtures/import/tiny_zip.pth");
const LEGACY: &[u8] = include_bytes!("../../tests/fixtures/import/tiny_legacy.pth");
const WHOLE_MODULE: &[u8] = include_bytes!("../../tests/fixtures/import/whole_module.pth");

/// The numbers of the file's first dict, without the prefix of all its names.
fn from_torch(file: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let opened = super::from_torch(file)?;
    let tensors = opened.take(opened.candidates[0].tensors.clone(), file.len() as u64)?;
    Ok(tensors.into_iter().map(|(name, tensor)| (name.trim_start_matches("module.").to_owned(), tensor)).collect())
}

fn floats(tensors: &BTreeMap<String, Tensor>, name: &str) -> Vec<f32> {
    tensors[name].to_f32().unwrap()
}

#[test]
fn both_forms_hold_what_torch_saved() {
    for file in [ZIP, LEGACY] {
        let tensors = from_torch(file).unwrap();
        assert_eq!(tensors.len(), 13, "{:?}", tensors.keys());
        assert_eq!(floats(&tensors, "plain.weight"), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]);
        assert_eq!(tensors["plain.weight"].shape, [2, 3]);
        let transposed: Vec<f32> = (0..6).flat_map(|column| (0..4).map(move |row| (row * 6 + column) as f32)).collect();
        assert_eq!(floats(&tensors, "transposed"), transposed);
        assert_eq!(tensors["transposed"].shape, [6, 4]);
        assert_eq!(floats(&tensors, "sliced"), [7.0, 9.0, 11.0, 13.0, 15.0, 17.0]);
        assert_eq!((floats(&tensors, "scalar"), tensors["scalar"].shape.len()), (vec![2.5], 0));
        assert_eq!(tensors["empty"].shape, [0, 3]);
        assert_eq!(floats(&tensors, "parameter"), [1.0, -1.0]);
        assert_eq!(floats(&tensors, "double"), [1.0 / 3.0, 2.0]);
        assert_eq!(floats(&tensors, "half"), [0.099_975_586, -65504.0]);
        assert_eq!(floats(&tensors, "brain"), [3.140625, f32::from_bits(0x714a_0000)]);
        assert_eq!(tensors["long"].bytes[8..], (-(1i64 << 40)).to_le_bytes());
        assert_eq!(tensors["int"].bytes[4..], (-7i32).to_le_bytes());
        assert_eq!(tensors["byte"].bytes, [0, 255]);
        assert_eq!((tensors["bool"].bytes.as_slice(), tensors["bool"].to_f32()), (&[1, 0][..], None));
    }
}

#[test]
fn a_whole_module_is_no_state_dict_and_its_class_is_named() {
    let error = from_torch(WHOLE_MODULE).unwrap_err();
    assert!(matches!(&error, Error::NoMatch(problem) if problem.contains("`torch.nn.modules.linear.Linear`")), "{error}");
    assert!(error.to_string().contains("state_dict()"), "{error}");
}

#[test]
fn every_dict_of_tensors_is_found_by_its_keys() {
    // What training scripts leave beside the weights: written by torch, see make.py.
    for file in
        [&include_bytes!("../../tests/fixtures/import/beside_zip.pth")[..], include_bytes!("../../tests/fixtures/import/beside_legacy.pth")]
    {
        let opened = super::from_torch(file).unwrap();
        let keys: Vec<&str> = opened.candidates.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["", "model", "ema.module"]);
        assert_eq!(opened.candidates[0].tensors.keys().collect::<Vec<_>>(), ["class_weights"]);
        let numbers = opened.take(opened.candidates[2].tensors.clone(), file.len() as u64).unwrap();
        assert_eq!(floats(&numbers, "weight"), [0.0, 1.0, 2.0]);
        let beside = opened.beside.join(" ");
        for key in ["args", "best", "history", "folder", "seen", "counts", "when", "level", "settings"] {
            assert!(beside.contains(&format!("`{key}`")), "{key}: {beside}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for file in [ZIP, LEGACY] {
        for length in 0..file.len() {
            assert!(from_torch(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }
    assert!(from_torch(&[LEGACY, b"x"].concat()).is_err(), "trailing bytes");
}

/// A zip with these stored entries.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The pickle of `{"w": tensor}` over storage "0" of `length` floats.
fn tensor_pickle(length: u8, offset: u8, shape: &[u8], stride: &[u8]) -> Vec<u8> {
    let tuple = |items: &[u8]| [&b"("[..], &items.iter().flat_map(|&item| [b'K', item]).collect::<Vec<_>>(), b"t"].concat();
    [
        &b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"[..],
        &[b'X', 1, 0, 0, 0, b'0', b'X', 3, 0, 0, 0, b'c', b'p', b'u', b'K', length, b't', b'Q', b'K', offset],
        &tuple(shape),
        &tuple(stride),
        b"\x89NtRs.",
    ]
    .concat()
}

#[test]
fn zips_that_lie_are_refused() {
    let bytes = [0u8; 16];
    let good = tensor_pickle(4, 0, &[2, 2], &[2, 1]);
    let open = |entries: &[(&str, &[u8])]| from_torch(&zip(entries));
    assert_eq!(open(&[("a/data.pkl", &good), ("a/data/0", &bytes)]).unwrap()["w"].shape, [2, 2]);
    assert!(open(&[("a/data.pkl", &good)]).unwrap_err().to_string().contains("`w` are missing"));
    assert!(open(&[("a/data.pkl", &good), ("a/data/0", &bytes[..12])]).is_err(), "a short storage");
    assert!(open(&[("a/data.pkl", &good), ("a/data/0", &bytes), ("a/byteorder", b"big")]).is_err());
    assert!(open(&[("a/model.py", b"print()")]).unwrap_err().to_string().contains("data.pkl"));
    for (offset, shape, stride) in [(1, &[2, 2], &[2, 1]), (0, &[2, 2], &[4, 1]), (0, &[3, 3], &[0, 0]), (255, &[1, 1], &[1, 1])] {
        let pickle = tensor_pickle(4, offset, shape, stride);
        let error = open(&[("a/data.pkl", &pickle), ("a/data/0", &bytes)]).unwrap_err().to_string();
        assert!(error.contains("`w` reaches outside"), "{error}");
    }
    let mut compressed = zip(&[("a/data.pkl", &good), ("a/data/0", &bytes)]);
    // The method of the first entry, in its local header and in the central directory.
    let central = compressed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    compressed[8] = 8;
    compressed[central + 10] = 8;
    assert!(from_torch(&compressed).unwrap_err().to_string().contains("compressed"));
}

#[test]
fn many_tensors_over_one_storage_are_a_bomb() {
    // One dict of a hundred names for one storage: far more bytes than the file has.
    let one = tensor_pickle(255, 0, &[255], &[1]);
    let tensor = &one[b"\x80\x02}X\x01\x00\x00\x00w".len()..one.len() - 2];
    let mut pickle = b"\x80\x02}".to_vec();
    for index in 0..100u8 {
        pickle.extend([b'X', 2, 0, 0, 0, b'a' + index / 10, b'0' + index % 10]);
        if index == 0 {
            pickle.extend(tensor);
            pickle.extend(b"q\x05s");
        } else {
            pickle.extend(b"h\x05s");
        }
    }
    pickle.push(b'.');
    let error = from_torch(&zip(&[("a/data.pkl", &pickle), ("a/data/0", &[0; 1020])])).unwrap_err();
    assert!(error.to_string().contains("far larger than the file"), "{error}");
}

#[test]
fn files_without_weights_say_what_they_hold() {
    let wrapped = b"\x80\x02}X\x05\x00\x00\x00epochK\x03s.";
    let error = from_torch(&zip(&[("a/data.pkl", wrapped)])).unwrap_err().to_string();
    assert!(error.contains("`epoch`") && error.contains("state_dict()"), "{error}");
    assert!(from_torch(&zip(&[("a/data.pkl", b"\x80\x02N.")])).is_err());
    assert!(from_torch(&zip(&[("a/data.pkl", b"\x80\x02]q\x00h\x00a.")])).is_err());
    // A dict that is its own wrapper ends too.
    assert!(from_torch(&zip(&[("a/data.pkl", b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.")])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_files_never_panic(legacy: bool, hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = if legacy { LEGACY } else { ZIP }.to_vec();
        for (index, byte) in hits {
            let at = index.index(file.len());
            file[at] = byte;
        }
        let _ = super::from_torch(&file);
    }

    #[test]
    fn pieces_of_files_never_panic(legacy: bool, from: prop::sample::Index, to: prop::sample::Index, at: prop::sample::Index) {
        let file = if legacy { LEGACY } else { ZIP };
        let (a, b) = (from.index(file.len()), to.index(file.len()));
        let piece = &file[a.min(b)..a.max(b)];
        let at = at.index(file.len());
        let _ = super::from_torch(&[&file[..at], piece, &file[at..]].concat());
    }
}
