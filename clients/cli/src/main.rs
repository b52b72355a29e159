//! The program `headway`: everything is in the library.

use std::process::ExitCode;

use headway_cli::{Console, main_with};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    main_with(std::env::args_os(), &mut Console::system())
        .await
        .into()
}
