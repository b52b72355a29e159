use headway_domain::jobs::Phase;
use proptest::prelude::*;

use super::{super::super::table::tests::view, *};

proptest! {
    /// Watchers of a partition see only its own jobs, whatever jobs the messages name.
    #[test]
    fn views_of_other_partitions_are_never_shown(
        jobs in proptest::collection::vec((0_u128..20, 1_i64..5, "[pq]"), 0..50),
    ) {
        let feed = PartitionFeed::new(PartitionId::new("p").unwrap());
        let mut own = BTreeSet::new();
        for (number, revision, partition) in jobs {
            // A uid belongs to one job in one partition.
            let number = number * 2 + u128::from(partition == "q");
            let seen = view(number, revision, Phase::Active);
            let mut meta = (*seen.job.meta).clone();
            meta.name = format!("partitions/{partition}/jobs/j").parse().unwrap();
            let mut seen = (*seen).clone();
            seen.job.meta = Arc::new(meta);
            if partition == "p" {
                own.insert(seen.job.meta.uid);
            }
            feed.put([seen]);
        }
        let taken = feed.take(0, usize::MAX).unwrap();
        let shown = taken.entries.into_iter().map(|(_, entry)| match entry {
            Entry::State(view) => {
                assert_eq!(view.job.meta.name.partition.as_str(), "p");
                view.job.meta.uid
            }
            Entry::Deleted(gone) => panic!("{gone:?}"),
        });
        prop_assert_eq!(shown.collect::<BTreeSet<_>>(), own);
    }
}

fn at(seq: i64) -> Position {
    Position { tx: 0, seq }
}

fn marked(feed: &PartitionFeed) -> (Micros, Position) {
    let (mark, _) = feed.present().unwrap();
    (mark.time, mark.position)
}

#[test]
fn a_mark_waits_until_what_was_found_is_read() {
    let feed = PartitionFeed::new(PartitionId::new("p").unwrap());
    assert!(!feed.has_begun());
    feed.begin(10, at(1));
    assert!(feed.has_begun());
    feed.unchanged(20, at(2));
    assert_eq!((marked(&feed), feed.position()), ((20, at(2)), at(2)));

    feed.ask();
    feed.unchanged(30, at(3));
    assert_eq!((marked(&feed), feed.position()), ((20, at(2)), at(2)));
    assert!(feed.take_asked());
    assert!(!feed.take_asked(), "once for each time that it is asked");
    // What the next poll finds, or what cannot be read, needs another comparison.
    feed.ask();
    feed.compared(31, at(3));
    feed.unchanged(40, at(4));
    assert_eq!(marked(&feed), (31, at(3)));
    assert!(feed.take_asked());
    feed.ask_later();
    feed.unchanged(50, at(5));
    assert_eq!(marked(&feed), (31, at(3)));
    assert!(feed.take_asked());
    feed.compared(51, at(5));
    feed.unchanged(60, at(6));
    assert_eq!(marked(&feed), (60, at(6)));
    // A poll that ends late.
    feed.unchanged(59, at(5));
    assert_eq!((marked(&feed), feed.position()), ((60, at(6)), at(6)));
}

#[tokio::test(start_paused = true)]
async fn watchers_are_woken_by_a_mark_that_comes_late() {
    let feed = PartitionFeed::new(PartitionId::new("p").unwrap());
    feed.begin(10, at(1));
    let mut news = feed.news();
    feed.unchanged(20, at(2));
    assert!(!news.has_changed().unwrap());
    tokio::time::advance(STALE).await;
    feed.unchanged(30, at(3));
    assert!(news.has_changed().unwrap());
    news.borrow_and_update();
    feed.compared(31, at(3));
    assert!(news.has_changed().unwrap());
}
