//! Questions of one bank that nearly repeat each other: MinHash (Broder 1997) over shingles of tokens, banded for lookup
//! (LSH), each pair that is found verified by its Jaccard similarity.
//!
//! Numbers are tokens like any other. Questions that differ in numbers alone are a *family*, and never duplicates.
//!
//! One question costs about 4 bytes per shingle, 8 per band, and its references. Time is linear as long as few
//! questions share a band; where many do, the number of comparisons is limited, and what was left out is counted.

use std::collections::HashMap;

use gradus_verify::{Answer, Form, Kind as VerifyKind, Outcome, Reference, verify};

use super::text::{self, Token, fold, mix, tokens};
use crate::question::{Kind, Question};

/// Hash functions of a signature, at most.
const HASHES: usize = 128;

/// Rows of a band, at most.
const MAX_ROWS: usize = 16;

/// Most pairs at the threshold that may be missed.
const MISSED: f64 = 1e-3;

/// Tokens of a question that shingles are made of, at most.
const MAX_SHINGLED: usize = 4096;

/// Earlier questions with which one is compared, at most, over all bands.
const MAX_COMPARED: usize = 256;

/// Links that are followed in one band, at most.
const MAX_LINKS: usize = 512;

/// Longest reference that is kept for comparison, in bytes.
const MAX_REFERENCE: usize = 256;

/// No earlier question with the same key.
const NONE: u32 = u32::MAX;

/// A question that nearly repeats an earlier one; both by their number in the order in which they were added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The later one.
    pub question: usize,
    /// The earlier one.
    pub of: usize,
    /// Share of shingles that both have among those that either has.
    pub jaccard: f64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Questions that repeat an earlier one, which itself repeats none: dropping them leaves no such pair. In order.
    pub duplicates: Vec<Pair>,
    /// Pairs as near as those, whose references contradict each other: one is wrong, or they are two questions.
    pub contradictions: Vec<Pair>,
    /// Groups of questions that differ in numbers alone, the largest first.
    pub families: Vec<Vec<usize>>,
    /// Pairs as near, of which each has a number that the other lacks.
    pub n_other_numbers: u64,
    /// Questions of which only the first tokens were looked at.
    pub n_cut: u64,
    /// Questions that were not compared with all candidates, because there are too many.
    pub n_limited: u64,
}

/// Looks for near duplicates.
pub struct Near {
    threshold: f64,
    width: usize,
    n_rows: usize,
    multipliers: Vec<(u32, u32)>,
    /// For each band, each question's key.
    bands: Vec<Vec<u32>>,
    /// Sorted 32-bit hashes of shingles, question by question, and where each question's end.
    shingles: Vec<u32>,
    shingle_ends: Vec<usize>,
    /// Sorted hashes of numbers, likewise.
    numbers: Vec<u32>,
    number_ends: Vec<usize>,
    templates: Vec<u64>,
    texts: Vec<u64>,
    references: Vec<References>,
    n_cut: u64,
}

/// What can be accepted of a question; long references are not kept.
struct References {
    kind: Kind,
    accepted: Box<[Box<str>]>,
}

impl References {
    fn of(question: &Question) -> Self {
        // The letter of an option says nothing where the options stand in another order.
        let option = |letter: &str| {
            let position = letter.bytes().next().map(|letter| usize::from(letter.wrapping_sub(b'A')));
            position.and_then(|position| question.options.get(position))
        };
        let meant = question.references.iter().map(|reference| option(reference).unwrap_or(reference).as_str());
        let meant = meant.filter(|reference| reference.len() <= MAX_REFERENCE);
        Self { kind: question.kind, accepted: meant.map(Box::from).collect() }
    }
}

