//! What do these bytes say about the steps? Each form's answer to one normal form; pure.
//!
//! What cannot heal with another try (too few scores, no log-probabilities) is a `BadRequest`; what may be
//! an accident (a web page, an error inside a 200) is `Transient`, as for generations.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::label::{bare, log_sum, says, share};
use super::{ScoreForm, Scores, StepScore};
use crate::fault::{Said, excerpt};
use crate::read::{error_in_value, read_usage};
use crate::{Fault, FaultKind, Raw, Wire};

pub(super) fn scores(raw: &Raw, form: &ScoreForm, n_steps: usize) -> Result<Scores, Fault> {
    let bytes = raw.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&raw.body).trim_ascii();
    match (raw.wire, form) {
        (Wire::PoolingJson, ScoreForm::Pooling { positive, .. }) => pooling(&object(bytes)?, *positive, n_steps),
        (Wire::ChatJson, ScoreForm::ChatLabels { positive, negative, .. }) => {
            chat_labels(&object(bytes)?, positive, negative)
        }
        (Wire::CompletionJson, ScoreForm::PromptLogprobs { mark, positive, negative }) => {
            prompt_logprobs(bytes, mark, positive, negative, n_steps)
        }
        (Wire::ScoresJson, _) => {
            let n_scores = if matches!(form, ScoreForm::ChatLabels { .. }) { 1 } else { n_steps };
            own(&object(bytes)?, n_scores)
        }
        (wire, _) => Err(refuse(format!("expected scores of the form that was asked for, found {wire:?}"))),
    }
}

/// The body as a JSON object that reports no error.
fn object(bytes: &[u8]) -> Result<Value, Fault> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| garbage(bytes, &error.to_string()))?;
    if !value.is_object() {
        return Err(garbage(bytes, "no object"));
    }
    match error_in_value(&value) {
        Some(said) => Err(said.inside_success()),
        None => Ok(value),
    }
}

fn garbage(bytes: &[u8], why: &str) -> Fault {
    let found = excerpt(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]));
    Fault::new(FaultKind::Transient, format!("expected scores as JSON ({why}), found: {found}"))
}

/// A fault that no other try will mend.
fn refuse(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::BadRequest, message)
}

fn all(steps: Vec<StepScore>, body: &Value) -> Scores {
    let usage = body.get("usage").filter(|usage| !usage.is_null()).map(read_usage).unwrap_or_default();
    let cost_usd = body.pointer("/usage/cost").and_then(Value::as_f64).filter(|cost| cost.is_finite() && *cost >= 0.0);
    let model = body.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()).map(str::to_owned);
    Scores { steps, whole: None, usage, cost_usd, model }
}

/// vLLM: `{"data": [{"data": [[P(0), P(1)], ..]}]}`, one row per mark.
fn pooling(body: &Value, positive: usize, n_steps: usize) -> Result<Scores, Fault> {
    let Some(data) = body.get("data").and_then(Value::as_array) else {
        return Err(garbage(body.to_string().as_bytes(), "no list `data`"));
    };
    let [one] = data.as_slice() else {
        return Err(refuse(format!("expected the scores of one conversation, found those of {}", data.len())));
    };
    let Some(rows) = one.get("data").and_then(Value::as_array) else {
        return Err(refuse("expected a list of rows in `data[0].data`; is `encoding_format` set to another form?"));
    };
    if rows.len() != n_steps {
        return Err(refuse(format!(
            "expected {n_steps} rows of scores, one for each step, found {}; \
             is the mark one token of this model, and does the server pool at it?",
            rows.len()
        )));
    }
    let steps = rows.iter().map(|row| class_row(row, positive)).collect::<Result<_, _>>()?;
    Ok(all(steps, body))
}

/// The probability of one class among all, or of the only one.
fn class_row(row: &Value, positive: usize) -> Result<StepScore, Fault> {
    let no_row = || refuse(format!("expected a row of class probabilities, found {}", excerpt(&row.to_string())));
    let row = row.as_array().ok_or_else(no_row)?;
    let row: Vec<f64> = row.iter().map(Value::as_f64).collect::<Option<_>>().ok_or_else(no_row)?;
    let Some(&score) = row.get(positive) else {
        return Err(refuse(format!("expected class {positive} in each row, found {} classes", row.len())));
    };
    let sum: f64 = row.iter().sum();
    // Servers compute in half precision.
    let sums_to_one = row.len() == 1 || (sum - 1.0).abs() <= 0.02;
    if !row.iter().all(|p| (-1e-6..=1.0 + 1e-3).contains(p)) || !sums_to_one {
        return Err(refuse(format!("expected probabilities of classes, found {row:?}; are they logits?")));
    }
    Ok(StepScore::Known(score.clamp(0.0, 1.0)))
}

