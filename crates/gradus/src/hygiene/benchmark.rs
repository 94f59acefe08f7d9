//! Which questions of a bank stand in a benchmark too, by one of three rules.
//!
//! - `word8`: some n words in a row are the same (n = 8), lower-cased and split at white space. The rule of s1
//!   (arXiv 2501.19393) and Open-R1's decontamination script.
//! - `omnithought`: the Indel similarity of the texts as they stand reaches a threshold, or some n words in a row are the
//!   same (n = 10). arXiv 2505.10937 names both parts and n; threshold and tokens are open: 0.75 is what OpenThoughts
//!   (arXiv 2506.04178) set for its like rule, which takes 13-grams of a tokenizer's tokens.
//! - `overlap`, ours: on tokens that do not depend on typesetting, the same text, or so large a share of the benchmark's
//!   question covered by common n-grams, or four fifths of that share beside a run of 13 tokens that is no set phrase.
//!   Half of the benchmark's question (or 13 tokens of it) has to be in one piece; and where each has a number that the
//!   other lacks, they are variants of one question, and not the same.
//!
//! Every finding shows what matched.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::indel::{Bag, Pattern};
use super::text::{self, Token, fold, tokens};
use crate::config::{Contamination, ContaminationMode};
use crate::question::{Question, QuestionId};

/// Tokens of the n-grams whose coverage counts in `overlap`.
const SHORT: usize = 5;

/// Share of the threshold that is enough beside a long run.
const BESIDE_RUN: f64 = 0.8;

/// Benchmark questions for which one n-gram speaks, at most: more of them share a set phrase.
const MAX_POSTINGS: usize = 64;

/// Benchmark questions that are looked at closely for one question, at most.
const MAX_CANDIDATES: usize = 32;

/// Most letters of a matched span that are shown.
const MAX_SPAN: usize = 200;

/// The benchmarks, and how to look for them.
pub struct Benchmarks {
    mode: ContaminationMode,
    threshold: f64,
    /// A run that stands in more questions than this is a set phrase.
    common: u32,
    banks: Vec<String>,
    items: Vec<Item>,
    /// N-grams of words, or long ones of tokens.
    grams: Index,
    /// Short ones of tokens.
    short: Index,
    same: HashMap<u64, Vec<u32>>,
    hit: Vec<bool>,
    n_variants: u64,
}

/// A question of a benchmark.
struct Item {
    bank: usize,
    id: QuestionId,
    source_id: String,
    template: u64,
    /// Tokens, for `overlap`.
    tokens: Vec<u64>,
    /// Its numbers, sorted.
    numbers: Vec<u64>,
    /// Letters, for `omnithought`.
    letters: Vec<char>,
    bag: Bag,
}

/// What was found about a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Which part of the rule: `same_text`, `overlap`, `13_gram`, `indel`, `8_gram` and the like.
    pub rule: String,
    /// Name of the benchmark.
    pub bank: String,
    /// The question there.
    pub id: QuestionId,
    /// Its first source id.
    pub source_id: String,
    /// Indel similarity, or the share of the benchmark's question that is covered, or the share of the question's own
    /// n-grams of words that stand there; 0..=1.
    pub score: f64,
    /// What matched, as it stands in the question; a long one is cut.
    pub span: String,
}

/// How much of a benchmark was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Name of the benchmark.
    pub bank: String,
    /// Questions in it.
    pub n_questions: u64,
    /// Those that some question of the bank repeats.
    pub n_found: u64,
}

impl Benchmarks {
    /// Looks by this rule; benchmarks are added next.
    pub fn new(rule: &Contamination) -> Self {
        let n_gram = rule.n_gram() as usize;
        Self {
            mode: rule.mode,
            threshold: rule.least(),
            common: rule.common,
            banks: Vec::new(),
            items: Vec::new(),
            grams: Index::new(n_gram),
            short: Index::new(SHORT),
            same: HashMap::new(),
            hit: Vec::new(),
            n_variants: 0,
        }
    }

