//! What is in the bank? Reads its files, drops what cannot be asked or checked, and joins duplicates.
//!
//! The bank is read twice: once to find duplicates, of which only ids stay in memory, and then each time its
//! questions are wanted, one at a time. Nothing disappears silently: every row is kept, joined, beyond the
//! limit, or dropped with file, line, field and reason, and the counts add up.
//!
//! How files become rows is in `rows`, how a row becomes a question in `record`, `answer` and `unit_tests`.

use std::collections::hash_map::Entry::Vacant;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_sandbox::Tests;
use gradus_verify::{Answer, Form, Outcome, verify};

use crate::config::Config;
use crate::judge;
use crate::question::{Kind, Question, QuestionId};
use crate::work::Reason;
pub use clean::{Finding, Found, Hygiene};
use overrides::{Change, Override};
use record::{Mapping, Parsed};
pub use rows::missing_hint;
use rows::{BankFile, Row, Rows};

mod answer;
pub(crate) mod cell;
mod clean;
mod overrides;
pub(crate) mod record;
pub(crate) mod rows;
mod unit_tests;

/// Longest row in bytes; a longer one is dropped without being held in memory.
pub(crate) const MAX_ROW: usize = 16 << 20;

/// Longest reference that is remembered as it is, and so can be compared with that of a duplicate, in bytes.
const MAX_REMEMBERED: usize = 1024;

/// Longest reference that is shown as it is, in bytes.
const MAX_SHOWN: usize = 80;

/// Most references listed for either side of a contradiction.
const MAX_LISTED: usize = 4;

/// A bank, read once: what is kept, what was dropped, what was joined.
#[derive(Debug)]
pub struct Ingest {
    banks: Vec<Bank>,
    entries: Vec<Entry>,
    joined: HashMap<usize, Joined>,
    max_row: usize,
    dropped: Vec<Dropped>,
    findings: Vec<Finding>,
    summary: Summary,
}

/// Banks that are no files at their path: the one shipped with Gradus, and those that the caller has fetched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elsewhere<'a> {
    /// The bank (JSONL) that the path `builtin` stands for.
    pub builtin: Option<&'a [u8]>,
    /// Where the banks with a path `hf:OWNER/NAME/FILE` lie now.
    pub fetched: Option<&'a HashMap<PathBuf, PathBuf>>,
}

/// Why a bank cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IngestError {
    /// What was expected, what was found, where.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A row or question that is not in the bank, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The bank's file, as the config writes it.
    pub file: Arc<str>,
    /// The line the row starts on, from 1; for Parquet, the number of the row.
    pub line: u64,
    /// Source ids as far as the row could be read, those of its duplicates included.
    pub source_ids: Vec<String>,
    /// The field at fault, if it is one.
    pub field: Option<String>,
    /// A fixed word (`too_long`, `bad_utf8`, `bad_json`, `bad_csv`, `wrong_type`, `no_question`,
    /// `unknown_kind`, `bad_options`, `bad_reference`, `bad_tests`, `no_reference`, `other_reference`,
    /// `override_excluded`, `near_duplicate`, `contaminated`) and what exactly.
    pub reason: Reason,
}

impl Dropped {
    /// Which item and field, and what is wrong with it, in one sentence.
    pub fn sentence(&self) -> String {
        let id = self.source_ids.first().map(|id| format!("{id}: ")).unwrap_or_default();
        let field = self.field.as_ref().map(|field| format!("`{field}`: ")).unwrap_or_default();
        format!("{id}{field}{}", self.reason.detail)
    }
}

/// Counts of a bank. Rows = kept + over the limit + dropped + duplicates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Rows read; blank lines are none.
    pub rows: u64,
    /// Questions in the bank.
    pub kept: u64,
    /// Questions that the config's `limit` leaves out.
    pub over_limit: u64,
    /// Rows and questions dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Rows joined to an earlier one with the very same text and options.
    pub exact_duplicates: u64,
    /// Rows joined to an earlier one that differs in white space or Unicode form alone.
    pub normalised_duplicates: u64,
    /// Duplicates that are dropped because none of their references is equal to one of the question they repeat.
    /// Those that an override decides are joined instead.
    pub contradictions: Vec<Contradiction>,
    /// Source ids that stood for another question already and got a suffix.
    pub renamed: Vec<Renamed>,
    /// How often an optional field was left out because of its type.
    pub ignored_fields: BTreeMap<&'static str, u64>,
    /// Overrides that changed a question.
    pub overrides: Vec<AppliedOverride>,
    /// Overrides that changed nothing: id, and why not.
    pub unused_overrides: Vec<(String, String)>,
    /// What hygiene found, if it was looked for.
    pub hygiene: Option<Hygiene>,
    /// The same counts for each file.
    pub files: Vec<FileSummary>,
}

