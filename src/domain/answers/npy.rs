//! Answers as one `.npy` file, version 1.0 of numpy's format: f32, little end first, `(items, columns)`.
//!
//! ```text
//! \x93NUMPY 1 0 | length of the header, u16 | header, padded by spaces to a multiple of 64 with what stands before, \n | numbers
//! ```

use super::Answers;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

pub(super) fn write(answers: &Answers) -> Vec<u8> {
    let matrix = answers.matrix();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", answers.items.len(), matrix.width);
    let before = MAGIC.len() + 2;
    let whole = (before + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', whole - before - header.len() - 1));
    header.push('\n');
    let mut bytes = Vec::with_capacity(whole + 4 * matrix.values.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    matrix.values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    bytes
}