    /// Begins a benchmark.
    pub fn bank(&mut self, name: &str) {
        self.banks.push(name.to_owned());
    }

    /// Adds a question to the benchmark begun last.
    pub fn add(&mut self, question: &Question) {
        let at = self.items.len() as u32;
        let mut item = Item {
            bank: self.banks.len().saturating_sub(1),
            id: question.id,
            source_id: question.source_ids[0].clone(),
            template: 0,
            tokens: Vec::new(),
            numbers: Vec::new(),
            letters: Vec::new(),
            bag: Bag::of(&[]),
        };
        match self.mode {
            ContaminationMode::Overlap => {
                let tokens = tokens(&super::whole(question));
                item.template = text::template(&tokens);
                item.numbers = numbers(&tokens);
                item.tokens = tokens.iter().map(|token| token.hash).collect();
                self.same.entry(fold(item.tokens.iter().copied())).or_default().push(at);
                self.grams.add(at, &item.tokens);
                self.short.add(at, &item.tokens);
            }
            ContaminationMode::Word8 => self.grams.add(at, &hashes(&words(&question.text))),
            ContaminationMode::Omnithought => {
                self.grams.add(at, &hashes(&words(&question.text)));
                item.letters = question.text.chars().collect();
                item.bag = Bag::of(&item.letters);
            }
        }
        self.items.push(item);
    }

    /// Makes the benchmarks ready: to be called when all are added.
    pub fn seal(&mut self) {
        self.grams.seal();
        self.short.seal();
        self.hit = vec![false; self.items.len()];
    }

    /// Counts what this question shares with the benchmarks, so that set phrases are known: to be called for every
    /// question of the bank before any is looked at.
    pub fn count(&mut self, question: &Question) {
        if self.mode == ContaminationMode::Overlap {
            let tokens: Vec<u64> = tokens(&super::whole(question)).iter().map(|token| token.hash).collect();
            self.grams.count(&tokens);
        }
    }

    /// The nearest benchmark question that this one repeats, if it repeats any.
    pub fn look(&mut self, question: &Question) -> Option<Hit> {
        match self.mode {
            ContaminationMode::Overlap => self.by_overlap(question),
            ContaminationMode::Word8 => self.by_words(question),
            ContaminationMode::Omnithought => {
                let by_words = self.by_words(question);
                self.by_letters(question).or(by_words)
            }
        }
    }

    /// How much of each benchmark the questions that were looked at hold.
    pub fn coverage(&self) -> Vec<Coverage> {
        let mut coverage: Vec<Coverage> =
            self.banks.iter().map(|bank| Coverage { bank: bank.clone(), n_questions: 0, n_found: 0 }).collect();
        for (item, hit) in self.items.iter().zip(&self.hit) {
            coverage[item.bank].n_questions += 1;
            coverage[item.bank].n_found += u64::from(*hit);
        }
        coverage
    }

    /// Questions looked at that are near one of a benchmark and differ in numbers.
    pub fn n_variants(&self) -> u64 {
        self.n_variants
    }

    fn finding(&self, rule: String, item: u32, score: f64, span: &str) -> Hit {
        let item = &self.items[item as usize];
        let mut shown: String = span.chars().take(MAX_SPAN).collect();
        if shown.len() < span.len() {
            shown.push_str("...");
        }
        let (bank, source_id) = (self.banks[item.bank].clone(), item.source_id.clone());
        Hit { rule, bank, id: item.id, source_id, score, span: shown }
    }

