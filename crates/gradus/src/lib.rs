//! The library of Gradus: vocabulary, ledger, driver, and one file per stage in the papers' order.
//!
//! A stage is a pure function of one question and what is already known about it ([`work::Next`]); the
//! [`driver`] asks what is missing, writes every result to the [`ledger`] before anybody sees it, and calls
//! the stage again. Tables are derived from the ledger and can be deleted at any time.
#![forbid(unsafe_code)]

pub mod ability;
pub mod adaptive;
pub mod agreement;
pub mod annotate;
pub mod assess;
pub mod attempt;
pub mod bakeoff;
pub mod bank;
pub mod budget;
pub mod config;
pub mod derive;
pub mod distil;
pub mod driver;
pub mod edges;
pub mod estimate;
pub mod evaluate;
pub mod export;
pub mod further;
pub mod grade;
pub mod hygiene;
pub mod import;
pub mod ingest;
pub mod judge;
pub mod ledger;
pub mod lengths;
pub mod level;
pub mod levels;
pub mod lint;
pub mod marks;
pub mod measured;
pub mod metrics;
pub mod probe;
pub mod prompt;
pub mod question;
pub mod report;
pub mod run;
pub mod sample;
pub mod score;
pub mod select;
pub mod stats;
pub mod steps;
pub mod tables;
pub mod usage;
pub mod verdict;
pub mod why;
pub mod words;
pub mod work;
