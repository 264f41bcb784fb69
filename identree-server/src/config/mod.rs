//! Configuration: one table of names, four sources, one typed result, all problems at once.

mod audit;
mod database;
mod source;
pub mod table;
mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use identree_core::credential::MasterSecret;
use identree_core::engine::{Caps, CoolDown};
use identree_core::grant::PublicKey;
use identree_core::id::GroupName;
use identree_core::secret::Secret;
use identree_core::text::visible;
use identree_core::wire::settings::{ClientSettings, PasswordType};
use url::Url;

pub use self::audit::{AuditLog, AuditSettings, Loki, Splunk, Syslog};
pub use self::database::Database;
pub use self::source::{Found, read};
use crate::layer::client_ip::TrustedProxies;
use crate::layer::rate_limit::{Rate, Rates};

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: String,
    /// What is wrong and how to mend it. Never holds a secret.
    pub text: String,
}

/// The configuration cannot be used: every problem there is.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:{}", .0.iter().map(|p| format!("\n  {}: {}", p.place, p.text)).collect::<String>())]
pub struct ConfigError(pub Vec<Problem>);

/// What a server needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `IDENTREE_OIDC_ISSUER_URL`, as written.
    pub issuer: String,
    /// `IDENTREE_OIDC_ISSUER_PUBLIC_URL`, as written.
    pub public_issuer: Option<String>,
    /// `IDENTREE_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `IDENTREE_OIDC_CLIENT_SECRET`.
    pub client_secret: Secret<String>,
    /// `IDENTREE_OIDC_INSECURE_SKIP_VERIFY`.
    pub insecure_skip_verify: bool,
    /// The digest of everything that was set, secrets left out ([`Found::digest`]).
    pub digest: String,
    /// `IDENTREE_LISTEN_ADDR`.
    pub listen: SocketAddr,
    /// `IDENTREE_TLS_LISTEN_ADDR`.
    pub tls_listen: Option<SocketAddr>,
    /// `IDENTREE_TLS_CERT_FILE` and `IDENTREE_TLS_KEY_FILE`.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// `IDENTREE_EXTERNAL_URL`.
    pub external_url: Url,
    /// `IDENTREE_INSTALL_URL`.
    pub install_url: Option<Url>,
    /// `IDENTREE_TRUSTED_PROXIES`.
    pub trusted_proxies: TrustedProxies,
    /// `IDENTREE_RATE_PER_HOST`, `…_USER` and `…_ADDRESS`.
    pub rates: Rates,
    /// `IDENTREE_SHARED_SECRET`.
    pub master: MasterSecret,
    /// `IDENTREE_METRICS_TOKEN`.
    pub metrics_token: Option<Secret<String>>,
    /// `IDENTREE_AUDIT_READ_TOKEN`.
    pub audit_read_token: Option<Secret<String>>,
    /// `IDENTREE_DECISION_ROOT`.
    pub decision_root: Option<PublicKey>,
    /// `IDENTREE_CLIENT_…`: what hosts are told.
    pub client: ClientSettings,
    /// `IDENTREE_CHALLENGE_TTL`.
    pub question_life: Duration,
    /// `IDENTREE_MAX_PENDING`, `…_PER_HOST`, `…_PER_USER` and `IDENTREE_DENIAL_COOLDOWN`.
    pub caps: Caps,
    /// `IDENTREE_AUDIT_RETENTION`; none is for ever.
    pub log_retention: Option<Duration>,
    /// `IDENTREE_ADMIN_GROUPS`.
    pub admin_groups: Vec<GroupName>,
    /// `IDENTREE_APPROVAL_POLICIES_FILE`.
    pub policies: PathBuf,
    /// Whether that path was written by the operator: then the file must be there.
    pub policies_named: bool,
    /// `IDENTREE_HOST_REGISTRY_FILE`.
    pub hosts_file: Option<PathBuf>,
    /// `IDENTREE_AUDIT_…`.
    pub audit: AuditSettings,
    /// `IDENTREE_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `IDENTREE_DATABASE_DRIVER`, `…_DSN` and `…_MAX_OPEN_CONNS`.
    pub database: Database,
}

/// What the host verbs need: less than a server.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// `IDENTREE_SHARED_SECRET`.
    pub master: MasterSecret,
    /// Where hosts reach the server.
    pub server_url: Url,
    /// `IDENTREE_DECISION_ROOT`.
    pub decision_root: Option<PublicKey>,
    /// `IDENTREE_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `IDENTREE_DATABASE_DRIVER`, `…_DSN` and `…_MAX_OPEN_CONNS`.
    pub database: Database,
}

