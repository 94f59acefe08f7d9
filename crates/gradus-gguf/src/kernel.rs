//! Where the arithmetic happens: products with packed weights, attention, and the small functions between them.
//!
//! Every kernel is written once, over sixteen lanes ([`Lanes`]), and compiled for each instruction set; the best
//! one is chosen at run time, since default builds target plain x86-64. Sums run in the same order everywhere and
//! products are never fused with sums, so all instruction sets give the same bits, and the result for
//! one token does not depend on how many others are computed with it.
//!
//! The only file of the crate with unsafe code. The invariant that all of it rests on: an [`Isa`] is only ever made
//! for an instruction set that this CPU has.
#![expect(clippy::inline_always, reason = "a kernel must be compiled as a whole for its instruction set")]
#![expect(clippy::needless_range_loop, reason = "closures of iterators would not be compiled for the instruction set")]

/// Rows of a matrix that are multiplied together, one per lane.
pub(crate) const LANES: usize = 16;
/// Numbers that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Positions in a page of the key-value cache.
pub(crate) const PAGE: usize = 32;
/// Tokens whose products share one pass over the weights held in registers.
const TOGETHER: usize = 8;

/// An instruction set that this CPU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// All that this CPU has, the plainest first, the best last.
    pub fn all() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "no other kernels there"))]
        let mut all = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c") {
                all.push(Self(Level::Avx2));
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                {
                    all.push(Self(Level::Avx512));
                }
            }
        }
        all
    }

    /// The best that this CPU has.
    pub fn best() -> Self {
        *Self::all().last().expect("the portable one is always there")
    }

    /// `portable`, `avx2` or `avx512-vnni`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512-vnni",
        }
    }
}

/// [`BLOCK`] weights of a row: each is `scale * number + least`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    pub(crate) numbers: [i8; BLOCK],
    pub(crate) scale: f32,
    pub(crate) least: f32,
}

impl Packed {
    /// Rounds weights as ggml's Q8_0 does, with a scale in `f32`.
    pub(crate) fn round(weights: &[f32]) -> Self {
        let mut packed = Self { numbers: [0; BLOCK], scale: 0.0, least: 0.0 };
        let most = weights.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        if most > 0.0 && most.is_finite() {
            packed.scale = most / 127.0;
            for (number, x) in packed.numbers.iter_mut().zip(weights) {
                *number = (x * (127.0 / most)).round_ties_even().clamp(-127.0, 127.0) as i8;
            }
        }
        packed
    }
}

/// Sixteen rows by [`BLOCK`] columns of 8-bit weights, each row with its scale.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Tile {
    /// Number + 128: four neighbouring columns of each of the sixteen rows, eight times.
    weights: [[[u8; 4]; LANES]; BLOCK / 4],
    scales: [f32; LANES],
}

impl Tile {
    /// The same block of sixteen rows, and what is added to the weights of each.
    pub(crate) fn pack(rows: &[Packed; LANES]) -> (Self, [f32; LANES]) {
        let mut tile = Self { weights: [[[128; 4]; LANES]; BLOCK / 4], scales: rows.map(|row| row.scale) };
        for (lane, row) in rows.iter().enumerate() {
            for (column, number) in row.numbers.iter().enumerate() {
                tile.weights[column / 4][lane][column % 4] = number.cast_unsigned() ^ 0x80;
            }
        }
        (tile, rows.map(|row| row.least))
    }
}

/// [`BLOCK`] numbers of an activation, 15 bits each, cut in two.
///
/// With 8 bits, as in llama.cpp, the mean error of a log-probability would be seventy times that with 15 (measured
/// on SmolLM2), and writing would hardly be faster.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct ActBlock {
    /// Upper parts, four signed bytes each, the first in the lowest byte.
    words: [i32; BLOCK / 4],
    /// The lower parts: a number is 128 times its upper part plus this, from -64 to 63.
    low_words: [i32; BLOCK / 4],
    scale: f32,
    /// The sum of what the numbers stand for.
    sum: f32,
    /// -128 times the sum of the numbers: undoes the 128 that is added to the weights.
    offset: i32,
}