impl Near {
    /// Pairs from this Jaccard similarity on are duplicates; shingles are so many tokens wide.
    ///
    /// # Panics
    /// If the threshold is not above 0 and at most 1, or the width is 0.
    pub fn new(threshold: f64, width: usize) -> Self {
        assert!(threshold > 0.0 && threshold <= 1.0 && width > 0, "the settings were checked");
        let n_rows = rows(threshold);
        let multipliers = (0..HASHES as u64).map(|i| {
            let draw = mix(0x6d69_6e68_6173_6821, i);
            ((draw >> 32) as u32 | 1, draw as u32)
        });
        Self {
            threshold,
            width,
            n_rows,
            multipliers: multipliers.collect(),
            bands: vec![Vec::new(); HASHES / n_rows],
            shingles: Vec::new(),
            shingle_ends: Vec::new(),
            numbers: Vec::new(),
            number_ends: Vec::new(),
            templates: Vec::new(),
            texts: Vec::new(),
            references: Vec::new(),
            n_cut: 0,
        }
    }

    /// Adds the next question.
    pub fn add(&mut self, question: &Question) {
        let whole = super::whole(question);
        let mut tokens = tokens(&whole);
        self.templates.push(if tokens.iter().any(|token| token.number) { text::template(&tokens) } else { 0 });
        self.texts.push(fold(tokens.iter().map(|token| token.hash)));
        if tokens.len() > MAX_SHINGLED {
            tokens.truncate(MAX_SHINGLED);
            self.n_cut += 1;
        }
        let start = self.numbers.len();
        self.numbers.extend(tokens.iter().filter(|token| token.number).map(|token| token.hash as u32));
        self.numbers[start..].sort_unstable();
        self.number_ends.push(self.numbers.len());

        let start = self.shingles.len();
        self.shingles.extend(shingles(&tokens, self.width));
        self.shingles[start..].sort_unstable();
        let mut set = self.shingles.split_off(start);
        set.dedup();
        self.shingles.extend(set);
        self.shingle_ends.push(self.shingles.len());

        let mut least = [u32::MAX; HASHES];
        for shingle in &self.shingles[start..] {
            for (least, (multiplier, addend)) in least.iter_mut().zip(&self.multipliers) {
                *least = (*least).min(shingle.wrapping_mul(*multiplier).wrapping_add(*addend));
            }
        }
        for (keys, rows) in self.bands.iter_mut().zip(least.chunks_exact(self.n_rows)) {
            keys.push(fold(rows.iter().map(|row| u64::from(*row))) as u32);
        }
        self.references.push(References::of(question));
    }

    /// Compares all questions that were added.
    pub fn find(mut self) -> Found {
        let n = self.templates.len();
        assert!(n < NONE as usize, "questions are counted in 32 bits");
        self.link();
        let mut found =
            Found { n_cut: self.n_cut, families: families(&self.templates, &self.texts), ..Found::default() };
        let mut repeats = vec![false; n];
        let mut seen = vec![NONE; n];
        for question in 0..n {
            let mut best: Option<Pair> = None;
            let mut contradicted: Option<Pair> = None;
            let mut n_compared = 0;
            let mut limited = false;
            for band in &self.bands {
                let mut next = band[question];
                let mut n_links = 0;
                while next != NONE {
                    let earlier = next as usize;
                    next = band[earlier];
                    n_links += 1;
                    if n_links > MAX_LINKS || n_compared >= MAX_COMPARED {
                        limited = true;
                        break;
                    }
                    if repeats[earlier] || std::mem::replace(&mut seen[earlier], question as u32) == question as u32 {
                        continue;
                    }
                    n_compared += 1;
                    let jaccard = self.jaccard(earlier, question);
                    if jaccard < self.threshold {
                        continue;
                    }
                    let pair = Pair { question, of: earlier, jaccard };
                    if !self.same_numbers(earlier, question) {
                        found.n_other_numbers += 1;
                    } else if !self.agree(earlier, question) {
                        nearer(&mut contradicted, pair);
                    } else {
                        nearer(&mut best, pair);
                    }
                }
            }
            found.n_limited += u64::from(limited);
            match (best, contradicted) {
                (Some(pair), _) => {
                    repeats[question] = true;
                    found.duplicates.push(pair);
                }
                (None, Some(pair)) => found.contradictions.push(pair),
                (None, None) => {}
            }
        }
        found
    }

