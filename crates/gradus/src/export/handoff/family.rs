//! Which of LLaMA-Factory's templates renders a student as its own chat template does.

/// The template's name in LLaMA-Factory 0.9.5 and whether it adds an empty thinking part to a reply without one; none if
/// the family is not known by the student's name.
pub(super) fn template(student: &str) -> Option<(&'static str, bool)> {
    let name = student.rsplit('/').next().unwrap_or(student).to_lowercase();
    let has = |part: &str| name.contains(part);
    // Models that see or hear have templates of their own.
    if ["-vl", "vision", "omni", "audio"].iter().any(|part| has(part)) {
        return None;
    }
    // First the names that hold another family's: R1-Distill-Qwen is no Qwen.
    let template = if has("deepseek-r1") {
        "deepseekr1"
    } else if has("qwen3.5-") {
        "qwen3_5"
    } else if has("qwen3-") && (has("instruct-2507") || has("qwen3-next") && has("instruct")) {
        "qwen3_nothink"
    } else if has("qwen3-") && !has("coder") && !has("next") {
        "qwen3"
    } else if has("qwen2.5-") || has("qwen2-") {
        "qwen"
    } else if has("llama-3") {
        "llama3"
    } else if has("smollm2-") {
        "smollm2"
    } else if has("gemma-2-") || has("gemma-3-1b") || has("gemma-3-270m") {
        "gemma2"
    } else if has("phi-4-mini-instruct") {
        "phi4_mini"
    } else if has("phi-3") {
        "phi"
    } else {
        return None;
    };
    Some((template, ["deepseekr1", "qwen3", "qwen3_5"].contains(&template)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_students_name_tells_its_family() {
        let name = |student| template(student).map(|(name, _)| name);
        for (student, expected) in [
            ("Qwen/Qwen2.5-7B-Instruct", Some("qwen")),
            ("Qwen/Qwen2.5-Math-7B", Some("qwen")),
            ("Qwen/Qwen3-8B", Some("qwen3")),
            ("Qwen/Qwen3-4B-Thinking-2507", Some("qwen3")),
            ("Qwen/Qwen3-4B-Instruct-2507", Some("qwen3_nothink")),
            ("Qwen/Qwen3.5-4B", Some("qwen3_5")),
            ("Qwen/Qwen3-VL-2B-Instruct", None),
            ("Qwen/Qwen3-Coder-30B-A3B-Instruct", None),
            ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", Some("deepseekr1")),
            ("meta-llama/Llama-3.1-8B-Instruct", Some("llama3")),
            ("HuggingFaceTB/SmolLM2-135M-Instruct", Some("smollm2")),
            ("models/mine", None),
            ("", None),
        ] {
            assert_eq!(name(student), expected, "{student}");
        }
        assert_eq!(template("Qwen/Qwen3-8B"), Some(("qwen3", true)));
        assert_eq!(template("Qwen/Qwen2.5-7B"), Some(("qwen", false)));
    }
}
