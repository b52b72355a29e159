//! What travels between the roles as bytes. Here, and in the server's gRPC layer, wire types meet
//! domain types; nowhere else.

mod batch;
mod broadcasts;
mod dead_letters;
mod ids;
mod malformed;
mod reports;
mod tasks;

pub use batch::{BatchWork, decode_batch, encode_fence_order, encode_owed};
pub use broadcasts::{decode_change, encode_change, encode_control};
pub use dead_letters::decode_dead_task;
pub use malformed::Malformed;
pub use reports::{Reports, decode_reports, encode_fence_report};
pub use tasks::{TaskMessages, TaskSend, encode_fence_task, first_try};

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn fences_round_trip() {
        let id = Uuid::new_v4();
        let reports = decode_reports(encode_fence_report(id)).unwrap();
        assert_eq!(reports.fences, [id]);
        assert!(reports.pages.is_empty());
        let order = BatchWork::Fence {
            pipe: "work".to_owned(),
            id,
            shard: 7,
        };
        assert_eq!(decode_batch(encode_fence_order("work", id, 7)), Ok(order));
        // As a worker of an older version gives it up.
        let dead = decode_dead_task(encode_fence_task(id, 7)).unwrap();
        assert!(dead.items.is_empty());
    }
}
