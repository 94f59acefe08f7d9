//! The SQLite file: layout, transactions, reading, merging.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Entry, Form, LedgerError, Stored, VERSION};
use crate::attempt::Key;

const LAYOUT: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- What was asked, once for all attempts at it: zstd of JSON.
CREATE TABLE payloads (hash BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- One row per settled piece of work.
CREATE TABLE attempts (
    key BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    payload BLOB NOT NULL,
    form TEXT NOT NULL,
    finish TEXT NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_usd REAL,
    at_ms INTEGER NOT NULL,
    body_hash BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;
-- One row per try on the wire.
CREATE TABLE requests (
    key BLOB NOT NULL,
    started_ms INTEGER NOT NULL,
    try INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    fault TEXT NOT NULL,
    status INTEGER,
    message TEXT NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cost_usd REAL,
    body BLOB,
    PRIMARY KEY (key, started_ms, try)
) STRICT;
-- What identified the weights behind each model name when it was first asked.
CREATE TABLE models (
    name TEXT NOT NULL,
    revision TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    server TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
) STRICT, WITHOUT ROWID;
";

/// Pages in the WAL after which they are copied into the file. Keys are random, so most pages of the indices
/// change again and again: the later, the fewer copies.
const CHECKPOINT_PAGES: u32 = 8_000;
/// Pages that the writer keeps in memory: enough for the indices of some 100,000 attempts.
const CACHE_PAGES: u32 = 8_000;

/// How hard a commit tries to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Synced at each commit.
    Full,
    /// Not synced; for simulations.
    Off,
}

#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, LedgerError> {
        let sqlite = |source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) };
        let connection = Connection::open(path).map_err(sqlite)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(sqlite)?;
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::Off => "OFF",
        };
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
                 PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}; PRAGMA cache_size={CACHE_PAGES};"
            ))
            .map_err(sqlite)?;
        let store = Self { path: path.to_owned(), connection };
        if n_tables(&store.connection).map_err(sqlite)? == 0 {
            store
                .connection
                .execute_batch(&format!("BEGIN; {LAYOUT} INSERT INTO meta VALUES ('version', '{VERSION}'); COMMIT;"))
                .map_err(sqlite)?;
        } else {
            check_version(path, &store.connection)?;
        }
        Ok(store)
    }

    /// Writes these entries in one transaction.
    pub(super) fn commit(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        let path = self.path.clone();
        let sqlite = |source| LedgerError::Sqlite { path: path.clone(), source: Arc::new(source) };
        let transaction = self.connection.transaction().map_err(sqlite)?;
        for entry in entries {
            write(&transaction, entry).map_err(sqlite)?;
        }
        transaction.commit().map_err(sqlite)
    }
}

fn write(connection: &Connection, entry: &Entry) -> Result<(), rusqlite::Error> {
    let request = &entry.request;
    connection
        .prepare_cached("INSERT OR IGNORE INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
        .execute(params![
            request.key.0,
            request.started_ms,
            request.n_try,
            request.took_ms,
            request.fault,
            request.status,
            request.message,
            request.prompt_tokens.map(|n| n as i64),
            request.completion_tokens.map(|n| n as i64),
            request.cost_usd,
            request.body,
        ])?;
    let Some(settled) = &entry.attempt else { return Ok(()) };
    connection
        .prepare_cached("INSERT OR IGNORE INTO payloads VALUES (?1, ?2)")?
        .execute(params![settled.keys.payload.0, settled.payload])?;
    // The first answer stands: a second one for the same key can only come from a merge or two runs on one ledger.
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            settled.keys.attempt.0,
            settled.kind,
            settled.model,
            settled.revision,
            settled.number,
            settled.keys.payload.0,
            settled.form.name(),
            settled.finish,
            request.prompt_tokens.map(|n| n as i64),
            request.completion_tokens.map(|n| n as i64),
            request.cost_usd,
            request.started_ms + request.took_ms,
            settled.body_hash,
            settled.body,
        ])?;
    Ok(())
}

fn n_tables(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
}

fn check_version(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = 'version'", [], |row| row.get(0))
        .optional()
        .ok()
        .flatten();
    match found.and_then(|version| version.parse::<i64>().ok()) {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(LedgerError::Newer { path: path.to_owned(), found }),
        other => Err(LedgerError::Damaged {
            path: path.to_owned(),
            message: format!("an SQLite file, but no ledger of Gradus (version {other:?})"),
        }),
    }
}

