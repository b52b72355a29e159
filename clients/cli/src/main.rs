//! The program `headway`: everything is in the library.

use std::process::ExitCode;

use headway_cli::{Console, main_with};
use headway_job_types::child;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if child::is_meant(&arguments) {
        // Before there are threads: they would count against its limits.
        return ExitCode::from(u8::from(child::run().is_err()));
    }
    start()
}

#[tokio::main(flavor = "current_thread")]
async fn start() -> ExitCode {
    main_with(std::env::args_os(), &mut Console::system())
        .await
        .into()
}
