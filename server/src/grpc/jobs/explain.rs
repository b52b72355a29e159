//! ExplainJob: what the database and the broker know of a job that does not run or end, as reasons.

use headway::v1::{self, JobReason, job_reason::Kind};
use headway_broker::{BrokerError, Depth, Queue};
use headway_domain::Job;
use headway_store::{Bounds, Explanation, SplitRetry};

use super::view::state;
use crate::grpc::{
    api::Api,
    request,
    status::ApiError,
    values::{int, timestamp},
};

/// What a pipe is like now.
type Pipe = Result<Depth, BrokerError>;

impl Api {
    pub(crate) async fn explain_job(
        &self,
        request: v1::ExplainJobRequest,
    ) -> Result<v1::ExplainJobResponse, ApiError> {
        let name = request::job_name("name", &request.name)?;
        let known = self.store().explain(&name).await?;
        let job = &known.view.job;
        let queue = Queue::Pipe(job.meta.spec.pipe().to_string());
        let pipe = match job.counts.in_flight() {
            0 => None,
            _ => Some(self.broker().depth(&queue).await),
        };
        Ok(v1::ExplainJobResponse {
            name: name.to_string(),
            state: state(job.state()).into(),
            reasons: reasons(&known, pipe),
        })
    }
}

fn reason(kind: Kind, message: String) -> JobReason {
    JobReason {
        kind: kind.into(),
        message,
        ..JobReason::default()
    }
}

fn by(user: &str) -> String {
    match user {
        "" => String::new(),
        user => format!(" by {user}"),
    }
}

fn reasons(known: &Explanation, pipe: Option<Pipe>) -> Vec<JobReason> {
    let job = &known.view.job;
    if job.phase.is_final() {
        return ended(known, pipe.as_ref());
    }
    let mut reasons = held(known);
    if job.counts.in_flight() > 0 {
        reasons.extend(out(known, pipe));
    }
    if job.counts.delayed > 0 {
        reasons.push(delayed(known));
    }
    if let Some(retry) = &known.split_retry {
        reasons.push(split_retry(retry));
    }
    if job.is_running() {
        reasons.extend(limits(job, &known.bounds));
    }
    if known.dead_letters > 0 {
        reasons.push(dead_letters(known.dead_letters));
    }
    if reasons.is_empty() {
        let message = "nothing seems to block it; look again in a moment";
        reasons.push(reason(Kind::Moving, message.to_owned()));
    }
    reasons
}

/// Whether a pipe has no consumers.
fn is_unconsumed(pipe: Option<&Pipe>) -> bool {
    matches!(pipe, Some(Ok(depth)) if depth.consumers == 0)
}

fn ended(known: &Explanation, pipe: Option<&Pipe>) -> Vec<JobReason> {
    let job = &known.view.job;
    let state = job.state().to_string().to_lowercase();
    let mut reasons = vec![JobReason {
        reason_time: job.ended.map(timestamp),
        ..reason(Kind::Ended, format!("the job has ended: it is {state}"))
    }];
    if job.settled.is_none() {
        let running = job.counts.in_flight() + job.counts.splitting;
        let message = match is_unconsumed(pipe) && known.leases.items == 0 {
            true => format!(
                "{running} of its items and splits are in flight; no worker consumes pipe {}, so they are taken back soon",
                job.meta.spec.pipe()
            ),
            false => {
                format!("{running} of its items and splits are still at workers")
            }
        };
        reasons.push(JobReason {
            count: int(running),
            ..reason(Kind::Settling, message)
        });
    }
    if known.dead_letters > 0 {
        reasons.push(dead_letters(known.dead_letters));
    }
    reasons
}

