//! What holds for any tree: each file is found once.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::paths::os_bytes;
use crate::testing::Numbers;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the sizes of pages, groups and memory, and however often it starts again at a
    /// cursor.
    #[test]
    fn every_file_is_found_once(
        tree in proptest::collection::btree_set("[ab.é\u{1}]{1,3}(/[abc]{1,2}){0,2}", 0..40),
        group in 1..6usize,
        names in 1..30usize,
        seed: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut expected = BTreeSet::new();
        for path in &tree {
            let file = folder.path().join(path);
            let usable = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            // A name may already stand for a file where a folder is needed, or the other way round.
            if usable && fs::create_dir_all(file.parent().unwrap()).is_ok() && fs::write(&file, "").is_ok() {
                let name = file.strip_prefix(folder.path()).unwrap();
                expected.insert(os_bytes(name.as_os_str()).to_vec());
            }
        }
        let items = walk(&forgetful(names), definition(folder.path(), json!({"group": group})), seed);
        prop_assert_eq!(paths(&items, group), expected.into_iter().collect::<Vec<_>>());
    }

    /// Files come and go between two pages of one folder.
    #[test]
    fn a_changing_folder_doubles_nothing_and_loses_nothing_that_stayed(
        changes in proptest::collection::vec((0..60u32, any::<bool>()), 0..200),
        start in proptest::collection::btree_set(0..60u32, 0..50),
        group in 1..4usize,
        names in 1..30usize,
        remembered: bool,
        seed: u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| folder.path().join(format!("{number:02}"));
        start.iter().for_each(|number| fs::write(path(*number), "").unwrap());
        let files = forgetful(names);
        let definition = definition(folder.path(), json!({"group": group}));
        let warm = remembered.then_some(WarmKey { job: Uuid::nil(), batch: 7 });
        let mut stayed = start.clone();
        let mut existed = start;
        let mut seen = BTreeMap::new();
        let mut numbers = Numbers::new(seed);
        let mut changes = changes.into_iter();
        let mut cursor: Option<Vec<u8>> = None;
        loop {
            let limit = 1 + numbers.below(5);
            let page = Walk::ask(&files, &definition, cursor.as_deref(), limit, warm).unwrap();
            for child in page.children {
                let Child::Item(item) = child else { panic!("no folders here") };
                for name in paths(&[item], group) {
                    let number: u32 = String::from_utf8(name).unwrap().parse().unwrap();
                    *seen.entry(number).or_insert(0) += 1;
                }
            }
            let Some(next) = page.next else { break };
            cursor = Some(next);
            for (number, appears) in changes.by_ref().take(numbers.below(12)) {
                if appears {
                    fs::write(path(number), "").unwrap();
                    existed.insert(number);
                } else {
                    let _ = fs::remove_file(path(number));
                    stayed.remove(&number);
                }
            }
        }
        prop_assert!(seen.values().all(|times| *times == 1), "{seen:?}");
        prop_assert!(stayed.iter().all(|number| seen.contains_key(number)), "{stayed:?} {seen:?}");
        prop_assert!(seen.keys().all(|number| existed.contains(number)));
    }
}
