//! The files of the embedded database: one process at a time has them, and no other user of the
//! machine may read them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// What the files beside the database are called, by what follows its name.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The right to use a database file. Held until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

/// Takes the database file for this process, before anything is read or written. `folder` is the
/// data folder, if it is Headway's own.
///
/// # Errors
/// When another process has it; the error names that process.
pub(super) fn take(database: &Path, folder: Option<&Path>) -> anyhow::Result<FolderLock> {
    if let Some(folder) = folder {
        private::folder(folder)?;
    }
    let path = beside(database, ".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private::open(&mut options);
    let mut file = options
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Where the holder cannot be read, it is still there.
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process",
                holder => holder,
            };
            bail!(
                "the database {} is in use by {holder}; stop that process, or give this one another data_dir",
                database.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, path = %path.display(), "cannot lock the database; make sure that only one process uses it");
        }
    }
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(Path::file_name);
    let program = program.map_or("unknown".into(), |name| name.to_string_lossy());
    let (pid, now) = (std::process::id(), jiff::Timestamp::now());
    file.set_len(0)?;
    file.write_all(format!("process {pid} ({program}), which started at {now:.0}\n").as_bytes())?;
    for suffix in BESIDE {
        private::file(&beside(database, suffix), suffix.is_empty())?;
    }
    Ok(FolderLock { _file: file })
}

/// A file whose name is that of the database and a suffix.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The file of a database address; none if it is not a file's.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or_default();
    (!path.is_empty() && path != ":memory:").then(|| path.into())
}

#[cfg(unix)]
mod private {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

    use super::*;

    /// Everybody's folder, as /tmp is, has this bit and stays as it is.
    const STICKY: u32 = 0o1000;

    pub(super) fn open(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    /// Makes the folder for its owner alone, or closes one that is there to others.
    pub(super) fn folder(folder: &Path) -> anyhow::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        tighten(folder, 0o700)
    }

    /// Closes a file to others. One that is missing is made, if it is to be there.
    pub(super) fn file(path: &Path, make: bool) -> anyhow::Result<()> {
        if make {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            options
                .open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
        }
        match path.exists() {
            true => tighten(path, 0o600),
            false => Ok(()),
        }
    }

    fn tighten(path: &Path, mode: u32) -> anyhow::Result<()> {
        let before = fs::metadata(path)?.permissions().mode();
        if before & 0o077 == 0 || before & STICKY != 0 {
            return Ok(());
        }
        let (from, to) = (before & 0o777, mode);
        match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
            Ok(()) => tracing::info!(
                path = %path.display(),
                "removed the access of other users: the mode was {from:o} and is now {to:o}"
            ),
            Err(error) => tracing::warn!(
                %error,
                path = %path.display(),
                "cannot remove the access of other users: the mode stays {from:o}"
            ),
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod private {
    use super::*;

    pub(super) fn open(_: &mut OpenOptions) {}

    pub(super) fn folder(folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    pub(super) fn file(_: &Path, _: bool) -> anyhow::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("data/headway.db");
        let lock = take(&database, database.parent()).unwrap();
        let refused = take(&database, database.parent()).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(refused.contains(&format!("process {pid} (")), "{refused}");
        assert!(refused.contains("data_dir"), "{refused}");
        drop(lock);
        take(&database, database.parent()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn other_users_are_kept_out() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let database = data.join("headway.db");
        drop(take(&database, Some(&data)).unwrap());
        assert_eq!((mode(&data), mode(&database)), (0o700, 0o600));
        // As an older version left them.
        let wal = beside(&database, "-wal");
        fs::write(&wal, "").unwrap();
        for (path, wide) in [(&data, 0o755), (&database, 0o644), (&wal, 0o664)] {
            fs::set_permissions(path, fs::Permissions::from_mode(wide)).unwrap();
        }
        drop(take(&database, Some(&data)).unwrap());
        assert_eq!((mode(&data), mode(&database)), (0o700, 0o600));
        assert_eq!(mode(&wal), 0o600);
        // Everybody's folder is left alone.
        fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).unwrap();
        drop(take(&database, Some(&data)).unwrap());
        assert_eq!(mode(&data), 0o777);
    }

    #[test]
    fn addresses_of_files() {
        let file = |url| sqlite_file(url);
        assert_eq!(file("sqlite:///a/b.db?mode=rwc"), Some("/a/b.db".into()));
        assert_eq!(file("sqlite:b.db"), Some("b.db".into()));
        assert_eq!(file("sqlite::memory:"), None);
        assert_eq!(file("postgres://a/b"), None);
    }
}
