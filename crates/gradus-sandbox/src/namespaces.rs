//! Namespaces of a slot: a world of its own with few files, no network, no shared memory and another host name.
//!
//! Made once per slot by a helper process that sets them up and is then ended; descriptors keep them alive. A program
//! enters them with one system call each, so that a run costs hardly more than without. There is no namespace of
//! processes: it needs a further process for each program, and what it would hold back (signals, daemons) is held by
//! the filter, the process group and the reaper already.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::isolate::{self, Confinement, Layer, check};

/// Descriptors of namespaces, in the order in which they are entered.
pub(crate) struct Namespaces {
    descriptors: Vec<(OwnedFd, i32)>,
    /// Made by the program's user, so entered once that user is taken on.
    user: bool,
    /// Where to go: entering a mount namespace leads to its root.
    directory: Option<CString>,
}

/// Which namespaces a slot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// A user namespace, in which this process may make the others.
    pub(crate) user: bool,
    /// A mount namespace.
    pub(crate) mount: bool,
}

impl Kinds {
    /// What to try, best first. Only root can do without a user namespace.
    pub(crate) const ALL: [Self; 4] = [
        Self { user: false, mount: true },
        Self { user: true, mount: true },
        Self { user: false, mount: false },
        Self { user: true, mount: false },
    ];

    fn flags(self) -> i32 {
        let mount = if self.mount { libc::CLONE_NEWNS } else { 0 };
        let user = if self.user { libc::CLONE_NEWUSER } else { 0 };
        user | mount | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS
    }
}

/// Name of the directory on which new roots are put together.
pub(crate) const ROOT: &str = "root";

/// What the files of a slot are.
pub(crate) struct Files<'a> {
    /// Paths that programs may read or execute.
    pub(crate) readable: Vec<&'a Path>,
    /// The directory that they may write.
    pub(crate) scratch: &'a Path,
    /// An empty directory outside, on which the new root is put together.
    pub(crate) root: &'a Path,
}

impl Namespaces {
    /// Makes the namespaces. With a user namespace, `uid` (or this process's user) makes them.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub(crate) fn new(kinds: Kinds, uid: Option<u32>, files: &Files<'_>) -> Result<Self, String> {
        let helper = Helper::new(kinds, uid, files).map_err(|error| error.to_string())?;
        let (read, write) = io::pipe().map_err(|error| error.to_string())?;
        // SAFETY: the child only makes async-signal-safe system calls on memory that `helper` owns, and ends in `work`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            helper.work(write.as_raw_fd());
        }
        if pid < 0 {
            return Err(io::Error::last_os_error().to_string());
        }
        drop(write);
        let made = answer(read).and_then(|()| {
            let mut names =
                vec![(c"net", libc::CLONE_NEWNET), (c"ipc", libc::CLONE_NEWIPC), (c"uts", libc::CLONE_NEWUTS)];
            if kinds.mount {
                names.push((c"mnt", libc::CLONE_NEWNS));
            }
            if kinds.user {
                names.insert(0, (c"user", libc::CLONE_NEWUSER));
            }
            let open = |(name, kind): (&CStr, i32)| {
                let name = name.to_str().expect("the names are plain");
                let file = std::fs::File::open(format!("/proc/{pid}/ns/{name}"))?;
                Ok((OwnedFd::from(file), kind))
            };
            names
                .into_iter()
                .map(open)
                .collect::<io::Result<Vec<_>>>()
                .map_err(|error| format!("opening them: {error}"))
        });
        // SAFETY: the helper is an unreaped child of this process; `status` is ours.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            while libc::waitpid(pid, std::ptr::null_mut(), 0) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
        let directory = kinds.mount.then(|| text(files.scratch)).transpose().map_err(|error| error.to_string())?;
        Ok(Self { descriptors: made?, user: kinds.user, directory })
    }

    /// Enters them, if root made them: it must still be root. The mount namespace only with `files`. Only system calls.
    pub(crate) fn enter_as_root(&self, files: bool) -> io::Result<()> {
        if self.user { Ok(()) } else { self.enter(files) }
    }

    /// Enters them, if the program's user made them. The mount namespace only with `files`. Only system calls.
    pub(crate) fn enter_as_user(&self, files: bool) -> io::Result<()> {
        if self.user { self.enter(files) } else { Ok(()) }
    }

    fn enter(&self, files: bool) -> io::Result<()> {
        // SAFETY: integers, and a string that `self` owns.
        unsafe {
            for (descriptor, kind) in &self.descriptors {
                if files || *kind != libc::CLONE_NEWNS {
                    check(libc::setns(descriptor.as_raw_fd(), *kind))?;
                }
            }
            if let (true, Some(directory)) = (files, &self.directory) {
                check(libc::chdir(directory.as_ptr()))?;
            }
        }
        Ok(())
    }
}

