//! How are numbers packed in a tensor? The block formats of GGUF, each unpacked to `f32`.
//!
//! Layouts follow the format's description in ggml (`ggml-common.h`): a block is a few scales followed by
//! small integers. Formats with codebooks (IQ1..IQ4) are not read.

use half::{bf16, f16};

use crate::kernel::{BLOCK, Packed};

/// How a tensor's numbers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl Format {
    /// The format behind a number in a file, if it is one that can be read.
    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Numbers in a block.
    pub fn n_numbers(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes in a block.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Unpacks whole blocks: `bytes` holds exactly the numbers that `out` has room for.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len() / self.n_bytes() * self.n_numbers(), out.len(), "bytes and numbers agree");
        let unpack = match self {
            Self::F32 => |block: &[u8], out: &mut [f32]| {
                out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
            },
            Self::F16 => |block: &[u8], out: &mut [f32]| out[0] = half_at(block, 0),
            Self::Bf16 => |block: &[u8], out: &mut [f32]| out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => q4_0,
            Self::Q4_1 => q4_1,
            Self::Q5_0 => q5_0,
            Self::Q5_1 => q5_1,
            Self::Q8_0 => q8_0,
            Self::Q2K => q2_k,
            Self::Q3K => q3_k,
            Self::Q4K => q4_k,
            Self::Q5K => q5_k,
            Self::Q6K => q6_k,
        };
        for (block, out) in bytes.chunks_exact(self.n_bytes()).zip(out.chunks_exact_mut(self.n_numbers())) {
            unpack(block, out);
        }
    }
}

impl Format {
    /// Block `b` of 32 weights of a row, exactly; `None` if the format's blocks are not of that kind.
    pub(crate) fn packed(self, row: &[u8], b: usize) -> Option<Packed> {
        let block = &row[b * BLOCK / self.n_numbers() * self.n_bytes()..][..self.n_bytes()];
        // The numbers are what comes out with the scales replaced by ones.
        let mut unscaled = block.to_vec();
        let one = f16::ONE.to_le_bytes();
        let (scale, least) = match self {
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => (half_at(block, 0), 0.0),
            Self::Q4_1 | Self::Q5_1 => {
                unscaled[2..4].fill(0);
                (half_at(block, 0), half_at(block, 2))
            }
            Self::Q4K | Self::Q5K => {
                let (scale, least) = scale_and_least(&block[4..16], b % 8);
                unscaled[2..4].fill(0);
                // Every scale 1: six bits each, the lower four of the last four groups in the last bytes.
                unscaled[4..16].copy_from_slice(&[1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
                (half_at(block, 0) * scale, -(half_at(block, 2) * least))
            }
            _ => return None,
        };
        unscaled[..2].copy_from_slice(&one);
        let mut numbers = [0.0; 256];
        let numbers = &mut numbers[..self.n_numbers()];
        self.dequantise(&unscaled, numbers);
        let first = b * BLOCK % self.n_numbers();
        Some(Packed { numbers: std::array::from_fn(|i| numbers[first + i] as i8), scale, least })
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (i, &byte) in block[2..].iter().enumerate() {
        out[i] = (f32::from(byte & 15) - 8.0) * d;
        out[i + 16] = (f32::from(byte >> 4) - 8.0) * d;
    }
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, least) = (half_at(block, 0), half_at(block, 2));
    for (i, &byte) in block[4..].iter().enumerate() {
        out[i] = f32::from(byte & 15) * d + least;
        out[i + 16] = f32::from(byte >> 4) * d + least;
    }
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for (i, &byte) in block[6..].iter().enumerate() {
        let low_number = (byte & 15) | (((high >> i) as u8 & 1) << 4);
        let high_number = (byte >> 4) | (((high >> (i + 16)) as u8 & 1) << 4);
        out[i] = (f32::from(low_number) - 16.0) * d;
        out[i + 16] = (f32::from(high_number) - 16.0) * d;
    }
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, least) = (half_at(block, 0), half_at(block, 2));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for (i, &byte) in block[8..].iter().enumerate() {
        let low_number = (byte & 15) | (((high >> i) as u8 & 1) << 4);
        let high_number = (byte >> 4) | (((high >> (i + 16)) as u8 & 1) << 4);
        out[i] = f32::from(low_number) * d + least;
        out[i + 16] = f32::from(high_number) * d + least;
    }
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half_at(block, 0);
    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
        *out = f32::from(byte.cast_signed()) * d;
    }
}

/// 16 scales and minima of 4 bits, 64 bytes of 2-bit numbers, two halves.
fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, numbers) = (&block[..16], &block[16..80]);
    let (d, least) = (half_at(block, 80), half_at(block, 82));
    for (i, out) in out.iter_mut().enumerate() {
        let (part, within) = (i / 128, i % 128);
        let scale = scales[i / 16];
        let number = (numbers[part * 32 + within % 32] >> (2 * (within / 32))) & 3;
        *out = d * f32::from(scale & 15) * f32::from(number) - least * f32::from(scale >> 4);
    }
}

