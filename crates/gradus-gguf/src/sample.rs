//! Which token is drawn? From a token's own logits and its sequence's own generator, and nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use gradus_model::Sampling;

use crate::kernel::{self, Isa};

/// Draws the tokens of one sequence.
#[derive(Debug)]
pub(crate) struct Sampler {
    rng: ChaCha8Rng,
    temperature: f32,
    top_p: f64,
    top_k: usize,
    min_p: f64,
}

impl Sampler {
    pub(crate) fn new(sampling: &Sampling, seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            temperature: sampling.temperature.max(0.0) as f32,
            top_p: sampling.top_p,
            top_k: sampling.top_k.filter(|&k| k > 0).map_or(usize::MAX, |k| k as usize),
            min_p: sampling.min_p.unwrap_or(0.0),
        }
    }

    /// The next token; `None` if the logits are not finite. Leaves exponentials in place of the logits.
    /// Filters act on the distribution at the given temperature, in the order `top_k`, `top_p`, `min_p`.
    pub(crate) fn draw(&mut self, isa: Isa, logits: &mut [f32]) -> Option<u32> {
        let best = best(logits);
        let most = logits[best];
        if !most.is_finite() {
            return None;
        }
        // Below this all the mass is on the best in f32; a division by it would not be finite.
        if self.temperature < 1e-4 {
            return Some(best as u32);
        }
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        kernel::exponentials(isa, logits, most, self.temperature);
        let weights = logits;
        let sums: Vec<f64> = weights.chunks(64).map(|chunk| chunk.iter().map(|&x| f64::from(x)).sum()).collect();
        let total: f64 = sums.iter().sum();
        if self.top_k >= weights.len() && self.top_p >= 1.0 {
            if self.min_p <= 0.0 {
                return Some(draw_from_all(weights, &sums, uniform * total));
            }
            let least = self.min_p.min(1.0) as f32;
            return draw_from(weights.iter().enumerate().filter(|&(_, &x)| x >= least), uniform);
        }
        let mut kept = head(weights, total, self.top_k, self.top_p);
        // The best has the weight 1.
        let least = self.min_p.min(1.0) as f32;
        kept.retain(|&id| weights[id as usize] >= least);
        draw_from(kept.iter().map(|&id| (id as usize, &weights[id as usize])), uniform)
    }
}

/// The first of the greatest; 0 if none is a number.
pub(crate) fn best(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, &x) in logits.iter().enumerate() {
        if x > logits[best] || logits[best].is_nan() {
            best = id;
        }
    }
    best
}

fn draw_from_all(weights: &[f32], sums: &[f64], mut left: f64) -> u32 {
    let mut last = 0;
    for (chunk, sum) in sums.iter().enumerate() {
        if left >= *sum && chunk + 1 < sums.len() {
            left -= sum;
            continue;
        }
        for (id, &weight) in weights.iter().enumerate().skip(chunk * 64).take(64) {
            if weight > 0.0 {
                last = id;
                left -= f64::from(weight);
                if left < 0.0 {
                    return id as u32;
                }
            }
        }
    }
    last as u32
}

