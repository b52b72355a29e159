//! Texts are compared by their bytes, whatever the order of the database is.

use sea_orm::{ConnectionTrait, Statement};

use crate::suite::Fixture;

pub(crate) async fn orders_are_of_bytes(f: Fixture) {
    let schema = &f.config.schema;
    let sql = format!(
        "SELECT column_name AS name, collation_name AS value FROM information_schema.columns \
         WHERE table_schema = '{schema}' AND table_name = 'job' AND column_name IN ('job_id', 'display_name')"
    );
    let statement = Statement::from_string(f.raw.get_database_backend(), sql);
    let rows = f.raw.query_all_raw(statement).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let collation: Option<String> = row.try_get("", "value").unwrap();
        assert_eq!(collation.as_deref(), Some("C"));
    }
}
