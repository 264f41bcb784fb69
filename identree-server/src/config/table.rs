//! Every name the server knows, in one list: what it is for, its default, whether it is secret, whether it has effect yet.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The environment variable.
    pub name: &'static str,
    /// `section.key` in the TOML file; settings without one are environment or KEY=VALUE only.
    pub toml: Option<&'static str>,
    /// What it is.
    pub kind: Kind,
    /// What counts when it is not set; empty for nothing.
    pub default: &'static str,
    /// What it is for, in one line. `None`: known from the seeds, without effect yet.
    pub help: Option<&'static str>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown; has a `_FILE` twin.
    Secret,
    /// `true` or `false` (also `1`, `0`, `t`, `f`, as the seeds accept).
    Bool,
    /// `90s`, `2h 30m`.
    Duration,
    /// A number, or one with KB, MB, GB.
    Bytes,
    /// A whole number.
    Number,
    /// Texts separated by commas.
    List,
    /// `http://` or `https://` with a host.
    Url,
    /// `host:port` or `:port`.
    Address,
    /// A path.
    Path,
}

const fn used(name: &'static str, toml: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Entry {
    Entry { name, toml: if toml.is_empty() { None } else { Some(toml) }, kind, default, help: Some(help) }
}

const fn later(name: &'static str, toml: &'static str, kind: Kind) -> Entry {
    Entry { name, toml: if toml.is_empty() { None } else { Some(toml) }, kind, default: "", help: None }
}

use Kind::{Address, Bool, Bytes, Duration, List, Number, Path, Secret, Text, Url};

