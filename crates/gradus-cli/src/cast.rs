//! Who plays which role: from a config to resolved stages and the models that they ask.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus::annotate::{Rater, Templates};
use gradus::attempt::Source;
use gradus::config::{Config, ModelConfig, SamplingConfig};
use gradus::import::ratings::RecordedRatings;
use gradus::judge::AnswerJudge;
use gradus::prompt::Prompts;
use gradus::run::{Plan, Resolved, Until};
use gradus::score::Scorer;
use gradus::words::{Speaking, TemplateError};
use gradus_model::name::ModelName;
use gradus_model::replay::Replay;
use gradus_model::{Identity, Model};
use tokio::runtime::Runtime;

use crate::error::CommandError;
use crate::models::{self, Env};
use crate::prices;
use crate::session::Configured;
use crate::world::Role;

/// The stages of a config with the models that they ask.
pub(crate) struct Cast {
    /// Resolved stages.
    pub(crate) plan: Plan,
    /// Every model, by its role.
    pub(crate) roles: HashMap<Source, Role>,
}

/// The student and the teachers whom a run up to `until` asks.
pub(crate) fn players(config: &Config, until: Until) -> Result<(&ModelConfig, &[ModelConfig]), CommandError> {
    let student = config.student.as_ref().ok_or_else(|| {
        CommandError::usage("no `student` is set")
            .hint("set `student: openai:URL#MODEL`, `replay:FILE#MODEL`, `gguf:PATH` or `smollm2`")
    })?;
    if until < Until::Distil {
        return Ok((student, &[]));
    }
    if config.teacher.is_empty() {
        return Err(CommandError::usage("no `teacher` is set")
            .hint("set `teacher:` to a stronger model; the student itself works too (self-distillation)"));
    }
    Ok((student, &config.teacher))
}

/// Resolves the stages of a config; `open` opens the model of a role.
pub(crate) fn cast(
    configured: &Configured,
    until: Until,
    open: impl Fn(&str, &ModelConfig) -> Result<(Identity, Role), CommandError>,
) -> Result<Cast, CommandError> {
    let prompts = Prompts::load(&configured.config.prompts, &configured.base)
        .map_err(|error| CommandError::usage(error).hint("`{question}` marks the place of the question"))?;
    let (student, teachers) = players(&configured.config, until)?;
    let config = &configured.config;
    let mut company = Company { config, open: &open, opened: Vec::new(), roles: HashMap::new() };
    let student = company.engage(Source::Student, "student", student)?;
    let scorer = config
        .scored_by()?
        .filter(|_| until >= Until::Grade)
        .map(|scored_by| {
            let model = company.engage(Source::Grader, scored_by.role, scored_by.model)?.identity;
            Scorer::new(&config.scoring, &scored_by, model, &configured.base)
                .map_err(|error| wording(&error, "`{question}` and `{steps}` (or `{attempt}`) mark the places"))
        })
        .transpose()?;
    let teachers: Vec<Resolved> = teachers
        .iter()
        .zip(0..)
        .map(|(teacher, at)| company.engage(Source::Teacher(at), &format!("teacher[{at}]"), teacher))
        .collect::<Result<_, _>>()?;
    for (at, teacher) in teachers.iter().enumerate() {
        if let Some(other) = teachers[..at].iter().position(|other| other == teacher) {
            let message = format!("`teacher[{at}]` is the same model as `teacher[{other}]`, asked alike");
            return Err(CommandError::usage(message).hint("`distil.tries` asks the same one more often"));
        }
    }
    let plan = Plan::new(config, student, teachers, Arc::new(prompts));
    let mut plan = match scorer {
        Some(scorer) => plan.scored_by(scorer),
        None => plan,
    };
    if let Some(judge) = config.judge.as_ref().filter(|_| config.judging.asks_judge() && until >= Until::Grade) {
        speaks("judge", judge)?;
        let model = company.engage(Source::Judge, "judge", judge)?;
        let judge = AnswerJudge::new(&config.judging, || speaking(model), &configured.base);
        plan = plan.judged_by(
            judge.map_err(|error| wording(&error, "`{question}`, `{reference}` and `{answer}` mark the places"))?,
        );
    }
    if config.annotate.student_fit && until >= Until::Annotate {
        let (role, model) = match &config.measurer {
            Some(measurer) => ("measurer", measurer),
            None => ("student", players(config, until)?.0),
        };
        let model = company.engage(Source::Measurer, role, model)?;
        plan = plan.measured_by(config, model);
    }
    let rates = config.annotate.asks_judge() || !config.annotate.recorded.is_empty();
    if rates && until >= Until::Annotate {
        let templates = Templates::load(&config.annotate.prompts, &configured.base)
            .map_err(|error| wording(&error, "`{question}` and `{cot}` mark the places"))?;
        let mut raters = Vec::new();
        for (source, model) in [(Source::Judge, &config.judge), (Source::SecondJudge, &config.second_judge)] {
            let Some(model) = model else { continue };
            let second = source == Source::SecondJudge;
            let role = if second { "second_judge" } else { "judge" };
            speaks(role, model)?;
            let model = speaking(company.engage(source, role, model)?);
            if raters.iter().any(|rater: &Rater| is_alike(&rater.speaking, &model)) {
                return Err(CommandError::usage("`second_judge` is the same model as `judge`, asked alike")
                    .hint("name another model; `annotate.ratings` asks the same one more often"));
            }
            raters.push(Rater::new(&config.annotate, second, model, templates.clone()));
        }
        let recorded = recorded_ratings(config, &configured.base, &company.roles)?;
        plan = plan.rated_by(raters, recorded);
    }
    Ok(Cast { plan, roles: company.roles })
}

