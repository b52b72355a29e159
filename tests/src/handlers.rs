//! Handlers that tests share.

use std::time::Duration;

use headway_worker::{Outcome, Task, TaskError};

use crate::Record;

/// The number that is the item.
pub fn number(task: &Task) -> Result<u32, TaskError> {
    task.payload()
}

/// Notes the item, takes its time, and is done.
pub fn slow(
    record: &Record,
    time: Duration,
) -> impl Fn(Task) -> futures::future::BoxFuture<'static, Result<Outcome, TaskError>>
+ Send
+ Sync
+ 'static
+ use<> {
    let record = record.clone();
    move |task: Task| {
        let running = record.start(&task);
        Box::pin(async move {
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            drop(running);
            Ok(Outcome::done())
        })
    }
}

/// Notes the item and is done.
pub fn quick(
    record: &Record,
) -> impl Fn(Task) -> futures::future::BoxFuture<'static, Result<Outcome, TaskError>>
+ Send
+ Sync
+ 'static
+ use<> {
    slow(record, Duration::ZERO)
}
