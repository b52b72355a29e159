//! Paths and file names as they travel in definitions and items, and what errors of the file system
//! mean.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headway_files::{NO_ROOTS, OpenError, shorten};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::SplitError;

/// A path or file name, byte for byte as the file system has it.
///
/// In JSON it is a string where it is UTF-8, else `{"b64": "..."}` with its bytes in base64, so
/// that no name is lost or changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<u8>);

/// The JSON form of a name that is not UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    b64: String,
}

impl Name {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as a path.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        os_path(&self.0)
    }

    /// This folder's path with one more name at its end; an empty folder is where paths begin.
    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.0.is_empty() {
            path.extend_from_slice(&self.0);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&Path> for Name {
    fn from(path: &Path) -> Self {
        Self(os_bytes(path.as_os_str()).to_vec())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_path(), formatter)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Encoded {
                b64: STANDARD.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or {\"b64\": \"...\"}")]
        enum Written {
            Text(String),
            Encoded(Encoded),
        }

        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Encoded(Encoded { b64 }) => {
                STANDARD.decode(b64).map(Self).map_err(D::Error::custom)
            }
        }
    }
}

/// The bytes of a name of the file system.
#[cfg(unix)]
pub(crate) fn os_bytes(name: &OsStr) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(name)
}

/// The bytes of a name of the file system.
#[cfg(not(unix))]
pub(crate) fn os_bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The path with these bytes.
#[cfg(unix)]
pub(crate) fn os_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
}

/// The path with these bytes; where names are not bytes, those that are not Unicode are not found.
#[cfg(not(unix))]
pub(crate) fn os_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// Checks that a path is absolute: a batch worker's working folder means nothing to a client.
///
/// # Errors
/// [`SplitError::Invalid`] that names the field.
pub(crate) fn check_absolute(field: &str, name: &Name) -> Result<(), SplitError> {
    let path = name.to_path();
    if !path.is_absolute() || name.as_bytes().contains(&0) {
        return Err(SplitError::invalid(format!(
            "`{field}` must be an absolute path, not {}",
            shorten(&path)
        )));
    }
    Ok(())
}

/// Checks that a path leads down only: no `..`, no `.`, no start at the root.
///
/// # Errors
/// [`SplitError::Invalid`] that names the field.
pub(crate) fn check_below(field: &str, name: &Name) -> Result<(), SplitError> {
    let path = name.to_path();
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    // `components` silently drops a `.` within a path.
    let dotted = name
        .as_bytes()
        .split(|byte| *byte == b'/')
        .any(|part| part == b".");
    if !plain || dotted || name.as_bytes().contains(&0) {
        return Err(SplitError::invalid(format!(
            "`{field}` must be a path below the root, not {}",
            shorten(&path)
        )));
    }
    Ok(())
}

/// What it means for a batch that a path was not opened.
pub(crate) fn open_error(action: &str, path: &Path, error: OpenError) -> SplitError {
    let path_text = shorten(path);
    match error {
        OpenError::Io(error) => io_error(action, path, &error),
        OpenError::NoRoots => SplitError::invalid(NO_ROOTS),
        OpenError::Outside => SplitError::invalid(format!(
            "{path_text} is not in a folder that `file_roots` of this deployment allows"
        )),
        OpenError::NotAFile => SplitError::invalid(format!("{path_text} is not a regular file")),
    }
}

/// What an error of the file system means for a batch: whatever trying again cannot mend is
/// lasting, as a path that is missing or forbidden; an input/output error or too many open files
/// may pass.
pub(crate) fn io_error(action: &str, path: &Path, error: &io::Error) -> SplitError {
    let sentence = format!("cannot {action} {}: {error}", shorten(path));
    if is_passing(error) {
        SplitError::Transient(sentence)
    } else {
        SplitError::Invalid(sentence)
    }
}

/// Whether there is nothing at the path (any more).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether a symbolic link leads nowhere: to nothing, or in a circle.
pub(crate) fn leads_nowhere(error: &io::Error) -> bool {
    /// `ELOOP`, for which the standard library has no stable kind.
    const TOO_MANY_LINKS: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
    is_gone(error) || error.raw_os_error() == Some(TOO_MANY_LINKS)
}

fn is_passing(error: &io::Error) -> bool {
    !leads_nowhere(error)
        && !matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::InvalidData
                | io::ErrorKind::Unsupported
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_keep_every_byte() {
        for (bytes, form) in [
            (&b"plain"[..], json!("plain")),
            ("grün".as_bytes(), json!("grün")),
            (b"\xff\x00x", json!({"b64": "/wB4"})),
            (b"", json!("")),
        ] {
            let name = Name::from(bytes);
            assert_eq!(serde_json::to_value(&name).unwrap(), form);
            assert_eq!(Name::deserialize(&form).unwrap(), name);
        }
        for wrong in [
            json!(1),
            json!({"b64": "?"}),
            json!({"b64": "", "more": 1}),
            json!(null),
        ] {
            assert!(Name::deserialize(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn relative_paths_lead_down_only() {
        for good in ["", "a", "a/b c/..d", "..."] {
            assert_eq!(
                check_below("dir", &Name::from(good.as_bytes())),
                Ok(()),
                "{good:?}"
            );
        }
        for bad in ["..", "a/../b", "/a", "a/..", ".", "a/./b", "a\0b"] {
            assert!(
                check_below("dir", &Name::from(bad.as_bytes())).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn kinds_of_errors_are_told_apart() {
        let lasting = |error: io::Error| {
            matches!(
                io_error("open", Path::new("/x"), &error),
                SplitError::Invalid(_)
            )
        };
        assert!(lasting(io::ErrorKind::NotFound.into()));
        assert!(lasting(io::ErrorKind::PermissionDenied.into()));
        assert!(lasting(io::ErrorKind::NotADirectory.into()));
        // EIO, ENFILE and EMFILE have the same numbers on all systems that are built for.
        for passing in [5, 23, 24] {
            assert!(!lasting(io::Error::from_raw_os_error(passing)));
        }
        assert!(!lasting(io::ErrorKind::TimedOut.into()));
    }
}