/// Ratings that came with imported chains of thought: about answers of recorded teachers.
fn recorded_ratings(
    config: &Config,
    base: &Path,
    roles: &HashMap<Source, Role>,
) -> Result<Vec<Arc<RecordedRatings>>, CommandError> {
    if config.annotate.recorded.is_empty() {
        return Ok(Vec::new());
    }
    let mut recordings: Vec<(u16, &Identity, &Replay)> = Vec::new();
    for (source, role) in roles {
        let (Source::Teacher(at), Some(recording)) = (source, role.model.recording()) else { continue };
        let identity = role.model.identity();
        if recordings.iter().any(|(_, other, _)| other.name == identity.name && *other != identity) {
            let name = &identity.name;
            return Err(CommandError::usage(format!(
                "`annotate.recorded` cannot tell two recordings of `{name}` apart"
            ))
            .hint("import their files together: then one recording holds all answers of a teacher"));
        }
        recordings.push((*at, identity, recording));
    }
    let open = |file: &PathBuf| {
        let path = base.join(file);
        let mut ratings = RecordedRatings::open(&path).map_err(|error| {
            CommandError::usage(format!("`annotate.recorded`: {error}"))
                .hint("`gradus import` writes such a file")
                .hint("relative paths start at the folder of the config, also those of `--set`")
        })?;
        if let (n_bad @ 1.., Some(first)) = ratings.bad() {
            eprintln!(
                "warning: `annotate.recorded`: {n_bad} rows of {} are no ratings; the first: {first}",
                path.display()
            );
        }
        for (at, identity, recording) in &recordings {
            ratings.place(*at, &identity.name, recording.samples());
        }
        let n_else = ratings.len() - ratings.n_placed();
        if n_else > 0 || ratings.repeated() > 0 {
            eprintln!(
                "warning: `annotate.recorded`: {}: of {} ratings {n_else} are about no answer of a recorded teacher here; \
                 {} rows repeat an earlier one",
                path.display(),
                ratings.len(),
                ratings.repeated()
            );
        }
        Ok(Arc::new(ratings))
    };
    config.annotate.recorded.iter().map(open).collect()
}

/// The models that are opened so far.
struct Company<'a, Open> {
    config: &'a Config,
    open: &'a Open,
    opened: Vec<(&'a ModelConfig, Identity, Role)>,
    roles: HashMap<Source, Role>,
}

impl<'a, Open: Fn(&str, &ModelConfig) -> Result<(Identity, Role), CommandError>> Company<'a, Open> {
    /// Gives a role to a model. One that plays two roles is loaded once.
    fn engage(&mut self, source: Source, role: &str, model: &'a ModelConfig) -> Result<Resolved, CommandError> {
        prices::check(self.config, role, model)?;
        let (identity, asked) = match self.opened.iter().find(|(other, ..)| same_connection(other, model)) {
            Some((_, identity, asked)) => (identity.clone(), Role { price: model.price.clone(), ..asked.clone() }),
            None => (self.open)(role, model)?,
        };
        self.opened.push((model, identity.clone(), asked.clone()));
        self.roles.insert(source, asked);
        Ok(Resolved { identity, system: model.system.clone(), extra: model.extra.clone() })
    }
}

/// Refuses a recording as judge: it knows a reply by its question and number, and not what it was about.
fn speaks(role: &str, model: &ModelConfig) -> Result<(), CommandError> {
    if !matches!(model.model.parse(), Ok(ModelName::Replay { .. })) {
        return Ok(());
    }
    Err(CommandError::usage(format!("`{role}` is a recording, which cannot tell one chain of thought from another"))
        .hint("name a model that answers; `annotate.recorded` takes ratings that are there already"))
}

/// Whether two judges would get the very same requests.
fn is_alike(one: &Speaking, other: &Speaking) -> bool {
    one.model == other.model && one.system == other.system && one.extra == other.extra
}

/// A model as it judges in words; who it judges for adds how it samples.
fn speaking(model: Resolved) -> Speaking {
    Speaking {
        model: model.identity,
        system: model.system,
        extra: model.extra,
        sampling: (&SamplingConfig::default()).into(),
        structured: false,
        tries: 1,
    }
}

fn wording(error: &TemplateError, hint: &str) -> CommandError {
    CommandError::usage(error).hint(hint)
}

/// Whether two roles can be asked through one connection: all but what goes into each request is the same.
fn same_connection(one: &ModelConfig, other: &ModelConfig) -> bool {
    let connection =
        |model: &ModelConfig| ModelConfig { system: None, extra: serde_json::Map::new(), price: None, ..model.clone() };
    connection(one) == connection(other)
}

/// The model of a role without a word to its server, as far as its name says all.
pub(crate) fn name_role(
    role: &str,
    model: &ModelConfig,
    env: &Env,
    runtime: &Runtime,
) -> Result<(Identity, Role), CommandError> {
    let (asked, _) = runtime.block_on(models::connect(role, model, env))?;
    Ok(named(asked, model))
}

pub(crate) fn named(asked: Arc<dyn Model>, model: &ModelConfig) -> (Identity, Role) {
    let identity = asked.identity().clone();
    (identity, Role { model: asked, context: model.context, price: model.price.clone(), returned: None, absent: None })
}
