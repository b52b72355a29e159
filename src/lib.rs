//! The contract of Headway: the Rust form of `proto/`, made by `build.rs`, and nothing else.

/// What clients speak: `headway.v1`.
#[allow(clippy::all, missing_docs, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("headway.v1");
}

/// What travels in pipes between Headway's roles and workers: `headway.wire.v1`. Clients do not
/// need it.
#[allow(clippy::all, missing_docs, rustdoc::all)]
pub mod wire {
    tonic::include_proto!("headway.wire.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of what clients speak, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/headway.bin"));