/// What can be had here, and why not more.
pub(crate) struct Found {
    /// Namespaces that every slot gets.
    pub(crate) kinds: Option<Kinds>,
    /// A program's processes are counted apart from all others of the same user.
    pub(crate) counts_apart: bool,
    missing: String,
}

impl Found {
    /// No namespaces, and why.
    pub(crate) fn none(missing: impl Into<String>) -> Self {
        Self { kinds: None, counts_apart: false, missing: missing.into() }
    }

    /// Tries what can be made and entered by a program that runs as `uid` (or as this process's user). `base` is a
    /// directory of ours that `uid` may pass through; in it, [`ROOT`] is made.
    pub(crate) fn probe(uid: Option<u32>, base: &Path) -> Self {
        if let Err(error) = std::fs::create_dir(base.join(ROOT)) {
            return Self::none(format!("no place for a root: {error}"));
        }
        let mut missing = Vec::new();
        for kinds in Kinds::ALL {
            match Self::try_kinds(kinds, uid, base) {
                Ok(counts_apart) => return Self { kinds: Some(kinds), counts_apart, missing: missing.join("; ") },
                Err(error) => {
                    let how = if kinds.user { "with a" } else { "without" };
                    missing.push(format!("{how} user namespace: {error}"));
                }
            }
        }
        // With fewer mounts it fails as it did before.
        missing.truncate(2);
        Self::none(missing.join("; "))
    }

    fn try_kinds(kinds: Kinds, uid: Option<u32>, base: &Path) -> Result<bool, String> {
        let files = Files { readable: Vec::new(), scratch: base, root: &base.join(ROOT) };
        let namespaces = Some(Arc::new(Namespaces::new(kinds, uid, &files)?));
        isolate::try_in_child(&Confinement { uid, namespaces: namespaces.clone(), ..Confinement::none() })?;
        if !kinds.user {
            return Ok(false);
        }
        // Outside there are at least the trial process and this one. One more is possible only if they do not count.
        let confinement =
            Confinement { uid, namespaces, rlimits: vec![(libc::RLIMIT_NPROC, 2, 2)], ..Confinement::none() };
        Ok(isolate::try_in_child_and(&confinement, one_more).is_ok())
    }

    /// As layers, active or not.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let layer = |name, wanted: fn(Kinds) -> bool, held: &str, missing: &str| match self.kinds {
            Some(kinds) if wanted(kinds) => Layer { name, active: true, detail: held.to_owned() },
            _ => Layer { name, active: false, detail: missing.to_owned() },
        };
        let user = if self.counts_apart {
            "no privilege outside; the limit on processes counts the program's own"
        } else {
            "no privilege outside"
        };
        let mut layers = vec![
            layer(
                "mount namespace",
                |kinds| kinds.mount,
                "no file but the interpreter's and the program's",
                &self.missing,
            ),
            layer("network namespace", |_| true, "no interface, and abstract sockets of its own", &self.missing),
            layer("ipc namespace", |_| true, "shared memory and queues of its own; host name `sandbox`", &self.missing),
        ];
        // Root makes the others without.
        if self.kinds.is_none_or(|kinds| kinds.user) {
            layers.insert(0, layer("user namespace", |_| true, user, &self.missing));
        }
        layers
    }
}

/// Whether one more process can be started.
fn one_more() -> io::Result<()> {
    // SAFETY: the child ends at once; the parent waits for it.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(0);
        }
        check(pid.min(0))?;
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    Ok(())
}