/// Reads a ledger while others write it.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    /// Opens an existing ledger for reading.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let sqlite = |source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(sqlite)?;
        connection.execute_batch("PRAGMA query_only=ON;").map_err(sqlite)?;
        if n_tables(&connection).map_err(sqlite)? == 0 {
            return Err(LedgerError::Empty { path: path.to_owned() });
        }
        check_version(path, &connection)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// From now on the ledger looks as it does at the next read, until the reader is dropped. Many reads cost less
    /// so; what is written meanwhile piles up in the WAL.
    pub fn pin(&self) -> Result<(), LedgerError> {
        self.connection.execute_batch("BEGIN").map_err(|source| self.sqlite(source))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sqlite(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::Sqlite { path: self.path.clone(), source: Arc::new(source) }
    }

    pub(super) fn damaged(&self, message: String) -> LedgerError {
        LedgerError::Damaged { path: self.path.clone(), message }
    }

    /// The result of a piece of work, if it is settled.
    pub fn get(&self, key: &Key) -> Result<Option<Stored>, LedgerError> {
        let row: Option<(String, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT form, body FROM attempts WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(|source| self.sqlite(source))?;
        let Some((form, body)) = row else { return Ok(None) };
        let form = Form::ALL
            .into_iter()
            .find(|known| known.name() == form)
            .ok_or_else(|| self.damaged(format!("attempt {} has the unknown form `{form}`", key.short())))?;
        let body = self.decompress(&body, || format!("body of attempt {}", key.short()))?;
        Ok(Some(Stored { form, body }))
    }

    /// The latest answer of a model, if there is one.
    pub fn latest(&self, model: &gradus_model::Identity) -> Result<Option<Stored>, LedgerError> {
        let key: Option<[u8; 32]> = self
            .connection
            .prepare_cached(
                "SELECT key FROM attempts WHERE kind IN ('generation', 'scoring') AND form != 'refusal' AND model = ?1
                 AND revision = ?2 ORDER BY rowid DESC LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row([&model.name, &model.revision], |row| row.get(0)).optional())
            .map_err(|source| self.sqlite(source))?;
        key.map_or(Ok(None), |key| self.get(&Key(key)))
    }

    /// US dollars of an attempt, if known.
    pub fn cost(&self, key: &Key) -> Result<Option<f64>, LedgerError> {
        self.connection
            .prepare_cached("SELECT cost_usd FROM attempts WHERE key = ?1")
            .and_then(|mut statement| statement.query_row([key.0], |row| row.get(0)).optional())
            .map(Option::flatten)
            .map_err(|source| self.sqlite(source))
    }

    pub(super) fn decompress(&self, body: &[u8], what: impl Fn() -> String) -> Result<Vec<u8>, LedgerError> {
        super::decompress(body).map_err(|error| self.damaged(format!("{}: {error}", what())))
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Attempts that were new.
    pub attempts: u64,
    /// Tries that were new.
    pub requests: u64,
    /// Attempts that both had with different bodies; the target's stands.
    pub conflicts: u64,
}

impl super::Ledger {
    /// Adds what another ledger has and this file lacks. Doing it twice changes nothing.
    pub fn merge(target: &Path, other: &Path) -> Result<Merged, LedgerError> {
        // Check the other one first: attaching a missing file would create it.
        let other_reader = Reader::open(other)?;
        let store = Store::open(target, Durability::Full)?;
        let sqlite = |source| LedgerError::Sqlite { path: target.to_owned(), source: Arc::new(source) };
        store
            .connection
            .execute("ATTACH DATABASE ?1 AS other", [other_reader.path().to_string_lossy()])
            .map_err(sqlite)?;
        let changed: Option<(String, String, String)> = store
            .connection
            .query_row(
                "SELECT m.name, m.fingerprint, o.fingerprint FROM main.models m JOIN other.models o
                 USING (name, revision) WHERE m.fingerprint != o.fingerprint LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()
            .map_err(sqlite)?;
        if let Some((name, recorded, found)) = changed {
            return Err(LedgerError::ModelChanged { name, recorded, found });
        }
        let conflicts: i64 = store
            .connection
            .query_row(
                "SELECT count(*) FROM main.attempts m JOIN other.attempts o USING (key) WHERE m.body_hash != o.body_hash",
                [],
                |row| row.get(0),
            )
            .map_err(sqlite)?;
        store.connection.execute_batch("BEGIN IMMEDIATE").map_err(sqlite)?;
        let insert = |table: &str| {
            store.connection.execute(&format!("INSERT OR IGNORE INTO main.{table} SELECT * FROM other.{table}"), [])
        };
        let merged = insert("payloads")
            .and_then(|_| insert("models"))
            .and_then(|_| Ok((insert("attempts")?, insert("requests")?)))
            .map_err(sqlite)?;
        store.connection.execute_batch("COMMIT").map_err(sqlite)?;
        Ok(Merged { attempts: merged.0 as u64, requests: merged.1 as u64, conflicts: conflicts as u64 })
    }

    /// Notes what identifies the weights behind a model name, or checks it against what was noted before.
    ///
    /// # Errors
    /// [`LedgerError::ModelChanged`] if it is another one, unless `accept` says that this is meant.
    pub fn check_model(
        path: &Path,
        identity: &gradus_model::Identity,
        info: &gradus_model::Info,
        at_ms: i64,
        accept: bool,
    ) -> Result<(), LedgerError> {
        let Some(found) = &info.fingerprint else { return Ok(()) };
        let store = Store::open(path, Durability::Full)?;
        let sqlite = |source| LedgerError::Sqlite { path: path.to_owned(), source: Arc::new(source) };
        let recorded: Option<String> = store
            .connection
            .query_row(
                "SELECT fingerprint FROM models WHERE name = ?1 AND revision = ?2",
                [&identity.name, &identity.revision],
                |row| row.get(0),
            )
            .optional()
            .map_err(sqlite)?;
        match recorded {
            Some(recorded) if recorded != *found && !accept => {
                return Err(LedgerError::ModelChanged { name: identity.name.clone(), recorded, found: found.clone() });
            }
            Some(recorded) if recorded == *found => return Ok(()),
            _ => {}
        }
        store
            .connection
            .execute(
                "INSERT OR REPLACE INTO models VALUES (?1, ?2, ?3, ?4, ?5)",
                params![identity.name, identity.revision, found, info.server, at_ms],
            )
            .map_err(sqlite)?;
        Ok(())
    }
}
