//! The input matrix of fastText's quantised models (Joulin et al. 2016, "FastText.zip"): product quantisation, a byte for each
//! few numbers of a row, and the rows' lengths apart where they were.

use super::Reading;
use super::cursor::Cursor;
use crate::vectors::MAX_WIDTH;
use crate::vectors::error::Result;
use crate::vectors::vocabulary::MAX_WORDS;

/// Centroids of each part of a row: a code is one byte.
const CENTROIDS: usize = 256;

/// A quantised matrix.
pub struct Quantised<'a> {
    pub rows: usize,
    pub columns: usize,
    codes: &'a [u8],
    product: Product,
    /// A code for each row, and what they mean.
    norms: Option<(&'a [u8], Product)>,
}

/// A product quantiser: `[parts, 256, width of a part]`; the last part may be narrower.
struct Product {
    width: usize,
    parts: usize,
    part: usize,
    last: usize,
    centroids: Vec<f32>,
}

impl Product {
    fn read(reading: &Reading, cursor: &mut Cursor) -> Result<Product> {
        let at = cursor.at;
        let mut number = |what: &str| {
            let value = cursor.i32(what)?;
            cursor.count(value, MAX_WIDTH, what)
        };
        let (width, parts) = (number("the width of the quantiser")?, number("the parts of the quantiser")?);
        let (part, last) = (number("the width of a part")?, number("the width of the last part")?);
        let covered = parts.checked_sub(1).map(|whole| whole * part + last);
        if covered != Some(width) || last > part || width == 0 {
            return Err(reading.corrupt(at, format!("{parts} parts of {part} numbers, the last of {last}, do not make {width}")));
        }
        let bytes = cursor.take(4 * width * CENTROIDS, "the centroids")?;
        let centroids = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Product { width, parts, part, last, centroids })
    }

    /// The numbers that a row's codes stand for.
    fn read_codes(&self, codes: &[u8], out: &mut [f32]) {
        for (index, code) in codes.iter().enumerate() {
            let width = if index + 1 == self.parts { self.last } else { self.part };
            let from = index * CENTROIDS * self.part + usize::from(*code) * width;
            let centroid = self.centroids.get(from..from + width).unwrap_or(&[]);
            out[index * self.part..].iter_mut().zip(centroid).for_each(|(out, value)| *out = *value);
        }
    }
}

impl<'a> Quantised<'a> {
    pub fn read(reading: &'a Reading<'a>, cursor: &mut Cursor<'a>) -> Result<Quantised<'a>> {
        let begun = cursor.at;
        let has_norms = cursor.flag("whether lengths are quantised")?;
        let [rows, columns] = [cursor.i64("the matrix")?, cursor.i64("the matrix")?];
        let rows = cursor.count(rows, 2 * MAX_WORDS, "the height of the matrix")?;
        let columns = cursor.count(columns, MAX_WIDTH, "the width of the matrix")?;
        let size = cursor.i32("the number of codes")?;
        let size = cursor.count(size, i32::MAX as usize, "the number of codes")?;
        let codes = cursor.take(size, "the codes")?;
        let product = Product::read(reading, cursor)?;
        if product.width != columns || product.parts * rows != size {
            let problem = format!("{size} codes of a quantiser {} wide do not make {rows} rows of {columns}", product.width);
            return Err(reading.corrupt(begun, problem));
        }
        let norms = if has_norms {
            let codes = cursor.take(rows, "the codes of the lengths")?;
            let at = cursor.at;
            let product = Product::read(reading, cursor)?;
            if product.width != 1 {
                return Err(reading.corrupt(at, format!("a quantiser of lengths is {} wide", product.width)));
            }
            Some((codes, product))
        } else {
            None
        };
        Ok(Quantised { rows, columns, codes, product, norms })
    }

    /// A row as numbers; zeros where there is none.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        let parts = self.product.parts;
        out.fill(0.0);
        let Some(codes) = self.codes.get(row * parts..(row + 1) * parts) else { return };
        self.product.read_codes(codes, out);
        if let Some((lengths, product)) = &self.norms {
            let mut length = [1.0];
            product.read_codes(&lengths[row..row + 1], &mut length);
            out.iter_mut().for_each(|value| *value *= length[0]);
        }
    }
}
