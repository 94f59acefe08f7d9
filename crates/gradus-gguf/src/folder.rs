//! What did training write? A folder with `config.json` and safetensors, presented as a GGUF file would be.
//!
//! Names and settings are those of `transformers`. A setting or tensor that would change the result and is not known
//! here is refused by name, so that nothing runs as another model than it is.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use gradus_template::StudentFiles;
use serde_json::Value as Json;

use crate::Error;
use crate::gguf::{Gguf, TensorInfo, Value};
use crate::safetensors;

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";

/// Architectures by their names in `config.json` and in GGUF files.
const ARCHITECTURES: [(&str, &str); 3] =
    [("LlamaForCausalLM", "llama"), ("Qwen2ForCausalLM", "qwen2"), ("Qwen3ForCausalLM", "qwen3")];

/// A folder, opened.
pub(crate) struct Folder {
    /// Settings and weights.
    pub(crate) gguf: Gguf,
    /// Chat template and tokenizer.
    pub(crate) student: StudentFiles,
    /// Every file that counts, settings first.
    pub(crate) files: Vec<PathBuf>,
}

/// Reads everything but the tensors' contents.
///
/// # Errors
/// If a file is missing or broken, or the model is of a kind that is not supported.
pub(crate) fn open(folder: &Path) -> Result<Folder, Error> {
    let config =
        json(folder, CONFIG)?.ok_or_else(|| bad(folder, format!("it has no {CONFIG}{}", checkpoints(folder))))?;
    let weights = weights(folder)?;
    let mut metadata = Settings { folder, config: &config }.metadata()?;
    let (mut files, mut tensors) = (Vec::new(), HashMap::new());
    for path in &weights {
        let (file, entries) = safetensors::open(path)?;
        for entry in entries {
            // Computed from the settings; old versions saved it too.
            if entry.name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            let unsupported = |what: String| Error::Unsupported { path: path.clone(), what };
            let name = name(&entry.name).ok_or_else(|| unsupported(format!("a tensor called `{}`", entry.name)))?;
            let format = entry
                .format
                .map_err(|found| unsupported(format!("tensor `{}` in {found} (F32, F16 and BF16 are)", entry.name)))?;
            let dims = entry.shape.into_iter().rev().collect();
            tensors.insert(name, TensorInfo::new(dims, format, files.len(), entry.offset));
        }
        files.push(file);
    }
    match (config["tie_word_embeddings"].as_bool(), tensors.contains_key("output.weight")) {
        (Some(true), true) => drop(tensors.remove("output.weight")),
        (Some(false), false) => {
            let problem = "its weights have no `lm_head.weight`, and its embeddings are not tied".to_owned();
            return Err(bad(folder, problem));
        }
        _ => {}
    }
    let student = StudentFiles::open(folder).map_err(|error| of_student(folder, error))?;
    let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    metadata.insert("general.name".into(), Value::String(name));
    let said = std::iter::once(CONFIG).chain(gradus_template::FILES.into_iter().filter(|file| *file != CONFIG));
    let said = said.map(|file| folder.join(file)).filter(|path| path.is_file());
    let paths = said.chain(weights).collect();
    Ok(Folder { gguf: Gguf::of_folder(folder, files, metadata, tensors), student, files: paths })
}

/// The files with weights, in the order of their names.
fn weights(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if let Some(index) = json(folder, INDEX)? {
        let map = index["weight_map"].as_object().ok_or_else(|| bad(folder, format!("{INDEX} has no `weight_map`")))?;
        let names: BTreeSet<&str> = map.values().filter_map(Json::as_str).collect();
        if let Some(odd) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
            return Err(bad(folder, format!("{INDEX} names `{odd}`, which is no file beside it")));
        }
        return Ok(names.into_iter().map(|name| folder.join(name)).collect());
    }
    let single = folder.join(WEIGHTS);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let has = |name: &str| folder.join(name).exists();
    Err(bad(
        folder,
        if has("adapter_model.safetensors") || has("adapter_config.json") {
            "it holds a LoRA adapter alone: merge it into its base model (peft's `merge_and_unload`), and save that"
                .into()
        } else if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
            "its weights are a pickle, which is never opened: save them as safetensors (`save_pretrained`)".into()
        } else {
            format!("it has neither {WEIGHTS} nor {INDEX}{}", checkpoints(folder))
        },
    ))
}

