//! File names byte for byte, as the `files` splitter writes them: a JSON string where the name is
//! UTF-8, else `{"b64": "..."}`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file name or path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes { b64: String },
}

impl Name {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as a path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.0.clone()))
    }

    /// This folder with one more name; an empty folder is where paths begin.
    pub fn join(&self, name: &Name) -> Self {
        if self.0.is_empty() {
            return name.clone();
        }
        Self([&self.0, b"/".as_slice(), &name.0].concat())
    }

    /// Whether it is one name within a folder: no way up, down or out.
    pub fn is_single(&self) -> bool {
        !matches!(self.as_bytes(), b"" | b"." | b"..")
            && !self.0.contains(&b'/')
            && !self.0.contains(&0)
    }

    /// Whether it is a path below a folder, or empty for the folder itself.
    pub fn is_below(&self) -> bool {
        self.0.is_empty()
            || self
                .0
                .split(|byte| *byte == b'/')
                .all(|part| Name(part.to_vec()).is_single())
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&OsStr> for Name {
    fn from(name: &OsStr) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match String::from_utf8(self.0.clone()) {
            Ok(text) => Written::Text(text),
            Err(error) => Written::Bytes {
                b64: STANDARD.encode(error.as_bytes()),
            },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self(text.into_bytes()),
            Written::Bytes { b64 } => Self(STANDARD.decode(b64).map_err(D::Error::custom)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_json() -> serde_json::Result<()> {
        for bytes in [
            b"plain.txt".as_slice(),
            "größe".as_bytes(),
            b"\xff\xfe",
            b"",
        ] {
            let name = Name::from(bytes);
            let text = serde_json::to_string(&name)?;
            assert_eq!(serde_json::from_str::<Name>(&text)?, name, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&Name::from(b"\xff".as_slice()))?,
            r#"{"b64":"/w=="}"#
        );
        Ok(())
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for bad in ["", ".", "..", "a/b", "/a", "a\0"] {
            assert!(!Name::from(bad).is_single(), "{bad:?}");
        }
        for bad in ["..", "a/../b", "/a", "a//b", "a/", "./a"] {
            assert!(!Name::from(bad).is_below(), "{bad:?}");
        }
        for good in ["", "a", "a/b/..c"] {
            assert!(Name::from(good).is_below(), "{good:?}");
        }
    }
}
