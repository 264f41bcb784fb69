//! The few arguments that a benchmark takes: `--name value` and `--name`.

use std::str::FromStr;

use crate::Result;

/// The value after `--name`, or the default.
///
/// # Errors
/// If there is one that cannot be read.
pub fn value<T: FromStr<Err: std::error::Error + 'static>>(name: &str, default: T) -> Result<T> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(Ok(default), |text| Ok(text.parse()?))
}

/// Whether `--name` is there.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}