/// What the verbs about the database as a whole need.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// `IDENTREE_DATA_DIR`.
    pub data_dir: PathBuf,
    /// `IDENTREE_DATABASE_DSN`.
    pub database: PathBuf,
}

impl Settings {
    /// Checks everything that was found.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn from_found(found: &Found) -> Result<Self, ConfigError> {
        let mut reader = Reader { found, problems: found.problems.clone() };
        let settings = reader.settings();
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError(reader.problems)),
        }
    }

    /// The checks that are switched off, by name.
    pub fn insecure(&self) -> Vec<String> {
        let names = [("IDENTREE_OIDC_INSECURE_SKIP_VERIFY", self.insecure_skip_verify)];
        names.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
    }
}

impl HostSettings {
    /// Checks what the host verbs need.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn from_found(found: &Found) -> Result<Self, ConfigError> {
        let mut reader = Reader { found, problems: found.problems.clone() };
        let settings = reader.host_settings();
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError(reader.problems)),
        }
    }
}

impl DataSettings {
    /// Checks what the verbs about the database need.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem.
    pub fn from_found(found: &Found) -> Result<Self, ConfigError> {
        let mut reader = Reader { found, problems: found.problems.clone() };
        match reader.data() {
            Some((data_dir, database)) if reader.problems.is_empty() => Ok(Self { data_dir, database }),
            _ => Err(ConfigError(reader.problems)),
        }
    }
}

/// A copy of a PostgreSQL database is its own tools' to make.
const POSTGRES_COPIES: &str = "the database is PostgreSQL: `pg_dump --format=custom --file=FILE` makes the copy and \
    `pg_restore --dbname=...` brings it back; docs/operations.md has the whole commands";

