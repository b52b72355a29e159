//! A disk that is full, and then has room again.
//!
//! The test starts itself again in a mount namespace of its own, with a small file system that it
//! may fill.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use headway_domain::reports::ItemEvent;
use headway_store::{Store, StoreConfig, StoreError, StoreUrl};
use sea_orm::ConnectionTrait;

use crate::suite::{
    batch,
    driver::{Driver, Tree, flat, reports},
    name, new_job, task,
};

/// Where the small file system is mounted.
const FOLDER: &str = "HEADWAY_TEST_SMALL_DISK";

#[test]
fn work_goes_on_once_a_full_disk_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=6m tmpfs '{}' && exec '{}' --ignored --exact dialects::sqlite::disk::on_a_small_disk",
        folder.path().display(),
        test.display()
    );
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(arguments).args(["sh", "-c", script.as_str()]);
        command.env(FOLDER, folder.path()).output()
    };
    if !Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!(
            "left out: this machine allows no mount namespace, so no small disk can be mounted"
        );
        return;
    }
    let output = alone(&["-rm"]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

/// A file that takes all the room there is.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        Self(path)
    }

    fn remove(self) {
        let file = OpenOptions::new().write(true).open(&self.0).unwrap();
        file.set_len(0).unwrap();
        std::fs::remove_file(self.0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a small disk; another test starts it"]
async fn on_a_small_disk() {
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let url = format!("sqlite://{}", folder.join("store.db").display());
    let store = Store::connect(&StoreConfig::new(StoreUrl::new(url.clone())))
        .await
        .unwrap();
    let raw = sea_orm::Database::connect(url).await.unwrap();
    let mut driver = Driver::new(&store);
    let job = driver.begin(batch(), Tree::new(flat(600))).await;
    let mut tasks = driver.take_tasks();
    for round in 0..3 {
        // What is in the log of changes is moved to the database, so that each change needs room
        // again.
        raw.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
            .await
            .unwrap();
        let ballast = Ballast::fill(&folder);
        let later = tasks.split_off(100);
        let said = reports(&tasks, |_| ItemEvent::Done);
        let large = "x".repeat(200_000);
        // Both durabilities, which have connections of their own.
        for attempt in 0..4 {
            let spec = task(&large);
            let refused = store
                .create_job(new_job(name(&format!("{round}-{attempt}")), spec))
                .await;
            let error = refused.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        }
        let error = store.apply_reports(&said).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        ballast.remove();
        driver.report(said).await;
        assert_eq!(driver.job(&job).await.counts.done, (round + 1) * 100);
        store
            .create_job(new_job(name(&format!("after-{round}")), task("x")))
            .await
            .unwrap();
        tasks = later;
    }
    driver.answer(&tasks, |_| ItemEvent::Done).await;
    assert_eq!(driver.finish_well(&job).await.counts.done, 600);
}
