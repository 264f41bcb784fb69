//! The server goes, and comes back, while people and hosts wait behind the proxy.

use identree_pam::Verdict;
use rustix::process::Signal;

use crate::recipe::Kind;
use crate::requester::Asking;
use crate::site::Site;

pub(crate) fn a_restart_is_survived_and_an_outage_allows_nothing(kind: Kind) {
    if !kind.is_here() {
        return;
    }
    let mut site = Site::start(kind);
    let ann = site.browser(20);
    let callback = ann.sign_in("ann");
    for signal in [Signal::TERM, Signal::KILL] {
        let asking = Asking::start(site.host_file());
        let page = asking.page();
        let form = ann.form(&page);
        // It waits: a second question's answer has come and gone since.
        let other = Asking::start(site.host_file());
        ann.approve(&other.page());
        assert!(matches!(other.verdict(), Verdict::Granted(_)));

        let from = site.servers[0].log.count();
        site.end(0, signal);
        if signal == Signal::TERM {
            let answered = |line: &str| line.contains("path=\"/api/challenge/") && line.contains("status=200");
            site.servers[0].log.after(from, "answer to the host that waits", answered);
        }
        down(&site, &ann);
        site.serve(0);
        // The page of before is good still, and so is the session.
        let answer = ann.post(&format!("{}/api/challenges/approve", site.origin), &form);
        assert_eq!(answer.status, 303, "{}", answer.told());
        let verdict = asking.verdict();
        assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
        secrets_stay_out_of_its_log(&site, &ann, &callback, &page, &form);
    }
}

fn down(site: &Site, ann: &crate::browser::Browser) {
    let asking = Asking::start(site.host_file());
    let terminal = asking.terminal.clone();
    let verdict = asking.verdict();
    assert_eq!(verdict.exit_code(), 3, "{verdict:?}");
    let told = terminal.all();
    assert!(
        told.contains("the server is unreachable, so nothing was allowed: the server answers with status 50"),
        "{told}"
    );
    for path in ["/", "/readyz", "/callback?code=written-nowhere&state=written-nowhere", "/approve/written-nowhere"] {
        let answer = ann.get(&format!("{}{path}", site.origin));
        assert!([502, 503].contains(&answer.status), "{path}: {}", answer.told());
    }
}

/// Neither when all is well nor when the server is gone.
fn secrets_stay_out_of_its_log(
    site: &Site,
    ann: &crate::browser::Browser,
    callback: &str,
    page: &str,
    form: &[(&str, String)],
) {
    let log = site.proxy.written();
    for path in ["/callback", "/approve/", "/api/challenges/approve"] {
        assert!(log.contains(path), "no {path} in:\n{log}");
    }
    let callback = url::Url::parse(callback).unwrap();
    let queried = callback.query_pairs().filter(|(name, _)| name != "iss").map(|(_, value)| value.into_owned());
    let cookies = ann.cookies().into_iter().map(|(_, value)| value).filter(|value| !value.is_empty());
    let others = [page.rsplit('/').next().unwrap().to_owned(), form[0].1.clone(), "written-nowhere".to_owned()];
    for secret in queried.chain(cookies).chain(others) {
        assert!(!log.contains(&secret), "{secret} in:\n{log}");
    }
}
