//! The private parsers of bytes from outside, opened for `identree-pam/fuzz` alone. No part of what the crate promises.

use std::time::Duration;

use crate::config::parse;
use crate::facts::approval::{Pairs, mapped};
use crate::facts::{SudoCall, procfs, sudo_options};
use crate::transport::http1;

/// Status, body and whether the connection may carry another request; nothing while more bytes are needed.
///
/// # Errors
/// As text, as soon as the bytes cannot become a response.
pub fn http_response(received: &[u8]) -> Result<Option<(u16, Vec<u8>, bool)>, String> {
    let read = http1::response(received).map_err(|error| error.to_string())?;
    Ok(read.map(|response| (response.status, response.body, response.keep)))
}

/// User and group, as typed, that sudo's own options name; nothing if sudo itself would not accept the line.
#[expect(clippy::type_complexity, reason = "two texts that may each be missing, on one line")]
pub fn sudo_run_as(argv: &[Vec<u8>]) -> Option<(Option<Vec<u8>>, Option<Vec<u8>>)> {
    sudo_options::run_as(argv).ok().map(|found| (found.user, found.group))
}

/// The real uid and process that sudo names; what the kernel would say, for the fuzz target's sake.
pub fn who_calls(call: &SudoCall) -> (u32, u32) {
    let pairs = Pairs::of(&call.user_info);
    (pairs.number("uid").unwrap_or(0), pairs.number("pid").unwrap_or(0))
}

/// The address ranges of code in `/proc/PID/maps`.
pub fn code_ranges(maps: &[u8]) -> Vec<&str> {
    mapped::executable(maps).collect()
}

/// The real uid in `/proc/PID/status`.
pub fn real_uid(status: &[u8]) -> Option<u32> {
    procfs::real_uid(status)
}

/// The start time in `/proc/PID/stat`.
pub fn start_time(stat: &[u8]) -> Option<u64> {
    procfs::start_time(stat)
}

/// The arguments in `/proc/PID/cmdline`.
pub fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    procfs::arguments(cmdline)
}

/// A variable in `/proc/PID/environ`.
pub fn variable<'a>(environ: &'a [u8], name: &str) -> Option<&'a [u8]> {
    procfs::variable(environ, name)
}

/// A span of time in the host file.
pub fn duration(text: &str) -> Option<Duration> {
    parse::duration(text)
}
