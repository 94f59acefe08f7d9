//! What was asked in which role, what it cost and how long it took: the ledger's part of the figures.
//!
//! The ledger knows models, not roles. A model that plays one role has all its attempts there; where student and
//! teacher are the same model, the attempts in the table `attempts` are the student's, who asks first.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use gradus_model::Identity;

use crate::attempt::{Key, Source};
use crate::driver::Failures;
use crate::ledger::{LedgerError, Reader, Try};
use crate::metrics::{LedgerFacts, LedgerUsage, StageTime};
use crate::run::{Phase, Plan};
use crate::score::Scorer;
use crate::tables::{AttemptRow, TableError, TableReader, path};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The figures of everything in a ledger. `failures` tells who was asked in vain in this session.
///
/// # Errors
/// If the ledger or the table of attempts cannot be read.
pub fn ledger_facts(
    reader: &Reader,
    tables: &Path,
    plan: &Plan,
    failures: &Failures,
) -> Result<LedgerFacts, UsageError> {
    let roles = Roles::new(tables, plan, failures)?;
    let mut facts = LedgerFacts::default();
    let mut used: BTreeMap<(Role, String), LedgerUsage> = BTreeMap::new();
    let mut clocks: BTreeMap<Role, Clock> = BTreeMap::new();
    // A run of a program tells no role: it belongs to the phase in which it fell.
    let mut phase = Role::Student;
    reader.tries(|tried| {
        if tried.settled.as_ref().is_some_and(|(kind, ..)| kind == "execution") {
            facts.n_executions += u64::from(tried.settles);
            clocks.entry(phase).or_default().add(&tried);
            return;
        }
        let (role, model) = roles.of(&tried);
        if matches!(role, Role::Student | Role::Teacher | Role::Grader(_) | Role::Judge(_)) {
            if !matches!(role, Role::Grader(_) | Role::Judge(_)) {
                phase = role;
            }
            clocks.entry(role).or_default().add(&tried);
        }
        let usage = used.entry((role, model.to_owned())).or_insert_with(|| LedgerUsage {
            role: role.name().to_owned(),
            model: model.to_owned(),
            ..LedgerUsage::default()
        });
        count(usage, tried);
    })?;
    facts.usage = used.into_values().collect();
    facts.durations = clocks
        .into_iter()
        .map(|(role, clock)| {
            let stage = match role {
                Role::Teacher => Phase::Distil.name(),
                Role::Grader(_) => "grade",
                Role::Judge(_) => "judges",
                Role::Student | Role::Former | Role::Unsettled => Phase::Probe.name(),
            };
            StageTime { stage: stage.to_owned(), seconds: clock.busy_ms as f64 / 1000.0 }
        })
        .collect();
    Ok(facts)
}

fn count(usage: &mut LedgerUsage, tried: Try) {
    usage.n_requests += 1;
    usage.n_attempts += u64::from(tried.settles);
    usage.n_uncounted += u64::from(tried.settles && tried.completion_tokens.is_none());
    usage.prompt_tokens += tried.prompt_tokens.unwrap_or(0);
    usage.completion_tokens += tried.completion_tokens.unwrap_or(0);
    if let Some(cost) = tried.cost_usd {
        usage.paid_usd = Some(usage.paid_usd.unwrap_or(0.0) + cost);
    }
    if tried.fault != "ok" {
        *usage.faults.entry(tried.fault).or_default() += 1;
    }
}

/// Who asked, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Student,
    /// Who scores wrong attempts: `prm` or `judge`.
    Grader(&'static str),
    Teacher,
    /// Who judges answers and chains of thought: `judge` or `second_judge`. A judge that scores too is in that role.
    Judge(&'static str),
    /// A model that the config no longer names.
    Former,
    /// Never settled, and not asked for in this session.
    Unsettled,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Grader(name) | Self::Judge(name) => name,
            Self::Teacher => "teacher",
            Self::Former => "former",
            Self::Unsettled => "unsettled",
        }
    }
}

struct Roles<'a> {
    student: &'a Identity,
    scorer: Option<&'a Scorer>,
    /// Who judges answers and chains of thought, by role.
    judges: Vec<(&'static str, &'a Identity)>,
    teachers: Vec<&'a Identity>,
    failures: &'a Failures,
    /// Starts of the student's keys, where a teacher is the same model.
    students: Option<HashSet<[u8; 8]>>,
}

