//! Setup killed at each of its steps.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

struct Place {
    folder: tempfile::TempDir,
    state: State,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        let state = State::create(&folder.path().join("lib/setup"), owner).unwrap();
        fs::write(folder.path().join("one"), "1\n").unwrap();
        fs::write(folder.path().join("two"), "2").unwrap();
        Self { folder, state }
    }

    /// One and two are changed, three is new.
    fn transaction(&self) -> Transaction {
        let at = |name: &str| self.folder.path().join(name);
        let change = |name: &str, after: &str| {
            let before = Snapshot::take(&at(name)).unwrap();
            let own = rustix::process::geteuid().as_raw();
            let new = Snapshot { uid: own, gid: rustix::process::getegid().as_raw(), ..Snapshot::new(vec![], 0o640) };
            Change { path: at(name), after: Some(before.clone().unwrap_or(new).with(after.into())), before }
        };
        let changes = vec![change("one", "1x\n"), change("two", "2x"), change("three", "3")];
        Transaction { direction: Direction::Install, decided: false, changes }
    }

    fn stands(&self, transaction: &Transaction) -> (usize, usize) {
        let is = |state: fn(&Change) -> &Option<Snapshot>| {
            transaction.changes.iter().filter(|c| Snapshot::take(&c.path).unwrap() == *state(c)).count()
        };
        (is(|c| &c.before), is(|c| &c.after))
    }
}

#[test]
fn killed_at_any_step_it_is_undone_or_completed_by_the_next_run() {
    for direction in [Direction::Install, Direction::Remove] {
        let mut undone = 0;
        for kill_at in 0.. {
            let place = Place::new();
            let transaction = Transaction { direction, ..place.transaction() };
            let mut step = 0;
            let mut steps = || {
                assert!(step != kill_at, "killed");
                step += 1;
            };
            let run = || carry_out(&place.state, &transaction, &mut steps, &mut || Ok(()));
            let ended = catch_unwind(AssertUnwindSafe(run));
            let recovered = recover(&place.state).unwrap();
            if let Ok(result) = ended {
                result.unwrap();
                assert_eq!((recovered, place.stands(&transaction)), (Recovered::Clean, (0, 3)));
                assert!(undone >= 5, "{undone}");
                break;
            }
            match recovered {
                Recovered::Clean | Recovered::Undone => {
                    undone += 1;
                    assert_eq!(place.stands(&transaction), (3, 0), "killed at {kill_at}");
                    assert_eq!(installed(&place.state).unwrap(), None);
                }
                Recovered::Completed => {
                    assert_eq!(place.stands(&transaction), (0, 3), "killed at {kill_at}");
                    assert_eq!(installed(&place.state).unwrap().is_some(), direction == Direction::Install);
                }
            }
            assert_eq!(recover(&place.state).unwrap(), Recovered::Clean);
        }
    }
}

#[test]
fn what_fails_its_test_is_put_back() {
    let place = Place::new();
    let transaction = place.transaction();
    let mut fails = || Err(SetupError::NotRoot);
    let error = carry_out(&place.state, &transaction, &mut || {}, &mut fails).unwrap_err();
    assert!(matches!(error, SetupError::NotRoot));
    assert_eq!(place.stands(&transaction), (3, 0));
    assert_eq!(recover(&place.state).unwrap(), Recovered::Clean);
}

#[test]
fn a_file_that_somebody_changed_meanwhile_is_not_touched() {
    let place = Place::new();
    let transaction = place.transaction();
    keep(&place.state, &transaction).unwrap();
    Snapshot::restore(transaction.changes[0].after.as_ref(), &transaction.changes[0].path).unwrap();
    fs::write(place.folder.path().join("two"), "by hand").unwrap();
    let error = recover(&place.state).unwrap_err();
    assert!(error.to_string().contains("/two") && error.to_string().contains("pending"), "{error}");
    assert_eq!(fs::read(place.folder.path().join("one")).unwrap(), b"1x\n", "all or nothing");
}

#[test]
fn a_second_setup_keeps_the_first_state_to_go_back_to() {
    let place = Place::new();
    let first = place.transaction();
    carry_out(&place.state, &first, &mut || {}, &mut || Ok(())).unwrap();
    let again = Change {
        before: first.changes[0].after.clone(),
        after: first.changes[0].after.as_ref().map(|file| file.with(b"1y\n".to_vec())),
        ..first.changes[0].clone()
    };
    let second = Transaction { changes: vec![again.clone()], ..first.clone() };
    carry_out(&place.state, &second, &mut || {}, &mut || Ok(())).unwrap();
    let found = installed(&place.state).unwrap().unwrap();
    assert_eq!((&found.changes[0].before, &found.changes[0].after), (&first.changes[0].before, &again.after));
    assert_eq!(found.changes.len(), 3);
}
