//! The operations of the store that commit: how each is answered once more.

/// How the same call is answered once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// As if it were the first one.
    Same,
    /// As the first one, or refused by the rules: the job is deleted already, the schedule exists.
    Refused,
}

pub(crate) struct Operation {
    pub name: &'static str,
    pub repetition: Repetition,
    /// Tables in which a repeated call may leave more rows: the audit log tells of both calls, a
    /// message is sent twice.
    pub adds_again: &'static [&'static str],
    pub only_sqlite: bool,
    /// Whether it is about jobs, which are made before it.
    pub of_jobs: bool,
}

const fn same(name: &'static str) -> Operation {
    Operation {
        name,
        repetition: Repetition::Same,
        adds_again: &[],
        only_sqlite: false,
        of_jobs: true,
    }
}

const fn refused(name: &'static str) -> Operation {
    Operation {
        repetition: Repetition::Refused,
        ..same(name)
    }
}

/// An operation that is about no jobs.
const fn alone(operation: Operation) -> Operation {
    Operation {
        of_jobs: false,
        ..operation
    }
}

const fn adding(name: &'static str, adds_again: &'static [&'static str]) -> Operation {
    Operation {
        adds_again,
        ..same(name)
    }
}

/// Every operation that commits.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        only_sqlite: true,
        ..alone(same("shrink"))
    },
    alone(same("connect")),
    alone(same("create job")),
    same("create waiting job"),
    same("pause job"),
    refused("retry job"),
    refused("retry failures"),
    refused("delete job"),
    same("delete jobs"),
    same("update job"),
    adding("drop dead letters", &["event"]),
    same("apply reports"),
    same("apply forwards"),
    same("renew leases"),
    same("record split"),
    same("record split failure"),
    same("record split after a failure"),
    same("plan dispatch"),
    same("outbox sent"),
    adding("defer dispatch", &["outbox"]),
    same("outbox overdue"),
    same("hasten deferred"),
    same("discard untaken"),
    alone(adding("set partition", &["event"])),
    alone(same("suspend partition")),
    same("walk partition"),
    alone(adding("set pipe limits", &["event"])),
    alone(adding("remove pipe limits", &["event"])),
    same("unused pipes"),
    alone(same("forget pipe")),
    same("fire items"),
    same("fire jobs"),
    same("fire pages"),
    same("advance idle"),
    same("repair job"),
    same("release dependents"),
    same("audit job"),
    same("expire jobs"),
    same("expire events"),
    alone(same("expire tombstones")),
    same("collect garbage"),
    alone(same("forget unreadable")),
    alone(same("publish rates")),
    same("set shares"),
    alone(same("claim shards")),
    alone(same("release shards")),
    alone(same("begin epoch")),
    alone(refused("create job type")),
    alone(refused("update job type")),
    alone(refused("delete job type")),
    alone(refused("create schedule")),
    alone(adding("update schedule", &["event"])),
    alone(same("pause schedule")),
    alone(refused("delete schedule")),
    // Each call makes a job.
    adding(
        "run schedule",
        &[
            "job",
            "job_progress",
            "label",
            "batch",
            "page",
            "outbox",
            "event",
            "schedule",
        ],
    ),
    alone(same("fire schedule that skips")),
    alone(same("fire schedule that queues")),
    alone(same("fire schedule that cancels")),
    alone(same("fire schedule that allows")),
    alone(same("fire unreadable schedule")),
    alone(same("realign schedules")),
];