/// Counts of one file. Rows = kept + over the limit + dropped + duplicates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// The file, as the config writes it.
    pub file: Arc<str>,
    /// Rows read.
    pub rows: u64,
    /// Questions whose first row stands in it.
    pub kept: u64,
    /// Those that the limit leaves out.
    pub over_limit: u64,
    /// Rows and questions dropped.
    pub dropped: u64,
    /// Rows joined to an earlier one, of this file or of one before.
    pub duplicates: u64,
}

/// A duplicate with another answer. The answer that came first stands, unless an override decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The question.
    pub question: QuestionId,
    /// Its first source id, and the one of the duplicate.
    pub source_ids: [String; 2],
    /// What is accepted, and what the duplicate says: a few of each, long ones shortened.
    pub references: [Vec<String>; 2],
}

/// A source id that got a suffix, so that every id finds one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The bank's file, as the config writes it.
    pub file: Arc<str>,
    /// The line of the row.
    pub line: u64,
    /// The id in the file.
    pub from: String,
    /// The id in the run.
    pub to: String,
}

/// A correction that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedOverride {
    /// The id by which the overrides file names the question.
    pub id: String,
    /// The question.
    pub question: QuestionId,
    /// References before; long ones are shortened.
    pub before: Vec<String>,
    /// References after; none if the question is excluded.
    pub after: Option<Vec<String>>,
    /// The reason that the file gives.
    pub why: Option<String>,
}

/// Why a row or a field is unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) field: Option<String>,
    pub(crate) reason: Reason,
}

#[derive(Debug)]
struct Bank {
    file: BankFile,
    mapping: Mapping,
}

/// A question, as far as it is remembered between the passes.
#[derive(Debug)]
struct Entry {
    id: QuestionId,
    bank: usize,
    row: u64,
    line: u64,
    source_ids: Vec<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    OverLimit,
    Dropped,
}

/// What a question has beyond its first row.
#[derive(Debug, Default)]
struct Joined {
    references: Vec<String>,
    tests: Option<Arc<Tests>>,
    /// References that replace all others.
    corrected: Option<Vec<String>>,
}

impl IngestError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Ingest {
    /// Reads the bank that a config names. Relative paths start at `base`.
    ///
    /// # Errors
    /// If a file or the overrides cannot be read, a file has no rows, or no question is left. Single rows
    /// never stop it.
    pub fn open(config: &Config, base: &Path) -> Result<Self, IngestError> {
        Self::open_with(config, base, Elsewhere::default())
    }

    /// The same with banks that stand elsewhere than their path says.
    ///
    /// # Errors
    /// As [`Ingest::open`].
    pub fn open_with(config: &Config, base: &Path, elsewhere: Elsewhere<'_>) -> Result<Self, IngestError> {
        Self::read(config, base, elsewhere, MAX_ROW)
    }

    fn read(config: &Config, base: &Path, elsewhere: Elsewhere<'_>, max_row: usize) -> Result<Self, IngestError> {
        if config.bank.is_empty() {
            let hint = "set `bank: questions.jsonl`; `bank: builtin` is the one shipped with Gradus";
            return Err(IngestError::new("the config names no bank", hint));
        }
        let overrides = match &config.overrides {
            Some(path) => overrides::read(base, path)?,
            None => Vec::new(),
        };
        let languages = Arc::new(config.code.table().expect("a config is checked when it is read"));
        let banks = config.bank.iter().map(|bank| {
            let file = match elsewhere.builtin {
                Some(bytes) if bank.path.as_os_str() == "builtin" => BankFile::memory("builtin", bytes),
                _ => BankFile::find(base, &bank.path, elsewhere.fetched)?,
            };
            let mapping = Mapping::new(bank, file.stem(), languages.clone());
            Ok(Bank { file, mapping })
        });
        let banks = banks.collect::<Result<Vec<_>, _>>()?;
        let mut pass = Pass::new(&overrides);
        for (i, bank) in banks.iter().enumerate() {
            pass.read(i, bank, max_row)?;
        }
        let (entries, joined, dropped, summary) = pass.finish(config, &banks);
        let mut ingest = Self { banks, entries, joined, max_row, dropped, findings: Vec::new(), summary };
        ingest.clean(&config.hygiene, base, elsewhere)?;
        if ingest.summary.kept == 0 {
            return Err(nothing_left(&ingest.summary, &ingest.dropped));
        }
        Ok(ingest)
    }

