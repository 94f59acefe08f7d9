//! A tiny model with random weights, its files, and its forward pass as one would write it on paper.

pub(crate) mod folder;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) const WIDTH: usize = 64;
pub(crate) const HIDDEN: usize = 96;
pub(crate) const N_LAYERS: usize = 2;
pub(crate) const N_HEADS: usize = 4;
pub(crate) const N_KV_HEADS: usize = 2;
pub(crate) const HEAD: usize = 32;
const EPSILON: f32 = 1e-5;
const BASE: f64 = 10_000.0;
/// Bytes, merges, control tokens.
const MERGES: [(&str, &str); 4] = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("1", "2")];
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

pub(crate) struct Tiny {
    pub(crate) architecture: &'static str,
    pub(crate) n_context: u32,
    /// Frequencies are scaled as `llama3` scales them; only in a folder.
    pub(crate) scaled: bool,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    tokens: Vec<String>,
}

/// A random number from -1 to 1.
fn random(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

impl Tiny {
    /// `llama` has tied embeddings; `qwen2` an output matrix and biases.
    pub(crate) fn new(architecture: &'static str) -> Self {
        let mut tokens = Vec::new();
        let mut others = 256..;
        for byte in 0..=255_u8 {
            let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let code = if printable { u32::from(byte) } else { others.next().unwrap() };
            tokens.push(char::from_u32(code).unwrap().to_string());
        }
        tokens.extend(MERGES.iter().map(|(left, right)| format!("{left}{right}")));
        tokens.extend(["<|im_start|>".to_owned(), "<|im_end|>".to_owned()]);
        let mut tiny = Self { architecture, n_context: 512, scaled: false, tensors: BTreeMap::new(), tokens };
        let n_vocabulary = tiny.tokens.len();
        let mut state = 0x9e37_79b9_7f4a_7c15;
        let mut add = |name: String, dims: &[usize], scale: f32, shift: f32| {
            let numbers = (0..dims.iter().product()).map(|_| shift + scale * random(&mut state)).collect();
            tiny.tensors.insert(name, (dims.to_vec(), numbers));
        };
        add("token_embd.weight".into(), &[WIDTH, n_vocabulary], 1.0, 0.0);
        add("output_norm.weight".into(), &[WIDTH], 0.1, 0.5);
        if architecture == "qwen2" {
            add("output.weight".into(), &[WIDTH, n_vocabulary], 0.5, 0.0);
        }
        for l in 0..N_LAYERS {
            let mut add = |name: &str, dims: &[usize], scale, shift| add(format!("blk.{l}.{name}"), dims, scale, shift);
            add("attn_norm.weight", &[WIDTH], 0.1, 1.0);
            add("ffn_norm.weight", &[WIDTH], 0.1, 1.0);
            for (name, n) in [("attn_q", N_HEADS * HEAD), ("attn_k", N_KV_HEADS * HEAD), ("attn_v", N_KV_HEADS * HEAD)]
            {
                add(&format!("{name}.weight"), &[WIDTH, n], 0.25, 0.0);
                if architecture == "qwen2" {
                    add(&format!("{name}.bias"), &[n], 0.5, 0.0);
                }
            }
            add("attn_output.weight", &[N_HEADS * HEAD, WIDTH], 0.25, 0.0);
            add("ffn_gate.weight", &[WIDTH, HIDDEN], 0.25, 0.0);
            add("ffn_up.weight", &[WIDTH, HIDDEN], 0.25, 0.0);
            add("ffn_down.weight", &[HIDDEN, WIDTH], 0.25, 0.0);
        }
        tiny
    }

    /// Without a token that is this byte alone.
    pub(crate) fn without(mut self, byte: u8) -> Self {
        "zz".clone_into(&mut self.tokens[usize::from(byte)]);
        self
    }

    pub(crate) fn n_vocabulary(&self) -> usize {
        self.tokens.len()
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut values = Vec::new();
        let mut n_values = 0_u64;
        let mut add = |key: &str, kind: u32, value: &[u8]| {
            string(&mut values, key);
            values.extend(kind.to_le_bytes());
            values.extend(value);
            n_values += 1;
        };
        let text = |text: &str| {
            let mut bytes = Vec::new();
            string(&mut bytes, text);
            bytes
        };
        let texts = |texts: &[String]| {
            let mut bytes = [8_u32.to_le_bytes().to_vec(), (texts.len() as u64).to_le_bytes().to_vec()].concat();
            for text in texts {
                string(&mut bytes, text);
            }
            bytes
        };
        add("general.architecture", 8, &text(self.architecture));
        add("general.name", 8, &text("Tiny"));
        for (key, n) in [
            ("block_count", N_LAYERS),
            ("context_length", self.n_context as usize),
            ("embedding_length", WIDTH),
            ("feed_forward_length", HIDDEN),
            ("attention.head_count", N_HEADS),
            ("attention.head_count_kv", N_KV_HEADS),
            ("attention.key_length", HEAD),
        ] {
            add(&format!("{}.{key}", self.architecture), 4, &(n as u32).to_le_bytes());
        }
        add(&format!("{}.attention.layer_norm_rms_epsilon", self.architecture), 6, &EPSILON.to_le_bytes());
        add("tokenizer.ggml.model", 8, &text("gpt2"));
        add("tokenizer.ggml.pre", 8, &text(if self.architecture == "qwen2" { "qwen2" } else { "smollm" }));
        add("tokenizer.ggml.tokens", 9, &texts(&self.tokens));
        let mut kinds = [5_u32.to_le_bytes().to_vec(), (self.tokens.len() as u64).to_le_bytes().to_vec()].concat();
        for token in &self.tokens {
            kinds.extend((if token.starts_with("<|") { 3_i32 } else { 1 }).to_le_bytes());
        }
        add("tokenizer.ggml.token_type", 9, &kinds);
        add("tokenizer.ggml.merges", 9, &texts(&MERGES.map(|(left, right)| format!("{left} {right}"))));
        add("tokenizer.ggml.eos_token_id", 4, &(self.tokens.len() as u32 - 1).to_le_bytes());
        add("tokenizer.chat_template", 8, &text(TEMPLATE));
        let mut infos = Vec::new();
        let mut data = Vec::new();
        for (name, (dims, numbers)) in &self.tensors {
            string(&mut infos, name);
            infos.extend((dims.len() as u32).to_le_bytes());
            infos.extend(dims.iter().flat_map(|&dim| (dim as u64).to_le_bytes()));
            infos.extend(0_u32.to_le_bytes());
            infos.extend((data.len() as u64).to_le_bytes());
            data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
            data.resize(data.len().next_multiple_of(32), 0);
        }
        let n_tensors = (self.tensors.len() as u64).to_le_bytes();
        let mut bytes = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &n_tensors, &n_values.to_le_bytes()].concat();
        bytes.extend(values);
        bytes.extend(infos);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        bytes
    }

    /// Writes the file; it lives as long as the folder.
    pub(crate) fn write(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        (folder, path)
    }

    /// Log-probabilities of every token after each of the tokens.
    pub(crate) fn logprobs(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let t = |name: &str| &self.tensors[name].1[..];
        let mut rows: Vec<Vec<f32>> =
            tokens.iter().map(|&id| t("token_embd.weight")[id as usize * WIDTH..][..WIDTH].to_vec()).collect();
        for l in 0..N_LAYERS {
            let part = |name: &str| format!("blk.{l}.{name}");
            let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (position, row) in rows.iter().enumerate() {
                let x = norm(row, t(&part("attn_norm.weight")));
                for (name, out) in [("attn_q", &mut queries), ("attn_k", &mut keys), ("attn_v", &mut values)] {
                    let mut y = product(t(&part(&format!("{name}.weight"))), &x);
                    if let Some((_, bias)) = self.tensors.get(&part(&format!("{name}.bias"))) {
                        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                    }
                    if name != "attn_v" {
                        y.chunks_mut(HEAD).for_each(|head| self.rotate(head, position));
                    }
                    out.push(y);
                }
            }
            for (i, row) in rows.iter_mut().enumerate() {
                let mut attended = vec![0.0; N_HEADS * HEAD];
                for head in 0..N_HEADS {
                    let shared = head / (N_HEADS / N_KV_HEADS) * HEAD;
                    let query = &queries[i][head * HEAD..][..HEAD];
                    let scores: Vec<f32> =
                        (0..=i).map(|j| dot(query, &keys[j][shared..shared + HEAD]) / (HEAD as f32).sqrt()).collect();
                    let logprobs = log_softmax(&scores);
                    for (j, logprob) in logprobs.iter().enumerate() {
                        for d in 0..HEAD {
                            attended[head * HEAD + d] += logprob.exp() * values[j][shared + d];
                        }
                    }
                }
                let y = product(t(&part("attn_output.weight")), &attended);
                row.iter_mut().zip(y).for_each(|(x, y)| *x += y);
                let x = norm(row, t(&part("ffn_norm.weight")));
                let gate = product(t(&part("ffn_gate.weight")), &x);
                let up = product(t(&part("ffn_up.weight")), &x);
                let hidden: Vec<f32> =
                    gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
                let y = product(t(&part("ffn_down.weight")), &hidden);
                row.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
        }
        let output = if self.architecture == "qwen2" { "output.weight" } else { "token_embd.weight" };
        rows.iter().map(|row| log_softmax(&product(t(output), &norm(row, t("output_norm.weight"))))).collect()
    }

    fn rotate(&self, head: &mut [f32], position: usize) {
        for i in 0..HEAD / 2 {
            let frequency = BASE.powf(-2.0 * i as f64 / HEAD as f64);
            let angle = position as f64 * if self.scaled { folder::scaled(frequency) } else { frequency };
            let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
            let (a, b) = if self.architecture == "llama" { (2 * i, 2 * i + 1) } else { (i, i + HEAD / 2) };
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
        }
    }
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn product(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    matrix.chunks(x.len()).map(|row| dot(row, x)).collect()
}

fn norm(x: &[f32], weight: &[f32]) -> Vec<f32> {
    let factor = 1.0 / (dot(x, x) / x.len() as f32 + EPSILON).sqrt();
    x.iter().zip(weight).map(|(x, weight)| x * factor * weight).collect()
}

fn log_softmax(x: &[f32]) -> Vec<f32> {
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = x.iter().map(|x| (x - most).exp()).sum();
    x.iter().map(|x| x - most - sum.ln()).collect()
}
