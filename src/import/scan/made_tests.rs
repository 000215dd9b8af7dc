//! Archives, packed streams and arrays as their writers make them, and some that no writer makes.

use std::io::{self, Write as _};

use crate::archive::ReadAt;

pub fn zip(entries: &[(&str, &[u8])], method: ::zip::CompressionMethod) -> Vec<u8> {
    let mut zip = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, ::zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// `x.npy` with this description and content.
pub fn npy(descr: &str, content: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1,), }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), content].concat()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::default();
    let mut out = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A zip of one entry, whose data were packed by another method.
pub fn entry_of(method: u16, packed: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (crc, size, name) = (crc32fast::hash(bytes).to_le_bytes(), (bytes.len() as u32).to_le_bytes(), b"a");
    let sizes = [&crc[..], &(packed.len() as u32).to_le_bytes(), &size, &[1, 0, 0, 0]].concat();
    let common = [&[20, 0, 0, 0][..], &method.to_le_bytes(), &[0; 4], &sizes].concat();
    let local = [b"PK\x03\x04", &common[..], name, packed].concat();
    let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], name].concat();
    let end = [&[0; 4][..], &[1, 0, 1, 0], &(central.len() as u32).to_le_bytes(), &(local.len() as u32).to_le_bytes(), &[0, 0]].concat();
    [&local[..], &central, b"PK\x05\x06", &end].concat()
}

pub fn link_with_content() -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_entry_type(::tar::EntryType::Link);
    header.set_link_name("a").unwrap();
    header.set_size(4);
    tar.append_data(&mut header, "b", &b"data"[..]).unwrap();
    tar.into_inner().unwrap()
}

/// A tar of the form before `ustar`.
pub fn v7(bytes: &[u8]) -> Vec<u8> {
    let mut header = ::tar::Header::new_old();
    header.set_path("data.pkl").unwrap();
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    let mut tar = [header.as_bytes(), bytes].concat();
    tar.resize(512 * 4, 0);
    tar
}

pub fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes).unwrap();
    tar.into_inner().unwrap()
}

/// Bytes in a store that is far away, and may fail from some place on.
pub struct Far {
    pub bytes: Vec<u8>,
    pub ends_at: u64,
    pub asked: std::cell::Cell<usize>,
}

impl ReadAt for Far {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        self.asked.set(self.asked.get() + 1);
        if offset + most as u64 > self.ends_at {
            Err(io::Error::other("the store is in the way"))
        } else {
            (&self.bytes[..]).read_at(offset, most)
        }
    }

    fn block_bytes(&self) -> usize {
        1 << 20
    }
}
