//! How long jobs are kept, from and to the wire.

use headway::v1;
use headway_domain::jobs::{Expiry, Retention};

use crate::grpc::violations::Violations;

/// Reads a retention below a field, such as `spec.retention`.
pub(crate) fn read(
    field: &str,
    wire: Option<v1::Retention>,
    violations: &mut Violations,
) -> Retention {
    let wire = wire.unwrap_or_default();
    let mut expiry = |state: &str, text: String| -> Option<Expiry> {
        if text.is_empty() {
            return None;
        }
        text.parse()
            .map_err(|why: &str| violations.push(format!("{field}.{state}"), why))
            .ok()
    };
    Retention {
        completed: expiry("completed", wire.completed),
        failed: expiry("failed", wire.failed),
        cancelled: expiry("cancelled", wire.cancelled),
    }
}

/// The wire's form; none where nothing is said.
pub(crate) fn wire(retention: &Retention) -> Option<v1::Retention> {
    let text = |expiry: &Option<Expiry>| expiry.as_ref().map(ToString::to_string);
    (*retention != Retention::default()).then(|| v1::Retention {
        completed: text(&retention.completed).unwrap_or_default(),
        failed: text(&retention.failed).unwrap_or_default(),
        cancelled: text(&retention.cancelled).unwrap_or_default(),
    })
}
