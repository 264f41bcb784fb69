//! What a proxy passes on of each request, and what not.

use crate::recipe::Kind;
use crate::requester::{Asking, Signed};
use crate::site::{METRICS_TOKEN, Site};

pub(crate) fn requests_arrive_as_they_should(kind: Kind) {
    if !kind.is_here() {
        return;
    }
    let site = Site::start(kind);
    the_clients_address_is_the_real_one(&site);
    what_is_too_large_is_told(&site);
    plain_http_leads_to_https(&site);
    its_health_is_asked(&site, kind);
    metrics_are_not_for_all(&site);
}

/// Whatever the client says of itself.
fn the_clients_address_is_the_real_one(site: &Site) {
    let person = site.browser(20);
    for (path, headers) in [
        ("/says-nothing", &[][..]),
        ("/forges", &["X-Forwarded-For: 203.0.113.9"]),
        ("/forges-a-trusted-one", &["X-Forwarded-For: 203.0.113.9, 127.0.0.1"]),
        ("/forges-twice", &["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1"]),
        ("/forges-otherwise", &["Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9"]),
    ] {
        let arguments: Vec<_> = headers.iter().flat_map(|header| ["--header", header]).collect();
        person.send(&format!("{}{path}", site.origin), &arguments);
        let line = site.servers[0]
            .log
            .after(0, path, |line| line.contains(&format!("path=\"{path}\"")) && line.contains("status="));
        assert!(line.contains(&format!("client={}}}", person.address)), "{line}");
    }
}

fn what_is_too_large_is_told(site: &Site) {
    let person = site.browser(20);
    let large = format!("X-Large: {}", "x".repeat(100 * 1024));
    for version in ["--http1.1", "--http2"] {
        // A proxy may end the connection before all of it is sent; curl has no answer then.
        let answer = person.send(&format!("{}/", site.origin), &[version, "--header", &large]);
        assert!(answer.status == 0 || (400..500).contains(&answer.status), "{}", answer.told());
    }

    let post = |bytes: usize, expect: &str| {
        let body = site.folder().join("body");
        std::fs::write(&body, vec![b'x'; bytes]).unwrap();
        let signed = Signed { method: "POST", target: "/api/challenge", body: &vec![b'x'; bytes] };
        let authorization = signed.authorization(&site.host_file());
        let data = format!("@{}", body.display());
        let kind = "Content-Type: application/json";
        let url = format!("{}/api/challenge", site.origin);
        person.send(
            &url,
            &["--http1.1", "--header", expect, "--header", &authorization, "--header", kind, "--data-binary", &data],
        )
    };
    let passed = post(1024 * 1024, "Expect:");
    assert_eq!(passed.status, 400, "{}", passed.told());
    assert!(passed.body.contains("urn:identree:problem:not-json"), "{}", passed.told());
    let told = post(1024 * 1024 + 1, "Expect:");
    assert_eq!(told.status, 413, "{}", told.told());
    assert!(told.body.contains("urn:identree:problem:body-too-large"), "{}", told.told());
    // Refused by its length, before it is sent.
    let told = post(3 * 1024 * 1024, "Expect: 100-continue");
    assert_eq!(told.status, 413, "{}", told.told());
    assert_eq!(person.get(&format!("{}/livez", site.origin)).status, 200, "and it goes on");
}

fn plain_http_leads_to_https(site: &Site) {
    let person = site.browser(20);
    let answer = person.get(&format!("{}/approve/x?y=z", site.plain_origin));
    assert_eq!(answer.status, 301, "{}", answer.told());
    assert_eq!(answer.header("location"), Some(format!("{}/approve/x?y=z", site.origin)));
    // Hosts do not follow.
    let mut host = site.host_file();
    host.server = identree_pam::config::ServerUrl::parse(&site.plain_origin).unwrap();
    let verdict = Asking::start(host).verdict();
    assert_eq!(verdict.exit_code(), 4, "{verdict:?}");
}

/// Caddy and HAProxy ask by themselves; nginx passes the question on for those who watch from outside.
fn its_health_is_asked(site: &Site, kind: Kind) {
    let ready = site.browser(20).get(&format!("{}/readyz", site.origin));
    assert_eq!((ready.status, &*ready.body), (200, "ok\n"));
    if kind != Kind::Nginx {
        let own = |line: &str| line.contains("path=\"/readyz\" client=127.0.0.1}") && line.contains("status=200");
        site.servers[0].log.after(0, "check of the proxy's own", own);
    }
}

/// Not even with the token: whoever scrapes goes to the server itself.
fn metrics_are_not_for_all(site: &Site) {
    let bearer = format!("Authorization: Bearer {METRICS_TOKEN}");
    let get = |origin: &str| site.browser(20).send(&format!("{origin}/metrics"), &["--header", &bearer]).status;
    assert_eq!(get(&format!("http://{}", site.servers[0].listen)), 200);
    assert_eq!(get(&site.origin), 404);
}
