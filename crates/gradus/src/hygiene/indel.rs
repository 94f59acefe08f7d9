//! How alike two texts are, letter by letter: 1 - (insertions + deletions) / (sum of lengths), which is
//! 2 * LCS / (sum of lengths). Other projects call it the Indel similarity, or `ratio`.
//!
//! The longest common subsequence is found 64 letters at a time (Hyyrö, *Bit-parallel LCS-length computation
//! revisited*, 2004).

use std::collections::HashMap;

/// Longest text that is compared, in letters.
pub const MAX_LETTERS: usize = 16_384;

/// A text, ready to be compared with many.
pub struct Pattern {
    n_letters: usize,
    /// For each letter of ASCII, the places where it stands, a bit each.
    ascii: Vec<u64>,
    others: HashMap<char, Vec<u64>>,
    bag: Bag,
    rows: Vec<u64>,
}

/// How often letters stand in a text, by 32 classes: bounds what two texts can have in common.
#[derive(Debug, Clone)]
pub struct Bag([u16; 32]);

impl Bag {
    /// Of a text of at most [`MAX_LETTERS`] letters.
    pub fn of(letters: &[char]) -> Self {
        let mut counts = [0_u16; 32];
        letters.iter().take(MAX_LETTERS).for_each(|letter| counts[*letter as usize % 32] += 1);
        Self(counts)
    }

    /// At most so many letters can be common.
    fn common(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| u32::from(*a.min(b))).sum()
    }
}

impl Pattern {
    /// Prepares a text; none if it is longer than [`MAX_LETTERS`] or empty.
    pub fn new(letters: &[char]) -> Option<Self> {
        if letters.is_empty() || letters.len() > MAX_LETTERS {
            return None;
        }
        let n_words = letters.len().div_ceil(64);
        let mut ascii = vec![0; 128 * n_words];
        let mut others: HashMap<char, Vec<u64>> = HashMap::new();
        for (at, letter) in letters.iter().enumerate() {
            let places = if letter.is_ascii() {
                &mut ascii[*letter as usize * n_words..][..n_words]
            } else {
                others.entry(*letter).or_insert_with(|| vec![0; n_words])
            };
            places[at / 64] |= 1 << (at % 64);
        }
        Some(Self { n_letters: letters.len(), ascii, others, bag: Bag::of(letters), rows: vec![0; n_words] })
    }

    /// The similarity to a text, if it reaches `least`.
    pub fn similarity(&mut self, letters: &[char], bag: &Bag, least: f64) -> Option<f64> {
        if letters.is_empty() || letters.len() > MAX_LETTERS {
            return None;
        }
        let both = (self.n_letters + letters.len()) as f64;
        let similarity = |common: f64| 2.0 * common / both;
        if similarity(self.n_letters.min(letters.len()) as f64) < least
            || similarity(f64::from(self.bag.common(bag))) < least
        {
            return None;
        }
        let found = similarity(self.common(letters) as f64);
        (found >= least).then_some(found)
    }

    /// Length of the longest common subsequence.
    fn common(&mut self, letters: &[char]) -> usize {
        let n_words = self.rows.len();
        // A zero bit marks a place of the pattern that is matched.
        self.rows.fill(u64::MAX);
        for letter in letters {
            let places = if letter.is_ascii() {
                &self.ascii[*letter as usize * n_words..][..n_words]
            } else {
                match self.others.get(letter) {
                    Some(places) => places.as_slice(),
                    None => continue,
                }
            };
            let mut carry = false;
            for (row, places) in self.rows.iter_mut().zip(places) {
                let matched = *row & places;
                let (sum, first) = row.overflowing_add(matched);
                let (sum, second) = sum.overflowing_add(u64::from(carry));
                carry = first || second;
                *row = sum | (*row - matched);
            }
        }
        // Behind the pattern's end nothing is ever matched.
        self.rows.iter().map(|row| row.count_zeros() as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    fn similarity(one: &str, other: &str) -> f64 {
        let (one, other) = (letters(one), letters(other));
        Pattern::new(&one).unwrap().similarity(&other, &Bag::of(&other), 0.0).unwrap()
    }

    /// By the table that everybody fills first.
    fn common(one: &[char], other: &[char]) -> usize {
        let mut row = vec![0; other.len() + 1];
        for a in one {
            let mut before = 0;
            for (j, b) in other.iter().enumerate() {
                let up = row[j + 1];
                row[j + 1] = if a == b { before + 1 } else { up.max(row[j]) };
                before = up;
            }
        }
        row[other.len()]
    }

    #[test]
    fn similarities_are_those_of_the_textbook() {
        assert!((similarity("lewenstein", "levenshtein") - 2.0 * 9.0 / 21.0).abs() < 1e-12);
        assert_eq!((similarity("abc", "abc"), similarity("abc", "xyz")), (1.0, 0.0));
    }

    #[test]
    fn too_long_and_empty_texts_are_not_compared() {
        assert!(Pattern::new(&[]).is_none() && Pattern::new(&vec!['a'; MAX_LETTERS + 1]).is_none());
        let mut pattern = Pattern::new(&['a']).unwrap();
        assert_eq!(pattern.similarity(&[], &Bag::of(&[]), 0.0), None);
    }

    proptest! {
        #[test]
        fn bits_find_what_the_table_finds(one in "[abcxé]{1,200}", other in "[abcxyü]{1,200}") {
            let (a, b) = (letters(&one), letters(&other));
            let wanted = 2.0 * common(&a, &b) as f64 / (a.len() + b.len()) as f64;
            prop_assert_eq!(similarity(&one, &other), wanted);
            let mut pattern = Pattern::new(&a).unwrap();
            prop_assert_eq!(pattern.similarity(&b, &Bag::of(&b), 0.7).is_some(), wanted >= 0.7);
        }
    }
}
