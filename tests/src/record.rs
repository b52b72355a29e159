//! What handlers did: which items ran, how often, and how many at once. In memory for workers
//! inside the test, in an append-only file for workers in processes that may be killed at any
//! moment.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headway_worker::Task;

/// How often each item ran, in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Record(Arc<Mutex<Runs>>);

#[derive(Debug, Default)]
struct Runs {
    /// By payload.
    started: BTreeMap<String, u32>,
    /// Running now, by payload.
    running: BTreeMap<String, u32>,
    /// The most different items that ever ran at once.
    most: usize,
}

/// An item that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    record: Record,
    item: String,
}

impl Record {
    /// Notes that a task begins to run.
    pub fn start(&self, task: &Task) -> Running {
        let item = String::from_utf8_lossy(&task.payload_bytes()).into_owned();
        let mut runs = self.lock();
        *runs.started.entry(item.clone()).or_default() += 1;
        *runs.running.entry(item.clone()).or_default() += 1;
        runs.most = runs.most.max(runs.running.len());
        drop(runs);
        Running {
            record: self.clone(),
            item,
        }
    }

    /// How often each item ran, by its payload.
    pub fn runs(&self) -> BTreeMap<String, u32> {
        self.lock().started.clone()
    }

    /// How many runs there were of all items.
    pub fn total(&self) -> u32 {
        self.lock().started.values().sum()
    }

    /// How many runs go on now.
    pub fn running(&self) -> usize {
        self.lock().running.len()
    }

    /// The most different items that ever ran at once.
    pub fn most(&self) -> usize {
        self.lock().most
    }

    /// Forgets what was noted, but for what runs now.
    pub fn clear(&self) {
        self.lock().started.clear();
    }

    /// Checks that numbers from 0 up to `count` ran, each of them once, and nothing else.
    ///
    /// # Panics
    /// When they did not.
    pub fn assert_each_once(&self, count: u32) {
        let runs = self.runs();
        assert_at_least_once(&runs, count);
        let twice: Vec<_> = runs.iter().filter(|(_, runs)| **runs > 1).collect();
        assert!(twice.is_empty(), "ran more than once: {twice:?}");
    }

    /// Checks that there were this many runs, whatever ran.
    ///
    /// # Panics
    /// When there were more or fewer.
    pub fn assert_runs(&self, runs: u32) {
        assert_eq!(self.total(), runs, "{:?}", self.runs());
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut runs = self.record.lock();
        if let Some(count) = runs.running.get_mut(&self.item) {
            *count -= 1;
            if *count == 0 {
                runs.running.remove(&self.item);
            }
        }
    }
}

/// Checks that numbers from 0 up to `count` ran and nothing else; how many runs there were beyond
/// the first of each.
fn assert_at_least_once(runs: &BTreeMap<String, u32>, count: u32) -> u32 {
    let missing: Vec<u32> = (0..count)
        .filter(|number| !runs.contains_key(&number.to_string()))
        .take(10)
        .collect();
    assert!(missing.is_empty(), "never ran, among others: {missing:?}");
    assert_eq!(runs.len(), count as usize, "ran what is no item");
    runs.values().sum::<u32>() - count
}

/// How often each item ran, in a file: a line a run. Lines are appended whole, so several processes
/// may write, and none of them loses what it wrote when it is killed.
#[derive(Debug, Clone)]
pub struct ItemFile(PathBuf);

impl ItemFile {
    /// The file at this path; it need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens it for [`ItemFile::append`].
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).open(&self.0)
    }

    /// Notes that an item begins to run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(mut file: &File, item: &str) -> io::Result<()> {
        file.write_all(format!("{item}\n").as_bytes())
    }

    /// How often each item ran.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn runs(&self) -> BTreeMap<String, u32> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("the record of runs cannot be read: {error}"),
        };
        let mut runs = BTreeMap::new();
        for item in text.lines() {
            *runs.entry(item.to_owned()).or_default() += 1;
        }
        runs
    }

    /// Checks that numbers from 0 up to `count` ran and nothing else, and says how many ran again.
    ///
    /// # Panics
    /// When one did not run.
    pub fn assert_at_least_once(&self, count: u32) -> u32 {
        let duplicates = assert_at_least_once(&self.runs(), count);
        eprintln!("{duplicates} runs beyond the first of each of {count} items");
        duplicates
    }
}
