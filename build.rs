//! Compiles `proto/` to Rust with a pure-Rust compiler, so that no protoc is needed.

use std::{env, error::Error, fs, path::Path, path::PathBuf};

const PROTO: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut client = files("headway/v1")?;
    // No message refers to these, and reflection serves them: clients decode the details of errors.
    client.push("google/rpc/error_details.proto".to_owned());
    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(client)?;
    // The bytes keep the options, such as `field_behavior`, which the typed set would drop.
    fs::write(
        out.join("headway.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        // Options only: no message has a field of these types.
        .extern_path(".google.api", "::tonic_types::pb")
        .compile_fds(compiler.file_descriptor_set())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(protox::compile(files("headway/wire/v1")?, [PROTO])?)?;
    Ok(())
}

/// The files of one package, by their paths below [`PROTO`].
fn files(package: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(PROTO).join(package))? {
        let name = entry?.file_name();
        let name = name.to_str().ok_or("a file's name is not UTF-8")?;
        files.push(format!("{package}/{name}"));
    }
    files.sort();
    Ok(files)
}
