//! What comes next? The forward pass of the Llama family, for any number of tokens of any sequences at once.
//!
//! A token's result depends on its own sequence alone, bit for bit: it is the same whether it is computed with others or
//! not, in a prompt or one at a time.

use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::Error;
use crate::dequant::Format;
use crate::gguf::{Gguf, Value};
use crate::kernel::{self, Attention, Isa, PAGE};
use crate::matrix::{Activations, Matrix, Precision, Products, Workers};

/// Sizes and constants of a model, from the metadata.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) n_layers: usize,
    pub(crate) n_context: usize,
    pub(crate) n_vocabulary: usize,
    width: usize,
    n_hidden: usize,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
    n_rotated: usize,
    /// Pairs of a rotation: neighbours (llama, whose rows are put in that order for GGUF) or halves (all others).
    neighbours: bool,
    epsilon: f32,
    rope_base: f64,
    rope_scale: f64,
}

impl Shape {
    fn read(gguf: &Gguf) -> Result<Self, Error> {
        let architecture = gguf
            .string("general.architecture")
            .ok_or_else(|| gguf.bad("the metadata names no `general.architecture`".into()))?;
        if !["llama", "qwen2", "qwen3"].contains(&architecture) {
            return Err(Error::Unsupported {
                path: gguf.path().to_owned(),
                what: format!("the architecture `{architecture}` (llama, qwen2 and qwen3 are supported)"),
            });
        }
        let unsupported = |what: String| Error::Unsupported { path: gguf.path().to_owned(), what };
        let key = |name: &str| format!("{architecture}.{name}");
        let count = |name: &str| match gguf.count(&key(name)) {
            Some(n @ 1..=0x0fff_ffff) => Ok(n as usize),
            Some(n) => Err(gguf.bad(format!("`{architecture}.{name}` is {n}"))),
            None => Err(gguf.bad(format!("the metadata has no `{architecture}.{name}`"))),
        };
        let n_heads = count("attention.head_count")?;
        let n_kv_heads = if gguf.value(&key("attention.head_count_kv")).is_some() {
            count("attention.head_count_kv")?
        } else {
            n_heads
        };
        let width = count("embedding_length")?;
        let head_dim = gguf.count(&key("attention.key_length")).map_or(width / n_heads, |n| n as usize);
        let n_rotated = gguf.count(&key("rope.dimension_count")).map_or(head_dim, |n| n as usize);
        let n_hidden = count("feed_forward_length")?;
        if [width, n_hidden, head_dim].iter().any(|n| !n.is_multiple_of(32)) || !(32..=1024).contains(&head_dim) {
            return Err(unsupported(format!(
                "the sizes {width}, {n_hidden}, {head_dim} (width, hidden, head): multiples of 32 are supported"
            )));
        }
        if !n_heads.is_multiple_of(n_kv_heads) || n_rotated > head_dim || !n_rotated.is_multiple_of(2) {
            return Err(gguf.bad(format!("{n_heads} heads, {n_kv_heads} of keys, {n_rotated} rotated of {head_dim}")));
        }
        if gguf.count(&key("attention.value_length")).is_some_and(|n| n as usize != head_dim) {
            return Err(unsupported("values of another size than keys".into()));
        }
        if gguf.count(&key("expert_count")).is_some_and(|n| n > 0) {
            return Err(unsupported("a mixture of experts".into()));
        }
        let rope_scale = match gguf.string(&key("rope.scaling.type")) {
            None | Some("none") => gguf.number(&key("rope.scale_linear")).unwrap_or(1.0),
            Some("linear") => gguf.number(&key("rope.scaling.factor")).unwrap_or(1.0),
            Some(other) => return Err(unsupported(format!("rope scaling of the type `{other}`"))),
        };
        let n_vocabulary = match gguf.tensor("token_embd.weight") {
            Some(info) if info.dims.len() == 2 => info.dims[1],
            _ => return Err(gguf.bad("it has no matrix `token_embd.weight`".into())),
        };
        Ok(Self {
            n_layers: count("block_count")?,
            n_context: count("context_length")?,
            n_vocabulary,
            width,
            n_hidden,
            n_heads,
            n_kv_heads,
            head_dim,
            n_rotated,
            neighbours: architecture == "llama" && !gguf.is_folder(),
            epsilon: gguf.number(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5) as f32,
            rope_base: gguf.number(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scale,
        })
    }

    /// What the frequency of each pair is divided by: a tensor of a GGUF file, computed for a folder.
    fn rope_factors(&self, gguf: &Gguf) -> Result<Vec<f64>, Error> {
        let n = self.n_rotated / 2;
        if gguf.tensor("rope_freqs.weight").is_some() {
            return Ok(gguf.floats("rope_freqs.weight", n)?.into_iter().map(f64::from).collect());
        }
        let architecture = gguf.string("general.architecture").unwrap_or_default();
        Ok(match gguf.array(&format!("{architecture}.rope.factors")) {
            Some(factors) if factors.len() == n => {
                factors.iter().map(|factor| if let Value::F64(factor) = factor { *factor } else { 1.0 }).collect()
            }
            _ => vec![1.0; n],
        })
    }

    /// Half-precision numbers in a page of the cache.
    fn n_page(&self) -> usize {
        self.n_layers * self.n_kv_heads * 2 * self.head_dim * PAGE
    }

    /// Bytes of keys and values per token.
    pub(crate) fn n_cache_bytes(&self) -> usize {
        self.n_page() / PAGE * size_of::<u16>()
    }

    fn n_queries(&self) -> usize {
        self.n_heads * self.head_dim
    }

    fn n_keys(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}

/// Keys and values of a sequence's tokens. Pages are shared with other sequences until one of them writes.
#[derive(Clone, Default)]
pub(crate) struct Cache {
    pages: Vec<Arc<[u16]>>,
}

impl Cache {
    /// The same first `n` tokens, without copying.
    pub(crate) fn fork(&self, n: usize) -> Self {
        Self { pages: self.pages[..n.div_ceil(PAGE)].to_vec() }
    }
}

/// One token to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) token: u32,
    /// Which of the caches holds its predecessors.
    pub(crate) cache: usize,
    /// How many predecessors it has.
    pub(crate) position: usize,
    /// Whether the logits of its successor are wanted.
    pub(crate) logits: bool,
}

struct Layer {
    attention_norm: Vec<f32>,
    queries_keys_values: Matrix,
    bias: Option<Vec<f32>>,
    /// Norms of queries and keys per head (qwen3).
    head_norms: Option<(Vec<f32>, Vec<f32>)>,
    output: Matrix,
    hidden_norm: Vec<f32>,
    gate_up: Matrix,
    down: Matrix,
}

/// A model's weights.
pub(crate) struct Transformer {
    pub(crate) shape: Shape,
    embedding: Vec<u8>,
    embedding_format: Format,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Matrix,
    /// Angle per position of each rotated pair.
    frequencies: Vec<f64>,
    precision: Precision,
    isa: Isa,
}

impl Transformer {
    pub(crate) fn load(gguf: &Gguf, precision: Precision, isa: Isa) -> Result<Self, Error> {
        let shape = Shape::read(gguf)?;
        let width = shape.width;
        let factors = shape.rope_factors(gguf)?;
        let frequencies = (factors.iter().enumerate())
            .map(|(i, &factor)| {
                let exponent = -2.0 * i as f64 / shape.n_rotated as f64;
                shape.rope_base.powf(exponent) / shape.rope_scale / factor
            })
            .collect();
        let mut layers = Vec::new();
        for l in 0..shape.n_layers {
            layers.push(Layer::load(gguf, &shape, l, precision)?);
        }
        let embedding = gguf.bytes("token_embd.weight")?;
        let info = gguf.tensor("token_embd.weight").expect("its bytes were read");
        if info.dims[0] != width {
            return Err(gguf.bad(format!("`token_embd.weight` has rows of {}, {width} expected", info.dims[0])));
        }
        let name = if gguf.tensor("output.weight").is_some() { "output.weight" } else { "token_embd.weight" };
        Ok(Self {
            embedding,
            embedding_format: info.format,
            layers,
            norm: gguf.floats("output_norm.weight", width)?,
            output: Matrix::load(gguf, &[(name, shape.n_vocabulary)], width, precision)?,
            frequencies,
            shape,
            precision,
            isa,
        })
    }

