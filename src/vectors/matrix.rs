//! A matrix of word vectors in a file: `[rows, width]` of f32, f16, or i8 with a scale for each row. Rows are read where they
//! lie, and nothing is read that nobody asks for.

use std::ops::Range;
use std::sync::Arc;

use half::f16;
use pulp::Simd;

use super::error::{Error, Result};
use super::simd;
use super::tensors::{TensorFile, TensorWriter};
use super::vocabulary::le_u32;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    #[default]
    F32,
    F16,
    /// Whole numbers from -127 to 127, times the row's scale: the largest magnitude of the row is 127.
    I8,
}

impl Dtype {
    pub const ALL: [(&'static str, Dtype); 3] = [("f32", Dtype::F32), ("f16", Dtype::F16), ("int8", Dtype::I8)];

    pub fn parse(text: &str) -> Option<Dtype> {
        Dtype::ALL.iter().find(|(name, _)| *name == text).map(|(_, dtype)| *dtype)
    }

    pub fn as_str(self) -> &'static str {
        Dtype::ALL.iter().find(|(_, dtype)| *dtype == self).map_or("f32", |(name, _)| name)
    }

    fn in_safetensors(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::I8 => "I8",
        }
    }

    fn size_bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 => 2,
            Dtype::I8 => 1,
        }
    }
}

/// An open matrix.
pub struct Matrix {
    file: Arc<TensorFile>,
    range: Range<usize>,
    scales: Option<Range<usize>>,
    pub dtype: Dtype,
    pub rows: usize,
    pub width: usize,
}

impl Matrix {
    /// The tensor `name` of a file; of i8 the scales are `NAME.scales`.
    pub fn open(file: &Arc<TensorFile>, name: &str) -> Result<Matrix> {
        let refused = |problem: String| Error::corrupt(&file.path, 0, problem);
        let tensor = file.find(name).ok_or_else(|| refused(format!("there is no tensor `{name}`")))?;
        let dtype = Dtype::ALL.iter().map(|(_, dtype)| *dtype).find(|dtype| dtype.in_safetensors() == tensor.dtype);
        let dtype = dtype.ok_or_else(|| refused(format!("tensor `{name}` is {}; F32, F16 or I8 is wanted", tensor.dtype)))?;
        let (range, shape) = file.get(name, dtype.in_safetensors(), 2)?;
        let scales = match dtype {
            Dtype::I8 => {
                let (scales, of) = file.get(&format!("{name}.scales"), "F32", 1)?;
                if of[0] != shape[0] {
                    return Err(refused(format!("{} scales stand beside {} rows of `{name}`", of[0], shape[0])));
                }
                Some(scales)
            }
            _ => None,
        };
        if shape[1] == 0 || shape[1] > super::MAX_WIDTH {
            return Err(refused(format!("`{name}` is {} wide, which is not between 1 and {}", shape[1], super::MAX_WIDTH)));
        }
        Ok(Matrix { file: file.clone(), range, scales, dtype, rows: shape[0], width: shape[1] })
    }

    /// Adds a row, times `scale`, to `sum`, which is as wide as the matrix.
    pub fn add(&self, row: usize, scale: f32, sum: &mut [f32]) {
        let mut values = vec![0.0; self.width];
        self.read(row, &mut values);
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += scale * value);
    }

    /// Copies a row; zeros where there is none.
    pub fn read(&self, row: usize, out: &mut [f32]) {
        let bytes = self.bytes(row..row + 1);
        let scale = self.scale(row);
        match self.dtype {
            Dtype::F32 => fill(bytes, out, f32::from_le_bytes),
            Dtype::F16 => fill(bytes, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::I8 => fill(bytes, out, |bytes| scale * f32::from(i8::from_le_bytes(bytes))),
        }
    }

    fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let stride = self.width * self.dtype.size_bytes();
        let all = self.file.bytes(&self.range);
        all.get(rows.start.saturating_mul(stride)..rows.end.saturating_mul(stride)).unwrap_or(&[])
    }

    fn scale(&self, row: usize) -> f32 {
        let scales = self.scales.as_ref().and_then(|scales| le_u32(self.file.bytes(scales), row));
        scales.map_or(1.0, f32::from_bits)
    }

    /// The inner product of each of these rows with `query`, into `out`.
    pub fn products(&self, rows: Range<usize>, query: &[f32], out: &mut Vec<f32>) {
        let products = Products { matrix: self, rows, query, out };
        simd::dispatch(products);
    }

    /// The inner product of each of these rows, wherever they lie, with `query`, into `out`; 0 of a row that is not there.
    pub fn products_of(&self, rows: &[u32], query: &[f32], out: &mut Vec<f32>) {
        simd::dispatch(ProductsOf { matrix: self, rows, query, out });
    }
}

