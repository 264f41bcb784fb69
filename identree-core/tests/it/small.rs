//! The suites of the small contracts, over what this crate has in the box.

use identree_core::directory::{Directory as _, FixedDirectory, Person};
use identree_core::grant::LocalSigner;
use identree_core::id::{GroupName, UserName};
use identree_core::rng::OsEntropy;
use identree_core::{directory_suite, signer_suite};

async fn fixed() -> (FixedDirectory, Person) {
    let ann = UserName::parse("ann").expect("a name");
    let directory = FixedDirectory::new([(ann.clone(), vec![GroupName::parse("admins").expect("a group")])]);
    let person = directory.snapshot().person(&ann).expect("she is there").clone();
    (directory, person)
}

signer_suite!(local_signer, async { LocalSigner::generate(&OsEntropy) });
directory_suite!(fixed_directory, fixed());
