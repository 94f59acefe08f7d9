//! The engine on a tiny model as training writes it: the same model, whatever it is packed in.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod tiny;

use std::path::Path;

use gradus_gguf::{Engine, EngineConfig, Precision};
use gradus_model::{Generate, Message, Model, Sampling, Speaker};
use serde_json::{Value, json};
use tiny::Tiny;
use tiny::folder::{Dtype, replace, safetensors};

fn load(path: &Path, precision: Precision) -> Engine {
    Engine::load(path, &EngineConfig { n_threads: 1, precision, ..EngineConfig::default() }).unwrap()
}

/// Greatest difference of log-probability between a folder in `f32` and the forward pass on paper.
async fn difference(tiny: &Tiny, folder: &Path) -> f32 {
    let engine = load(folder, Precision::F32);
    let tokens: Vec<u32> = (0..100_u32).map(|i| i * i % 251).collect();
    let expected = tiny.logprobs(&tokens);
    let scores = engine.prompt_logprobs(&tokens).await.unwrap();
    let differences =
        (1..tokens.len()).map(|i| (scores[i].measured.unwrap().logprob - expected[i - 1][tokens[i] as usize]).abs());
    differences.fold(0.0, f32::max)
}

#[tokio::test]
async fn logprobs_are_those_of_the_plain_forward_pass() {
    for architecture in ["llama", "qwen2"] {
        for (dtype, n_files) in [(Dtype::F32, 1), (Dtype::Bf16, 1), (Dtype::F16, 3)] {
            let tiny = Tiny::new(architecture).rounded(dtype);
            let folder = tiny.write_folder(dtype, n_files);
            let most = difference(&tiny, folder.path()).await;
            assert!(most < 0.01, "{architecture} {dtype:?}: {most}");
        }
    }
}

#[tokio::test]
async fn scaled_frequencies_are_read_in_both_forms() {
    let mut tiny = Tiny::new("llama");
    tiny.scaled = true;
    let folder = tiny.write_folder(Dtype::F32, 1);
    let most = difference(&tiny, folder.path()).await;
    assert!(most < 0.01, "{most}");
    // As transformers 4 writes them.
    let mut config = tiny.config();
    let rope = config.as_object_mut().unwrap().remove("rope_parameters").unwrap();
    config["rope_theta"] = rope["rope_theta"].clone();
    config["rope_scaling"] = rope;
    replace(folder.path(), "config.json", &config);
    let most = difference(&tiny, folder.path()).await;
    assert!(most < 0.01, "{most}");
    let plain = Tiny::new("llama");
    assert!(difference(&plain, folder.path()).await > 0.1, "the scaling matters here");
}

#[tokio::test]
async fn a_folder_reads_and_writes_as_the_gguf_file_of_the_same_model() {
    for architecture in ["llama", "qwen2"] {
        let tiny = Tiny::new(architecture);
        let (folder, (_other, file)) = (tiny.write_folder(Dtype::F32, 1), tiny.write());
        let (ours, theirs) = (load(folder.path(), Precision::Q8), load(&file, Precision::Q8));
        for text in ["the 12 ships<|im_end|>\n\n  the", "I'll say: na\u{ef}ve 中文\t1234", ""] {
            assert_eq!(ours.tokenizer().encode(text), theirs.tokenizer().encode(text), "{architecture} {text:?}");
            assert_eq!(ours.tokenizer().decode(&ours.tokenizer().encode(text)), text);
        }
        let messages = [Message { role: Speaker::User, content: "the 12".into() }];
        assert_eq!(ours.render(&messages).unwrap(), theirs.render(&messages).unwrap());
        let request = Generate {
            messages: messages.to_vec(),
            sampling: Sampling { temperature: 0.9, top_p: 0.95, top_k: None, min_p: None, max_tokens: 8, stop: vec![] },
            seed: 1,
            extra: serde_json::Map::new(),
            request_id: "r".into(),
            source_ids: [].into(),
            attempt: 0,
        };
        let answer: Value = serde_json::from_slice(&ours.generate(&request).await.unwrap().body).unwrap();
        assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{answer}");
        let end = ours.tokenizer().encode("<|im_end|>")[0];
        assert!(ours.tokenizer().is_end(end) && ours.tokenizer().is_control(end));
    }
}