/// OpenAI: `{"choices": [{"logprobs": {"content": [{"token", "logprob", "top_logprobs": [..]}, ..]}}]}`.
fn chat_labels(body: &Value, positive: &str, negative: &str) -> Result<Scores, Fault> {
    let Some(choice) = body.get("choices").and_then(|choices| choices.get(0)) else {
        return Err(garbage(body.to_string().as_bytes(), "no choices"));
    };
    if let Some(error) = choice.get("error").filter(|error| !error.is_null()) {
        return Err(Said::of_error(error).inside_success());
    }
    let Some(first) = choice.pointer("/logprobs/content/0") else {
        return Err(refuse("expected log-probabilities of the first token, found none: the server ignores `logprobs`"));
    };
    let chosen = Seen::read(first)?;
    let top = first.get("top_logprobs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut seen = top.iter().map(Seen::read).collect::<Result<Vec<_>, _>>()?;
    if let Some(at) = seen.iter().position(|other| other.token == chosen.token) {
        seen[at].chosen = true;
    } else {
        seen.push(Seen { chosen: true, ..chosen });
    }
    Ok(all(vec![compare(&seen, positive, negative)], body))
}

/// A token that the server named at a position.
#[derive(Debug, Clone)]
struct Seen<'a> {
    token: Cow<'a, str>,
    logprob: f64,
    /// It is the one that was written (or stood) there, and may be less likely than others that were not named.
    chosen: bool,
}

impl<'a> Seen<'a> {
    fn read(entry: &'a Value) -> Result<Self, Fault> {
        let token = entry.get("token").and_then(Value::as_str);
        let (Some(token), Some(logprob)) = (token, entry.get("logprob").and_then(Value::as_f64)) else {
            return Err(refuse(format!(
                "expected a token and its log-probability, found {}",
                excerpt(&entry.to_string())
            )));
        };
        Ok(Seen { token: token.into(), logprob: checked(logprob)?, chosen: false })
    }
}

fn checked(logprob: f64) -> Result<f64, Fault> {
    // Rounding puts certain tokens a little above zero.
    if logprob.is_finite() && logprob <= 1e-2 {
        Ok(logprob.min(0.0))
    } else {
        Err(refuse(format!("expected a log-probability, at most 0, found {logprob}")))
    }
}

/// Servers write this or less for a probability of zero, which JSON has no logarithm of.
const ZERO: f64 = -1000.0;

/// P(positive) / (P(positive) + P(negative)), as far as the named tokens tell.
fn compare(seen: &[Seen], positive: &str, negative: &str) -> StepScore {
    // A missing token is at most as likely as the least likely that was named for its rank.
    let ranked = seen.iter().filter(|seen| !seen.chosen);
    let least = ranked.map(|seen| seen.logprob).min_by(f64::total_cmp);
    let least = least.or_else(|| seen.first().map(|seen| seen.logprob)).unwrap_or(0.0);
    let known = |label: &str, other: &str| {
        let logprobs = seen.iter().filter(|seen| says(&seen.token, label, other)).map(|seen| seen.logprob);
        log_sum(logprobs).filter(|logprob| *logprob > ZERO)
    };
    let named = |label: &str, other: &str| seen.iter().any(|seen| says(&seen.token, label, other));
    match (known(positive, negative), known(negative, positive)) {
        (Some(p), Some(n)) => StepScore::Known(share(p, n)),
        // Named with a probability of zero, which is a word too.
        (Some(_), None) if named(negative, positive) => StepScore::Known(1.0),
        (None, Some(_)) if named(positive, negative) => StepScore::Known(0.0),
        (Some(p), None) => StepScore::Bounded { low: share(p, least), high: 1.0 },
        (None, Some(n)) => StepScore::Bounded { low: 0.0, high: share(least, n) },
        (None, None) => StepScore::Undecided,
    }
}