    /// Replaces each key by the number of the last question before with the same key.
    fn link(&mut self) {
        for keys in &mut self.bands {
            let mut order: Vec<u32> = (0..keys.len() as u32).collect();
            order.sort_unstable_by_key(|i| (keys[*i as usize], *i));
            let mut last = None;
            for i in order {
                let key = keys[i as usize];
                let before = last.replace((key, i));
                keys[i as usize] = before.filter(|(other, _)| *other == key).map_or(NONE, |(_, before)| before);
            }
        }
    }

    fn jaccard(&self, one: usize, other: usize) -> f64 {
        let (one, other) =
            (part(&self.shingles, &self.shingle_ends, one), part(&self.shingles, &self.shingle_ends, other));
        let (less, more) = (one.len().min(other.len()) as f64, one.len().max(other.len()) as f64);
        if less < self.threshold * more {
            // Even if all of the smaller set were in the larger one, the pair would not be near enough.
            return less / more.max(1.0);
        }
        let both = common(one, other);
        let either = one.len() + other.len() - both;
        if either == 0 { 0.0 } else { both as f64 / either as f64 }
    }

    /// Whether one of them has no number that the other lacks, and they do not differ in numbers alone.
    fn same_numbers(&self, one: usize, other: usize) -> bool {
        if self.templates[one] != 0 && self.templates[one] == self.templates[other] {
            return self.texts[one] == self.texts[other];
        }
        let (one, other) = (part(&self.numbers, &self.number_ends, one), part(&self.numbers, &self.number_ends, other));
        common(one, other) == one.len().min(other.len())
    }

    /// Whether the references do not contradict each other; those of a question without any never do.
    fn agree(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.references[one], &self.references[other]);
        let kind = match one.kind {
            Kind::Math => VerifyKind::Math,
            Kind::Choice | Kind::Text => VerifyKind::Text,
            Kind::Code => return true,
        };
        if one.kind != other.kind || one.accepted.is_empty() || other.accepted.is_empty() {
            return true;
        }
        if one.accepted.iter().any(|reference| other.accepted.contains(reference)) {
            return true;
        }
        let accepts = |references: &References, answers: &References| {
            let values = references.accepted.iter().map(ToString::to_string).collect();
            let reference = Reference { kind, values, tolerance: None, options: Vec::new() };
            answers
                .accepted
                .iter()
                .any(|text| verify(&reference, &Answer { text, form: Form::Bare }).outcome == Outcome::Correct)
        };
        accepts(one, other) || accepts(other, one)
    }
}

/// Keeps the nearer pair, of equals the one with the earlier question.
fn nearer(best: &mut Option<Pair>, pair: Pair) {
    let better = |best: &Pair| pair.jaccard > best.jaccard || (pair.jaccard == best.jaccard && pair.of < best.of);
    if best.as_ref().is_none_or(better) {
        *best = Some(pair);
    }
}

/// Rows per band: as many as miss at most [`MISSED`] of the pairs at the threshold. A pair of similarity s agrees in a
/// band of r rows with probability s^r (Leskovec, Rajaraman and Ullman, *Mining of Massive Datasets*, 3.4).
fn rows(threshold: f64) -> usize {
    let missed = |rows: usize| (1.0 - threshold.powi(rows as i32)).powi((HASHES / rows) as i32);
    (1..=MAX_ROWS).rev().find(|rows| missed(*rows) <= MISSED).unwrap_or(1)
}

/// Hashes of the shingles; a text shorter than one is one.
fn shingles(tokens: &[Token], width: usize) -> impl Iterator<Item = u32> {
    let width = width.min(tokens.len()).max(1);
    tokens.windows(width).map(|window| (fold(window.iter().map(|token| token.hash)) >> 32) as u32)
}

fn part<'a>(all: &'a [u32], ends: &[usize], i: usize) -> &'a [u32] {
    let start = if i == 0 { 0 } else { ends[i - 1] };
    &all[start..ends[i]]
}