struct Reader<'a> {
    found: &'a Found,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn settings(&mut self) -> Option<Settings> {
        let issuer = self.required_url("IDENTREE_OIDC_ISSUER_URL");
        let public_issuer = self.url("IDENTREE_OIDC_ISSUER_PUBLIC_URL");
        let client_id = self.required("IDENTREE_OIDC_CLIENT_ID");
        let client_secret = self.required("IDENTREE_OIDC_CLIENT_SECRET").map(Secret::new);
        let insecure_skip_verify = self.flag("IDENTREE_OIDC_INSECURE_SKIP_VERIFY");
        let listen = self.address("IDENTREE_LISTEN_ADDR");
        let tls_listen = self.address("IDENTREE_TLS_LISTEN_ADDR");
        let tls_files = self.tls_files(tls_listen.is_some());
        let external_url = self.required_url("IDENTREE_EXTERNAL_URL");
        if external_url.as_ref().is_some_and(|(url, _)| url.scheme() == "http" && !is_loopback(url)) {
            let text = "must be https: on plain http anybody on the way could take a session over. Put the https URL that \
                        people use here, also where a proxy ends TLS; http is for 127.0.0.1 and localhost only";
            self.problem("IDENTREE_EXTERNAL_URL", text);
        }
        let install_url = self.url("IDENTREE_INSTALL_URL");
        let trusted_proxies = self.trusted_proxies();
        let rates = self.rates();
        let master = self.master();
        let metrics_token = self.bearer_token("IDENTREE_METRICS_TOKEN");
        let audit_read_token = self.bearer_token("IDENTREE_AUDIT_READ_TOKEN");
        let decision_root = self.decision_root();
        let client = self.client();
        let question_life =
            self.duration("IDENTREE_CHALLENGE_TTL", Duration::from_secs(30)..=Duration::from_secs(86_400));
        let caps = self.caps();
        let admin_groups = self.groups();
        let audit = self.audit();
        let data_dir = PathBuf::from(self.text("IDENTREE_DATA_DIR").unwrap_or_default());
        let database = self.database(&data_dir);
        let policies = self.text("IDENTREE_APPROVAL_POLICIES_FILE").map(PathBuf::from);
        let log_retention = self.log_retention();
        Some(Settings {
            issuer: issuer?.1,
            public_issuer: public_issuer.map(|(_, text)| text),
            client_id: client_id?,
            client_secret: client_secret?,
            insecure_skip_verify,
            digest: self.found.digest(),
            listen: listen?,
            tls_listen,
            tls_files,
            external_url: external_url?.0,
            install_url: install_url.map(|(url, _)| url),
            trusted_proxies,
            rates,
            master: master?,
            metrics_token,
            audit_read_token,
            decision_root,
            client,
            question_life: question_life?,
            caps: caps?,
            admin_groups,
            log_retention,
            hosts_file: self.text("IDENTREE_HOST_REGISTRY_FILE").map(PathBuf::from),
            audit,
            policies_named: policies.is_some(),
            policies: policies.unwrap_or_else(|| data_dir.join("approval-policies.json")),
            database: database?,
            data_dir,
        })
    }

    fn host_settings(&mut self) -> Option<HostSettings> {
        let master = self.master();
        let external = self.required_url("IDENTREE_EXTERNAL_URL");
        let install = self.url("IDENTREE_INSTALL_URL");
        let data_dir = PathBuf::from(self.text("IDENTREE_DATA_DIR").unwrap_or_default());
        let database = self.database(&data_dir);
        let server_url = install.or(external).map(|(url, _)| url);
        let decision_root = self.decision_root();
        Some(HostSettings { master: master?, server_url: server_url?, decision_root, data_dir, database: database? })
    }

    /// Data directory and SQLite file.
    fn data(&mut self) -> Option<(PathBuf, PathBuf)> {
        let data_dir = PathBuf::from(self.text("IDENTREE_DATA_DIR").unwrap_or_default());
        let database = self.database(&data_dir)?;
        let file = database.sqlite().cloned();
        if file.is_none() {
            self.problem("IDENTREE_DATABASE_DRIVER", POSTGRES_COPIES);
        }
        Some((data_dir, file?))
    }

    fn problem(&mut self, name: &str, text: impl Into<String>) {
        let place = self.found.get(name).map_or_else(|| name.to_owned(), |(_, place)| format!("{name} ({place})"));
        self.problems.push(Problem { place, text: text.into() });
    }

    /// The value, or the default; empty is unset.
    fn text(&self, name: &str) -> Option<String> {
        let default = table::find(name).map(|entry| entry.default).unwrap_or_default();
        let value = self.found.get(name).map_or(default, |(value, _)| value);
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn required(&mut self, name: &str) -> Option<String> {
        let value = self.text(name);
        if value.is_none() {
            let help = table::find(name).and_then(|entry| entry.help).unwrap_or_default();
            self.problem(name, format!("is not set. {help}"));
        }
        value
    }

    fn url(&mut self, name: &str) -> Option<(Url, String)> {
        let text = self.text(name)?;
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
                Some((url, text))
            }
            _ => {
                self.problem(name, "is not an http:// or https:// URL with a host and without a query");
                None
            }
        }
    }

    fn required_url(&mut self, name: &str) -> Option<(Url, String)> {
        self.required(name)?;
        self.url(name)
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.text(name).as_deref() {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(_) => {
                self.problem(name, "is neither true nor false");
                false
            }
        }
    }

    fn address(&mut self, name: &str) -> Option<SocketAddr> {
        let text = self.text(name)?;
        // `:8090` listens on every address, as in the seeds.
        let full = if text.starts_with(':') { format!("[::]{text}") } else { text.clone() };
        let address = full.parse().ok();
        if address.is_none() {
            self.problem(
                name,
                format!("\"{}\" is not an address and port, as in 127.0.0.1:8090 or :8090", visible(&text)),
            );
        }
        address
    }

    fn duration(&mut self, name: &str, range: std::ops::RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text(name)?;
        let duration = humantime::parse_duration(&text).ok().filter(|duration| range.contains(duration));
        if duration.is_none() {
            let (from, to) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            self.problem(name, format!("\"{}\" is not a duration from {from} to {to}, as in 120s", visible(&text)));
        }
        duration
    }

    fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = (range.start(), range.end());
            self.problem(name, format!("\"{}\" is not a number from {from} to {to}", visible(&text)));
        }
        number
    }

    fn caps(&mut self) -> Option<Caps> {
        let in_all = self.number("IDENTREE_MAX_PENDING", 1..=1_000_000);
        let per_target = self.number("IDENTREE_MAX_PENDING_PER_HOST", 1..=1_000_000);
        let per_requester = self.number("IDENTREE_MAX_PENDING_PER_USER", 1..=1_000_000);
        let pause = self.duration("IDENTREE_DENIAL_COOLDOWN", Duration::ZERO..=Duration::from_secs(3600));
        let cool_down = CoolDown { pause: pause?, ..CoolDown::default() };
        Some(Caps { per_requester: per_requester?, per_target: per_target?, in_all: in_all?, cool_down })
    }

    fn master(&mut self) -> Option<MasterSecret> {
        let name = "IDENTREE_SHARED_SECRET";
        let text = zeroize::Zeroizing::new(self.required(name)?);
        match MasterSecret::parse(&text) {
            Ok(master) => Some(master),
            Err(error) => {
                self.problem(name, format!("{error}; make one with: openssl rand -hex 32"));
                None
            }
        }
    }

    fn decision_root(&mut self) -> Option<PublicKey> {
        let name = "IDENTREE_DECISION_ROOT";
        let text = self.text(name)?;
        let key = text.parse().ok();
        if key.is_none() {
            self.problem(
                name,
                "is not a public key: 43 characters of base64url, as `identree rotate-decision-key` prints it",
            );
        }
        key
    }

    fn log_retention(&mut self) -> Option<Duration> {
        let name = "IDENTREE_AUDIT_RETENTION";
        let for_ever = humantime::parse_duration(&self.text(name)?).is_ok_and(|time| time.is_zero());
        let day = Duration::from_secs(86_400);
        if for_ever { None } else { self.duration(name, day..=day * 36_500) }
    }

    /// What hosts are told. A time or number of 0 tells nothing, as in the seeds.
    fn client(&mut self) -> ClientSettings {
        let second = Duration::from_secs(1);
        let mut time = |name: &str, most: u64| {
            let text = self.text(name)?;
            let zero = humantime::parse_duration(&text).is_ok_and(|time| time.is_zero());
            if zero { None } else { self.duration(name, second..=Duration::from_secs(most)) }
        };
        let timeout = time("IDENTREE_CLIENT_TIMEOUT", 86_400);
        let hold = time("IDENTREE_CLIENT_POLL_INTERVAL", 25);
        let name = "IDENTREE_CLIENT_BREAKGLASS_ENABLED";
        let break_glass = self.text(name).map(|_| self.flag(name));
        let name = "IDENTREE_CLIENT_BREAKGLASS_PASSWORD_TYPE";
        let password_type = self.text(name).and_then(|text| {
            let kind = PasswordType::parse(&text);
            if kind.is_none() {
                self.problem(name, format!("\"{}\" is none of random, alphanumeric and passphrase", visible(&text)));
            }
            kind
        });
        let name = "IDENTREE_CLIENT_BREAKGLASS_ROTATION_DAYS";
        let days = self.text(name).and_then(|_| self.number(name, 0..=3650));
        ClientSettings { timeout, hold, break_glass, password_type, rotation_days: days.filter(|days| *days > 0) }
    }

    fn groups(&mut self) -> Vec<GroupName> {
        let text = self.text("IDENTREE_ADMIN_GROUPS").unwrap_or_default();
        let mut groups = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match GroupName::parse(name) {
                Ok(group) => groups.push(group),
                Err(error) => self.problem("IDENTREE_ADMIN_GROUPS", error.to_string()),
            }
        }
        groups
    }

    fn trusted_proxies(&mut self) -> TrustedProxies {
        let name = "IDENTREE_TRUSTED_PROXIES";
        let text = self.text(name).unwrap_or_default();
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        TrustedProxies::parse(networks).unwrap_or_else(|error| {
            self.problem(name, error.to_string());
            TrustedProxies::default()
        })
    }

    fn rates(&mut self) -> Rates {
        let (per_host, per_user) = (self.rate("IDENTREE_RATE_PER_HOST"), self.rate("IDENTREE_RATE_PER_USER"));
        Rates { per_host, per_user, per_address: self.rate("IDENTREE_RATE_PER_ADDRESS"), ..Rates::default() }
    }

    fn rate(&mut self, name: &str) -> Option<Rate> {
        let text = self.text(name).unwrap_or_default();
        Rate::parse(&text).unwrap_or_else(|error| {
            self.problem(name, format!("\"{}\" {error}", visible(&text)));
            None
        })
    }

    fn tls_files(&mut self, needed: bool) -> Option<(PathBuf, PathBuf)> {
        let (cert, key) = (self.text("IDENTREE_TLS_CERT_FILE"), self.text("IDENTREE_TLS_KEY_FILE"));
        match (cert, key) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) if !needed => None,
            (None, None) => {
                self.problem("IDENTREE_TLS_LISTEN_ADDR", "needs IDENTREE_TLS_CERT_FILE and IDENTREE_TLS_KEY_FILE");
                None
            }
            _ => {
                self.problem("IDENTREE_TLS_CERT_FILE", "and IDENTREE_TLS_KEY_FILE go together; set both or none");
                None
            }
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What the fuzz targets see.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    pub(crate) use super::source::from_texts as found;
}

#[cfg(test)]
mod tests;
