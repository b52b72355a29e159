//! The settings' defaults, bounds and printed form.

use super::*;

fn load(pairs: &[(&str, &str)]) -> Result<Config, String> {
    let layers = pairs.iter().fold(Layers::new(), |layers, (key, value)| {
        layers.set(key, Some(value))
    });
    Config::load(&layers)
        .map(|loaded| loaded.settings)
        .map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_valid_and_embedded() {
    let config = load(&[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.to_string(), "127.0.0.1:6420");
    assert_eq!(config.sqlite_path(), PathBuf::from(".headway/headway.db"));
    assert!(Role::ALL.into_iter().all(|role| config.has(role)));
}

#[test]
fn a_cluster_role_is_configured_by_text_alone() {
    let variables = [
        ("HEADWAY_LISTEN", "[::]:0"),
        ("HEADWAY_DATABASE_URL", "postgres://anna:s3cret@db/headway"),
        ("HEADWAY_BROKER_URL", "amqp://guest:s3cret@broker"),
        ("HEADWAY_ROLES", "tracking,batch"),
        ("HEADWAY_LEASE_AFTER", "90"),
        ("HEADWAY_SWEEP_INTERVAL", "250ms"),
        ("HEADWAY_PREFIX", "42"),
        ("HEADWAY_LOG_FORMAT", "json"),
    ];
    let layers =
        Layers::new().environment(variables.map(|(name, value)| (name.into(), value.into())));
    let config = Config::load(&layers).unwrap().settings;
    assert_eq!(config.listen.port(), 0);
    assert_eq!(config.roles, BTreeSet::from([Role::Tracking, Role::Batch]));
    assert_eq!(config.lease_after, Duration::from_secs(90));
    assert_eq!(config.sweep_interval, Duration::from_millis(250));
    assert_eq!(config.prefix, "42");
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(
        config.broker_url.unwrap().expose(),
        "amqp://guest:s3cret@broker"
    );
}

#[test]
fn variables_of_job_types_are_no_settings_and_no_slips() {
    let variables = [
        ("HEADWAY_JOB_TYPES_DIR", "/etc/headway/types"),
        ("HEADWAY_JOB_TYPE_EXPORT_ARCHIVE", "/srv/archive"),
        ("HEADWAY_JOB_TIPES_DIR", "/nowhere"),
    ];
    let layers =
        Layers::new().environment(variables.map(|(name, value)| (name.into(), value.into())));
    let loaded = Config::load(&layers).unwrap();
    assert_eq!(loaded.ignored, ["HEADWAY_JOB_TIPES_DIR"]);
    let folder = loaded.settings.job_types_dir;
    assert_eq!(folder, Some(PathBuf::from("/etc/headway/types")));
}

#[test]
fn what_is_printed_hides_secrets_and_can_be_read_again() {
    let config = load(&[
        (
            "database_url",
            "postgres://anna:s3cret@db/headway?sslkey=s3cret",
        ),
        ("broker_url", "amqp://guest:s3cret@broker"),
    ])
    .unwrap();
    let (printed, debugged) = (config.to_string(), format!("{config:?}"));
    assert!(
        !printed.contains("s3cret") && !debugged.contains("s3cret"),
        "{printed}\n{debugged}"
    );
    assert!(
        printed.contains("lease_after: 5m\n") && printed.contains("- tracking\n"),
        "{printed}"
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("printed.yaml");
    std::fs::write(&path, &printed).unwrap();
    let again = Config::load(&Layers::new().file(Some(path)))
        .unwrap()
        .settings;
    assert_eq!(again.to_string(), printed);
}

#[test]
fn every_bound_is_checked_and_named() {
    let table = [
        ("data_dir", "", "data_dir must not be empty"),
        (
            "database_url",
            "mysql://s3cret@db",
            "database_url must be an address that begins with postgres:",
        ),
        ("database_url", "postgres:s3cret", "database_url must be"),
        (
            "broker_url",
            "s3cret",
            "broker_url must be an address that begins with amqp: or amqps:",
        ),
        ("prefix", "", "prefix must be"),
        ("prefix", "Head.way", "not `Head.way`"),
        ("roles", "", "roles must name at least one"),
        ("roles", "server", "roles must be all of"),
        ("roles", "server,tracing", "unknown variant `tracing`"),
        (
            "database_connections",
            "0",
            "database_connections must be 1 to 1000, not 0",
        ),
        ("max_pipes", "0", "max_pipes must be 1 to 100000, not 0"),
        (
            "pipe_retention",
            "0",
            "pipe_retention must be 1s to 8760h, not 0s",
        ),
        (
            "max_splits_per_job",
            "1025",
            "max_splits_per_job must be 1 to 1024",
        ),
        (
            "max_splits_per_job",
            "many",
            "max_splits_per_job: invalid type",
        ),
        (
            "max_watches",
            "0",
            "max_watches must be 1 to 1000000, not 0",
        ),
        ("database_schema", "a-b", "must be 1 to 63 letters"),
        (
            "repair_margin",
            "0",
            "repair_margin must be 1s to 1h, not 0s",
        ),
        (
            "lease_after",
            "30m",
            "lease_after must be 1s to 20m, not 30m",
        ),
        ("lease_after", "-5s", "is negative"),
        (
            "database_statement_timeout",
            "0",
            "database_statement_timeout must be 1s to 1h, not 0s",
        ),
        (
            "split_timeout",
            "0",
            "split_timeout must be 1s to 20m, not 0s",
        ),
        (
            "sweep_interval",
            "1ms",
            "sweep_interval must be 10ms to 1h, not 1ms",
        ),
        (
            "event_retention",
            "0",
            "event_retention must be 1s to 87600h, not 0s",
        ),
        ("event_retention", "30d", "is not a length of time"),
        (
            "file_roots",
            "/srv/a,b",
            "must be absolute paths without `..`",
        ),
        ("file_roots", "/srv/../etc", "must be absolute paths"),
        ("outbox_after", "2h", "outbox_after must be"),
        ("readiness_damping", "301", "readiness_damping must be"),
        ("drain", "soon", "`soon` is not a length of time"),
        ("drain", "11m", "drain must be 0s to 10m, not 11m"),
        ("log", "headway=loud", "log is not a filter"),
        ("log_format", "xml", "unknown variant `xml`"),
        ("listen", "localhost", "invalid socket address"),
    ];
    for (key, value, expected) in table {
        let error = load(&[(key, value)]).unwrap_err();
        assert!(
            error.contains(expected) && error.contains(&format!("flag for {key}")),
            "{key}={value}: {error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn bounds_are_inclusive() {
    let longest = "a".repeat(64);
    for (key, value) in [
        ("prefix", longest.as_str()),
        ("max_splits_per_job", "1"),
        ("lease_after", "20m"),
        ("drain", "0"),
    ] {
        load(&[(key, value)]).unwrap();
    }
    assert!(load(&[("prefix", &"a".repeat(65))]).is_err());
}

#[test]
fn roles_are_known_by_name() {
    for role in Role::ALL {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    assert!("worker".parse::<Role>().is_err());
}
