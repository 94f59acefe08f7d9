//! What went wrong, and is it worth another try? Reads every server's way of saying no.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::{Fault, FaultKind};

/// Longest piece of a server's words in a message, in characters.
const EXCERPT: usize = 300;

impl Fault {
    /// A fault without a response.
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), status: None, retry_after: None, body: None }
    }

    /// The same fault, with what came.
    pub(crate) fn with_body(mut self, body: Bytes) -> Self {
        self.body = (!body.is_empty()).then_some(body);
        self
    }
}

/// Money or quota is used up: OpenAI, Anthropic, DeepSeek and others' codes and words.
const QUOTA: [&str; 9] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "enforced_spend_limit_reached",
    "insufficient balance",
    "insufficient_balance",
    "credit balance is too low",
    "insufficient credits",
];

/// The prompt does not fit.
const CONTEXT: [&str; 11] = [
    "context_length_exceeded",
    "maximum context length",
    "exceed_context_size",
    "exceeds the available context size",
    "context length",
    "context window",
    "prompt is too long",
    "input is too long",
    "longer than the model's",
    "maximum model length",
    "input length",
];

/// A filter refuses.
const FILTER: [&str; 8] = [
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "data_inspection_failed",
    "datainspectionfailed",
    "invalid_prompt",
    "moderation",
    "flagged",
];

/// The key is missing or refused, said with another status than 401.
const AUTH: [&str; 4] = ["invalid_api_key", "api key not valid", "authentication_error", "invalid api key"];

/// The model is unknown, said with another status than 404.
const NO_MODEL: [&str; 5] =
    ["model_not_found", "model not found", "unknown model", "is not a valid model", "invalid model name"];

/// What a server says in a body that reports an error.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Its words, shortened.
    pub(crate) words: String,
    /// Everything it says, lower-case, to look for codes in.
    haystack: String,
    /// HTTP status named inside the body.
    status: Option<u16>,
    /// Wait that the body asks for (Gemini's `RetryInfo`).
    pub(crate) retry_after: Option<Duration>,
}

impl Said {
    /// Reads an error body, JSON in any of the known shapes or plain text.
    pub(crate) fn of_body(body: &[u8]) -> Said {
        match serde_json::from_slice::<Value>(body) {
            // Gemini wraps its errors in a list.
            Ok(Value::Array(list)) if list.len() == 1 => Said::of_object(&list[0]),
            Ok(value) => Said::of_object(&value),
            Err(_) => Said::of_text(&String::from_utf8_lossy(body)),
        }
    }

    /// Reads a whole response object: `{"error": {..}}`, `{"error": ".."}`, `{"message": ..}`, `{"detail": ..}`.
    pub(crate) fn of_object(value: &Value) -> Said {
        Said::of_error(value.get("error").filter(|error| !error.is_null()).unwrap_or(value))
    }

    /// Reads the error itself.
    pub(crate) fn of_error(error: &Value) -> Said {
        if let Some(text) = error.as_str() {
            return Said::of_text(text);
        }
        let words = ["message", "detail", "msg", "error"].iter().find_map(|key| error.get(key));
        let words = match words {
            Some(Value::String(words)) => words.clone(),
            // FastAPI lists what is wrong with each field, and repeats what it was sent.
            Some(Value::Array(list)) if list.iter().any(|item| item.get("msg").is_some()) => {
                let said: Vec<&str> = list.iter().filter_map(|item| item.get("msg")?.as_str()).collect();
                return Said::of_text(&said.join("; "));
            }
            Some(other) => other.to_string(),
            None => error.to_string(),
        };
        let status = ["code", "status", "status_code", "http_status"].iter().find_map(|key| {
            let value = error.get(key)?;
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
            u16::try_from(number).ok().filter(|status| (400..600).contains(status))
        });
        let retry_after = error
            .get("details")
            .and_then(Value::as_array)
            .and_then(|details| details.iter().find_map(|detail| duration(detail.get("retryDelay")?.as_str()?)));
        Said { words: excerpt(&words), haystack: error.to_string().to_lowercase(), status, retry_after }
    }

    fn of_text(text: &str) -> Said {
        Said { words: excerpt(text), haystack: text.to_lowercase(), ..Said::default() }
    }