    /// The questions in the bank's order, each once, where it stands first, with the source ids and accepted
    /// references of all its duplicates. Level, subject, source, licence, tolerance and starter are the first
    /// row's; so are the tests, unless it has none.
    ///
    /// The files are read again, a row at a time; an item is an error, and the last, if they changed since.
    pub fn questions(&self) -> impl Iterator<Item = Result<Question, IngestError>> {
        Questions { ingest: self, next: 0, rows: None }
    }

    /// What was dropped, in the bank's order.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// What hygiene found, in the bank's order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Counts.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What a user should look at, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // Contradictions and what hygiene found have warnings of their own.
        let told = ["other_reference", "near_duplicate", "contaminated"];
        let mut broken = self.dropped.iter().filter(|dropped| !told.contains(&dropped.reason.code));
        if let Some(first) = broken.next() {
            warnings.push(format!(
                "{} left out (`dropped` lists all), first line {} of {}: {}",
                counted(1 + broken.count(), "row"),
                first.line,
                first.file,
                first.sentence()
            ));
        }
        warnings.extend(self.summary.warnings());
        warnings
    }
}

impl Summary {
    /// All duplicates.
    pub fn duplicates(&self) -> u64 {
        self.exact_duplicates + self.normalised_duplicates
    }

    fn count_duplicate(&mut self, exact: bool) {
        if exact {
            self.exact_duplicates += 1;
        } else {
            self.normalised_duplicates += 1;
        }
    }

    /// What a user should look at beside what was dropped, a sentence each.
    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = Vec::new();
        if self.rows >= 10 && self.duplicates() * 2 > self.rows {
            warnings.push(format!(
                "{} of {} rows repeat a question: check that `bank.fields.question` names the column that is meant",
                self.duplicates(),
                self.rows
            ));
        }
        for (id, why) in &self.unused_overrides {
            warnings.push(format!("the override of `{id}` changes nothing: {why}"));
        }
        if let [first, ..] = self.renamed.as_slice() {
            warnings.push(format!(
                "{} had an id that stands for another question already, and got a suffix, first `{}` at line {} of {}",
                counted(self.renamed.len(), "row"),
                first.to,
                first.line,
                first.file
            ));
        }
        if let [first, ..] = self.contradictions.as_slice() {
            warnings.push(format!(
                "{} left out for another answer than the question repeated there has, first `{}` ({}) against `{}` ({}); \
                 `overrides` can say which is right",
                counted(self.contradictions.len(), "row"),
                first.source_ids[1],
                first.references[1].join(", "),
                first.source_ids[0],
                first.references[0].join(", ")
            ));
        }
        warnings.extend(self.hygiene.iter().flat_map(Hygiene::warnings));
        for (field, n) in &self.ignored_fields {
            warnings.push(format!("`{field}` is not what it should be in {n} rows, and left out there"));
        }
        warnings
    }
}

/// A count with its noun: `1 row`, `2 rows`.
fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn nothing_left(summary: &Summary, dropped: &[Dropped]) -> IngestError {
    let reasons: Vec<String> = summary.dropped.iter().map(|(code, n)| format!("{n} {code}")).collect();
    let mut message = format!("no question is left of {} rows ({})", summary.rows, reasons.join(", "));
    if let Some(first) = dropped.first() {
        message += &format!("; line {} of `{}`: {}", first.line, first.file, first.sentence());
    }
    let hint = match dropped.first().map(|first| first.reason.code) {
        None => "`limit` must be at least 1",
        Some("no_question" | "wrong_type" | "bad_options" | "unknown_kind") => "name the columns under `bank.fields`",
        Some("no_reference") => {
            "name the column of the answer in `bank.fields.answer`, or set `keep_unverifiable: true`"
        }
        Some("near_duplicate" | "contaminated") => {
            "set `hygiene.decontaminate.action: report`, or take the bank itself out of `against`"
        }
        Some("override_excluded") => "the overrides exclude everything that is left",
        Some(_) => "check that the file's content is what its extension says",
    };
    IngestError::new(message, hint)
}

