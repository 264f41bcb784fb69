//! One question, and one session, on all servers.

use std::collections::HashSet;
use std::time::Duration;

use identree_core::time::{Clock as _, SystemClock};
use identree_pam::Verdict;

use crate::browser::{Answer, Browser};
use crate::recipe::{Kind, SEVERAL};
use crate::requester::{Asking, Signed};
use crate::site::Site;

/// Who answers so many requests in a row.
fn served(browser: &Browser, url: &str, times: usize) -> Vec<(u16, String)> {
    let answer = |_| {
        let answer = browser.get(url);
        (answer.status, answer.header("x-served-by").unwrap())
    };
    (0..times).map(answer).collect()
}

pub(crate) fn people_and_hosts_go_from_server_to_server(kind: Kind) {
    let Some(site) = Site::of_several(kind) else { return };
    let ann = site.browser(20);
    // Off to the provider from one server, back to another: each request goes to the next.
    ann.sign_in("ann");
    let pages = served(&ann, &format!("{}/", site.origin), 2 * SEVERAL.len());
    assert!(pages.iter().all(|(status, _)| *status == 200), "signed in on all: {pages:?}");
    assert_eq!(pages.iter().map(|(_, by)| by).collect::<HashSet<_>>().len(), SEVERAL.len(), "{pages:?}");
    for _ in 0..SEVERAL.len() {
        let asking = Asking::start(site.host_file());
        ann.approve(&asking.page());
        let verdict = asking.verdict();
        assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
    }

    // An open page follows what is asked through any server.
    let list = ann.get(&format!("{}/", site.origin));
    let path = list.body.split("data-events=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let path = path.replace("&amp;", "&");
    let streams: Vec<_> = (0..SEVERAL.len()).map(|_| ann.events(&format!("{}{path}", site.origin))).collect();
    for stream in &streams {
        stream.lines.after(0, "hello", |line| line == "event: hello");
    }
    let asking = Asking::start(site.host_file());
    let page = asking.page();
    for stream in &streams {
        stream.lines.after(0, "created", |line| line == "event: challenge_created");
    }
    ann.approve(&page);
    for stream in &streams {
        stream.lines.after(0, "resolved", |line| line == "event: challenge_resolved");
    }
    assert!(matches!(asking.verdict(), Verdict::Granted(_)));
}

pub(crate) fn what_ends_on_one_server_is_over_on_all(kind: Kind) {
    let Some(site) = Site::of_several(kind) else { return };
    let ann = site.browser(20);
    ann.sign_in("ann");
    let home = format!("{}/", site.origin);
    assert!(
        served(&ann, &home, 2 * SEVERAL.len()).iter().all(|(status, _)| *status == 200),
        "read by all a moment ago"
    );
    let list = ann.get(&home);
    let token = list.body.split("name=\"csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let cookie = ann.cookies().into_iter().find(|(name, _)| name.ends_with("session")).unwrap();
    let cookie = format!("Cookie: {}={}", cookie.0, cookie.1);
    let thief = site.browser(21);
    // Who is not signed in has no form.
    let is_in = |answer: &Answer| answer.body.contains("csrf_token");
    assert!(is_in(&thief.send(&home, &["--header", &cookie])));
    let out = ann.post(&format!("{}/signout", site.origin), &[("csrf_token", token)]);
    assert_eq!(out.status, 303, "{}", out.told());
    for _ in 0..2 * SEVERAL.len() {
        let answer = thief.send(&home, &["--header", &cookie]);
        assert!(!is_in(&answer), "{}", answer.told());
    }

    // A host that is removed may ask on no server within a second.
    let host = site.host_file();
    let target = format!("/api/challenge/{}?wait=0", "0".repeat(32));
    let ask = || {
        let authorization = Signed { method: "GET", target: &target, body: b"" }.authorization(&host);
        let answer = thief.send(&format!("{}{target}", site.origin), &["--header", &authorization]);
        (answer.status, answer.header("x-served-by").unwrap())
    };
    let before: Vec<_> = (0..SEVERAL.len()).map(|_| ask()).collect();
    assert!(before.iter().all(|(status, _)| *status == 404), "proven, and no such question: {before:?}");
    site.run(&["remove-host", "web1"]);
    let removed_at = SystemClock.now();
    let mut refusing = HashSet::new();
    while refusing.len() < SEVERAL.len() {
        if let (401, by) = ask() {
            refusing.insert(by);
        }
    }
    let took = SystemClock.now().since(removed_at);
    assert!(took < Duration::from_secs(2), "a second, and as long as the requests take: {took:?}");
}