/// Sixteen numbers, and what is done with them.
///
/// # Safety
/// All functions may only be called where the instruction set of the implementation is there and enabled.
trait Lanes: Copy {
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(x: &[f32; LANES]) -> Self;
    /// Exact for all finite half-precision numbers.
    unsafe fn load_half(x: &[u16; LANES]) -> Self;
    unsafe fn store(self, out: &mut [f32; LANES]);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// The second where the first is not greater.
    unsafe fn max(self, other: Self) -> Self;
    /// Per row of the tile the sum of the products of the integers, for `M` activations.
    unsafe fn dots<const M: usize>(tile: &Tile, blocks: [&ActBlock; M]) -> [Self; M];
}

#[derive(Clone, Copy)]
struct Portable([f32; LANES]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(x: &[f32; LANES]) -> Self {
        Self(*x)
    }

    #[inline(always)]
    unsafe fn load_half(x: &[u16; LANES]) -> Self {
        let mut lanes = [0.0; LANES];
        for (lane, &bits) in lanes.iter_mut().zip(x) {
            // Moves exponent and mantissa into place and scales by 2^(127 - 15); also right for subnormals.
            let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
            *lane = f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16));
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, out: &mut [f32; LANES]) {
        *out = self.0;
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x += y;
        }
        self
    }

    #[inline(always)]
    unsafe fn mul(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x *= y;
        }
        self
    }

    #[inline(always)]
    unsafe fn max(mut self, other: Self) -> Self {
        for (x, y) in self.0.iter_mut().zip(other.0) {
            *x = if *x > y { *x } else { y };
        }
        self
    }

    #[inline(always)]
    unsafe fn dots<const M: usize>(tile: &Tile, blocks: [&ActBlock; M]) -> [Self; M] {
        let mut dots = [Self([0.0; LANES]); M];
        for (dot, block) in dots.iter_mut().zip(blocks) {
            let mut sums = [0; LANES];
            add_products(&mut sums, tile, &block.words);
            sums = sums.map(|sum| sum << 7);
            add_products(&mut sums, tile, &block.low_words);
            let sums = sums.map(|sum| sum + block.offset);
            for (lane, sum) in dot.0.iter_mut().zip(sums) {
                *lane = sum as f32;
            }
        }
        dots
    }
}