    /// Reads the tokens, each after its predecessors, and gives the logits of those that want them, in order.
    /// Steps of one sequence must come in the order of their positions.
    pub(crate) fn forward(&self, workers: &Workers, caches: &mut [&mut Cache], steps: &[Step]) -> Vec<Vec<f32>> {
        workers.enter(|| self.forward_within(workers, caches, steps))
    }

    fn forward_within(&self, workers: &Workers, caches: &mut [&mut Cache], steps: &[Step]) -> Vec<Vec<f32>> {
        let Shape { width, n_hidden, n_kv_heads, head_dim, epsilon, .. } = self.shape;
        let (n, isa) = (steps.len(), self.isa);
        let on = (workers, isa);
        let (n_queries, n_keys) = (self.shape.n_queries(), self.shape.n_keys());
        let mut x = vec![0.0; n * width];
        let mut rotations = Vec::with_capacity(n);
        for (step, x) in steps.iter().zip(x.chunks_exact_mut(width)) {
            self.embed(step.token, x);
            rotations.push(self.rotation(step.position));
            let cache = &mut *caches[step.cache];
            if cache.pages.len() <= step.position / PAGE {
                cache.pages.push(Arc::from(vec![0; self.shape.n_page()]));
            }
        }
        let mut input = Activations::new(self.precision);
        let mut products = Products::default();
        let mut heads = vec![0.0; n * (n_queries + 2 * n_keys)];
        let mut attended = vec![0.0; n * n_queries];
        for (l, layer) in self.layers.iter().enumerate() {
            input.fill(on, n, width, |i, out| {
                kernel::rms_norm(isa, &x[i * width..(i + 1) * width], &layer.attention_norm, epsilon, out);
            });
            layer.queries_keys_values.multiply(on, &input, &mut products);
            workers.rows(&mut heads, n_queries + 2 * n_keys, |i, out| {
                products.copy(i, 0, out);
                self.prepare_heads(layer, &rotations[i], out);
            });
            for (step, heads) in steps.iter().zip(heads.chunks_exact(n_queries + 2 * n_keys)) {
                let (keys, values) = heads[n_queries..].split_at(n_keys);
                self.remember(caches[step.cache], l, step.position, keys, values);
            }
            let caches = &*caches;
            workers.rows(&mut attended, n_queries / n_kv_heads, |task, out| {
                let (i, head) = (task / n_kv_heads, task % n_kv_heads);
                let first = (l * n_kv_heads + head) * 2 * head_dim * PAGE;
                let attention = Attention {
                    queries: &heads[i * (n_queries + 2 * n_keys) + head * out.len()..][..out.len()],
                    head_dim,
                    pages: &caches[steps[i].cache].pages,
                    keys: first,
                    values: first + head_dim * PAGE,
                    n_positions: steps[i].position + 1,
                    scale: 1.0 / (head_dim as f32).sqrt(),
                };
                kernel::attend(isa, &attention, &mut Vec::new(), out);
            });
            input.fill(on, n, n_queries, |i, out| {
                out.copy_from_slice(&attended[i * n_queries..(i + 1) * n_queries]);
            });
            layer.output.multiply(on, &input, &mut products);
            workers.rows(&mut x, width, |i, x| products.add(i, x));
            input.fill(on, n, width, |i, out| {
                kernel::rms_norm(isa, &x[i * width..(i + 1) * width], &layer.hidden_norm, epsilon, out);
            });
            layer.gate_up.multiply(on, &input, &mut products);
            input.fill(on, n, n_hidden, |i, out| {
                let mut gate_up = vec![0.0; 2 * n_hidden];
                products.copy(i, 0, &mut gate_up);
                kernel::gate(isa, &gate_up[..n_hidden], &gate_up[n_hidden..], out);
            });
            layer.down.multiply(on, &input, &mut products);
            workers.rows(&mut x, width, |i, x| products.add(i, x));
        }
        let wanted: Vec<usize> = (0..n).filter(|&i| steps[i].logits).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        input.fill(on, wanted.len(), width, |i, out| {
            kernel::rms_norm(isa, &x[wanted[i] * width..(wanted[i] + 1) * width], &self.norm, epsilon, out);
        });
        self.output.multiply(on, &input, &mut products);
        let row = |i| {
            let mut logits = vec![0.0; self.shape.n_vocabulary];
            products.copy(i, 0, &mut logits);
            logits
        };
        (0..wanted.len()).map(row).collect()
    }

