//! The bounds of what clients and workers may send. The comments in proto/ state the same numbers.

/// Bytes in a partition id, job id, pipe name, splitter name or label key.
pub const MAX_ID_BYTES: usize = 128;
/// Bytes in a display name, task type or label value.
pub const MAX_SHORT_TEXT_BYTES: usize = 256;
/// Bytes in a description or failure message.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Bytes in the details of a failure.
pub const MAX_DETAILS_BYTES: usize = 16 * 1024;
/// Bytes in a payload or batch definition.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Bytes in batch parameters or an item template, as JSON.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Bytes in a page token, a resume token, a cursor of the audit log, or an etag.
pub const MAX_TOKEN_BYTES: usize = 512;
/// Labels of a job, and headers of a task.
pub const MAX_LABELS: usize = 64;
/// Bytes in a header value.
pub const MAX_HEADER_BYTES: usize = 1024;
/// Children of a page.
pub const MAX_CHILDREN_PER_PAGE: u32 = 4096;
/// Bytes in a split cursor.
pub const MAX_CURSOR_BYTES: usize = 4096;
/// Items of one job that may be out at once.
pub const MAX_WINDOW: u32 = 1_000_000;
/// The default of [`MAX_WINDOW`].
pub const DEFAULT_WINDOW: u32 = 10_000;
/// The highest priority of a job.
pub const MAX_PRIORITY: u32 = 9;
/// The priority of a job that sets none.
pub const DEFAULT_PRIORITY: u32 = 4;
/// The largest weight of a partition.
pub const MAX_WEIGHT: u32 = 1000;
/// The largest limit of a pipe, in items and in items per second.
pub const MAX_PIPE_LIMIT: u32 = 10_000_000;
/// The largest quota of a partition, in jobs and in items.
pub const MAX_QUOTA: u32 = 1_000_000_000;
/// Items in one message.
pub const MAX_ITEMS_PER_MESSAGE: u32 = 1000;
/// Attempts of one item.
pub const MAX_ATTEMPTS: u32 = 100;
/// The longest duration a client may name, in milliseconds: 7 days.
pub const MAX_DURATION_MS: u64 = 7 * 24 * 3600 * 1000;
/// Prerequisites of a job.
pub const MAX_PREREQUISITES: usize = 10_000;
/// The longest time to wait or run that a job may name, in milliseconds: 366 days.
pub const MAX_SPAN_MS: u64 = 366 * 24 * 3600 * 1000;
/// Starts without an outcome after which an item runs alone.
pub const STARTS_BEFORE_ALONE: u32 = 2;
/// Starts without an outcome after which an item ends as POISON.
pub const STARTS_BEFORE_POISON: u32 = 3;
/// An item that was sent again this many times runs alone, whatever starts are recorded. So a
/// worker that does not announce its starts cannot crash without end.
pub const SENDS_BEFORE_ALONE: u32 = 100;
/// Depth of sub-batches below the root.
pub const MAX_BATCH_DEPTH: u32 = 1000;
/// Levels below the root whose batches are retained when they are done.
pub const MAX_RETAINED_DEPTH: u32 = 2;
/// Batches of a job, by number, that are retained when they are done.
pub const MAX_RETAINED_BATCHES: u32 = 4096;
/// Failures of one job that are stored with their texts; later ones only with their code.
pub const MAX_FAILURE_TEXTS: i64 = 10_000;
/// Entries of a page of results.
pub const MAX_PAGE_SIZE: u32 = 1000;
/// The default of [`MAX_PAGE_SIZE`].
pub const DEFAULT_PAGE_SIZE: u32 = 50;