    fn has(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.haystack.contains(code))
    }

    /// The kind of fault, from the HTTP status and the words. `should_retry` is the header `x-should-retry`.
    pub(crate) fn kind(&self, status: u16, wait_given: bool, should_retry: Option<bool>) -> FaultKind {
        let kind = self.kind_of(status, wait_given);
        match (kind, should_retry) {
            (FaultKind::BadRequest, Some(true)) => FaultKind::Transient,
            (FaultKind::Transient, Some(false)) => FaultKind::BadRequest,
            _ => kind,
        }
    }

    fn kind_of(&self, status: u16, wait_given: bool) -> FaultKind {
        match status {
            402 => FaultKind::Quota,
            400..500 if self.has(&QUOTA) => FaultKind::Quota,
            429 => {
                // Gemini names the wait when waiting helps, and names none when the money is gone.
                let out_of_money = self.haystack.contains("resource_exhausted")
                    && !wait_given
                    && self.retry_after.is_none()
                    && !self.haystack.contains("try again");
                if out_of_money { FaultKind::Quota } else { FaultKind::RateLimited }
            }
            503 | 529 => FaultKind::RateLimited,
            403 if self.has(&FILTER) => FaultKind::ContentFiltered,
            401 | 403 => FaultKind::Auth,
            // A wrong path and an unknown model look alike, and neither heals. Redirects are not followed:
            // a POST would become a GET, and the key would travel.
            300..400 | 404 | 405 | 410 => FaultKind::ModelNotFound,
            408 | 409 | 425 | 499 => FaultKind::Transient,
            413 => FaultKind::ContextTooLong,
            400..500 if self.has(&AUTH) => FaultKind::Auth,
            400..500 if self.has(&CONTEXT) => FaultKind::ContextTooLong,
            400..500 if self.has(&FILTER) => FaultKind::ContentFiltered,
            400..500 if self.has(&NO_MODEL) => FaultKind::ModelNotFound,
            400..500 => FaultKind::BadRequest,
            _ => FaultKind::Transient,
        }
    }

    /// The fault for an error inside a 200, or inside a stream that began well.
    pub(crate) fn inside_success(self) -> Fault {
        let kind = match self.status {
            Some(status) => self.kind_of(status, self.retry_after.is_some()),
            None if self.has(&QUOTA) => FaultKind::Quota,
            None if self.has(&["rate_limit", "rate limit", "too many requests", "overloaded", "queue is full"]) => {
                FaultKind::RateLimited
            }
            None if self.has(&AUTH) => FaultKind::Auth,
            None if self.has(&CONTEXT) => FaultKind::ContextTooLong,
            None if self.has(&FILTER) => FaultKind::ContentFiltered,
            None if self.has(&NO_MODEL) => FaultKind::ModelNotFound,
            None => FaultKind::Transient,
        };
        let mut fault = Fault::new(kind, format!("the server reported an error inside its answer: {}", self.words));
        fault.retry_after = self.retry_after;
        fault
    }
}

/// A duration as servers write it: `59s`, `1.5s`, `12ms`, `6m0s`, `1h2m3s`, or bare seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_checked(seconds);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "\u{b5}s" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total).and_then(seconds_checked)
}

/// Seconds as a duration; a day at most, `None` for what is no time at all.
pub(crate) fn seconds_checked(seconds: f64) -> Option<Duration> {
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(86400.0)))
}

/// A server's words on one line, shortened, with anything that looks like a key taken out.
pub(crate) fn excerpt(text: &str) -> String {
    let mut words = String::new();
    let mut after_bearer = false;
    for word in text.split_whitespace() {
        if words.chars().count() > EXCERPT {
            words.push('\u{2026}');
            break;
        }
        if !words.is_empty() {
            words.push(' ');
        }
        let secret = after_bearer || ["sk-", "sk_", "gsk_", "hf_", "AIza"].iter().any(|mark| looks_secret(word, mark));
        words.push_str(if secret { "[redacted]" } else { word });
        after_bearer = word.eq_ignore_ascii_case("bearer");
    }
    match words.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}\u{2026}", &words[..end]),
        None => words,
    }
}

