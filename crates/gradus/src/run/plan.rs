//! The stages of a run with whom they ask and in which words.

use std::sync::Arc;

use crate::annotate::{Annotate, Rater};
use crate::config::{Config, SamplingConfig};
use crate::distil::{Allowance, Distil};
use crate::further::Further;
use crate::grade::Grading;
use crate::import::ratings::RecordedRatings;
use crate::judge::{AnswerJudge, Judge};
use crate::measured::Measurer;
use crate::probe::Probe;
use crate::prompt::{Asker, Prompts};
use crate::score::Scorer;
use crate::words::Speaking;

/// The stages of a run, resolved: models have identities, prompts are loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Seed of every draw.
    pub seed: u64,
    /// How the student is probed.
    pub probe: Probe,
    /// How its attempts become a level.
    pub grade: Grading,
    /// How chains of thought are asked for; no askers if no teacher is set.
    pub distil: Distil,
    /// What is found out about them; no raters unless [`Self::rated_by`] adds some.
    pub annotate: Annotate,
}

/// A model of the config, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// What it is called in keys.
    pub identity: gradus_model::Identity,
    /// System prompt.
    pub system: Option<String>,
    /// Further fields of the request body.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl Plan {
    /// The plan of a config, given what its models turned out to be; [`Self::scored_by`] adds who scores.
    pub fn new(config: &Config, student: Resolved, teachers: Vec<Resolved>, prompts: Arc<Prompts>) -> Self {
        let asker = |model: Resolved, sampling: &crate::config::SamplingConfig| Asker {
            model: model.identity,
            system: model.system,
            sampling: sampling.into(),
            extra: model.extra,
            prompts: prompts.clone(),
        };
        let languages = config.code.table().expect("a config is checked when it is read");
        let judge = Judge { languages: Arc::new(languages), ..Judge::from(&config.judging) };
        Self {
            seed: config.seed,
            probe: Probe {
                asker: asker(student, &config.probe.sampling),
                attempts: config.probe.attempts,
                adaptive: config.probe.adaptive,
                grade: config.grade.clone(),
                longer: Probe::longer(config),
                judge: judge.clone(),
            },
            grade: Grading { settings: config.grade.clone(), scorer: None },
            distil: Distil {
                askers: teachers.into_iter().map(|teacher| asker(teacher, &config.distil.sampling)).collect(),
                correct: config.distil.correct,
                tries: config.distil.tries,
                allowance: Allowance {
                    max_usd: config.distil.max_usd_per_question,
                    max_tokens: config.distil.max_tokens_per_question,
                    prices: config.teacher.iter().map(|model| model.price.as_ref().map(Into::into)).collect(),
                },
                further: Further::of(&config.distil),
                judge,
            },
            annotate: Annotate {
                settings: config.annotate.clone(),
                min_correct: config.distil.min_correct,
                ..Annotate::default()
            },
        }
    }

    /// The models that judge answers and chains of thought, each with its role (`judge` or `second_judge`) and where
    /// its sampling stands in the config.
    pub fn judges(&self) -> impl Iterator<Item = (&'static str, &Speaking, fn(&Config) -> &SamplingConfig)> {
        let of_answers: fn(&Config) -> &SamplingConfig = |config| &config.judging.sampling;
        let of_cots: fn(&Config) -> &SamplingConfig = |config| &config.annotate.sampling;
        let answers = self.probe.judge.model.iter().map(move |judge| ("judge", &judge.speaking, of_answers));
        answers.chain(self.annotate.raters.iter().map(move |rater| (rater.role(), &rater.speaking, of_cots)))
    }

    /// The same with a model that judges answers.
    #[must_use]
    pub fn judged_by(mut self, judge: Option<AnswerJudge>) -> Self {
        self.probe.judge.model.clone_from(&judge);
        self.distil.judge.model = judge;
        self
    }

    /// The same with a model that measures how well chains of thought fit the student.
    #[must_use]
    pub fn measured_by(mut self, config: &Config, model: Resolved) -> Self {
        self.annotate.measurer = Some(Measurer {
            model: model.identity,
            system: model.system,
            extra: model.extra,
            prompts: self.probe.asker.prompts.clone(),
            think: config.export.think,
            settings: config.measure.clone(),
        });
        self
    }

    /// The same with judges of chains of thought, and with ratings that came along.
    #[must_use]
    pub fn rated_by(mut self, raters: Vec<Rater>, recorded: Vec<Arc<RecordedRatings>>) -> Self {
        self.annotate.raters = raters;
        self.annotate.recorded = recorded;
        self
    }

    /// The same with a model that scores wrong attempts.
    #[must_use]
    pub fn scored_by(mut self, scorer: Scorer) -> Self {
        self.grade.scorer = Some(scorer);
        self
    }
}
