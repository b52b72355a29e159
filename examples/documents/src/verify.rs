//! Proves archives against the folder they were made from: every file once, byte for byte.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::archive::{EXTENSION, Entry, FILES, MANIFEST, Manifest};
use crate::name::Name;
use crate::output::UNFINISHED;
use crate::source::hex;

/// How many names each list of a report keeps; the counts are exact.
const NAMES: usize = 20;
/// The most bytes of a manifest that are read.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// Some things that are wrong: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many.
    pub count: u64,
    /// The first 20, each with what is wrong.
    pub first: Vec<String>,
}

impl Findings {
    fn add(&mut self, what: impl fmt::Display) {
        self.count += 1;
        if self.first.len() < NAMES {
            self.first.push(what.to_string());
        }
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Regular files below the root.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Archives read.
    pub archives: u64,
    /// Files that are in exactly one archive, byte for byte.
    pub exact: u64,
    /// Files that are in no archive.
    pub missing: Findings,
    /// Files that are in more than one archive.
    pub repeated: Findings,
    /// Files whose archived content, size or hash is another.
    pub different: Findings,
    /// Archived files that are not below the root.
    pub unexpected: Findings,
    /// Archives, or files below the root, that cannot be read.
    pub unreadable: Findings,
}

impl Report {
    /// Whether every file is in exactly one archive, byte for byte, and nothing else is.
    pub fn is_exact(&self) -> bool {
        self.exact == self.files && self.problems().iter().all(|(_, found)| found.count == 0)
    }

    fn problems(&self) -> [(&'static str, &Findings); 5] {
        [
            ("missing", &self.missing),
            ("repeated", &self.repeated),
            ("different", &self.different),
            ("unexpected", &self.unexpected),
            ("unreadable", &self.unreadable),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} files exported, byte for byte",
            self.exact, self.files
        )?;
        write!(f, " ({} bytes in {} archives)", self.bytes, self.archives)?;
        for (name, found) in self
            .problems()
            .into_iter()
            .filter(|(_, found)| found.count > 0)
        {
            write!(f, "\n{name}: {}", found.count)?;
            for what in &found.first {
                write!(f, "\n  {what}")?;
            }
        }
        Ok(())
    }
}

/// A file below the root, and in how many archives it was found whole.
#[derive(Debug, Default)]
struct Expected {
    seen: u64,
    exact: bool,
}

/// Compares every archive in `out` with the files below `root`: links are not followed, and `out`
/// itself does not count if it is below the root. Reads every file and every archive whole.
///
/// # Errors
/// When `root` or `out` cannot be listed. What is wrong with single files and archives is in the
/// report.
pub fn verify(out: &Path, root: &Path) -> io::Result<Report> {
    let out = out.canonicalize()?;
    let root = root.canonicalize()?;
    let mut report = Report::default();
    let mut expected = BTreeMap::new();
    list(&root, &out, &mut expected, &mut report)?;
    let mut archives = Vec::new();
    for entry in fs::read_dir(&out)? {
        let path = entry?.path();
        let unfinished = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        if !unfinished
            && path
                .extension()
                .is_some_and(|extension| extension == EXTENSION)
        {
            archives.push(path);
        }
    }
    archives.sort_unstable();
    for path in archives {
        report.archives += 1;
        if let Err(error) = compare(&path, &root, &mut expected, &mut report) {
            report
                .unreadable
                .add(format_args!("{}: {error}", path.display()));
        }
    }
    for (path, file) in expected {
        match file.seen {
            0 => report.missing.add(path),
            1 if file.exact => report.exact += 1,
            1 => {}
            times => report
                .repeated
                .add(format_args!("{path}: in {times} archives")),
        }
    }
    Ok(report)
}

/// Finds the regular files below the root. Folders are worked off in a list: a deep tree needs no
/// deep stack.
fn list(
    root: &Path,
    out: &Path,
    expected: &mut BTreeMap<Name, Expected>,
    report: &mut Report,
) -> io::Result<()> {
    let mut folders: Vec<(PathBuf, Name)> = vec![(root.to_owned(), Name::default())];
    while let Some((folder, relative)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = relative.join(&Name::from(entry.file_name().as_os_str()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if entry.path() != out {
                    folders.push((entry.path(), path));
                }
            } else if kind.is_file() {
                report.files += 1;
                report.bytes += entry.metadata()?.len();
                expected.insert(path, Expected::default());
            }
        }
    }
    Ok(())
}

fn compare(
    archive: &Path,
    root: &Path,
    expected: &mut BTreeMap<Name, Expected>,
    report: &mut Report,
) -> io::Result<()> {
    let mut zip = ZipArchive::new(io::BufReader::new(File::open(archive)?))?;
    let manifest: Manifest = serde_json::from_reader(zip.by_name(MANIFEST)?.take(MANIFEST_LIMIT))?;
    let mut listed: BTreeMap<Name, Entry> = manifest
        .files
        .into_iter()
        .map(|entry| (entry.path.clone(), entry))
        .collect();
    for number in 0..zip.len() {
        let mut member = zip.by_index(number)?;
        if member.name_raw() == MANIFEST.as_bytes() {
            continue;
        }
        let Some(name) = member
            .name_raw()
            .strip_prefix(FILES.as_bytes())
            .map(Name::from)
        else {
            report.unexpected.add(format_args!(
                "{}: {}",
                archive.display(),
                String::from_utf8_lossy(member.name_raw())
            ));
            continue;
        };
        let Some(file) = expected.get_mut(&name) else {
            report
                .unexpected
                .add(format_args!("{}: {name}", archive.display()));
            listed.remove(&name);
            continue;
        };
        file.seen += 1;
        let archived = digest(&mut member)?;
        let on_disk =
            match File::open(root.join(name.to_path())).and_then(|mut file| digest(&mut file)) {
                Ok(on_disk) => on_disk,
                Err(error) => {
                    report.unreadable.add(format_args!("{name}: {error}"));
                    continue;
                }
            };
        let noted = listed.remove(&name).map(|entry| (entry.size, entry.sha256));
        file.exact = archived == on_disk && noted.as_ref() == Some(&archived);
        if !file.exact {
            let what = if archived == on_disk {
                "its manifest entry is another"
            } else {
                "its content is another"
            };
            report.different.add(format_args!("{name}: {what}"));
        }
    }
    for name in listed.keys() {
        report.different.add(format_args!(
            "{name}: in the manifest of {}, but not in it",
            archive.display()
        ));
    }
    Ok(())
}

/// The size and SHA-256 of what is left to read.
fn digest(from: &mut impl Read) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut size: u64 = 0;
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok((size, hex(&hash.finalize()))),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(chunk.get(..count).unwrap_or_default());
        size += u64::try_from(count).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use headway_files::FileRoots;
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::archive::{Export, export};
    use crate::source::{Source, output_name};

