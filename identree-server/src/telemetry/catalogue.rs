//! Every metric, in one list: the recorder, the reference and the tests read it.

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, as it is scraped.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels. No label ever holds a name, an address or a path that somebody chose.
    pub labels: &'static [Label],
    /// What it counts, in one sentence.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Read from its source at each scrape.
    Gauge,
    /// Observations, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One label, with its values where they are few and known: those series are there from the start, with 0.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values; empty where the program's routes or version give them.
    pub values: &'static [&'static str],
}

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    buckets: &'static [f64],
    labels: &'static [Label],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(buckets), labels, help }
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

/// Seconds of something that a computer does.
const QUICK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Seconds of something that another computer does.
const REMOTE: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0];
/// Seconds that a request is held at most: 25.
const HELD: &[f64] = &[0.1, 1.0, 5.0, 10.0, 20.0, 30.0];
/// Seconds of something that people do.
const PEOPLE: &[f64] = &[5.0, 10.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 900.0, 3600.0];
/// Batches in one transaction: at most 256.
const GROUP: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Why a vote did not count ([`identree_core::engine::VoteRefusal::as_str`]).
pub const VOTE_REFUSALS: &[&str] = &[
    "not_found",
    "already_settled",
    "already_voted",
    "admin_only",
    "not_your_own",
    "stale_sign_in",
    "wrong_number",
    "disabled",
    "reason_too_long",
    "other",
];

/// Settings that are kept in the database and followed by every server.
const FOLLOWED: &[&str] = &["policies", "client"];
/// And what is taken over from a file.
const TAKEN_OVER: &[&str] = &["policies", "client", "hosts"];

/// What stops a request, and what a question.
const LIMITS: &[&str] = &[
    "host_rate",
    "user_rate",
    "browser_rate",
    "address_rate",
    "failure_rate",
    "enrolment_rate",
    "user",
    "host",
    "all",
    "cool_down",
    "waits",
    "connections",
    "address_connections",
];

/// How a call of the store fails.
pub const STORE_ERRORS: &[&str] = &["conflict", "unavailable", "corrupt"];

/// The calls of the store.
pub const STORE_CALLS: &[&str] = &["read", "commit", "sweep", "probe"];