/// Whether a word holds a key prefix that is followed by something as long as a key.
fn looks_secret(word: &str, mark: &str) -> bool {
    word.match_indices(mark).any(|(at, _)| {
        let own_word = !word[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let rest = word[at + mark.len()..].chars();
        own_word && rest.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*')).count() >= 8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, kind: FaultKind) {
        assert_eq!(Said::of_body(body.as_bytes()).kind(status, false, None), kind, "{status} {body}");
    }

    #[test]
    fn statuses_and_codes_are_told_apart() {
        use FaultKind::*;
        check(429, r#"{"error":{"message":"Slow down","type":"requests","code":"rate_limit_exceeded"}}"#, RateLimited);
        check(429, r#"{"error":{"message":"No money","code":"insufficient_quota"}}"#, Quota);
        check(429, r#"{"error":{"details":{"error_code":"enforced_spend_limit_reached"}}}"#, Quota);
        check(429, r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Spend cap"}}]"#, Quota);
        check(
            429,
            r#"{"error":{"status":"RESOURCE_EXHAUSTED","message":"Wait","details":[{"@type":"x/RetryInfo","retryDelay":"59s"}]}}"#,
            RateLimited,
        );
        check(402, r#"{"error":{"message":"Insufficient Balance"}}"#, Quota);
        check(401, r#"{"error":"Unauthorized"}"#, Auth);
        check(403, "<html>no</html>", Auth);
        check(403, r#"{"error":{"message":"Input was flagged by moderation","code":403}}"#, ContentFiltered);
        check(404, r#"{"detail":"Not Found"}"#, ModelNotFound);
        check(400, r#"{"error":{"message":"API key not valid. Please pass a valid one."}}"#, Auth);
        check(400, r#"{"error":{"message":"This model's maximum context length is 4096 tokens"}}"#, ContextTooLong);
        check(400, r#"{"error":{"code":400,"type":"exceed_context_size_error","message":"too big"}}"#, ContextTooLong);
        check(400, r#"{"error":{"code":"invalid_prompt","message":"no"}}"#, ContentFiltered);
        check(400, r#"{"error":{"message":"x is not a valid model ID"}}"#, ModelNotFound);
        check(422, r#"{"detail":[{"msg":"field required","input":"unknown model, insufficient_quota"}]}"#, BadRequest);
        check(
            429,
            r#"{"error":{"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota","details":[{"retryDelay":"9s"}]}}"#,
            RateLimited,
        );
        check(500, "", Transient);
        check(502, "<html>bad gateway</html>", Transient);
        check(503, r#"{"object":"error","message":"The request queue is full.","code":503}"#, RateLimited);
        check(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, RateLimited);
        check(408, "", Transient);
        check(308, "", ModelNotFound);
    }

    #[test]
    fn the_server_may_ask_for_a_retry_or_forbid_it() {
        let said = Said::of_body(b"{}");
        assert_eq!(said.kind(400, false, Some(true)), FaultKind::Transient);
        assert_eq!(said.kind(500, false, Some(false)), FaultKind::BadRequest);
        assert_eq!(said.kind(401, false, Some(true)), FaultKind::Auth);
    }

    #[test]
    fn errors_inside_success_are_classified_by_their_own_code() {
        let kind = |body: &str| Said::of_body(body.as_bytes()).inside_success().kind;
        assert_eq!(kind(r#"{"error":{"code":502,"message":"Upstream broke"}}"#), FaultKind::Transient);
        assert_eq!(kind(r#"{"error":{"code":429,"message":"Busy"}}"#), FaultKind::RateLimited);
        assert_eq!(kind(r#"{"error":{"code":402,"message":"Add credits"}}"#), FaultKind::Quota);
        assert_eq!(kind(r#"{"error":"out of memory"}"#), FaultKind::Transient);
        assert_eq!(
            kind(r#"{"error":{"type":"BadRequestError","code":400,"message":"n too big"}}"#),
            FaultKind::BadRequest
        );
    }

    #[test]
    fn durations_are_read_in_all_forms() {
        let ms = |text| duration(text).map(|wait| wait.as_millis());
        assert_eq!(ms("59s"), Some(59_000));
        assert_eq!(ms("12ms"), Some(12));
        assert_eq!(ms("6m0s"), Some(360_000));
        assert_eq!(ms("1h2m3.5s"), Some(3_723_500));
        assert_eq!(ms("2.5"), Some(2500));
        assert_eq!(ms("1e300"), Some(86_400_000));
        for bad in ["", "soon", "-1", "NaN", "5x", "s", "1.2.3s"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(
            status in 100_u16..600, body in r#"(\{|\}|\[|\]|"error"|"message"|"code"|"details"|"retryDelay"|:|,|"9s"|429|sk-|é|"| ){0,40}"#
        ) {
            let said = Said::of_body(body.as_bytes());
            let _ = (said.kind(status, false, None), said.inside_success());
            let _ = duration(&body);
        }
    }

    #[test]
    fn words_never_hold_a_key_and_stay_short() {
        let words = excerpt("Incorrect API key provided: sk-abcdefgh12345678. Authorization: Bearer verysecret end");
        assert_eq!(words, "Incorrect API key provided: [redacted] Authorization: Bearer [redacted] end");
        assert_eq!(excerpt("a task-oriented hf_x"), "a task-oriented hf_x");
        assert!(excerpt(&"\u{e9}".repeat(5000)).chars().count() <= EXCERPT + 1);
    }
}