    fn by_words(&mut self, question: &Question) -> Option<Hit> {
        let words = words(&question.text);
        let hashes = hashes(&words);
        // For each benchmark question: n-grams shared, first place and length of the longest run, the run now.
        let mut shared: HashMap<u32, (usize, usize, usize, usize, usize)> = HashMap::new();
        let mut n_grams = 0;
        for (at, gram) in self.grams.of(&hashes).enumerate() {
            n_grams += 1;
            for (i, item) in self.grams.postings(gram).iter().enumerate() {
                self.hit[*item as usize] = true;
                if i < MAX_POSTINGS {
                    let (n, first, longest, last, run) = shared.entry(*item).or_insert((0, at, 0, usize::MAX, 0));
                    *run = if at == last.wrapping_add(1) { *run + 1 } else { 1 };
                    (*n, *last) = (*n + 1, at);
                    if *run > *longest {
                        (*first, *longest) = (at + 1 - *run, *run);
                    }
                }
            }
        }
        let best = shared.iter().max_by_key(|(item, (n, ..))| (*n, std::cmp::Reverse(**item)));
        let (item, (n, first, longest, ..)) = best.map(|(item, shared)| (*item, *shared))?;
        let span = &question.text[words[first].start..words[first + longest + self.grams.n - 2].end];
        Some(self.finding(format!("{}_gram", self.grams.n), item, n as f64 / f64::from(n_grams), span))
    }

    fn by_letters(&mut self, question: &Question) -> Option<Hit> {
        let letters: Vec<char> = question.text.chars().collect();
        let mut pattern = Pattern::new(&letters)?;
        let mut best: Option<(f64, u32)> = None;
        for (at, item) in self.items.iter().enumerate() {
            let Some(similarity) = pattern.similarity(&item.letters, &item.bag, self.threshold) else { continue };
            self.hit[at] = true;
            if best.is_none_or(|(before, _)| similarity > before) {
                best = Some((similarity, at as u32));
            }
        }
        let (similarity, item) = best?;
        Some(self.finding("indel".into(), item, similarity, &question.text))
    }

    fn by_overlap(&mut self, question: &Question) -> Option<Hit> {
        let whole = super::whole(question);
        let tokens = tokens(&whole);
        let hashes: Vec<u64> = tokens.iter().map(|token| token.hash).collect();
        let template = text::template(&tokens);
        let same = self.same.get(&fold(hashes.iter().copied())).filter(|_| !tokens.is_empty());
        let same = same.cloned().unwrap_or_default();
        for item in &same {
            self.hit[*item as usize] = true;
        }

        let mut candidates: HashMap<u32, u32> = HashMap::new();
        let mut runs: HashSet<u32> = HashSet::new();
        for gram in self.grams.of(&hashes) {
            if self.grams.frequency(gram) <= self.common {
                runs.extend(self.grams.postings(gram).iter().take(MAX_POSTINGS));
            }
        }
        let grams: HashSet<u64> = self.short.of(&hashes).collect();
        for gram in &grams {
            let postings = self.short.postings(*gram);
            if postings.len() <= MAX_POSTINGS {
                for item in postings {
                    *candidates.entry(*item).or_default() += 1;
                }
            }
        }
        // A run is longer than an n-gram: who has one is among the candidates, unless all of it is frequent.
        for item in &runs {
            *candidates.entry(*item).or_default() += 1;
        }
        let mut candidates: Vec<(u32, u32)> = candidates.into_iter().map(|(item, n)| (n, item)).collect();
        candidates.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        candidates.truncate(MAX_CANDIDATES);

        let numbers = numbers(&tokens);
        let mut best: Option<(f64, u32, Range<usize>)> = None;
        let mut variant = false;
        for (_, at) in candidates {
            let item = &self.items[at as usize];
            if same.contains(&at) {
                continue;
            }
            if item.template == template {
                variant = true;
                continue;
            }
            let mut covered = covered(&item.tokens, &grams);
            if item.tokens.len() < self.grams.n {
                // A short question is easily part of another one: the two must be alike in whole.
                let theirs: HashSet<u64> = self.short.of(&item.tokens).collect();
                covered = covered.min(self::covered(&hashes, &theirs));
            }
            let in_a_row = runs.contains(&at);
            if covered < if in_a_row { self.threshold * BESIDE_RUN } else { self.threshold } {
                continue;
            }
            let span = longest_run(&item.tokens, &hashes);
            if 2 * span.len() < item.tokens.len().min(2 * self.grams.n) {
                // Scattered phrases.
                continue;
            }
            if !nested(&item.numbers, &numbers) {
                variant = true;
                continue;
            }
            self.hit[at as usize] = true;
            if best.as_ref().is_none_or(|(before, ..)| covered > *before) {
                best = Some((covered, at, span));
            }
        }
        if let Some(item) = same.first() {
            return Some(self.finding("same_text".into(), *item, 1.0, &whole));
        }
        self.n_variants += u64::from(variant && best.is_none());
        let (covered, at, span) = best?;
        let rule = if covered >= self.threshold { "overlap".to_owned() } else { format!("{}_gram", self.grams.n) };
        let span = tokens[span.start].start..tokens[span.end - 1].end;
        Some(self.finding(rule, at, covered, &whole[span]))
    }
}

