//! Servers are restarted one after the other while hosts ask and wait: every one of them gets its answer.

use std::sync::atomic::{AtomicBool, Ordering};

use identree_pam::Verdict;
use rustix::process::Signal;

use crate::recipe::{Kind, SEVERAL};
use crate::requester::Asking;
use crate::site::Site;

#[test]
fn a_rolling_restart_loses_nothing() {
    let Some(mut site) = Site::of_several(Kind::Haproxy) else { return };
    let (host, done) = (site.host_file(), AtomicBool::new(false));
    // One browser each: curl keeps its cookies in a file.
    let browsers: Vec<_> = (20..24).map(|machine| site.browser(machine)).collect();
    for browser in &browsers {
        browser.sign_in("ann");
    }
    let (ann, others) = browsers.split_first().unwrap();
    std::thread::scope(|scope| {
        let (host, done) = (&host, &done);
        let load: Vec<_> = others
            .iter()
            .map(|browser| {
                scope.spawn(move || {
                    let mut granted = 0;
                    while !done.load(Ordering::Relaxed) {
                        let asking = Asking::start(host.clone());
                        browser.approve(&asking.page());
                        let verdict = asking.verdict();
                        assert!(matches!(verdict, Verdict::Granted(_)), "after {granted}: {verdict:?}");
                        granted += 1;
                    }
                    granted
                })
            })
            .collect();
        // These wait through all of it.
        let waiting: Vec<_> = (0..4).map(|_| Asking::start(host.clone())).collect();
        let pages: Vec<_> = waiting.iter().map(Asking::page).collect();
        for number in 0..SEVERAL.len() {
            site.end(number, Signal::TERM);
            site.serve(number);
        }
        for (asking, page) in waiting.into_iter().zip(pages) {
            ann.approve(&page);
            let verdict = asking.verdict();
            assert!(matches!(verdict, Verdict::Granted(_)), "{verdict:?}");
        }
        done.store(true, Ordering::Relaxed);
        let granted: u32 = load.into_iter().map(|one| one.join().unwrap()).sum();
        assert!(granted > 0, "nothing was asked meanwhile");
    });
}
