//! Finding jobs: filters, orders, pages and counts.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use headway::v1::{
    ChangeJobsRequest, CreateJobRequest, JobAction, JobState, ListJobsRequest, WatchJobsRequest,
};
use headway_client::{Client, ClientConfig, Code, Error, JobName, create_request};
use headway_tests::{Deployment, PATIENCE, Record, job_named, name, range, request};
use tokio::time::timeout;

use crate::handlers::quick;

on_both!(
    jobs_are_found_by_filters,
    texts_of_a_filter_are_texts,
    a_partition_sees_its_own,
    a_filter_is_watched,
    pages_follow_an_order,
    tokens_belong_to_their_query,
    bad_filters_and_orders,
);

fn query(filter: &str, order_by: &str) -> ListJobsRequest {
    ListJobsRequest {
        parent: "partitions/default".to_owned(),
        filter: filter.to_owned(),
        order_by: order_by.to_owned(),
        ..ListJobsRequest::default()
    }
}

async fn found(d: &Deployment, request: ListJobsRequest) -> Vec<String> {
    let jobs: Result<Vec<_>, Error> = d.client().jobs(request).try_collect().await;
    let jobs = jobs.unwrap().into_iter();
    jobs.map(|job| job.name.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

/// Three jobs that completed, and one that is paused and never began.
async fn four(d: &Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    for (id, team) in [("a", "blue"), ("b", "red"), ("c", "blue")] {
        let spec = range(3, 3)
            .label("team", team)
            .display_name(format!("Job {id}"));
        let name = d.create(id, spec.build()).await;
        d.finish(&name, JobState::Completed).await;
    }
    let ada = ClientConfig::new(format!("http://{}", d.address())).user("ada");
    let ada = Client::connect(ada).await.unwrap();
    let spec = range(3, 3)
        .label("a:b", "x y")
        .after(job_named("nothing"))
        .build();
    ada.create_job(request("held", spec)).await.unwrap();
    ada.pause_job(&name("held")).await.unwrap();
}

/// Each field with each of its comparators.
async fn jobs_are_found_by_filters(d: Deployment) {
    four(&d).await;
    for (filter, expected) in [
        ("state = COMPLETED", "c b a"),
        ("state != COMPLETED", "held"),
        ("state = (PAUSED OR WAITING)", "held"),
        ("state != (PAUSED OR WAITING)", "c b a"),
        ("-state:COMPLETED", "held"),
        ("id = (a OR held)", "held a"),
        ("id != (a OR held)", "c b"),
        ("id = *e*", "held"),
        ("id:el", "held"),
        ("id = A", ""),
        ("percentage = 100 display_name = \"Job *\"", "c b a"),
        ("name = \"Job b\" OR name:c", "c b"),
        ("created_by = ada", "held"),
        ("created_by != ada", "c b a"),
        ("pipe = work", "held c b a"),
        ("pipe != work", ""),
        ("labels.team = blue", "c a"),
        ("labels.team = (blue OR red)", "c b a"),
        ("labels.team != blue", "held b"),
        ("labels.team:*", "c b a"),
        ("labels.team = b*", "c a"),
        ("labels.\"a:b\" = \"x y\"", "held"),
        ("labels:team", "c b a"),
        ("NOT labels:team", "held"),
        ("state = COMPLETED AND labels.team != blue", "b"),
        ("id = a AND labels.team = blue OR labels.team = red", "a"),
        (
            "(id = a AND labels.team = blue) OR labels.team = red",
            "b a",
        ),
        ("percentage != 100", "held"),
        ("percentage < 50", "held"),
        ("percentage <= 0", "held"),
        ("percentage > 0", "c b a"),
        ("percentage >= 99.9", "c b a"),
        ("create_time > 2020-01-01T00:00:00Z", "held c b a"),
        ("create_time < 2020-01-01T00:00:00Z", ""),
        ("update_time >= 2020-01-01T00:00:00Z", "held c b a"),
        ("update_time <= 2020-01-01T00:00:00+01:00", ""),
        // What has not begun did so neither before nor after a time, nor at it.
        ("start_time != 2020-01-01T00:00:00Z", "held c b a"),
        ("start_time = 2020-01-01T00:00:00Z", ""),
        ("start_time > 2020-01-01T00:00:00Z", "c b a"),
        ("start_time <= 2020-01-01T00:00:00Z", ""),
        ("end_time > 2020-01-01T00:00:00Z AND NOT id = b", "c a"),
    ] {
        let ids = found(&d, query(filter, "")).await;
        assert_eq!(ids.join(" "), expected, "{filter}");
        let counts = d.client().count_jobs_like("default", filter).await.unwrap();
        let count: i64 = counts.iter().map(|count| count.job_count).sum();
        assert_eq!(count, ids.len() as i64, "{filter}");
    }
}

/// Nothing in a value is taken for SQL, or for a pattern of it.
async fn texts_of_a_filter_are_texts(d: Deployment) {
    four(&d).await;
    let odd = "100%_'; DROP TABLE job; --\\";
    let spec = range(1, 1)
        .after(job_named("nothing"))
        .display_name(odd)
        .build();
    d.create("odd", spec).await;
    let spec = range(1, 1)
        .after(job_named("nothing"))
        .display_name("Job *");
    d.create("star", spec.label("team", "b*").build()).await;
    for (filter, expected) in [
        (r#"id = "x' OR '1'='1""#, ""),
        (r#"id = "a' --""#, ""),
        (r#"labels.team = "blue') OR 1=1 --""#, ""),
        ("id = a%", ""),
        ("id = _", ""),
        (r#"display_name = "Job _""#, ""),
        (r#"display_name = "100*""#, "odd"),
        ("display_name:%", "odd"),
        ("display_name:_", "odd"),
        (r#"display_name = "100%_'; DROP TABLE job; --\\""#, "odd"),
        (r#"display_name = "Job \*""#, "star"),
        (r#"display_name = "*\**""#, "star"),
        (r#"display_name : "\*""#, "star"),
        (r#"labels.team = "b\*""#, "star"),
    ] {
        let ids = found(&d, query(filter, "")).await;
        assert_eq!(ids.join(" "), expected, "{filter}");
    }
    assert_eq!(found(&d, query("", "id")).await.len(), 6);
}

/// Jobs of the same ids and labels in two partitions: each list, count and change has those of its
/// own.
async fn a_partition_sees_its_own(d: Deployment) {
    let client = d.client();
    for partition in ["default", "other"] {
        for n in 0..3 {
            let spec = range(1, 1)
                .after(format!("partitions/{partition}/jobs/nothing"))
                .label("team", "blue")
                .label("of", partition);
            let create = CreateJobRequest {
                job_id: format!("j{n}"),
                ..create_request(partition, spec.build())
            };
            client.create_job(create).await.unwrap();
        }
    }
    for partition in ["default", "other"] {
        for filter in [
            "",
            "labels.team = blue",
            "id = j* OR labels.of = (default OR other)",
        ] {
            let request = ListJobsRequest {
                parent: format!("partitions/{partition}"),
                ..query(filter, "id")
            };
            let jobs: Vec<_> = client.jobs(request).try_collect().await.unwrap();
            assert_eq!(jobs.len(), 3, "{filter}");
            let of = |job: &headway::v1::Job| job.spec.as_ref().unwrap().labels["of"].clone();
            assert!(jobs.iter().all(|job| of(job) == partition), "{filter}");
            let counts = client.count_jobs_like(partition, filter).await.unwrap();
            assert_eq!(counts.iter().map(|count| count.job_count).sum::<i64>(), 3);
        }
    }
    let all = ChangeJobsRequest {
        action: JobAction::Cancel.into(),
        parent: "partitions/other".to_owned(),
        filter: "labels.team = blue".to_owned(),
        job_id: "sweep".to_owned(),
        ..ChangeJobsRequest::default()
    };
    let change = client.change_jobs(all).await.unwrap();
    assert_eq!(change.matching_job_count, 3);
    let sweep = JobName::new("other", "sweep").unwrap();
    d.finish(&sweep, JobState::Completed).await;
    let left = found(&d, query("state = WAITING", "id")).await;
    assert_eq!(left, ["j0", "j1", "j2"]);
}

/// What a filter is true of comes and goes while it is watched, from the state that it begins in to
/// the last one.
async fn a_filter_is_watched(d: Deployment) {
    let spec = |team: &str| {
        range(3, 3)
            .label("team", team)
            .after(job_named("nothing"))
            .build()
    };
    let early = d.create("early", spec("blue")).await;
    d.create("red", spec("red")).await;
    let mut updates = d.client().watch_jobs(WatchJobsRequest {
        parent: "partitions/default".to_owned(),
        filter: "labels.team = blue AND (state = PAUSED OR state = CANCELLED)".to_owned(),
        ..WatchJobsRequest::default()
    });
    let mut shown = BTreeMap::new();
    let mut until = async |wanted: &[(&str, JobState)]| {
        let wanted: BTreeMap<_, _> = wanted
            .iter()
            .map(|(id, state)| (format!("partitions/default/jobs/{id}"), *state))
            .collect();
        while shown != wanted {
            let update = timeout(PATIENCE, updates.next()).await.expect("news");
            let update = update.expect("such a stream has no end").unwrap();
            for gone in update.removed {
                shown.remove(&gone.name);
            }
            for job in update.jobs {
                assert_ne!(job.name, "partitions/default/jobs/red");
                shown.insert(job.name.clone(), job.state());
            }
        }
    };
    d.client().pause_job(&early).await.unwrap();
    until(&[("early", JobState::Paused)]).await;
    let late = d.create("late", spec("blue")).await;
    d.client().cancel_job(&late).await.unwrap();
    until(&[("early", JobState::Paused), ("late", JobState::Cancelled)]).await;
    d.client().resume_job(&early).await.unwrap();
    until(&[("late", JobState::Cancelled)]).await;
    let bad = WatchJobsRequest {
        parent: "partitions/default".to_owned(),
        filter: "labels = blue".to_owned(),
        ..WatchJobsRequest::default()
    };
    let refused = d.client().watch_jobs(bad).next().await.expect("an answer");
    let error = refused.expect_err("it was taken");
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.reason(), Some("INVALID_FIELDS"));
    assert!(error.to_string().contains("filter"), "{error}");
}

async fn pages_follow_an_order(d: Deployment) {
    for n in 0..23 {
        let spec = range(1, 1)
            .after(job_named("nothing"))
            .display_name(format!("{}", n % 5));
        d.create(&format!("j{n:02}"), spec.build()).await;
    }
    for (order, first, last) in [
        ("id", "j00", "j22"),
        ("id desc", "j22", "j00"),
        ("display_name", "j00", "j19"),
        ("display_name desc", "j19", "j00"),
        ("create_time", "j00", "j22"),
        ("", "j22", "j00"),
    ] {
        let whole = found(&d, query("", order)).await;
        assert_eq!(
            (whole[0].as_str(), whole[22].as_str()),
            (first, last),
            "{order}"
        );
        let small = ListJobsRequest {
            page_size: 4,
            ..query("", order)
        };
        assert_eq!(found(&d, small).await, whole, "{order}");
    }
}

async fn tokens_belong_to_their_query(d: Deployment) {
    for n in 0..4 {
        d.create(
            &format!("j{n}"),
            range(1, 1).after(job_named("nothing")).build(),
        )
        .await;
    }
    let page = |filter: &str, order: &str, token: &str| ListJobsRequest {
        page_size: 2,
        page_token: token.to_owned(),
        ..query(filter, order)
    };
    let first = d
        .client()
        .list_jobs(page("id = j*", "id", ""))
        .await
        .unwrap();
    let token = first.next_page_token;
    let second = d
        .client()
        .list_jobs(page("id = j*", "id", &token))
        .await
        .unwrap();
    assert_eq!(
        (second.jobs.len(), second.next_page_token.as_str()),
        (2, "")
    );
    for (filter, order) in [
        ("id = j*", "id desc"),
        ("id = *", "id"),
        ("", "id"),
        ("id = j*", ""),
    ] {
        let refused = d
            .client()
            .list_jobs(page(filter, order, &token))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(
            refused.reason(),
            Some("PAGE_TOKEN_INVALID"),
            "{filter} by {order}"
        );
    }
}

async fn bad_filters_and_orders(d: Deployment) {
    let long = format!("id = {}", "x".repeat(8192));
    let cases = [
        (
            "colour = blue",
            "",
            "filter",
            "character 1: \"colour\" is none of the fields",
        ),
        (
            "state = BUSY",
            "",
            "filter",
            "character 9: \"BUSY\" is none of the states",
        ),
        (
            "state = ACTIVE AND",
            "",
            "filter",
            "it ends where a restriction is expected",
        ),
        (long.as_str(), "", "filter", "at most 8192 bytes"),
        (
            r#"labels."team' OR 1=1 --" = x"#,
            "",
            "filter",
            "cannot be a label's name",
        ),
        (
            r#"labels:"'; DELETE FROM job; --""#,
            "",
            "filter",
            "labels are compared by name",
        ),
        (
            "",
            "colour",
            "order_by",
            "must be create_time, id or display_name",
        ),
        ("", "id up", "order_by", "asc or desc"),
    ];
    for (filter, order, field, what) in cases {
        let error = d
            .client()
            .list_jobs(query(filter, order))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let violations = error.field_violations();
        assert_eq!(
            (violations.len(), violations[0].field.as_str()),
            (1, field),
            "{error}"
        );
        assert!(violations[0].description.contains(what), "{error}");
    }
    let error = d
        .client()
        .count_jobs_like("default", "(")
        .await
        .unwrap_err();
    assert_eq!(error.field_violations()[0].field, "filter");
}