/// 32 bytes of high bits, 64 bytes of low 2 bits, 16 scales of 6 bits in 12 bytes, one scale.
fn q3_k(block: &[u8], out: &mut [f32]) {
    let (high, low, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half_at(block, 108);
    for (i, out) in out.iter_mut().enumerate() {
        let (part, within) = (i / 128, i % 128);
        let group = i / 16;
        let low_scale = if group < 8 { packed[group] & 15 } else { packed[group - 8] >> 4 };
        let high_scale = (packed[8 + group % 4] >> (2 * (group / 4))) & 3;
        let scale = f32::from(low_scale | (high_scale << 4)) - 32.0;
        let number = (low[part * 32 + within % 32] >> (2 * (within / 32))) & 3;
        let bit = (high[within % 32] >> (part * 4 + within / 32)) & 1;
        *out = d * scale * (f32::from(number) - if bit == 0 { 4.0 } else { 0.0 });
    }
}

/// Scale and minimum number `group` of the eight 6-bit pairs in 12 bytes (Q4_K and Q5_K).
fn scale_and_least(packed: &[u8], group: usize) -> (f32, f32) {
    if group < 4 {
        (f32::from(packed[group] & 63), f32::from(packed[group + 4] & 63))
    } else {
        let scale = (packed[group + 4] & 15) | ((packed[group - 4] >> 6) << 4);
        let least = (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4);
        (f32::from(scale), f32::from(least))
    }
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, d_least) = (half_at(block, 0), half_at(block, 2));
    let (packed, numbers) = (&block[4..16], &block[16..]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_least(packed, group);
        for (i, out) in out.iter_mut().enumerate() {
            let number = (numbers[group / 2 * 32 + i] >> (4 * (group % 2))) & 15;
            *out = d * scale * f32::from(number) - d_least * least;
        }
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, d_least) = (half_at(block, 0), half_at(block, 2));
    let (packed, high, numbers) = (&block[4..16], &block[16..48], &block[48..]);
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_least(packed, group);
        for (i, out) in out.iter_mut().enumerate() {
            let number = (numbers[group / 2 * 32 + i] >> (4 * (group % 2))) & 15;
            let number = number | (((high[i] >> group) & 1) << 4);
            *out = d * scale * f32::from(number) - d_least * least;
        }
    }
}

/// 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales, one scale.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (i, out) in out.iter_mut().enumerate() {
        let (part, within) = (i / 128, i % 128);
        let low_bits = (low[part * 64 + within % 64] >> (4 * (within / 64))) & 15;
        let high_bits = (high[part * 32 + within % 32] >> (2 * (within / 32))) & 3;
        let number = f32::from(low_bits | (high_bits << 4)) - 32.0;
        *out = d * f32::from(scales[i / 16].cast_signed()) * number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of reproducible bytes with small scales in the given places.
    fn block(format: Format, scales: &[usize]) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            (state >> 16) as u8
        };
        let mut bytes: Vec<u8> = (0..format.n_bytes()).map(|_| next()).collect();
        for (i, &at) in scales.iter().enumerate() {
            bytes[at..at + 2].copy_from_slice(&[0x66, 0x2e - 4 * i as u8]);
        }
        bytes
    }

    /// First and last number and a weighted sum, as the Python package `gguf` 0.19 (`gguf.quants.dequantize`) gives them.
    fn check(format: Format, scales: &[usize], expected: [f64; 3]) {
        let bytes = block(format, scales);
        let mut numbers = vec![0.0; format.n_numbers()];
        format.dequantise(&bytes, &mut numbers);
        let sum: f64 = numbers.iter().enumerate().map(|(i, &x)| f64::from(x) * (i % 7 + 1) as f64).sum();
        let found = [f64::from(numbers[0]), f64::from(numbers[numbers.len() - 1]), sum];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs() + 1e-4, "{format:?}: {found} {expected}");
        }
        for b in 0..format.n_numbers() / BLOCK {
            let Some(packed) = format.packed(&bytes, b) else { continue };
            for (number, x) in packed.numbers.iter().zip(&numbers[b * BLOCK..]) {
                let same = packed.scale * f32::from(*number) + packed.least;
                assert!((same - x).abs() <= 1e-5 * x.abs().max(1.0), "{format:?} {b}: {same} {x}");
            }
        }
    }

    #[test]
    fn blocks_hold_the_numbers_that_ggml_put_there() {
        check(Format::Q4_0, &[0], [-0.699829, 0.299927, 5.6986]);
        check(Format::Q4_1, &[0, 2], [1.149719, 1.349670, 114.3721]);
        check(Format::Q5_0, &[0], [0.199951, 0.699829, 11.9971]);
        check(Format::Q5_1, &[0, 2], [2.049500, 2.049500, 224.6451]);
        check(Format::Q8_0, &[0], [-12.696899, 8.597900, 86.4789]);
        check(Format::Q2K, &[80, 82], [0.000000, 0.299927, 932.7722]);
        check(Format::Q3K, &[108], [-1.999512, -0.899780, -162.4603]);
        check(Format::Q4K, &[0, 2], [0.099976, 35.691284, 31112.7523]);
        check(Format::Q5K, &[0, 2], [27.593262, 2.699341, 64980.9816]);
        check(Format::Q6K, &[208], [-57.585938, 215.947266, 2385.0176]);
    }

    #[test]
    fn formats_whose_blocks_are_kept_are_the_known_ones() {
        let kept = |format: Format| format.packed(&vec![0; format.n_bytes() * 32], 0).is_some();
        assert!(
            [Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0, Format::Q4K].map(kept) == [true; 6]
        );
        assert!(kept(Format::Q5K));
        assert!(
            [Format::F32, Format::F16, Format::Bf16, Format::Q2K, Format::Q3K, Format::Q6K].map(kept) == [false; 6]
        );
    }
}
