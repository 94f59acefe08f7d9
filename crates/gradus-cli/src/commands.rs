//! One file per command. Each has `Args`, whose doc comment is its help, and `run`.

pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod ledger;
pub(crate) mod mock;
pub(crate) mod verify;
