//! The order in which items of several jobs run.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use headway_worker::{Outcome, Task, TaskError};

/// The jobs of the items that ran, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order(Arc<Mutex<Vec<String>>>);

impl Order {
    pub(crate) fn handler(
        &self,
        time: Duration,
    ) -> impl Fn(Task) -> futures::future::BoxFuture<'static, Result<Outcome, TaskError>>
    + Send
    + Sync
    + 'static
    + use<> {
        let order = self.clone();
        move |task: Task| {
            order.0.lock().unwrap().push(task.job().to_owned());
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(Outcome::done())
            })
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn jobs(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
