//! The suites of the small contracts, over what this crate has in the box.

use identree_core::directory::{Directory as _, FixedDirectory, Person};
use identree_core::grant::LocalSigner;
use identree_core::id::{GroupName, UserName};
use identree_core::rng::OsEntropy;
use identree_core::testkit::recorder::Recorder;
use identree_core::{directory_suite, notifier_suite, signer_suite};

async fn fixed() -> (FixedDirectory, Person) {
    let ann = UserName::parse("ann").expect("a name");
    let directory = FixedDirectory::new([(ann.clone(), vec![GroupName::parse("admins").expect("a group")])]);
    let person = directory.snapshot().person(&ann).expect("she is there").clone();
    (directory, person)
}

signer_suite!(local_signer, async { LocalSigner::generate(&OsEntropy) });
directory_suite!(fixed_directory, fixed());

/// What it received, as a place would show it: the line of a notice and its address.
async fn recorder() -> (Recorder, impl Fn() -> String) {
    let recorder = Recorder::new("recorder");
    let all = recorder.clone();
    let arrived = move || {
        let lines = all.so_far().into_iter().map(|call| format!("{} {:?}\n", call.notice, call.notice.url));
        lines.collect()
    };
    (recorder, arrived)
}
notifier_suite!(recording_notifier, recorder());