/// The first pass over the bank.
struct Pass<'a> {
    overrides: HashMap<&'a str, (usize, &'a Override)>,
    /// For each entry, what only this pass needs.
    drafts: Vec<Draft>,
    entries: Vec<Entry>,
    by_id: HashMap<QuestionId, usize>,
    /// Which entry a source id finds, by hash.
    owners: HashMap<u64, usize>,
    /// The suffix that a source id got for an entry, and the next one it gets.
    suffixes: HashMap<(u64, usize), u32>,
    next_suffix: HashMap<u64, u32>,
    joined: HashMap<usize, Joined>,
    disputes: Vec<Dispute>,
    dropped: Vec<(usize, Dropped)>,
    summary: Summary,
}

/// A duplicate whose references differ from those of the question; an override may still decide.
struct Dispute {
    at: usize,
    exact: bool,
    bank: usize,
    dropped: Dropped,
    contradiction: Contradiction,
}

struct Draft {
    kind: Kind,
    raw_hash: u64,
    references: Vec<Remembered>,
    has_tests: bool,
    lacking: Option<Box<Bad>>,
    /// Overrides that name it, by position in their file.
    overrides: Vec<usize>,
}

impl<'a> Pass<'a> {
    fn new(overrides: &'a [Override]) -> Self {
        Self {
            overrides: overrides.iter().enumerate().map(|(i, item)| (item.id.as_str(), (i, item))).collect(),
            drafts: Vec::new(),
            entries: Vec::new(),
            by_id: HashMap::new(),
            owners: HashMap::new(),
            suffixes: HashMap::new(),
            next_suffix: HashMap::new(),
            joined: HashMap::new(),
            disputes: Vec::new(),
            dropped: Vec::new(),
            summary: Summary::default(),
        }
    }

    fn read(&mut self, i: usize, bank: &Bank, max_row: usize) -> Result<(), IngestError> {
        let file = &bank.file.name;
        let mut rows = Rows::open(&bank.file, max_row, |column| bank.mapping.wants(column))?;
        let mut counts = FileSummary { file: file.clone(), rows: 0, kept: 0, over_limit: 0, dropped: 0, duplicates: 0 };
        while let Some(Row { row, line, record }) = rows.next()? {
            counts.rows += 1;
            let parsed = match record {
                Ok(record) => bank.mapping.parse(record, row).map_err(|rejected| (rejected.source_id, rejected.bad)),
                Err(bad) => Err((None, bad)),
            };
            match parsed {
                Ok(parsed) => counts.duplicates += u64::from(self.add(parsed, (i, file), row, line)),
                Err((source_id, bad)) => {
                    let (field, reason) = (bad.field, bad.reason);
                    let source_ids = source_id.into_iter().collect();
                    self.dropped.push((i, Dropped { file: file.clone(), line, source_ids, field, reason }));
                }
            }
        }
        if counts.rows == 0 {
            let hint = "check how it was made, or take it out of `bank`";
            return Err(IngestError::new(format!("bank `{file}` is empty"), hint));
        }
        self.summary.rows += counts.rows;
        self.summary.files.push(counts);
        Ok(())
    }

