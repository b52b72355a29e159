//! The creation of a job.

use std::sync::Arc;

use crate::{
    batches::{
        batch::Batch,
        page::{Page, PageState},
    },
    events::event::EventKind,
    jobs::{
        job::{Job, JobMeta},
        spec::Work,
    },
    slice::{job_slice::JobSlice, rows::Moment},
};

impl JobSlice {
    /// A new job with its root batch and first page. The page of a single task is split from the
    /// start.
    pub fn create(meta: Arc<JobMeta>, allowance: u32, moment: Moment) -> Self {
        let is_task = matches!(meta.spec.work, Work::Task(_));
        let mut slice = Self::new(Job::new(meta, allowance), moment);
        let mut root = Batch {
            number: 1,
            parent: None,
            depth: 0,
            definition: None,
            declared: is_task,
            exhausted: is_task,
            open_pages: 1,
            retained_pages: 0,
            children: 0,
            done: 0,
            items: u64::from(is_task),
            finished: false,
        };
        let mut page = Page::unsplit(1, &root, 0, moment.now, None);
        let counts = &mut slice.job.counts;
        if is_task {
            page.state = PageState::Open;
            page.count = 1;
            counts.known = 1;
            counts.unreleased = 1;
            counts.declared = 1;
            counts.open = 1;
            root.exhausted = true;
        } else {
            counts.unsplit = 1;
            counts.undeclared_unsplit = 1;
        }
        slice.job.next_batch = 2;
        slice.job.next_page = 2;
        slice.insert_batch(root);
        slice.insert_page(page);
        slice.set_times();
        slice.record(EventKind::Created, 0, "");
        slice
    }
}