/// What the helper said: the step that failed and the error's number, or zeros.
fn answer(mut read: io::PipeReader) -> Result<(), String> {
    use std::io::Read;
    let mut said = [0; 8];
    read.read_exact(&mut said).map_err(|_| "the helper process was lost".to_string())?;
    let [step, error] = [&said[..4], &said[4..]].map(|half| i32::from_ne_bytes(half.try_into().expect("four bytes")));
    match STEPS.get(step as usize) {
        _ if error == 0 => Ok(()),
        Some(step) => Err(format!("{step}: {}", io::Error::from_raw_os_error(error))),
        None => Err("the helper process said nothing sensible".into()),
    }
}

const STEPS: [&str; 5] = ["change of user", "making namespaces", "mapping of users", "host name", "mounting of files"];

/// Everything the helper needs, made before the fork.
struct Helper {
    kinds: Kinds,
    uid: Option<u32>,
    uid_map: Vec<u8>,
    gid_map: Vec<u8>,
    root: CString,
    tree: Vec<Entry>,
}

/// One entry of the new root.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// A directory (below the new root).
    Directory(CString),
    /// An empty file.
    File(CString),
    /// A symbolic link: name, target.
    Link(CString, CString),
    /// What stands at the first path is seen at the second; to be changed only if so said.
    Bind(CString, CString, Access),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"];

impl Helper {
    fn new(kinds: Kinds, uid: Option<u32>, files: &Files<'_>) -> io::Result<Self> {
        // SAFETY: these take no argument and cannot fail.
        let (own_uid, own_gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        // One id each. Root inside would keep privileges over the namespaces when it becomes the program.
        let map = |outside: u32| {
            let inside = if outside == 0 { 65534 } else { outside };
            format!("{inside} {outside} 1\n").into_bytes()
        };
        let tree = if kinds.mount { tree(files)? } else { Vec::new() };
        Ok(Self {
            kinds,
            uid: uid.filter(|_| kinds.user),
            uid_map: map(uid.unwrap_or(own_uid)),
            gid_map: map(uid.unwrap_or(own_gid)),
            root: text(files.root)?,
            tree,
        })
    }

    /// The life of the helper: sets the namespaces up, says so, and waits for its end. Only system calls.
    fn work(&self, answer: i32) -> ! {
        // Others wait for the ends of pipes that were copied with this process.
        // SAFETY: plain integers.
        unsafe {
            libc::syscall(libc::SYS_close_range, 3_u32, answer - 1, 0);
            libc::syscall(libc::SYS_close_range, answer + 1, u32::MAX, 0);
        }
        let mut said = [0; 8];
        if let Err((step, error)) = self.set_up() {
            said[..4].copy_from_slice(&step.to_ne_bytes());
            said[4..].copy_from_slice(&error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes());
        }
        // SAFETY: the buffer is ours and as long as we say; then nothing but waiting.
        unsafe {
            libc::write(answer, said.as_ptr().cast(), said.len());
            loop {
                libc::pause();
            }
        }
    }

    fn set_up(&self) -> Result<(), (i32, io::Error)> {
        let step = |number: i32| move |error: io::Error| (number, error);
        // SAFETY: every call takes integers, or strings that `self` owns; all are async-signal-safe system calls.
        unsafe {
            if let Some(uid) = self.uid {
                check(libc::syscall(libc::SYS_setgroups, 0, 0) as i32).map_err(step(0))?;
                check(libc::syscall(libc::SYS_setresgid, uid, uid, uid) as i32).map_err(step(0))?;
                check(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as i32).map_err(step(0))?;
                // Its own files in /proc are to be its own.
                check(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0)).map_err(step(0))?;
            }
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)).map_err(step(0))?;
            check(libc::unshare(self.kinds.flags())).map_err(step(1))?;
            if self.kinds.user {
                write(c"/proc/self/setgroups", b"deny").map_err(step(2))?;
                write(c"/proc/self/uid_map", &self.uid_map).map_err(step(2))?;
                write(c"/proc/self/gid_map", &self.gid_map).map_err(step(2))?;
            }
            const NAME: &[u8] = b"sandbox";
            check(libc::sethostname(NAME.as_ptr().cast(), NAME.len())).map_err(step(3))?;
        }
        if self.kinds.mount {
            self.mount().map_err(step(4))?;
        }
        Ok(())
    }

    /// A new root with the entries of the tree and nothing else.
    fn mount(&self) -> io::Result<()> {
        let root = self.root.as_ptr();
        let none = std::ptr::null();
        // SAFETY: strings that `self` owns or that are constant; all are system calls.
        unsafe {
            check(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
            let flags = libc::MS_NOSUID | libc::MS_NODEV;
            let options = c"mode=755,size=1m".as_ptr().cast();
            check(libc::mount(c"gradus".as_ptr(), root, c"tmpfs".as_ptr(), flags, options))?;
            check(libc::chdir(root))?;
            libc::umask(0o022);
            for entry in &self.tree {
                entry.make()?;
            }
            // Both at once: the old root lies on the new one, and is taken off.
            check(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as i32)?;
            check(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
            check(libc::chdir(c"/".as_ptr()))?;
            restrict(c"/", libc::MOUNT_ATTR_RDONLY, 0)
        }
    }
}

impl Entry {
    /// Makes it below the current directory.
    fn make(&self) -> io::Result<()> {
        // SAFETY: strings that `self` owns; all are system calls.
        unsafe {
            match self {
                Self::Directory(path) => new(libc::mkdir(path.as_ptr(), 0o755)),
                Self::File(path) => new(libc::mknod(path.as_ptr(), libc::S_IFREG | 0o444, 0)),
                Self::Link(path, target) => new(libc::symlink(target.as_ptr(), path.as_ptr())),
                Self::Bind(from, to, access) => {
                    let none = std::ptr::null();
                    check(libc::mount(from.as_ptr(), to.as_ptr(), none, libc::MS_BIND | libc::MS_REC, none.cast()))?;
                    let flags = match access {
                        Access::Read => libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
                        Access::Write => libc::MOUNT_ATTR_NOSUID,
                    };
                    restrict(to, flags, libc::AT_RECURSIVE)
                }
            }
        }
    }
}

/// The result of making something that may be there already.
fn new(result: i32) -> io::Result<()> {
    match check(result) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        result => result,
    }
}