/// Whether one of these sorted lists holds all of the other.
fn nested(one: &[u64], other: &[u64]) -> bool {
    let (less, more) = if one.len() < other.len() { (one, other) } else { (other, one) };
    let mut more = more.iter();
    less.iter().all(|number| more.any(|there| there == number))
}

/// Hashes of the numbers, sorted.
fn numbers(tokens: &[Token]) -> Vec<u64> {
    let mut numbers: Vec<u64> = tokens.iter().filter(|token| token.number).map(|token| token.hash).collect();
    numbers.sort_unstable();
    numbers
}

/// Share of these tokens that stand in one of the short n-grams.
fn covered(tokens: &[u64], grams: &HashSet<u64>) -> f64 {
    let (mut n, mut end) = (0, 0);
    for (at, window) in tokens.windows(SHORT).enumerate() {
        if grams.contains(&fold(window.iter().copied())) {
            n += (at + SHORT) - end.max(at);
            end = at + SHORT;
        }
    }
    n as f64 / tokens.len().max(1) as f64
}

/// The longest run of tokens whose short n-grams all stand in the benchmark's question.
fn longest_run(item: &[u64], hashes: &[u64]) -> Range<usize> {
    let theirs: HashSet<u64> = item.windows(SHORT).map(|window| fold(window.iter().copied())).collect();
    let (mut best, mut run) = (0..0, 0);
    for (at, window) in hashes.windows(SHORT).enumerate() {
        run = if theirs.contains(&fold(window.iter().copied())) { run + 1 } else { 0 };
        if run > 0 && run + SHORT - 1 > best.len() {
            best = at + 1 - run..at + SHORT;
        }
    }
    best
}

/// Where n-grams stand in the benchmarks.
struct Index {
    n: usize,
    /// N-gram and question, sorted once all are there.
    entries: Vec<(u64, u32)>,
    /// The questions of all n-grams, one after the other.
    items: Vec<u32>,
    /// For each n-gram: where its questions begin and end, and in how many questions of the bank it stands.
    slots: HashMap<u64, (u32, u32, u32)>,
}

impl Index {
    fn new(n: usize) -> Self {
        Self { n, entries: Vec::new(), items: Vec::new(), slots: HashMap::new() }
    }

