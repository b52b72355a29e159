//! Which deployment a prefix belongs to: an empty durable queue with the deployment's id among its
//! arguments. The broker refuses to declare it with another id, so that of deployments that start
//! at once one gets the prefix.

use lapin::Error;
use lapin::options::QueueDeclareOptions;
use uuid::Uuid;

use super::declare;
use super::failure::{bounded, is_declared_otherwise, unavailable};
use super::link::{Live, short};
use super::shared::Inner;
use crate::{BrokerError, names};

/// An argument that takes any text and is compared when the queue is declared again. Nothing is
/// ever published to the queue, so that nothing is routed by it.
const ARGUMENT: &str = "x-dead-letter-routing-key";

/// Takes the prefix, or names the deployment that has it.
pub(super) async fn claim(inner: &Inner, deployment: Uuid) -> Result<Option<String>, BrokerError> {
    let live = inner.administration().await?;
    live.while_up(declare_claim(inner, &live, deployment)).await
}

async fn declare_claim(
    inner: &Inner,
    live: &Live,
    deployment: Uuid,
) -> Result<Option<String>, BrokerError> {
    let name = short(names::deployment_name(&inner.config.prefix))?;
    let mut arguments = declare::quorum();
    arguments.insert("x-dead-letter-exchange".into(), declare::text(""));
    arguments.insert(ARGUMENT.into(), declare::text(&deployment.to_string()));
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let lease = live.plain.lease(live.connection()).await?;
    match bounded(lease.channel().queue_declare(name, options, arguments)).await? {
        Ok(_) => {
            lease.keep();
            Ok(None)
        }
        Err(error) if is_declared_otherwise(&error) => Ok(Some(owner(&error))),
        Err(error) => Err(unavailable(&error)),
    }
}

/// The other deployment, as the broker's answer names it.
fn owner(error: &Error) -> String {
    let text = error.to_string();
    let after = text.split("current is '").nth(1);
    let id = after.and_then(|after| after.split('\'').next());
    id.unwrap_or("of unknown id").to_owned()
}
