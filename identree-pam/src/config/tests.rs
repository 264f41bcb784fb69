//! The host file: what it must say, what it may, and how a mistake is told.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8032 §7.1, test 1

fn text() -> String {
    format!(
        "IDENTREE_SERVER_URL=https://id.example\nIDENTREE_HOSTNAME=web1\nIDENTREE_SHARED_SECRET={}\nIDENTREE_DECISION_KEYS={KEY}\n",
        "ab".repeat(32)
    )
}

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("client.conf")).map_err(|e| e.to_string())
}

#[test]
fn the_least_that_works_and_its_defaults() {
    let config = parse(&text()).unwrap();
    assert_eq!((config.timeout.as_secs(), config.connect_timeout.as_millis()), (120, 2800));
    assert_eq!(config.hostname.as_str(), "web1");
    assert!(!format!("{config:?}").contains("abab"), "the secret is not shown");
}

#[test]
fn every_missing_setting_is_named() {
    for key in ["IDENTREE_SERVER_URL", "IDENTREE_HOSTNAME", "IDENTREE_SHARED_SECRET", "IDENTREE_DECISION_KEYS"] {
        let without: String = text().lines().filter(|l| !l.starts_with(key)).map(|l| format!("{l}\n")).collect();
        assert!(parse(&without).unwrap_err().contains(&format!("{key} is missing")), "{key}");
    }
}

#[test]
fn a_wrong_line_is_named_with_its_remedy_and_without_its_secret() {
    for (line, says) in [
        ("IDENTREE_TIMOUT=5s", "client.conf:5: unknown setting 'IDENTREE_TIMOUT'; did you mean IDENTREE_TIMEOUT?"),
        ("PATH=/bin", "client.conf:5: unknown setting 'PATH'"),
        ("0123456789abcdef=IDENTREE_SHARED_SECRET", "client.conf:5: unknown setting"),
        ("IDENTREE_TIMEOUT=5", "client.conf:5: IDENTREE_TIMEOUT must be a time like 90s or 5m, from 1s to 86400s"),
        ("IDENTREE_HOSTNAME=x", "client.conf:5: IDENTREE_HOSTNAME is given twice"),
        ("IDENTREE_LANGUAGE=fr", "client.conf:5: IDENTREE_LANGUAGE must be en or de"),
        ("IDENTREE_CA_CERT=ca.pem", "client.conf:5: IDENTREE_CA_CERT must be an absolute path"),
        ("IDENTREE_INSECURE_HTTP=yes", "client.conf:5: IDENTREE_INSECURE_HTTP must be true or false"),
    ] {
        assert_eq!(parse(&format!("{}{line}\n", text())).unwrap_err(), says);
    }
    let bad = parse(&text().replace("abab", "hunter2")).unwrap_err();
    assert!(bad.contains("client.conf:3:") && !bad.contains("hunter2"), "{bad}");
}

#[test]
fn known_names_without_effect_are_listed() {
    let config = parse(&format!("{}IDENTREE_TOKEN_CACHE_DIR=/x\n", text())).unwrap();
    assert_eq!(config.no_effect, ["IDENTREE_TOKEN_CACHE_DIR"]);
}

#[test]
fn plain_http_only_to_this_machine_or_when_asked_for() {
    assert!(!parse(&text().replace("https://id.example", "http://127.0.0.1:8090")).unwrap().is_insecure());
    let open = text().replace("https:", "http:");
    assert!(parse(&open).unwrap_err().starts_with("client.conf:1: IDENTREE_SERVER_URL must be https"));
    assert!(parse(&format!("{open}IDENTREE_INSECURE_HTTP=true\n")).unwrap().is_insecure());
}

#[test]
fn a_file_that_others_could_have_written_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let owner = rustix::process::geteuid().as_raw();
    let path = folder.path().join("client.conf");
    fs::write(&path, text()).unwrap();
    let load = |mode: u32, owner: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Config::load(&path, owner).map_err(|e| e.to_string())
    };
    assert!(load(0o600, owner).is_ok() && load(0o640, owner).is_ok());
    let shown = path.display();
    for mode in [0o644, 0o660, 0o602, 0o601] {
        assert!(load(mode, owner).unwrap_err().ends_with(&format!("run: chmod 0600 '{shown}'")), "{mode:o}");
    }
    let foreign = load(0o600, owner + 1).unwrap_err();
    assert!(foreign.contains("belongs to uid"), "{foreign}");

    let link = folder.path().join("link.conf");
    symlink(&path, &link).unwrap();
    assert!(Config::load(&link, owner).unwrap_err().to_string().contains("it is a link"));
    assert!(Config::load(folder.path(), owner).is_err(), "a folder is not a file");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let open_folder = Config::load(&path, owner).unwrap_err().to_string();
    assert!(open_folder.contains("run: chmod 0755"), "{open_folder}");
}

#[test]
fn the_authorities_are_read_under_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let owner = rustix::process::geteuid().as_raw();
    let (path, ca) = (folder.path().join("client.conf"), folder.path().join("ca.pem"));
    fs::write(&path, format!("{}IDENTREE_CA_CERT='{}'\n", text(), ca.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Config::load(&path, owner).is_err(), "it is not there");
    fs::write(&ca, "pem").unwrap();
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o664)).unwrap();
    assert!(Config::load(&path, owner).unwrap_err().to_string().contains("run: chmod 0644"));
    fs::set_permissions(&ca, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Config::load(&path, owner).unwrap().ca_pem.as_deref(), Some(&b"pem"[..]));
}

#[test]
fn a_key_of_the_hosts_own_takes_the_place_of_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let owner = rustix::process::geteuid().as_raw();
    let (path, key) = (folder.path().join("client.conf"), folder.path().join("host.key"));
    let private = |path: &Path, text: &str, mode: u32| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let secret = format!("IDENTREE_SHARED_SECRET={}\n", "ab".repeat(32));
    let named = text().replace(&secret, &format!("IDENTREE_HOST_KEY_FILE={}\n", key.display()));
    private(&path, &named, 0o600);
    private(&key, &"07".repeat(32), 0o600);
    let load = || Config::load(&path, owner).map_err(|e| e.to_string());
    let config = load().unwrap();
    assert!(
        matches!(&config.credential, Credential::Key(key) if key.public() == HostKey::from_seed(&[7; 32]).public())
    );
    assert!(!format!("{config:?}").contains(&"07".repeat(8)), "the key is not shown");
    private(&key, &"07".repeat(32), 0o640);
    assert!(load().unwrap_err().ends_with("'") && load().unwrap_err().contains("chmod 0600"), "no group reads a key");
    private(&key, "07", 0o600);
    assert!(load().unwrap_err().contains("host.key: a host key is 64 hexadecimal digits"));
    private(&path, &format!("{named}{secret}"), 0o600);
    private(&key, &"07".repeat(32), 0o600);
    assert!(load().unwrap_err().contains("exclude each other"));
    private(&path, &named.replace(&key.display().to_string(), "host.key"), 0o600);
    assert!(load().unwrap_err().contains("IDENTREE_HOST_KEY_FILE must be an absolute path"));
}