    fn of<'a>(&self, hashes: &'a [u64]) -> impl Iterator<Item = u64> + use<'a> {
        hashes.windows(self.n).map(|window| fold(window.iter().copied()))
    }

    fn add(&mut self, item: u32, hashes: &[u64]) {
        let grams = self.of(hashes);
        self.entries.extend(grams.map(|gram| (gram, item)));
    }

    fn seal(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable();
        entries.dedup();
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            let start = self.items.len() as u32;
            self.items.extend(group.iter().map(|(_, item)| item));
            self.slots.insert(group[0].0, (start, self.items.len() as u32, 0));
        }
    }

    fn count(&mut self, hashes: &[u64]) {
        let mut grams: Vec<u64> = self.of(hashes).filter(|gram| self.slots.contains_key(gram)).collect();
        grams.sort_unstable();
        grams.dedup();
        for gram in grams {
            self.slots.entry(gram).and_modify(|(.., n)| *n += 1);
        }
    }

    fn postings(&self, gram: u64) -> &[u32] {
        self.slots.get(&gram).map_or(&[], |(start, end, _)| &self.items[*start as usize..*end as usize])
    }

    /// In how many questions of bank and benchmarks it stands.
    fn frequency(&self, gram: u64) -> u32 {
        self.slots.get(&gram).map_or(0, |(start, end, n)| end - start + n)
    }
}

/// A word and its place.
struct Word {
    hash: u64,
    start: usize,
    end: usize,
}

