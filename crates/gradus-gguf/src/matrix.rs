//! Weights ready for multiplication, and the threads that share the work.

use rayon::prelude::*;

use crate::Error;
use crate::gguf::Gguf;
use crate::kernel::{self, ActBlock, BLOCK, Isa, LANES, Packed, Tile};

/// In which form the weights are held and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Weights in 8 bits, 32 with a scale (and a least value) of their own: exactly those of the file where its format
    /// is of that kind. What they are multiplied with in 15 bits: all but exact.
    #[default]
    Q8,
    /// `f32` throughout (but half-precision keys and values): four times the memory, slow; for comparisons.
    F32,
}

/// The threads that work on one engine's products.
pub(crate) struct Workers {
    pool: Option<rayon::ThreadPool>,
    n: usize,
}

impl Workers {
    pub(crate) fn new(n: usize) -> Result<Self, Error> {
        let n = n.max(1);
        let pool = if n == 1 {
            None
        } else {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("gguf-{i}"));
            Some(builder.build().map_err(|error| Error::Threads(error.to_string()))?)
        };
        Ok(Self { pool, n })
    }

    /// Runs something within which [`Workers::split`] is cheap.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Cuts `items` into chunks of `size` and works on them at once; the work gets each chunk's number.
    fn split<T: Send>(&self, items: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        if self.pool.is_some() && items.len() > size {
            items.par_chunks_mut(size).enumerate().for_each(|(i, chunk)| work(i, chunk));
        } else {
            for (i, chunk) in items.chunks_mut(size).enumerate() {
                work(i, chunk);
            }
        }
    }

    /// Works on rows of `size` numbers, some at once if there are many.
    pub(crate) fn rows(&self, items: &mut [f32], size: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
        let together = (items.len() / size).div_ceil(self.n * 2).max(1);
        self.split(items, size * together, |i, chunk| {
            for (j, row) in chunk.chunks_mut(size).enumerate() {
                work(i * together + j, row);
            }
        });
    }
}

/// What a matrix is multiplied with: one row per token, in both forms that may be needed.
pub(crate) struct Activations {
    rows: Vec<f32>,
    blocks: Vec<ActBlock>,
    precision: Precision,
}

impl Activations {
    pub(crate) fn new(precision: Precision) -> Self {
        Self { rows: Vec::new(), blocks: Vec::new(), precision }
    }

    /// Fills `n` rows of `size` numbers.
    pub(crate) fn fill(
        &mut self,
        (workers, isa): (&Workers, Isa),
        n: usize,
        size: usize,
        work: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        self.rows.resize(n * size, 0.0);
        workers.rows(&mut self.rows, size, work);
        if self.precision == Precision::Q8 {
            self.blocks.resize(n * size / BLOCK, ActBlock::default());
            let rows = &self.rows;
            let together = n.div_ceil(workers.n * 2) * size / BLOCK;
            workers.split(&mut self.blocks, together, |i, blocks| {
                let first = i * together * BLOCK;
                kernel::quantise(isa, &rows[first..first + blocks.len() * BLOCK], blocks);
            });
        }
    }
}

/// A matrix, sixteen rows together.
pub(crate) struct Matrix {
    n_columns: usize,
    n_groups: usize,
    weights: Weights,
}

enum Weights {
    /// Tiles, and what is added to the weights of each row (empty if it is nothing anywhere).
    Q8(Vec<Tile>, Vec<[f32; LANES]>),
    F32(Vec<[f32; LANES]>),
}

