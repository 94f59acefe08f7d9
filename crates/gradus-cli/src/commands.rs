//! One file per command. Each has `Args`, whose doc comment is its help, and `run`.

pub(crate) mod assess;
pub(crate) mod bank;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod estimate;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod judge;
pub(crate) mod ledger;
pub(crate) mod lint;
pub(crate) mod mock;
pub(crate) mod quickstart;
pub(crate) mod report;
pub(crate) mod rescore;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod train;
pub(crate) mod verify;
pub(crate) mod why;
