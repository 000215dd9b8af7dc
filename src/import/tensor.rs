//! Tensors while they are on their way: contiguous little-endian bytes with dtype and shape.

use half::{bf16, f16};

use super::error::{Result, corrupt};
use super::pickle::TensorRef;

/// Kinds of numbers an import reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F64,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Dtype {
    pub fn size_bytes(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16)
    }

    /// From safetensors' spelling.
    pub fn from_safetensors(name: &str) -> Option<Dtype> {
        Some(match name {
            "F32" => Dtype::F32,
            "F64" => Dtype::F64,
            "F16" => Dtype::F16,
            "BF16" => Dtype::Bf16,
            "I64" => Dtype::I64,
            "I32" => Dtype::I32,
            "I16" => Dtype::I16,
            "I8" => Dtype::I8,
            "U8" => Dtype::U8,
            "BOOL" => Dtype::Bool,
            _ => return None,
        })
    }
}

/// Row-major values of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Little-endian, row-major, without gaps.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// The values as f32, or None when they are not floating point numbers.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let values = match self.dtype {
            Dtype::F32 => self.each(f32::from_le_bytes),
            Dtype::F64 => self.each(|bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F16 => self.each(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.each(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::Bool => return None,
        };
        Some(values)
    }

    /// The same numbers with the axes in this order, of which each stands once.
    pub fn transposed(&self, axes: &[usize]) -> Tensor {
        let mut steps = vec![1; self.shape.len()];
        for axis in (1..steps.len()).rev() {
            steps[axis - 1] = steps[axis] * self.shape[axis];
        }
        let shape: Vec<usize> = axes.iter().map(|axis| self.shape[*axis]).collect();
        let stride: Vec<usize> = axes.iter().map(|axis| steps[*axis]).collect();
        let bytes = walk(&shape, &stride, (self.bytes.as_slice(), 0), self.dtype.size_bytes());
        Tensor { dtype: self.dtype, shape, bytes }
    }

    fn each<const N: usize>(&self, read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (chunks, _) = self.bytes.as_chunks::<N>();
        chunks.iter().map(|&chunk| read(chunk)).collect()
    }
}

/// Copies the window `view` out of the bytes of its storage, in row-major order. The window must lie inside
/// the storage and may not show more elements than the storage has: an expanded tensor (stride 0) can be
/// made arbitrarily large by a few bytes of pickle, and no weights are stored so.
pub fn materialise(name: &str, view: &TensorRef, storage: &[u8]) -> Result<Tensor> {
    let size = view.storage.dtype.size_bytes();
    let outside = || corrupt(format!("tensor `{name}` reaches outside of its storage"));
    let (view_start, view_len) = view.storage.view;
    let available = (storage.len() / size) as u64;
    if view.storage.len > available {
        return Err(corrupt(format!("tensor `{name}` claims a storage of {} numbers, but {available} are there", view.storage.len)));
    }
    let elements = view.shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64)).ok_or_else(outside)?;
    if elements > view_len {
        return Err(outside());
    }
    if elements == 0 {
        return Ok(Tensor { dtype: view.storage.dtype, shape: view.shape.clone(), bytes: Vec::new() });
    }
    let last =
        view.shape.iter().zip(&view.stride).try_fold(view.offset, |last, (&side, &stride)| {
            (side as u64 - 1).checked_mul(stride).and_then(|reach| last.checked_add(reach))
        });
    if last.is_none_or(|last| last >= view_len) {
        return Err(outside());
    }
    let start = (view_start + view.offset) as usize;
    let bytes = if is_contiguous(view) {
        storage[start * size..][..elements as usize * size].to_vec()
    } else {
        // The stride of an axis of one is never walked and may be any number.
        let stride: Vec<usize> =
            view.shape.iter().zip(&view.stride).map(|(&side, &stride)| if side == 1 { 0 } else { stride as usize }).collect();
        walk(&view.shape, &stride, (storage, start), size)
    };
    Ok(Tensor { dtype: view.storage.dtype, shape: view.shape.clone(), bytes })
}

