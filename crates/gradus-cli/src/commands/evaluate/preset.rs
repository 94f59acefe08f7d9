//! Settings of well-known benchmarks, each with where it comes from.

/// Settings of a benchmark. The words of the prompt are ours in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Preset {
    /// AIME: 64 attempts
    Aime,
    /// MATH-500: 4 attempts
    Math500,
    /// GPQA and other choice questions: 8 attempts, options in an order keyed by the question
    Gpqa,
    /// LiveCodeBench and the like: 16 attempts, 6 s per test
    Livecodebench,
}

impl Preset {
    /// Settings by path. Temperature, top_p and limit are those of DeepSeek-R1's report (arXiv 2501.12948, section on
    /// evaluation: 0.6, 0.95, 32,768 tokens, between 4 and 64 responses per question).
    pub(crate) fn settings(self) -> Vec<String> {
        let attempts = match self {
            // 64 responses per question, as in that report and in lighteval's `aime24_avg`.
            Self::Aime => 64,
            // The least of that report; lighteval asks once. Which of its numbers it used here is not stated: a guess.
            Self::Math500 => 4,
            // Within the same range: a guess. lighteval asks once.
            Self::Gpqa => 8,
            // As lighteval's `lcb:codegeneration`.
            Self::Livecodebench => 16,
        };
        let mut settings = vec![
            format!("probe.attempts={attempts}"),
            "probe.sampling.temperature=0.6".to_owned(),
            "probe.sampling.top_p=0.95".to_owned(),
            "probe.sampling.max_tokens=32768".to_owned(),
        ];
        if self == Self::Livecodebench {
            // LiveCodeBench's own runner: 6 s and 4 GB per test.
            settings.extend(["judging.cpu_ms=6000", "judging.memory_bytes=4294967296"].map(str::to_owned));
        }
        settings
    }

    /// Whether options are put into an order of their own (lighteval shuffles GPQA's at random; ours are keyed).
    pub(crate) fn shuffles(self) -> bool {
        self == Self::Gpqa
    }
}