#[test]
fn the_revision_is_that_of_weights_and_settings() {
    let tiny = Tiny::new("llama");
    let folder = tiny.write_folder(Dtype::F32, 1);
    let revision = || load(folder.path(), Precision::Q8).identity().revision.clone();
    let first = revision();
    assert!(first.starts_with("safetensors:"), "{first}");
    assert_eq!(first, revision());
    let mut config = tiny.config();
    config["rope_theta"] = json!(20_000.0);
    replace(folder.path(), "config.json", &config);
    assert_ne!(first, revision());
    let name = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(load(folder.path(), Precision::Q8).identity().name, name);
}

/// Loads a folder after something was done to it.
fn check(expected: &str, change: impl FnOnce(&Path, Value)) {
    let tiny = Tiny::new("qwen2");
    let folder = tiny.write_folder(Dtype::F32, 1);
    change(folder.path(), tiny.config());
    let error = Engine::load(folder.path(), &EngineConfig::default()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_is_missing_or_not_supported_is_named() {
    let remove = |name: &'static str| move |folder: &Path, _: Value| std::fs::remove_file(folder.join(name)).unwrap();
    check("it has no config.json", remove("config.json"));
    check("it has no tokenizer.json", remove("tokenizer.json"));
    check("neither model.safetensors nor", remove("model.safetensors"));
    check("name the folder checkpoint-20 in it", |folder, _| {
        std::fs::remove_file(folder.join("model.safetensors")).unwrap();
        for name in ["checkpoint-3", "checkpoint-20"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
    });
    check("LoRA adapter alone: merge it", |folder, _| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("adapter_model.safetensors")).unwrap();
    });
    check("its weights are a pickle", |folder, _| {
        std::fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    });
    for (key, value, expected) in [
        ("architectures", json!(["MambaForCausalLM"]), "the architecture `MambaForCausalLM`"),
        ("num_hidden_layers", json!(null), "no number `num_hidden_layers`"),
        ("num_hidden_layers", json!(3), "it has no tensor `blk.2."),
        ("hidden_size", json!(128), "128"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 2}), "rope scaling of the type `yarn`"),
        ("quantization_config", json!({"bits": 4}), "saved quantised"),
        ("use_sliding_window", json!(true), "sliding window"),
        ("hidden_act", json!("gelu"), "the activation \"gelu\""),
    ] {
        check(expected, |folder, mut config| {
            config[key] = value;
            replace(folder, "config.json", &config);
        });
    }
    check("a tensor called `model.layers.0.self_attn.o_proj.bias`", |folder, _| {
        let bias = ("model.layers.0.self_attn.o_proj.bias".to_owned(), vec![64], vec![0; 256]);
        std::fs::write(folder.join("model.safetensors"), safetensors(Dtype::F32, &[bias])).unwrap();
    });
    check("no file beside it", |folder, _| {
        replace(folder, "model.safetensors.index.json", &json!({"weight_map": {"a": "../x.safetensors"}}));
    });
}

#[test]
fn a_cut_or_mutated_file_is_an_error_and_never_a_large_allocation() {
    let tiny = Tiny::new("llama");
    let folder = tiny.write_folder(Dtype::Bf16, 1);
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let n_header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    for n in [0, 7, 8, 100, 8 + n_header, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..n]).unwrap();
        assert!(Engine::load(folder.path(), &EngineConfig::default()).is_err(), "{n}");
    }
    for length in [u64::MAX, 1 << 40, bytes.len() as u64] {
        std::fs::write(&path, [&length.to_le_bytes(), &bytes[8..]].concat()).unwrap();
        let error = Engine::load(folder.path(), &EngineConfig::default()).unwrap_err().to_string();
        assert!(error.contains("is declared"), "{error}");
    }
}