    /// Takes a question; tells whether it is joined to an earlier one.
    fn add(&mut self, parsed: Parsed, (bank, file): (usize, &Arc<str>), row: u64, line: u64) -> bool {
        let Parsed { question, lacking, ignored } = parsed;
        for field in ignored {
            *self.summary.ignored_fields.entry(field).or_default() += 1;
        }
        let raw_hash = hash(std::iter::once(&question.text).chain(&question.options));
        let remembered: Vec<_> = question.references.iter().map(|reference| Remembered::of(reference)).collect();
        let known = self.by_id.get(&question.id).copied();
        let at = known.unwrap_or(self.entries.len());
        let claimed: Vec<(String, bool)> = question.source_ids.iter().map(|id| self.claim(id, at)).collect();
        let mut overrides: Vec<usize> = Vec::new();
        for (original, (source_id, _)) in question.source_ids.iter().zip(&claimed) {
            if source_id != original {
                let (file, from, to) = (file.clone(), original.clone(), source_id.clone());
                self.summary.renamed.push(Renamed { file, line, from, to });
            }
            overrides.extend(self.overrides.get(source_id.as_str()).map(|(i, _)| *i));
        }
        let source_id = claimed[0].0.clone();
        let new_ids = claimed.into_iter().filter(|(_, new)| *new).map(|(id, _)| id);
        if known.is_none() && !self.overrides.is_empty() {
            overrides.extend(self.overrides.get(question.id.to_string().as_str()).map(|(i, _)| *i));
        }
        let lacking = lacking.map(Box::new);
        let has_tests = question.tests.is_some();

        if known.is_none() {
            self.by_id.insert(question.id, at);
            let source_ids = new_ids.collect();
            self.entries.push(Entry { id: question.id, bank, row, line, source_ids, state: State::Kept });
            let kind = question.kind;
            self.drafts.push(Draft { kind, raw_hash, references: remembered, has_tests, lacking, overrides });
            return false;
        }
        let (entry, draft) = (&mut self.entries[at], &mut self.drafts[at]);
        let exact = raw_hash == draft.raw_hash;
        draft.overrides.extend(overrides);
        entry.source_ids.extend(new_ids);
        if !agree(&question, &draft.references, &remembered) {
            let listed =
                |references: &[Remembered]| references.iter().take(MAX_LISTED).map(Remembered::shown).collect();
            let references: [Vec<String>; 2] = [listed(&draft.references), listed(&remembered)];
            let source_ids = [entry.source_ids[0].clone(), source_id.clone()];
            let detail = format!(
                "repeats `{}` with another reference: {} instead of {}; the one that came first stands",
                source_ids[0],
                references[1].join(", "),
                references[0].join(", ")
            );
            self.disputes.push(Dispute {
                at,
                exact,
                bank,
                dropped: Dropped {
                    file: file.clone(),
                    line,
                    source_ids: vec![source_id],
                    field: Some("answer".to_owned()),
                    reason: Reason::new("other_reference", detail),
                },
                contradiction: Contradiction { question: entry.id, source_ids, references },
            });
            return false;
        }
        self.summary.count_duplicate(exact);
        for (reference, remembered) in question.references.into_iter().zip(remembered) {
            if !draft.references.contains(&remembered) {
                draft.references.push(remembered);
                self.joined.entry(at).or_default().references.push(reference);
            }
        }
        if has_tests && !draft.has_tests {
            draft.has_tests = true;
            self.joined.entry(at).or_default().tests = question.tests;
        }
        if lacking.is_none() {
            draft.lacking = None;
        }
        true
    }

    /// The source id, with a suffix if it finds another entry than this one already; and whether it is new.
    fn claim(&mut self, source_id: &str, at: usize) -> (String, bool) {
        let whole = hash([source_id]);
        match self.owners.get(&whole) {
            None => {
                self.owners.insert(whole, at);
                return (source_id.to_owned(), true);
            }
            Some(owner) if *owner == at => return (source_id.to_owned(), false),
            Some(_) => {}
        }
        if let Some(n) = self.suffixes.get(&(whole, at)) {
            return (format!("{source_id}#{n}"), false);
        }
        let next = self.next_suffix.entry(whole).or_insert(2);
        loop {
            let n = *next;
            *next += 1;
            let suffixed = format!("{source_id}#{n}");
            let owner = self.owners.entry(hash([&suffixed]));
            let free = matches!(owner, Vacant(_));
            if *owner.or_insert(at) == at {
                self.suffixes.insert((whole, at), n);
                return (suffixed, free);
            }
        }
    }