impl<'a> Roles<'a> {
    fn new(tables: &Path, plan: &'a Plan, failures: &'a Failures) -> Result<Self, TableError> {
        let student = &plan.probe.asker.model;
        let teachers: Vec<&Identity> = plan.distil.askers.iter().map(|asker| &asker.model).collect();
        let mut students = None;
        if teachers.contains(&student) {
            let keys = students.insert(HashSet::new());
            if path::<AttemptRow>(tables).exists() {
                for row in TableReader::<AttemptRow>::open(tables)? {
                    keys.extend(start(&row?.attempt_id));
                }
            }
        }
        let judges = plan.judges().map(|(role, speaking, _)| (role, &speaking.model)).collect();
        Ok(Self { student, scorer: plan.grade.scorer.as_ref(), judges, teachers, failures, students })
    }

    fn of<'t>(&'t self, tried: &'t Try) -> (Role, &'t str) {
        let Some((kind, model, revision)) = &tried.settled else {
            return match self.failures.source(&tried.key) {
                Some(Source::Student | Source::Measurer) => (Role::Student, self.student.name.as_str()),
                Some(Source::Teacher(at)) => (Role::Teacher, self.teachers[usize::from(at)].name.as_str()),
                Some(Source::Grader) => {
                    self.scorer.map_or((Role::Unsettled, ""), |scorer| (Role::Grader(scorer.role), &scorer.model.name))
                }
                Some(Source::Judge) => self.judge("judge"),
                Some(Source::SecondJudge) => self.judge("second_judge"),
                None => (Role::Unsettled, ""),
            };
        };
        let is = |identity: &Identity| identity.name == *model && identity.revision == *revision;
        if kind == "scoring" {
            let scorer = self.scorer.filter(|scorer| is(&scorer.model)).map(|scorer| Role::Grader(scorer.role));
            let judge = || self.judges.iter().find(|(_, judge)| is(judge)).map(|(role, _)| Role::Judge(role));
            // A student is measured, which is no generation of its own.
            let student = || is(self.student).then_some(Role::Student);
            return (scorer.or_else(judge).or_else(student).unwrap_or(Role::Former), model);
        }
        let role = match (is(self.student), self.teachers.iter().any(|teacher| is(teacher))) {
            (true, true) => {
                let asked = |keys: &HashSet<[u8; 8]>| keys.contains(&short(&tried.key));
                if self.students.as_ref().is_some_and(asked) { Role::Student } else { Role::Teacher }
            }
            (true, false) => Role::Student,
            (false, true) => Role::Teacher,
            (false, false) => Role::Former,
        };
        (role, model.as_str())
    }
}

impl Roles<'_> {
    fn judge(&self, role: &'static str) -> (Role, &str) {
        let judge = self.judges.iter().find(|(known, _)| *known == role);
        judge.map_or((Role::Unsettled, ""), |(role, judge)| (Role::Judge(role), judge.name.as_str()))
    }
}

/// The part of a key that ids in tables show.
fn short(key: &Key) -> [u8; 8] {
    key.0[..8].try_into().expect("a key has 32 bytes")
}

/// The same from an id.
fn start(id: &str) -> Option<[u8; 8]> {
    u64::from_str_radix(id, 16).ok().map(u64::to_be_bytes)
}

/// Time covered by intervals that come in the order of their starts.
#[derive(Default)]
struct Clock {
    end_ms: i64,
    busy_ms: i64,
}

impl Clock {
    fn add(&mut self, tried: &Try) {
        let end = tried.started_ms + tried.took_ms.max(0);
        self.busy_ms += (end - self.end_ms.max(tried.started_ms)).max(0);
        self.end_ms = self.end_ms.max(end);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, ModelConfig};
    use crate::ledger::{Entry, Form, Ledger, Request, Settled, body_hash, compress};
    use crate::prompt::Prompts;
    use crate::run::Resolved;
    use crate::tables::TableWriter;
    use crate::work::Keys;

