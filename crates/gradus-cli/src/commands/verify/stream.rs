//! Rows in, rows out: reads on one thread, compares on all cores, writes in order. Memory stays flat, and
//! a row that has come is answered without waiting for the next.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender};

use rayon::prelude::*;

use super::row;
use crate::error::{CommandError, Kind};

/// Bytes read at once: what is compared together.
const BATCH: usize = 1 << 20;
/// Longest row in bytes; a longer one is not held in memory.
const MAX_ROW: usize = 16 << 20;

/// Whole lines that follow each other.
struct Batch {
    /// Number of the first line, from 1.
    first_line: u64,
    lines: Vec<u8>,
    /// Instead of lines: one that is longer than [`MAX_ROW`].
    too_long: bool,
}

pub(super) fn run(file: &Path, unsafe_no_sandbox: bool) -> Result<(), CommandError> {
    let mut input: Box<dyn Read + Send> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| {
            CommandError::usage(format!("cannot read {}: {error}", file.display())).hint("`--jsonl -` reads stdin")
        })?)
    };
    let (sender, batches) = mpsc::sync_channel(2);
    // Not joined: when nobody reads the output, it may wait for input for ever.
    let _reader = std::thread::spawn(move || {
        if let Err(error) = read(&mut input, MAX_ROW, &sender) {
            let _ = sender.send(Err(error));
        }
    });
    let runner = row::Runner::new(unsafe_no_sandbox);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    for batch in batches {
        let batch = batch.map_err(|error| CommandError::failure(format!("cannot read {}: {error}", file.display())))?;
        let written = answer(&batch, &runner).into_iter().try_for_each(|rows| out.write_all(&rows));
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(CommandError::failure(format!("cannot write the output: {error}"))),
        }
    }
    match runner.refusal() {
        None => Ok(()),
        Some(refusal) => Err(CommandError::new(Kind::ItemsLost, refusal).hint(&refusal.hint)),
    }
}

/// The answers to the rows of a batch, in pieces.
fn answer(batch: &Batch, runner: &row::Runner) -> Vec<Vec<u8>> {
    if batch.too_long {
        let mut out = Vec::new();
        row::error(None, batch.first_line, &format!("the row is longer than {} MiB", MAX_ROW >> 20), &mut out);
        return vec![out];
    }
    let numbered = (batch.first_line..).zip(split_lines(&batch.lines));
    let rows: Vec<(u64, &[u8])> = numbered.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    // Small enough to share out evenly, large enough not to notice.
    let n_together = (rows.len() / (rayon::current_num_threads() * 8)).clamp(1, 64);
    let pieces = rows.par_chunks(n_together).map(|rows| {
        let mut out = Vec::with_capacity(rows.len() * 160);
        for (number, line) in rows {
            row::answer(line, *number, runner, &mut out);
        }
        out
    });
    pieces.collect()
}

/// As `split` on line ends, which looks at every byte on its own.
fn split_lines(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', lines).chain([lines.len()]).map(move |end| {
        let line = &lines[start..end];
        start = end + 1;
        line
    })
}

/// Cuts what comes into batches of whole lines.
fn read(input: &mut impl Read, max_row: usize, sender: &SyncSender<io::Result<Batch>>) -> io::Result<()> {
    let mut first_line = 1;
    let mut held: Vec<u8> = Vec::new();
    // In a line that is too long, and was said to be.
    let mut skipping = false;
    let mut buffer = vec![0; BATCH];
    loop {
        let n_bytes = match input.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        let mut came = &buffer[..n_bytes];
        if skipping {
            let Some(end) = memchr::memchr(b'\n', came) else {
                if n_bytes == 0 {
                    return Ok(());
                }
                continue;
            };
            came = &came[end + 1..];
            skipping = false;
            first_line += 1;
        }
        let last = memchr::memrchr(b'\n', came);
        if let Some(last) = last {
            held.extend_from_slice(&came[..last]);
            came = &came[last + 1..];
        }
        let at_end = n_bytes == 0;
        if last.is_some() || (at_end && !held.is_empty()) {
            let lines = std::mem::take(&mut held);
            let n_lines = memchr::memchr_iter(b'\n', &lines).count() as u64 + 1;
            if sender.send(Ok(Batch { first_line, lines, too_long: false })).is_err() {
                return Ok(());
            }
            first_line += n_lines;
        }
        if at_end {
            return Ok(());
        }
        held.extend_from_slice(came);
        if held.len() > max_row {
            held = Vec::new();
            skipping = true;
            if sender.send(Ok(Batch { first_line, lines: Vec::new(), too_long: true })).is_err() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n_bytes = self.1.min(self.0.len());
            buffer[..n_bytes].copy_from_slice(&self.0[..n_bytes]);
            self.0 = &self.0[n_bytes..];
            Ok(n_bytes)
        }
    }

    fn check(input: &str, expected: &[(u64, &str)]) {
        for n_bytes in 1..12 {
            let (sender, batches) = mpsc::sync_channel(100);
            read(&mut Trickle(input.as_bytes(), n_bytes), 20, &sender).unwrap();
            drop(sender);
            let mut found = Vec::new();
            for batch in batches {
                let batch = batch.unwrap();
                let text = String::from_utf8(batch.lines).unwrap();
                if batch.too_long {
                    found.push((batch.first_line, "too long".to_owned()));
                } else {
                    found.extend((batch.first_line..).zip(text.split('\n').map(str::to_owned)));
                }
            }
            let expected: Vec<_> = expected.iter().map(|(number, line)| (*number, (*line).to_owned())).collect();
            assert_eq!(found, expected, "{input:?} by {n_bytes}");
        }
    }

    #[test]
    fn lines_keep_their_text_and_number_however_they_come() {
        check("", &[]);
        check("a", &[(1, "a")]);
        check("a\n\nbc\n", &[(1, "a"), (2, ""), (3, "bc")]);
        check("\na\r\nb", &[(1, ""), (2, "a\r"), (3, "b")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_and_counted() {
        let long = "x".repeat(50);
        check(&format!("a\n{long}\nb\n"), &[(1, "a"), (2, "too long"), (3, "b")]);
        check(&format!("{long}\n{long}"), &[(1, "too long"), (2, "too long")]);
    }
}
