//! The end of a process with its standard input: whoever started it is gone then, or wants its end.

use std::io::Read;

use headway_worker::CancellationToken;

/// A token that the end of the standard input cancels.
///
/// # Errors
/// Where no thread can be started.
pub fn end_with_input() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let token = stop.clone();
    std::thread::Builder::new().spawn(move || {
        let mut rest = Vec::new();
        // An error is as good as an end.
        let _ = std::io::stdin().read_to_end(&mut rest);
        token.cancel();
    })?;
    Ok(stop)
}
