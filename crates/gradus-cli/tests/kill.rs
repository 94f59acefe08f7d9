//! The real binary is killed at random moments, and nothing but what was in flight is lost.
//!
//! `gradus run` works against `gradus mock`, both as processes of their own; a run is ended with SIGKILL and
//! started again in the same directory, several times. While models are asked, a kill waits for a share of the
//! answers and not for a time, so that no machine is too slow or too fast to be hit at work. In the end every file of
//! the run directory must be, byte for byte, that of a run that nobody disturbed. Two files cannot: the ledger, which
//! says when each request was sent and how long it took, and `lock`, which holds the id of the last process. What the
//! figures and the report say of this time is not compared either.
//!
//! SIGKILL ends a process, not the machine: what it had written stays in the page cache. That nothing is lost
//! with the power either is SQLite's promise with `synchronous=FULL`; what the driver and the stages make of
//! a lost group is held by the simulation in `crates/gradus/tests`.
//!
//! `GRADUS_KILLS=1000` kills more often than the usual 25 times, `GRADUS_KILL_SEED=1` at other moments.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{GRADUS, Mock};

/// Kills in one run directory: of a run that has hardly begun, while models are asked, and after every answer is recorded.
const FIRST: usize = 1;
const EARLY: usize = 3;
const LATE: usize = 2;
/// Requests at once.
const IN_FLIGHT: i64 = 64;
/// Time an entry waits for company before it is committed.
const WINDOW: Duration = Duration::from_millis(20);
/// Time for a commit and for everything else on the way from the server's socket to the disk, as a rule.
const USUAL: Duration = Duration::from_millis(30);
/// The same on a machine that has other things to do.
const LONGEST: Duration = Duration::from_millis(180);

/// What the server has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    requests: i64,
    answered: i64,
    distinct: i64,
}

impl Counts {
    fn of(mock: &Mock) -> Self {
        let stats = mock.stats();
        let count = |name: &str| stats[name].as_i64().unwrap();
        Self { requests: count("requests"), answered: count("answered"), distinct: count("distinct_bodies") }
    }
}

/// Numbers that look random and are the same in every run of the test.
struct Dice(u64);

impl Dice {
    /// From 0 up to, but not including, 1.
    fn throw(&mut self) -> f64 {
        self.0 += 1;
        let hash = blake3::hash(&self.0.to_le_bytes());
        f64::from(u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap())) / 2_f64.powi(32)
    }
}