    fn embed(&self, token: u32, out: &mut [f32]) {
        let n = self.embedding.len() / self.shape.n_vocabulary;
        let token = token as usize;
        self.embedding_format.dequantise(&self.embedding[token * n..(token + 1) * n], out);
    }

    /// Cosine and sine of each pair's angle.
    fn rotation(&self, position: usize) -> Vec<(f32, f32)> {
        let angles = self.frequencies.iter().map(|frequency| frequency * position as f64);
        angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).collect()
    }

    /// Bias, norms and rotary position embedding (arXiv 2104.09864) of a token's queries and keys.
    fn prepare_heads(&self, layer: &Layer, rotation: &[(f32, f32)], heads: &mut [f32]) {
        let Shape { head_dim, n_rotated, neighbours, epsilon, .. } = self.shape;
        if let Some(bias) = &layer.bias {
            for (x, bias) in heads.iter_mut().zip(bias) {
                *x += bias;
            }
        }
        let (n_queries, n_keys) = (self.shape.n_queries(), self.shape.n_keys());
        if let Some((query_norm, key_norm)) = &layer.head_norms {
            let (queries, keys) = heads[..n_queries + n_keys].split_at_mut(n_queries);
            for (part, norm) in [(queries, query_norm), (keys, key_norm)] {
                for head in part.chunks_exact_mut(head_dim) {
                    let before = head.to_vec();
                    kernel::rms_norm(self.isa, &before, norm, epsilon, head);
                }
            }
        }
        for head in heads[..n_queries + n_keys].chunks_exact_mut(head_dim) {
            let head = &mut head[..n_rotated];
            if neighbours {
                for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(rotation) {
                    *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
                }
            } else {
                let (low, high) = head.split_at_mut(n_rotated / 2);
                for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(rotation) {
                    (*low, *high) = (*low * cos - *high * sin, *low * sin + *high * cos);
                }
            }
        }
    }

