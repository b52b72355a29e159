//! Who asks for a change.

/// Who asks for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Its name; at most [`crate::limits::MAX_ID_BYTES`], empty if it gave none.
    pub user: String,
    /// Its correlation id for the request; at most [`crate::limits::MAX_ID_BYTES`].
    pub correlation: String,
}

/// Names that no caller may use: Headway records its own actions under them.
const OWN_NAMES: [&str; 2] = ["headway", "system"];

/// Whether a name is one of Headway's own, also with a suffix, as in `headway.janitor`.
pub fn is_reserved(user: &str) -> bool {
    let user = user.trim().to_ascii_lowercase();
    let mut rests = OWN_NAMES.iter().filter_map(|own| user.strip_prefix(own));
    rests.any(|rest| rest.is_empty() || rest.starts_with(['.', ':', '/']))
}
