//! The helpers of one process, in any order and at any time.

use proptest::prelude::*;

use super::*;

const USABLE: Duration = Duration::from_secs(150);

fn answer() -> SignedAnswer {
    SignedAnswer { bytes: vec![1, 2], signature: vec![3] }
}

fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1000)
}

/// Runs one helper from begin to end: asks if it must, and ends with `end` when it asked. Returns whether it opened.
fn helper(kept: &mut Option<Record>, phase: Phase, now: Moment, end: Option<End>) -> (Step, bool) {
    let step = begin(kept.clone(), phase, USABLE, now);
    let opened = match step.clone() {
        Step::Refuse(_) => false,
        Step::Ask(mine) => {
            *kept = Some(mine.clone());
            end.is_some_and(|end| {
                let approved = matches!(end, End::Approved(_));
                let (after, counts) = finish(kept.clone(), &mine, phase, end, now);
                *kept = after;
                approved && counts
            })
        }
        Step::Claim(mine) => {
            let (after, counts) = finish(kept.clone(), &mine, phase, End::Approved(answer()), now);
            *kept = after;
            counts
        }
    };
    (step, opened)
}

#[test]
fn both_phases_ask_once() {
    let mut kept = None;
    let (first, opened) = helper(&mut kept, Phase::Auth, at(1), Some(End::Approved(answer())));
    assert!(matches!(first, Step::Ask(_)) && opened);
    let (second, opened) = helper(&mut kept, Phase::Account, at(2), None);
    assert!(matches!(second, Step::Claim(_)) && opened);
    let (third, _) = helper(&mut kept, Phase::Account, at(3), None);
    assert!(matches!(third, Step::Ask(Record { counter: 1, .. })), "each phase has one claim: {third:?}");
}

#[test]
fn an_approval_is_not_claimed_after_thirty_seconds() {
    let mut kept = None;
    helper(&mut kept, Phase::Auth, at(1), Some(End::Approved(answer())));
    let mut late = kept.clone();
    assert!(matches!(helper(&mut kept, Phase::Account, at(31), None).0, Step::Claim(_)));
    assert!(matches!(helper(&mut late, Phase::Account, at(32), None).0, Step::Ask(Record { counter: 1, .. })));
}

#[test]
fn a_refusal_stands_for_the_process() {
    let mut kept = None;
    helper(&mut kept, Phase::Auth, at(1), Some(End::Refused(2)));
    for now in [2, 100, 100_000] {
        assert_eq!(helper(&mut kept, Phase::Auth, at(now), None).0, Step::Refuse(2));
        assert_eq!(helper(&mut kept, Phase::Account, at(now), None).0, Step::Refuse(2));
    }
}

#[test]
fn a_killed_helper_asks_the_same_question_again_while_its_answer_could_count() {
    let mut kept = None;
    let (first, _) = helper(&mut kept, Phase::Auth, at(1), None);
    assert_eq!(helper(&mut kept, Phase::Auth, at(100), None).0, first);
    assert!(matches!(helper(&mut kept, Phase::Auth, at(151), None).0, Step::Ask(Record { counter: 1, .. })));
}

#[test]
fn two_helpers_of_one_phase_cannot_both_use_one_approval() {
    let Step::Ask(mine) = begin(None, Phase::Auth, USABLE, at(1)) else { panic!("nothing is kept yet") };
    let kept = Some(mine.clone());
    let (kept, first) = finish(kept, &mine, Phase::Auth, End::Approved(answer()), at(2));
    let (_, second) = finish(kept, &mine, Phase::Auth, End::Approved(answer()), at(2));
    assert!(first && !second);
}

#[test]
fn an_approval_without_its_record_does_not_count() {
    let Step::Ask(mine) = begin(None, Phase::Auth, USABLE, at(1)) else { panic!("nothing is kept yet") };
    assert_eq!(finish(None, &mine, Phase::Auth, End::Approved(answer()), at(2)), (None, false));
}

#[derive(Debug, Clone)]
enum Does {
    Approve,
    Refuse,
    Die,
}

fn life() -> impl Strategy<Value = Vec<(bool, u64, Does)>> {
    let does = prop_oneof![Just(Does::Approve), Just(Does::Refuse), Just(Does::Die)];
    prop::collection::vec((any::<bool>(), 0..60u64, does), 0..30)
}

fn standing() -> impl Strategy<Value = Standing> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        Just(Standing::Asked),
        any::<u8>().prop_map(Standing::Refused),
        (any::<u32>(), any::<bool>(), any::<bool>(), bytes(), bytes()).prop_map(
            |(settled, auth, account, bytes, signature)| {
                Standing::Approved {
                    settled: at(settled.into()),
                    auth,
                    account,
                    answer: SignedAnswer { bytes, signature },
                }
            }
        ),
    ]
}

proptest! {
    #[test]
    fn every_opening_is_backed_by_its_own_approval(life in life()) {
        let (mut kept, mut now) = (None, 0);
        let mut opened: Vec<(u64, Phase, u64)> = Vec::new();
        let mut approved_at = std::collections::BTreeMap::new();
        let mut refused = false;
        for (account, wait, does) in life {
            now += wait;
            let phase = if account { Phase::Account } else { Phase::Auth };
            let end = match does { Does::Approve => Some(End::Approved(answer())), Does::Refuse => Some(End::Refused(1)), Does::Die => None };
            let (step, open) = helper(&mut kept, phase, at(now), end.clone());
            if let Step::Ask(record) = &step {
                prop_assert!(!refused, "asked again after a refusal");
                match end {
                    Some(End::Approved(_)) => { approved_at.insert(record.counter, now); }
                    Some(End::Refused(_)) => refused = true,
                    None => prop_assert!(!open),
                }
            }
            if open {
                prop_assert!(!refused);
                let counter = kept.as_ref().unwrap().counter;
                prop_assert!(now - approved_at[&counter] <= 30, "used too late");
                prop_assert!(!opened.iter().any(|(c, p, _)| (*c, *p) == (counter, phase)), "one approval used twice in a phase");
                opened.push((counter, phase, now));
            }
        }
    }

    #[test]
    fn records_round_trip_and_torn_ones_do_not_read(counter in any::<u64>(), asked in any::<u32>(), standing in standing(), keep in any::<prop::sample::Index>()) {
        let reason = (asked % 2 == 0).then(|| "ticket 7".to_owned());
        let record = Record { counter, asked: at(asked.into()), reason, standing };
        let bytes = record.encode();
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
        prop_assert!(Record::decode(&bytes[..keep.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Record::decode(&bytes);
    }
}
