//! What does an answer cost? Prices are data with a date, never constants: they move several times a year.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Usage;

/// Prices of one model, in US dollars per million tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens read from a cache; `None` costs as much as `input`.
    pub cached_input: Option<f64>,
    /// Tokens written, reasoning included.
    pub output: f64,
    /// The day they were looked up, `YYYY-MM-DD`.
    pub as_of: Option<String>,
}

impl Price {
    /// The cost in US dollars; `None` if the server counted nothing. Where it counted only one side, this
    /// is a lower bound.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        if usage.prompt.is_none() && usage.completion.is_none() {
            return None;
        }
        let prompt = usage.prompt.unwrap_or(0);
        let cached = usage.cached.unwrap_or(0).min(prompt);
        let cached_input = self.cached_input.unwrap_or(self.input);
        let read = (prompt - cached) as f64 * self.input + cached as f64 * cached_input;
        Some((read + usage.completion.unwrap_or(0) as f64 * self.output) / 1e6)
    }
}

/// Why a price list cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("expected a price list in litellm's JSON format ({{\"MODEL\": {{\"input_cost_per_token\": ..}}}}), found {0}")]
pub struct BadPrices(String);

/// Prices of many models by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// Reads litellm's list of prices (dollars per *token*). Entries without token prices are skipped.
    ///
    /// # Errors
    /// [`BadPrices`] if it is no JSON object, or has no price at all.
    pub fn from_litellm(json: &[u8], as_of: Option<&str>) -> Result<Self, BadPrices> {
        #[derive(Deserialize)]
        struct Entry {
            input_cost_per_token: Option<f64>,
            output_cost_per_token: Option<f64>,
            cache_read_input_token_cost: Option<f64>,
        }
        let entries: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(json).map_err(|error| BadPrices(error.to_string()))?;
        let fine = |price: &f64| price.is_finite() && *price >= 0.0;
        // Rounded to a billionth of a dollar: 1.4e-6 a token are 1.4 a million, not 1.3999999999999999.
        let per_million = |price: Option<f64>| price.filter(fine).map(|price| (price * 1e15).round() / 1e9);
        let mut prices = BTreeMap::new();
        for (name, entry) in entries {
            // `sample_spec` describes the format and is no model.
            let Ok(entry) = serde_json::from_value::<Entry>(entry) else { continue };
            let (input, output) = (per_million(entry.input_cost_per_token), per_million(entry.output_cost_per_token));
            let (Some(input), Some(output), true) = (input, output, name != "sample_spec") else { continue };
            let cached_input = per_million(entry.cache_read_input_token_cost);
            prices.insert(name, Price { input, cached_input, output, as_of: as_of.map(str::to_owned) });
        }
        if prices.is_empty() {
            return Err(BadPrices("no entry with both prices".to_owned()));
        }
        Ok(Prices(prices))
    }

    /// The price of a model: under its very name, or else under the only name that ends in `/` and it.
    pub fn of(&self, model: &str) -> Option<&Price> {
        self.0.get(model).or_else(|| {
            let mut same =
                self.0.iter().filter(|(name, _)| name.strip_suffix(model).is_some_and(|owner| owner.ends_with('/')));
            let (_, price) = same.next()?;
            same.next().is_none().then_some(price)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{
        "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        "lab/big": {"input_cost_per_token": 1.5e-6, "output_cost_per_token": 4e-6, "cache_read_input_token_cost": 5e-7, "mode": "chat"},
        "x/small": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6},
        "y/small": {"input_cost_per_token": 2e-6, "output_cost_per_token": 2e-6},
        "images": {"input_cost_per_image": 0.01},
        "odd": {"input_cost_per_token": "cheap"}
    }"#;

    #[test]
    fn tokens_from_the_cache_are_charged_as_such() {
        let prices = Prices::from_litellm(LIST, Some("2026-11-01")).expect("a list");
        let price = prices.of("lab/big").expect("listed");
        assert_eq!(price.as_of.as_deref(), Some("2026-11-01"));
        let usage = |prompt, cached, completion| Usage { prompt, cached, completion, reasoning: None };
        let cost = |usage: Usage| price.cost(&usage).map(|dollars| (dollars * 1e9).round() / 1e9);
        assert_eq!(cost(usage(Some(1_000_000), None, Some(500_000))), Some(3.5));
        assert_eq!(cost(usage(Some(1_000_000), Some(400_000), Some(0))), Some(1.1));
        assert_eq!(cost(usage(Some(10), Some(99), None)), Some(0.000_005));
        assert_eq!(cost(usage(None, None, None)), None);
        let small = Price { cached_input: None, ..price.clone() };
        assert_eq!(small.cost(&usage(Some(2_000_000), Some(2_000_000), None)), Some(3.0));
    }

    #[test]
    fn a_name_without_its_owner_is_found_if_it_is_the_only_one() {
        let prices = Prices::from_litellm(LIST, None).expect("a list");
        assert_eq!(prices.of("big"), prices.of("lab/big"));
        for unknown in ["small", "ig", "images", "odd", "sample_spec", ""] {
            assert_eq!(prices.of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_no_price_list_is_refused() {
        for bad in ["", "[]", "{}", r#"{"m": {"price": 1}}"#] {
            assert!(Prices::from_litellm(bad.as_bytes(), None).is_err(), "{bad}");
        }
    }
}
