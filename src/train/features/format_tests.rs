//! What is written is read again, and what is cut or damaged is written again.

use super::*;

fn open(path: &Path, format: &RowFormat) -> Writer {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    Writer::take_up(file, path.into(), path.with_extension("bin"), format.clone()).unwrap()
}

fn layout(width: usize, encoding: Encoding) -> RowFormat {
    RowFormat { dims: vec![width], encoding, ragged: false }
}

fn name(n: u32) -> Name {
    let mut name = Name::default();
    name[..4].copy_from_slice(&n.to_le_bytes());
    name
}

fn read(stored: &Stored, n: u32) -> Option<Vec<f32>> {
    let mut row = Vec::new();
    stored.of_items([(5, 1, &name(n))].into_iter()).read(5, 1, &mut row).then_some(row)
}

fn a_cut_or_damaged_tail_is_written_again(format: &RowFormat) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let fill = |writer: &mut Writer| {
        for n in 0..3u32 {
            let values = [n as f32, 0.5, -1.0, 65504.0];
            let second = (n != 1).then_some(&values[2..]);
            if !writer.has(&name(n + 10)) {
                writer.append(&[name(n), name(n + 10)], &[Some(&values[..2]), second]).unwrap();
            }
        }
    };
    fill(&mut open(&path, format));
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len(), 24 + 6 * format.stride());
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let is_whole = cut > 0 && cut % (8 + 2 * format.stride()) == 0;
        assert_eq!(Stored::open(&path, format).is_some(), is_whole, "{cut}: whole records");
        let mut writer = open(&path, format);
        assert_eq!(writer.has(&name(12)), cut == whole.len(), "{cut}");
        fill(&mut writer);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        assert!(Stored::open(&path, format).is_none(), "byte {at}");
        fill(&mut open(&path, format));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    let stored = open(&path, format).finish().unwrap();
    assert_eq!(read(&stored, 12), Some(vec![-1.0, 65504.0]));
    assert_eq!((read(&stored, 11), read(&stored, 77)), (None, None), "what could not be read, and what is not there");
    assert!(stored.has(&name(11)) && !stored.has(&name(77)));
    assert!(!path.exists(), "the file took its final name");
    let again = Stored::open(&path.with_extension("bin"), format).unwrap();
    assert_eq!(read(&again, 10), Some(vec![-1.0, 65504.0]));
    let mut other = open(&folder.path().join("g"), format);
    other.take_over(&[name(12), name(11)], &again).unwrap();
    let other = other.finish().unwrap();
    assert_eq!((read(&other, 12), read(&other, 11), other.has(&name(11))), (Some(vec![-1.0, 65504.0]), None, true));
}

#[test]
fn a_cut_or_damaged_tail_is_written_again_whatever_the_encoding() {
    for encoding in [Encoding::Single, Encoding::Half] {
        a_cut_or_damaged_tail_is_written_again(&layout(2, encoding));
    }
}

#[test]
fn ragged_rows_have_lengths_of_their_own() {
    let format = RowFormat { ragged: true, ..layout(2, Encoding::Single) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let mut writer = open(&path, &format);
    writer.append(&[name(1), name(2), name(3)], &[Some(&[1.0, 2.0, 3.0, 4.0]), None, Some(&[5.0, 6.0])]).unwrap();
    writer.append(&[name(4)], &[Some(&[7.0; 10])]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, format.file_bytes(3, 3, 3) + format.file_bytes(1, 5, 3));
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let first = format.file_bytes(3, 3, 3) as usize;
        assert_eq!(Stored::open(&path, &format).is_some(), cut == first, "{cut}: whole records");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        assert!(Stored::open(&path, &format).is_none(), "byte {at}");
    }
    std::fs::write(&path, &whole).unwrap();
    let stored = open(&path, &format).finish().unwrap();
    assert_eq!((read(&stored, 1), read(&stored, 3)), (Some(vec![1.0, 2.0, 3.0, 4.0]), Some(vec![5.0, 6.0])));
    assert_eq!((read(&stored, 2), stored.has(&name(2)), read(&stored, 4)), (None, true, Some(vec![7.0; 10])));
    let mut other = open(&folder.path().join("g"), &format);
    other.take_over(&[name(4), name(2), name(1)], &stored).unwrap();
    let other = other.finish().unwrap();
    assert_eq!((read(&other, 1), read(&other, 2), read(&other, 4)), (Some(vec![1.0, 2.0, 3.0, 4.0]), None, Some(vec![7.0; 10])));
}

#[test]
fn padding_is_not_kept() {
    let ragged = RowFormat { ragged: true, ..layout(2, Encoding::Single) };
    let batch = [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(ragged.rows(&batch, 2, Some(&[1, 2])), [&[1.0, 2.0][..], &[3.0, 4.0, 5.0, 6.0]]);
    assert_eq!(layout(4, Encoding::Single).rows(&batch, 2, None).len(), 2);
    assert!(ragged.rows(&[], 0, Some(&[])).is_empty());
}

#[test]
fn halves_lose_eleven_bits_at_most_and_say_what_they_cannot_hold() {
    let values: Vec<f32> = (1..2000).map(|n| 0.37 * n as f32 - 200.0).collect();
    let (mut bytes, mut back) = (Vec::new(), Vec::new());
    Encoding::Half.write(&values, &mut bytes);
    Encoding::Half.read(&bytes, &mut back);
    assert!(values.iter().zip(&back).all(|(a, b)| (a - b).abs() <= a.abs() / 2048.0));
    assert!(Encoding::Half.holds(&values) && !Encoding::Half.holds(&[0.0, -65505.0]) && !Encoding::Half.holds(&[f32::NAN]));
    assert!(Encoding::Single.holds(&[f32::MAX]));
}

#[test]
fn standardised_features_have_no_mean_and_unit_variance() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(&folder.path().join("f"), &layout(3, Encoding::Single));
    let rows: Vec<[f32; 3]> = (0..50).map(|i| [1000.0 + (i % 5) as f32, 0.01 * (i % 7) as f32, 7.0]).collect();
    for (id, row) in rows.iter().enumerate() {
        writer.append(&[name(id as u32)], &[Some(row)]).unwrap();
    }
    let names: Vec<Name> = (0..50).map(name).collect();
    let mut features = writer.finish().unwrap().of_items(names.iter().zip(0..).map(|(name, id)| (id, 0, name)));
    let read = |features: &Features, id: u32, view: u32| {
        let mut row = Vec::new();
        features.read(id, view, &mut row).then_some(row)
    };
    let views: Vec<(u32, u32)> = (0..50).map(|id| (id, 0)).collect();
    let scale = features.standardise(&views);
    assert_eq!(scale.mean[2], 7.0);
    let scaled: Vec<Vec<f32>> = (0..50).map(|id| read(&features, id, 0).unwrap()).collect();
    let moments = |column: usize| {
        let mean = scaled.iter().map(|row| row[column]).sum::<f32>() / 50.0;
        (mean, scaled.iter().map(|row| (row[column] - mean).powi(2)).sum::<f32>() / 50.0)
    };
    assert!(moments(0).0.abs() < 1e-3 && (moments(0).1 - 1.0).abs() < 1e-2, "{:?}", moments(0));
    assert_eq!(moments(2), (0.0, 0.0), "a constant feature stays silent");
    features.unscaled();
    assert_eq!(read(&features, 3, 0).unwrap(), rows[3]);
}