    /// Writes a token's keys and values of one layer.
    fn remember(&self, cache: &mut Cache, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        let head_dim = self.shape.head_dim;
        let page = Arc::make_mut(&mut cache.pages[position / PAGE]);
        let at = position % PAGE;
        let n = self.shape.n_keys() * 2 * PAGE;
        let mut halves = [f16::ZERO; 1024];
        let heads = page[layer * n..(layer + 1) * n].chunks_exact_mut(2 * head_dim * PAGE);
        for (i, head) in heads.enumerate() {
            let (by_column, by_position) = head.split_at_mut(head_dim * PAGE);
            let halves = &mut halves[..head_dim];
            halves.convert_from_f32_slice(&keys[i * head_dim..(i + 1) * head_dim]);
            for (column, key) in by_column.chunks_exact_mut(PAGE).zip(&*halves) {
                column[at] = key.to_bits();
            }
            halves.convert_from_f32_slice(&values[i * head_dim..(i + 1) * head_dim]);
            for (out, value) in by_position[at * head_dim..].iter_mut().zip(&*halves) {
                *out = value.to_bits();
            }
        }
    }
}

impl Layer {
    fn load(gguf: &Gguf, shape: &Shape, l: usize, precision: Precision) -> Result<Self, Error> {
        let Shape { width, n_hidden, head_dim, .. } = *shape;
        let (n_queries, n_keys) = (shape.n_queries(), shape.n_keys());
        let name = |part: &str| format!("blk.{l}.{part}");
        let matrix = |parts: &[(&str, usize)], n_columns: usize| {
            let names: Vec<_> = parts.iter().map(|&(part, n)| (name(&format!("{part}.weight")), n)).collect();
            let tensors: Vec<_> = names.iter().map(|(name, n)| (name.as_str(), *n)).collect();
            Matrix::load(gguf, &tensors, n_columns, precision)
        };
        let has = |part: &str| gguf.tensor(&name(part)).is_some();
        let floats = |part: &str, n: usize| gguf.floats(&name(part), n);
        let bias = if has("attn_q.bias") {
            let mut bias = floats("attn_q.bias", n_queries)?;
            bias.extend(floats("attn_k.bias", n_keys)?);
            bias.extend(floats("attn_v.bias", n_keys)?);
            Some(bias)
        } else {
            None
        };
        let head_norms = if has("attn_q_norm.weight") {
            Some((floats("attn_q_norm.weight", head_dim)?, floats("attn_k_norm.weight", head_dim)?))
        } else {
            None
        };
        Ok(Self {
            attention_norm: floats("attn_norm.weight", width)?,
            queries_keys_values: matrix(&[("attn_q", n_queries), ("attn_k", n_keys), ("attn_v", n_keys)], width)?,
            bias,
            head_norms,
            output: matrix(&[("attn_output", width)], n_queries)?,
            hidden_norm: floats("ffn_norm.weight", width)?,
            gate_up: matrix(&[("ffn_gate", n_hidden), ("ffn_up", n_hidden)], width)?,
            down: matrix(&[("ffn_down", width)], n_hidden)?,
        })
    }
}