fn is_contiguous(view: &TensorRef) -> bool {
    let mut expected = 1;
    for (&side, &stride) in view.shape.iter().zip(&view.stride).rev() {
        if side != 1 && stride != expected {
            return false;
        }
        expected *= side as u64;
    }
    true
}

/// Walks a window in row-major order from the number where it begins; the caller has checked that every one lies inside.
fn walk(shape: &[usize], stride: &[usize], (storage, start): (&[u8], usize), size: usize) -> Vec<u8> {
    let elements = shape.iter().product::<usize>();
    let mut bytes = Vec::with_capacity(elements * size);
    let mut index = vec![0usize; shape.len()];
    let mut at = start;
    for _ in 0..elements {
        bytes.extend_from_slice(&storage[at * size..][..size]);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += stride[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= stride[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::pickle::Storage;
    use super::*;

    fn view(shape: &[usize], stride: &[u64], offset: u64, len: u64) -> TensorRef {
        let storage = Storage { dtype: Dtype::U8, key: "0".into(), len, view: (0, len) };
        TensorRef { storage, offset, shape: shape.to_vec(), stride: stride.to_vec() }
    }

    #[test]
    fn strides_are_honoured() {
        let storage: Vec<u8> = (0..24).collect();
        let get = |shape: &[usize], stride: &[u64], offset| materialise("t", &view(shape, stride, offset, 24), &storage).map(|t| t.bytes);
        assert_eq!(get(&[2, 3], &[3, 1], 0).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(get(&[3, 2], &[1, 3], 0).unwrap(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(get(&[2, 2, 2], &[1, 12, 4], 1).unwrap(), [1, 5, 13, 17, 2, 6, 14, 18]);
        assert_eq!(get(&[], &[], 23).unwrap(), [23]);
        assert_eq!(get(&[4, 1], &[6, u64::MAX], 3).unwrap(), [3, 9, 15, 21]);
        assert!(get(&[0, 3], &[3, 1], 0).unwrap().is_empty());
    }

    #[test]
    fn axes_change_places() {
        let stored = Tensor { dtype: Dtype::I16, shape: vec![2, 3, 2], bytes: (0..12u16).flat_map(u16::to_le_bytes).collect() };
        let turned = stored.transposed(&[2, 1, 0]);
        assert_eq!(turned.shape, [2, 3, 2]);
        let values: Vec<u16> = turned.bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        assert_eq!(values, [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
        assert_eq!(turned.transposed(&[2, 1, 0]), stored);
    }

    #[test]
    fn windows_outside_of_the_storage_are_refused() {
        let storage = [0u8; 24];
        let bad = |shape: &[usize], stride: &[u64], offset, len| materialise("t", &view(shape, stride, offset, len), &storage).is_err();
        assert!(bad(&[25], &[1], 0, 24));
        assert!(bad(&[], &[], 24, 24));
        assert!(bad(&[2], &[24], 0, 24));
        assert!(bad(&[2], &[u64::MAX], 1, 24));
        assert!(bad(&[usize::MAX, 2], &[0, 0], 0, 24));
        assert!(bad(&[1000, 1000], &[0, 0], 0, 24), "an expanded tensor is a bomb");
        assert!(bad(&[1], &[1], 0, 25), "a storage longer than its bytes");
    }

    #[test]
    fn numbers_become_f32() {
        let tensor = |dtype, bytes: &[u8]| Tensor { dtype, shape: vec![1], bytes: bytes.to_vec() };
        assert_eq!(tensor(Dtype::F32, &1.5f32.to_le_bytes()).to_f32(), Some(vec![1.5]));
        assert_eq!(tensor(Dtype::F64, &(-2.25f64).to_le_bytes()).to_f32(), Some(vec![-2.25]));
        assert_eq!(tensor(Dtype::F16, &[0x00, 0x3e]).to_f32(), Some(vec![1.5]));
        assert_eq!(tensor(Dtype::Bf16, &[0xc0, 0x3f]).to_f32(), Some(vec![1.5]));
        assert_eq!(tensor(Dtype::I64, &[0; 8]).to_f32(), None);
    }
}
