//! What the files for trainers say.

use super::*;

const FORMATS: [&str; 11] = [
    "trl",
    "trl_text",
    "dpo",
    "kto",
    "trl_grpo",
    "llama_factory",
    "dpo_llama_factory",
    "axolotl",
    "stepwise",
    "verl_sft",
    "openrlhf",
];

fn facts() -> HandoffFacts<'static> {
    HandoffFacts {
        student: "Qwen/Qwen2.5-7B-Instruct",
        rows: 2_000,
        max_length: 17_408,
        counted: Counted::Teacher,
        max_answer: Some(16_000),
        keep_order: false,
        training: Training::Small2k,
        seed: 7,
    }
}

fn file(format: &str, name: &str, facts: &HandoffFacts<'_>) -> String {
    let files = files(format, facts);
    files.into_iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("{format} has no {name}")).1
}

#[test]
fn every_limit_is_spelled_out() {
    for (format, name, limit) in [
        ("trl", "train_sft.py", "\nMAX_LENGTH = 17408\n"),
        ("trl_text", "train_sft.py", "\nMAX_LENGTH = 17408\n"),
        ("dpo", "train_dpo.py", "\nMAX_LENGTH = 17408\n"),
        ("kto", "train_kto.py", "\nMAX_LENGTH = 17408\n"),
        ("trl_grpo", "train_grpo.py", "\nMAX_ANSWER = 16000\n"),
        ("llama_factory", "sft.yaml", "\ncutoff_len: 17408\n"),
        ("dpo_llama_factory", "dpo.yaml", "\ncutoff_len: 17408\n"),
        ("axolotl", "axolotl.yaml", "\nsequence_len: 17408\n"),
        ("stepwise", "axolotl_prm.yaml", "\nsequence_len: 18432\n"),
        ("verl_sft", "train_sft.sh", " data.max_length=17408 "),
        ("verl", "train_grpo.sh", " data.max_response_length=16000 "),
        ("openrlhf", "train_sft.sh", " --data.max_len 17408 "),
    ] {
        let text = file(format, name, &facts());
        assert!(text.contains(limit), "{format}/{name}: {text}");
        assert!(!text.contains("{{") && !text.contains("{%"), "{format}/{name}: {text}");
        assert!(text.ends_with('\n') && !text.contains("\n\n\n\n"), "{format}/{name}: {text}");
    }
}

#[test]
fn warm_up_is_an_integer_and_a_tenth_of_the_steps() {
    let released = HandoffFacts { training: Training::Omnithought, ..facts() };
    // 2,000 rows, eight a step: 250 steps an epoch.
    assert!(file("trl", "train_sft.py", &facts()).contains("\nWARMUP_STEPS = 150\n"));
    assert!(file("llama_factory", "sft.yaml", &released).contains("\nwarmup_steps: 75\n"));
    assert!(file("axolotl", "axolotl.yaml", &released).contains("\nlearning_rate: 2.0e-5\n"));
    assert!(file("verl_sft", "train_sft.sh", &facts()).contains(" optim.lr_warmup_steps=150 "));
    // Eight questions a step, eight replies to each.
    assert!(file("trl_grpo", "train_grpo.py", &facts()).contains("\nWARMUP_STEPS = 25\n"));
}

#[test]
fn a_curriculum_keeps_its_order_where_the_trainer_can() {
    let kept = HandoffFacts { keep_order: true, ..facts() };
    for (format, name, order) in [
        ("trl", "train_sft.py", "\nKEEP_ORDER = True\n"),
        ("dpo", "train_dpo.py", "\nKEEP_ORDER = True\n"),
        ("trl_grpo", "train_grpo.py", "\nKEEP_ORDER = True\n"),
        ("llama_factory", "sft.yaml", "\ndisable_shuffling: true\n"),
        ("axolotl", "axolotl.yaml", "\ncurriculum_sampling: true\n"),
        ("verl", "train_grpo.sh", " data.shuffle=False "),
        ("verl_sft", "train_sft.sh", "always shuffles"),
        ("openrlhf", "train_sft.sh", "always shuffles"),
    ] {
        assert!(file(format, name, &kept).contains(order), "{format}/{name}");
        assert!(!file(format, name, &facts()).contains(order), "{format}/{name}");
    }
}

#[test]
fn a_template_that_is_not_known_is_left_to_the_user() {
    assert!(file("llama_factory", "sft.yaml", &facts()).contains("\ntemplate: qwen\n"));
    let unknown = HandoffFacts { student: "models/mine", ..facts() };
    let text = file("llama_factory", "sft.yaml", &unknown);
    assert!(text.contains("\n# template: FILL IN\n") && !text.contains("\ntemplate:"), "{text}");
}

#[test]
fn what_is_yaml_or_json_can_be_read_whatever_the_student_is_called() {
    for student in ["Qwen/Qwen3-8B", "it's \"mine\": {x}\n# $(reboot)"] {
        let facts = HandoffFacts { student, keep_order: true, ..facts() };
        for format in FORMATS {
            for (name, text) in files(format, &facts) {
                let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
                if ending == Some("yaml") {
                    let yaml: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                    let model = yaml.get("model_name_or_path").or(yaml.get("base_model")).unwrap();
                    assert_eq!(model, student, "{format}/{name}");
                    assert!(yaml["learning_rate"].is_f64(), "{yaml}");
                }
                if ending == Some("json") {
                    let json: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(json.as_object().unwrap().len(), 1);
                }
            }
        }
    }
    let odd = HandoffFacts { student: "a b; reboot", ..facts() };
    assert!(file("verl_sft", "train_sft.sh", &odd).contains(" model.path='a b; reboot' "));
    assert!(file("openrlhf", "train_sft.sh", &odd).contains(" --model.model_name_or_path 'a b; reboot' "));
}

#[test]
fn every_file_has_its_command_and_a_format_without_rows_has_none() {
    let export = Path::new("run dir/export");
    for format in FORMATS.into_iter().chain(["verl"]) {
        let command = command(format, export, &facts()).unwrap();
        assert!(command.contains("'run dir"), "{command}");
        let none = HandoffFacts { rows: 0, ..facts() };
        assert!(super::command(format, export, &none).is_none() && files(format, &none).is_empty());
    }
    assert_eq!(command("messages", export, &facts()), None);
    assert_eq!(command("trl", export, &facts()).unwrap(), "gradus train --run-dir 'run dir' --script sft");
    assert_eq!(
        command("llama_factory", export, &facts()).unwrap(),
        "(cd 'run dir/export/llama_factory' && llamafactory-cli train sft.yaml)"
    );
}
