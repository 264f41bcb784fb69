//! The `identree` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    identree_server::cli::run()
}
