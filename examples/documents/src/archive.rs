//! Export: the files of an item as one zip archive with a manifest.

use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use headway_files::FileRoots;
use headway_worker::TaskError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::name::Name;
use crate::output;
use crate::source::{OpenFile, Source, code, hex, unreadable, unwritable};

/// The manifest's name in an archive.
pub const MANIFEST: &str = "manifest.json";
/// What the names of the files in an archive begin with, so that none is taken for the manifest.
pub const FILES: &str = "files/";
/// The extension of archives.
pub const EXTENSION: &str = "zip";

const CHUNK: usize = 64 << 10;
/// From this size on a file's entry is written with 64-bit sizes. Below 4 GiB, because compressed
/// bytes count too.
const LARGE: u64 = 3 << 30;

/// What an export item asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The files.
    pub source: Source,
    /// The folder of the archives; made if it is missing.
    pub out: PathBuf,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The folder of the files, relative to the root.
    pub dir: Name,
    /// The files, in the archive's order.
    pub files: Vec<Entry>,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path relative to the root.
    pub path: Name,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Whether the file was longer than `size` when it had been read: it grew, and what came later
    /// is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grew: bool,
}

/// Writes the archive of an item and returns its manifest. It appears whole or not at all, and
/// doing it again replaces it by an equal one. `name` is the archive's, without its extension.
/// `progress` is called with 0 to 1.
///
/// # Errors
/// Fatal for a file that cannot be read, retryable for an output that cannot be written or a
/// cancelled token.
pub fn export(
    export: &Export,
    name: &str,
    roots: &FileRoots,
    cancelled: &CancellationToken,
    progress: impl Fn(f64),
) -> Result<Manifest, TaskError> {
    let source = &export.source;
    source.check()?;
    let mut manifest = Manifest {
        dir: source.dir.clone(),
        files: Vec::with_capacity(source.files.len()),
    };
    let name = format!("{name}.{EXTENSION}");
    output::write(&export.out, &name, roots, |writer| {
        let mut zip = ZipWriter::new(writer);
        for (number, file) in source.files.iter().enumerate() {
            let open = source.open(file, roots)?;
            manifest.files.push(add(&mut zip, open, cancelled)?);
            progress(ratio(number + 1, source.files.len()));
        }
        let text = serde_json::to_vec_pretty(&manifest)?;
        zip.start_file(MANIFEST, SimpleFileOptions::DEFAULT)
            .map_err(|error| unwritable(&error.into()))?;
        zip.write_all(&text).map_err(|error| unwritable(&error))?;
        zip.finish().map_err(|error| unwritable(&error.into()))?;
        Ok(())
    })?;
    Ok(manifest)
}

fn add<W: Write + Seek>(
    zip: &mut ZipWriter<W>,
    open: OpenFile,
    cancelled: &CancellationToken,
) -> Result<Entry, TaskError> {
    let OpenFile { path, size, file } = open;
    let name = [FILES.as_bytes(), path.as_bytes()].concat();
    // A constant time stamp: two archives of the same files are equal.
    let options = SimpleFileOptions::DEFAULT
        .large_file(size >= LARGE)
        .name(&name);
    zip.start_file_with_options(options)
        .map_err(|error| unwritable(&error.into()))?;
    let mut hash = Sha256::new();
    let mut copied: u64 = 0;
    // A file that grows as fast as it is read would have no end.
    let mut file = file.take(size);
    let mut chunk = vec![0; CHUNK];
    loop {
        if cancelled.is_cancelled() {
            return Err(TaskError::retryable(
                code::CANCELLED,
                format!("stopped while {path} was read"),
            ));
        }
        let count = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let Some(bytes) = chunk.get(..count) else {
            break;
        };
        hash.update(bytes);
        zip.write_all(bytes).map_err(|error| unwritable(&error))?;
        copied += u64::try_from(count).unwrap_or_default();
    }
    let now = file.get_ref().metadata().map(|metadata| metadata.len());
    Ok(Entry {
        path,
        size: copied,
        sha256: hex(&hash.finalize()),
        grew: now.is_ok_and(|length| length > copied),
    })
}

