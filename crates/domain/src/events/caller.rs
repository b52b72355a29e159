//! Who asks for a change.

/// Who asks for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who it says it is; at most [`crate::limits::MAX_ID_BYTES`], empty when it says nothing.
    pub user: String,
    /// What it calls its request; at most [`crate::limits::MAX_ID_BYTES`].
    pub correlation: String,
}

/// Names that no caller may take: Headway records what it does by itself under them.
const OWN_NAMES: [&str; 2] = ["headway", "system"];

/// Whether a name is one of Headway's own, also with something behind it, as in `headway.janitor`.
pub fn is_reserved(user: &str) -> bool {
    let user = user.trim().to_ascii_lowercase();
    let mut rests = OWN_NAMES.iter().filter_map(|own| user.strip_prefix(own));
    rests.any(|rest| rest.is_empty() || rest.starts_with(['.', ':', '/']))
}
