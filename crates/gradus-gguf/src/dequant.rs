//! How are numbers packed in a tensor? The block formats of GGUF, each unpacked to `f32`.
//!
//! Layouts follow the format's description in ggml (`ggml-common.h`): a block is a few scales followed by
//! small integers. Formats with codebooks (IQ1..IQ4) are not read.

use half::{bf16, f16};

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
