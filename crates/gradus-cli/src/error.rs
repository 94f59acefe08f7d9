//! What a user sees when a command fails: what is wrong, what to do now, and an exit code.

use std::path::Path;
use std::{fmt, io};

use gradus::evaluate::EvaluateError;
use gradus::evaluate::compare::CompareError;
use gradus::export::ExportError;
use gradus::ingest::IngestError;
use gradus::report::ReportError;
use gradus::run::RunError;
use gradus::select::pass::SelectError;
use gradus::tables::TableError;

/// Kind of a failure: decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something failed.
    Failure,
    /// The command line, the config or the bank is not usable.
    Usage,
    /// The run is through, but items were lost to errors of an endpoint, the sandbox or a judge.
    ItemsLost,
    /// Money or quota is used up.
    Quota,
    /// The user stopped it.
    Interrupted,
}

impl Kind {
    /// The process's exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::ItemsLost => 3,
            Self::Quota => 4,
            Self::Interrupted => 130,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// What kind.
    pub(crate) kind: Kind,
    /// What was expected, what was found, where. Empty if everything was said already.
    pub(crate) message: String,
    /// What to do now.
    pub(crate) hints: Vec<String>,
}

impl CommandError {
    /// A failure of the given kind.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hints: Vec::new() }
    }

    /// Something failed.
    pub(crate) fn failure(message: impl fmt::Display) -> Self {
        Self::new(Kind::Failure, message)
    }

    /// The command line, the config or the bank is not usable.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// What was printed did not get through; one who stopped reading wants no word about it.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::failure(""),
            _ => Self::failure(format!("cannot write the output: {error}")),
        }
    }

    /// A file or folder that cannot be read or written.
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind;
        let elsewhere = "move it away, or name another folder with `--run-dir`";
        let path = path.display();
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Self::usage(format!("{path}: a file stands where a folder is wanted")).hint(elsewhere)
            }
            ErrorKind::IsADirectory => {
                Self::usage(format!("{path}: a folder stands where a file is wanted")).hint(elsewhere)
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::failure(format!("{path}: {error}"))
                .hint("make the folder writable, or name another with `--run-dir`"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::failure(format!("{path}: {error}")).hint(FULL)
            }
            _ => Self::failure(format!("{path}: {error}")),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

/// What to do about a full disk.
const FULL: &str = "free some space and type the same command again: nothing recorded is lost";

impl From<TableError> for CommandError {
    fn from(error: TableError) -> Self {
        match &error {
            TableError::Io { path, source } => Self::io(path, source),
            _ => Self::failure(error)
                .hint("free some space if the disk is full; `gradus run` rebuilds the tables from the ledger, and asks for nothing again"),
        }
    }
}

impl From<ReportError> for CommandError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Table(error) => error.into(),
            ReportError::Io { path, source } => Self::io(&path, &source),
        }
    }
}

impl From<ExportError> for CommandError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Table(error) => error.into(),
            ExportError::Io { path, source } => Self::io(&path, &source),
            ExportError::NoTemplate(_) => Self::usage(format!("export: {error}"))
                .hint("choose `trl` or `messages` in `export.formats`: the trainer then renders them itself"),
            other => Self::failure(format!("export: {other}")).hint(FULL),
        }
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Ledger(error) => error.into(),
            RunError::Table(error) => error.into(),
            RunError::Size(_) => Self::usage(error.to_string()).hint("`sample.size` says how many"),
            RunError::Select(error) => error.into(),
            RunError::NoLevels(_) => Self::usage(format!("sample: {error}")),
            RunError::TooFew(error) => Self::usage(format!("sample: {error}"))
                .hint("lower `sample.size`, or set `sample.shortage` to `spill_nearest` or `repeat_not`"),
            other => Self::failure(other),
        }
    }
}

impl From<SelectError> for CommandError {
    fn from(error: SelectError) -> Self {
        let hint = match error {
            SelectError::Table(error) => return error.into(),
            SelectError::Unidentified(_) => {
                "set `select.ability` to a number from 0 to 9, or have more questions of every level with rated chains of thought"
            }
            SelectError::NoAbility(_) => "a number from 0 to 9, or `measured`",
            SelectError::NoTokens => "`select.max_rows` limits chains of thought, whoever counted",
            SelectError::NoLengths(_) => "leave `select.length_budget` out, or probe questions that the student solves",
            SelectError::OutOfStep { .. } => "`gradus select` makes the tables anew and asks for nothing again",
        };
        Self::usage(format!("select: {error}")).hint(hint)
    }
}

impl From<EvaluateError<IngestError>> for CommandError {
    fn from(error: EvaluateError<IngestError>) -> Self {
        match error {
            EvaluateError::Ledger(error) => error.into(),
            EvaluateError::Questions(error) => error.into(),
            EvaluateError::Lines(error) => Self::failure(format!("verdicts.jsonl: {error}")).hint(FULL),
        }
    }
}

impl From<CompareError> for CommandError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Table(error) => error.into(),
            CompareError::Io { path, source } => Self::io(&path, &source),
            other => {
                Self::usage(other).hint("name the `--out` of two `gradus evaluate`, or the directories of two runs")
            }
        }
    }
}

impl From<gradus::config::ConfigError> for CommandError {
    fn from(error: gradus::config::ConfigError) -> Self {
        Self { kind: Kind::Usage, message: error.message, hints: error.hint.into_iter().collect() }
    }
}

impl From<IngestError> for CommandError {
    fn from(error: IngestError) -> Self {
        Self::usage(error.message).hint(error.hint)
    }
}

impl From<gradus::ledger::LedgerError> for CommandError {
    fn from(error: gradus::ledger::LedgerError) -> Self {
        use gradus::ledger::LedgerError;
        let hint = match &error {
            LedgerError::Newer { .. } => Some("use the gradus that wrote it, or a newer one"),
            LedgerError::ModelChanged { .. } => Some(
                "give the new model another name or `revision`, use another run directory, or pass --accept-model-change if the weights are the same",
            ),
            LedgerError::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => Some(FULL),
                Some(rusqlite::ErrorCode::SystemIoFailure) => Some(
                    "is the disk full, or a network drive? free some space or use another run directory, and type the same command again: nothing recorded is lost",
                ),
                Some(rusqlite::ErrorCode::CannotOpen) => {
                    Some("it must be a file in a folder that may be written; move what stands there away")
                }
                Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied) => {
                    Some("make the folder writable, or use another run directory")
                }
                Some(rusqlite::ErrorCode::NotADatabase) => Some(
                    "it is another kind of file: move it away, restore the ledger from a copy, or use another run directory",
                ),
                Some(rusqlite::ErrorCode::DatabaseCorrupt) => Some(
                    "restore it from a copy, save what can be saved (`sqlite3 OLD .recover | sqlite3 NEW`), or use another run directory",
                ),
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    Some("another process is writing it")
                }
                _ => None,
            },
            LedgerError::Empty { .. } => Some("type the command of the run again"),
            LedgerError::Damaged { .. } => Some("is it the right file? `gradus ledger verify` looks into it"),
            LedgerError::Stopped => None,
        };
        let kind = if matches!(error, LedgerError::ModelChanged { .. } | LedgerError::Newer { .. }) {
            Kind::Usage
        } else {
            Kind::Failure
        };
        Self { kind, message: error.to_string(), hints: hint.map(str::to_owned).into_iter().collect() }
    }
}