/// Words between white space, in lower case.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut start = None;
    // What separates words in the scripts that have this rule: white space, and the four information separators.
    let separates = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match start {
            None if !separates(c) => start = Some(at),
            Some(first) if separates(c) => {
                words.push(Word { hash: text::hash(&text[first..at].to_lowercase()), start: first, end: at });
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn hashes(words: &[Word]) -> Vec<u64> {
    words.iter().map(|word| word.hash).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::question::Kind;

    fn question(text: &str) -> Question {
        Question {
            source_ids: [format!("id of {text:.10}")].into(),
            references: vec!["1".into()],
            ..Question::bare(Kind::Math, text)
        }
    }

    fn benchmarks(mode: ContaminationMode, items: &[&str]) -> Benchmarks {
        let mut benchmarks = Benchmarks::new(&Contamination { mode, ..Contamination::default() });
        benchmarks.bank("exam");
        for text in items {
            benchmarks.add(&question(text));
        }
        benchmarks.seal();
        benchmarks
    }

    fn look(mode: ContaminationMode, item: &str, text: &str) -> Option<(String, String)> {
        let mut benchmarks = benchmarks(mode, &[item]);
        benchmarks.count(&question(text));
        let hit = benchmarks.look(&question(text));
        assert_eq!(benchmarks.coverage()[0].n_found, u64::from(hit.is_some()));
        hit.map(|hit| (hit.rule, hit.span))
    }

    const POND: &str = "A frog sits at the edge of a round pond with 12 lily pads and jumps from pad to pad; in how \
                        many ways can it visit all of them?";

    #[test]
    fn eight_words_in_a_row_are_found_with_their_span() {
        let text = "Hint: a FROG sits at the  edge of a square.";
        let (rule, span) = look(ContaminationMode::Word8, POND, text).unwrap();
        assert_eq!((rule.as_str(), span.as_str()), ("8_gram", "a FROG sits at the  edge of a"));
        assert_eq!(look(ContaminationMode::Word8, POND, "Hint: a frog sits at the edge of the pond."), None);
        // As the rule has it elsewhere, typesetting and short texts escape.
        assert_eq!(look(ContaminationMode::Word8, "What is 2 + 2?", "What is 2 + 2?"), None);
        assert_eq!(
            look(
                ContaminationMode::Word8,
                POND,
                &POND.replace(" of", ", of").replace("12", "$12$").replace("; in", ": in")
            ),
            None
        );
    }

    #[test]
    fn letters_or_ten_words_are_found() {
        let reworded = POND.replace("frog", "toad").replace("round", "large").replace("jumps", "hops");
        let (rule, span) = look(ContaminationMode::Omnithought, POND, &reworded).unwrap();
        assert_eq!((rule.as_str(), span), ("indel", reworded));
        let inside =
            format!("{} {POND} {}", "Read all of this with care. ".repeat(9), "Then answer at length. ".repeat(9));
        assert_eq!(look(ContaminationMode::Omnithought, POND, &inside), Some(("10_gram".into(), POND.into())));
        assert_eq!(look(ContaminationMode::Omnithought, POND, "What is the largest prime below 100?"), None);
    }

    #[test]
    fn typesetting_does_not_hide_a_question() {
        let typeset = POND.replace("12", "$12$").replace("; in", ". In").to_uppercase();
        assert_eq!(look(ContaminationMode::Overlap, POND, &typeset).unwrap().0, "same_text");
        assert_eq!(look(ContaminationMode::Overlap, "What is $2+2$?", "what is 2 + 2").unwrap().0, "same_text");
        let inside = format!("Think step by step. {typeset} Put your answer in a box.");
        let (rule, span) = look(ContaminationMode::Overlap, POND, &inside).unwrap();
        assert_eq!(rule, "overlap");
        assert_eq!(format!("{span}?"), typeset);
    }

    #[test]
    fn other_numbers_make_another_question() {
        assert_eq!(look(ContaminationMode::Overlap, POND, &POND.replace("12", "13")), None);
        let mut benchmarks = benchmarks(ContaminationMode::Overlap, &[POND]);
        assert_eq!(benchmarks.look(&question(&POND.replace("12", "13"))), None);
        assert_eq!(benchmarks.n_variants(), 1);
    }

    #[test]
    fn a_short_question_within_another_is_not_the_same() {
        assert_eq!(
            look(ContaminationMode::Overlap, "Evaluate $\\log_2 8$.", "Evaluate $\\log_2 8 + \\log_2 16 + 3$."),
            None
        );
    }

    #[test]
    fn a_set_phrase_is_no_contamination() {
        let phrase = "can be written as m over n where m and n are relatively prime positive integers find m + n";
        let texts: Vec<String> = ["pentagon", "circle", "cube", "prism"]
            .iter()
            .map(|shape| format!("The area of the {shape} {phrase} and the {shape}."))
            .collect();
        let mut rule = benchmarks(ContaminationMode::Overlap, &[&texts[0]]);
        rule.threshold = 0.9;
        rule.common = 3;
        assert!(rule.look(&question(&texts[1])).is_some(), "thirteen tokens in a row");
        for text in &texts {
            rule.count(&question(text));
        }
        assert_eq!(rule.look(&question(&texts[1])), None);
        assert_eq!(rule.look(&question(&texts[0])).unwrap().rule, "same_text");
    }

    #[test]
    fn findings_name_bank_and_question_and_are_cut() {
        let long = "word ".repeat(300);
        let mut benchmarks = benchmarks(ContaminationMode::Word8, &["nothing", &long]);
        let hit = benchmarks.look(&question(&long)).unwrap();
        assert_eq!((hit.bank.as_str(), hit.source_id.as_str()), ("exam", "id of word word "));
        assert!(hit.span.ends_with("...") && hit.span.len() < 210 && hit.score == 1.0, "{hit:?}");
        assert_eq!(benchmarks.coverage(), [Coverage { bank: "exam".into(), n_questions: 2, n_found: 1 }]);
    }

    proptest! {
        #[test]
        fn any_text_is_found_in_itself_and_nothing_panics(
            text in ".{0,60}|([a-d0-9 $\\\\{},.]{0,3} ?){0,40}",
            other in ".{0,60}|([a-d0-9 $\\\\{},.]{0,3} ?){0,40}",
        ) {
            for mode in ContaminationMode::ALL {
                let mut benchmarks = benchmarks(mode, &[&other, &text]);
                benchmarks.count(&question(&text));
                let hit = benchmarks.look(&question(&text));
                match mode {
                    ContaminationMode::Overlap => prop_assert_eq!(hit.is_some(), !tokens(&text).is_empty()),
                    ContaminationMode::Word8 => prop_assert_eq!(hit.is_some(), words(&text).len() >= 8),
                    ContaminationMode::Omnithought => prop_assert_eq!(hit.is_some(), !text.is_empty()),
                }
            }
        }
    }
}
