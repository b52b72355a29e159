//! A queue prefix for each test on the broker of `HEADWAY_TEST_AMQP_URL`, removed in the end,
//! whatever becomes of the test.

use std::sync::Arc;

use futures::future::BoxFuture;
use headway_broker::{Broker, Queue, RabbitBroker, RabbitConfig, Topic, names};
use headway_runtime::tasks;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use crate::proxy::Proxy;
use crate::suite::{EPOCH, Fixture};

/// A prefix of its own and ways to reach the broker.
#[derive(Clone)]
pub(crate) struct Setup {
    pub prefix: String,
    uri: AMQPUri,
}

impl Setup {
    fn new() -> Self {
        let Ok(url) = std::env::var("HEADWAY_TEST_AMQP_URL") else {
            panic!(
                "HEADWAY_TEST_AMQP_URL is not set: these tests need a RabbitMQ of their own, run `make test`"
            );
        };
        let uri = url.parse().expect("HEADWAY_TEST_AMQP_URL is an amqp url");
        Self {
            prefix: format!("test-{}", uuid::Uuid::new_v4().simple()),
            uri,
        }
    }

    /// A configuration that goes straight to the broker.
    pub(crate) fn config(&self) -> RabbitConfig {
        RabbitConfig::new(self.uri.to_string(), self.prefix.clone())
    }

    /// A configuration that goes through a new proxy.
    pub(crate) async fn through_proxy(&self) -> (Proxy, RabbitConfig) {
        let authority = &self.uri.authority;
        let proxy = Proxy::start(format!("{}:{}", authority.host, authority.port)).await;
        let mut uri = self.uri.clone();
        uri.authority.host = proxy.address().ip().to_string();
        uri.authority.port = proxy.address().port();
        (
            proxy,
            RabbitConfig::new(uri.to_string(), self.prefix.clone()),
        )
    }

    pub(crate) async fn broker(&self) -> Arc<RabbitBroker> {
        Arc::new(RabbitBroker::connect(self.config()).await.unwrap())
    }

    /// A bare connection of the client library.
    pub(crate) async fn raw(&self) -> Connection {
        Connection::connect(&self.uri.to_string(), ConnectionProperties::default())
            .await
            .unwrap()
    }

    async fn clean(&self) {
        let connection = self.raw().await;
        let channel = connection.create_channel().await.unwrap();
        let pipes = ["a", "b"].map(|name| Queue::Pipe(name.into()));
        let system = [
            Queue::Reports(0),
            Queue::Batch,
            Queue::DeadTasks,
            Queue::DeadSystem,
        ];
        let queues = pipes
            .iter()
            .chain(&system)
            .map(|queue| names::queue_name(&self.prefix, queue));
        let marks = [
            names::epoch_name(&self.prefix, EPOCH),
            names::deployment_name(&self.prefix),
        ];
        for queue in queues.chain(marks) {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await
                .unwrap();
        }
        for topic in [Topic::Control, Topic::Events] {
            let exchange = names::exchange_name(&self.prefix, topic).into();
            channel
                .exchange_delete(exchange, ExchangeDeleteOptions::default())
                .await
                .unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
    }
}

/// Runs a test with a setup of its own and cleans up after it, also after a panic.
pub(crate) async fn run<F>(test: impl FnOnce(Setup) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let setup = Setup::new();
    let ended = tasks::spawn(test(setup.clone())).await;
    setup.clean().await;
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Runs a test of the shared suite.
pub(crate) async fn run_suite(
    test: impl FnOnce(Fixture) -> BoxFuture<'static, ()> + Send + 'static,
) {
    run(|setup| async move {
        let (broker, other) = (setup.broker().await, setup.broker().await);
        test(Fixture {
            broker: broker.clone(),
            other: other.clone(),
        })
        .await;
        broker.close().await;
        other.close().await;
    })
    .await;
}
