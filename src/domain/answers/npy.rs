//! Answers as one `.npy` file, version 1.0 of numpy's format: f32, little end first, `(items, columns)`.
//!
//! ```text
//! \x93NUMPY 1 0 | length of the header, u16 | header, padded by spaces to a multiple of 64 with what stands before, \n | numbers
//! ```

use std::io::{self, Write};

use super::writer::Form;
use super::{Said, Shape};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// What stands before the numbers. That of more rows is no longer, up to many millions of them, so that it may be written over.
pub fn header(rows: usize, width: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let before = MAGIC.len() + 2;
    let whole = (before + text.len() + 1).next_multiple_of(64);
    text.extend(std::iter::repeat_n(' ', whole - before - text.len() - 1));
    text.push('\n');
    [MAGIC, &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

pub(super) struct Npy<'a> {
    out: &'a mut (dyn Write + Send),
}

impl<'a> Npy<'a> {
    pub fn begin(shape: &Shape, items: usize, out: &'a mut (dyn Write + Send)) -> io::Result<Npy<'a>> {
        out.write_all(&header(items, shape.width))?;
        Ok(Npy { out })
    }
}

impl Form for Npy<'_> {
    fn add(&mut self, shape: &Shape, item: Said) -> io::Result<()> {
        self.out.write_all(&bytes(&shape.row(&item)))
    }

    fn finish(self: Box<Self>, _shape: &Shape) -> io::Result<()> {
        Ok(())
    }
}

/// Numbers with the little end first.
pub fn bytes(row: &[f32]) -> Vec<u8> {
    row.iter().flat_map(|value| value.to_le_bytes()).collect()
}