    fn finish(
        mut self,
        config: &Config,
        banks: &[Bank],
    ) -> (Vec<Entry>, HashMap<usize, Joined>, Vec<Dropped>, Summary) {
        let excluded = self.apply_overrides();
        let decided: HashSet<QuestionId> = self.summary.overrides.iter().map(|applied| applied.question).collect();
        for Dispute { at, exact, bank, dropped, contradiction } in std::mem::take(&mut self.disputes) {
            if decided.contains(&self.entries[at].id) {
                self.summary.count_duplicate(exact);
                self.summary.files[bank].duplicates += 1;
            } else {
                self.dropped.push((bank, dropped));
                self.summary.contradictions.push(contradiction);
            }
        }
        let drafts = std::mem::take(&mut self.drafts);
        let limit = config.limit.unwrap_or(u64::MAX);
        for (at, (entry, draft)) in self.entries.iter_mut().zip(drafts).enumerate() {
            let bad = excluded.get(&at).map(|why| Bad::row("override_excluded", *why)).or_else(|| {
                let corrected = self.joined.get(&at).is_some_and(|joined| joined.corrected.is_some());
                let lacking = draft.lacking.filter(|_| !corrected)?;
                (!(config.keep_unverifiable && lacking.reason.code == "no_reference")).then_some(*lacking)
            });
            let counts = &mut self.summary.files[entry.bank];
            if let Some(bad) = bad {
                entry.state = State::Dropped;
                self.joined.remove(&at);
                let file = banks[entry.bank].file.name.clone();
                let source_ids = std::mem::take(&mut entry.source_ids);
                let (field, reason) = (bad.field, bad.reason);
                self.dropped.push((entry.bank, Dropped { file, line: entry.line, source_ids, field, reason }));
            } else if self.summary.kept >= limit {
                entry.state = State::OverLimit;
                self.summary.over_limit += 1;
                counts.over_limit += 1;
            } else {
                self.summary.kept += 1;
                counts.kept += 1;
            }
        }
        self.dropped.sort_by_key(|(bank, dropped)| (*bank, dropped.line));
        for (bank, dropped) in &self.dropped {
            self.summary.files[*bank].dropped += 1;
            *self.summary.dropped.entry(dropped.reason.code).or_default() += 1;
        }
        let dropped = self.dropped.into_iter().map(|(_, dropped)| dropped).collect();
        (self.entries, self.joined, dropped, self.summary)
    }

    /// Makes the corrections; gives the excluded entries with the reason.
    fn apply_overrides(&mut self) -> HashMap<usize, &'a str> {
        let mut items: Vec<(usize, &Override)> = self.overrides.values().copied().collect();
        items.sort_by_key(|(i, _)| *i);
        let mut targets: HashMap<usize, usize> = HashMap::new();
        for (at, draft) in self.drafts.iter().enumerate() {
            targets.extend(draft.overrides.iter().map(|i| (*i, at)));
        }
        let mut excluded = HashMap::new();
        let mut changed: HashMap<usize, &str> = HashMap::new();
        for (i, item) in items {
            let mut unused = |why: String| self.summary.unused_overrides.push((item.id.clone(), why));
            let Some(&at) = targets.get(&i) else {
                unused("no question has this id".into());
                continue;
            };
            if let Some(other) = changed.get(&at) {
                unused(format!("`{other}` changes the same question already"));
                continue;
            }
            let (entry, draft) = (&self.entries[at], &self.drafts[at]);
            let after = match &item.change {
                Change::Exclude => {
                    excluded.insert(at, item.why.as_deref().unwrap_or("excluded by the overrides file"));
                    None
                }
                Change::References(_) if draft.kind == Kind::Code => {
                    unused("a code question has tests, not references".into());
                    continue;
                }
                Change::References(references) => {
                    let mut references = references.clone();
                    if draft.kind == Kind::Choice {
                        for letter in &mut references {
                            letter.make_ascii_uppercase();
                        }
                        if references.iter().any(|letter| !matches!(letter.as_bytes(), [b'A'..=b'Z'])) {
                            unused("the reference of a choice question is a letter".into());
                            continue;
                        }
                    }
                    self.joined.entry(at).or_default().corrected = Some(references.clone());
                    Some(references)
                }
            };
            changed.insert(at, &item.id);
            self.summary.overrides.push(AppliedOverride {
                id: item.id.clone(),
                question: entry.id,
                before: draft.references.iter().map(Remembered::shown).collect(),
                after,
                why: item.why.clone(),
            });
        }
        excluded
    }
}

/// The second pass over the bank.
struct Questions<'a> {
    ingest: &'a Ingest,
    next: usize,
    rows: Option<(usize, Rows<'a>)>,
}

