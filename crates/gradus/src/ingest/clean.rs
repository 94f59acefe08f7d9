//! Hygiene of the bank that was read: what is looked for, what it was, and what leaves for it.

use std::path::Path;

use super::{Dropped, Elsewhere, Ingest, IngestError, State, counted};
use crate::config::{Action, Config, Families};
use crate::hygiene::benchmark::{Benchmarks, Coverage, Hit};
use crate::hygiene::near::{self, Near, Pair};
use crate::question::QuestionId;
use crate::work::Reason;

/// Something that was found about a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The question.
    pub question: QuestionId,
    /// Its first source id.
    pub source_id: String,
    /// What it is.
    pub found: Found,
    /// The question that it repeats, contradicts or resembles.
    pub other: QuestionId,
    /// First source id of that one.
    pub other_source_id: String,
    /// Whether the question leaves for it.
    pub dropped: bool,
}

/// What can be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// It nearly repeats an earlier question, with this Jaccard similarity.
    NearDuplicate(f64),
    /// Likewise, and no reference of one is accepted by the other.
    Contradiction(f64),
    /// It differs in numbers alone from the first member of its family.
    Family,
    /// It stands in a benchmark.
    Contaminated(Hit),
}

impl Found {
    /// Its name in tables and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NearDuplicate(_) => "near_duplicate",
            Self::Contradiction(_) => "contradiction",
            Self::Family => "family",
            Self::Contaminated(_) => "contaminated",
        }
    }
}

/// Counts of what hygiene found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hygiene {
    /// Questions that nearly repeat an earlier one, and do not contradict it.
    pub near_duplicates: u64,
    /// Questions as near to an earlier one, with another answer: they stay.
    pub contradictions: u64,
    /// Pairs as near, of which each has a number that the other lacks: they stay.
    pub other_numbers: u64,
    /// Groups of questions that differ in numbers alone.
    pub families: u64,
    /// Questions in them.
    pub in_families: u64,
    /// Questions that stand in a benchmark.
    pub contaminated: u64,
    /// Questions that differ in numbers from one of a benchmark: they stay.
    pub benchmark_variants: u64,
    /// How much of each benchmark the bank holds.
    pub benchmarks: Vec<Coverage>,
    /// Questions of which only the beginning was compared with others.
    pub cut: u64,
    /// Questions that were not compared with all that may be near, because there are too many.
    pub limited: u64,
    /// Whether near duplicates and contaminated questions leave.
    pub drops: [bool; 2],
}

impl Hygiene {
    /// What a user should look at, a sentence each.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let fate = |drops: bool| if drops { "and left out" } else { "and kept" };
        let sentences = [
            (self.near_duplicates, format!("nearly repeat an earlier one, {}", fate(self.drops[0]))),
            (self.contradictions, "nearly repeat an earlier one and have another answer, and are kept".to_owned()),
            (self.contaminated, format!("stand in a benchmark, {}", fate(self.drops[1]))),
            (self.limited, "were not compared with all that may be near: too many are alike".to_owned()),
        ];
        let sentences = sentences.into_iter().filter(|(n, _)| *n > 0);
        sentences
            .map(|(n, what)| format!("{}: {what} (`gradus bank check` lists them)", counted(n as usize, "question")))
    }
}

impl Ingest {
    /// Looks for what the settings name, and drops what is to leave.
    pub(super) fn clean(
        &mut self,
        settings: &crate::config::Hygiene,
        base: &Path,
        elsewhere: Elsewhere<'_>,
    ) -> Result<(), IngestError> {
        if settings.is_off() || self.summary.kept == 0 {
            return Ok(());
        }
        let rule = settings.decontaminate.as_ref().filter(|rule| rule.action != Action::Off);
        let mut benchmarks = rule.map(Benchmarks::new);
        if let (Some(benchmarks), Some(rule)) = (&mut benchmarks, rule) {
            for bank in &rule.against {
                let config = Config { bank: vec![bank.clone()], keep_unverifiable: true, ..Config::default() };
                let benchmark = Self::open_with(&config, base, elsewhere)?;
                benchmarks.bank(bank.source.as_deref().unwrap_or(&benchmark.banks[0].file.stem()));
                benchmark.questions().try_for_each(|question| question.map(|question| benchmarks.add(&question)))?;
            }
            benchmarks.seal();
        }
        let alike = settings.near_duplicates != Action::Off || settings.families == Families::Report;
        let mut near = alike.then(|| Near::new(settings.threshold, settings.shingle as usize));
        for question in self.questions() {
            let question = question?;
            if let Some(near) = &mut near {
                near.add(&question);
            }
            if let Some(benchmarks) = &mut benchmarks {
                benchmarks.count(&question);
            }
        }
        let mut hits = Vec::new();
        if let Some(benchmarks) = &mut benchmarks {
            for (i, question) in self.questions().enumerate() {
                hits.extend(benchmarks.look(&question?).map(|hit| (i, hit)));
            }
        }
        let mut near = near.map(Near::find).unwrap_or_default();
        if settings.near_duplicates == Action::Off {
            near = near::Found { families: near.families, ..near::Found::default() };
        }
        if settings.families == Families::Off {
            near.families.clear();
        }
        let drops = [settings.near_duplicates == Action::Drop, rule.is_some_and(|rule| rule.action == Action::Drop)];
        self.summary.hygiene = Some(Hygiene {
            near_duplicates: near.duplicates.len() as u64,
            contradictions: near.contradictions.len() as u64,
            other_numbers: near.n_other_numbers,
            families: near.families.len() as u64,
            in_families: near.families.iter().map(|family| family.len() as u64).sum(),
            contaminated: hits.len() as u64,
            benchmark_variants: benchmarks.as_ref().map_or(0, Benchmarks::n_variants),
            benchmarks: benchmarks.as_ref().map(Benchmarks::coverage).unwrap_or_default(),
            cut: near.n_cut,
            limited: near.n_limited,
            drops,
        });
        self.keep(near, hits, drops);
        Ok(())
    }