/// How many two sorted lists have in common, repetitions paired off.
fn common(one: &[u32], other: &[u32]) -> usize {
    let (mut i, mut j, mut n) = (0, 0, 0);
    while i < one.len() && j < other.len() {
        let (a, b) = (one[i], other[j]);
        n += usize::from(a == b);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    n
}

/// Groups of equal templates whose texts are not all the same, the largest first; 0 is none.
fn families(templates: &[u64], texts: &[u64]) -> Vec<Vec<usize>> {
    let mut groups: HashMap<u64, (u32, u32)> = HashMap::new();
    for (i, template) in templates.iter().enumerate().filter(|(_, template)| **template != 0) {
        groups.entry(*template).or_insert((i as u32, 0)).1 += 1;
    }
    groups.retain(|_, (_, n)| *n > 1);
    let mut members: HashMap<u64, Vec<usize>> =
        groups.iter().map(|(template, (_, n))| (*template, Vec::with_capacity(*n as usize))).collect();
    for (i, template) in templates.iter().enumerate() {
        if let Some(members) = members.get_mut(template) {
            members.push(i);
        }
    }
    let mut families: Vec<Vec<usize>> = members.into_values().collect();
    families.retain(|family| family.iter().any(|member| texts[*member] != texts[family[0]]));
    families.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a[0].cmp(&b[0])));
    families
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(text: &str, answer: &str) -> Question {
        let references = if answer.is_empty() { Vec::new() } else { vec![answer.to_owned()] };
        Question { references, ..Question::bare(Kind::Math, text) }
    }

    fn find(questions: &[(&str, &str)]) -> Found {
        find_from(0.8, questions)
    }

    fn find_from(threshold: f64, questions: &[(&str, &str)]) -> Found {
        let mut near = Near::new(threshold, 3);
        for (text, answer) in questions {
            near.add(&question(text, answer));
        }
        near.find()
    }

    const TRAIN: &str = "A train leaves the station at noon and travels north at 60 miles per hour while a second train \
                         leaves 2 hours later on the same track; when do they meet?";

    fn pairs(pairs: &[Pair]) -> Vec<(usize, usize)> {
        pairs.iter().map(|pair| (pair.question, pair.of)).collect()
    }

    #[test]
    fn a_reworded_question_is_a_duplicate() {
        let other = TRAIN.replace("the same track", "the very same track");
        let typeset = TRAIN.replace("60", "$60$").to_uppercase();
        let found = find(&[(TRAIN, "4"), ("What is $2+2$?", "4"), (&other, "4.0"), (&typeset, "4")]);
        assert_eq!(pairs(&found.duplicates), [(2, 0), (3, 0)]);
        assert!(found.duplicates[0].jaccard < 1.0 && found.duplicates[1].jaccard == 1.0);
        assert_eq!((found.contradictions.len(), found.n_other_numbers), (0, 0));
    }

    #[test]
    fn questions_that_differ_in_numbers_alone_are_a_family_and_no_duplicates() {
        let other = TRAIN.replace("60", "70");
        let swapped = TRAIN.replace("60", "x").replace(" 2 ", " 60 ").replace(" x ", " 2 ");
        let found = find(&[(TRAIN, "4"), (&other, "4"), (&swapped, "4")]);
        assert_eq!(pairs(&found.duplicates), []);
        assert_eq!(found.families, [[0, 1, 2]]);
        // The same question in another dress makes no family.
        assert!(find(&[(TRAIN, "4"), (&TRAIN.to_uppercase(), "4")]).families.is_empty());
    }

    #[test]
    fn another_number_beside_another_word_is_no_duplicate_either() {
        let other = TRAIN.replace("60", "70").replace("same", "very same");
        let found = find_from(0.6, &[(TRAIN, "4"), (&other, "4")]);
        assert_eq!((found.duplicates.len(), found.n_other_numbers, found.families.len()), (0, 1, 0));
        // A label in front brings a number, and takes none away.
        let labelled = format!("Problem 7. {TRAIN}");
        assert_eq!(pairs(&find(&[(TRAIN, "4"), (&labelled, "4")]).duplicates), [(1, 0)]);
    }

    #[test]
    fn near_questions_with_other_answers_are_reported_and_kept() {
        let other = TRAIN.replace("north", "south");
        let found = find(&[(TRAIN, "4"), (&other, "5"), (&other.replace("hour ", "hour, "), "5")]);
        assert_eq!(pairs(&found.contradictions), [(1, 0)]);
        assert_eq!(pairs(&found.duplicates), [(2, 1)]);
        assert_eq!(pairs(&find(&[(TRAIN, "4"), (&other, "")]).duplicates), [(1, 0)]);
    }

    #[test]
    fn letters_are_compared_by_what_they_stand_for() {
        let choice = |options: [&str; 3], letter: &str| Question {
            kind: Kind::Choice,
            options: options.map(str::to_owned).to_vec(),
            ..question(
                "Which of the following planets of the solar system is the largest one by mass and volume?",
                letter,
            )
        };
        let mut near = Near::new(0.5, 3);
        near.add(&choice(["Mars", "Jupiter", "Venus"], "B"));
        near.add(&choice(["Jupiter", "Mars", "Venus"], "A"));
        near.add(&choice(["Jupiter", "Venus", "Mars"], "B"));
        let found = near.find();
        assert_eq!((pairs(&found.duplicates), pairs(&found.contradictions)), (vec![(1, 0)], vec![(2, 0)]));
    }

    #[test]
    fn nothing_and_next_to_nothing_are_no_trouble() {
        assert_eq!(find(&[]), Found::default());
        let found = find(&[("?", "1"), ("$$", "1"), ("x", "1"), ("X.", "1")]);
        assert_eq!(pairs(&found.duplicates), [(3, 2)]);
    }

    #[test]
    fn a_crowd_in_one_band_is_limited_and_counted() {
        let texts: Vec<String> = (0..1500).map(|i| format!("{TRAIN} Their names begin with {i}.")).collect();
        let questions: Vec<_> = texts.iter().map(|text| (text.as_str(), "4")).collect();
        let found = find(&questions);
        assert!(found.duplicates.is_empty() && found.n_limited > 0, "{}", found.n_limited);
        assert_eq!(found.families.len(), 1);
    }

    /// Words of a vocabulary of 500.
    fn words() -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(0_u16..500, 12..60)
    }

    fn text(words: &[u16]) -> String {
        let word = |word: &u16| {
            let letter = ["a", "b", "c", "d", "e"][usize::from(*word) % 5];
            format!("w{}", letter.repeat(usize::from(word / 5) + 1))
        };
        words.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Every pair found is as near as it says, and every pair that is near is found or one of it repeats another.
        #[test]
        fn what_is_found_is_what_comparing_all_pairs_finds(
            base in words(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0_u16..500), 1..12),
        ) {
            let mut texts = vec![base];
            for (at, word) in edits {
                let mut next = texts[at.index(texts.len())].clone();
                let at = at.index(next.len());
                next[at] = word;
                texts.push(next);
            }
            let sets: Vec<std::collections::BTreeSet<Vec<u16>>> =
                texts.iter().map(|words| words.windows(3).map(<[u16]>::to_vec).collect()).collect();
            let jaccard = |i: usize, j: usize| {
                sets[i].intersection(&sets[j]).count() as f64 / sets[i].union(&sets[j]).count() as f64
            };
            let mut near = Near::new(0.8, 3);
            for words in &texts {
                near.add(&question(&text(words), ""));
            }
            let found = near.find();
            for pair in &found.duplicates {
                prop_assert!((pair.jaccard - jaccard(pair.of, pair.question)).abs() < 1e-9);
                prop_assert!(pair.jaccard >= 0.8);
            }
            let repeats: Vec<usize> = found.duplicates.iter().map(|pair| pair.question).collect();
            for i in (0..texts.len()).filter(|i| !repeats.contains(i)) {
                for j in (0..i).filter(|j| !repeats.contains(j)) {
                    // Nearer than the threshold by so much that a miss is one in millions.
                    prop_assert!(jaccard(i, j) < 0.9, "{i} {j}");
                }
            }
        }
    }
}
