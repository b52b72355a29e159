//! Packs the dashboard for the program: the files of `clients/web/dist` where it was built, else
//! those of `dashboard/`, which say how to build it. What compresses is kept compressed only.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// Files nobody is served: maps of sources are for whoever builds.
const LEFT_OUT: &str = ".map";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let built = here.join("../clients/web/dist");
    let instead = here.join("dashboard");
    // A path that is missing would mean a new build each time, and a folder with all packages would
    // be looked through. An empty folder is as good as none, and cargo sees when something comes
    // into it. Where it cannot be made cargo looks again each time.
    if !built.exists() {
        let _ = fs::create_dir(&built);
    }
    for watched in [&built, &instead] {
        println!("cargo:rerun-if-changed={}", watched.display());
    }
    let root = match built.join("index.html").is_file() {
        true => built,
        false => instead,
    };
    let mut paths = Vec::new();
    list(&root, &mut paths)?;
    paths.sort();

    let packed = out.join("dashboard");
    if packed.exists() {
        fs::remove_dir_all(&packed)?;
    }
    fs::create_dir_all(&packed)?;
    let mut table = String::from("&[\n");
    for (number, path) in paths.iter().enumerate() {
        let name = path
            .strip_prefix(&root)?
            .to_str()
            .ok_or("a file's name is not UTF-8")?;
        let content = fs::read(path)?;
        let small = gzip(&content)?;
        let gzipped = small.len() < content.len();
        let kept = packed.join(number.to_string());
        fs::write(&kept, if gzipped { &small } else { &content })?;
        table.push_str(&format!(
            "    File {{ path: {:?}, bytes: include_bytes!({kept:?}), gzipped: {gzipped} }},\n",
            format!("/{}", name.replace('\\', "/")),
        ));
    }
    table.push_str("]\n");
    fs::write(out.join("dashboard.rs"), table)?;
    Ok(())
}

/// The files below a folder.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            list(&path, found)?;
        } else if !name.starts_with('.') && !name.ends_with(LEFT_OUT) {
            found.push(path);
        }
    }
    Ok(())
}

fn gzip(content: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}
