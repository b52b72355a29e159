//! Files that appear whole or not at all: written beside their place, synced, renamed over it.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the names of unfinished files begin with. A crash may leave some; whoever reads a folder skips them.
pub const UNFINISHED: &str = ".unfinished-";

/// Writes `folder/name` through `fill`, atomically. Doing it again replaces the file by an equal one.
///
/// # Errors
/// What `fill` answers, or an error of the file system by way of `wrap`.
pub fn write<E>(
    folder: &Path,
    name: &str,
    wrap: impl Fn(&io::Error) -> E,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), E>,
) -> Result<(), E> {
    let wrap = |error: io::Error| wrap(&error);
    fs::create_dir_all(folder).map_err(wrap)?;
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

    #[test]
    fn a_file_appears_whole_or_not_at_all() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let fails = write(
            folder.path(),
            "a",
            |error| error.to_string(),
            |writer| {
                writer
                    .write_all(b"half")
                    .map_err(|error| error.to_string())?;
                Err("no more".into())
            },
        );
        assert_eq!(fails, Err("no more".into()));
        assert_eq!(fs::read_dir(folder.path())?.count(), 0);
        for text in ["one", "two"] {
            let wrap = |error: &io::Error| io::Error::from(error.kind());
            write(folder.path(), "a", wrap, |writer| {
                writer.write_all(text.as_bytes())
            })?;
        }
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "two");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1);
        Ok(())
    }
}
