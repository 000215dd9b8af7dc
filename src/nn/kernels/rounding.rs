//! Numbers rounded to bf16, the upper half of an f32.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::memory::CHUNK;
use super::simd::vectorised;

/// The sixteen bits, to the nearest and to even as the processor rounds.
#[inline(always)]
fn bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A rounded NaN might become infinite.
    if value.is_nan() { 0x7fc0 } else { rounded }
}

/// As the library takes them: two to a float.
pub(crate) fn packed(values: &[f32]) -> Buffer {
    let mut packed = Buffer::any(values.len().div_ceil(2));
    vectorised!({
        for (pair, values) in packed.iter_mut().zip(values.chunks_exact(2)) {
            *pair = f32::from_bits(bits(values[0]) | bits(values[1]) << 16);
        }
    });
    if let ([.., last], [value]) = (&mut packed[..], values.chunks_exact(2).remainder()) {
        *last = f32::from_bits(bits(*value));
    }
    packed
}

/// As f32.
pub(crate) fn rounded(values: &[f32]) -> Buffer {
    let mut rounded = Buffer::any(values.len());
    rounded.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(rounded, values)| {
        vectorised!(rounded.iter_mut().zip(values).for_each(|(rounded, &value)| *rounded = f32::from_bits(bits(value) << 16)));
    });
    rounded
}

#[cfg(test)]
mod tests {
    use half::bf16 as half_bf16;

    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_to_even() {
        let mut values = vec![
            0.0,
            -0.0,
            1.0,
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            f32::MAX,
            f32::MIN_POSITIVE / 8.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -0.3,
        ];
        values.extend((0..1000u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))).filter(|value| !value.is_nan()));
        for length in [values.len(), values.len() - 1] {
            let packed = packed(&values[..length]);
            let bits = |index: usize| (packed[index / 2].to_bits() >> (16 * (index % 2))) as u16;
            for (index, &value) in values[..length].iter().enumerate() {
                assert_eq!(bits(index), half_bf16::from_f32(value).to_bits(), "{value}");
            }
            let wide = rounded(&values[..length]);
            assert!(wide.iter().zip(&values).all(|(wide, &value)| wide.to_bits() == half_bf16::from_f32(value).to_f32().to_bits()));
        }
        assert!(half_bf16::from_bits(packed(&[f32::NAN])[0].to_bits() as u16).is_nan());
    }
}
