//! Control groups of version 2, where this process was given some: what a program uses in all, not process by process.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Limits;
use crate::server::PROCESSES;

/// The group under which those of the slots stand. Removed when dropped.
pub(crate) struct Groups {
    path: PathBuf,
}

/// The group of one slot. Removed when dropped.
pub(crate) struct Group {
    path: PathBuf,
    /// Open for writing: who writes a zero there enters.
    entrance: OwnedFd,
}

/// Bytes that a group may have beyond the limit of the program: the interpreter's second process, and files.
const SLACK: u64 = 64 << 20;

/// One process settles itself once: see [`settle`].
static SETTLED: Mutex<Option<Result<PathBuf, String>>> = Mutex::new(None);

impl Groups {
    /// A place for groups of programs.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let mut settled = SETTLED.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = settled
            .get_or_insert_with(|| {
                let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
                let own = hierarchy(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
                settle(&own)
            })
            .clone()?;
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("gradus-{}-{made}", std::process::id()));
        let error = |error: io::Error| format!("{}: {error}", path.display());
        make(&path).map_err(error)?;
        let groups = Self { path: path.clone() };
        fs::write(path.join("cgroup.subtree_control"), CONTROLLERS).map_err(error)?;
        Ok(groups)
    }

    /// Makes the group of slot `index`.
    pub(crate) fn group(&self, index: usize) -> io::Result<Group> {
        Group::new(self.path.join(index.to_string()))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// Makes a group, unless a killed process that had this one's number left it.
fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

const CONTROLLERS: &str = "+memory +pids";

impl Group {
    fn new(path: PathBuf) -> io::Result<Self> {
        make(&path)?;
        match File::options().write(true).open(path.join("cgroup.procs")) {
            Ok(entrance) => Ok(Self { path, entrance: entrance.into() }),
            Err(error) => {
                let _ = fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Sets what a program may use; it must not be running yet. Returns how often the group ran out of memory so far.
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<u64> {
        let set = |file: &str, value: u64| fs::write(self.path.join(file), value.to_string());
        set("memory.max", limits.memory_bytes.saturating_add(SLACK))?;
        // A warm interpreter and what it has forked in advance stand in the group too.
        set("pids.max", limits.processes.saturating_add(PROCESSES))?;
        // These are not everywhere: kernels without swap, and before 4.19.
        for (file, value) in [("memory.swap.max", 0), ("memory.oom.group", 1)] {
            match set(file, value) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(self.out_of_memory())
    }

    /// Moves the calling process in. Only a system call.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // SAFETY: the descriptor is ours, the buffer constant.
        let written = unsafe { libc::write(self.entrance.as_raw_fd(), b"0".as_ptr().cast(), 1) };
        if written == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Kills all that is in it, where the kernel can (5.14).
    pub(crate) fn kill(&self) {
        let _ =
            File::options().write(true).open(self.path.join("cgroup.kill")).and_then(|mut file| file.write_all(b"1"));
    }

    /// How often something was killed for lack of memory.
    pub(crate) fn out_of_memory(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|kills| kills.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where this process stands: its group, and the top of the hierarchy. From `/proc/self/mountinfo` and
/// `/proc/self/cgroup`.
fn hierarchy(mountinfo: &str, cgroup: &str) -> Result<(PathBuf, PathBuf), String> {
    // Id, parent, device, root, mount point, options, optional fields, a dash, type, ...
    let mount = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        (after.split(' ').next() == Some("cgroup2")).then(|| Some((fields.next()?, fields.next()?)))?
    });
    let (root, point) = mount.ok_or("no hierarchy of version 2 is mounted")?;
    let own =
        cgroup.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this process is in no group of version 2")?;
    let below = Path::new(own).strip_prefix(root).map_err(|_| "this process's group is outside of what is mounted")?;
    // With nothing below, no slash at the end.
    let own = if below.as_os_str().is_empty() { PathBuf::from(point) } else { Path::new(point).join(below) };
    Ok((own, PathBuf::from(point)))
}

/// Finds a group in which others with both controllers can be made: this process's own, or the top as root.
///
/// A group other than the top cannot hold processes and hand controllers on. If this process is alone in its own, it
/// moves into a further one below, once.
fn settle((own, top): &(PathBuf, PathBuf)) -> Result<PathBuf, String> {
    let mut why = String::new();
    for parent in [own, top] {
        match hand_on(parent, parent == own) {
            Ok(()) => return Ok(parent.clone()),
            Err(error) => why = if why.is_empty() || why == error { error } else { format!("{why}; {error}") },
        }
    }
    Err(why)
}

fn hand_on(parent: &Path, own: bool) -> Result<(), String> {
    let error = |error: io::Error| format!("{}: {error}", parent.display());
    let read = |file: &str| fs::read_to_string(parent.join(file)).map_err(error);
    let has = |list: &str, name: &str| list.split_whitespace().any(|controller| controller == name);
    let available = read("cgroup.controllers")?;
    for name in ["memory", "pids"] {
        if !has(&available, name) {
            return Err(format!("{}: no controller `{name}` (version 1 may have it)", parent.display()));
        }
    }
    // Whether anything can be made here at all.
    let trial = parent.join(format!("gradus-{}", std::process::id()));
    make(&trial).map_err(error)?;
    let control = parent.join("cgroup.subtree_control");
    let handed_on = read("cgroup.subtree_control").is_ok_and(|on| has(&on, "memory") && has(&on, "pids"));
    let result = if handed_on { Ok(()) } else { fs::write(&control, CONTROLLERS) };
    match result {
        Err(busy) if busy.raw_os_error() == Some(libc::EBUSY) && own => {
            let this = std::process::id().to_string();
            if read("cgroup.procs")?.lines().any(|process| process != this) {
                let _ = fs::remove_dir(&trial);
                return Err(format!(
                    "{}: other processes are in this process's group (`systemd-run --user --scope -p Delegate=yes` gives it one of its own)",
                    parent.display()
                ));
            }
            // This one stays: it is where this process lives from now on.
            fs::write(trial.join("cgroup.procs"), this).and_then(|()| fs::write(&control, CONTROLLERS)).map_err(error)
        }
        result => {
            let _ = fs::remove_dir(&trial);
            result.map_err(error)
        }
    }
}

/// A group that a program runs in, with what it had been through before.
#[derive(Clone)]
pub(crate) struct Entered {
    pub(crate) group: Arc<Group>,
    before: u64,
}

impl Entered {
    /// Sets the limits for the next program.
    pub(crate) fn new(group: Arc<Group>, limits: &Limits) -> io::Result<Self> {
        let before = group.limit(limits)?;
        Ok(Self { group, before })
    }

    /// Whether this program ran out of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.group.out_of_memory() > self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:22 / /proc rw - proc proc rw\n30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 29 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw\n";

    #[test]
    fn the_own_group_is_found_below_the_mount() {
        let found = |mounts: &str, groups: &str| {
            hierarchy(mounts, groups).map(|(own, top)| [own, top].map(|path| path.display().to_string()))
        };
        let paths = |own: &str, top: &str| Ok([own.to_owned(), top.to_owned()]);
        assert_eq!(
            found(MOUNTS, "4:memory:/x\n0::/user.slice/a.scope\n"),
            paths("/sys/fs/cgroup/user.slice/a.scope", "/sys/fs/cgroup")
        );
        assert_eq!(found(MOUNTS, "0::/\n"), paths("/sys/fs/cgroup", "/sys/fs/cgroup"));
        let inside = MOUNTS.replace("0:27 / /sys", "0:27 /box /sys");
        assert_eq!(found(&inside, "0::/box/a\n"), paths("/sys/fs/cgroup/a", "/sys/fs/cgroup"));
        assert!(found(&inside, "0::/other\n").is_err_and(|why| why.contains("outside")));
        assert!(found("24 1 0:22 / /proc rw - proc proc rw\n", "0::/\n").is_err_and(|why| why.contains("mounted")));
        assert!(found(MOUNTS, "4:memory:/x\n").is_err_and(|why| why.contains("no group")));
    }

    /// A directory that looks like a group; what the kernel does when files are written is not played.
    fn fake(controllers: &str, on: &str, processes: &str) -> tempfile::TempDir {
        let group = tempfile::tempdir().unwrap();
        for (file, text) in
            [("cgroup.controllers", controllers), ("cgroup.subtree_control", on), ("cgroup.procs", processes)]
        {
            fs::write(group.path().join(file), text).unwrap();
        }
        group
    }

    #[test]
    fn a_place_has_both_controllers_and_hands_them_on() {
        let (own, top) = (fake("hugetlb\n", "", ""), fake("cpu memory pids\n", "cpu memory pids\n", "1\n2\n"));
        let paths =
            |own: &tempfile::TempDir, top: &tempfile::TempDir| (own.path().to_path_buf(), top.path().to_path_buf());
        assert_eq!(settle(&paths(&own, &top)), Ok(top.path().to_path_buf()));
        assert!(settle(&paths(&own, &own)).is_err_and(|why| why.contains("`memory`")));
        let off = fake("memory pids\n", "", "1\n");
        assert_eq!(settle(&paths(&off, &top)), Ok(off.path().to_path_buf()));
        assert_eq!(fs::read_to_string(off.path().join("cgroup.subtree_control")).unwrap(), CONTROLLERS);
        assert_eq!(fs::read_dir(off.path()).unwrap().count(), 3, "the trial is removed");
    }

    #[test]
    fn limits_are_written_and_kills_counted_from_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for file in ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs", "cgroup.kill"] {
            fs::write(path.join(file), "").unwrap();
        }
        let events = |kills: u32| {
            fs::write(path.join("memory.events"), format!("low 0\nmax 9\noom 4\noom_kill {kills}\n")).unwrap();
        };
        events(3);
        let entrance = File::options().write(true).open(path.join("cgroup.procs")).unwrap().into();
        let group = Arc::new(Group { path: path.to_path_buf(), entrance });
        let limits = Limits { memory_bytes: 1 << 20, processes: 7, ..Limits::default() };
        let entered = Entered::new(group.clone(), &limits).unwrap();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap();
        assert_eq!(read("memory.max"), ((1_u64 << 20) + SLACK).to_string());
        assert_eq!(
            [read("pids.max"), read("memory.swap.max"), read("memory.oom.group")],
            [(7 + PROCESSES).to_string().as_str(), "0", "1"]
        );
        group.enter().unwrap();
        group.kill();
        assert_eq!([read("cgroup.procs"), read("cgroup.kill")], ["0", "1"]);
        assert!(!entered.out_of_memory());
        events(4);
        assert!(entered.out_of_memory());
    }
}
