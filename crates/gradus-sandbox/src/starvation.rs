//! Whether a program that is late was kept from running by the machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Looks at a program now and then: the kernel counts a wait for a processor only once it is over.
pub(crate) struct Watch {
    leader: libc::pid_t,
    wall: Duration,
    next: Instant,
    /// How much later than that this process came to look, all looks together.
    late: Duration,
    /// Processes that were ready when last looked at: what they had run until then, and since when it is that.
    ready: BTreeMap<String, (Ran, Instant)>,
}

/// Nanoseconds on a processor, and how often one was got.
type Ran = (u64, u64);

/// How often in its wall time a program is looked at.
const LOOKS: u32 = 8;

impl Watch {
    /// Of the program under `leader`, whose wall time began at `start`.
    pub(crate) fn new(leader: libc::pid_t, start: Instant, wall: Duration) -> Self {
        Self { leader, wall, next: start + wall / LOOKS, late: Duration::ZERO, ready: BTreeMap::new() }
    }

    /// Time until the next look.
    pub(crate) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks, if it is time for it.
    pub(crate) fn tick(&mut self) {
        if self.pause().is_zero() {
            self.look();
        }
    }

    /// Share of the wall time that the leader or one of its children was ready to run but had no processor, 0 to 1.
    /// That looks come late is such a wait too: this process got no processor either.
    pub(crate) fn look(&mut self) -> f64 {
        self.late += self.next.elapsed();
        self.next = Instant::now() + self.wall / LOOKS;
        let leader = self.leader;
        let children = std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).unwrap_or_default();
        let mut longest = self.late;
        let mut ready = BTreeMap::new();
        for pid in children.split_whitespace().map(str::to_owned).chain([leader.to_string()]) {
            // Without scheduler statistics in the kernel all three are 0, and the states at each look are all we know.
            let figures = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
            let mut figures = figures.split_whitespace().map(|figure| figure.parse().unwrap_or(0));
            let mut figure = || figures.next().unwrap_or(0);
            let (on_processor, waited, slices) = (figure(), figure(), figure());
            let mut waits = Duration::from_nanos(waited);
            if is_ready(&pid) {
                let ran = (on_processor, slices);
                let since = match self.ready.get(&pid) {
                    Some((before, since)) if *before == ran => *since,
                    _ => Instant::now(),
                };
                waits += since.elapsed();
                ready.insert(pid, (ran, since));
            }
            longest = longest.max(waits);
        }
        self.ready = ready;
        (longest.as_secs_f64() / self.wall.as_secs_f64()).min(1.0)
    }
}

/// Whether a process runs or could.
fn is_ready(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before the state may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
}