#[inline(always)]
fn add_products(sums: &mut [i32; LANES], tile: &Tile, words: &[i32; BLOCK / 4]) {
    for (weights, word) in tile.weights.iter().zip(words) {
        let numbers = word.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        for (sum, four) in sums.iter_mut().zip(weights) {
            for (&weight, number) in four.iter().zip(numbers) {
                *sum += i32::from(weight) * number;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! [`Lanes`] in vector registers.
    //!
    //! SAFETY of all of it: the caller promises the instruction set ([`Lanes`]); loads and stores go through
    //! references to arrays of exactly the size of the registers, with instructions that need no alignment.

    use std::arch::x86_64::{
        __m256, __m256i, __m512, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps,
        _mm256_cvtph_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_ps,
        _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256,
        _mm256_sign_epi8, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_xor_si256, _mm512_add_epi32, _mm512_add_ps,
        _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_max_ps,
        _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_storeu_ps,
    };

    use super::{ActBlock, BLOCK, LANES, Lanes, Tile};

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512);

    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_set1_ps(x) })
        }

        #[inline(always)]
        unsafe fn load(x: &[f32; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_loadu_ps(x.as_ptr()) })
        }

        #[inline(always)]
        unsafe fn load_half(x: &[u16; LANES]) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) })
        }

        #[inline(always)]
        unsafe fn store(self, out: &mut [f32; LANES]) {
            // SAFETY: see the module.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn dots<const M: usize>(tile: &Tile, blocks: [&ActBlock; M]) -> [Self; M] {
            // SAFETY: see the module.
            unsafe {
                let mut weights = [_mm512_set1_epi32(0); BLOCK / 4];
                for j in 0..BLOCK / 4 {
                    weights[j] = _mm512_loadu_si512((&raw const tile.weights[j]).cast());
                }
                let mut dots = [Self(_mm512_set1_ps(0.0)); M];
                for m in 0..M {
                    let mut sum = _mm512_set1_epi32(0);
                    let mut low = _mm512_set1_epi32(blocks[m].offset);
                    for j in 0..BLOCK / 4 {
                        sum = _mm512_dpbusd_epi32(sum, weights[j], _mm512_set1_epi32(blocks[m].words[j]));
                        low = _mm512_dpbusd_epi32(low, weights[j], _mm512_set1_epi32(blocks[m].low_words[j]));
                    }
                    let sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(sum), low);
                    dots[m] = Self(_mm512_cvtepi32_ps(sum));
                }
                dots
            }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256, __m256);

    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        }

        #[inline(always)]
        unsafe fn load(x: &[f32; LANES]) -> Self {
            // SAFETY: see the module; the second load starts at the middle of the array.
            unsafe { Self(_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(LANES / 2))) }
        }

        #[inline(always)]
        unsafe fn load_half(x: &[u16; LANES]) -> Self {
            // SAFETY: see the module; the second load starts at the middle of the array.
            unsafe {
                Self(
                    _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())),
                    _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().add(LANES / 2).cast())),
                )
            }
        }

        #[inline(always)]
        unsafe fn store(self, out: &mut [f32; LANES]) {
            // SAFETY: see the module; the second store starts at the middle of the array.
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), self.0);
                _mm256_storeu_ps(out.as_mut_ptr().add(LANES / 2), self.1);
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: see the module.
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn dots<const M: usize>(tile: &Tile, blocks: [&ActBlock; M]) -> [Self; M] {
            // SAFETY: see the module.
            unsafe {
                let low = halves::<M>(tile, 0, blocks);
                let high = halves::<M>(tile, LANES / 2, blocks);
                let mut dots = [Self(_mm256_set1_ps(0.0), _mm256_set1_ps(0.0)); M];
                for m in 0..M {
                    dots[m] = Self(_mm256_cvtepi32_ps(low[m]), _mm256_cvtepi32_ps(high[m]));
                }
                dots
            }
        }
    }

    /// The sums of eight rows. The products of two neighbours, at most 127 x 127 each, fit into 16 bits because the
    /// sign of the weight is moved to the activation first.
    #[inline(always)]
    unsafe fn halves<const M: usize>(tile: &Tile, first: usize, blocks: [&ActBlock; M]) -> [__m256i; M] {
        // SAFETY: see the module; `first` is 0 or 8 of 16 rows, and a load takes eight rows.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); M];
            let mut low_sums = [_mm256_setzero_si256(); M];
            for j in 0..BLOCK / 4 {
                let biased = _mm256_loadu_si256(tile.weights[j][first..first + LANES / 2].as_ptr().cast());
                let weights = _mm256_xor_si256(biased, _mm256_set1_epi8(-128));
                let sizes = _mm256_abs_epi8(weights);
                for m in 0..M {
                    sums[m] = add_eight(sums[m], sizes, weights, blocks[m].words[j]);
                    low_sums[m] = add_eight(low_sums[m], sizes, weights, blocks[m].low_words[j]);
                }
            }
            for m in 0..M {
                sums[m] = _mm256_add_epi32(_mm256_slli_epi32::<7>(sums[m]), low_sums[m]);
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn add_eight(sums: __m256i, sizes: __m256i, weights: __m256i, word: i32) -> __m256i {
        // SAFETY: see the module.
        unsafe {
            let numbers = _mm256_sign_epi8(_mm256_set1_epi32(word), weights);
            let pairs = _mm256_maddubs_epi16(sizes, numbers);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

/// Compiles a generic function for every instruction set, and a safe one that calls the right one.
macro_rules! kernel {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $generic:ident) => {
        $(#[$meta])*
        pub(crate) fn $name(isa: Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,f16c")]
            fn avx512($($arg: $type),*) {
                // SAFETY: the instruction set is enabled in this function.
                unsafe { $generic::<x86::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,f16c")]
            fn avx2($($arg: $type),*) {
                // SAFETY: the instruction set is enabled in this function.
                unsafe { $generic::<x86::Avx2>($($arg),*) }
            }
            match isa.0 {
                // SAFETY: an `Isa` is only made for what the CPU has.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: needs nothing.
                Level::Portable => unsafe { $generic::<Portable>($($arg),*) },
            }
        }
    };
}

kernel! {
    /// Multiplies sixteen rows (`tiles`, one per block of columns) with each activation in `x`, `tiles.len()` blocks
    /// each; `out` gets sixteen numbers per activation. `leasts` is what is added to the
    /// weights of each block; empty if it is nothing anywhere.
    fn rows_by_activations(
        tiles: &[Tile],
        leasts: &[[f32; LANES]],
        x: &[ActBlock],
        out: &mut [[f32; LANES]],
    ) = quantised_rows
}

#[inline(always)]
unsafe fn quantised_rows<L: Lanes>(tiles: &[Tile], leasts: &[[f32; LANES]], x: &[ActBlock], out: &mut [[f32; LANES]]) {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        if leasts.is_empty() {
            quantised_all::<L, false>(tiles, leasts, x, out);
        } else {
            quantised_all::<L, true>(tiles, leasts, x, out);
        }
    }
}

#[inline(always)]
unsafe fn quantised_all<L: Lanes, const LEAST: bool>(
    tiles: &[Tile],
    leasts: &[[f32; LANES]],
    x: &[ActBlock],
    out: &mut [[f32; LANES]],
) {
    let n = tiles.len();
    let mut at = 0;
    // SAFETY: the caller promises the instruction set.
    unsafe {
        while out.len() - at >= TOGETHER {
            quantised_some::<L, TOGETHER, LEAST>(tiles, leasts, &x[at * n..], &mut out[at..]);
            at += TOGETHER;
        }
        if out.len() - at >= 4 {
            quantised_some::<L, 4, LEAST>(tiles, leasts, &x[at * n..], &mut out[at..]);
            at += 4;
        }
        if out.len() - at >= 2 {
            quantised_some::<L, 2, LEAST>(tiles, leasts, &x[at * n..], &mut out[at..]);
            at += 2;
        }
        if out.len() - at >= 1 {
            quantised_some::<L, 1, LEAST>(tiles, leasts, &x[at * n..], &mut out[at..]);
        }
    }
}

#[inline(always)]
unsafe fn quantised_some<L: Lanes, const M: usize, const LEAST: bool>(
    tiles: &[Tile],
    leasts: &[[f32; LANES]],
    x: &[ActBlock],
    out: &mut [[f32; LANES]],
) {
    let n = tiles.len();
    let mut rows: [&[ActBlock]; M] = [&[]; M];
    for (m, row) in rows.iter_mut().enumerate() {
        *row = &x[m * n..(m + 1) * n];
    }
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let mut sums = [L::splat(0.0); M];
        for (b, tile) in tiles.iter().enumerate() {
            let mut blocks = [&rows[0][b]; M];
            for m in 0..M {
                blocks[m] = &rows[m][b];
            }
            let dots = L::dots::<M>(tile, blocks);
            let scales = L::load(&tile.scales);
            for m in 0..M {
                sums[m] = sums[m].add(dots[m].mul(scales.mul(L::splat(blocks[m].scale))));
            }
            if LEAST {
                let leasts = L::load(&leasts[b]);
                for m in 0..M {
                    sums[m] = sums[m].add(leasts.mul(L::splat(blocks[m].sum)));
                }
            }
        }
        for m in 0..M {
            sums[m].store(&mut out[m]);
        }
    }
}

kernel! {
    /// As [`rows_by_activations`] with weights and activations in `f32`: `columns` holds the sixteen rows' weights of
    /// each column.
    fn dense_rows(columns: &[[f32; LANES]], x: &[f32], out: &mut [[f32; LANES]]) = dense_rows_generic
}

#[inline(always)]
unsafe fn dense_rows_generic<L: Lanes>(columns: &[[f32; LANES]], x: &[f32], out: &mut [[f32; LANES]]) {
    for (x, out) in x.chunks_exact(columns.len()).zip(out) {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let mut sums = [L::splat(0.0); 4];
            for (columns, x) in columns.chunks(4).zip(x.chunks(4)) {
                for (i, (column, &x)) in columns.iter().zip(x).enumerate() {
                    sums[i] = sums[i].add(L::load(column).mul(L::splat(x)));
                }
            }
            sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(out);
        }
    }
}

kernel! {
    /// Rounds an activation, a multiple of [`BLOCK`] numbers, to 15 bits per number.
    fn quantise(x: &[f32], out: &mut [ActBlock]) = quantise_generic
}

/// Adding and subtracting it rounds a small number to the nearest integer (ties to even), which then also
/// stands in the lowest bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// The greatest 15-bit number whose upper part, rounded to the nearest, fits into 8 bits.
const MOST_NUMBER: f32 = 16_256.0;

#[inline(always)]
unsafe fn quantise_generic<L: Lanes>(x: &[f32], out: &mut [ActBlock]) {
    for (x, out) in x.as_chunks::<BLOCK>().0.iter().zip(out) {
        // The bits of non-negative floats are ordered as the floats are.
        let most = x.iter().fold(0, |most: u32, x| most.max(x.to_bits() & 0x7fff_ffff));
        let most = f32::from_bits(most);
        let inverse = if most > 0.0 { MOST_NUMBER / most } else { 0.0 };
        let (mut bytes, mut low_bytes) = ([0_u8; BLOCK], [0_u8; BLOCK]);
        let mut sum = 0_i32;
        for ((byte, low_byte), x) in bytes.iter_mut().zip(&mut low_bytes).zip(x) {
            let number = (x * inverse + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
            sum = sum.wrapping_add(number);
            let upper = number.wrapping_add(64) >> 7;
            *byte = upper as u8;
            *low_byte = number.wrapping_sub(upper << 7) as u8;
        }
        for (word, four) in out.words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(*four);
        }
        for (word, four) in out.low_words.iter_mut().zip(low_bytes.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(*four);
        }
        out.scale = most / MOST_NUMBER;
        out.sum = out.scale * sum as f32;
        out.offset = sum.wrapping_mul(-128);
    }
}

kernel! {
    /// Root-mean-square norm: `x / sqrt(mean(x^2) + epsilon) * weight` (arXiv 1910.07467, eq. 4).
    /// Lengths are multiples of [`LANES`].
    fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = rms_norm_generic
}

#[inline(always)]
unsafe fn rms_norm_generic<L: Lanes>(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    // SAFETY: the caller promises the instruction set.
    let squares = unsafe {
        let mut sums = L::splat(0.0);
        for x in x.as_chunks::<LANES>().0 {
            let x = L::load(x);
            sums = sums.add(x.mul(x));
        }
        total(sums)
    };
    let factor = 1.0 / (squares / x.len() as f32 + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * factor * weight;
    }
}

/// The sum of the lanes, neighbours first.
#[inline(always)]
unsafe fn total<L: Lanes>(lanes: L) -> f32 {
    let mut sums = [0.0; LANES];
    // SAFETY: the caller promises the instruction set.
    unsafe { lanes.store(&mut sums) };
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] = sums[2 * i] + sums[2 * i + 1];
        }
    }
    sums[0]
}