/// What keeps the job as a whole.
fn held(known: &Explanation) -> Vec<JobReason> {
    let job = &known.view.job;
    let mut reasons = Vec::new();
    if job.suspended {
        let (done_by, since) = match &known.suspended {
            Some(suspension) => (suspension.by.clone(), Some(suspension.since)),
            None => (String::new(), None),
        };
        let partition = &job.meta.name.partition;
        let message = format!(
            "partition {partition} was suspended{}; resume it to let the job go on",
            by(&done_by)
        );
        reasons.push(JobReason {
            reason_time: since.map(timestamp),
            done_by,
            ..reason(Kind::PartitionSuspended, message)
        });
    }
    if job.paused {
        let (done_by, since) = match &known.paused {
            Some(paused) => (paused.by.clone(), Some(paused.time)),
            None => (String::new(), None),
        };
        let message = format!(
            "the job was paused{}; resume it to let it go on",
            by(&done_by)
        );
        reasons.push(JobReason {
            reason_time: since.map(timestamp),
            done_by,
            ..reason(Kind::Paused, message)
        });
    }
    if job.waits > 0 {
        let partition = &job.meta.name.partition;
        let jobs = known.waits_for.iter();
        let jobs: Vec<_> = jobs
            .map(|id| format!("partitions/{partition}/jobs/{id}"))
            .collect();
        let named: Vec<_> = known
            .waits_for
            .iter()
            .take(3)
            .map(ToString::to_string)
            .collect();
        let more = match usize::try_from(job.waits)
            .unwrap_or(0)
            .saturating_sub(named.len())
        {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("it waits for {} to be complete{more}", named.join(", "));
        reasons.push(JobReason {
            count: job.waits.into(),
            jobs,
            ..reason(Kind::Prerequisites, message)
        });
    }
    if let Some(due) = job.start_due {
        let message = "it waits for its start time".to_owned();
        reasons.push(JobReason {
            reason_time: Some(timestamp(due)),
            ..reason(Kind::StartTime, message)
        });
    }
    reasons
}

/// What is out.
fn out(known: &Explanation, pipe: Option<Pipe>) -> Vec<JobReason> {
    let job = &known.view.job;
    let name = job.meta.spec.pipe().to_string();
    let mut reasons = Vec::new();
    let unconsumed = is_unconsumed(pipe.as_ref());
    match pipe {
        Some(Ok(depth)) if depth.consumers == 0 => {
            let message = format!(
                "no worker consumes pipe {name}, which holds {} messages; start one",
                depth.ready
            );
            reasons.push(JobReason {
                count: int(depth.ready),
                pipe: name.clone(),
                ..reason(Kind::NoConsumer, message)
            });
        }
        Some(Err(_)) => {
            let message = format!(
                "the message broker does not answer, so the depth of pipe {name} is unknown"
            );
            reasons.push(JobReason {
                pipe: name.clone(),
                ..reason(Kind::BrokerUnavailable, message)
            });
        }
        Some(Ok(_)) | None => {}
    }
    if known.leases.silent > 0 {
        let message = format!(
            "{} long-running items are at workers that sent no heartbeat lately; they are sent again when their leases end",
            known.leases.silent
        );
        reasons.push(JobReason {
            count: int(known.leases.silent),
            ..reason(Kind::SilentWorkers, message)
        });
    }
    let flying = job.counts.in_flight();
    let message = if unconsumed && known.leases.items == 0 {
        format!("{flying} items are in pipe {name}; no worker is there to take them")
    } else {
        format!("{flying} items are in pipe {name} or at its workers")
    };
    reasons.push(JobReason {
        count: int(flying),
        pipe: name.clone(),
        ..reason(Kind::InFlight, message)
    });
    reasons
}

fn delayed(known: &Explanation) -> JobReason {
    let delayed = known.view.job.counts.delayed;
    JobReason {
        count: int(delayed),
        reason_time: known.next_try.map(timestamp),
        ..reason(
            Kind::RetryDelay,
            format!("{delayed} items wait for their next attempt"),
        )
    }
}

fn split_retry(retry: &SplitRetry) -> JobReason {
    let SplitRetry {
        pages,
        tries,
        message,
        ..
    } = retry;
    let message = format!(
        "{pages} pages of its batches could not be split and are tried again; after {tries} tries of one: {message}"
    );
    JobReason {
        count: int(*pages),
        reason_time: Some(timestamp(retry.due)),
        ..reason(Kind::RetryDelay, message)
    }
}

/// What keeps more of the job from being released.
fn limits(job: &Job, bounds: &Bounds) -> Vec<JobReason> {
    let counts = &job.counts;
    let mut reasons = Vec::new();
    let more = counts.unreleased + counts.unsplit + counts.reopen > 0;
    let window = u64::from(job.meta.spec.max_in_flight);
    if more && counts.out() >= window {
        let message = format!("its window is full: at most {window} of its items may be in flight");
        reasons.push(JobReason {
            count: int(window),
            ..reason(Kind::WindowFull, message)
        });
    } else if more && job.sendable(counts.out()) == 0 {
        reasons.push(bounded(job, bounds));
    }
    if counts.splitting + counts.unsplit > 0 {
        let batches = counts.splitting + counts.unsplit;
        let message = format!("{batches} pages of its batches are still to be split");
        reasons.push(JobReason {
            count: int(batches),
            ..reason(Kind::Splitting, message)
        });
    }
    reasons
}

/// Why its share is no larger.
fn bounded(job: &Job, bounds: &Bounds) -> JobReason {
    if let Some(quota) = bounds.quota {
        let partition = &job.meta.name.partition;
        let message = format!(
            "partition {partition} has {quota} items in flight, which is its quota; more are sent as these end"
        );
        return JobReason {
            count: quota.into(),
            ..reason(Kind::PartitionQuota, message)
        };
    }
    let pipe = job.meta.spec.pipe().to_string();
    let share = job.limit();
    let limits = [
        bounds
            .pipe
            .in_flight
            .map(|items| format!("{items} items at once")),
        bounds
            .pipe
            .per_second
            .map(|items| format!("{items} a second")),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    let message = match limits.as_slice() {
        [] => format!("its share of pipe {pipe} is used up: {share} items"),
        limits => format!(
            "its share of pipe {pipe} is used up: the pipe is limited to {} for all jobs together",
            limits.join(" and ")
        ),
    };
    JobReason {
        count: int(share),
        pipe,
        ..reason(Kind::PipeLimit, message)
    }
}

fn dead_letters(count: u64) -> JobReason {
    let message = format!(
        "{count} items failed because their messages became dead letters; retry the job to send them again"
    );
    JobReason {
        count: int(count),
        ..reason(Kind::DeadLetters, message)
    }
}
