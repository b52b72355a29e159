//! Compiles `proto/` to Rust with a pure-Rust compiler, so that no protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 11] = [
    "headway/v1/batch.proto",
    "headway/v1/bulk.proto",
    "headway/v1/event.proto",
    "headway/v1/explain.proto",
    "headway/v1/job.proto",
    "headway/v1/job_service.proto",
    "headway/v1/job_watch.proto",
    "headway/v1/partition.proto",
    "headway/v1/pipe.proto",
    "headway/v1/schedule.proto",
    "headway/pipe/v1/pipe.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["proto"])?;
    fs::write(out.join("headway.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".headway.pipe.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
