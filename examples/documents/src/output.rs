//! Files that appear whole or not at all: written beside their place, synced, renamed over it.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headway_files::{FileRoots, OpenError, shorten};
use headway_worker::TaskError;

use crate::source::code;

/// What the names of unfinished files begin with. A crash may leave some; whoever reads a folder
/// skips them.
pub const UNFINISHED: &str = ".unfinished-";

/// Writes `folder/name` through `fill`, atomically. Doing it again replaces the file by an equal
/// one.
///
/// # Errors
/// What `fill` answers; a fatal failure if the folder is not allowed; a retryable one if it cannot
/// be written to.
pub fn write(
    folder: &Path,
    name: &str,
    roots: &FileRoots,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let wrap = |error: io::Error| {
        let what = format!("nothing can be written into {}: {error}", shorten(folder));
        TaskError::retryable(code::OUTPUT, what)
    };
    let refused = |error: OpenError| {
        TaskError::fatal(
            code::BAD_SOURCE,
            format!("the output folder is refused: {error}"),
        )
    };
    roots.check(folder).map_err(refused)?;
    fs::create_dir_all(folder).map_err(wrap)?;
    let resolved = folder.canonicalize().map_err(wrap)?;
    if !roots
        .resolved()
        .iter()
        .any(|root| resolved.starts_with(root))
    {
        return Err(refused(OpenError::Outside));
    }
    let folder = resolved.as_path();
    let mut builder = tempfile::Builder::new();
    let temporary = builder
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(wrap)?;
    let mut writer = BufWriter::with_capacity(128 << 10, temporary.as_file());
    fill(&mut writer)?;
    let file = writer
        .into_inner()
        .map_err(|error| wrap(error.into_error()))?;
    file.sync_all().map_err(wrap)?;
    temporary
        .persist(folder.join(name))
        .map_err(|error| wrap(error.error))?;
    // The rename is on disk only once its folder is.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(wrap)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::unwritable;

    #[test]
    fn a_failure_names_the_folder() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("file"), "")?;
        let roots = FileRoots::new([root.path().to_owned()]);
        let folder = root.path().join("file/below");
        let error = write(&folder, "a", &roots, |_| Ok(())).unwrap_err();
        let named = folder.display().to_string();
        assert!(format!("{error:?}").contains(&named), "{error:?}");
        Ok(())
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let roots = FileRoots::new([folder.path().to_owned()]);
        let fails = write(folder.path(), "a", &roots, |writer| {
            writer
                .write_all(b"half")
                .map_err(|error| unwritable(&error))?;
            Err(TaskError::fatal("TEST", "no more"))
        });
        assert_eq!(fails, Err(TaskError::fatal("TEST", "no more")));
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        for text in ["one", "two"] {
            write(folder.path(), "a", &roots, |writer| {
                writer
                    .write_all(text.as_bytes())
                    .map_err(|error| unwritable(&error))
            })
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "two");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