/// Sets attributes of a mount, or with `AT_RECURSIVE` of all below it too.
fn restrict(path: &CStr, attributes: u64, flags: i32) -> io::Result<()> {
    let set = libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: a terminated string and a structure of the size that is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const set,
            size_of::<libc::mount_attr>(),
        ) as i32
    })
}

/// Writes `bytes` to an existing file at once.
fn write(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: a terminated string and a buffer of the size that is given; the descriptor is closed here.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        check(file.min(0))?;
        let written = libc::write(file, bytes.as_ptr().cast(), bytes.len());
        let result = check(if written < 0 { -1 } else { 0 });
        libc::close(file);
        result
    }
}

/// The entries of a root in which `files` (and a few devices) are seen where they are seen outside.
fn tree(files: &Files<'_>) -> io::Result<Vec<Entry>> {
    let mut entries = Entries::default();
    let devices = DEVICES.iter().map(Path::new);
    let mut binds: BTreeSet<PathBuf> = BTreeSet::new();
    for path in files.readable.iter().copied().chain(devices) {
        // What is not there cannot be read.
        if let Some(real) = entries.links(path) {
            binds.insert(real);
        }
    }
    let scratch = entries
        .links(files.scratch)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the scratch directory is gone"))?;
    // In order, so that what contains comes before what is contained, and covers it.
    let mut last: Option<&Path> = None;
    for path in &binds {
        if last.is_none_or(|last| !path.starts_with(last)) {
            entries.bind(path, Access::Read)?;
            last = Some(path);
        }
    }
    entries.bind(&scratch, Access::Write)?;
    let mut tree = Vec::new();
    // Links that lie inside of what is bound are there already, and could not be made.
    for (link, target) in entries.found {
        if !binds.iter().any(|bind| link.starts_with(bind)) {
            parents(&link, &mut tree)?;
            tree.push(Entry::Link(below(&link)?, text(&target)?));
        }
    }
    tree.extend(entries.tree);
    Ok(tree)
}