    /// One try, settled for `model` if one is named.
    fn entry(key: u8, n_try: u32, start: i64, took: i64, model: Option<(&str, &str)>, fault: &str) -> Entry {
        let key = Key([key; 32]);
        let tokens = (fault == "ok").then_some(10);
        Entry {
            request: Request {
                key,
                n_try,
                started_ms: start,
                took_ms: took,
                fault: fault.into(),
                status: None,
                message: String::new(),
                prompt_tokens: tokens,
                completion_tokens: tokens,
                cost_usd: tokens.map(|_| 0.5),
                body: None,
            },
            attempt: model.map(|(kind, model)| Settled {
                keys: Keys { payload: key, attempt: key },
                kind: if kind == "execution" { "execution" } else { "generation" },
                model: model.into(),
                revision: String::new(),
                number: 0,
                payload: compress(b"{}"),
                form: Form::ChatJson,
                finish: "stop".into(),
                body: compress(b"{}"),
                body_hash: body_hash(b"{}"),
            }),
        }
    }

    fn plan(student: &str, teacher: &str) -> Plan {
        let resolved = |name: &str| Resolved {
            identity: Identity { name: name.into(), revision: String::new() },
            system: None,
            extra: serde_json::Map::new(),
        };
        let config = Config { student: Some(ModelConfig::named(student)), ..Config::default() };
        let prompts = Arc::new(Prompts::load(&config.prompts, Path::new("")).unwrap());
        Plan::new(&config, resolved(student), vec![resolved(teacher)], prompts)
    }

    fn facts(entries: Vec<Entry>, plan: &Plan, folder: &Path) -> LedgerFacts {
        let ledger = Ledger::open(&folder.join("ledger.sqlite")).unwrap();
        for entry in entries {
            ledger.record(entry).blocking_recv().unwrap().unwrap();
        }
        ledger_facts(&ledger.reader().unwrap(), folder, plan, &Failures::default()).unwrap()
    }

    #[test]
    fn tries_are_counted_once_in_the_role_that_asked() {
        let folder = tempfile::tempdir().unwrap();
        let generation = |model| Some(("generation", model));
        let entries = vec![
            entry(1, 0, 0, 100, None, "rate_limited"),
            entry(1, 1, 200, 100, generation("s"), "ok"),
            entry(2, 0, 250, 100, generation("s"), "ok"),
            entry(3, 0, 1000, 1000, Some(("execution", "python")), "ok"),
            entry(4, 0, 5000, 1000, generation("t"), "ok"),
            entry(5, 0, 5500, 100, generation("t"), "ok"),
            entry(6, 0, 9000, 100, generation("of last week"), "ok"),
            entry(7, 0, 9000, 100, None, "endpoint_error"),
        ];
        let facts = facts(entries, &plan("s", "t"), folder.path());
        let seen: Vec<_> = facts
            .usage
            .iter()
            .map(|usage| (usage.role.as_str(), usage.model.as_str(), usage.n_attempts, usage.n_requests))
            .collect();
        let want =
            [("student", "s", 2, 3), ("teacher", "t", 2, 2), ("former", "of last week", 1, 1), ("unsettled", "", 0, 1)];
        assert_eq!(seen, want);
        assert_eq!(facts.usage[0].faults, [("rate_limited".to_owned(), 1)].into());
        assert_eq!((facts.usage[0].prompt_tokens, facts.usage[0].paid_usd), (20, Some(1.0)));
        assert_eq!((facts.usage[3].paid_usd, facts.n_executions), (None, 1));
        // 100 ms of the try in vain, 200..350, and the program's second; then 5000..6000.
        let times: Vec<_> = facts.durations.iter().map(|time| (time.stage.as_str(), time.seconds)).collect();
        assert_eq!(times, [("probe", 1.25), ("distil", 1.0)]);
    }

    #[test]
    fn a_model_that_teaches_itself_has_its_probes_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut attempts = TableWriter::<AttemptRow>::create(folder.path()).unwrap();
        attempts
            .push(AttemptRow {
                attempt_id: Key([1; 32]).short(),
                question_id: "q".into(),
                model: "m".into(),
                attempt: 0,
                reasoning: None,
                answer: None,
                finish: "stop".into(),
                prompt_tokens: None,
                completion_tokens: None,
                cost_usd: None,
            })
            .unwrap();
        attempts.finish().unwrap();
        let entries = [1, 2, 3].map(|key| entry(key, 0, 0, 1, Some(("generation", "m")), "ok")).to_vec();
        let facts = facts(entries, &plan("m", "m"), folder.path());
        let seen: Vec<_> = facts.usage.iter().map(|usage| (usage.role.as_str(), usage.n_attempts)).collect();
        assert_eq!(seen, [("student", 1), ("teacher", 2)]);
    }
}