/// `gradus run` in a directory.
fn command(home: &Path, run_dir: &Path) -> Command {
    let mut command = Command::new(GRADUS);
    command
        .args(["run", "--quiet", "--unsafe-no-sandbox", "--config"])
        .arg(home.join("gradus.yaml"))
        .arg("--run-dir")
        .arg(run_dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs to the end; gives the time it took.
fn run(home: &Path, run_dir: &Path) -> Duration {
    let began = Instant::now();
    let output = command(home, run_dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

/// What the ledger of a run directory that nobody uses holds: generations, all attempts. Looks at a copy, so that
/// the next run finds the files as the last one left them.
fn recorded(run_dir: &Path) -> (i64, i64) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal"] {
        if run_dir.join(name).exists() {
            std::fs::copy(run_dir.join(name), copy.path().join(name)).unwrap();
        }
    }
    let path = copy.path().join("ledger.sqlite");
    if !path.exists() || gradus::ledger::Reader::open(&path).is_err() {
        // Killed before there was a ledger.
        return (0, 0);
    }
    let verified = Command::new(GRADUS).args(["ledger", "verify"]).arg(&path).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let connection = rusqlite::Connection::open(&path).unwrap();
    let counts = "SELECT count(*) FILTER (WHERE kind = 'generation'), count(*) FROM attempts";
    connection.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

/// Every file of a run directory that a second run must repeat.
fn files(run_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = common::files(run_dir);
    files.retain(|name, _| name != Path::new("lock") && !name.to_string_lossy().starts_with("ledger.sqlite"));
    for (name, bytes) in &mut files {
        match name.to_str() {
            Some("metrics.json") => {
                let mut metrics: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                assert!(metrics["ledger"]["durations"].take().is_array());
                *bytes = metrics.to_string().into_bytes();
            }
            Some("report.html") => {
                let html = str::from_utf8(bytes).unwrap();
                *bytes = html.lines().filter(|line| !line.contains("<p>Time: ")).collect::<String>().into_bytes();
            }
            _ => {}
        }
    }
    files
}

fn assert_same(found: &BTreeMap<PathBuf, Vec<u8>>, wanted: &BTreeMap<PathBuf, Vec<u8>>, history: &str) {
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "after {history}");
    for (name, bytes) in wanted {
        assert!(found[name] == *bytes, "{} differs from that of an undisturbed run after {history}", name.display());
    }
}

/// What a kill cost.
struct Loss {
    /// Requests that the server had not answered.
    in_flight: i64,
    /// Answers that the server had given and the ledger does not hold.
    lost: i64,
    /// Answers that the server gave within the commit window and the usual time of a commit before the kill.
    recent: i64,
    /// The same with the longest time that is excused.
    bound: i64,
}

/// When a run is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When this share of what is left to be asked is answered.
    Answered(f64),
    /// This long after it was started.
    After(Duration),
}

/// Starts a run of that many generations and kills it; none if it came to its end before.
fn kill(home: &Path, run_dir: &Path, mock: &Mock, n_generations: i64, moment: Moment) -> Option<Loss> {
    let (before, (recorded_before, _)) = (Counts::of(mock), recorded(run_dir));
    let began = Instant::now();
    let mut child = command(home, run_dir).spawn().unwrap();
    let mut seen = vec![(began, before.answered)];
    loop {
        let answered = Counts::of(mock).answered;
        seen.push((Instant::now(), answered));
        let is_due = match moment {
            Moment::Answered(share) => {
                (answered - before.answered) as f64 >= share * (n_generations - recorded_before) as f64
            }
            Moment::After(time) => began.elapsed() >= time,
        };
        if is_due || child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let killed = Instant::now();
    let answered_at = |ahead: Duration| {
        let earlier = seen.iter().rev().find(|(when, _)| killed.duration_since(*when) >= ahead);
        earlier.map_or(before.answered, |(_, answered)| *answered)
    };
    let (long_before, shortly_before) = (answered_at(WINDOW + LONGEST), answered_at(WINDOW + USUAL));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status}: {said}");
    // The server hears of the end of its connections.
    let mut now = Counts::of(mock);
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let later = Counts::of(mock);
        if later == now {
            break;
        }
        now = later;
    }
    let (recorded_now, _) = recorded(run_dir);
    let answered = now.answered - before.answered;
    status.signal().map(|_| Loss {
        in_flight: now.requests - before.requests - answered,
        lost: answered - (recorded_now - recorded_before),
        recent: now.answered - shortly_before,
        bound: now.answered - long_before,
    })
}

