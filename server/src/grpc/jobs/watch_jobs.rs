//! WatchJobs: the jobs of a partition.

use futures::{TryStreamExt, stream};
use headway::v1;
use headway_domain::{
    Error,
    filter::{Filter, JobOrder},
};
use headway_store::JobFilter;
use tonic::Status;

use super::{read::jobs_query, view};
use crate::{
    grpc::{
        api::{Answers, Api, fitting, now},
        request,
        status::ApiError,
        tokens::Shows,
        violations::Violations,
    },
    watch::{JobsPace, JobsUpdate, follow_jobs},
};

/// Jobs that the listing of a watch may be bound to.
const LISTED: std::ops::RangeInclusive<i32> = 1..=1_000_000;

impl Api {
    pub(crate) async fn watch_jobs(
        &self,
        request: v1::WatchJobsRequest,
    ) -> Result<Answers<v1::WatchJobsResponse>, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let more = violations.take(Filter::parse(&request.filter));
        let filter = JobFilter {
            more,
            ..JobFilter::default()
        };
        let listed = violations.take(max_listed(request.max_listed));
        let interval = violations.take(request::watch_interval(request.min_interval));
        let bookmark = violations.take(request::bookmark_interval(request.bookmark_interval));
        let of = partition.as_ref().map_or("", |id| id.as_str());
        let shows = shows(of, &request.filter);
        let resume = violations.take(shows.read(&request.resume_token));
        let (partition, listed, interval, bookmark, resume) =
            violations.values((partition, listed, interval, bookmark, resume))?;
        if self.stopping.is_cancelled() {
            return Err(ApiError::Stopping);
        }
        let watched = self.partitions.watch(&partition)?;
        let query = jobs_query(&partition, &filter, &request.filter, JobOrder::default());
        let pace = JobsPace {
            filter,
            listed,
            interval,
            bookmark,
            resume,
        };
        let updates = follow_jobs(watched, pace, self.store().clone(), self.stopping.clone());
        let answers = updates.map_ok(move |update| {
            let next = update.below.map(|key| query.token([key, 0], now()));
            let messages = messages(update, next.unwrap_or_default(), &shows);
            stream::iter(messages.into_iter().map(Ok))
        });
        Ok(Box::pin(answers.map_err(Status::from).try_flatten()))
    }
}

/// How many jobs the listing of a watch has at most.
pub(crate) fn max_listed(number: i32) -> Result<u64, Error> {
    match u64::try_from(number) {
        Ok(0) => Ok(u64::MAX),
        Ok(most) if LISTED.contains(&number) => Ok(most),
        Ok(_) | Err(_) => Err(Error::field(
            "max_listed",
            format!("must be 0 to {}, not {number}", LISTED.end()),
        )),
    }
}

/// What a watch of jobs shows, for its tokens.
fn shows(partition: &str, expression: &str) -> Shows {
    // As earlier versions hashed it, which had more to say before each `/`.
    let expression = Some(expression).filter(|text| !text.is_empty());
    let parts = ["/"].into_iter().chain(expression.map(|_| "/"));
    Shows::new(partition, parts.chain(expression))
}

/// An update as messages that clients can read: usually one.
fn messages(
    update: JobsUpdate,
    next_page_token: String,
    shows: &Shows,
) -> Vec<v1::WatchJobsResponse> {
    let mut left: Vec<_> = update.jobs.iter().map(view::listed).collect();
    let removed = update.gone.into_iter().map(|gone| v1::RemovedJob {
        name: gone.name.to_string(),
        uid: gone.uid.to_string(),
        deleted: gone.deleted,
    });
    let mut messages = vec![v1::WatchJobsResponse {
        removed: removed.collect(),
        listing_begins: update.reset,
        unreadable: update.unreadable,
        ..v1::WatchJobsResponse::default()
    }];
    while !left.is_empty() {
        let rest = left.split_off(fitting(&left));
        if let Some(message) = messages
            .last_mut()
            .filter(|message| message.jobs.is_empty())
        {
            message.jobs = left;
        } else {
            messages.push(v1::WatchJobsResponse {
                jobs: left,
                ..v1::WatchJobsResponse::default()
            });
        }
        left = rest;
    }
    if let Some(last) = messages.last_mut() {
        last.listing_complete = update.listed;
        last.next_page_token = next_page_token;
        last.resume_token = update
            .since
            .map(|since| shows.token(since))
            .unwrap_or_default();
    }
    messages
}

#[cfg(test)]
mod tests {
    use headway_domain::jobs::Phase;

    use super::*;
    use crate::watch::{Since, test_view};

    #[test]
    fn large_updates_become_several_messages() {
        let shows = shows("p", "");
        let since = Since {
            time: 5,
            position: headway_store::Position { tx: 1, seq: 2 },
        };
        let large = |number| {
            let mut view = (*test_view(number, 1, Phase::Active)).clone();
            let meta = std::sync::Arc::make_mut(&mut view.job.meta);
            meta.spec.description = "x".repeat(2 * 1024 * 1024);
            view
        };
        let update = JobsUpdate {
            jobs: vec![large(1), large(2), large(3)],
            reset: true,
            listed: true,
            since: Some(since),
            ..JobsUpdate::default()
        };
        let all = messages(update, "next".to_owned(), &shows);
        let counts: Vec<_> = all.iter().map(|message| message.jobs.len()).collect();
        assert_eq!(counts, [1, 1, 1]);
        let flags: Vec<_> = all
            .iter()
            .map(|m| (m.listing_begins, m.listing_complete))
            .collect();
        assert_eq!(flags, [(true, false), (false, false), (false, true)]);
        assert_eq!(all[0].resume_token, "");
        assert_eq!(shows.read(&all[2].resume_token), Ok(Some(since)));
        assert_eq!(all[2].next_page_token, "next");

        let bookmark = messages(JobsUpdate::default(), String::new(), &shows);
        assert_eq!(bookmark, [v1::WatchJobsResponse::default()]);
    }

    #[test]
    fn listings_are_bounded() {
        assert_eq!(max_listed(0), Ok(u64::MAX));
        assert_eq!(max_listed(1000), Ok(1000));
        assert!(max_listed(-1).is_err() && max_listed(1_000_001).is_err());
    }

    #[test]
    fn tokens_belong_to_a_partition_and_a_filter() {
        let since = Since {
            time: 5,
            position: headway_store::Position { tx: 1, seq: 2 },
        };
        let token = shows("p", "state = ACTIVE").token(since);
        assert!(shows("p", "state = ACTIVE").read(&token).is_ok());
        for (partition, filter) in [("p", "state = FAILED"), ("p", ""), ("q", "state = ACTIVE")] {
            assert!(shows(partition, filter).read(&token).is_err());
        }
    }
}
