//! docs/ERRORS.md: what clients read of each reason in `status.rs`. The test writes the file anew
//! where `HEADWAY_WRITE_DOCS` is set, and fails where it is stale.

use std::{collections::BTreeSet, fmt::Write, path::Path};

/// Reason, codes, details besides ErrorInfo, when it comes, what to do.
type Entry = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const NOTHING: &str = "-";

const ENTRIES: &[Entry] = &[
    (
        "ACCESS_DENIED",
        "PERMISSION_DENIED, UNAUTHENTICATED",
        NOTHING,
        "The server does not accept the caller.",
        "Check who you call as.",
    ),
    (
        "BATCH_NOT_FOUND",
        "NOT_FOUND",
        "ResourceInfo",
        "The job has no such batch, or no longer keeps it.",
        "List the batches of the job.",
    ),
    (
        "CALL_REFUSED",
        "UNKNOWN, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION",
        NOTHING,
        "The gRPC library refused the call before it reached Headway.",
        "Check the client against the service's descriptors.",
    ),
    (
        "CLIENT_OVERLOADED",
        "UNAVAILABLE",
        "RetryInfo",
        "The client's address has used its share of the server's calls, watches or connections.",
        "End some, or wait. If clients share a proxy, raise the setting `client_share`.",
    ),
    (
        "CONCURRENT_CHANGE",
        "UNAVAILABLE",
        "RetryInfo",
        "Another call changed the same row at the same moment.",
        "Try again.",
    ),
    (
        "CURSOR_EXPIRED",
        "OUT_OF_RANGE",
        "metadata `earliest_cursor`",
        "Events after the cursor are no longer kept.",
        "Continue with `earliest_cursor`, and read the jobs to learn what you missed.",
    ),
    (
        "DATABASE_UNAVAILABLE",
        "UNAVAILABLE",
        "RetryInfo",
        "The database cannot be reached, or refuses all work at the moment.",
        "Try again.",
    ),
    (
        "DATA_REFUSED",
        "INVALID_ARGUMENT",
        NOTHING,
        "The database cannot store a value of the request.",
        "Remove unusual characters, or make it smaller.",
    ),
    (
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
        "RetryInfo",
        "The client's deadline was about to pass.",
        "Read the job before you try again: the change may have been made.",
    ),
    (
        "ETAG_MISMATCH",
        "ABORTED",
        "metadata `resource`",
        "The resource was changed since the caller read its etag.",
        "Read it again and repeat the change with the new etag.",
    ),
    (
        "HOST_NOT_ALLOWED",
        "PERMISSION_DENIED",
        NOTHING,
        "The request names a host by which the server is not known.",
        "Use `localhost` or an IP address, or add the host to the setting `hosts`.",
    ),
    (
        "ILLEGAL_TRANSITION",
        "FAILED_PRECONDITION",
        "PreconditionFailure; RetryInfo where waiting helps; metadata `job`, `action`, `state`",
        "The job's state does not allow the action.",
        "Read the job's state.",
    ),
    (
        "INTERNAL",
        "INTERNAL",
        "metadata `incident`",
        "A fault of Headway.",
        "Look for the incident in the server's log.",
    ),
    (
        "INVALID_FIELDS",
        "INVALID_ARGUMENT",
        "BadRequest",
        "Fields of the request, or the headers that name the caller, break their rules.",
        "Change the fields that BadRequest names.",
    ),
    (
        "JOB_EXISTS",
        "ALREADY_EXISTS",
        "ResourceInfo; metadata `job`",
        "A job with this id exists and has another spec.",
        "Choose another id, or read the job.",
    ),
    (
        "JOB_NOT_FOUND",
        "NOT_FOUND",
        "ResourceInfo; metadata `job`",
        "There is no such job, it was deleted, or it has another uid.",
        "Check the name.",
    ),
    (
        "JOB_TYPE_EXISTS",
        "ALREADY_EXISTS",
        "ResourceInfo; metadata `job_type`",
        "A job type with this id exists.",
        "Choose another id, or update it.",
    ),
    (
        "JOB_TYPE_FROM_FILE",
        "FAILED_PRECONDITION",
        "ResourceInfo; metadata `job_type`",
        "The job type comes from a file of the server.",
        "Change the file.",
    ),
    (
        "JOB_TYPE_NOT_FOUND",
        "NOT_FOUND",
        "ResourceInfo; metadata `job_type`",
        "There is no such job type.",
        "List the job types.",
    ),
    (
        "JOB_TYPE_UNUSABLE",
        "FAILED_PRECONDITION",
        "ResourceInfo; metadata `job_type`",
        "The definition or the configuration of the job type is wrong.",
        "The message says what is wrong: correct it.",
    ),
    (
        "MALFORMED_REQUEST",
        "INVALID_ARGUMENT",
        NOTHING,
        "The request is not a well-formed message of the method.",
        "Check the client against the service's descriptors.",
    ),
    (
        "METHOD_UNKNOWN",
        "UNIMPLEMENTED",
        "metadata `method`",
        "The server does not have the method, or does not take this kind of request.",
        "See the reflection service; send messages uncompressed or with gzip.",
    ),
    (
        "NOTHING_TO_RETRY",
        "FAILED_PRECONDITION",
        "PreconditionFailure; metadata `job`",
        "No failure of the job matches the filter.",
        "List the failures.",
    ),
    (
        "ORIGIN_NOT_ALLOWED",
        "PERMISSION_DENIED",
        NOTHING,
        "A web page of another origin made the call.",
        "Add the origin to the setting `web_origins`.",
    ),
    (
        "PAGE_TOKEN_INVALID",
        "INVALID_ARGUMENT",
        "BadRequest",
        "The page token belongs to another request, or is older than 24 hours.",
        "Start again with the first page.",
    ),
    (
        "PREREQUISITE_CYCLE",
        "FAILED_PRECONDITION",
        "PreconditionFailure; metadata `job`",
        "The job would wait for itself.",
        "Leave out one of the prerequisites that PreconditionFailure names.",
    ),
    (
        "QUOTA_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "QuotaFailure; metadata `partition`, `quota`, `limit`",
        "The partition has reached its quota of open jobs or of items in flight.",
        "Wait until some end, or raise the quota.",
    ),
    (
        "REQUEST_ID_REUSED",
        "ALREADY_EXISTS",
        "ResourceInfo; metadata `job`",
        "The request id has created a job with another spec.",
        "Choose another request id.",
    ),
    (
        "REQUEST_INCOMPLETE",
        "DEADLINE_EXCEEDED",
        NOTHING,
        "The request's message paused before it was complete.",
        "Send it without a pause.",
    ),
    (
        "REQUEST_TOO_COSTLY",
        "RESOURCE_EXHAUSTED",
        "metadata `limit_bytes`",
        "Decoding the request would take too much memory for its size.",
        "Send fewer entries at once, and not compressed.",
    ),
    (
        "REQUEST_TOO_LARGE",
        "INVALID_ARGUMENT",
        "metadata `limit_bytes`",
        "The request is larger than 4 MiB, as sent or decompressed.",
        "Store large inputs elsewhere, and send their address.",
    ),
    (
        "SCHEDULE_EXISTS",
        "ALREADY_EXISTS",
        "ResourceInfo; metadata `schedule`",
        "A schedule with this id exists.",
        "Choose another id, or update it.",
    ),
    (
        "SCHEDULE_NOT_FOUND",
        "NOT_FOUND",
        "ResourceInfo; metadata `schedule`",
        "There is no such schedule.",
        "List the schedules.",
    ),
    (
        "SCHEDULE_UNREADABLE",
        "FAILED_PRECONDITION",
        "ResourceInfo; metadata `schedule`",
        "This version cannot read what an earlier or a later one stored of the schedule.",
        "Update it with a mask of all its fields, delete it, or run the version that wrote it.",
    ),
    (
        "SERVER_OVERLOADED",
        "UNAVAILABLE",
        "RetryInfo",
        "The server handles as many calls as it can.",
        "Try again in a moment.",
    ),
    (
        "SERVER_STOPPING",
        "UNAVAILABLE",
        "RetryInfo",
        "The server is shutting down.",
        "Connect again, and repeat the call or continue with the stream's token.",
    ),
    (
        "SERVER_TOO_SLOW",
        "DEADLINE_EXCEEDED",
        "RetryInfo",
        "The server did not answer within its own limit.",
        "Read the job before you try again: the change may have been made.",
    ),
    (
        "TOO_MANY_PIPES",
        "RESOURCE_EXHAUSTED",
        "QuotaFailure; metadata `pipe`, `limit`",
        "The job would use a new pipe, and there are already `max_pipes`.",
        "Use an existing pipe, or raise the setting `max_pipes`.",
    ),
    (
        "TOO_MANY_WATCHES",
        "RESOURCE_EXHAUSTED",
        "RetryInfo where others hold them; metadata `limit`",
        "The server or the connection already has its maximum of open streams.",
        "End some, or open another connection.",
    ),
];