impl Iterator for Questions<'_> {
    type Item = Result<Question, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entries = &self.ingest.entries;
        let at = self.next + entries.get(self.next..)?.iter().position(|entry| entry.state == State::Kept)?;
        self.next = at + 1;
        let question = self.question(at);
        if question.is_err() {
            self.next = entries.len();
        }
        Some(question)
    }
}

impl Questions<'_> {
    fn question(&mut self, at: usize) -> Result<Question, IngestError> {
        let ingest = self.ingest;
        let entry = &ingest.entries[at];
        let bank = &ingest.banks[entry.bank];
        if self.rows.as_ref().is_none_or(|(bank, _)| *bank != entry.bank) {
            let rows = Rows::open(&bank.file, ingest.max_row, |column| bank.mapping.wants(column))?;
            self.rows = Some((entry.bank, rows));
        }
        let (_, rows) = self.rows.as_mut().expect("opened above");
        let parsed = loop {
            match rows.next()? {
                Some(row) if row.row < entry.row => {}
                Some(Row { record: Ok(record), row, .. }) if row == entry.row => {
                    break bank.mapping.parse(record, row).ok().filter(|parsed| parsed.question.id == entry.id);
                }
                _ => break None,
            }
        };
        let Some(Parsed { mut question, .. }) = parsed else {
            let (name, line) = (&bank.file.name, entry.line);
            let message = format!("bank `{name}` changed while it was used: line {line} holds another question now");
            return Err(IngestError::new(message, "let nothing write to the bank during a run, and start again"));
        };
        question.source_ids = entry.source_ids.as_slice().into();
        if let Some(joined) = ingest.joined.get(&at) {
            for reference in &joined.references {
                if !question.references.contains(reference) {
                    question.references.push(reference.clone());
                }
            }
            if let Some(corrected) = &joined.corrected {
                question.references.clone_from(corrected);
            }
            if question.tests.is_none() {
                question.tests.clone_from(&joined.tests);
            }
        }
        Ok(question)
    }
}

pub(crate) fn hash<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// A reference as it is kept between rows: itself, or of a long one the start and a hash of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remembered {
    Whole(String),
    Long { start: String, n_bytes: usize, hash: u64 },
}

impl Remembered {
    fn of(reference: &str) -> Self {
        if reference.len() <= MAX_REMEMBERED {
            return Self::Whole(reference.to_owned());
        }
        Self::Long {
            start: reference.chars().take(MAX_SHOWN / 2).collect(),
            n_bytes: reference.len(),
            hash: hash([reference]),
        }
    }

    /// For messages: long ones shortened.
    fn shown(&self) -> String {
        match self {
            Self::Whole(reference) if reference.len() <= MAX_SHOWN => reference.clone(),
            Self::Whole(reference) => {
                let start: String = reference.chars().take(MAX_SHOWN / 2).collect();
                format!("{start}... ({} bytes)", reference.len())
            }
            Self::Long { start, n_bytes, .. } => format!("{start}... ({n_bytes} bytes)"),
        }
    }
}

/// Whether a duplicate's references contain one that is accepted already, by spelling or by the rules that judge
/// answers; so does one that has none. What cannot be decided does not agree: two answers to one question of which
/// nobody knows whether they are the same are no reference.
fn agree(question: &Question, accepted: &[Remembered], new: &[Remembered]) -> bool {
    if accepted.is_empty() || new.is_empty() || new.iter().any(|reference| accepted.contains(reference)) {
        return true;
    }
    let whole = |references: &[Remembered]| -> Vec<String> {
        let wholes = references.iter().filter_map(|reference| match reference {
            Remembered::Whole(reference) => Some(reference.clone()),
            Remembered::Long { .. } => None,
        });
        wholes.collect()
    };
    let (accepted, new) = (whole(accepted), whole(new));
    let accepts = |references: &[String], answers: &[String]| {
        let reference = judge::reference(question, references.to_vec());
        !references.is_empty()
            && answers
                .iter()
                .any(|text| verify(&reference, &Answer { text, form: Form::Bare }).outcome == Outcome::Correct)
    };
    // Either side can be the more exact one: 0.333 accepts 1/3, but 1/3 not 0.333.
    accepts(&accepted, &new) || accepts(&new, &accepted)
}

#[cfg(test)]
mod tests;