/// The list.
pub const TABLE: &[Entry] = &[
    // Identity provider.
    used(
        "IDENTREE_OIDC_ISSUER_URL",
        "oidc.issuer_url",
        Url,
        "",
        "Issuer of the OpenID provider, exactly as it writes it. Required.",
    ),
    used(
        "IDENTREE_OIDC_ISSUER_PUBLIC_URL",
        "oidc.issuer_public_url",
        Url,
        "",
        "Issuer as browsers and tokens know it, where the server reaches the provider at another address.",
    ),
    used("IDENTREE_OIDC_CLIENT_ID", "oidc.client_id", Text, "", "Client id at the provider. Required."),
    used("IDENTREE_OIDC_CLIENT_SECRET", "", Secret, "", "Client secret at the provider. Required."),
    used(
        "IDENTREE_OIDC_INSECURE_SKIP_VERIFY",
        "",
        Bool,
        "false",
        "Do not check the provider's TLS certificate. Named in the log and in health.",
    ),
    later("IDENTREE_OIDC_ENFORCE_IP_BINDING", "", Bool),
    later("IDENTREE_POCKETID_API_KEY", "", Secret),
    later("IDENTREE_POCKETID_API_URL", "pocketid.api_url", Url),
    later("IDENTREE_WEBHOOK_SECRET", "", Secret),
    later("IDENTREE_DEV_LOGIN", "", Bool),
    // HTTP, secrets, TLS.
    used(
        "IDENTREE_LISTEN_ADDR",
        "server.listen_addr",
        Address,
        ":8090",
        "Where to listen: TLS when a certificate is set and IDENTREE_TLS_LISTEN_ADDR is not.",
    ),
    used(
        "IDENTREE_TLS_LISTEN_ADDR",
        "server.tls_listen_addr",
        Address,
        "",
        "Where to listen with TLS, beside the plain listener.",
    ),
    used("IDENTREE_EXTERNAL_URL", "server.external_url", Url, "", "Where people reach this server. Required."),
    used(
        "IDENTREE_INSTALL_URL",
        "server.install_url",
        Url,
        "",
        "Where hosts reach this server; the external URL unless set.",
    ),
    used(
        "IDENTREE_TRUSTED_PROXIES",
        "server.trusted_proxies",
        List,
        "",
        "Addresses and networks (10.0.0.0/8) of the proxies whose X-Forwarded-For tells a client's address.",
    ),
    used(
        "IDENTREE_SHARED_SECRET",
        "",
        Secret,
        "",
        "Master secret, at least 32 characters; each host's own secret is derived from it. Required.",
    ),
    used("IDENTREE_TLS_CERT_FILE", "", Path, "", "PEM certificate chain for TLS."),
    used("IDENTREE_TLS_KEY_FILE", "", Path, "", "PEM private key for TLS."),
    used(
        "IDENTREE_RATE_PER_HOST",
        "server.rate_per_host",
        Text,
        "1200 burst 600",
        "Requests of one host in a minute, and at once; 0 for no limit.",
    ),
    used(
        "IDENTREE_RATE_PER_USER",
        "server.rate_per_user",
        Text,
        "600 burst 300",
        "Requests of one signed-in person in a minute, and at once; 0 for no limit.",
    ),
    used(
        "IDENTREE_RATE_PER_ADDRESS",
        "server.rate_per_address",
        Text,
        "600 burst 300",
        "Requests in a minute, and at once, from one address (IPv6: /64) that prove nobody; 0 for no limit.",
    ),
    later("IDENTREE_HMAC_SECRET", "", Secret),
    later("IDENTREE_SESSION_SECRET", "", Secret),
    later("IDENTREE_ESCROW_SECRET", "", Secret),
    later("IDENTREE_LDAP_SECRET", "", Secret),
    used(
        "IDENTREE_METRICS_TOKEN",
        "",
        Secret,
        "",
        "What a scraper of /metrics must show as bearer token; unless it is set there is no /metrics.",
    ),
    used(
        "IDENTREE_AUDIT_READ_TOKEN",
        "",
        Secret,
        "",
        "What an auditor or witness must show as bearer token to read the sealed log at /log/; unless it is set there is no /log/.",
    ),
    later("IDENTREE_API_KEYS", "", Secret),
    later("IDENTREE_INSTALL_SIGNING_KEY", "", Path),
    later("IDENTREE_INSTALL_VERIFY_KEY", "", Path),
    later("IDENTREE_MTLS_CA_CERT", "", Path),
    later("IDENTREE_MTLS_CA_KEY", "", Path),
    later("IDENTREE_MTLS_CERT_TTL", "", Duration),
    later("IDENTREE_MTLS_KMS_BACKEND", "", Text),
    later("IDENTREE_MTLS_VAULT_ADDR", "", Url),
    later("IDENTREE_MTLS_VAULT_TOKEN", "", Secret),
    later("IDENTREE_MTLS_VAULT_KEY_NAME", "", Text),
    // Questions.
    used("IDENTREE_CHALLENGE_TTL", "auth.challenge_ttl", Duration, "120s", "How long a question waits, 30 s to 24 h."),
    used("IDENTREE_ADMIN_GROUPS", "admin.groups", List, "", "Groups whose members are administrators."),
    used(
        "IDENTREE_APPROVAL_POLICIES_FILE",
        "admin.approval_policies_file",
        Path,
        "",
        "Policies, JSON or TOML by the name's ending, taken over at the start and whenever the file is edited; approval-policies.json in the data directory unless set.",
    ),
    used("IDENTREE_MAX_PENDING", "auth.max_pending", Number, "10000", "How many questions may wait in all."),
    used(
        "IDENTREE_MAX_PENDING_PER_HOST",
        "auth.max_pending_per_host",
        Number,
        "100",
        "How many questions of one host may wait.",
    ),
    used(
        "IDENTREE_MAX_PENDING_PER_USER",
        "auth.max_pending_per_user",
        Number,
        "10",
        "How many questions of one user may wait.",
    ),
    used(
        "IDENTREE_DENIAL_COOLDOWN",
        "auth.denial_cooldown",
        Duration,
        "60s",
        "How long somebody waits who was denied three times within ten minutes on one host; 0s for not at all.",
    ),
    later("IDENTREE_GRACE_PERIOD", "auth.grace_period", Duration),
    later("IDENTREE_ONE_TAP_MAX_AGE", "auth.onetap_max_age", Duration),
    later("IDENTREE_REQUIRE_JUSTIFICATION", "auth.require_justification", Bool),
    later("IDENTREE_JUSTIFICATION_CHOICES", "auth.justification_choices", List),
    // Data.
    used("IDENTREE_DATA_DIR", "server.data_dir", Path, "/config", "Where the database and the decision key are kept."),
    used(
        "IDENTREE_DATABASE_DRIVER",
        "",
        Text,
        "sqlite",
        "sqlite, or postgres: several servers may share one database.",
    ),
    used(
        "IDENTREE_DATABASE_DSN",
        "",
        Secret,
        "",
        "Path of the SQLite database (identree.db in the data directory unless set), or postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full.",
    ),
    used(
        "IDENTREE_DATABASE_MAX_OPEN_CONNS",
        "",
        Number,
        "25",
        "The most connections of this server to PostgreSQL, 4 or more; 0 for the default.",
    ),
    used(
        "IDENTREE_LOG_LEVEL",
        "",
        Text,
        "info",
        "trace, debug, info, warn or error, or a filter such as info,identree_server=debug; RUST_LOG counts when it is not set.",
    ),
    used("IDENTREE_LOG_FORMAT", "", Text, "text", "text, or json: one object per line."),
    // Names of OpenTelemetry's specification.
    used(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        Url,
        "",
        "Where traces are told over OTLP (HTTP, protobuf), without /v1/traces; without it there are none.",
    ),
    used(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        Secret,
        "",
        "Headers for the collector: name=value, separated by commas, percent-encoded.",
    ),
    used("OTEL_SERVICE_NAME", "", Text, "identree", "The name under which the collector has them."),
    used(
        "OTEL_TRACES_SAMPLER",
        "",
        Text,
        "parentbased_always_on",
        "always_on, always_off, traceidratio, or one of these after parentbased_.",
    ),
    used("OTEL_TRACES_SAMPLER_ARG", "", Text, "", "Of traceidratio: which part of all, from 0 to 1."),
    used(
        "IDENTREE_HOST_REGISTRY_FILE",
        "misc.host_registry_file",
        Path,
        "",
        "A file of hosts, as `identree config export hosts` writes it, that is taken over at the start and whenever it is edited.",
    ),
    later("IDENTREE_DEFAULT_PAGE_SIZE", "misc.default_page_size", Number),
    later("IDENTREE_SESSION_STATE_FILE", "misc.session_state_file", Path),
    // Directory.
    later("IDENTREE_LDAP_ENABLED", "ldap.enabled", Bool),
    later("IDENTREE_LDAP_LISTEN_ADDR", "ldap.listen_addr", Address),
    later("IDENTREE_LDAP_TLS_LISTEN_ADDR", "", Address),
    later("IDENTREE_LDAP_BASE_DN", "ldap.base_dn", Text),
    later("IDENTREE_LDAP_BIND_DN", "ldap.bind_dn", Text),
    later("IDENTREE_LDAP_BIND_PASSWORD", "", Secret),
    later("IDENTREE_LDAP_REFRESH_INTERVAL", "ldap.refresh_interval", Duration),
    later("IDENTREE_LDAP_UID_MAP_FILE", "ldap.uid_map_file", Path),
    later("IDENTREE_LDAP_SUDO_NO_AUTHENTICATE", "ldap.sudo_no_authenticate", Text),
    later("IDENTREE_LDAP_ALLOW_ANONYMOUS", "", Bool),
    later("IDENTREE_SUDO_RULES_FILE", "ldap.sudo_rules_file", Path),
    later("IDENTREE_LDAP_UID_BASE", "ldap.uid_base", Number),
    later("IDENTREE_LDAP_GID_BASE", "ldap.gid_base", Number),
    later("IDENTREE_LDAP_DEFAULT_SHELL", "ldap.default_shell", Path),
    later("IDENTREE_LDAP_DEFAULT_HOME", "ldap.default_home", Text),
    later("IDENTREE_LDAP_PROVISION_ENABLED", "ldap.provision_enabled", Bool),
    later("IDENTREE_LDAP_EXTERNAL_URL", "ldap.external_url", Text),
    later("IDENTREE_LDAP_TLS_CA_CERT", "ldap.tls_ca_cert", Text),
    // Notifications and audit.
    later("IDENTREE_NOTIFICATION_CONFIG_FILE", "notifications.config_file", Path),
    later("IDENTREE_ADMIN_NOTIFY_FILE", "notifications.admin_notify_file", Path),
    later("IDENTREE_NOTIFY_TIMEOUT", "notifications.timeout", Duration),
    used(
        "IDENTREE_AUDIT_RETENTION",
        "",
        Duration,
        "400d",
        "How long the sealed log is kept, at least a day, and never less than until each sink has taken it; 0s is for ever.",
    ),
    used("IDENTREE_AUDIT_LOG", "", Text, "", "Where the audit log goes as lines of JSON: stdout, or file:/path."),
    used("IDENTREE_AUDIT_LOG_MAX_SIZE", "", Bytes, "100MB", "The size beyond which that file is rotated; 0 for never."),
    used("IDENTREE_AUDIT_LOG_MAX_FILES", "", Number, "5", "How many rotated files are kept, 1 to 1000."),
    used(
        "IDENTREE_AUDIT_LOG_FSYNC",
        "",
        Text,
        "batch",
        "When that file is forced to the disk: batch (before events count as shipped) or never.",
    ),
    used(
        "IDENTREE_AUDIT_SYSLOG_URL",
        "",
        Text,
        "",
        "Syslog (RFC 5424) that gets the audit log: udp://host:514, tcp://host:601 or tls://host:6514.",
    ),
    used(
        "IDENTREE_AUDIT_SYSLOG_CA_FILE",
        "",
        Path,
        "",
        "PEM certificates of the authorities that alone vouch for it over TLS; the system's unless set.",
    ),
    used(
        "IDENTREE_AUDIT_SPLUNK_HEC_URL",
        "",
        Url,
        "",
        "Splunk's HTTP Event Collector that gets the audit log, as https://splunk.example:8088/services/collector/event.",
    ),
    used("IDENTREE_AUDIT_SPLUNK_TOKEN", "", Secret, "", "The token of its input. Required with the URL."),
    used(
        "IDENTREE_AUDIT_SPLUNK_CA_FILE",
        "",
        Path,
        "",
        "PEM certificates of the authorities that alone vouch for it; the system's unless set.",
    ),
    used("IDENTREE_AUDIT_LOKI_URL", "", Url, "", "Loki that gets the audit log, as http://loki:3100."),
    used("IDENTREE_AUDIT_LOKI_TOKEN", "", Secret, "", "Bearer token for Loki."),
    used("IDENTREE_AUDIT_LOKI_TENANT", "", Text, "", "Tenant of Loki (X-Scope-OrgID)."),
    used(
        "IDENTREE_AUDIT_LOKI_CA_FILE",
        "",
        Path,
        "",
        "PEM certificates of the authorities that alone vouch for Loki; the system's unless set.",
    ),
    used(
        "IDENTREE_AUDIT_BUFFER_SIZE",
        "",
        Number,
        "",
        "Without effect: no event is dropped, and what is not shipped yet stays in the database.",
    ),
    // Escrow and break-glass.
    later("IDENTREE_ESCROW_BACKEND", "escrow.backend", Text),
    later("IDENTREE_ESCROW_URL", "escrow.url", Url),
    later("IDENTREE_ESCROW_AUTH_ID", "escrow.auth_id", Text),
    later("IDENTREE_ESCROW_AUTH_SECRET", "", Secret),
    later("IDENTREE_ESCROW_PATH", "escrow.path", Text),
    later("IDENTREE_ESCROW_WEB_URL", "escrow.web_url", Url),
    later("IDENTREE_ESCROW_ENCRYPTION_KEY", "", Secret),
    later("IDENTREE_ESCROW_HKDF_SALT", "", Secret),
    later("IDENTREE_ESCROW_COMMAND", "", Text),
    later("IDENTREE_ESCROW_COMMAND_ENV", "", List),
    later("IDENTREE_ESCROW_VAULT_MAP", "", Text),
    later("IDENTREE_BREAKGLASS_ROTATE_BEFORE", "", Text),
    // Decision keys.
    used(
        "IDENTREE_DECISION_ROOT",
        "",
        Text,
        "",
        "Public half of an offline key that alone may introduce decision keys; pinned by hosts that enrol from now on.",
    ),
    // Settings pushed to hosts.
    used(
        "IDENTREE_CLIENT_POLL_INTERVAL",
        "client_defaults.poll_interval",
        Duration,
        "",
        "Told to hosts: how long one request that waits for an answer rests at the server, 1s to 25s.",
    ),
    used(
        "IDENTREE_CLIENT_TIMEOUT",
        "client_defaults.timeout",
        Duration,
        "",
        "Told to hosts: how long they wait for an answer in all, 1s to 24h. A host's own shorter time stands.",
    ),
    used(
        "IDENTREE_CLIENT_BREAKGLASS_ENABLED",
        "client_defaults.breakglass_enabled",
        Bool,
        "",
        "Told to hosts: whether a break-glass password may be used. A host's own no stands.",
    ),
    used(
        "IDENTREE_CLIENT_BREAKGLASS_PASSWORD_TYPE",
        "client_defaults.breakglass_password_type",
        Text,
        "",
        "Told to hosts: how such a password is made: random, alphanumeric or passphrase. A host's own stronger kind stands.",
    ),
    used(
        "IDENTREE_CLIENT_BREAKGLASS_ROTATION_DAYS",
        "client_defaults.breakglass_rotation_days",
        Number,
        "",
        "Told to hosts: after how many days it is changed, 1 to 3650. A host's own fewer days stand.",
    ),
    later("IDENTREE_CLIENT_TOKEN_CACHE_ENABLED", "client_defaults.token_cache_enabled", Bool),
];

/// Where the TOML file is; environment only.
pub const TOML_FILE: &str = "IDENTREE_TOML_CONFIG_FILE";

/// The entry of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == name)
}

/// The known name that is most like an unknown one, if any is.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= 4).min().map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), TABLE.len());
        let keys: Vec<_> = TABLE.iter().filter_map(|entry| entry.toml).collect();
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn the_nearest_name_is_offered() {
        let names = || TABLE.iter().map(|entry| entry.name);
        assert_eq!(nearest("IDENTREE_EXTERNAL_URI", names()), Some("IDENTREE_EXTERNAL_URL"));
        assert_eq!(nearest("IDENTREE_SOMETHING_ELSE", names()), None);
    }
}
