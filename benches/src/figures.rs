//! Figures: medians, percentiles, and lines that say whether a budget is kept.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The time, for measuring.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Sorted measurements.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// From measurements in any order.
    pub fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest measurement that at least so many percent do not exceed (nearest rank); zero without any.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The median in milliseconds.
    pub fn p50(&self) -> f64 {
        self.percentile(50).as_secs_f64() * 1e3
    }

    /// The 99th percentile in milliseconds.
    pub fn p99(&self) -> f64 {
        self.percentile(99).as_secs_f64() * 1e3
    }
}

/// Prints lines and keeps count of the budgets that were missed.
#[derive(Debug, Default)]
pub struct Report {
    missed: u32,
}

impl Report {
    /// Begins with the name of the benchmark and what it runs on.
    pub fn begin(title: &str) -> Self {
        let report = Self::default();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("?", |(_, name)| name);
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().unwrap_or("?");
        let build = if cfg!(debug_assertions) { "debug (figures mean little)" } else { "optimised" };
        report.say(title);
        report.say(format!(
            "  on          {cpu}, {cores} cores, kernel {}, load {load}",
            read("/proc/sys/kernel/osrelease").trim()
        ));
        report.say(format!("  this build  {build}, identree {}", env!("CARGO_PKG_VERSION")));
        report
    }

    /// Prints one line.
    pub fn say(&self, line: impl Display) {
        // A closed output is nothing a benchmark could tell anybody about.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    /// Prints a figure beside its budget.
    pub fn judge(&mut self, what: &str, value: f64, budget: f64, unit: &str) {
        let verdict = if value <= budget { "PASS" } else { "OVER BUDGET" };
        self.missed += u32::from(value > budget);
        self.say(format!("  {verdict:11} {what}: {value:.2} {unit} (budget {budget} {unit})"));
    }

    /// Prints a figure beside the least that it must reach.
    pub fn reach(&mut self, what: &str, value: f64, budget: f64, unit: &str) {
        let verdict = if value >= budget { "PASS" } else { "OVER BUDGET" };
        self.missed += u32::from(value < budget);
        self.say(format!("  {verdict:11} {what}: {value:.2} {unit} (at least {budget} {unit})"));
    }

    /// The exit code: failure only if it was asked for with `--check` and a budget was missed.
    pub fn end(self) -> ExitCode {
        let check = std::env::args().any(|argument| argument == "--check");
        ExitCode::from(u8::from(check && self.missed > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples = Samples::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(samples.percentile(50), Duration::from_millis(100));
        assert_eq!(samples.percentile(99), Duration::from_millis(198));
        assert_eq!(samples.percentile(100), Duration::from_millis(200));
        assert_eq!(Samples::default().percentile(50), Duration::ZERO);
    }
}