/// What to name instead, where training left checkpoints.
fn checkpoints(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let step = |name: String| name.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    names.filter_map(step).max().map_or(String::new(), |last| format!("; name the folder checkpoint-{last} in it"))
}

/// `config.json` as it is read here.
struct Settings<'a> {
    folder: &'a Path,
    config: &'a Json,
}

impl Settings<'_> {
    /// The metadata that a GGUF file of the model would have.
    fn metadata(&self) -> Result<HashMap<String, Value>, Error> {
        let named = self.config["architectures"][0].as_str().unwrap_or_default();
        let Some((_, architecture)) = ARCHITECTURES.iter().find(|(name, _)| *name == named) else {
            let known = ARCHITECTURES.map(|(name, _)| name).join(", ");
            return Err(self.unsupported(format!("the architecture `{named}` ({known} are supported)")));
        };
        self.refuse_what_is_not_known()?;
        let n_heads = self.count("num_attention_heads")?;
        let mut metadata =
            HashMap::from([("general.architecture".to_owned(), Value::String((*architecture).to_owned()))]);
        let mut add = |key: &str, value: Value| drop(metadata.insert(format!("{architecture}.{key}"), value));
        add("block_count", Value::U64(self.count("num_hidden_layers")?));
        add("context_length", Value::U64(self.count("max_position_embeddings")?));
        add("embedding_length", Value::U64(self.count("hidden_size")?));
        add("feed_forward_length", Value::U64(self.count("intermediate_size")?));
        add("attention.head_count", Value::U64(n_heads));
        let n_kv_heads = self.config["num_key_value_heads"].as_u64().unwrap_or(n_heads);
        add("attention.head_count_kv", Value::U64(n_kv_heads));
        if let Some(n) = self.config["head_dim"].as_u64() {
            add("attention.key_length", Value::U64(n));
        }
        // The default of all three in `transformers`.
        let epsilon = self.config["rms_norm_eps"].as_f64().unwrap_or(1e-6);
        add("attention.layer_norm_rms_epsilon", Value::F64(epsilon));
        let rope = self.rope();
        let base = rope["rope_theta"].as_f64().or(self.config["rope_theta"].as_f64()).unwrap_or(10_000.0);
        add("rope.freq_base", Value::F64(base));
        match rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default") {
            "default" => {}
            "linear" => {
                add("rope.scaling.type", Value::String("linear".into()));
                add("rope.scaling.factor", Value::F64(rope["factor"].as_f64().unwrap_or(1.0)));
            }
            "llama3" => {
                let head_dim = self.config["head_dim"].as_u64().unwrap_or(self.count("hidden_size")? / n_heads);
                let factors = self.llama3(rope, base, head_dim)?;
                add("rope.factors", Value::Array(factors.into_iter().map(Value::F64).collect()));
            }
            other => return Err(self.unsupported(format!("rope scaling of the type `{other}`"))),
        }
        Ok(metadata)
    }

    fn refuse_what_is_not_known(&self) -> Result<(), Error> {
        let config = self.config;
        if !matches!(config["hidden_act"].as_str(), None | Some("silu")) {
            return Err(self.unsupported(format!("the activation {}", config["hidden_act"])));
        }
        if config["use_sliding_window"] == true || config["layer_types"].to_string().contains("sliding_attention") {
            return Err(self.unsupported("a sliding window of attention".into()));
        }
        if !config["quantization_config"].is_null() {
            return Err(self.unsupported("weights that were saved quantised: save them in BF16".into()));
        }
        let rotated = [&config["partial_rotary_factor"], &self.rope()["partial_rotary_factor"]];
        if rotated.iter().any(|share| share.as_f64().is_some_and(|share| share != 1.0)) {
            return Err(self.unsupported("heads that are rotated in part".into()));
        }
        Ok(())
    }

    /// Rope settings: in one object since transformers 5, scaling apart before.
    fn rope(&self) -> &Json {
        let whole = &self.config["rope_parameters"];
        if whole.is_object() { whole } else { &self.config["rope_scaling"] }
    }

    /// What each pair's frequency is divided by, as `transformers` does for `llama3`: not at all for short waves, by
    /// `factor` for long ones, in between smoothly.
    fn llama3(&self, rope: &Json, base: f64, head_dim: u64) -> Result<Vec<f64>, Error> {
        let number = |key: &str| {
            let found = rope[key].as_f64().filter(|x| x.is_finite() && *x > 0.0);
            found.ok_or_else(|| bad(self.folder, format!("{CONFIG} has no `{key}` above 0 in its rope settings")))
        };
        let factor = number("factor")?;
        let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
        let n_original = number("original_max_position_embeddings")?;
        let factor_of = |pair: u64| {
            let frequency = base.powf(-2.0 * pair as f64 / head_dim as f64);
            let waves = n_original * frequency / std::f64::consts::TAU;
            let share = ((waves - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - share) / factor + share)
        };
        Ok((0..head_dim / 2).map(factor_of).collect())
    }

    fn count(&self, key: &str) -> Result<u64, Error> {
        let found = self.config[key].as_u64().filter(|n| *n > 0);
        found.ok_or_else(|| bad(self.folder, format!("{CONFIG} has no number `{key}` above 0")))
    }

    fn unsupported(&self, what: String) -> Error {
        Error::Unsupported { path: self.folder.to_owned(), what }
    }
}

