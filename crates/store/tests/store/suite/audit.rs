//! Counts the rows of a job again and compares them with its counters.

use headway_domain::{Job, JobUid, batches::Bitmap, jobs::Counts};
use headway_store::BatchView;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};

use crate::suite::Fixture;

#[derive(Debug, FromQueryResult)]
struct PageRow {
    number: i64,
    batch: i64,
    state: i64,
    count: i64,
    released: i64,
    again: Vec<u8>,
    sub: Vec<u8>,
    done: Vec<u8>,
    failed: Vec<u8>,
    discarded: Vec<u8>,
    parked: Vec<u8>,
    run: i64,
}

#[derive(Debug, FromQueryResult)]
struct BatchRow {
    number: i64,
    parent: i64,
    open_pages: i64,
    kept_pages: i64,
    children: i64,
    done: i64,
    finished: i64,
}

#[derive(Debug, FromQueryResult)]
struct ItemRow {
    page: i64,
    due: i64,
    fraction: i64,
}

async fn rows<T: FromQueryResult>(fixture: &Fixture, table: &str, key: i64) -> Vec<T> {
    let sql = format!("SELECT * FROM {table} WHERE job_key = {key}");
    let statement = Statement::from_string(fixture.raw.get_database_backend(), sql);
    let rows = fixture.raw.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| T::from_query_result(row, "").unwrap())
        .collect()
}

/// Asserts that the counters of a job say what its rows say.
pub(crate) async fn audit(fixture: &Fixture, uid: JobUid) {
    let job = fixture.store.job_state(uid).await.unwrap().unwrap().job;
    let key = job.meta.key;
    let pages: Vec<PageRow> = rows(fixture, "page", key).await;
    let batches: Vec<BatchRow> = rows(fixture, "batch", key).await;
    let items: Vec<ItemRow> = rows(fixture, "item", key).await;
    let run = i64::from(job.run);

    let mut counts = Counts {
        item_rows: items.len() as u64,
        // What pages do not tell is taken over.
        declared: job.counts.declared,
        undeclared: job.counts.undeclared,
        undeclared_pages: job.counts.undeclared_pages,
        undeclared_unsplit: job.counts.undeclared_unsplit,
        redriven: job.counts.redriven,
        ..Counts::default()
    };
    // What a batch that is done and kept says, the one above it says too.
    let live = || batches.iter().filter(|batch| batch.finished == 0);
    let folded: i64 = live().map(|batch| batch.done).sum();
    counts.done = folded as u64;
    counts.known = folded as u64;
    for page in &pages {
        add_page(&mut counts, page, run);
        let present = page.run == run;
        for item in items.iter().filter(|item| item.page == page.number) {
            if present {
                counts.delayed += u64::from(item.due > 0);
                counts.fractions += item.fraction as u64;
            }
        }
    }
    counts.failures = fixture
        .ints(format!(
            "SELECT count(*) AS value FROM failure WHERE job_key = {key} AND run = {run}"
        ))
        .await[0] as u64
        + counts.redriven;
    assert_eq!(counts, job.counts, "what the rows say is on the left");
    assert_eq!(
        counts.done + counts.failed + counts.discarded + job.counts.open_items(),
        counts.known
    );
    for batch in &batches {
        let of = |states: &[i64]| {
            pages
                .iter()
                .filter(|page| page.batch == batch.number && states.contains(&page.state))
                .count() as i64
        };
        assert_eq!(batch.open_pages, of(&[1, 2, 3]), "{batch:?}");
        assert_eq!(batch.kept_pages, of(&[4, 5]), "{batch:?}");
        let children = live().filter(|child| child.parent == batch.number);
        assert_eq!(batch.children, children.count() as i64, "{batch:?}");
    }
    explore(fixture, &job).await;
}

/// Asserts that the tree of batches, as people look at it, says what the job's counters say.
async fn explore(fixture: &Fixture, job: &Job) {
    let name = &job.meta.name;
    let list = async |parent| {
        let page = fixture.store.list_batches(name, parent, 0, 1000).await;
        let page = page.unwrap();
        assert_eq!(page.next, None);
        page.batches
    };
    // The root's own numbers are the job's counters; those of all others are sums, which hold for
    // the root as well.
    let shown = list(None).await;
    let root = fixture
        .store
        .batch_sums(job.meta.key, vec![1])
        .await
        .unwrap()
        .readable;
    assert_eq!(
        (shown[0].known, shown[0].done, shown[0].batches),
        (root[0].known, root[0].done, root[0].batches)
    );
    assert_eq!(
        (&shown[0].definition, shown[0].waiting),
        (&root[0].definition, root[0].waiting)
    );
    assert_eq!(shown[0].open == 0, root[0].open == 0);
    let [root] = root.as_slice() else {
        panic!("{root:?}")
    };
    let counts = &job.counts;
    let seen = (root.known, root.done, root.failed, root.discarded);
    let expected = (counts.known, counts.done, counts.failed, counts.discarded);
    assert_eq!(seen, expected, "{root:?}");
    assert_eq!(root.split_failures, counts.split_failed);
    let children = list(Some(1)).await;
    assert_eq!(children.len() as u64, root.batches);
    let sum = |count: fn(&BatchView) -> u64| children.iter().map(count).sum::<u64>();
    assert!(sum(|child| child.known) <= root.known);
    assert!(sum(|child| child.done) <= root.done);
    assert!(sum(|child| child.failed) <= root.failed);
    assert!(sum(|child| child.open) <= root.open);
    for child in &children {
        assert!(
            !child.finished || (child.done == child.known && child.open == 0),
            "{child:?}"
        );
        assert!(
            child.done + child.failed + child.discarded <= child.known,
            "{child:?}"
        );
    }
}

fn add_page(counts: &mut Counts, page: &PageRow, run: i64) {
    let map = |bytes: &Vec<u8>| Bitmap::from_bytes(bytes.clone());
    let (sub, done) = (map(&page.sub), map(&page.done));
    let (failed, discarded, parked) = (map(&page.failed), map(&page.discarded), map(&page.parked));
    let items = u64::from(page.count as u32 - sub.len());
    counts.known += items;
    counts.done += u64::from(done.len());
    let present = page.run == run;
    match page.state {
        1 => counts.unsplit += 1,
        2 => counts.splitting += 1,
        _ if !present => {
            counts.reopen += 1;
            counts.unreleased += items - u64::from(done.len());
        }
        3 => counts.open += 1,
        4 => counts.retained += 1,
        5 => counts.split_failed += 1,
        state => panic!("state {state} of a page"),
    }
    if !present {
        return;
    }
    counts.failed += u64::from(failed.len());
    counts.discarded += u64::from(discarded.len());
    counts.parked += u64::from(parked.len());
    let ended = |index| {
        sub.contains(index)
            || done.contains(index)
            || failed.contains(index)
            || discarded.contains(index)
    };
    let again = map(&page.again);
    if page.state == 3 {
        let waiting = (page.released as u32..page.count as u32).filter(|index| !ended(*index));
        counts.unreleased += waiting.count() as u64 + u64::from(again.len());
    }
    for index in again.iter() {
        assert!(
            !ended(index) && page.state == 3,
            "item {index} is to be released and has ended"
        );
    }
    for index in done.iter() {
        assert!(!failed.contains(index) && !discarded.contains(index));
    }
    for index in parked.iter() {
        assert!(!ended(index), "item {index} is parked and has ended");
    }
    assert!(failed.iter().all(|index| !discarded.contains(index)));
}
