//! What every [`Directory`] promises. Stamp the clauses with [`directory_suite!`](crate::directory_suite).

use crate::directory::{Directory, Person};
use crate::id::{GroupName, UserName};
use crate::time::Timestamp;

/// Stamps one test per clause: `directory_suite!(fixed, async { (directory, person) });`
///
/// The first argument names the module; the second is an expression that is evaluated for each test and gives a future of
/// a directory and of one enabled [`Person`] with at least one group whom it knows. The calling crate needs `tokio` with
/// `macros` and `rt`.
#[macro_export]
macro_rules! directory_suite {
    ($module:ident, $factory:expr) => {
        $crate::directory_suite!(@stamp $module, $factory;
            a_known_person_is_found_with_their_groups
            nobody_else_is_anything
            groups_are_believed_only_while_they_may_be
            a_refresh_gives_what_the_snapshot_then_says
        );
    };
    (@stamp $module:ident, $factory:expr; $($clause:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $clause() {
                    let (directory, person) = $factory.await;
                    $crate::testkit::suite::directory::$clause(&directory, &person).await;
                }
            )*
        }
    };
}

/// The snapshot knows the person by exact name, with the same groups.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_known_person_is_found_with_their_groups(directory: &dyn Directory, person: &Person) {
    assert_eq!(directory.snapshot().person(&person.name), Some(person));
    assert!(directory.snapshot().people().any(|known| known == person));
}

/// An unknown name, also one that differs by case alone, is a member of nothing and not shut out.
///
/// # Panics
/// Where the promise is broken.
pub async fn nobody_else_is_anything(directory: &dyn Directory, person: &Person) {
    let snapshot = directory.snapshot();
    let other_case = person.name.as_str().chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c });
    for name in [other_case.collect::<String>(), format!("{}x", person.name)] {
        let name = UserName::parse(&name).expect("a variant of a name is a name");
        if name != person.name {
            assert!(snapshot.person(&name).is_none());
            assert!(!snapshot.is_member(&name, &person.groups, Timestamp::default()));
            assert!(!snapshot.is_disabled(&name));
        }
    }
    let foreign = GroupName::parse("no-such-group").expect("a literal");
    assert!(!snapshot.is_member(&person.name, &[foreign], Timestamp::default()));
}

/// Membership holds before `groups_until` and no longer.
///
/// # Panics
/// Where the promise is broken.
pub async fn groups_are_believed_only_while_they_may_be(directory: &dyn Directory, person: &Person) {
    let snapshot = directory.snapshot();
    let before = Timestamp::from_millis(person.groups_until.as_millis() - 1);
    assert!(snapshot.is_member(&person.name, &person.groups, before));
    assert!(!snapshot.is_member(&person.name, &person.groups, person.groups_until));
}

/// What a refresh returns is what the snapshot says from then on, and the last change told is its revision.
///
/// # Panics
/// Where the promise is broken.
pub async fn a_refresh_gives_what_the_snapshot_then_says(directory: &dyn Directory, person: &Person) {
    let fresh = directory.refresh().await.expect("a working source can be read");
    assert_eq!(fresh.person(&person.name), Some(person));
    assert_eq!(directory.snapshot().revision(), fresh.revision());
    assert_eq!(*directory.changes().borrow(), *fresh.revision());
}
