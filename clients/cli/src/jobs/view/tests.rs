//! What is printed of jobs.

use super::*;
use headway::v1::JobSpec;

fn job() -> Job {
    Job {
        name: "partitions/default/jobs/j".to_owned(),
        state: JobState::Active.into(),
        spec: Some(JobSpec {
            display_name: "Export\u{1b}[31m".to_owned(),
            ..JobSpec::default()
        }),
        progress: Some(JobProgress {
            items_known: 800,
            items_expected: 1000,
            items_done: 420,
            items_failed: 3,
            items_in_flight: 77,
            percentage: 42.0,
            items_per_second: 120.0,
            estimated_time_left: Some(prost_types::Duration {
                seconds: 4,
                nanos: 800_000_000,
            }),
            ..JobProgress::default()
        }),
        ..Job::default()
    }
}

fn listed(jobs: Vec<Job>) -> ListJobsResponse {
    ListJobsResponse {
        jobs,
        ..ListJobsResponse::default()
    }
}

#[test]
fn a_line_has_everything_that_moves() {
    assert_eq!(
        line(&job(), "default"),
        "j ACTIVE 42.0% 420/1,000+ items, 3 failed, 120/s, 4.8s left"
    );
    assert!(line(&job(), "other").starts_with("default/j ACTIVE"));
    let mut paused = job();
    paused.set_state(JobState::Paused);
    assert_eq!(
        line(&paused, "default"),
        "j PAUSED 42.0% 420/1,000+ items, 3 failed"
    );
}

#[test]
fn a_table_of_jobs_cannot_steer_the_terminal() {
    let console = Console::captured(std::io::sink(), std::io::sink());
    let text = jobs(&listed(vec![job()]), "default", &console);
    assert!(
        text.contains("420/1,000+") && text.contains("Export\u{fffd}[31m"),
        "{text}"
    );
    assert_eq!(
        jobs(&listed(Vec::new()), "default", &console),
        "no jobs in partition default match\n"
    );
}

#[test]
fn a_summary_says_how_to_go_on() {
    let mut job = job();
    job.set_state(JobState::Failed);
    job.create_time = Some(prost_types::Timestamp {
        seconds: 100,
        nanos: 0,
    });
    job.end_time = Some(prost_types::Timestamp {
        seconds: 112,
        nanos: 0,
    });
    job.failure_count = 3;
    job.failure_sample = vec![Failure {
        item: "1-4".to_owned(),
        code: "UNREADABLE".to_owned(),
        message: "no such file".to_owned(),
        ..Failure::default()
    }];
    assert_eq!(
        summary(&job, "default"),
        "job j failed: 420/1,000+ items, 3 failed in 12s\n  item 1-4: UNREADABLE: no such file\n\
         3 failures; `headway failures j` lists them, `headway retry j` runs them again\n"
    );
}

#[test]
fn details_leave_out_what_is_not_set() {
    let text = details(&job(), &TimeZone::UTC);
    assert!(
        text.contains("State        ACTIVE\n") && text.contains("77 in flight"),
        "{text}"
    );
    assert!(
        !text.contains("Settled") && !text.contains("Labels"),
        "{text}"
    );
}

#[test]
fn what_a_retry_would_run_is_not_nothing_where_a_batch_is_split_again() {
    let mut job = job();
    job.failure_count = 1;
    job.progress = Some(JobProgress {
        items_open: 0,
        total_final: false,
        ..JobProgress::default()
    });
    assert_eq!(
        would_retry(&job, "default"),
        "j would have 0+ items to run, 1 failure would stay"
    );
    job.progress = Some(JobProgress {
        items_open: 1200,
        total_final: true,
        ..JobProgress::default()
    });
    assert_eq!(
        would_retry(&job, "default"),
        "j would have 1,200 items to run, 1 failure would stay"
    );
}

#[test]
fn jobs_that_the_server_cannot_read_are_named() {
    let names = ["partitions/default/jobs/future".to_owned()];
    assert_eq!(
        unreadable(&names, "default"),
        "future cannot be read by this version of the server\n"
    );
    assert_eq!(unreadable(&[], "default"), "");
}