#[derive(Default)]
struct Entries {
    /// Symbolic links on the way to what is needed.
    found: BTreeSet<(PathBuf, PathBuf)>,
    tree: Vec<Entry>,
}

impl Entries {
    /// Where `path` really lies; notes the links on the way. Nothing if it does not exist.
    fn links(&mut self, path: &Path) -> Option<PathBuf> {
        let mut text = path.to_path_buf();
        // As many as the kernel follows.
        for _ in 0..40 {
            let mut at = PathBuf::from("/");
            let mut linked = None;
            let rest: Vec<_> = text.components().collect();
            for (index, part) in rest.iter().enumerate() {
                match part {
                    Component::ParentDir => {
                        at.pop();
                        continue;
                    }
                    Component::Normal(name) => at.push(name),
                    _ => continue,
                }
                if std::fs::symlink_metadata(&at).ok()?.is_symlink() {
                    let target = std::fs::read_link(&at).ok()?;
                    self.found.insert((at.clone(), target.clone()));
                    at.pop();
                    linked = Some(at.join(target).join(rest[index + 1..].iter().collect::<PathBuf>()));
                    break;
                }
            }
            match linked {
                None => return Some(at),
                Some(next) => text = next,
            }
        }
        None
    }

    fn bind(&mut self, path: &Path, access: Access) -> io::Result<()> {
        parents(path, &mut self.tree)?;
        let place = below(path)?;
        let is_directory = path.metadata()?.is_dir();
        self.tree.push(if is_directory { Entry::Directory(place.clone()) } else { Entry::File(place.clone()) });
        self.tree.push(Entry::Bind(text(path)?, place, access));
        Ok(())
    }
}

/// The directories above `path`.
fn parents(path: &Path, tree: &mut Vec<Entry>) -> io::Result<()> {
    let above: Vec<_> = path.ancestors().skip(1).filter(|above| above.parent().is_some()).collect();
    for above in above.into_iter().rev() {
        tree.push(Entry::Directory(below(above)?));
    }
    Ok(())
}

/// An absolute path, as one from the root that is being put together.
fn below(path: &Path) -> io::Result<CString> {
    text(path.strip_prefix("/").unwrap_or(path))
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_holds_what_is_needed_and_the_links_to_it() {
        let outside = tempfile::tempdir().unwrap();
        let base = outside.path().canonicalize().unwrap();
        for directory in ["usr/lib/python", "usr/bin", "scratch", "root"] {
            std::fs::create_dir_all(base.join(directory)).unwrap();
        }
        std::fs::write(base.join("usr/bin/python"), "").unwrap();
        std::os::unix::fs::symlink("usr/lib", base.join("lib")).unwrap();
        std::os::unix::fs::symlink(base.join("lib/python"), base.join("usr/bin/modules")).unwrap();
        std::os::unix::fs::symlink("loop", base.join("loop")).unwrap();
        let paths = ["usr/bin/modules", "lib", "usr/lib/python", "usr/bin/python", "nowhere", "loop"];
        let paths = paths.map(|path| base.join(path));
        let readable = paths.iter().map(PathBuf::as_path).collect();
        let tree = tree(&Files { readable, scratch: &base.join("scratch"), root: &base.join("root") }).unwrap();
        let shown = |path: &CString| path.to_str().unwrap().replace(base.to_str().unwrap().trim_start_matches('/'), "");
        let (mut binds, mut links) = (Vec::new(), Vec::new());
        for entry in &tree {
            match entry {
                Entry::Bind(from, to, access) if shown(to).starts_with('/') => {
                    assert_eq!(from.to_bytes(), [b"/", to.to_bytes()].concat());
                    binds.push((shown(to), *access));
                }
                Entry::Link(path, _) => links.push(shown(path)),
                _ => {}
            }
        }
        let expected = [("/usr/bin/python", Access::Read), ("/usr/lib", Access::Read), ("/scratch", Access::Write)];
        assert_eq!(binds, expected.map(|(path, access)| (path.to_owned(), access)));
        assert!(links.contains(&"/lib".to_owned()) && links.contains(&"/usr/bin/modules".to_owned()), "{links:?}");
    }
}
