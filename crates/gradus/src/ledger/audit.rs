//! Looking into a ledger: what it holds, whether it is whole, and all of it as JSONL.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::{LedgerError, Reader, body_hash};
use crate::attempt::Key;
use crate::budget::Spend;

/// Counts over a ledger.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stats {
    /// Settled work by kind and model.
    pub attempts: Vec<AttemptStats>,
    /// Tries by how they ended: `ok` or a kind of fault.
    pub requests: BTreeMap<String, u64>,
    /// Tokens read over all tries.
    pub prompt_tokens: u64,
    /// Tokens written over all tries.
    pub completion_tokens: u64,
    /// US dollars over all tries, as far as prices were known.
    pub cost_usd: f64,
}

/// Counts over the settled work of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptStats {
    /// `generation`, `scoring` or `execution`.
    pub kind: String,
    /// Model name, or the language of programs.
    pub model: String,
    /// Revision.
    pub revision: String,
    /// How many are settled.
    pub settled: u64,
    /// How many of them are truncated.
    pub truncated: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which row.
    pub item: String,
    /// What is wrong.
    pub message: String,
}

/// One attempt with everything known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Key in hex.
    pub key: String,
    /// `generation`, `scoring` or `execution`.
    pub kind: String,
    /// Model name.
    pub model: String,
    /// Number of the attempt.
    pub attempt: i64,
    /// Why it ended.
    pub finish: String,
    /// How the body is to be read.
    pub form: String,
    /// What was asked.
    pub payload: Value,
    /// The result as it came.
    pub body: String,
    /// Every try: when, how long, how it ended.
    pub requests: Vec<Value>,
}

/// One try, with what it was for.
#[derive(Debug, Clone, PartialEq)]
pub struct Try {
    /// What was tried.
    pub key: Key,
    /// `generation`, `scoring` or `execution`, model and revision; none if it never was settled.
    pub settled: Option<(String, String, String)>,
    /// When it began: milliseconds since 1970, UTC.
    pub started_ms: i64,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// `ok` or a kind of fault.
    pub fault: String,
    /// Tokens read, where the server counted.
    pub prompt_tokens: Option<u64>,
    /// Tokens written, where the server counted.
    pub completion_tokens: Option<u64>,
    /// US dollars, if known.
    pub cost_usd: Option<f64>,
    /// It brought the result that is recorded.
    pub settles: bool,
}

