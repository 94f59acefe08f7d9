//! Which tokens say a label, and what two labels say together.

/// Whether a token is the label, with or without a blank, or a beginning of it that is none of the other's:
/// tokenisers cut words differently.
pub fn says(token: &str, label: &str, other: &str) -> bool {
    let (token, label, other) = (bare(token), bare(label), bare(other));
    !token.is_empty() && (token == label || label.starts_with(token) && !other.starts_with(token))
}

/// ln of the sum of probabilities given as their logarithms; none of nothing.
pub fn log_sum(logprobs: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let most = logprobs.clone().max_by(f64::total_cmp)?;
    Some(most + logprobs.map(|logprob| (logprob - most).exp()).sum::<f64>().ln())
}

/// P(positive) / (P(positive) + P(negative)) from their logarithms; in 0..=1.
pub fn share(positive: f64, negative: f64) -> f64 {
    1.0 / (1.0 + (negative - positive).exp())
}

/// A token without blanks around it, as tokenisers write them.
pub(crate) fn bare(token: &str) -> &str {
    token.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{2581}' | '\u{120}' | '\u{10a}'))
}