const HEAD: &str = "# Errors\n\n\
    A test makes this file from `server/src/grpc/status.rs` and `status/domain.rs`.\n\
    `HEADWAY_WRITE_DOCS=1 cargo test -p headway-server errors_doc` writes it.\n\n\
    Every error of a method has a code, a sentence that says what to do, and `google.rpc.ErrorInfo` with\n\
    the domain `headway.dev` and one of these reasons. Answers outside of gRPC have no reason: 415 for a\n\
    content type that no method takes, 421 for a host and 403 for an origin that is not allowed.\n\n\
    | reason | code | details | when | what to do |\n|---|---|---|---|---|\n";

fn rendered() -> String {
    let mut text = HEAD.to_owned();
    for (reason, code, details, when, advice) in ENTRIES {
        let row = format!("| `{reason}` | {code} | {details} | {when} | {advice} |\n");
        text.push_str(&row);
    }
    write!(text, "").unwrap();
    text
}

/// The reasons in `status.rs` and `status/domain.rs`: the texts in capitals.
fn reasons() -> BTreeSet<&'static str> {
    let capital = |text: &&str| {
        text.len() > 4
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let sources = [include_str!("status.rs"), include_str!("status/domain.rs")];
    let texts = sources.into_iter().flat_map(|source| source.split('"'));
    texts.filter(capital).collect()
}

#[test]
fn every_reason_is_documented() {
    let documented: BTreeSet<_> = ENTRIES.iter().map(|entry| entry.0).collect();
    assert_eq!(documented, reasons(), "change ENTRIES in errors_doc.rs");
    assert_eq!(documented.len(), ENTRIES.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ERRORS.md");
    if std::env::var_os("HEADWAY_WRITE_DOCS").is_some() {
        std::fs::write(&path, rendered()).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        file == rendered(),
        "docs/ERRORS.md is stale: run this test with HEADWAY_WRITE_DOCS=1"
    );
}