/// vLLM: `{"choices": [{"prompt_logprobs": [null, {"ID": {"logprob", "rank", "decoded_token"}, ..}, ..]}]}`.
fn prompt_logprobs(bytes: &[u8], mark: &str, positive: &str, negative: &str, n_steps: usize) -> Result<Scores, Fault> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        choices: Vec<Choice<'a>>,
        #[serde(default)]
        usage: Value,
        #[serde(default)]
        model: Value,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(borrow, default)]
        prompt_logprobs: Option<Vec<Option<Position<'a>>>>,
        #[serde(default)]
        prompt_token_ids: Option<Vec<u64>>,
    }
    let body: Body = match serde_json::from_slice(bytes) {
        Ok(body) => body,
        Err(error) => {
            // It may be an error, or no JSON at all; those are told first.
            object(bytes)?;
            return Err(garbage(bytes, &error.to_string()));
        }
    };
    let [choice] = body.choices.as_slice() else {
        return Err(refuse(format!("expected one choice, found {}", body.choices.len())));
    };
    let Some(positions) = choice.prompt_logprobs.as_ref().filter(|positions| positions.len() > 1) else {
        return Err(refuse(
            "expected log-probabilities of the prompt, found none: the server ignores `prompt_logprobs`",
        ));
    };
    let ids = choice.prompt_token_ids.as_ref().filter(|ids| ids.len() == positions.len());
    let actual = |at: usize| {
        let position = positions.get(at)?.as_ref()?;
        let id = ids.map(|ids| ids[at].to_string());
        match id {
            Some(id) => position.0.iter().find(|(known, _)| *known == id).map(|(_, entry)| entry),
            // The token that stands there comes first.
            None => position.0.first().map(|(_, entry)| entry),
        }
    };
    let tokens: Vec<&str> =
        (0..positions.len()).map(|at| actual(at).map_or("", |entry| entry.decoded_token.as_ref())).collect();
    let marks = marks(&tokens, mark);
    // The question may hold the mark too; steps may not.
    let Some(first) = marks.len().checked_sub(n_steps) else {
        return Err(refuse(format!(
            "expected the mark `{mark}` {n_steps} times in the prompt as the server read it, found it {} times; \
             is it a token of this model, and was the prompt cut?",
            marks.len()
        )));
    };
    let steps = marks[first..].iter().map(|&at| {
        // What follows the mark is drawn from what the model thinks where the mark has just been read.
        let Some(Some(next)) = positions.get(at + 1) else {
            return Err(refuse("expected log-probabilities behind the last mark, found none"));
        };
        let follows = actual(at + 1).map(std::ptr::from_ref);
        let seen = next.0.iter().map(|(_, entry)| {
            Ok(Seen {
                token: Cow::Borrowed(&entry.decoded_token),
                logprob: checked(entry.logprob)?,
                chosen: follows.is_some_and(|follows| std::ptr::eq(follows, entry)),
            })
        });
        Ok(compare(&seen.collect::<Result<Vec<_>, Fault>>()?, positive, negative))
    });
    let steps = steps.collect::<Result<Vec<_>, Fault>>()?;
    Ok(all(steps, &serde_json::json!({ "usage": body.usage, "model": body.model })))
}

/// Where each mark ends, as an index of tokens. A mark may be several tokens.
fn marks(tokens: &[&str], mark: &str) -> Vec<usize> {
    let mark = bare(mark);
    let ends = |&at: &usize| {
        let mut rest = mark;
        for token in tokens[..=at].iter().rev() {
            // Blanks stand before words only; behind the mark they would belong to what follows.
            let word = token.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{2581}' | '\u{120}'));
            if word == rest {
                return true;
            }
            match rest.strip_suffix(word) {
                Some(before) if !word.is_empty() && word.len() == token.len() => rest = before,
                _ => return false,
            }
        }
        false
    };
    (0..tokens.len()).filter(ends).collect()
}

/// The tokens named at one position, in the order in which they were written.
struct Position<'a>(Vec<(Cow<'a, str>, Entry<'a>)>);

#[derive(Deserialize)]
struct Entry<'a> {
    logprob: f64,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    decoded_token: Cow<'a, str>,
}

/// vLLM writes `null` for what is no text of its own.
fn text_or_nothing<'de: 'a, 'a, D: Deserializer<'de>>(json: D) -> Result<Cow<'a, str>, D::Error> {
    Ok(Option::<Text>::deserialize(json)?.map(|text| text.0).unwrap_or_default())
}

/// A string, borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Position<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Position<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tokens")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some((Text(id), entry)) = map.next_entry()? {
                    entries.push((id, entry));
                }
                Ok(Position(entries))
            }
        }
        json.deserialize_map(InOrder)
    }
}

/// What [`Scores::to_raw`] writes.
fn own(body: &Value, n_steps: usize) -> Result<Scores, Fault> {
    let whole = body.get("whole").filter(|whole| !whole.is_null());
    if let Some(whole) = whole {
        let whole = one_own(whole)?;
        return Ok(Scores { whole: Some(whole), ..all(Vec::new(), body) });
    }
    let Some(list) = body.get("scores").and_then(Value::as_array) else {
        return Err(garbage(body.to_string().as_bytes(), "no list `scores`"));
    };
    if list.len() != n_steps {
        return Err(refuse(format!("expected {n_steps} scores, found {}", list.len())));
    }
    let steps = list.iter().map(one_own).collect::<Result<_, _>>()?;
    Ok(all(steps, body))
}

/// A number, `null`, or `[low, high]`.
pub(crate) fn one_own(value: &Value) -> Result<StepScore, Fault> {
    let bad = || refuse(format!("expected a score in 0..=1, found {}", excerpt(&value.to_string())));
    let score = |value: &Value| value.as_f64().filter(|score| (0.0..=1.0).contains(score)).ok_or_else(bad);
    match value {
        Value::Null => Ok(StepScore::Undecided),
        Value::Array(bounds) => match bounds.as_slice() {
            [low, high] => {
                let (low, high) = (score(low)?, score(high)?);
                if low <= high { Ok(StepScore::Bounded { low, high }) } else { Err(bad()) }
            }
            _ => Err(bad()),
        },
        value => score(value).map(StepScore::Known),
    }
}
