//! The whole way of one question through a proxy.

use identree_pam::Verdict;

use crate::recipe::Kind;
use crate::requester::{Asking, Signed};
use crate::site::Site;

pub(crate) fn people_sign_in_and_decide(kind: Kind) {
    if !kind.is_here() {
        return;
    }
    let site = Site::start(kind);
    let ann = site.browser(20);
    let callback = ann.sign_in("ann");
    assert!(callback.starts_with(&format!("{}/callback?", site.origin)), "{callback}");
    let names: Vec<_> = ann.cookies().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"__Host-identree_session".to_owned()), "{names:?}");

    let list = ann.get(&format!("{}/", site.origin));
    assert_eq!(list.version, "HTTP/2", "browsers are spoken to in HTTP/2");
    assert!(list.header("strict-transport-security").is_some(), "{}", list.head);
    assert_eq!(list.header("cache-control").as_deref(), Some("no-store"), "{}", list.head);
    let older = ann.send(&format!("{}/", site.origin), &["--http1.1"]);
    assert_eq!((&*older.version, older.status), ("HTTP/1.1", 200));

    let asking = Asking::start(site.host_file());
    let page = asking.page();
    assert!(page.starts_with(&format!("{}/approve/", site.origin)), "{page}");
    // Another site's form is still another site's.
    let form = ann.form(&page);
    let body = form.map(|(name, value)| format!("{name}={value}")).join("&");
    let foreign = ann.send(
        &format!("{}/api/challenges/approve", site.origin),
        &["--header", "Origin: https://evil.example", "--data", &body],
    );
    assert_eq!(foreign.status, 403, "{}", foreign.told());
    ann.approve(&page);
    let verdict = asking.verdict();
    assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");

    // A host's MAC covers the authority it called: here the proxy's.
    let (name, port) = site.origin.strip_prefix("https://").unwrap().split_once(':').unwrap();
    assert_eq!(signed(&site, &format!("{name}:{port}")), 404, "proven, and no such question");
    for other in [format!("other.example:{port}"), name.to_owned()] {
        assert_eq!(signed(&site, &other), 401, "{other}");
    }
}

/// The status of a request that is signed for this authority, through the proxy.
fn signed(site: &Site, authority: &str) -> u16 {
    let mut host = site.host_file();
    authority.clone_into(&mut host.server.authority);
    let target = format!("/api/challenge/{}?wait=0", "0".repeat(64));
    let authorization = Signed { method: "GET", target: &target, body: b"" }.authorization(&host);
    site.browser(30).send(&format!("{}{target}", site.origin), &["--header", &authorization]).status
}