    /// Turns what was found into findings, and drops. Questions are numbered as [`Ingest::questions`] gives them.
    fn keep(&mut self, near: near::Found, hits: Vec<(usize, Hit)>, [drop_near, drop_hits]: [bool; 2]) {
        let kept: Vec<usize> = (0..self.entries.len()).filter(|at| self.entries[*at].state == State::Kept).collect();
        let mut findings: Vec<(usize, Finding)> = Vec::new();
        let mut add = |i: usize, found: Found, other: (QuestionId, String), dropped: bool| {
            let entry = &self.entries[kept[i]];
            let (other, other_source_id) = other;
            let source_id = entry.source_ids[0].clone();
            findings.push((i, Finding { question: entry.id, source_id, found, other, other_source_id, dropped }));
        };
        let named = |i: usize| (self.entries[kept[i]].id, self.entries[kept[i]].source_ids[0].clone());
        for Pair { question, of, jaccard } in near.duplicates {
            add(question, Found::NearDuplicate(jaccard), named(of), drop_near);
        }
        for Pair { question, of, jaccard } in near.contradictions {
            add(question, Found::Contradiction(jaccard), named(of), false);
        }
        for (i, hit) in hits {
            let other = (hit.id, hit.source_id.clone());
            add(i, Found::Contaminated(hit), other, drop_hits);
        }
        for family in near.families {
            for member in &family {
                add(*member, Found::Family, named(family[0]), false);
            }
        }
        // Stable: of one question, in the order above.
        findings.sort_by_key(|(i, _)| *i);
        for (i, finding) in findings {
            if finding.dropped && self.entries[kept[i]].state == State::Kept {
                self.drop(kept[i], reason(&finding));
            }
            self.findings.push(finding);
        }
        let bank = |dropped: &Dropped| self.banks.iter().position(|bank| bank.file.name == dropped.file);
        self.dropped.sort_by_key(|dropped| (bank(dropped), dropped.line));
    }

    fn drop(&mut self, at: usize, reason: Reason) {
        let entry = &mut self.entries[at];
        entry.state = State::Dropped;
        self.joined.remove(&at);
        self.summary.kept -= 1;
        self.summary.files[entry.bank].kept -= 1;
        self.summary.files[entry.bank].dropped += 1;
        *self.summary.dropped.entry(reason.code).or_default() += 1;
        self.dropped.push(Dropped {
            file: self.banks[entry.bank].file.name.clone(),
            line: entry.line,
            source_ids: std::mem::take(&mut entry.source_ids),
            field: None,
            reason,
        });
    }
}

/// Why a question leaves.
fn reason(finding: &Finding) -> Reason {
    match &finding.found {
        Found::NearDuplicate(jaccard) | Found::Contradiction(jaccard) => {
            let detail =
                format!("nearly repeats {} `{}`: Jaccard {jaccard:.3}", finding.other, finding.other_source_id);
            Reason::new("near_duplicate", detail)
        }
        Found::Family => unreachable!("families are never dropped"),
        Found::Contaminated(hit) => {
            let (bank, source_id, rule, score, span) = (&hit.bank, &hit.source_id, &hit.rule, hit.score, &hit.span);
            Reason::new(
                "contaminated",
                format!("stands in {bank} as {} `{source_id}` ({rule}, {score:.3}): {span}", hit.id),
            )
        }
    }
}
