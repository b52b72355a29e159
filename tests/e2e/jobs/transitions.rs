//! Each call in each state of a job, held to the table of the rules: it moves the job, finds it
//! where it would bring it, or is refused.

use headway::v1::{Job, JobState};
use headway_client::{Code, Error, JobName};
use headway_domain::jobs::lifecycle::{Cause, TRANSITIONS};
use headway_tests::{Deployment, range};
use headway_worker::{Outcome, Task, TaskError};

use crate::{
    handlers::number,
    prerequisites::waiting::{stuck, too_late},
};

on_both!(each_call_in_each_state);

const STATES: [JobState; 6] = [
    JobState::Waiting,
    JobState::Active,
    JobState::Paused,
    JobState::Completed,
    JobState::Failed,
    JobState::Cancelled,
];

const CALLS: [Cause; 4] = [Cause::Pause, Cause::Resume, Cause::Cancel, Cause::Retry];

/// Those that are not steered otherwise run until they are cancelled.
fn work(d: &Deployment) {
    d.worker(|worker| {
        worker.handler(|task: Task| async move {
            if number(&task)? == 0 {
                task.cancellation().cancelled().await;
            }
            Ok::<_, TaskError>(Outcome::done())
        })
    });
}

/// A job in this state.
async fn job_in(d: &Deployment, state: JobState, id: &str) -> JobName {
    let client = d.client();
    let spec = match state {
        JobState::Active => range(1, 1),
        JobState::Completed => range(0, 1),
        JobState::Failed => too_late(),
        _ => stuck(),
    };
    let name = d.create(id, spec.build()).await;
    match state {
        JobState::Active => {
            let out = |job: &Job| job.progress.unwrap_or_default().items_in_flight == 1;
            d.watch_until(&name, "its item is out", out).await;
        }
        JobState::Paused => drop(client.pause_job(&name).await.unwrap()),
        JobState::Cancelled => drop(client.cancel_job(&name).await.unwrap()),
        _ => {}
    }
    if matches!(
        state,
        JobState::Completed | JobState::Failed | JobState::Cancelled
    ) {
        d.finish(&name, state).await;
    }
    name
}

async fn call(d: &Deployment, cause: Cause, name: &JobName) -> Result<Job, Error> {
    let client = d.client();
    match cause {
        Cause::Pause => client.pause_job(name).await,
        Cause::Resume => client.resume_job(name).await,
        Cause::Cancel => client.cancel_job(name).await,
        _ => client.retry_job(name).await,
    }
}

/// The state as the rules have it.
fn ruled(state: JobState) -> headway_domain::JobState {
    use headway_domain::JobState as Ruled;
    match state {
        JobState::Waiting => Ruled::Waiting,
        JobState::Active => Ruled::Active,
        JobState::Paused => Ruled::Paused,
        JobState::Completed => Ruled::Completed,
        JobState::Failed => Ruled::Failed,
        _ => Ruled::Cancelled,
    }
}

/// Where a call brings a job, wherever it comes from.
fn brings(cause: Cause, state: JobState) -> bool {
    match cause {
        Cause::Pause => state == JobState::Paused,
        Cause::Resume => matches!(state, JobState::Waiting | JobState::Active),
        Cause::Cancel => state == JobState::Cancelled,
        _ => false,
    }
}

/// What calls change of a job: its state, and how often it was controlled and run again. Its
/// revision may rise meanwhile, as when the credit of its pipe is shared out.
async fn commanded(d: &Deployment, name: &JobName) -> (headway_domain::JobState, u32, u32) {
    let state = ruled(d.job(name).await.state());
    let view = d.store().job(&name.to_string().parse().unwrap()).await;
    let job = view.unwrap().job;
    (state, job.control, job.run)
}

async fn each_call_in_each_state(d: Deployment) {
    work(&d);
    let (mut moved, mut unchanged, mut refused) = (0, 0, 0);
    for state in STATES {
        for cause in CALLS {
            let what = format!("{} of a job that is {}", cause.title(), ruled(state));
            let id = format!("{cause:?}-{}", ruled(state)).to_lowercase();
            let name = job_in(&d, state, &id).await;
            let before = commanded(&d, &name).await;
            assert_eq!(before.0, ruled(state), "{what}");
            let answer = call(&d, cause, &name).await;
            let ways = TRANSITIONS.iter();
            let mut ways = ways.filter(|way| way.0 == ruled(state) && way.2 == cause);
            if ways.clone().next().is_some() {
                let to = ruled(answer.expect(&what).state());
                assert!(ways.any(|way| way.1 == to), "{what} made it {to}");
                moved += 1;
            } else if brings(cause, state) {
                answer.expect(&what);
                assert_eq!(commanded(&d, &name).await, before, "{what}");
                unchanged += 1;
            } else {
                assert_refused(&answer.expect_err(&what), &name, state, &what);
                assert_eq!(commanded(&d, &name).await, before, "{what}");
                refused += 1;
            }
            // An end for what goes on; what has ended is left as it is.
            drop(d.client().cancel_job(&name).await);
        }
    }
    assert_eq!((moved, unchanged, refused), (8, 4, 12));
}

fn assert_refused(error: &Error, name: &JobName, state: JobState, what: &str) {
    assert_eq!(error.code(), Code::FailedPrecondition, "{what}: {error}");
    assert_eq!(error.reason(), Some("ILLEGAL_TRANSITION"), "{what}");
    let violations = error.precondition_violations();
    assert_eq!(violations.len(), 1, "{what}");
    let state = ruled(state).to_string();
    assert_eq!(violations[0].r#type, state, "{what}");
    assert_eq!(violations[0].subject, name.to_string(), "{what}");
    let sentence = error.to_string();
    assert!(
        sentence.contains(&format!("it is {state}")),
        "{what}: {sentence}"
    );
}