kernel! {
    /// The gated activation of the feed-forward layer: `silu(gate) * up` (arXiv 2002.05202).
    fn gate(gate: &[f32], up: &[f32], out: &mut [f32]) = gate_generic
}

#[inline(always)]
unsafe fn gate_generic<L: Lanes>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

/// e^x within two units in the last place for -87 <= x <= 88, and clamped to that range
/// (argument reduction and polynomial of Cephes' `expf`).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants are written as in their source")]
fn exp(x: f32) -> f32 {
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693359375 - n * -2.12194440e-4;
    let p = 1.9875691500e-4 * r + 1.3981999507e-3;
    let p = p * r + 8.3334519073e-3;
    let p = p * r + 4.1665795894e-2;
    let p = p * r + 1.6666665459e-1;
    let p = p * r + 5.0000001201e-1;
    let y = p * (r * r) + r + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

kernel! {
    /// Replaces each logit by its e^((logit - most) / temperature).
    fn exponentials(logits: &mut [f32], most: f32, temperature: f32) = exponentials_generic
}

#[inline(always)]
unsafe fn exponentials_generic<L: Lanes>(logits: &mut [f32], most: f32, temperature: f32) {
    let inverse = 1.0 / temperature;
    for x in logits {
        *x = exp((*x - most) * inverse);
    }
}

/// Queries of heads that share keys and values, and where these are in each page.
pub(crate) struct Attention<'a> {
    /// One query after another, `head_dim` numbers each (a multiple of 32).
    pub queries: &'a [f32],
    /// Numbers in a head.
    pub head_dim: usize,
    /// Half-precision numbers; keys lie by column ([head_dim][PAGE]), values by position ([PAGE][head_dim]).
    pub pages: &'a [std::sync::Arc<[u16]>],
    /// Where this head's keys start in a page.
    pub keys: usize,
    /// Where its values start.
    pub values: usize,
    /// Positions to look at, from the first.
    pub n_positions: usize,
    /// Factor on the products of queries and keys.
    pub scale: f32,
}

