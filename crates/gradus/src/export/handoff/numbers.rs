//! With which numbers a training begins, and where they are from.

use serde::Serialize;

use crate::config::Training;

/// What a trainer is told, on one device.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Numbers {
    /// Where they are from, in one line.
    about: &'static str,
    /// With a point and an exponent: YAML reads `1e-5` as a text.
    learning_rate: &'static str,
    epochs: u64,
    scheduler: &'static str,
    weight_decay: f64,
    /// Steps of growing rate, as a share of all.
    warmup_share: f64,
    pub(super) batch: u64,
    accumulation: u64,
}

/// For fine-tuning on chains of thought.
pub(super) fn sft(training: Training) -> Numbers {
    let released = Numbers {
        about: "",
        learning_rate: "2.0e-5",
        epochs: 3,
        scheduler: "cosine",
        weight_decay: 0.05,
        warmup_share: 0.1,
        batch: 1,
        accumulation: 8,
    };
    match training {
        Training::Small2k => Numbers {
            about: "`small-2k`: told of a training on 2,000 rows (arXiv 2504.11919) and not confirmed; a guess",
            learning_rate: "1.0e-5",
            epochs: 6,
            weight_decay: 0.0,
            ..released
        },
        Training::Omnithought => Numbers {
            about: "`omnithought`: as released with arXiv 2505.10937; the batch is its example's",
            ..released
        },
        Training::EasydistillExample => Numbers {
            about: "`easydistill-example`: EasyDistill's example for arXiv 2505.10937; its 4,096 tokens give way to the length above",
            ..released
        },
    }
}

/// For preference pairs.
pub(super) fn dpo() -> Numbers {
    Numbers { about: "Rate and beta are TRL's defaults for DPO; one epoch is a guess", ..tuned(1, 8) }
}

/// For labelled replies; the trainer compares within a batch, so it holds several.
pub(super) fn kto() -> Numbers {
    Numbers { about: "Rate and beta are TRL's defaults for KTO; one epoch is a guess", ..tuned(4, 2) }
}

/// For questions with references: eight questions a step, eight replies to each.
pub(super) fn grpo() -> Numbers {
    Numbers {
        about: "The rate is TRL's default for GRPO; one epoch and eight questions a step are guesses",
        ..tuned(8, 8)
    }
}

/// For steps with labels.
pub(super) fn prm() -> Numbers {
    Numbers { about: "All guesses", learning_rate: "1.0e-5", ..tuned(1, 8) }
}

fn tuned(batch: u64, accumulation: u64) -> Numbers {
    Numbers {
        about: "",
        learning_rate: "1.0e-6",
        epochs: 1,
        scheduler: "cosine",
        weight_decay: 0.0,
        warmup_share: 0.1,
        batch,
        accumulation,
    }
}

impl Numbers {
    /// Steps that so many rows take on one device, the last of an epoch perhaps with fewer; each row is written `copies`
    /// times into a batch.
    pub(super) fn steps(&self, rows: u64, copies: u64) -> u64 {
        (rows * copies).div_ceil(self.batch * self.accumulation) * self.epochs
    }

    /// Steps of growing rate: a tenth, rounded up. An integer, for trainers differ in whether they know shares.
    pub(super) fn warmup_steps(&self, rows: u64, copies: u64) -> u64 {
        self.steps(rows, copies).div_ceil(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_steps_warms_up() {
        let small = sft(Training::Small2k);
        assert_eq!(small.steps(2_000, 1), 1_500);
        assert_eq!(small.warmup_steps(2_000, 1), 150);
        // 1 step an epoch, 3 epochs.
        assert_eq!(sft(Training::Omnithought).warmup_steps(3, 1), 1);
        assert_eq!(grpo().steps(9, 8), 2);
    }
}