/// The list.
pub const CATALOGUE: &[Metric] = &[
    // Questions. Counted when their commit is durable, so these are the numbers of the journal.
    counter("identree_challenges_created_total", &[], "Questions opened, also those that a rule settled at once."),
    counter("identree_challenges_approved_total", &[], "Questions granted by people."),
    counter("identree_challenges_auto_approved_total", &[], "Questions granted by a rule, without asking."),
    counter(
        "identree_challenges_denied_total",
        &[label("reason", &["user_rejected", "policy"])],
        "Questions denied: by a person, or refused by a rule or after too many wrong numbers.",
    ),
    counter("identree_challenges_expired_total", &[], "Questions that nobody answered in time."),
    counter("identree_challenges_cancelled_total", &[], "Questions taken back by the asking side."),
    histogram(
        "identree_challenge_duration_seconds",
        PEOPLE,
        &[],
        "From the opening of a question to its end; without those that a rule settled at once.",
    ),
    counter("identree_votes_refused_total", &[label("reason", VOTE_REFUSALS)], "Votes that did not count."),
    counter("identree_journal_events_total", &[label("kind", &[])], "Events written to the journal, by kind."),
    gauge("identree_active_challenges", &[], "Questions that wait."),
    gauge("identree_held_waiters", &[], "Requests that are held until a question is settled."),
    gauge("identree_held_pages", &[], "Requests of pages that are held until something changes."),
    gauge("identree_open_connections", &[], "Connections to the listeners."),
    gauge("identree_event_streams", &[], "Open event streams of pages."),
    gauge("identree_registered_hosts", &[], "Registered hosts."),
    gauge(
        "identree_config_version",
        &[label("setting", FOLLOWED)],
        "The version in force of each setting that is kept in the database; 0 before there is one.",
    ),
    gauge(
        "identree_config_refused",
        &[label("setting", TAKEN_OVER)],
        "1 while a file or a version of the setting cannot be used and the last good one stays in force.",
    ),
    // Ways in.
    counter(
        "identree_auth_failures_total",
        &[label("reason", &["audit_read_token", "clock", "credential", "enrolment", "metrics_token"])],
        "Proofs that were refused: a host's credential, a host whose clock is off, an enrolment, a scraper's or an auditor's token.",
    ),
    counter(
        "identree_heartbeats_total",
        &[label("status", &["green", "amber", "red"])],
        "Heartbeats of hosts, by how the host stands.",
    ),
    counter(
        "identree_sign_ins_total",
        &[label("result", &["ok", "failed"])],
        "Sign-ins that ended: with a session, or without.",
    ),
    histogram(
        "identree_oidc_exchange_duration_seconds",
        REMOTE,
        &[],
        "Redeeming an authorization code at the identity provider.",
    ),
    counter(
        "identree_rate_limit_rejections_total",
        &[label("limit", LIMITS)],
        "Requests, questions and connections not taken: too fast (`…_rate`), too many wait or are open, or a denial is recent.",
    ),
    // HTTP.
    counter(
        "identree_http_requests_total",
        &[label("method", &[]), label("route", &[]), label("status", &[])],
        "Requests answered, by route (`none` where there is no such route) and class of status.",
    ),
    histogram(
        "identree_http_request_duration_seconds",
        QUICK,
        &[label("method", &[]), label("route", &[]), label("status", &[])],
        "From a request's head to its answer's head; without requests that may be held.",
    ),
    histogram(
        "identree_http_held_seconds",
        HELD,
        &[],
        "The same for requests that may be held until something changes.",
    ),
    counter("identree_http_panics_total", &[], "Requests that ended in a panic and were answered 500. Each is a bug."),
    // The store.
    counter("identree_store_commits_total", &[], "Batches committed durably."),
    histogram("identree_store_commit_duration_seconds", QUICK, &[], "From handing a batch to the store to its answer."),
    histogram("identree_store_commit_batches", GROUP, &[], "Batches that share one transaction."),
    counter(
        "identree_store_errors_total",
        &[label("call", STORE_CALLS), label("error", STORE_ERRORS)],
        "Calls of the store that failed. A conflict is another's change coming first, not a fault.",
    ),
    gauge(
        "identree_clock_off_seconds",
        &[],
        "How far this server's clock is off the database's, if that is too far to decide anything; else 0.",
    ),
    // The log, as the database has it, and what this server ships.
    gauge("identree_audit_log_size", &[], "Events in the sealed log."),
    gauge("identree_audit_unsealed_events", &[], "Events in the journal that are not in the log yet."),
    gauge("identree_audit_seal_lag_seconds", &[], "How long the oldest of them waits."),
    counter(
        "identree_audit_events_total",
        &[label("sink", &[]), label("status", &["emitted", "failed", "dropped"])],
        "Events this server offered to a sink: confirmed, not taken and to be offered again, or removed from the log before the sink had them.",
    ),
    gauge("identree_audit_backlog_events", &[label("sink", &[])], "Events in the log that the sink has not confirmed."),
    gauge(
        "identree_audit_sink_parked",
        &[label("sink", &[])],
        "1 while the sink refuses this server for good: somebody must mend it.",
    ),
    gauge("identree_build_info", &[label("version", &[])], "1, with the version that runs."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let mut names = std::collections::BTreeSet::new();
        for Metric { name, kind, help, .. } in CATALOGUE {
            assert!(names.insert(name) && name.starts_with("identree_") && help.ends_with('.'), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            if let Kind::Histogram(buckets) = kind {
                assert!(buckets.is_sorted(), "{name}");
            }
        }
    }
}
