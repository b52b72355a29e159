//! Job types that several people change.

use headway_domain::{Error, JobId, events::Caller};
use headway_store::StoreError;

use crate::suite::Fixture;

/// A type that was deleted and created again is another one, although its versions begin again.
pub(crate) async fn an_etag_is_of_one_definition(f: Fixture) {
    let caller = Caller::default();
    let types = f.store.job_types();
    let id = JobId::new("type").unwrap();
    let old = types.create(&id, "program: x", &caller).await.unwrap();
    types.delete(&id, Some(&old.etag), &caller).await.unwrap();
    for definition in ["program: y", "program: x"] {
        let new = types.create(&id, definition, &caller).await.unwrap();
        assert_eq!(new.version, old.version);
        let stale = Some(old.etag.as_str());
        let updated = types.update(&id, "program: z", stale, &caller).await;
        let deleted = types.delete(&id, stale, &caller).await;
        for refused in [updated.map(drop), deleted] {
            let error = refused.unwrap_err();
            let mismatch = matches!(error, StoreError::Domain(Error::EtagMismatch(_)));
            assert!(mismatch, "{error}");
        }
        assert_eq!(types.get(&id).await.unwrap(), new);
        let etag = Some(new.etag.as_str());
        let next = types.update(&id, definition, etag, &caller).await.unwrap();
        assert_ne!(next.etag, new.etag);
        types.delete(&id, Some(&next.etag), &caller).await.unwrap();
    }
}
