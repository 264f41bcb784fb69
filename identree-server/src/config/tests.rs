//! Settings: which source goes first, and how a mistake is told.

use std::collections::BTreeMap;

use super::source::collect;
use super::*;

pub(super) struct Files {
    dir: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Files {
    pub(super) fn new(pairs: &[(&str, &str)]) -> Self {
        let mut environment = BTreeMap::new();
        for (name, value) in [
            ("IDENTREE_OIDC_ISSUER_URL", "https://idp.example"),
            ("IDENTREE_OIDC_CLIENT_ID", "identree"),
            ("IDENTREE_OIDC_CLIENT_SECRET", "s3cret-of-the-client"),
            ("IDENTREE_EXTERNAL_URL", "https://id.example"),
            ("IDENTREE_SHARED_SECRET", "0123456789abcdef0123456789abcdef"),
        ]
        .iter()
        .chain(pairs)
        {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        Self { dir: tempfile::tempdir().unwrap(), environment }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn found(&self) -> Found {
        collect(&self.environment, &self.dir.path().join("identree.conf"), &self.dir.path().join("config.toml"))
    }

    pub(super) fn settings(&self) -> Result<Settings, String> {
        Settings::from_found(&self.found()).map_err(|error| error.to_string())
    }
}

#[test]
fn the_environment_goes_before_the_conf_file_before_toml_before_the_default() {
    let files = Files::new(&[]);
    assert_eq!(files.settings().unwrap().question_life, Duration::from_secs(120));
    files.write("config.toml", "[auth]\nchallenge_ttl = \"60s\"\n[admin]\ngroups = [\"ops\", \"sre\"]\n");
    let settings = files.settings().unwrap();
    assert_eq!((settings.question_life, settings.admin_groups.len()), (Duration::from_secs(60), 2));
    files.write("identree.conf", "# comment\nexport IDENTREE_CHALLENGE_TTL=\"90s\"\n");
    assert_eq!(files.settings().unwrap().question_life, Duration::from_secs(90));
    let files = Files { environment: Files::new(&[("IDENTREE_CHALLENGE_TTL", "45s")]).environment, ..files };
    assert_eq!(files.settings().unwrap().question_life, Duration::from_secs(45));
}

#[test]
fn a_toml_line_that_went_wrong_is_told_by_its_number_alone() {
    let files = Files::new(&[]);
    files.write("config.toml", "[auth]\nclient_secret = s3cret-without-quotes\n");
    let error = files.settings().unwrap_err();
    assert!(error.contains("config.toml:2: ") && !error.contains("s3cret"), "{error}");
}

#[test]
fn all_problems_are_told_at_once_with_place_and_remedy_and_without_secrets() {
    let files = Files::new(&[
        ("IDENTREE_SHARED_SECRET", "too-short-a-secret"),
        ("IDENTREE_EXTERNAL_URL", "id.example"),
        ("IDENTREE_LISTEN_ADDR", "8090"),
        ("IDENTREE_CHALLENGE_TTL", "5s"),
        ("IDENTREE_OIDC_INSECURE_SKIP_VERIFY", "yes"),
        ("IDENTREE_TLS_CERT_FILE", "/x"),
        ("IDENTREE_DATABASE_DRIVER", "mysql"),
        ("IDENTREE_MAX_PENDING", "0"),
        ("IDENTREE_RATE_PER_HOST", "60/s"),
        ("IDENTREE_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example"),
    ]);
    files.write("identree.conf", "IDENTREE_EXTERNAL_URI=x\nnonsense\ns3cret-where-a-name-belongs=x\n");
    files.write("config.toml", "[auth]\nchallenge_tll = 1\n");
    let error = files.settings().unwrap_err();
    for says in [
        "IDENTREE_SHARED_SECRET (the environment): the shared secret must have at least 32 characters",
        "IDENTREE_EXTERNAL_URL (the environment): is not an http",
        "\"8090\" is not an address",
        "\"5s\" is not a duration from 30s to 1day",
        "is neither true nor false",
        "go together",
        "\"proxy.example\" is neither an address nor a network",
        "\"0\" is not a number from 1 to 1000000",
        "\"60/s\" is neither 0 nor a number per minute with a burst",
        "\"mysql\" is neither sqlite nor postgres",
        "identree.conf:1: unknown name IDENTREE_EXTERNAL_URI; did you mean IDENTREE_EXTERNAL_URL?",
        "identree.conf:2: is not NAME=VALUE",
        "unknown key auth.challenge_tll; did you mean auth.challenge_ttl?",
    ] {
        assert!(error.contains(says), "{says}\n{error}");
    }
    assert!(!error.contains("too-short-a-secret") && !error.contains("s3cret"), "{error}");
}

#[test]
fn a_secret_may_come_from_a_file_but_not_from_both() {
    let mut files = Files::new(&[]);
    let path = files.write("secret", "fedcba9876543210fedcba9876543210\n");
    files.environment.insert("IDENTREE_SHARED_SECRET_FILE".into(), path);
    assert!(files.settings().unwrap_err().contains("are both set; remove one"));
    files.environment.remove("IDENTREE_SHARED_SECRET");
    assert!(files.settings().is_ok());
    files.environment.insert("IDENTREE_SHARED_SECRET_FILE".into(), "/nowhere".into());
    assert!(files.settings().unwrap_err().contains("cannot be read"));
}

#[test]
fn a_foreign_variable_is_a_warning_and_an_early_one_is_named() {
    let files = Files::new(&[("IDENTREE_SERVICE_PORT", "1"), ("IDENTREE_GRACE_PERIOD", "1h")]);
    let found = files.found();
    assert!(Settings::from_found(&found).is_ok());
    assert_eq!(found.warnings, ["unknown name IDENTREE_SERVICE_PORT"]);
    assert_eq!(found.without_effect().collect::<Vec<_>>(), ["IDENTREE_GRACE_PERIOD"]);
}

#[test]
fn what_is_missing_is_told() {
    let mut files = Files::new(&[]);
    files.environment.clear();
    let error = files.settings().unwrap_err();
    assert_eq!(error.matches("is not set").count(), 5, "{error}");
    let found = files.found();
    assert!(HostSettings::from_found(&found).unwrap_err().to_string().contains("IDENTREE_SHARED_SECRET"));
}

#[test]
fn the_database_is_a_file_unless_it_is_named() {
    let database = |environment: &[(&str, &str)]| Files::new(environment).settings().map(|settings| settings.database);
    assert!(matches!(database(&[]).unwrap(), Database::Sqlite(path) if path.ends_with("identree.db")));
    let dsn = ("IDENTREE_DATABASE_DSN", "postgres://identree:s3cret-of-the-database@db/identree");
    for driver in ["postgres", "postgresql", "pg", "pgx"] {
        let named = database(&[("IDENTREE_DATABASE_DRIVER", driver), dsn]).unwrap();
        assert!(matches!(&named, Database::Postgres { max_connections: 25, .. }), "{named:?}");
        assert!(!format!("{named:?}").contains("s3cret"));
    }
    for (environment, says) in [
        (&[dsn][..], "set IDENTREE_DATABASE_DRIVER=postgres"),
        (&[("IDENTREE_DATABASE_DRIVER", "pg")], "IDENTREE_DATABASE_DSN: is not set: postgres://"),
        (&[("IDENTREE_DATABASE_DRIVER", "pg"), dsn, ("IDENTREE_DATABASE_MAX_OPEN_CONNS", "3")], "must be 4 or more"),
    ] {
        let error = database(environment).unwrap_err();
        assert!(error.contains(says) && !error.contains("s3cret"), "{says}\n{error}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", Files::new(&[]).settings().unwrap());
    assert!(!shown.contains("s3cret") && !shown.contains("0123456789abcdef"));
}

#[test]
fn the_table_says_the_rates_and_caps_that_count() {
    let settings = Files::new(&[]).settings().unwrap();
    assert_eq!((settings.rates, settings.caps), (Rates::default(), Caps::default()));
    let files = Files::new(&[("IDENTREE_RATE_PER_HOST", "0"), ("IDENTREE_DENIAL_COOLDOWN", "0s")]);
    let settings = files.settings().unwrap();
    assert_eq!((settings.rates.per_host, settings.caps.cool_down.pause), (None, Duration::ZERO));
}

#[test]
fn the_digest_tells_configurations_apart_and_nothing_of_secrets() {
    let digest = |pairs: &[(&str, &str)]| Files::new(pairs).settings().unwrap().digest;
    let plain = digest(&[]);
    assert_eq!(plain.len(), 64);
    assert_eq!(digest(&[("IDENTREE_OIDC_CLIENT_SECRET", "another-s3cret-of-the-client")]), plain);
    assert_ne!(digest(&[("IDENTREE_OIDC_CLIENT_ID", "another")]), plain);
    let proxied = |url: &str| digest(&[("IDENTREE_INSTALL_URL", url)]);
    assert_eq!(proxied("https://ann:pw@id.example"), proxied("https://id.example"));
    assert_ne!(proxied("https://id.example"), plain);
}

#[test]
fn the_log_is_kept_for_a_long_time_or_for_ever() {
    let days = |days: u64| Some(std::time::Duration::from_secs(days * 86_400));
    let kept = |files: Files| files.settings().map(|settings| settings.log_retention);
    assert_eq!(kept(Files::new(&[])), Ok(days(400)));
    for (text, keep) in [("30d", days(30)), ("0s", None), ("0", None)] {
        assert_eq!(kept(Files::new(&[("IDENTREE_AUDIT_RETENTION", text)])), Ok(keep), "{text}");
    }
    assert!(kept(Files::new(&[("IDENTREE_AUDIT_RETENTION", "1h")])).unwrap_err().contains("is not a duration"));
}