#[test]
fn a_killed_run_loses_what_was_in_flight_and_one_commit_window() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (n_kills, seed) = (number("GRADUS_KILLS", 25), number("GRADUS_KILL_SEED", 0) as u64);
    let mock = Mock::start(|mock| mock.args(["--latency-ms", "40", "--jitter-ms", "160"]));
    let home = tempfile::tempdir().unwrap();
    let url = mock.model("mock");
    // There are code questions among them: runs of programs are recorded too.
    let config = format!(
        "seed: 7\nbank: {{path: builtin}}\nlimit: 60\nstudent: {url}-student\nteacher: {url}-teacher\n\
         probe: {{attempts: 2}}\nsample: {{size: 30}}\ndistil: {{correct: 2, tries: 4}}\ndriver: {{in_flight: {IN_FLIGHT}}}\n"
    );
    std::fs::write(home.path().join("gradus.yaml"), config).unwrap();

    // The name of the directory stands in the report: the same for all.
    let clean = home.path().join("clean/run");
    let whole = run(home.path(), &clean);
    let (wanted, (n_generations, n_attempts), asked) = (files(&clean), recorded(&clean), Counts::of(&mock));
    let again = run(home.path(), &clean);
    assert_same(&files(&clean), &wanted, "a second run");
    assert_eq!(Counts::of(&mock), asked, "a second run asks nothing");
    assert!(n_generations == asked.answered && n_attempts > n_generations, "{asked:?}: programs are run too");
    println!("an undisturbed run takes {whole:?}, with everything recorded {again:?}, and asks {n_generations} times");

    let mut dice = Dice(seed << 32);
    let mut losses = Vec::new();
    let mut n_late = 0;
    let mut n_directories = 0;
    while losses.len() < n_kills {
        n_directories += 1;
        let run_dir = home.path().join(format!("{n_directories}/run"));
        let before = Counts::of(&mock);
        let mut history = Vec::new();
        let mut disturb = |n: usize, moment: &dyn Fn(f64) -> Moment, history: &mut Vec<Moment>| {
            for _ in 0..n {
                let moment = moment(dice.throw());
                let is_wanted = losses.len() < n_kills;
                let loss = is_wanted.then(|| kill(home.path(), &run_dir, &mock, n_generations, moment)).flatten();
                losses.extend(loss.inspect(|_| history.push(moment)));
            }
            losses.len()
        };
        let timed = |share| Moment::After(again.mul_f64(share));
        disturb(FIRST, &timed, &mut history);
        disturb(EARLY, &Moment::Answered, &mut history);
        run(home.path(), &run_dir);
        assert_same(&files(&run_dir), &wanted, &format!("kills after {history:?}"));
        let n_early = disturb(0, &timed, &mut history);
        n_late += disturb(LATE, &timed, &mut history) - n_early;
        run(home.path(), &run_dir);
        assert_same(&files(&run_dir), &wanted, &format!("kills after {history:?}"));

        assert_eq!(recorded(&run_dir), (n_generations, n_attempts), "after kills {history:?}");
        let now = Counts::of(&mock);
        assert_eq!(now.distinct, asked.distinct, "after kills {history:?} something else was asked");
        let here = &losses[losses.len() - history.len()..];
        let excused: i64 = here.iter().map(|loss| loss.in_flight + loss.lost).sum();
        assert_eq!(now.requests - before.requests, n_generations + excused, "requests after kills {history:?}");
        std::fs::remove_dir_all(&run_dir).unwrap();
    }

    let sum = |value: fn(&Loss) -> i64| losses.iter().map(value).sum::<i64>();
    let within = losses.iter().filter(|loss| loss.lost <= loss.recent).count();
    println!(
        "{} kills ({n_late} with everything recorded) in {n_directories} directories: {} requests in flight, {} answers \
         lost, {} at most at once; the server gave {} in the last {} ms, and at {within} kills no more were lost",
        losses.len(),
        sum(|loss| loss.in_flight),
        sum(|loss| loss.lost),
        losses.iter().map(|loss| loss.lost).max().unwrap(),
        sum(|loss| loss.recent),
        (WINDOW + USUAL).as_millis(),
    );
    for loss in &losses {
        // An answer keeps its place in the driver until it is recorded.
        assert!(loss.lost + loss.in_flight <= IN_FLIGHT, "{} lost, {} in flight", loss.lost, loss.in_flight);
        assert!(loss.lost <= loss.bound, "{} lost, {} answered in the last moments", loss.lost, loss.bound);
    }
    assert!(within * 10 >= losses.len() * 8, "{within} of {} kills lost only the last window", losses.len());
    // The kills really hit runs at work, and what is excused is less than what could be lost.
    assert!(sum(|loss| loss.in_flight) > losses.len() as i64 * 4);
    assert!(sum(|loss| loss.recent) < sum(|loss| loss.recent + loss.in_flight) * 3 / 4);
}
