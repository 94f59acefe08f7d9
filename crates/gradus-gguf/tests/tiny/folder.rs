//! The tiny model as training writes it: `config.json`, a tokenizer, safetensors.

use std::path::Path;

use half::{bf16, f16};
use serde_json::{Value, json};

use super::{BASE, EPSILON, HEAD, HIDDEN, MERGES, N_HEADS, N_KV_HEADS, N_LAYERS, TEMPLATE, Tiny, WIDTH};

/// Settings of scaled frequencies.
const FACTOR: f64 = 4.0;
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const N_ORIGINAL: f64 = 64.0;

/// The cases one by one, as the authors of Llama 3.1 describe them.
pub(super) fn scaled(frequency: f64) -> f64 {
    let wave = std::f64::consts::TAU / frequency;
    if wave < N_ORIGINAL / HIGH {
        frequency
    } else if wave > N_ORIGINAL / LOW {
        frequency / FACTOR
    } else {
        let smooth = (N_ORIGINAL / wave - LOW) / (HIGH - LOW);
        (1.0 - smooth) * frequency / FACTOR + smooth * frequency
    }
}

/// How weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    fn bytes(self, x: f32) -> Vec<u8> {
        match self {
            Self::F32 => x.to_le_bytes().into(),
            Self::F16 => f16::from_f32(x).to_le_bytes().into(),
            Self::Bf16 => bf16::from_f32(x).to_le_bytes().into(),
        }
    }

    fn round(self, x: f32) -> f32 {
        match self {
            Self::F32 => x,
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }
}

impl Tiny {
    /// The same model with the numbers that this type can hold.
    pub(crate) fn rounded(mut self, dtype: Dtype) -> Self {
        self.tensors.values_mut().flat_map(|(_, numbers)| numbers).for_each(|x| *x = dtype.round(*x));
        self
    }

    /// Writes the folder, its weights in one file or in several.
    pub(crate) fn write_folder(&self, dtype: Dtype, n_files: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, json: Value| std::fs::write(folder.path().join(name), json.to_string()).unwrap();
        write("config.json", self.config());
        write("tokenizer.json", self.tokenizer_json());
        write("tokenizer_config.json", json!({"eos_token": "<|im_end|>", "chat_template": TEMPLATE}));
        let mut files: Vec<Vec<(String, Vec<usize>, Vec<u8>)>> = vec![Vec::new(); n_files];
        for (at, (name, (dims, numbers))) in self.tensors.iter().enumerate() {
            let numbers = self.in_order_of_training(name, numbers);
            let bytes = numbers.into_iter().flat_map(|x| dtype.bytes(x)).collect();
            files[at % n_files].push((hub_name(name), dims.iter().rev().copied().collect(), bytes));
        }
        if n_files == 1 {
            std::fs::write(folder.path().join("model.safetensors"), safetensors(dtype, &files[0])).unwrap();
            return folder;
        }
        let mut map = serde_json::Map::new();
        for (at, tensors) in files.iter().enumerate() {
            let file = format!("model-{:05}-of-{n_files:05}.safetensors", at + 1);
            std::fs::write(folder.path().join(&file), safetensors(dtype, tensors)).unwrap();
            map.extend(tensors.iter().map(|(name, ..)| (name.clone(), file.clone().into())));
        }
        write("model.safetensors.index.json", json!({"metadata": {}, "weight_map": map}));
        folder
    }

    pub(crate) fn config(&self) -> Value {
        let qwen = self.architecture == "qwen2";
        let mut config = json!({
            "architectures": [if qwen { "Qwen2ForCausalLM" } else { "LlamaForCausalLM" }],
            "hidden_act": "silu",
            "hidden_size": WIDTH,
            "intermediate_size": HIDDEN,
            "num_hidden_layers": N_LAYERS,
            "num_attention_heads": N_HEADS,
            "num_key_value_heads": N_KV_HEADS,
            "head_dim": HEAD,
            "max_position_embeddings": self.n_context,
            "rms_norm_eps": EPSILON,
            "tie_word_embeddings": !qwen,
            "vocab_size": self.n_vocabulary(),
            "eos_token_id": self.n_vocabulary() - 1,
        });
        if self.scaled {
            // As transformers 5 writes it; the other form is that of transformers 4.
            config["rope_parameters"] = json!({
                "rope_theta": BASE, "rope_type": "llama3", "factor": FACTOR, "low_freq_factor": LOW,
                "high_freq_factor": HIGH, "original_max_position_embeddings": N_ORIGINAL,
            });
        } else {
            config["rope_theta"] = json!(BASE);
        }
        config
    }

    fn tokenizer_json(&self) -> Value {
        let is_mark = |token: &String| token.starts_with("<|");
        let ids = || self.tokens.iter().zip(0_u32..);
        let vocabulary: serde_json::Map<String, Value> =
            ids().filter(|(token, _)| !is_mark(token)).map(|(token, id)| (token.clone(), id.into())).collect();
        let marks: Vec<Value> = ids()
            .filter(|(token, _)| is_mark(token))
            .map(|(token, id)| {
                json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true})
            })
            .collect();
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        let first = if self.architecture == "qwen2" {
            let words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
            json!({"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false})
        } else {
            json!({"type": "Digits", "individual_digits": true})
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "added_tokens": marks,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [first, bytes(self.architecture != "qwen2")]},
            "decoder": bytes(true),
            "model": {"type": "BPE", "vocab": vocabulary, "merges": MERGES.map(|(left, right)| format!("{left} {right}"))},
        })
    }

    /// Training has the halves of a head's rotation one after the other; GGUF files of llama models have them in turns.
    fn in_order_of_training(&self, name: &str, numbers: &[f32]) -> Vec<f32> {
        let is_rotated = name.contains("attn_q.weight") || name.contains("attn_k.weight");
        if self.architecture != "llama" || !is_rotated {
            return numbers.to_vec();
        }
        let rows: Vec<&[f32]> = numbers.chunks(WIDTH).collect();
        let heads = rows.chunks(HEAD);
        heads
            .flat_map(|head| [0, 1].into_iter().flat_map(move |turn| head.iter().skip(turn).step_by(2)))
            .copied()
            .flatten()
            .copied()
            .collect()
    }
}

/// A file: length of the header, header, numbers.
pub(crate) fn safetensors(dtype: Dtype, tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::from_iter([("__metadata__".to_owned(), json!({"format": "pt"}))]);
    let mut data = Vec::new();
    for (name, shape, bytes) in tensors {
        let first = data.len();
        data.extend(bytes);
        header
            .insert(name.clone(), json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [first, data.len()]}));
    }
    let header = Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

fn hub_name(name: &str) -> String {
    let Some((layer, part)) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            "output.weight" => "lm_head.weight",
            _ => panic!("{name}"),
        }
        .to_owned();
    };
    let (part, kind) = part.split_once('.').unwrap();
    let part = match part {
        "attn_norm" => "input_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => panic!("{name}"),
    };
    format!("model.layers.{layer}.{part}.{kind}")
}

/// Replaces a file of a folder.
pub(crate) fn replace(folder: &Path, file: &str, json: &Value) {
    std::fs::write(folder.join(file), json.to_string()).unwrap();
}
