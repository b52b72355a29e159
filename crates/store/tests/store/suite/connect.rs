//! Connecting: tables are made once, by whoever comes first.

use headway_store::{Store, StoreConfig, StoreError};

use sea_orm::ConnectionTrait;

use crate::suite::{Fixture, create::accept, name, new_job, task};

/// Makes the database as empty as a new one.
async fn take_tables_away(f: &Fixture) {
    if f.is_postgres() {
        f.sql(format!("DROP SCHEMA \"{}\" CASCADE", f.config.schema))
            .await;
        return;
    }
    let sql =
        "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let statement = sea_orm::Statement::from_string(f.raw.get_database_backend(), sql);
    for row in f.raw.query_all_raw(statement).await.unwrap() {
        let table: String = row.try_get("", "value").unwrap();
        f.sql(format!("DROP TABLE {table}")).await;
    }
}

/// Two processes start on empty tables at once.
pub(crate) async fn twice_at_once(f: Fixture) {
    let migrations = f.count("seaql_migrations").await;
    take_tables_away(&f).await;
    let config = StoreConfig {
        shards: 8,
        ..f.config.clone()
    };
    let (one, two, three) = tokio::join!(
        Store::connect(&config),
        Store::connect(&config),
        Store::connect(&config)
    );
    let deployment = one.as_ref().unwrap().deployment();
    for store in [one, two, three] {
        let store = store.unwrap();
        assert_eq!(store.deployment(), deployment);
        store.ping().await.unwrap();
        assert_eq!(store.shards(), 8);
    }
    assert_eq!(f.count("shard_claim").await, 8);
    assert_eq!(f.count("seaql_migrations").await, migrations);
}

pub(crate) async fn shards_are_set_once(f: Fixture) {
    let config = StoreConfig {
        shards: f.config.shards + 5,
        ..f.config.clone()
    };
    let other = Store::connect(&config).await.unwrap();
    assert_eq!(other.shards(), f.config.shards);
    assert_eq!(f.count("shard_claim").await, i64::from(f.config.shards));
}

pub(crate) async fn clock_is_the_databases(f: Fixture) {
    f.store.sync_clock().await.unwrap();
    let sql = if f.is_postgres() {
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value"
    } else {
        "SELECT CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER) AS value"
    };
    let before = f.store.now();
    let theirs = f.ints(sql).await[0];
    let after = f.store.now();
    // The measurement is as good as half a round trip.
    let slack = 250_000;
    assert!((before - slack..=after + slack).contains(&theirs));
}

pub(crate) async fn closed_store_is_unavailable(f: Fixture) {
    let other = f.another().await;
    other.close().await;
    assert!(other.ping().await.unwrap_err().is_passing());
    let refused = other
        .create_job(new_job(name("late"), task("x")))
        .await
        .unwrap_err();
    assert!(refused.is_passing(), "{refused}");
    accept(&f.store, "early", task("x")).await;
}

/// Tables of a newer version, which says whether this one may use them.
pub(crate) async fn tables_of_a_newer_version(f: Fixture) {
    f.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2099_01_01_000001_future', 1)")
        .await;
    let store = f.another().await;
    store.ping().await.unwrap();
    f.sql("UPDATE schema_compat SET oldest_level = 1000, oldest_version = '9.0.0'")
        .await;
    let refused = Store::connect(&f.config).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Incompatible(why) if why.contains("9.0.0")),
        "{refused}"
    );
}
