//! Where one program at a time may write: a directory with a user and a Landlock ruleset of its own.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cgroup::Group;
use crate::namespaces::Namespaces;
use crate::server::Server;

/// One place to run a program. Reused, since a ruleset costs a dozen system calls to build.
pub(crate) struct Slot {
    pub(crate) directory: PathBuf,
    pub(crate) uid: Option<u32>,
    pub(crate) ruleset: Option<Arc<OwnedFd>>,
    /// Nothing was put into the directory since it was last emptied.
    pub(crate) is_empty: Cell<bool>,
    /// An interpreter that waits here. In a cell: it is taken out while it is in use.
    pub(crate) server: Cell<Option<Server>>,
    /// Servers of this slot that failed since one last did its part.
    pub(crate) failures: Cell<u32>,
    pub(crate) namespaces: Option<Arc<Namespaces>>,
    pub(crate) cgroup: Option<Arc<Group>>,
}

impl Slot {
    /// Makes the directory; only `uid` (and root) may enter.
    pub(crate) fn directory(base: &Path, index: usize, uid: Option<u32>) -> io::Result<PathBuf> {
        let directory = base.join(index.to_string());
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        if let Some(uid) = uid {
            chown(&directory, Some(uid), Some(uid))?;
        }
        Ok(directory)
    }

    /// Empties the directory and puts files there, which its user may read.
    pub(crate) fn prepare(&self, files: &[(&str, &[u8])]) -> io::Result<()> {
        if !self.is_empty.replace(false) {
            empty(&self.directory)?;
        }
        for (name, bytes) in files {
            let path = self.directory.join(name);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
            file.write_all(bytes)?;
            // Whatever the umask is: the program's user is not ours.
            if file.metadata()?.permissions().mode() & 0o777 != 0o644 {
                file.set_permissions(fs::Permissions::from_mode(0o644))?;
            }
        }
        Ok(())
    }

    /// Leaves nothing in the directory.
    pub(crate) fn clear(&self) -> io::Result<()> {
        empty(&self.directory)?;
        self.is_empty.set(true);
        Ok(())
    }
}

/// Removes all that is in `directory`, however deep, in constant depth: what lies deeper is first moved up.
/// (A program can nest directories faster than a recursion has stack.)
pub(crate) fn empty(directory: &Path) -> io::Result<()> {
    let mut moved = 0_u64;
    loop {
        // Only what is moved up can be missed in one pass: nobody else is here any more.
        let mut found = false;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                fs::remove_file(&path)?;
                continue;
            }
            found = true;
            // Made without permissions, it could not be read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
            for inner in fs::read_dir(&path)? {
                let inner = inner?;
                let inner_path = inner.path();
                if inner.file_type()?.is_dir() {
                    // To move a directory it must be writable: its `..` changes.
                    fs::set_permissions(&inner_path, fs::Permissions::from_mode(0o700))?;
                    moved += 1;
                    fs::rename(&inner_path, free_name(directory, moved))?;
                } else {
                    fs::remove_file(&inner_path)?;
                }
            }
            fs::remove_dir(&path)?;
        }
        if !found {
            return Ok(());
        }
    }
}

/// A name in `directory` that nothing has.
fn free_name(directory: &Path, number: u64) -> PathBuf {
    (0..u64::MAX)
        .map(|salt| directory.join(format!(".moved-{number}-{salt}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .expect("a directory holds fewer names than u64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_tree_with_closed_directories_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let mut path = base.path().to_path_buf();
        for depth in 0..200 {
            path.push(format!("d{}", depth % 3));
            fs::create_dir(&path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        fs::set_permissions(base.path().join("d0/d1"), fs::Permissions::from_mode(0o000)).unwrap();
        std::os::unix::fs::symlink("/etc", base.path().join("link")).unwrap();
        empty(base.path()).unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
        assert!(Path::new("/etc/passwd").exists());
    }
}