impl Reader {
    /// Every try, in the order in which they began.
    pub fn tries(&self, mut each: impl FnMut(Try)) -> Result<(), LedgerError> {
        let sqlite = |source| self.sqlite(source);
        let mut statement = self
            .connection()
            .prepare(
                "SELECT r.key, a.kind, a.model, a.revision, r.started_ms, r.took_ms, r.fault, r.prompt_tokens,
                 r.completion_tokens, r.cost_usd,
                 coalesce(a.at_ms = r.started_ms + r.took_ms, 0)
                 AND r.fault IN ('ok', 'context_too_long', 'content_filtered')
                 FROM requests r LEFT JOIN attempts a ON a.key = r.key ORDER BY r.started_ms, r.key, r.try",
            )
            .map_err(sqlite)?;
        let mut rows = statement.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let key: Vec<u8> = row.get(0).map_err(sqlite)?;
            let key = Key(key.try_into().map_err(|_| self.damaged("a key has not 32 bytes".into()))?);
            let text = |column| row.get::<_, Option<String>>(column).map_err(sqlite);
            let tokens = |column| row.get::<_, Option<i64>>(column).map_err(sqlite).map(|n| n.map(|n| n as u64));
            let settled = match (text(1)?, text(2)?, text(3)?) {
                (Some(kind), Some(model), Some(revision)) => Some((kind, model, revision)),
                _ => None,
            };
            each(Try {
                key,
                settled,
                started_ms: row.get(4).map_err(sqlite)?,
                took_ms: row.get(5).map_err(sqlite)?,
                fault: row.get(6).map_err(sqlite)?,
                prompt_tokens: tokens(7)?,
                completion_tokens: tokens(8)?,
                cost_usd: row.get(9).map_err(sqlite)?,
                settles: row.get(10).map_err(sqlite)?,
            });
        }
        Ok(())
    }

    /// What all tries together have used, as far as servers and prices told.
    pub fn spent(&self) -> Result<Spend, LedgerError> {
        let sums = "SELECT coalesce(sum(cost_usd), 0.0), coalesce(sum(prompt_tokens), 0)
                    + coalesce(sum(completion_tokens), 0) FROM requests";
        let spend = |row: &rusqlite::Row<'_>| Ok(Spend { usd: row.get(0)?, tokens: row.get::<_, i64>(1)? as u64 });
        self.connection().query_row(sums, [], spend).map_err(|source| self.sqlite(source))
    }

    /// Counts.
    pub fn stats(&self) -> Result<Stats, LedgerError> {
        let sqlite = |source| self.sqlite(source);
        let mut stats = Stats::default();
        let mut statement = self
            .connection()
            .prepare(
                "SELECT kind, model, revision, count(*), sum(finish = 'length'), coalesce(sum(prompt_tokens), 0),
                 coalesce(sum(completion_tokens), 0), coalesce(sum(cost_usd), 0.0)
                 FROM attempts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            )
            .map_err(sqlite)?;
        let rows = statement.query_map([], |row| {
            Ok(AttemptStats {
                kind: row.get(0)?,
                model: row.get(1)?,
                revision: row.get(2)?,
                settled: row.get::<_, i64>(3)? as u64,
                truncated: row.get::<_, i64>(4)? as u64,
                prompt_tokens: row.get::<_, i64>(5)? as u64,
                completion_tokens: row.get::<_, i64>(6)? as u64,
                cost_usd: row.get(7)?,
            })
        });
        stats.attempts = rows.and_then(Iterator::collect).map_err(sqlite)?;
        let mut statement = self
            .connection()
            .prepare(
                "SELECT fault, count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
                 coalesce(sum(cost_usd), 0.0) FROM requests GROUP BY 1 ORDER BY 1",
            )
            .map_err(sqlite)?;
        let mut rows = statement.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let read = |column| row.get::<_, i64>(column).map_err(sqlite);
            stats.requests.insert(row.get(0).map_err(sqlite)?, read(1)? as u64);
            stats.prompt_tokens += read(2)? as u64;
            stats.completion_tokens += read(3)? as u64;
            stats.cost_usd += row.get::<_, f64>(4).map_err(sqlite)?;
        }
        Ok(stats)
    }

    /// Checks the file and every row: bodies decompress to their hash, keys follow from payload and attempt.
    pub fn verify(&self) -> Result<(u64, Vec<Problem>), LedgerError> {
        let sqlite = |source| self.sqlite(source);
        let mut problems = Vec::new();
        let integrity: String =
            self.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(sqlite)?;
        if integrity != "ok" {
            problems.push(Problem { item: "file".into(), message: integrity });
        }
        let mut statement = self
            .connection()
            .prepare(
                "SELECT a.key, a.kind, a.attempt, a.payload, a.body_hash, a.body, p.body
                 FROM attempts a LEFT JOIN payloads p ON p.hash = a.payload",
            )
            .map_err(sqlite)?;
        let mut rows = statement.query([]).map_err(sqlite)?;
        let mut n_rows = 0;
        while let Some(row) = rows.next().map_err(sqlite)? {
            n_rows += 1;
            let blob = |column| row.get::<_, Vec<u8>>(column).map_err(sqlite);
            let key: [u8; 32] = blob(0)?.try_into().map_err(|_| self.damaged("a key has not 32 bytes".into()))?;
            let item = Key(key).short();
            let mut wrong = |message: String| problems.push(Problem { item: item.clone(), message });
            match super::decompress(&blob(5)?) {
                Ok(body) if body_hash(&body)[..] == blob(4)?[..] => {}
                Ok(_) => wrong("the body is not the one that was recorded".into()),
                Err(error) => wrong(format!("the body does not decompress: {error}")),
            }
            let Some(payload) = row.get::<_, Option<Vec<u8>>>(6).map_err(sqlite)? else {
                wrong("what was asked is missing".into());
                continue;
            };
            match super::decompress(&payload) {
                Ok(payload) => {
                    let hash = blake3::hash(&payload);
                    let kind: String = row.get(1).map_err(sqlite)?;
                    let attempt: i64 = if kind == "execution" { 0 } else { row.get(2).map_err(sqlite)? };
                    let follows = crate::work::attempt_key(hash.as_bytes(), attempt as u32);
                    if hash.as_bytes()[..] != blob(3)?[..] || *follows.as_bytes() != key {
                        wrong("the key does not follow from what was asked".into());
                    }
                }
                Err(error) => wrong(format!("what was asked does not decompress: {error}")),
            }
        }
        Ok((n_rows, problems))
    }

    /// Attempts whose key begins with these hex digits; an empty prefix means all, in the order of their keys.
    pub fn show(&self, prefix: &str, mut each: impl FnMut(Shown) -> io::Result<()>) -> Result<u64, ShowError> {
        let sqlite = |source| self.sqlite(source);
        let mut statement = self
            .connection()
            .prepare(
                "SELECT a.key, lower(hex(a.key)), a.kind, a.model, a.attempt, a.finish, a.form, p.body, a.body
                 FROM attempts a JOIN payloads p ON p.hash = a.payload
                 WHERE a.key BETWEEN ?1 AND ?2 ORDER BY a.key",
            )
            .map_err(sqlite)?;
        let mut tries = self
            .connection()
            .prepare(
                "SELECT started_ms, try, took_ms, fault, status, message, cost_usd FROM requests WHERE key = ?1
                 ORDER BY started_ms, try",
            )
            .map_err(sqlite)?;
        let Some([first, last]) = keys_from(prefix) else { return Ok(0) };
        let mut rows = statement.query([first, last]).map_err(sqlite)?;
        let mut n_rows = 0;
        while let Some(row) = rows.next().map_err(sqlite)? {
            n_rows += 1;
            let blob = |column| row.get::<_, Vec<u8>>(column).map_err(sqlite);
            let text = |column| row.get::<_, String>(column).map_err(sqlite);
            let key = text(1)?;
            let payload = self.decompress(&blob(7)?, || format!("payload of {key}"))?;
            let body = self.decompress(&blob(8)?, || format!("body of {key}"))?;
            let requests = tries
                .query_map([blob(0)?], |row| {
                    Ok(json!({
                        "started_ms": row.get::<_, i64>(0)?,
                        "try": row.get::<_, i64>(1)?,
                        "took_ms": row.get::<_, i64>(2)?,
                        "fault": row.get::<_, String>(3)?,
                        "status": row.get::<_, Option<i64>>(4)?,
                        "message": row.get::<_, String>(5)?,
                        "cost_usd": row.get::<_, Option<f64>>(6)?,
                    }))
                })
                .and_then(Iterator::collect)
                .map_err(sqlite)?;
            each(Shown {
                kind: text(2)?,
                model: text(3)?,
                attempt: row.get(4).map_err(sqlite)?,
                finish: text(5)?,
                form: text(6)?,
                payload: serde_json::from_slice(&payload)
                    .map_err(|error| self.damaged(format!("payload of {key}: {error}")))?,
                body: String::from_utf8_lossy(&body).into_owned(),
                requests,
                key,
            })
            .map_err(ShowError::Output)?;
        }
        Ok(n_rows)
    }

    /// Writes every attempt as one JSON object a line, in the order of the keys.
    pub fn export(&self, out: &mut impl Write) -> Result<u64, ShowError> {
        self.show("", |shown| {
            serde_json::to_writer(&mut *out, &shown)?;
            out.write_all(b"\n")
        })
    }
}

/// The lowest and the highest key that begins with these hex digits; none if they are not such.
fn keys_from(prefix: &str) -> Option<[[u8; 32]; 2]> {
    if prefix.len() > 64 || !prefix.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let filled = |with: &str| {
        let digits = format!("{prefix}{}", with.repeat(64 - prefix.len()));
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("these are hex digits");
        std::array::from_fn(byte)
    };
    Some([filled("0"), filled("f")])
}

/// Why showing stopped.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// Reading failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The output failed.
    #[error("output: {0}")]
    Output(io::Error),
}
