//! What is fed with bytes from outside, and what must hold whatever they are. Run by libFuzzer (`.ci/fuzz`) and, over the
//! committed corpora, by `cargo test`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};
use identree_core::text::is_hidden;
use identree_server::fuzzing;
use identree_server::layer::client_ip::TrustedProxies;
use identree_server::layer::cookie::{Cookie, Cookies};
use url::Url;

/// Takes any bytes; panics where a promise is broken.
pub(crate) type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("callback", callback),
    ("claims", claims),
    ("config_file", config_file),
    ("config_toml", config_toml),
    ("cookie", cookie),
    ("environment", environment),
    ("form", form),
    ("forwarded_for", forwarded_for),
    ("return_to", return_to),
    ("trusted_proxies", trusted_proxies),
];

/// Stands where secrets stand in the corpora, and must never be told.
const SECRET: &str = "s3cret-of-nobody";

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Nothing hidden but the line ends of a list.
fn shown(text: &str) {
    assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?} hides something");
}

fn headers(name: &header::HeaderName, data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(name, line);
        }
    }
    headers
}

/// A cookie is read where it was sent as one, and two of one name are none.
fn cookie(data: &[u8]) {
    let headers = headers(&header::COOKIE, data);
    for cookies in [Cookies::new(false), Cookies::new(true)] {
        for cookie in [Cookie::Session, Cookie::SignIn] {
            let Some(value) = cookies.read(&headers, cookie) else { continue };
            assert!(!value.contains(';'));
            let pair = format!("{}={value}", cookies.name(cookie));
            let mut sent = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
            assert!(sent.any(|line| line.contains(&pair)), "{pair} was not sent");
        }
    }
}

/// Whatever is returned to is on this server, for every browser: the same URL parser as theirs says so.
fn return_to(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let path = fuzzing::own_path(text);
    assert!(path == "/" || path == text);
    let base = Url::parse("https://id.example/sessions/login").expect("a URL");
    let there = base.join(path).expect("a path of ours");
    assert_eq!(there.origin(), base.origin(), "{path}");
    assert!(HeaderValue::from_str(path).is_ok());
}

/// Who is no trusted proxy names nobody but themselves, and nobody is ever called by a proxy's own address while another
/// entry tells more.
fn forwarded_for(data: &[u8]) {
    let headers = headers(&header::HeaderName::from_static("x-forwarded-for"), data);
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).expect("networks");
    let (stranger, proxy): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [10, 0, 0, 1].into());
    assert_eq!(proxies.client(stranger, &headers).0, stranger);
    let client = proxies.client(proxy, &headers).0;
    assert_eq!(client, client.to_canonical(), "IPv4 is never written as IPv6");
    // One more stranger in front of what a trusted proxy wrote changes nothing once a client is found.
    if !proxies.contains(client) {
        let mut longer = HeaderMap::new();
        longer.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        for line in headers.get_all("x-forwarded-for") {
            longer.append("x-forwarded-for", line.clone());
        }
        assert_eq!(proxies.client(proxy, &longer).0, client, "a client names itself");
    }
}

fn trusted_proxies(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match TrustedProxies::parse(text.split(',').map(str::trim)) {
        Ok(proxies) => assert_eq!(
            proxies.contains([127, 0, 0, 1].into()),
            proxies.contains("::ffff:127.0.0.1".parse::<IpAddr>().expect("an address"))
        ),
        Err(error) => shown(&error.to_string()),
    }
}

/// A form is whole or none, and its texts are on one line.
fn form(data: &[u8]) {
    let Some((id, reason, number)) = fuzzing::form(data) else { return };
    assert_eq!(id.len(), 32);
    assert!(!reason.unwrap_or_default().contains(['\n', '\r']));
    assert!(!number.unwrap_or_default().contains(char::is_whitespace));
}

/// The provider's answer as the browser brings it.
fn callback(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Some([state, code, error, iss]) = fuzzing::callback(text) else { return };
    let sent: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    for (name, value) in [("state", state), ("code", code), ("error", error), ("iss", iss)] {
        let times = sent.iter().filter(|(key, _)| key == name).count();
        assert!(times <= 1, "{name} came {times} times");
        assert_eq!(value.as_ref(), sent.iter().find(|(key, _)| key == name).map(|(_, value)| value), "{name}");
    }
}

/// The groups of an ID token: a text or a list of texts, and nothing that is no group name.
fn claims(data: &[u8]) {
    for group in fuzzing::groups(data).unwrap_or_default() {
        shown(group.as_str());
        assert!(!group.as_str().is_empty());
    }
}

/// What is wrong is told on lines of its own, with nothing hidden and no secret.
fn told(problems: &str) {
    shown(problems);
    assert!(!problems.contains(SECRET), "the secret is told: {problems}");
}

fn config_file(data: &[u8]) {
    let Some(text) = text(data) else { return };
    told(&fuzzing::settings(&BTreeMap::new(), Some(text), None));
}

fn config_toml(data: &[u8]) {
    let Some(text) = text(data) else { return };
    told(&fuzzing::settings(&BTreeMap::new(), None, Some(text)));
}

fn environment(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    told(&fuzzing::settings(&environment, None, None));
}