impl Matrix {
    /// Loads tensors with the same number of columns, one under the other. Rows are filled up to a
    /// multiple of sixteen, for each tensor.
    pub(crate) fn load(
        gguf: &Gguf,
        tensors: &[(&str, usize)],
        n_columns: usize,
        precision: Precision,
    ) -> Result<Self, Error> {
        let mut n_groups = 0;
        let mut weights = match precision {
            Precision::Q8 => Weights::Q8(Vec::new(), Vec::new()),
            Precision::F32 => Weights::F32(Vec::new()),
        };
        for &(name, n_rows) in tensors {
            let bytes = gguf.bytes(name)?;
            let info = gguf.tensor(name).expect("its bytes were read");
            if info.dims != [n_columns, n_rows] {
                return Err(gguf.bad(format!(
                    "tensor `{name}` has the size {:?}, [{n_columns}, {n_rows}] was expected",
                    info.dims
                )));
            }
            let format = info.format;
            let n_row_bytes = bytes.len() / n_rows;
            let row_bytes = |row: usize| bytes.get(row * n_row_bytes..(row + 1) * n_row_bytes);
            let group = |g: usize| {
                let mut rows = vec![0.0; LANES * n_columns];
                for (row, out) in (g * LANES..).zip(rows.chunks_exact_mut(n_columns)) {
                    if let Some(bytes) = row_bytes(row) {
                        format.dequantise(bytes, out);
                    }
                }
                rows
            };
            let n = n_rows.div_ceil(LANES);
            n_groups += n;
            match &mut weights {
                Weights::Q8(tiles, leasts) => {
                    let packed: Vec<Vec<_>> = (0..n)
                        .into_par_iter()
                        .map(|g| {
                            let rows = group(g);
                            let block = |lane: usize, b: usize| {
                                let exact = row_bytes(g * LANES + lane).and_then(|bytes| format.packed(bytes, b));
                                exact.unwrap_or_else(|| Packed::round(&rows[lane * n_columns + b * BLOCK..][..BLOCK]))
                            };
                            (0..n_columns / BLOCK)
                                .map(|b| Tile::pack(&std::array::from_fn(|lane| block(lane, b))))
                                .collect()
                        })
                        .collect();
                    for (tile, least) in packed.into_iter().flatten() {
                        tiles.push(tile);
                        leasts.push(least);
                    }
                }
                Weights::F32(columns) => columns.par_extend((0..n).into_par_iter().flat_map_iter(|g| {
                    let rows = group(g);
                    (0..n_columns).map(move |c| std::array::from_fn(|lane| rows[lane * n_columns + c]))
                })),
            }
        }
        if let Weights::Q8(_, leasts) = &mut weights
            && leasts.iter().flatten().all(|&least| least == 0.0)
        {
            *leasts = Vec::new();
        }
        Ok(Self { n_columns, n_groups, weights })
    }

    /// Multiplies all rows with all activations.
    pub(crate) fn multiply(&self, (workers, isa): (&Workers, Isa), x: &Activations, out: &mut Products) {
        let n = x.rows.len() / self.n_columns;
        out.n_tokens = n;
        out.lanes.resize(self.n_groups * n, [0.0; LANES]);
        let together = self.n_groups.div_ceil(workers.n * 4).max(1);
        workers.split(&mut out.lanes, together * n, |task, chunk| {
            for (g, out) in chunk.chunks_exact_mut(n).enumerate() {
                let group = task * together + g;
                match &self.weights {
                    Weights::Q8(tiles, leasts) => {
                        let n = self.n_columns / BLOCK;
                        let (tiles, leasts) =
                            (&tiles[group * n..(group + 1) * n], leasts.get(group * n..(group + 1) * n).unwrap_or(&[]));
                        kernel::rows_by_activations(isa, tiles, leasts, &x.blocks, out);
                    }
                    Weights::F32(columns) => {
                        let n = self.n_columns;
                        kernel::dense_rows(isa, &columns[group * n..(group + 1) * n], &x.rows, out);
                    }
                }
            }
        });
    }
}

/// What came out of a multiplication.
#[derive(Default)]
pub(crate) struct Products {
    lanes: Vec<[f32; LANES]>,
    n_tokens: usize,
}

impl Products {
    /// A token's numbers, sixteen at a time, starting at row `first` of the matrix (a multiple of sixteen).
    pub(crate) fn token(&self, token: usize, first: usize) -> impl Iterator<Item = &[f32; LANES]> {
        self.lanes.iter().skip(first / LANES * self.n_tokens + token).step_by(self.n_tokens)
    }

    /// Copies a token's numbers.
    pub(crate) fn copy(&self, token: usize, first: usize, out: &mut [f32]) {
        for (out, lanes) in out.chunks_mut(LANES).zip(self.token(token, first)) {
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }

    /// Adds a token's numbers.
    pub(crate) fn add(&self, token: usize, out: &mut [f32]) {
        for (out, lanes) in out.chunks_mut(LANES).zip(self.token(token, 0)) {
            for (out, x) in out.iter_mut().zip(lanes) {
                *out += x;
            }
        }
    }
}
