//! Money and tokens: what a run may spend, what it has spent, and what is reserved for what is in flight.
//!
//! A request is launched while spent plus reserved is below each limit, and reserves its worst case; when it lands,
//! what it used replaces that. So a run exceeds its limit by one request at most.

use std::collections::BTreeMap;

use gradus_model::Usage;

use crate::attempt::Key;
use crate::config::Budget;
use crate::ledger::{LedgerError, Reader};

/// What was spent, or is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spend {
    /// US dollars.
    pub usd: f64,
    /// Tokens, read and written.
    pub tokens: u64,
}

impl Spend {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { usd: self.usd + other.usd, tokens: self.tokens.saturating_add(other.tokens) }
    }

    /// Whether it is below both limits; an absent one holds always.
    pub fn is_below(self, max_usd: Option<f64>, max_tokens: Option<u64>) -> bool {
        max_usd.is_none_or(|max| self.usd < max) && max_tokens.is_none_or(|max| self.tokens < max)
    }
}

/// What a landed piece of work used, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Bill {
    pub(crate) usd: Option<f64>,
    pub(crate) tokens: Option<u64>,
}

impl Bill {
    /// Of work that uses nothing.
    pub(crate) const NOTHING: Self = Self { usd: Some(0.0), tokens: Some(0) };

    pub(crate) fn new(usage: &Usage, usd: Option<f64>) -> Self {
        Self { usd, tokens: tokens(usage) }
    }
}

/// Tokens read and written; none if nobody counted.
pub(crate) fn tokens(usage: &Usage) -> Option<u64> {
    let known = usage.prompt.is_some() || usage.completion.is_some();
    known.then(|| usage.prompt.unwrap_or(0).saturating_add(usage.completion.unwrap_or(0)))
}

/// A budget with what is left of it.
#[derive(Debug)]
pub(crate) struct Purse {
    limits: Budget,
    spent: Spend,
    // Sorted, so that a sum does not depend on chance.
    reserved: BTreeMap<Key, Spend>,
}

impl Purse {
    /// Begins with what the ledger holds as spent; there is none without a limit.
    pub(crate) fn open(limits: Budget, reader: &Reader) -> Result<Option<Self>, LedgerError> {
        if limits == Budget::default() {
            return Ok(None);
        }
        Ok(Some(Self { limits, spent: reader.spent()?, reserved: BTreeMap::new() }))
    }

    /// Whether one more request may be launched.
    pub(crate) fn allows_another(&self) -> bool {
        let committed = self.reserved.values().fold(self.spent, |sum, reserved| sum.plus(*reserved));
        committed.is_below(self.limits.max_usd, self.limits.max_tokens)
    }

    pub(crate) fn reserve(&mut self, key: Key, worst: Spend) {
        self.reserved.insert(key, worst);
    }

    /// Puts what work used in place of what was reserved for it; says whether that is known, as far as a limit
    /// needs it.
    pub(crate) fn land(&mut self, key: &Key, bill: Bill) -> bool {
        self.reserved.remove(key);
        self.spent = self.spent.plus(Spend { usd: bill.usd.unwrap_or(0.0), tokens: bill.tokens.unwrap_or(0) });
        (self.limits.max_usd.is_none() || bill.usd.is_some())
            && (self.limits.max_tokens.is_none() || bill.tokens.is_some())
    }

    pub(crate) fn spent(&self) -> Spend {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    fn purse(limits: Budget) -> Option<Purse> {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite")).unwrap();
        Purse::open(limits, &ledger.reader().unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_launched_while_spent_and_reserved_are_below_the_limit() {
        assert!(purse(Budget::default()).is_none());
        let mut purse = purse(Budget { max_usd: None, max_tokens: Some(100) }).unwrap();
        let worst = Spend { usd: 9.0, tokens: 60 };
        assert!(purse.allows_another());
        purse.reserve(Key([1; 32]), worst);
        assert!(purse.allows_another(), "60 of 100 are taken: one more may overshoot");
        purse.reserve(Key([2; 32]), worst);
        assert!(!purse.allows_another());
        assert!(purse.land(&Key([1; 32]), Bill { usd: None, tokens: Some(5) }), "nobody asked for dollars");
        assert!(purse.allows_another(), "5 are spent and 60 reserved");
        assert!(!purse.land(&Key([2; 32]), Bill { usd: Some(1.0), tokens: None }), "tokens are limited and unknown");
        assert_eq!(purse.spent(), Spend { usd: 1.0, tokens: 5 });
    }

    #[test]
    fn a_limit_that_is_met_exactly_is_reached() {
        let spend = Spend { usd: 0.5, tokens: 7 };
        assert!(spend.is_below(None, None) && spend.is_below(Some(0.6), Some(8)));
        assert!(!spend.is_below(Some(0.5), None) && !spend.is_below(None, Some(7)));
    }
}
