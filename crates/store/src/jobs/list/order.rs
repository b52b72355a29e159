//! Orders of lists, and places in them.

use headway_domain::filter::{JobOrder, OrderField};
use sea_orm::FromQueryResult;

use crate::jobs::{list::conditions::Conditions, view::JobView};

/// The last job of a page, as far as its order looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlace {
    /// The key of its rows.
    pub key: i64,
    /// The text that the order is by; empty where it is by time.
    pub text: String,
}

impl JobPlace {
    /// The place of a job in an order.
    pub fn of(view: &JobView, order: JobOrder) -> Self {
        let meta = &view.job.meta;
        let text = match order.by {
            OrderField::CreateTime => "",
            OrderField::Id => meta.name.job.as_str(),
            OrderField::DisplayName => &meta.spec.display_name,
        };
        Self {
            key: meta.key,
            text: text.to_owned(),
        }
    }
}

/// The column of `job` that an order is by; none where the key is enough.
fn order_column(order: JobOrder) -> Option<&'static str> {
    match order.by {
        OrderField::CreateTime => None,
        OrderField::Id => Some("job_id"),
        OrderField::DisplayName => Some("display_name"),
    }
}

/// What stands behind ORDER BY, with `job` under an alias.
pub(crate) fn order_by(order: JobOrder, alias: &str) -> String {
    let direction = if order.descending { "DESC" } else { "ASC" };
    match order_column(order) {
        None => format!("{alias}.job_key {direction}"),
        Some(column) => format!("{alias}.{column} {direction}, {alias}.job_key {direction}"),
    }
}

impl Conditions<'_> {
    /// The condition that a job of `k` comes after a place.
    pub(crate) fn after(&mut self, order: JobOrder, after: &JobPlace) -> String {
        let than = if order.descending { "<" } else { ">" };
        let key = self.bind(after.key);
        match order_column(order) {
            None => format!(" AND k.job_key {than} {key}"),
            Some(column) => {
                let text = self.bind(after.text.as_str());
                format!(" AND (k.{column}, k.job_key) {than} ({text}, {key})")
            }
        }
    }
}

/// What the place of a job in an order is made of.
#[derive(Debug, FromQueryResult)]
pub(crate) struct OrderRow {
    job_key: i64,
    pub(crate) job_id: String,
    display_name: String,
}

impl OrderRow {
    pub(crate) fn place(&self, order: JobOrder) -> JobPlace {
        let text = match order.by {
            OrderField::CreateTime => "",
            OrderField::Id => self.job_id.as_str(),
            OrderField::DisplayName => self.display_name.as_str(),
        };
        JobPlace {
            key: self.job_key,
            text: text.to_owned(),
        }
    }
}
