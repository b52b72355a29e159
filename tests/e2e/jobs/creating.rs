//! Many jobs created by one call, each with its result.

use headway::v1::JobState;
use headway_client::{Code, JobName};
use headway_tests::{Deployment, Record, job_named, range};

use super::bulk::entry;
use crate::handlers::quick;

on_both!(
    each_of_many_has_its_result,
    of_entries_with_one_id_the_first_wins,
);

async fn each_of_many_has_its_result(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.create("taken", range(3, 3).build()).await;
    let mut jobs = vec![
        entry(
            "last",
            range(2, 2)
                .after(job_named("first"))
                .after(job_named("second"))
                .build(),
        ),
        entry("first", range(2, 2).build()),
        entry("second", range(2, 2).build()),
        entry("taken", range(4, 4).build()),
        entry("bad id!", range(2, 2).build()),
        entry("self", range(2, 2).after(job_named("self")).build()),
        entry("empty", headway::v1::JobSpec::default()),
        entry("first", range(2, 2).build()),
    ];
    jobs.extend((0..200).map(|_| entry("", range(1, 1).build())));
    let results = d.client().create_jobs("default", jobs).await.unwrap();
    assert_eq!(results.len(), 208);
    let reasons: Vec<_> = results[..8]
        .iter()
        .map(|result| match result {
            Ok(_) => "",
            Err(error) => error.reason().expect("a reason"),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "",
            "",
            "",
            "JOB_EXISTS",
            "INVALID_FIELDS",
            "PREREQUISITE_CYCLE",
            "INVALID_FIELDS",
            ""
        ]
    );
    let refusal = |at: usize| results[at].as_ref().expect_err("refused");
    assert_eq!(refusal(3).code(), Code::AlreadyExists);
    let why = refusal(4).to_string();
    assert!(why.contains("job_id must not contain"), "{why}");
    for result in &results[8..] {
        let job = result.as_ref().expect("accepted");
        let name: JobName = job.name.parse().expect("a name");
        d.finish(&name, JobState::Completed).await;
    }
    d.finish(&headway_tests::name("last"), JobState::Completed)
        .await;
    let many = (0..1001).map(|_| entry("", range(1, 1).build()));
    for jobs in [Vec::new(), many.collect()] {
        let error = d.client().create_jobs("default", jobs).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.field_violations()[0].field, "jobs");
    }
}

async fn of_entries_with_one_id_the_first_wins(d: Deployment) {
    const IDS: usize = 100;
    // Accepted side by side, some of the later ones would be first.
    let entries = (0..IDS).flat_map(|number| {
        let job = |items| {
            entry(
                &format!("j{number}"),
                range(items, 2).after(job_named("never")).build(),
            )
        };
        [job(1), job(2), job(1)]
    });
    let results = d.client().create_jobs("default", entries.collect()).await;
    let results = results.unwrap();
    assert_eq!(results.len(), 3 * IDS);
    for (number, results) in results.chunks(3).enumerate() {
        let [first, other, same] = results else {
            panic!("{results:?}")
        };
        let job = first.as_ref().expect("accepted");
        assert_eq!(job.name, format!("partitions/default/jobs/j{number}"));
        let error = other.as_ref().expect_err("refused");
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
        assert_eq!(error.reason(), Some("JOB_EXISTS"));
        // The same definition once more is the same job.
        assert_eq!(same.as_ref().expect("accepted").uid, job.uid);
    }
}