/// A part of a whole, as a fraction.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole.max(1))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use zip::ZipArchive;

    use super::*;

    fn item(root: &Path, out: &Path, files: &[&[u8]]) -> Export {
        let source = Source {
            root: Name::from(root.as_os_str()),
            dir: Name::default(),
            files: files.iter().map(|name| Name::from(*name)).collect(),
            follow_links: false,
        };
        Export {
            source,
            out: out.to_owned(),
        }
    }

    #[test]
    fn an_archive_holds_its_files_and_their_manifest() -> anyhow::Result<()> {
        let (root, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(root.path().join("manifest.json"), "not the manifest")?;
        fs::write(root.path().join("empty"), "")?;
        let odd = Name::from(b"\xff.bin".as_slice());
        fs::write(root.path().join(odd.to_path()), vec![7; 200_000])?;
        let item = item(
            root.path(),
            out.path(),
            &[b"manifest.json", b"empty", b"\xff.bin"],
        );
        let token = CancellationToken::new();
        let steps = std::cell::RefCell::new(Vec::new());
        let manifest =
            packed(&item, &token, |fraction| steps.borrow_mut().push(fraction)).map_err(debug)?;
        assert_eq!(steps.borrow().last(), Some(&1.0));
        let place = out.path().join("item.zip");
        let first = fs::read(&place)?;
        let mut zip = ZipArchive::new(fs::File::open(&place)?)?;
        let read: Manifest = serde_json::from_reader(zip.by_name(MANIFEST)?)?;
        assert_eq!(read, manifest);
        assert_eq!(
            manifest
                .files
                .iter()
                .map(|entry| entry.size)
                .collect::<Vec<_>>(),
            [16, 0, 200_000]
        );
        assert_eq!(
            manifest.files[1].sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "the hash of nothing"
        );
        assert_eq!(
            io::read_to_string(zip.by_name("files/manifest.json")?)?,
            "not the manifest"
        );
        assert_eq!(zip.len(), 4);
        packed(&item, &token, |_| ()).map_err(debug)?;
        assert_eq!(fs::read(&place)?, first, "twice is once");
        assert_eq!(fs::read_dir(out.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_failed_or_cancelled_export_leaves_nothing() -> anyhow::Result<()> {
        let (root, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(root.path().join("a"), "a")?;
        let token = CancellationToken::new();
        let error = packed(
            &item(root.path(), out.path(), &[b"a", b"gone"]),
            &token,
            |_| (),
        )
        .expect_err("is gone");
        assert_eq!(
            (error.code(), error.is_retryable()),
            (code::VANISHED, false)
        );
        token.cancel();
        let error = packed(&item(root.path(), out.path(), &[b"a"]), &token, |_| ())
            .expect_err("is cancelled");
        assert_eq!(error.code(), code::CANCELLED);
        assert_eq!(fs::read_dir(out.path())?.count(), 0);
        let blocked = root.path().join("a");
        let error = packed(
            &item(root.path(), &blocked, &[b"a"]),
            &CancellationToken::new(),
            |_| (),
        );
        assert!(error.expect_err("is no folder").is_retryable());
        Ok(())
    }

    #[test]
    fn a_file_that_grows_is_packed_to_the_size_that_it_had() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        fs::write(&path, vec![1; 3 * CHUNK])?;
        let open = OpenFile {
            path: Name::from("log"),
            size: u64::try_from(CHUNK)? + 5,
            file: fs::File::open(&path)?,
        };
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        let entry = add(&mut zip, open, &CancellationToken::new()).map_err(debug)?;
        assert_eq!((entry.size, entry.grew), (u64::try_from(CHUNK)? + 5, true));
        Ok(())
    }

    #[test]
    fn outputs_stay_in_the_allowed_folders() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (root, out) = (folder.path().join("root"), folder.path().join("out"));
        fs::create_dir(&root)?;
        fs::write(root.join("a"), "a")?;
        std::os::unix::fs::symlink(&out, root.join("link"))?;
        fs::create_dir(&out)?;
        let roots = FileRoots::new([root.clone()]);
        for out in [out.clone(), root.join("link"), root.join("../out")] {
            let item = item(&root, &out, &[b"a"]);
            let error = export(&item, "item", &roots, &CancellationToken::new(), |_| ())
                .expect_err("is refused");
            assert_eq!(
                (error.code(), error.is_retryable()),
                (code::BAD_SOURCE, false)
            );
        }
        assert_eq!(fs::read_dir(&out)?.count(), 0);
        Ok(())
    }

    fn packed(
        item: &Export,
        token: &CancellationToken,
        progress: impl Fn(f64),
    ) -> Result<Manifest, TaskError> {
        let roots = FileRoots::new([std::env::temp_dir()]);
        export(item, "item", &roots, token, progress)
    }

    fn debug(error: TaskError) -> anyhow::Error {
        anyhow::anyhow!("{error:?}")
    }
}