    fn tree() -> anyhow::Result<(TempDir, TempDir)> {
        let (root, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::create_dir_all(root.path().join("sub/empty"))?;
        for (name, content) in [
            ("a", "one"),
            ("b", ""),
            (".hidden", "h"),
            ("sub/c", "three"),
        ] {
            fs::write(root.path().join(name), content)?;
        }
        fs::write(
            root.path()
                .join(Name::from(b"odd\xff".as_slice()).to_path()),
            "odd",
        )?;
        std::os::unix::fs::symlink("a", root.path().join("link"))?;
        archive(&root, &out, "", &[b"a", b"b"])?;
        archive(&root, &out, "", &[b".hidden", b"odd\xff"])?;
        archive(&root, &out, "sub", &[b"c"])?;
        Ok((root, out))
    }

    fn archive(root: &TempDir, out: &TempDir, dir: &str, files: &[&[u8]]) -> anyhow::Result<()> {
        let source = Source {
            root: Name::from(root.path().as_os_str()),
            dir: Name::from(dir),
            files: files.iter().map(|name| Name::from(*name)).collect(),
            follow_links: false,
        };
        let item = Export {
            source,
            out: out.path().to_owned(),
        };
        let name = output_name(dir, &String::from_utf8_lossy(&files.concat()));
        let roots = FileRoots::new([std::env::temp_dir()]);
        export(&item, &name, &roots, &CancellationToken::new(), |_| ())
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(())
    }

    #[test]
    fn whole_archives_are_exact() -> anyhow::Result<()> {
        let (root, out) = tree()?;
        fs::write(
            out.path().join(format!("{UNFINISHED}x.zip")),
            "left by a crash",
        )?;
        let report = verify(out.path(), root.path())?;
        assert!(report.is_exact(), "{report}");
        assert_eq!((report.files, report.bytes, report.archives), (5, 12, 3));
        assert!(
            report
                .to_string()
                .starts_with("5 of 5 files exported, byte for byte")
        );
        Ok(())
    }

    #[test]
    fn each_kind_of_damage_is_found() -> anyhow::Result<()> {
        type Damage = fn(&TempDir, &TempDir) -> anyhow::Result<()>;
        let cases: [(&str, Damage); 6] = [
            ("missing", |root, _| {
                Ok(fs::write(root.path().join("new"), "")?)
            }),
            ("unexpected", |root, _| {
                Ok(fs::remove_file(root.path().join("a"))?)
            }),
            ("different", |root, _| {
                Ok(fs::write(root.path().join("a"), "two")?)
            }),
            ("repeated", |root, out| archive(root, out, "", &[b"b"])),
            ("unreadable", |_, out| {
                Ok(fs::write(out.path().join("x.zip"), "no archive")?)
            }),
            ("unreadable", |_, out| {
                let first = fs::read_dir(out.path())?
                    .next()
                    .expect("has archives")?
                    .path();
                let half = fs::read(&first)?;
                Ok(fs::write(&first, &half[..half.len() / 2])?)
            }),
        ];
        for (expected, damage) in cases {
            let (root, out) = tree()?;
            damage(&root, &out)?;
            let report = verify(out.path(), root.path())?;
            assert!(!report.is_exact());
            let found = report
                .problems()
                .into_iter()
                .find(|(name, _)| *name == expected);
            assert!(
                found.is_some_and(|(_, found)| found.count > 0),
                "{expected}: {report}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_folder_of_archives_below_the_root_does_not_count() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("a"), "one")?;
        let out = tempfile::tempdir_in(root.path())?;
        archive(&root, &out, "", &[b"a"])?;
        assert!(verify(out.path(), root.path())?.is_exact());
        Ok(())
    }
}