/// A tensor's name in GGUF files; none if it is not known.
fn name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => Some("token_embd.weight".to_owned()),
        "model.norm.weight" => Some("output_norm.weight".to_owned()),
        "lm_head.weight" => Some("output.weight".to_owned()),
        _ => of_layer(name),
    }
}

fn of_layer(name: &str) -> Option<String> {
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let layer: u32 = layer.parse().ok()?;
    let (part, kind) = part.rsplit_once('.')?;
    let part = match (part, kind) {
        ("input_layernorm", "weight") => "attn_norm",
        ("post_attention_layernorm", "weight") => "ffn_norm",
        ("self_attn.q_proj", "weight" | "bias") => "attn_q",
        ("self_attn.k_proj", "weight" | "bias") => "attn_k",
        ("self_attn.v_proj", "weight" | "bias") => "attn_v",
        ("self_attn.q_norm", "weight") => "attn_q_norm",
        ("self_attn.k_norm", "weight") => "attn_k_norm",
        ("self_attn.o_proj", "weight") => "attn_output",
        ("mlp.gate_proj", "weight") => "ffn_gate",
        ("mlp.up_proj", "weight") => "ffn_up",
        ("mlp.down_proj", "weight") => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.{kind}"))
}

/// A JSON file of the folder, if it is there.
fn json(folder: &Path, file: &str) -> Result<Option<Json>, Error> {
    let path = folder.join(file);
    match std::fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(json) => Ok(Some(json)),
            Err(error) => Err(bad(folder, format!("{file}: {error}"))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Io { path, error }),
    }
}

fn of_student(folder: &Path, error: gradus_template::Error) -> Error {
    match error {
        gradus_template::Error::Io { path, error } => Error::Io { path, error },
        gradus_template::Error::Malformed { path, problem } => Error::Folder { path, problem },
        gradus_template::Error::Missing { file, .. } => {
            bad(folder, format!("it has no {file}: save the tokenizer beside the model (`tokenizer.save_pretrained`)"))
        }
    }
}

fn bad(folder: &Path, problem: String) -> Error {
    Error::Folder { path: folder.to_owned(), problem }
}