fn draw_from<'a>(weights: impl Iterator<Item = (usize, &'a f32)> + Clone, uniform: f64) -> Option<u32> {
    let total: f64 = weights.clone().map(|(_, &x)| f64::from(x)).sum();
    let mut left = uniform * total;
    let mut last = None;
    for (id, &weight) in weights {
        last = Some(id as u32);
        left -= f64::from(weight);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The heaviest tokens, heaviest first (of equals the lower id): at most `top_k`, and no more than are needed to
/// reach `top_p` of their mass.
fn head(weights: &[f32], total: f64, top_k: usize, top_p: f64) -> Vec<u32> {
    let heavier = |&a: &u32, &b: &u32| weights[b as usize].total_cmp(&weights[a as usize]).then(a.cmp(&b));
    // Most of the mass is nearly always on a few: look at these first, and at more only if they do not suffice.
    let mut least = 1e-3;
    loop {
        let mut ids: Vec<u32> = (0..).zip(weights).filter(|&(_, &x)| x >= least).map(|(id, _)| id).collect();
        let everything = ids.len() == weights.len() || least == 0.0;
        if ids.len() < top_k.min(weights.len()) && !everything {
            let mass: f64 = ids.iter().map(|&id| f64::from(weights[id as usize])).sum();
            // Without top_k the mass that counts is known, and what was found may suffice.
            if top_k < weights.len() || mass < top_p * total {
                least = if least > 1e-30 { least * 1e-3 } else { 0.0 };
                continue;
            }
        }
        ids.sort_unstable_by(heavier);
        let mass = if top_k < weights.len() {
            ids.truncate(top_k);
            ids.iter().map(|&id| f64::from(weights[id as usize])).sum()
        } else {
            total
        };
        let mut sum = 0.0;
        let needed = ids.iter().position(|&id| {
            sum += f64::from(weights[id as usize]);
            sum >= top_p * mass
        });
        ids.truncate(needed.map_or(ids.len(), |i| i + 1));
        return ids;
    }
}

/// ln of the probabilities of some tokens at temperature 1.
pub(crate) fn logprobs(logits: &[f32], tokens: &[u32]) -> Vec<f32> {
    let most = f64::from(logits[best(logits)]);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    tokens.iter().map(|&token| (f64::from(logits[token as usize]) - most - sum.ln()) as f32).collect()
}

/// Natural logarithm of the probability of `token`, and how many tokens are likelier, plus one.
pub(crate) fn logprob_and_rank(logits: &[f32], token: u32) -> (f32, u32) {
    let most = f64::from(logits[best(logits)]);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    let own = logits[token as usize];
    let rank = 1 + logits.iter().filter(|&&x| x > own).count();
    ((f64::from(own) - most - sum.ln()) as f32, rank as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f64, top_p: f64, top_k: Option<u32>, min_p: Option<f64>) -> Sampling {
        Sampling { temperature, top_p, top_k, min_p, max_tokens: 1, stop: Vec::new() }
    }

    /// Shares of 20,000 draws from probabilities .5 .25 .125 .125.
    fn shares(sampling: &Sampling) -> [f64; 4] {
        let mut shares = [0.0; 4];
        let mut sampler = Sampler::new(sampling, 7);
        for _ in 0..20_000 {
            let mut logits = [0.5_f32.ln(), 0.25_f32.ln(), 0.125_f32.ln(), 0.125_f32.ln()];
            shares[sampler.draw(Isa::best(), &mut logits).unwrap() as usize] += 1.0 / 20_000.0;
        }
        shares
    }

    fn check(sampling: &Sampling, expected: [f64; 4]) {
        let found = shares(sampling);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 0.015, "{found} {expected} {sampling:?}");
        }
    }

    #[test]
    fn draws_follow_the_filtered_distribution() {
        check(&sampling(1.0, 1.0, None, None), [0.5, 0.25, 0.125, 0.125]);
        check(&sampling(0.5, 1.0, None, None), [0.727, 0.182, 0.0455, 0.0455]);
        check(&sampling(1.0, 0.7, None, None), [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
        check(&sampling(1.0, 1.0, Some(2), None), [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
        check(&sampling(1.0, 0.6, Some(2), None), [1.0, 0.0, 0.0, 0.0]);
        check(&sampling(1.0, 1.0, None, Some(0.4)), [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
        check(&sampling(1.0, 1.0, Some(3), None), [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0, 0.0]);
        check(&sampling(0.0, 0.3, None, None), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn logits_that_are_no_numbers_give_no_token() {
        for bad in [[f32::NAN; 3], [f32::INFINITY; 3], [f32::NEG_INFINITY; 3]] {
            let mut logits = bad;
            assert_eq!(Sampler::new(&sampling(1.0, 0.9, None, None), 1).draw(Isa::best(), &mut logits), None);
        }
    }
}
