//! What is going on, on stderr: a live line on a terminal, a plain line now and then elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gradus::driver::Event;
use gradus::run::Phase;
use gradus::verdict::Outcome as Verdict;
use gradus::work::Outcome;
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(15);

/// Counts of a phase and where they are shown.
pub(crate) struct Progress {
    state: Mutex<Option<State>>,
    live: bool,
    quiet: bool,
}

struct State {
    phase: Phase,
    total: u64,
    closed: u64,
    asked: u64,
    found: u64,
    faults: u64,
    tokens: u64,
    verdicts: [u64; 4],
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows a live line if stderr is a terminal; nothing at all if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self { state: Mutex::new(None), live, quiet }
    }

    /// Takes note of an event.
    pub(crate) fn event(&self, phase: Phase, event: Event<'_>) {
        let mut guard = self.state.lock().expect("no holder panics");
        if let Event::Begins(total) = event {
            if let Some(state) = guard.take() {
                self.end(&state);
            }
            *guard = Some(State::new(phase, total, self.live && !self.quiet));
            return;
        }
        let Some(state) = guard.as_mut() else { return };
        match event {
            Event::Begins(_) | Event::Opened => return,
            Event::Judged(verdict) => state.verdicts[index(verdict)] += 1,
            Event::Asked(outcome) => {
                state.asked += 1;
                state.tokens += match outcome {
                    Outcome::Completed(completion) => completion.usage.completion.unwrap_or(0),
                    Outcome::Scored(_) | Outcome::Measured(_) | Outcome::Executed(_) | Outcome::Failed(_) => 0,
                };
            }
            Event::Found => state.found += 1,
            Event::Fault(_) => state.faults += 1,
            Event::Closed(_) => state.closed += 1,
        }
        if let Some(bar) = &state.bar {
            bar.set_position(state.closed);
            bar.set_message(state.line());
        } else if !self.quiet && state.said.elapsed() >= EVERY {
            state.said = Instant::now();
            eprintln!("{}", state.plain());
        }
    }

    /// Ends the line of the last phase.
    pub(crate) fn finish(&self) {
        if let Some(state) = self.state.lock().expect("no holder panics").take() {
            self.end(&state);
        }
    }

    fn end(&self, state: &State) {
        if let Some(bar) = &state.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            eprintln!("{}", state.plain());
        }
    }
}

fn index(verdict: Verdict) -> usize {
    Verdict::ALL.iter().position(|other| *other == verdict).expect("all verdicts are listed")
}

impl State {
    fn new(phase: Phase, total: u64, live: bool) -> Self {
        let now = Instant::now();
        let bar = live.then(|| bar(total, phase.name()));
        Self {
            phase,
            total,
            closed: 0,
            asked: 0,
            found: 0,
            faults: 0,
            tokens: 0,
            verdicts: [0; 4],
            began: now,
            said: now,
            bar,
        }
    }

    fn line(&self) -> String {
        let [correct, incorrect, none, undecided] = self.verdicts;
        let rate = self.tokens as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let mut line = format!("| right {correct} wrong {incorrect} no answer {none}");
        if undecided > 0 {
            line.push_str(&format!(" undecided {undecided}"));
        }
        line.push_str(&format!(" | asked {}", self.asked));
        if self.found > 0 {
            line.push_str(&format!(", {} from the ledger", self.found));
        }
        if self.tokens > 0 {
            line.push_str(&format!(" | {rate:.0} tokens/s"));
        }
        if self.faults > 0 {
            line.push_str(&format!(" | {} given up", self.faults));
        }
        line
    }

    fn plain(&self) -> String {
        format!(
            "{:>7} {}/{} questions in {:.0} s {}",
            self.phase.name(),
            self.closed,
            self.total,
            self.began.elapsed().as_secs_f64(),
            self.line()
        )
    }
}

/// The steps of a training, and where they are shown.
pub(crate) struct Steps {
    state: Mutex<Option<Training>>,
    live: bool,
    quiet: bool,
}

struct Training {
    step: u64,
    total: u64,
    line: String,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Steps {
    /// Shows a live line if stderr is a terminal; nothing at all if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let live = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self { state: Mutex::new(None), live, quiet }
    }

    /// The first step is about to be taken.
    pub(crate) fn begin(&self, total: u64, device: &str) {
        let now = Instant::now();
        let bar = (self.live && !self.quiet).then(|| bar(total, "train"));
        let training = Training { step: 0, total, line: format!("| on {device}"), began: now, said: now, bar };
        *self.state.lock().expect("no holder panics") = Some(training);
    }

    /// A step was taken.
    pub(crate) fn step(&self, step: u64, total: u64, loss: Option<f64>, reward: Option<f64>) {
        let mut guard = self.state.lock().expect("no holder panics");
        let Some(training) = guard.as_mut() else { return };
        let number = |name: &str, number: Option<f64>| number.map(|number| format!(" | {name} {number:.4}"));
        (training.step, training.total) = (step, total);
        training.line = [number("loss", loss), number("reward", reward)].into_iter().flatten().collect();
        if let Some(bar) = &training.bar {
            bar.set_length(total);
            bar.set_position(step);
            bar.set_message(training.line.trim_start().to_owned());
        } else if !self.quiet && training.said.elapsed() >= EVERY {
            training.said = Instant::now();
            eprintln!("{}", training.plain());
        }
    }

    /// Says something else without disturbing the live line.
    pub(crate) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match self.state.lock().expect("no holder panics").as_ref().and_then(|training| training.bar.as_ref()) {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Ends the line.
    pub(crate) fn finish(&self) {
        if let Some(training) = self.state.lock().expect("no holder panics").take() {
            if let Some(bar) = &training.bar {
                bar.finish_and_clear();
            }
            if !self.quiet {
                eprintln!("{}", training.plain());
            }
        }
    }
}

impl Training {
    fn plain(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        format!("{:>7} {}/{} steps in {seconds:.0} s {}", "train", self.step, self.total, self.line.trim_start())
    }
}

/// A live line.
fn bar(total: u64, prefix: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{prefix:>7} {bar:24} {pos}/{len} eta {eta} {msg}")
        .expect("the template is well-formed");
    bar.set_style(style);
    bar.set_prefix(prefix);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