/// Little-endian numbers into `out`.
#[inline(always)]
fn fill<const N: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = read(*number);
    }
}

struct Products<'a> {
    matrix: &'a Matrix,
    rows: Range<usize>,
    query: &'a [f32],
    out: &'a mut Vec<f32>,
}

impl pulp::WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Products { matrix, rows, query, out } = self;
        let stride = matrix.width * matrix.dtype.size_bytes();
        let first = rows.start;
        let mut values = vec![0.0f32; matrix.width];
        out.clear();
        for (index, bytes) in matrix.bytes(rows).chunks_exact(stride).enumerate() {
            match matrix.dtype {
                Dtype::F32 => fill(bytes, &mut values, f32::from_le_bytes),
                Dtype::F16 => fill(bytes, &mut values, |bytes| f16::from_le_bytes(bytes).to_f32()),
                Dtype::I8 => fill(bytes, &mut values, |bytes| f32::from(i8::from_le_bytes(bytes))),
            }
            let scale = if matrix.dtype == Dtype::I8 { matrix.scale(first + index) } else { 1.0 };
            out.push(scale * simd::dot(simd, &values, query));
        }
    }
}

struct ProductsOf<'a> {
    matrix: &'a Matrix,
    rows: &'a [u32],
    query: &'a [f32],
    out: &'a mut Vec<f32>,
}

impl pulp::WithSimd for ProductsOf<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ProductsOf { matrix, rows, query, out } = self;
        let mut values = vec![0.0f32; matrix.width];
        out.clear();
        for row in rows {
            values.fill(0.0);
            matrix.read(*row as usize, &mut values);
            out.push(simd::dot(simd, &values, query));
        }
    }
}

/// Writes a matrix row by row.
pub struct MatrixWriter {
    pub out: TensorWriter,
    dtype: Dtype,
    width: usize,
    rows: usize,
    scales: Vec<f32>,
    buffer: Vec<u8>,
}

impl MatrixWriter {
    pub fn new(out: TensorWriter, dtype: Dtype, width: usize) -> MatrixWriter {
        MatrixWriter { out, dtype, width, rows: 0, scales: Vec::new(), buffer: Vec::new() }
    }

    /// Adds a row of finite numbers, and answers the length of what is stored.
    pub fn push(&mut self, values: &[f32]) -> Result<f32> {
        self.buffer.clear();
        let mut squares = 0.0f64;
        let mut add = |value: f32| squares += f64::from(value) * f64::from(value);
        match self.dtype {
            Dtype::F32 => values.iter().for_each(|value| {
                add(*value);
                self.buffer.extend(value.to_le_bytes());
            }),
            Dtype::F16 => values.iter().for_each(|value| {
                let value = f16::from_f32(value.clamp(-65504.0, 65504.0));
                add(value.to_f32());
                self.buffer.extend(value.to_le_bytes());
            }),
            Dtype::I8 => {
                let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let scale = largest / 127.0;
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                values.iter().for_each(|value| {
                    let whole = (value * inverse).round().clamp(-127.0, 127.0) as i8;
                    add(scale * f32::from(whole));
                    self.buffer.push(whole.to_le_bytes()[0]);
                });
                self.scales.push(scale);
            }
        }
        self.rows += 1;
        self.out.write(&self.buffer)?;
        Ok(squares.sqrt() as f32)
    }

    /// Ends the tensor `name`; more may follow in the same file.
    pub fn end(mut self, name: &str) -> Result<TensorWriter> {
        self.out.end(name, self.dtype.in_safetensors(), &[self.rows, self.width]);
        if self.dtype == Dtype::I8 {
            let scales = self.scales.iter().map(|value| value.to_le_bytes());
            self.out.tensor(&format!("{name}.scales"), "F32", &[self.scales.len()], scales)?;
        }
        Ok(self.out)
    }
}