kernel! {
    /// `softmax(scale Q K^T) V` (arXiv 1706.03762, eq. 1) for one token; `out` is laid out as the queries.
    fn attend(attention: &Attention<'_>, scratch: &mut Vec<f32>, out: &mut [f32]) = attend_generic
}

#[inline(always)]
unsafe fn attend_generic<L: Lanes>(attention: &Attention<'_>, scratch: &mut Vec<f32>, out: &mut [f32]) {
    let n = attention.head_dim;
    let n_heads = out.len() / n;
    let mut at = 0;
    // SAFETY: the caller promises the instruction set.
    unsafe {
        while n_heads - at >= 4 {
            attend_heads::<L, 4>(attention, at, scratch, &mut out[at * n..(at + 4) * n]);
            at += 4;
        }
        match n_heads - at {
            3 => attend_heads::<L, 3>(attention, at, scratch, &mut out[at * n..]),
            2 => attend_heads::<L, 2>(attention, at, scratch, &mut out[at * n..]),
            1 => attend_heads::<L, 1>(attention, at, scratch, &mut out[at * n..]),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn attend_heads<L: Lanes, const H: usize>(
    attention: &Attention<'_>,
    first: usize,
    scratch: &mut Vec<f32>,
    out: &mut [f32],
) {
    let Attention { head_dim, n_positions, .. } = *attention;
    let queries = &attention.queries[first * head_dim..(first + H) * head_dim];
    let n_pages = n_positions.div_ceil(PAGE);
    let stride = n_pages * PAGE;
    scratch.clear();
    scratch.resize(H * stride, 0.0);
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let scale = L::splat(attention.scale);
        for (p, page) in attention.pages[..n_pages].iter().enumerate() {
            let keys = page[attention.keys..attention.keys + head_dim * PAGE].as_chunks::<LANES>().0;
            let mut sums = [[L::splat(0.0); 2]; H];
            for (d, keys) in keys.as_chunks::<2>().0.iter().enumerate() {
                let keys = [L::load_half(&keys[0]), L::load_half(&keys[1])];
                for h in 0..H {
                    let query = L::splat(queries[h * head_dim + d]);
                    sums[h][0] = sums[h][0].add(query.mul(keys[0]));
                    sums[h][1] = sums[h][1].add(query.mul(keys[1]));
                }
            }
            for h in 0..H {
                let scores = scratch[h * stride + p * PAGE..][..PAGE].as_chunks_mut::<LANES>().0;
                sums[h][0].mul(scale).store(&mut scores[0]);
                sums[h][1].mul(scale).store(&mut scores[1]);
            }
        }
        let mut inverses = [0.0; H];
        for (h, scores) in scratch.chunks_exact_mut(stride).enumerate() {
            scores[n_positions..].fill(f32::NEG_INFINITY);
            inverses[h] = 1.0 / softmax_weights::<L>(scores);
            scores[n_positions..].fill(0.0);
        }
        for column in (0..head_dim).step_by(2 * LANES) {
            let mut sums = [[L::splat(0.0); 2]; H];
            for (p, page) in attention.pages[..n_pages].iter().enumerate() {
                let n = PAGE.min(n_positions - p * PAGE);
                let values = &page[attention.values + column..attention.values + head_dim * PAGE];
                for i in 0..n {
                    let values = values[i * head_dim..][..2 * LANES].as_chunks::<LANES>().0;
                    let values = [L::load_half(&values[0]), L::load_half(&values[1])];
                    for h in 0..H {
                        let weight = L::splat(scratch[h * stride + p * PAGE + i]);
                        sums[h][0] = sums[h][0].add(weight.mul(values[0]));
                        sums[h][1] = sums[h][1].add(weight.mul(values[1]));
                    }
                }
            }
            for h in 0..H {
                let out = out[h * head_dim + column..][..2 * LANES].as_chunks_mut::<LANES>().0;
                sums[h][0].mul(L::splat(inverses[h])).store(&mut out[0]);
                sums[h][1].mul(L::splat(inverses[h])).store(&mut out[1]);
            }
        }
    }
}

/// Replaces scores (a multiple of [`LANES`]) by e^(score - most) and gives their sum, without those that are -inf.
#[inline(always)]
unsafe fn softmax_weights<L: Lanes>(scores: &mut [f32]) -> f32 {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let mut most = L::splat(f32::NEG_INFINITY);
        for scores in scores.as_chunks::<LANES>().0 {
            most = L::load(scores).max(most);
        }
        let mut lanes = [0.0; LANES];
        most.store(&mut lanes);
        let most = lanes.iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most });
        for score in scores.iter_mut() {
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp(*score - most) };
        }
        let mut sums = L::splat(0.0);
        for scores in scores.as_chunks::<LANES>().0 {
            sums = sums.add(L::load(scores));
        }
        total(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn products_are_right_and_the_same_with_all_instructions_and_neighbours() {
        const N_BLOCKS: usize = 5;
        let n = N_BLOCKS * BLOCK;
        let mut packed = Vec::new();
        for block in numbers(N_BLOCKS * LANES * BLOCK, 1).chunks(BLOCK) {
            packed.push(Packed { least: block[0] / 3.0, ..Packed::round(block) });
        }
        // The extremes of both factors: what could overflow must not.
        packed[0].numbers = [-128; BLOCK];
        packed[1].numbers = [127; BLOCK];
        let (tiles, leasts): (Vec<Tile>, Vec<[f32; LANES]>) =
            packed.as_chunks::<LANES>().0.iter().map(Tile::pack).unzip();
        for n_tokens in 1..=19 {
            let mut x = numbers(n_tokens * n, 2);
            x[..BLOCK].fill(-2.5);
            let mut results = Vec::new();
            for isa in Isa::all() {
                let mut blocks = vec![ActBlock::default(); n_tokens * N_BLOCKS];
                quantise(isa, &x, &mut blocks);
                let mut out = vec![[0.0; LANES]; n_tokens];
                rows_by_activations(isa, &tiles, &leasts, &blocks, &mut out);
                for (out, blocks) in out.iter().zip(blocks.chunks(N_BLOCKS)) {
                    let mut alone = [[0.0; LANES]];
                    rows_by_activations(isa, &tiles, &leasts, blocks, &mut alone);
                    assert_eq!(*out, alone[0], "{isa:?}");
                }
                results.push(out);
            }
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
            for (out, x) in results[0].iter().zip(x.chunks(n)) {
                for (lane, out) in out.iter().enumerate() {
                    let exact: f64 = (0..n)
                        .map(|i| {
                            let packed = packed[i / BLOCK * LANES + lane];
                            let weight = packed.scale * f32::from(packed.numbers[i % BLOCK]) + packed.least;
                            f64::from(weight) * f64::from(x[i])
                        })
                        .sum();
                    assert!((f64::from(*out) - exact).abs() < 4e-3, "{out} {exact}");
                }
            }
        }
    }

    #[test]
    fn exponentials_are_right_and_the_same_with_all_instructions() {
        let x: Vec<f32> = (-1600..=0).map(|i| i as f32 / 20.0).collect();
        let results = Isa::all().into_iter().map(|isa| {
            let mut x = x.clone();
            exponentials(isa, &mut x, 0.0, 1.0);
            x
        });
        let results: Vec<_> = results.collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
        for (x, y) in x.iter().zip(&results[0]) {
            let exact = f64::from(*x).exp();
            assert!((f64::from(*y) / exact - 1.0).abs() < 3e-7, "{x}: {y} {exact}");
        }
    }
}
